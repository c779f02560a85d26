//! Bundles and revocations from elsewhere: one worker asks, all of them know, and nothing bad that comes replaces what
//! is good.

use std::rc::Rc;

use jiff::SignedDuration;
use serde_json::{Value, json};
use support::{
    ca::{Authority, Leaf, bundle_json},
    world::OWN,
};
use svidgate_gate::{header_map::HeaderMap, plugin::action::Action};

use crate::{
    double::request,
    workers::{ENDPOINT, Workers, bundle, endpoint, own_endpoint},
};

#[test]
fn peer_is_refused_until_the_first_bundle_has_come_and_flows_with_it() {
    let workers = Workers::start(1, own_endpoint());
    let api = workers.world.own_identity("/api");
    assert_eq!(workers.reason(0, &api), "federation.bundle_missing");
    assert_eq!(workers.proxy.look(|state| state.tick_period), 100, "a start is quick");
    workers.tick();
    assert_eq!(workers.asked(), [ENDPOINT]);
    assert_eq!(workers.reason(0, &api), "federation.bundle_missing");
    workers.answer(0, "200", &bundle(&[&workers.world.own], None));
    assert_eq!(
        workers.reason(0, &api),
        "rule.allowed",
        "in the same second, though it was refused before"
    );
    workers.tick();
    assert_eq!(workers.proxy.look(|state| state.tick_period), 1000);
}

#[test]
fn one_worker_asks_and_all_of_them_know_by_the_next_tick() {
    let names: Vec<String> = (0..20).map(|number| format!("td{number}.example")).collect();
    let federation: Vec<Value> = names
        .iter()
        .map(|name| {
            let endpoint = json!({ "cluster": name, "path": "/bundle.json" });
            json!({ "trust_domain": name, "bundle": { "endpoint": endpoint } })
        })
        .collect();
    let workers = Workers::start(4, json!({ "federation": federation }));
    workers.tick();
    assert_eq!(workers.asked().len(), 20);
    let now = workers.world.now;
    let mut peers = Vec::new();
    for (token, name) in (1..).zip(&names) {
        let asked = workers.asked()[usize::try_from(token).unwrap() - 1].clone();
        let name = names.iter().find(|known| asked.ends_with(*known)).unwrap_or(name);
        let authority = Authority::of(name, now);
        let body = bundle(&[&authority], None);
        workers.proxy.change(|state| {
            state.answer = (
                Some(HeaderMap::from_pairs(&[(b":status", b"200")])),
                body.clone().into_bytes(),
            );
        });
        // Whoever did not ask does not know the token.
        for root in &workers.roots {
            root.on_answer(token, 1, body.len());
        }
        peers.push(authority.issue(Leaf::svid(&format!("spiffe://{name}/x"), now)));
    }
    workers.pass(1);
    workers.tick();
    for worker in 0..4 {
        for peer in &peers {
            assert_eq!(workers.reason(worker, peer), "rule.allowed", "worker {worker}");
        }
    }
    assert_eq!(workers.asked().len(), 20, "nobody else has asked");
    assert_eq!(workers.counted("svidgate.source_events_total.updated"), 20);
}

#[test]
fn worker_that_dies_is_followed_by_another_when_its_lease_has_lapsed() {
    let workers = Workers::start(2, own_endpoint());
    workers.tick();
    workers.answer(0, "200", &bundle(&[&workers.world.own], None));
    // The first worker ticks no more. Its lease is good for 5 s.
    workers.pass(4);
    workers.roots[1].tick();
    assert_eq!(workers.asked().len(), 1);
    workers.pass(1);
    workers.roots[1].tick();
    workers.pass(300);
    workers.roots[1].tick();
    assert_eq!(workers.asked().len(), 2, "five minutes, where the bundle does not say");
    // The first one comes back to find that it is not the one any more.
    workers.roots[0].tick();
    assert_eq!(workers.asked().len(), 2);
}

#[test]
fn last_plugin_that_goes_hands_the_lease_over_at_once() {
    let workers = Workers::start(2, own_endpoint());
    workers.tick();
    workers.roots[0].leave();
    workers.pass(1);
    workers.roots[1].tick();
    assert_eq!(workers.asked().len(), 2, "what the first had asked went with it");
}

#[test]
fn nothing_that_cannot_be_read_replaces_what_is_good_until_it_is_stale() {
    let workers = Workers::start(2, own_endpoint());
    let api = workers.world.own_identity("/api");
    let partner = workers.world.partner_identity("/ns/billing/x");
    workers.tick();
    workers.answer(0, "200", &bundle(&[&workers.world.own], None));
    let start = workers.proxy.look(|state| state.now);
    let bad: [(&str, String); 6] = [
        ("200", "garbage".to_owned()),
        ("200", r#"{"keys": [], "keys": []}"#.to_owned()),
        ("500", bundle(&[], None)),
        ("302", bundle(&[], None)),
        ("404", "{\"keys\": []}".to_owned()),
        ("200", " ".repeat(1024 * 1024 + 1)),
    ];
    let mut asked = 1;
    for (status, body) in bad.iter().cycle() {
        // Back-off is at most a minute.
        workers.pass(if asked == 1 { 301 } else { 60 });
        if workers.proxy.look(|state| state.now.duration_since(start).as_secs()) >= 3600 {
            break;
        }
        workers.tick();
        asked += 1;
        assert_eq!(workers.asked().len(), asked);
        workers.answer(0, status, body);
        for worker in [0, 1] {
            assert_eq!(workers.reason(worker, &api), "rule.allowed");
        }
    }
    assert!(asked > 40);
    assert_eq!(
        workers.counted("svidgate.source_events_total.failed")
            + workers.counted("svidgate.source_events_total.unreadable"),
        asked as u64 - 1
    );
    workers
        .proxy
        .change(|state| state.now = start + SignedDuration::from_secs(3599));
    workers.tick();
    assert_eq!(workers.reason(0, &api), "rule.allowed");
    workers.pass(1);
    workers.tick();
    for worker in [0, 1] {
        assert_eq!(workers.reason(worker, &api), "federation.bundle_stale");
        assert_eq!(workers.reason(worker, &partner), "rule.allowed", "the others go on");
    }
}

#[test]
fn source_that_speaks_again_ends_staleness() {
    let workers = Workers::start(
        1,
        json!({ "bundle": { "endpoint": endpoint() }, "max_staleness": "30s" }),
    );
    let api = workers.world.own_identity("/api");
    let body = bundle(&[&workers.world.own], None);
    workers.tick();
    workers.answer(0, "200", &body);
    workers.pass(30);
    workers.tick();
    assert_eq!(workers.reason(0, &api), "federation.bundle_stale");
    workers.answer(0, "200", &body);
    assert_eq!(workers.reason(0, &api), "rule.allowed", "the same content, said again");
    assert_eq!(workers.counted("svidgate.source_events_total.unchanged"), 1);
}

#[test]
fn pin_goes_stale_like_an_answer() {
    let inline = json!({ "inline": bundle_json(&[]), "endpoint": endpoint() });
    let workers = Workers::start(1, json!({ "bundle": inline, "max_staleness": "30s" }));
    let api = workers.world.own_identity("/api");
    assert_eq!(workers.reason(0, &api), "federation.bundle_empty");
    workers.tick();
    workers.pass(30);
    workers.tick();
    assert_eq!(workers.reason(0, &api), "federation.bundle_stale");
}

#[test]
fn empty_list_of_keys_takes_effect_at_once() {
    let workers = Workers::start(2, own_endpoint());
    let api = workers.world.own_identity("/api");
    workers.tick();
    workers.answer(0, "200", &bundle(&[&workers.world.own], None));
    assert_eq!(workers.reason(0, &api), "rule.allowed");
    workers.pass(300);
    workers.tick();
    workers.answer(0, "200", r#"{"keys": []}"#);
    assert_eq!(workers.reason(0, &api), "federation.bundle_empty");
    workers.pass(1);
    workers.tick();
    assert_eq!(workers.reason(1, &api), "federation.bundle_empty");
}

/// The attack needs luck only: an answer that is on its way for longer than the lease of whoever asked.
#[test]
fn late_answer_of_a_worker_that_has_lost_the_lease_changes_nothing() {
    let workers = Workers::start(2, own_endpoint());
    let next = Authority::of(OWN, workers.world.now);
    let (old, new) = (
        workers.world.own_identity("/api"),
        next.issue(Leaf::svid("spiffe://prod.example/api", workers.world.now)),
    );
    workers.tick();
    workers.pass(6);
    workers.roots[1].tick();
    assert_eq!(workers.asked().len(), 2);
    workers.answer(1, "200", &bundle(&[&next], Some(3)));
    // Token 1 is the first worker's.
    let late = bundle(&[&workers.world.own], Some(2));
    workers.proxy.change(|state| {
        state.answer = (
            Some(HeaderMap::from_pairs(&[(b":status", b"200")])),
            late.clone().into_bytes(),
        );
    });
    workers.roots[0].on_answer(1, 1, late.len());
    workers.pass(1);
    workers.tick();
    for worker in [0, 1] {
        assert_eq!(workers.reason(worker, &old), "svid.bad_signature");
        assert_eq!(workers.reason(worker, &new), "rule.allowed");
    }
    let fresh = workers.plugin(&Rc::default(), own_endpoint());
    workers.proxy.connect(&old);
    assert_eq!(request(&fresh), Action::Pause, "nor for a worker that starts later");
}

#[test]
fn clock_that_was_a_day_ahead_neither_stops_the_asking_nor_hides_staleness() {
    let workers = Workers::start(1, own_endpoint());
    let api = workers.world.own.issue(Leaf {
        not_after: workers.world.now + SignedDuration::from_hours(72),
        ..Leaf::svid("spiffe://prod.example/api", workers.world.now)
    });
    workers.pass(86_400);
    workers.tick();
    workers.answer(0, "200", &bundle(&[&workers.world.own], None));
    assert_eq!(workers.reason(0, &api), "rule.allowed", "and remembered");
    workers.pass(-86_400);
    workers.tick();
    assert_eq!(workers.reason(0, &api), "rule.allowed");
    let mut asked = workers.asked().len();
    workers.pass(301);
    workers.tick();
    assert_eq!(workers.asked().len(), asked + 1, "asked in five minutes, not in a day");
    for _ in 0..70 {
        workers.roots[0].on_answer(workers.last_token(), 0, 0);
        asked = workers.asked().len();
        workers.wait_until_asked(asked);
    }
    assert_eq!(workers.reason(0, &api), "federation.bundle_stale");
}

fn revocation_list(sequence: u64, entries: Value) -> String {
    json!({ "sequence": sequence, "revoked": entries }).to_string()
}

#[test]
fn list_of_revocations_is_waited_for_followed_and_missed_when_it_is_stale() {
    let endpoint = json!({ "cluster": "revocations", "path": "/revoked.json", "refresh": "10s" });
    let revocations = json!({ "endpoint": endpoint, "max_staleness": "60s" });
    let workers = Workers::start(2, json!({ "revocations": revocations }));
    let (api, other) = (workers.world.own_identity("/api"), workers.world.own_identity("/other"));
    assert_eq!(workers.reason(0, &api), "revocations.missing");
    workers.tick();
    workers.answer(0, "200", &revocation_list(2, json!([])));
    assert_eq!(workers.reason(0, &api), "rule.allowed");
    workers.pass(10);
    workers.tick();
    let entry = json!([{ "sha256": api.leaf_sha256(), "reason": "laptop stolen" }]);
    workers.answer(0, "200", &revocation_list(3, entry));
    workers.pass(1);
    workers.tick();
    for worker in [0, 1] {
        assert_eq!(workers.reason(worker, &api), "svid.revoked");
        assert_eq!(workers.reason(worker, &other), "rule.allowed");
    }
    assert!(workers.logged("revoked: laptop stolen"));
    workers.pass(9);
    workers.tick();
    workers.answer(0, "200", &revocation_list(2, json!([])));
    assert_eq!(workers.reason(0, &api), "svid.revoked", "an older list");
    workers.pass(1);
    workers.tick();
    workers.answer(
        0,
        "200",
        r#"{"revoked": [{"id": "spiffe://prod.example/api", "unti": "x"}]}"#,
    );
    assert_eq!(workers.reason(0, &other), "rule.allowed");
    assert_eq!(workers.counted("svidgate.source_events_total.unreadable"), 1);
    workers.pass(60);
    workers.tick();
    for worker in [0, 1] {
        assert_eq!(workers.reason(worker, &other), "revocations.stale");
    }
}

#[test]
fn endpoint_is_asked_as_often_as_the_hint_says_within_bounds() {
    // The hint, and the shortest and the longest pause that may come of it: a tenth less is jitter.
    let hints = [
        (None, 270, 300),
        (Some(60), 54, 60),
        (Some(1), 9, 10),
        (Some(100_000), 3240, 3600),
        (Some(0), 270, 300),
    ];
    for (hint, shortest, longest) in hints {
        let workers = Workers::start(
            1,
            json!({ "bundle": { "endpoint": endpoint() }, "max_staleness": "24h" }),
        );
        workers.tick();
        let mut document = bundle_json(&[&workers.world.own]);
        if let Some(hint) = hint {
            document["spiffe_refresh_hint"] = json!(hint);
        }
        workers.answer(0, "200", &document.to_string());
        let pause = workers.wait_until_asked(1);
        assert!((shortest..=longest).contains(&pause), "{hint:?}: {pause} s");
    }
}
