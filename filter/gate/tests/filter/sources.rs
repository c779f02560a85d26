//! Bundles and revocations from elsewhere: one worker asks, all of them know, and nothing bad that comes replaces what
//! is good.

use std::rc::Rc;

use jiff::SignedDuration;
use serde_json::{Value, json};
use support::{
    ca::{Authority, Key, KeyKind, KeyUsage, Leaf, Profile, bundle_json},
    world::{OWN, World, with},
};
use svidgate_gate::{
    header_map::HeaderMap,
    plugin::{action::Action, plugin::Plugin},
    worker::worker::Worker,
};

use crate::{
    double::{Proxy, request},
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
fn lower_sequence_is_ignored_and_counted() {
    let workers = Workers::start(
        1,
        json!({ "bundle": { "endpoint": with(endpoint(), json!({ "refresh": "1s" })) } }),
    );
    let (old, new) = (&workers.world.own, Authority::of(OWN, workers.world.now));
    let (of_old, of_new) = (
        workers.world.own_identity("/api"),
        new.issue(Leaf::svid("spiffe://prod.example/api", workers.world.now)),
    );
    let round = |body: &str| {
        workers.pass(1);
        workers.tick();
        workers.answer(0, "200", body);
    };
    round(&bundle(&[old, &new], Some(7)));
    round(&bundle(&[&new], Some(8)));
    assert_eq!(workers.reason(0, &of_old), "svid.bad_signature");
    round(&bundle(&[old], Some(7)));
    assert_eq!(workers.reason(0, &of_old), "svid.bad_signature", "a step back");
    assert_eq!(workers.reason(0, &of_new), "rule.allowed");
    assert_eq!(workers.counted("svidgate.source_events_total.rollback"), 1);
    assert!(workers.logged("sequence 7 is lower than 8"));
    workers.pass(1);
    round(&bundle(&[old], Some(8)));
    assert_eq!(
        workers.reason(0, &of_old),
        "rule.allowed",
        "the publisher's mistake, taken and told"
    );
    assert_eq!(workers.counted("svidgate.source_events_total.same_sequence"), 1);
}

/// Publishers order keys and members anew at each answer.
#[test]
fn same_content_in_other_bytes_is_no_news() {
    let workers = Workers::start(
        1,
        json!({ "bundle": { "endpoint": with(endpoint(), json!({ "refresh": "1s" })) } }),
    );
    let (old, new) = (&workers.world.own, Authority::of(OWN, workers.world.now));
    let jwt = |kid: &str| json!({ "kty": "EC", "use": "jwt-svid", "kid": kid, "crv": "P-256", "x": "a", "y": "b" });
    let answer = |authorities: &[&Authority], kids: &[&str]| {
        let mut bundle: Value = serde_json::from_str(&bundle(authorities, Some(7))).unwrap();
        bundle["keys"]
            .as_array_mut()
            .unwrap()
            .extend(kids.iter().map(|kid| jwt(kid)));
        workers.pass(1);
        workers.tick();
        workers.answer(0, "200", &bundle.to_string());
        let event = |name: &str| workers.counted(&format!("svidgate.source_events_total.{name}"));
        (event("updated"), event("unchanged"), event("same_sequence"))
    };
    assert_eq!(answer(&[old, &new], &["a", "b"]), (1, 0, 0));
    assert_eq!(answer(&[&new, old], &["b", "a"]), (1, 1, 0));
    assert_eq!(answer(&[old, &new], &["b", "a"]), (1, 2, 0));
    assert!(!workers.logged("other content under the same sequence"));
    assert_eq!(answer(&[&new], &["b", "a"]), (2, 2, 1));
    assert_eq!(answer(&[&new], &["b", "c"]), (3, 2, 2));
}

/// A partner whose server was built anew counts from 1 again, with another CA.
#[test]
fn publisher_that_was_built_anew_is_believed_when_the_operator_says_so_and_the_old_ca_never_again() {
    let at_epoch = |epoch: u64, more: Value| {
        let endpoint = with(endpoint(), json!({ "refresh": "1s", "epoch": epoch }));
        with(json!({ "bundle": { "endpoint": endpoint } }), more)
    };
    let workers = Workers::start(2, at_epoch(0, json!({})));
    let (old, new) = (&workers.world.own, Authority::of(OWN, workers.world.now));
    let (of_old, of_new) = (
        workers.world.own_identity("/api"),
        new.issue(Leaf::svid("spiffe://prod.example/api", workers.world.now)),
    );
    let round = |body: &str| {
        workers.pass(1);
        workers.tick();
        workers.answer(0, "200", body);
        workers.pass(1);
        workers.tick();
    };
    round(&bundle(&[old], Some(2)));
    for _ in 0..3 {
        round(&bundle(&[&new], Some(1)));
        workers.pass(10);
    }
    assert_eq!(
        workers.reason(0, &of_new),
        "svid.bad_signature",
        "no answer alone lowers the sequence"
    );
    assert!(workers.logged(
        "sequence 1 is lower than 2, which is held, with 0 of the 1 authorities that are held (if its publisher was \
         built anew: raise `epoch` of this endpoint above 0)"
    ));
    // The document comes to one worker first; both forget.
    let next = workers.plugin(&workers.workers[1], at_epoch(1, json!({ "version": "next" })));
    for _ in 0..2 {
        workers.pass(1);
        workers.tick();
    }
    for worker in [0, 1] {
        assert_eq!(workers.reason(worker, &of_old), "federation.bundle_missing", "{worker}");
    }
    round(&bundle(&[&new], Some(1)));
    for worker in [0, 1] {
        assert_eq!(workers.reason(worker, &of_new), "rule.allowed", "{worker}");
        assert_eq!(workers.reason(worker, &of_old), "svid.bad_signature", "{worker}");
    }
    // A document of before that is put back brings nothing back, on a new worker neither.
    next.leave();
    let late: Rc<Worker> = Rc::default();
    let back =
        [&workers.workers[0], &late].map(|worker| workers.plugin(worker, at_epoch(0, json!({ "version": "back" }))));
    for _ in 0..3 {
        workers.pass(1);
        workers.tick();
        back.iter().for_each(|root| root.tick());
    }
    for root in &back {
        workers.proxy.connect(&of_old);
        workers.proxy.ask("GET", "/", &[]);
        assert_eq!(request(root), Action::Pause);
        assert_eq!(workers.proxy.reason(), "svid.bad_signature");
    }
    assert_eq!(workers.reason(0, &of_new), "rule.allowed");
}

/// Its document goes and another comes within one tick, so that nothing has looked at what was asked in the meantime; and
/// somebody else writes over what the workers share, which would tell.
#[test]
fn answer_that_was_asked_for_before_its_source_was_given_up_is_not_judged() {
    let of_epoch =
        |epoch: u64| json!({ "bundle": { "inline": null, "endpoint": with(endpoint(), json!({ "epoch": epoch })) } });
    let workers = Workers::start(1, of_epoch(0));
    let of_old = workers.world.own_identity("/api");
    workers.tick();
    assert_eq!(workers.asked(), [ENDPOINT]);
    for changes in [json!({ "version": "without" }), of_epoch(1)] {
        workers.configure(0, changes);
    }
    workers.proxy.change(|state| {
        for (value, _) in state.shared.values_mut() {
            *value = b"junk".to_vec();
        }
    });
    workers.answer_to(1, 0, "200", &bundle(&[&workers.world.own], Some(2)));
    assert_eq!(workers.reason(0, &of_old), "federation.bundle_missing");
    workers.pass(1);
    workers.tick();
    assert_eq!(workers.asked(), [ENDPOINT, ENDPOINT], "it is asked anew");
    workers.answer(0, "200", &bundle(&[&workers.world.own], Some(1)));
    assert_eq!(workers.reason(0, &of_old), "rule.allowed");
}

#[test]
fn lower_sequence_than_the_pin_is_ignored() {
    let world = World::new();
    let pin: Value = serde_json::from_str(&bundle(&[&world.own], Some(5))).unwrap();
    let workers = Workers::start(1, json!({ "bundle": { "inline": pin, "endpoint": endpoint() } }));
    let of_pin = world
        .own
        .issue(Leaf::svid("spiffe://prod.example/api", workers.world.now));
    workers.tick();
    workers.answer(0, "200", &bundle(&[&workers.world.own], Some(4)));
    assert_eq!(workers.counted("svidgate.source_events_total.rollback"), 1);
    assert_eq!(workers.reason(0, &of_pin), "rule.allowed");
}

#[test]
fn pin_that_is_raised_above_what_is_held_takes_its_place() {
    let (workers, worker) = (Workers::start(0, json!({})), Rc::default());
    let next = Authority::of(OWN, workers.world.now);
    let of_next = next.issue(Leaf::svid("spiffe://prod.example/api", workers.world.now));
    let (of_old, endpoint) = (
        workers.world.own_identity("/api"),
        with(endpoint(), json!({ "refresh": "1s" })),
    );
    let held = bundle(&[&workers.world.own], Some(9));
    let first = workers.plugin(&worker, json!({ "bundle": { "inline": null, "endpoint": endpoint } }));
    let reason = |root, identity| {
        workers.proxy.connect(identity);
        workers.proxy.ask("GET", "/", &[]);
        let _ = request(root);
        workers.proxy.reason()
    };
    let answer = |root: &Rc<Plugin<Proxy>>| {
        workers.proxy.change(|state| {
            state.answer = (
                Some(HeaderMap::from_pairs(&[(b":status", b"200")])),
                held.clone().into_bytes(),
            );
        });
        root.on_answer(workers.last_token(), 1, held.len());
    };
    first.tick();
    answer(&first);
    assert_eq!(reason(&first, &of_old), "rule.allowed");
    let pin: Value = serde_json::from_str(&bundle(&[&next], Some(10))).unwrap();
    let raised = workers.plugin(&worker, json!({ "bundle": { "inline": pin, "endpoint": endpoint } }));
    for _ in 0..3 {
        assert_eq!(reason(&raised, &of_old), "svid.bad_signature", "withdrawn by the pin");
        assert_eq!(reason(&raised, &of_next), "rule.allowed");
        workers.pass(60);
        raised.tick();
        answer(&raised);
    }
    assert!(workers.counted("svidgate.source_events_total.rollback") > 0);
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

#[test]
fn new_document_begins_with_what_was_fetched_and_not_with_the_pin() {
    let stolen = World::new();
    let pinned = json!({ "bundle": { "inline": bundle_json(&[&stolen.own]), "endpoint": endpoint() } });
    let workers = Workers::start(1, pinned.clone());
    let of_pin = stolen
        .own
        .issue(Leaf::svid("spiffe://prod.example/api", workers.world.now));
    workers.tick();
    assert_eq!(workers.reason(0, &of_pin), "rule.allowed");
    workers.answer(0, "200", &bundle(&[&workers.world.own], None));
    assert_eq!(workers.reason(0, &of_pin), "svid.bad_signature");
    // Another document, and then a new worker with it: neither waits for a tick of its own.
    let changed = with(pinned, json!({ "version": "next" }));
    for worker in [Rc::clone(&workers.workers[0]), Rc::default()] {
        let root = workers.plugin(&worker, changed.clone());
        workers.proxy.connect(&of_pin);
        assert_eq!(request(&root), Action::Pause);
        assert_eq!(workers.proxy.reason(), "svid.bad_signature");
        workers.proxy.connect(&workers.world.own_identity("/api"));
        assert_eq!(request(&root), Action::Continue);
        workers.roots[0].tick();
    }
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
fn what_is_about_to_end_is_shown_and_told() {
    let now = World::new().now;
    let ends = |hours| (now + SignedDuration::from_hours(hours)).to_string();
    let rules =
        json!([{ "name": "short", "effect": "allow", "from": ["spiffe://prod.example/**"], "expires": ends(48) }]);
    let federation = json!([{ "trust_domain": "partner.example", "expires": ends(12), "owner": "payments",
                              "bundle": { "inline": { "keys": [] } } }]);
    let workers = Workers::start(
        2,
        with(own_endpoint(), json!({ "rules": rules, "federation": federation })),
    );
    workers.tick();
    workers.answer(0, "200", &bundle(&[&workers.world.own], None));
    workers.pass(11);
    workers.tick();
    let gauge = |name: &str| workers.proxy.look(|state| state.gauges.get(name).copied());
    let near = |value: Option<u64>, wanted: u64| value.is_some_and(|value| value.abs_diff(wanted) < 60);
    assert!(near(gauge("svidgate.rule.short.expires_seconds"), 48 * 3600));
    assert!(near(
        gauge("svidgate.trust_domain.partner.example.relationship_expires_seconds"),
        12 * 3600
    ));
    assert!(near(gauge("svidgate.trust_domain.prod.example.bundle_age_seconds"), 11));
    assert!(near(
        gauge("svidgate.trust_domain.prod.example.authority_expires_seconds"),
        3650 * 24 * 3600
    ));
    let lines = |text: &str| {
        workers
            .proxy
            .look(|state| state.log.iter().filter(|line| line.contains(text)).count())
    };
    assert_eq!(lines("rule `short` ends at"), 1);
    assert_eq!(
        lines("the relationship with `partner.example` (owner: payments) ends at"),
        1
    );
    workers.pass(25 * 3600);
    workers.tick();
    workers.pass(11);
    workers.tick();
    assert_eq!(lines("rule `short` ends at"), 2, "a day is left now");
    assert_eq!(
        lines("the relationship with `partner.example` (owner: payments) ended at"),
        1
    );
    assert_eq!(
        gauge("svidgate.trust_domain.partner.example.relationship_expires_seconds"),
        Some(0)
    );
}

/// An issuer of short-lived authorities always has the next one ready, and keeps those that have ended for a while.
#[test]
fn authorities_that_are_renewed_in_time_are_no_alarm_and_the_last_one_is() {
    let workers = Workers::start(
        1,
        json!({ "bundle": { "endpoint": with(endpoint(), json!({ "refresh": "1s" })) }, "max_staleness": "30d" }),
    );
    let start = workers.world.now;
    let of_a_day = |begins: i64| {
        let day = Profile {
            not_before: start + SignedDuration::from_hours(begins),
            not_after: start + SignedDuration::from_hours(begins + 24),
            ..Profile::authority(OWN, start)
        };
        Authority::root(day)
    };
    let lines = |text: &str| {
        workers
            .proxy
            .look(|state| state.log.iter().filter(|line| line.contains(text)).count())
    };
    let gauge = || {
        let name = "svidgate.trust_domain.prod.example.authority_expires_seconds";
        workers
            .proxy
            .look(|state| state.gauges.get(name).copied().unwrap_or_default() / 3600)
    };
    let authorities: Vec<Authority> = (0..6).map(|number| of_a_day(12 * number)).collect();
    for number in 1..6 {
        let published: Vec<&Authority> = authorities[..=number].iter().collect();
        workers.wait_until_asked(workers.asked().len());
        workers.answer(0, "200", &bundle(&published, Some(number as u64)));
        workers.pass(11);
        workers.tick();
        assert!((34..=36).contains(&gauge()), "{}", gauge());
        workers.pass(12 * 3600);
    }
    assert_eq!(lines("authority of `prod.example`"), 0);
    // Nothing comes any more.
    workers.pass(19 * 3600);
    workers.tick();
    workers.pass(11);
    workers.tick();
    assert_eq!(lines("the last authority of `prod.example` ends at"), 1);
    workers.pass(6 * 3600);
    workers.tick();
    workers.pass(11);
    workers.tick();
    assert_eq!(lines("the last authority of `prod.example` ended at"), 1);
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

#[test]
fn document_without_the_source_puts_its_own_bundle_in_place_of_what_was_fetched() {
    let workers = Workers::start(1, own_endpoint());
    workers.tick();
    workers.answer(0, "200", &bundle(&[&workers.world.own], Some(9)));
    let other = World::new();
    let root = workers.plugin(
        &Rc::default(),
        json!({ "bundle": { "inline": bundle_json(&[&other.own]) } }),
    );
    workers.proxy.ask("GET", "/", &[]);
    for (authority, action) in [(&other.own, Action::Continue), (&workers.world.own, Action::Pause)] {
        workers
            .proxy
            .connect(&authority.issue(Leaf::svid("spiffe://prod.example/api", workers.world.now)));
        assert_eq!(request(&root), action);
    }
}

/// What a publisher does wrong is seen in the log: each entry that is not used, with its place and why, and only once.
#[test]
fn keys_of_a_fetched_bundle_that_are_not_used_are_told_one_by_one() {
    let refreshed = with(endpoint(), json!({ "refresh": "1s" }));
    let workers = Workers::start(2, json!({ "bundle": { "endpoint": refreshed } }));
    workers.tick();
    let own = &workers.world.own;
    let cannot_sign = Authority::root(Profile {
        key_usage: Some(vec![KeyUsage::CrlSign]),
        ..Profile::authority(OWN, workers.world.now)
    });
    let mut published = bundle_json(&[own, &cannot_sign, own, own]);
    published["keys"][2].as_object_mut().unwrap().remove("use");
    published["keys"][3]["x5c"] = json!([]);
    let told = |text: &str| {
        let line = format!("bundle of bundles.prod.example/bundle.json of cluster `own_bundle`: {text}");
        workers
            .proxy
            .look(|state| state.log.iter().filter(|known| known.contains(&line)).count())
    };
    let whys = [
        "keys[1]: `x5c[0]`: certificate cannot sign (key usage lacks keyCertSign); the key is not used",
        "keys[2]: `use` is missing (`x509-svid` or `jwt-svid`); the key is not used",
        "keys[3]: `x5c` has no certificate; the key is not used",
    ];
    workers.answer(0, "200", &published.to_string());
    assert_eq!(whys.map(&told), [1, 1, 1]);
    assert!(workers.logged("1 authorities, 3 keys skipped"));
    assert_eq!(workers.reason(0, &workers.world.own_identity("/api")), "rule.allowed");
    // The other worker takes it in without a word, and the same mistakes in the next answer are not news.
    published["spiffe_sequence"] = json!(2);
    published["keys"][3]["x5c"] = json!(["?"]);
    let asked = workers.asked().len();
    workers.wait_until_asked(asked);
    workers.answer(0, "200", &published.to_string());
    assert_eq!(whys.map(&told), [1, 1, 1]);
    assert_eq!(told("keys[3]: `x5c[0]` is not standard base64; the key is not used"), 1);
}

#[test]
fn bundle_with_more_authorities_of_one_name_than_are_tried_is_warned_about() {
    let workers = Workers::start(1, own_endpoint());
    let p521 = || Profile {
        key: Key::generate(KeyKind::P521),
        ..Profile::authority(OWN, workers.world.now)
    };
    let others: Vec<Authority> = (0..13).map(|_| Authority::root(p521())).collect();
    let told =
        "13 authorities have one name; only 12 are tried for a leaf whose authority key identifier names none of them";
    workers.tick();
    workers.answer(0, "200", &bundle(&others[..12].iter().collect::<Vec<_>>(), Some(1)));
    assert!(!workers.logged("authorities have one name"));
    let asked = workers.asked().len();
    workers.wait_until_asked(asked);
    workers.answer(0, "200", &bundle(&others.iter().collect::<Vec<_>>(), Some(2)));
    assert!(workers.logged(told));
    // In a document as well.
    let all = bundle_json(&others.iter().collect::<Vec<_>>());
    let workers = Workers::start(1, json!({ "bundle": { "inline": all } }));
    assert!(workers.logged(&format!("bundle of prod.example: {told}")));
}

#[test]
fn lines_about_a_bundle_are_bounded() {
    let workers = Workers::start(1, own_endpoint());
    workers.tick();
    let keys: Vec<Value> = (0..200).map(|_| json!({ "kty": "EC" })).collect();
    workers.answer(0, "200", &json!({ "keys": keys }).to_string());
    let lines = workers.proxy.look(|state| {
        state
            .log
            .iter()
            .filter(|line| line.contains("`use` is missing"))
            .count()
    });
    assert_eq!(lines, 16);
    assert!(workers.logged("and 184 or more lines like these"));
}
