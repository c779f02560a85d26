//! What is told of bundles: what is about to end, and what their publisher has to mend.

use jiff::SignedDuration;
use serde_json::{Value, json};
use support::{
    ca::{Authority, Key, KeyKind, KeyUsage, Profile, bundle_json},
    world::{OWN, World, with},
};

use crate::workers::{Workers, bundle, endpoint, own_endpoint};

#[test]
fn what_is_about_to_end_is_shown_and_told() {
    let now = World::new().now;
    let ends = |hours| (now + SignedDuration::from_hours(hours)).to_string();
    let rules =
        json!([{ "name": "short", "effect": "allow", "from": ["spiffe://prod.example/**"], "expires": ends(48) }]);
    let federation = json!([{ "trust_domain": "partner.example", "expires": ends(12), "owner": "payments",
                              "bundle": { "inline": { "keys": [] } } }]);
    let mut rules = rules;
    rules.as_array_mut().unwrap().push(
        json!({ "name": "brought", "effect": "allow", "from": ["spiffe://prod.example/**"],
                                               "via": ["edge"] }),
    );
    let hops = json!([{ "name": "edge", "peers": ["spiffe://prod.example/edge"], "callers": ["spiffe://prod.example/ns/**"],
                        "assertion": "client_cert", "expires": ends(12), "owner": "edge team" }]);
    let workers = Workers::start(
        2,
        with(
            own_endpoint(),
            json!({ "rules": rules, "hops": hops, "federation": federation }),
        ),
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
    assert!(near(gauge("svidgate.hop.edge.expires_seconds"), 12 * 3600));
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
    assert_eq!(lines("hop `edge` (owner: edge team) ends at"), 1);
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
    assert_eq!(lines("hop `edge` (owner: edge team) ended at"), 1);
    assert_eq!(gauge("svidgate.hop.edge.expires_seconds"), Some(0));
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
