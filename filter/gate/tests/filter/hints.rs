//! Intermediates that rotate: what one peer's chain has shown helps with leaves that come without theirs.

use std::rc::Rc;

use jiff::SignedDuration;
use serde_json::{Value, json};
use support::{
    ca::{Authority, Extension, Identity, Leaf, Profile, bundle_json},
    world::{OWN, PARTNER, World, with},
};
use svidgate_gate::{identity::hints, plugin::action::Action};
use svidgate_policy::{digest::sha256, trust::chain::MAX_HINTS};

use crate::{
    double::stream,
    workers::{Workers, everyone},
};

const API: &str = "spiffe://prod.example/api";
const BILLING: &str = "spiffe://partner.example/ns/billing/sa/pay";

fn own_xfcc() -> Value {
    json!({ "xfcc": "own", "rules": everyone() })
}

fn issuing(root: &Authority, domain: &str, name: &str, world: &World) -> Authority {
    root.issue_authority(Profile {
        common_name: Some(name.to_owned()),
        ..Profile::authority(domain, world.now)
    })
}

fn leaf(issuer: &Authority, id: &str, world: &World) -> Identity {
    issuer.issue(Leaf::svid(id, world.now))
}

/// What a worker answers a peer whose chain this listener shows.
fn reason_with_chain(workers: &Workers, worker: usize, peer: &Identity) -> String {
    workers.proxy.connect(peer);
    let xfcc = format!(
        "Chain=\"{}\"",
        peer.chain_pem().replace('\n', "%0A").replace(' ', "%20")
    );
    workers
        .proxy
        .ask("GET", "/", &[(b"x-forwarded-client-cert", xfcc.as_bytes())]);
    let filter = stream(&workers.roots[worker], 78);
    let action = filter.on_request_headers();
    filter.on_close();
    let reason = workers.proxy.reason();
    assert_eq!(action == Action::Continue, reason == "rule.allowed", "{reason}");
    reason
}

#[test]
fn intermediate_of_a_verified_path_leads_other_leaves_to_the_same_authority() {
    let workers = Workers::start(1, own_xfcc());
    let world = &workers.world;
    let issuer = issuing(&world.own, OWN, "issuing 1", world);
    let (first, second) = (leaf(&issuer, API, world), leaf(&issuer, API, world));
    assert_eq!(workers.reason(0, &second), "svid.unknown_authority");
    assert_eq!(reason_with_chain(&workers, 0, &first), "rule.allowed");
    // Refused a moment ago, and not for five more seconds: something was learned since.
    assert_eq!(workers.reason(0, &second), "rule.allowed");
    assert_eq!(workers.reason(0, &leaf(&issuer, API, world)), "rule.allowed");
}

/// A hint is no authority: what a path needs is a signature of the bundle's, each time.
#[test]
fn hint_is_never_trusted() {
    let workers = Workers::start(1, own_xfcc());
    let world = &workers.world;
    let issuer = issuing(&world.own, OWN, "issuing 1", world);
    assert_eq!(
        reason_with_chain(&workers, 0, &leaf(&issuer, API, world)),
        "rule.allowed"
    );

    // Of the same name and key id, by another key.
    let forger = Authority::root(Profile {
        common_name: Some("issuing 1".to_owned()),
        ..Profile::authority(OWN, world.now)
    });
    assert_ne!(workers.reason(0, &leaf(&forger, API, world)), "rule.allowed");
    assert_ne!(
        reason_with_chain(&workers, 0, &leaf(&forger, API, world)),
        "rule.allowed"
    );
    // It says of itself that our issuer's key has signed it.
    let liar = forger.issue(Profile {
        authority_key_id: false,
        extensions: vec![Extension::authority_key_id(&issuer.key.id())],
        ..Leaf::svid(API, world.now)
    });
    assert_eq!(workers.reason(0, &liar), "svid.unknown_authority");
    // And what such a chain brought was not remembered.
    assert_ne!(workers.reason(0, &leaf(&forger, API, world)), "rule.allowed");

    // One whose authority is not in the bundle any more.
    let other = Authority::of(OWN, world.now);
    workers.roots[0].leave();
    let changed = workers.plugin(
        &workers.workers[0],
        json!({ "xfcc": "own", "version": "2", "bundle": { "inline": bundle_json(&[&other]) } }),
    );
    workers.proxy.connect(&leaf(&issuer, API, world));
    workers.proxy.ask("GET", "/", &[]);
    stream(&changed, 79).on_request_headers();
    assert_eq!(workers.proxy.reason(), "svid.unknown_authority");
}

#[test]
fn revoked_intermediate_helps_nobody() {
    let workers = Workers::start(1, own_xfcc());
    let world = &workers.world;
    let issuer = issuing(&world.own, OWN, "issuing 1", world);
    assert_eq!(
        reason_with_chain(&workers, 0, &leaf(&issuer, API, world)),
        "rule.allowed"
    );
    let digest = sha256(&issuer.certificate);
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let changed = workers.plugin(
        &workers.workers[0],
        json!({ "xfcc": "own", "version": "2", "revoked": [{ "sha256": digest }] }),
    );
    workers.proxy.connect(&leaf(&issuer, API, world));
    workers.proxy.ask("GET", "/", &[]);
    stream(&changed, 79).on_request_headers();
    assert_ne!(workers.proxy.reason(), "rule.allowed");
}

/// A partner may mint signing certificates with the names of our issuers, as many as it likes.
#[test]
fn what_a_partner_makes_us_remember_is_tried_for_its_own_leaves_alone() {
    let workers = Workers::start(1, own_xfcc());
    let world = &workers.world;
    let ours = issuing(&world.own, OWN, "issuing 1", world);
    assert_eq!(reason_with_chain(&workers, 0, &leaf(&ours, API, world)), "rule.allowed");
    for _ in 0..(MAX_HINTS * 3) {
        let theirs = issuing(&world.partner, PARTNER, "issuing 1", world);
        let peer = leaf(&theirs, BILLING, world);
        assert_eq!(reason_with_chain(&workers, 0, &peer), "rule.allowed");
        // It cannot vouch for ours.
        assert_ne!(workers.reason(0, &leaf(&theirs, API, world)), "rule.allowed");
    }
    assert_eq!(workers.reason(0, &leaf(&ours, API, world)), "rule.allowed");
    // Of theirs the last that stood in a path are known.
    let theirs: Vec<Authority> = (0..=MAX_HINTS)
        .map(|number| issuing(&world.partner, PARTNER, &format!("theirs {number}"), world))
        .collect();
    for issuer in &theirs {
        reason_with_chain(&workers, 0, &leaf(issuer, BILLING, world));
    }
    let known = |issuer: &Authority| workers.reason(0, &leaf(issuer, BILLING, world));
    assert_eq!(known(&theirs[0]), "svid.unknown_authority", "one too many");
    assert!(theirs[1..].iter().all(|issuer| known(issuer) == "rule.allowed"));
}

#[test]
fn hint_is_gone_with_its_not_after() {
    let workers = Workers::start(1, own_xfcc());
    let world = &workers.world;
    let hour = SignedDuration::from_hours(1);
    let short = world.own.issue_authority(Profile {
        common_name: Some("short".to_owned()),
        not_after: world.now + hour,
        ..Profile::authority(OWN, world.now)
    });
    let long_leaf = || {
        short.issue(Profile {
            not_after: world.now + hour + hour,
            ..Leaf::svid(API, world.now)
        })
    };
    assert_eq!(reason_with_chain(&workers, 0, &long_leaf()), "rule.allowed");
    assert_eq!(workers.reason(0, &long_leaf()), "rule.allowed");
    workers.pass(3601);
    workers.tick();
    assert_eq!(workers.reason(0, &long_leaf()), "svid.unknown_authority");
}

/// Each worker meets other peers.
#[test]
fn what_one_worker_has_learned_all_know_a_tick_later_and_nobody_else_can_write_it() {
    let workers = Workers::start(3, own_xfcc());
    let world = &workers.world;
    let issuer = issuing(&world.own, OWN, "issuing 1", world);
    let next = || {
        workers.pass(1);
        workers.tick();
    };
    next();
    next();
    let before = looks(&workers);
    assert_eq!(
        reason_with_chain(&workers, 1, &leaf(&issuer, API, world)),
        "rule.allowed"
    );
    next();
    next();
    for worker in 0..3 {
        assert_eq!(
            workers.reason(worker, &leaf(&issuer, API, world)),
            "rule.allowed",
            "{worker}"
        );
    }
    // Two that learn in one tick both tell.
    let (second, third) = (
        issuing(&world.own, OWN, "issuing 2", world),
        issuing(&world.own, OWN, "issuing 3", world),
    );
    reason_with_chain(&workers, 0, &leaf(&second, API, world));
    reason_with_chain(&workers, 2, &leaf(&third, API, world));
    (0..3).for_each(|_| next());
    for (worker, issuer) in [(1, &second), (1, &third), (0, &third), (2, &second)] {
        assert_eq!(
            workers.reason(worker, &leaf(issuer, API, world)),
            "rule.allowed",
            "{worker}"
        );
    }
    // A tick that brings nothing new costs what it did before.
    next();
    assert_eq!(looks(&workers), before);
}

/// Each has a document of its own, and so shares with nobody, until one gets the other's.
#[test]
fn workers_that_come_to_one_secret_tell_each_other_what_each_had_learned() {
    let mut workers = Workers::start(1, own_xfcc());
    let other = with(own_xfcc(), json!({ "version": "other" }));
    let worker = Rc::default();
    let root = workers.plugin(&worker, other);
    workers.roots.push(root);
    workers.workers.push(worker);
    let world = &workers.world;
    let issuers = ["issuing 1", "issuing 2"].map(|name| issuing(&world.own, OWN, name, world));
    let pass = || {
        for _ in 0..4 {
            workers.pass(1);
            workers.tick();
        }
    };
    pass();
    for (worker, issuer) in issuers.iter().enumerate() {
        assert_eq!(
            reason_with_chain(&workers, worker, &leaf(issuer, API, world)),
            "rule.allowed"
        );
    }
    pass();
    let known = |worker: usize, issuer: &Authority| workers.reason(worker, &leaf(issuer, API, world));
    assert_eq!(
        known(0, &issuers[1]),
        "svid.unknown_authority",
        "they share nothing yet"
    );
    let _both = workers.plugin(&workers.workers[1], own_xfcc());
    pass();
    assert_eq!(known(0, &issuers[1]), "rule.allowed");
    assert_eq!(known(1, &issuers[0]), "rule.allowed");
}

/// How often a worker that has it all looks at what is shared, on a tick that renews no lease.
fn looks(workers: &Workers) -> usize {
    let tick = |_| {
        workers.proxy.take_calls();
        workers.pass(1);
        workers.roots[0].tick();
        let calls = workers.proxy.take_calls();
        calls.iter().filter(|call| *call == "shared_data").count()
    };
    (0..4).map(tick).min().unwrap_or_default()
}

#[test]
fn bounds_are_kept_in_bytes_too() {
    const { assert!(hints::MAX_BYTES >= MAX_HINTS * 2048) };
    let workers = Workers::start(1, own_xfcc());
    let world = &workers.world;
    // 3 KiB each: a name that long is allowed.
    let large = |number: usize| issuing(&world.own, OWN, &format!("{number} {}", "x".repeat(2600)), world);
    let issuers: Vec<Authority> = (0..MAX_HINTS).map(large).collect();
    for issuer in &issuers {
        assert_eq!(
            reason_with_chain(&workers, 0, &leaf(issuer, API, world)),
            "rule.allowed"
        );
    }
    let size = issuers[0].certificate.len();
    assert!(size * MAX_HINTS > hints::MAX_BYTES, "{size}");
    let known = issuers
        .iter()
        .filter(|issuer| workers.reason(0, &leaf(issuer, API, world)) == "rule.allowed");
    assert_eq!(known.count(), hints::MAX_BYTES / size);
}
