//! What the filter remembers, for how long, and that peers cannot make it remember too much or the wrong thing.

use std::rc::Rc;

use jiff::SignedDuration;
use serde_json::json;
use support::{
    ca::{Authority, Leaf, pem},
    world::{World, with},
};
use svidgate::{
    connection::Action,
    identities::{MAX_IDENTITIES, REFUSAL_LIFETIME},
    record::Stage,
};

use crate::double::{Proxy, connection, request, sweep};

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
        not_before: world.now + SignedDuration::from_secs(3),
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
    assert_eq!(request(&root), Action::Continue);
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
    let escaped = |pem: String| {
        pem.replace('\n', "%0A")
            .replace(' ', "%20")
            .replace('+', "%2B")
            .replace('=', "%3D")
            .replace('/', "%2F")
    };
    let chain: String = peer.chain().iter().map(|der| pem("CERTIFICATE", der)).collect();
    let header = format!("Cert=\"{}\";Chain=\"{}\"", escaped(peer.leaf_pem()), escaped(chain));
    proxy.ask("GET", "/", &[(b"x-forwarded-client-cert", header.as_bytes())]);
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
        assert_eq!(connection.on_new_connection(), Action::Pause);
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
