//! What the filter remembers, for how long, and that peers cannot make it remember too much or the wrong thing.

use std::{rc::Rc, sync::Arc};

use jiff::SignedDuration;
use serde_json::json;
use support::{
    ca::{Authority, Identity, Leaf, Profile, bundle_json, pem},
    world::{World, with},
};
use svidgate_gate::{
    identity::{
        cache::{MAX_IDENTITIES, REFUSAL_LIFETIME},
        gate::Gate,
        hints::Hints,
    },
    ledger::Ledger,
    peer::said::Lines,
    plugin::action::Action,
    stage::Stage,
};
use svidgate_policy::{Configuration, Format, Reason, digest::sha256};

use crate::double::{Proxy, accept, connection, request, sweep};

fn everyone() -> serde_json::Value {
    json!([{ "name": "all", "effect": "allow", "from": ["spiffe://prod.example/**"] }])
}

#[test]
fn identity_that_expires_while_remembered_is_refused() {
    let world = World::new();
    let proxy = Proxy::at(&world);
    let root = proxy.plugin(Stage::Request, &world.document(everyone()), &Rc::default());
    proxy.connect(&world.own_identity("/api"));
    proxy.ask("GET", "/", &[]);
    assert_eq!(request(&root), Action::Continue);
    // SVIDs of the test authority are valid for one hour.
    proxy.change(|state| state.now = world.now + SignedDuration::from_hours(1));
    root.tick();
    assert_eq!(request(&root), Action::Continue, "the last second counts");
    proxy.change(|state| state.now = world.now + SignedDuration::from_hours(1) + SignedDuration::from_secs(1));
    root.tick();
    assert_eq!(request(&root), Action::Pause);
    assert_eq!(proxy.reason(), "svid.expired");
}

#[test]
fn svid_younger_than_the_last_tick_is_accepted() {
    let world = World::new();
    let proxy = Proxy::at(&world);
    let root = proxy.plugin(Stage::Request, &world.document(everyone()), &Rc::default());
    let newborn = Leaf {
        not_before: world.now + SignedDuration::from_secs(1),
        ..Leaf::svid("spiffe://prod.example/new", world.now)
    };
    proxy.connect(&world.own.issue(newborn));
    proxy.ask("GET", "/", &[]);
    // The clock has gone on; the tick has not come yet.
    proxy.change(|state| state.now = world.now + SignedDuration::from_secs(1));
    assert_eq!(request(&root), Action::Continue);
}

#[test]
fn refusal_is_remembered_for_seconds_only() {
    let world = World::new();
    let proxy = Proxy::at(&world);
    let root = proxy.plugin(Stage::Request, &world.document(everyone()), &Rc::default());
    let early = Leaf {
        not_before: world.now + SignedDuration::from_secs(30),
        ..Leaf::svid("spiffe://prod.example/early", world.now)
    };
    proxy.connect(&world.own.issue(early));
    proxy.ask("GET", "/", &[]);
    assert_eq!(request(&root), Action::Pause);
    assert_eq!(proxy.reason(), "svid.not_yet_valid");
    proxy.take_calls();
    assert_eq!(request(&root), Action::Pause);
    assert!(
        !proxy
            .take_calls()
            .contains(&"property connection.peer_certificate".to_owned()),
        "it was looked at again"
    );
    proxy.change(|state| state.now = world.now + REFUSAL_LIFETIME);
    root.tick();
    assert_eq!(request(&root), Action::Pause);
    assert!(
        proxy
            .take_calls()
            .contains(&"property connection.peer_certificate".to_owned()),
        "it was not looked at again"
    );
}

/// Time ends a refusal in its second, whatever is remembered and whenever the tick comes.
#[test]
fn refusal_that_time_ends_is_over_in_that_second() {
    let world = World::new();
    let soon = world.now + SignedDuration::from_secs(2);
    let young = Leaf {
        not_before: soon,
        ..Leaf::svid("spiffe://prod.example/young", world.now)
    };
    let next = Authority::root(Profile {
        not_before: soon,
        ..Profile::authority("prod.example", world.now)
    });
    let by_next = next.issue(Leaf::svid("spiffe://prod.example/api", world.now));
    let revoked = json!([{ "id": "spiffe://prod.example/api", "until": soon.to_string() }]);
    let bundle = json!({ "bundle": { "inline": bundle_json(&[&world.own, &next]) } });
    let cases = [
        ("svid.not_yet_valid", world.own.issue(young), json!({})),
        ("svid.bad_signature", by_next, bundle),
        (
            "svid.revoked",
            world.own_identity("/api"),
            json!({ "revoked": revoked }),
        ),
    ];
    for (reason, peer, changes) in cases {
        let proxy = Proxy::at(&world);
        let root = proxy.plugin(
            Stage::Request,
            &with(world.document(everyone()), changes),
            &Rc::default(),
        );
        proxy.connect(&peer);
        proxy.ask("GET", "/", &[]);
        for _ in 0..2 {
            assert_eq!(request(&root), Action::Pause, "{reason}");
            assert_eq!(proxy.reason(), reason);
        }
        proxy.change(|state| state.now = soon - SignedDuration::from_millis(1));
        assert_eq!(request(&root), Action::Pause, "{reason}");
        proxy.change(|state| state.now = soon);
        assert_eq!(request(&root), Action::Continue, "{reason}");
    }
}

/// One document may stand at two listeners, of which only one shows the certificate.
#[test]
fn certificate_that_could_not_be_found_is_looked_for_again() {
    let world = World::new();
    let proxy = Proxy::at(&world);
    let root = proxy.plugin(Stage::Request, &world.document(everyone()), &Rc::default());
    let peer = world.own_identity("/api");
    proxy.connect(&peer);
    proxy.ask("GET", "/", &[]);
    proxy.change(|state| drop(state.properties.remove("connection.peer_certificate")));
    assert_eq!(request(&root), Action::Pause);
    assert_eq!(proxy.reason(), "connection.certificate_unreadable");
    proxy.connect(&peer);
    assert_eq!(request(&root), Action::Continue);
}

/// What a proxy writes into `x-forwarded-client-cert` of a peer.
pub(crate) fn forwarded(peer: &Identity) -> Vec<u8> {
    let escaped = |pem: String| {
        pem.replace('\n', "%0A")
            .replace(' ', "%20")
            .replace('+', "%2B")
            .replace('=', "%3D")
            .replace('/', "%2F")
    };
    let chain: String = peer.chain().iter().map(|der| pem("CERTIFICATE", der)).collect();
    format!("Cert=\"{}\";Chain=\"{}\"", escaped(peer.leaf_pem()), escaped(chain)).into_bytes()
}

/// What is under way goes on when its path is revoked and the peer has shown another; what leads nowhere is not kept.
#[test]
fn identity_whose_path_is_revoked_stands_by_another_that_it_came_with() {
    let world = World::new();
    let profile = |name: &str| Profile {
        common_name: Some(name.to_owned()),
        ..Profile::authority("prod.example", world.now)
    };
    let second = Authority::root(profile("second"));
    let issuer = profile("issuer");
    let (by_own, by_second) = (
        world.own.issue_authority(issuer.clone()),
        second.issue_authority(issuer),
    );
    let stranger = Authority::root(profile("stranger"));
    let peer = Identity {
        intermediates: [&by_own, &by_second, &stranger]
            .map(|one| one.certificate.clone())
            .to_vec(),
        ..by_own.issue(Leaf::svid("spiffe://prod.example/api", world.now))
    };
    let gate = |revoked: &serde_json::Value| {
        let both = json!({ "inline": bundle_json(&[&world.own, &second]) });
        let changes = json!({ "xfcc": "own", "bundle": both, "revoked": revoked });
        let document = with(world.document(everyone()), changes).to_string();
        let compiled = Configuration::compile(document.as_bytes(), Format::Json).expect("a document");
        Gate::new(Arc::new(compiled), None, Ledger::default(), Hints::default())
    };
    let proxy = Proxy::at(&world);
    proxy.connect(&peer);
    let known = gate(&json!([]))
        .identify(&proxy, world.now, Lines::One(&forwarded(&peer)))
        .expect("an identity");
    assert_eq!(
        known.presented.as_ref().unwrap().intermediates.len(),
        2,
        "the stranger's is not kept"
    );
    let revoking = |one: &Authority| json!({ "sha256": hex(&sha256(&one.certificate)) });
    for revoked in [json!([revoking(&by_own)]), json!([revoking(&by_second)])] {
        assert!(gate(&revoked).identify_again(&proxy, &known, world.now).is_ok());
    }
    let refused = gate(&json!([revoking(&by_own), revoking(&by_second)])).identify_again(&proxy, &known, world.now);
    assert_eq!(refused.unwrap_err().reason, Reason::SvidRevoked);
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn refusal_without_a_chain_does_not_stand_against_one_with_it() {
    let world = World::new();
    let proxy = Proxy::at(&world);
    let document = with(world.document(everyone()), json!({ "xfcc": "own" }));
    let root = proxy.plugin(Stage::Request, &document, &Rc::default());
    let below = world
        .own
        .issue_authority(support::ca::Profile::authority("prod.example", world.now));
    let peer = below.issue(Leaf::svid("spiffe://prod.example/deep", world.now));
    proxy.connect(&peer);
    proxy.ask("GET", "/", &[]);
    assert_eq!(request(&root), Action::Pause);
    proxy.ask("GET", "/", &[(b"x-forwarded-client-cert", &forwarded(&peer))]);
    assert_eq!(
        request(&root),
        Action::Continue,
        "{:?}",
        proxy.look(|state| state.log.clone())
    );
    assert_eq!(proxy.look(|state| state.removed.clone()), ["x-forwarded-client-cert"]);
}

#[test]
fn flood_of_bad_certificates_pushes_out_no_good_peer() {
    let world = World::new();
    let proxy = Proxy::at(&world);
    let root = proxy.plugin(Stage::Request, &world.document(everyone()), &Rc::default());
    let good = world.own_identity("/api");
    proxy.connect(&good);
    proxy.ask("GET", "/", &[]);
    assert_eq!(request(&root), Action::Continue);
    for n in 0..(MAX_IDENTITIES + 1) {
        // A digest of its own is all that a flood needs.
        proxy.change(|state| {
            state.set(
                "connection.sha256_peer_certificate_digest",
                format!("{n:064x}").as_bytes(),
            );
        });
        assert_eq!(request(&root), Action::Pause);
    }
    proxy.connect(&good);
    proxy.take_calls();
    assert_eq!(request(&root), Action::Continue);
    assert_eq!(proxy.take_calls().len(), 3);
}

#[test]
fn certificate_of_another_handshake_is_refused() {
    let world = World::new();
    let proxy = Proxy::at(&world);
    let root = proxy.plugin(Stage::Request, &world.document(everyone()), &Rc::default());
    proxy.connect(&world.own_identity("/api"));
    let other = Authority::of("prod.example", world.now).issue(Leaf::svid("spiffe://prod.example/x", world.now));
    proxy.change(|state| {
        state.set(
            "connection.sha256_peer_certificate_digest",
            other.leaf_sha256().as_bytes(),
        )
    });
    proxy.ask("GET", "/", &[]);
    assert_eq!(request(&root), Action::Pause);
    assert_eq!(proxy.reason(), "connection.certificate_mismatch");
}

#[test]
fn silent_connection_is_closed_when_its_time_is_over_and_only_then() {
    let world = World::new();
    let proxy = Proxy::at(&world);
    let document = with(world.document(everyone()), json!({ "first_bytes_timeout": "5s" }));
    let root = proxy.plugin(Stage::Connection, &document, &Rc::default());
    proxy.connect(&world.own_identity("/api"));
    let held = [10, 11, 12, 13].map(|context| connection(&root, context));
    for connection in &held {
        assert_eq!(accept(&proxy, connection), Action::Pause);
    }
    // One speaks, one goes away by itself, one is gone without a word to us.
    held[0].on_downstream_data(1);
    held[1].on_close();
    proxy.change(|state| {
        state.gone = vec![12];
        state.now = world.now + SignedDuration::from_secs(4);
    });
    sweep(&proxy, &[&root]);
    assert_eq!(proxy.look(|state| state.closed.clone()), [0; 0]);
    proxy.change(|state| state.now = world.now + SignedDuration::from_secs(5));
    sweep(&proxy, &[&root]);
    assert_eq!(proxy.look(|state| state.closed.clone()), [13]);
    assert_eq!(proxy.reason(), "connection.silent");
    let line = proxy.look(|state| state.log.last().cloned()).unwrap();
    assert!(
        line.contains("of accepting the connection, the handshake included"),
        "{line}"
    );
    assert_eq!(proxy.look(|state| state.effective), 1, "calls go to the root again");
    sweep(&proxy, &[&root]);
    assert_eq!(proxy.look(|state| state.closed.clone()), [13]);
}
