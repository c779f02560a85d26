//! Where the peer of a connection without TLS stands: only where the document says, whole or not at all, and for a
//! time.

use std::rc::Rc;

use jiff::SignedDuration;
use serde_json::{Value, json};
use support::{
    ca::{Identity, pem},
    world::{World, with},
};
use svidgate_gate::{plugin::action::Action, stage::Stage, worker::worker::Worker};

use crate::double::{Proxy, connection, request, stream, sweep};

const API: &str = "spiffe://prod.example/api";
const KEY: &str = "filter_state.outer.id";

fn rules() -> Value {
    json!([{ "name": "all", "effect": "allow", "from": [API, "spiffe://partner.example/ns/billing/**"] }])
}

/// The id alone.
fn by_id(world: &World, changes: Value) -> Value {
    let mut document = world.document(rules());
    document.as_object_mut().unwrap().remove("bundle");
    document["federation"][0].as_object_mut().unwrap().remove("bundle");
    let peer = json!({ "filter_state": { "id": "outer.id", "trust_domains": ["partner.example"], "max_connection_age": "60s" } });
    with(with(document, json!({ "peer": peer })), changes)
}

/// The certificate.
fn by_certificate(world: &World) -> Value {
    let peer = json!({ "filter_state": { "certificate": "outer.certificate", "sha256": "outer.sha256" } });
    with(world.document(rules()), json!({ "peer": peer }))
}

/// A new connection without TLS, with this filter state.
fn connect(proxy: &Proxy, states: &[(&str, &[u8])]) {
    proxy.change(|state| {
        state.properties.clear();
        state.filter_state.clear();
        state.set("source.address", b"envoy://internal_client_address/");
        for (name, value) in states {
            state.set(name, value);
        }
    });
    proxy.ask("GET", "/", &[]);
}

fn certificate(peer: &Identity) -> (Vec<u8>, Vec<u8>) {
    let pem = pem("CERTIFICATE", &peer.leaf);
    let encoded = pem.replace(' ', "%20").replace('\n', "%0A");
    (encoded.into_bytes(), peer.leaf_sha256().into_bytes())
}

fn record(proxy: &Proxy) -> Value {
    let field = proxy.look(|state| state.filter_state["svidgate"].clone());
    serde_json::from_str(&field).unwrap()
}

#[test]
fn id_that_the_proxy_vouches_for_is_decided_on_and_the_record_says_on_what_evidence() {
    let world = World::new();
    let proxy = Proxy::at(&world);
    let root = proxy.plugin(Stage::Request, &by_id(&world, json!({})), &Rc::default());
    connect(&proxy, &[(KEY, API.as_bytes())]);
    assert_eq!(request(&root), Action::Continue);
    assert_eq!(
        record(&proxy),
        json!({ "id": API, "evidence": "proxy", "decision": "allow", "reason": "rule.allowed", "rule": "all", "version": "test" })
    );
}

#[test]
fn filter_state_that_is_not_one_id_of_a_known_workload_is_refused() {
    let world = World::new();
    let revoked = json!({ "revoked": [{ "id": "spiffe://prod.example/old" }] });
    let cases: [(&[u8], &str); 13] = [
        (b"", "svid.no_uri_san"),
        (b"-", "svid.no_uri_san"),
        (
            b"spiffe://prod.example/api,spiffe://prod.example/api",
            "svid.multiple_uri_sans",
        ),
        (b"spiffe://prod.example/api,", "svid.multiple_uri_sans"),
        (
            b"https://x.example/a,spiffe://prod.example/api",
            "svid.multiple_uri_sans",
        ),
        (b" spiffe://prod.example/api", "svid.invalid_id"),
        (b"spiffe://prod.example/api\n", "svid.invalid_id"),
        (b"spiffe://prod.example/\xff", "svid.invalid_id"),
        (b"spiffe://prod.example", "svid.root_path"),
        (b"spiffe://prod.example/other", "rule.none_matched"),
        (b"spiffe://prod.example/old", "svid.revoked"),
        (b"spiffe://stranger.example/api", "federation.unknown_trust_domain"),
        (b"spiffe://partner.example/ns/research", "federation.out_of_scope"),
    ];
    for (value, reason) in cases {
        let proxy = Proxy::at(&world);
        let root = proxy.plugin(Stage::Request, &by_id(&world, revoked.clone()), &Rc::default());
        connect(&proxy, &[(KEY, value)]);
        assert_eq!(request(&root), Action::Pause, "{reason}");
        assert_eq!(proxy.reason(), reason);
    }
}

#[test]
fn certificate_that_another_listener_shares_is_verified_in_full() {
    let world = World::new();
    let proxy = Proxy::at(&world);
    let root = proxy.plugin(Stage::Request, &by_certificate(&world), &Rc::default());
    let ask = |pem: &[u8], sha256: &[u8]| {
        connect(
            &proxy,
            &[
                ("filter_state.outer.certificate", pem),
                ("filter_state.outer.sha256", sha256),
            ],
        );
        request(&root);
        proxy.reason()
    };
    let (pem, sha256) = certificate(&world.own_identity("/api"));
    let (other, other_sha256) = certificate(&world.own_identity("/other"));
    let forged = world.partner.issue(support::ca::Leaf::svid(API, world.now));
    let (forged, forged_sha256) = certificate(&forged);
    assert_eq!(ask(&pem, &sha256), "rule.allowed");
    assert_eq!(
        record(&proxy)["evidence"],
        Value::Null,
        "it is a certificate as any other"
    );
    assert_eq!(ask(&other, &other_sha256), "rule.none_matched");
    assert_eq!(ask(&forged, &forged_sha256), "svid.unknown_authority");
    // The first is remembered, so this is about one that is not.
    let (third, _) = certificate(&world.own_identity("/api"));
    assert_eq!(
        ask(&third, &forged_sha256.iter().rev().copied().collect::<Vec<u8>>()),
        "connection.certificate_mismatch"
    );
    assert_eq!(ask(&third, b"-"), "connection.certificate_unreadable");
    connect(
        &proxy,
        &[("filter_state.outer.sha256", &certificate(&world.own_identity("/api")).1)],
    );
    request(&root);
    assert_eq!(proxy.reason(), "connection.plaintext", "without the certificate");
}

/// Neither what a client sends nor what another listener shares is looked at where the document does not say so.
#[test]
fn filter_state_is_never_read_unless_the_document_says_so_and_never_beside_tls() {
    let world = World::new();
    let (pem, sha256) = certificate(&world.own_identity("/api"));
    let states: [(&str, &[u8]); 4] = [
        (KEY, API.as_bytes()),
        ("filter_state.outer.certificate", &pem),
        ("filter_state.outer.sha256", &sha256),
        ("filter_state.svidgate.peer_certificate", &pem),
    ];
    let proxy = Proxy::at(&world);
    let root = proxy.plugin(Stage::Request, &world.document(rules()), &Rc::default());
    connect(&proxy, &states);
    proxy.take_calls();
    assert_eq!(request(&root), Action::Pause);
    assert_eq!(proxy.reason(), "connection.plaintext");
    let read = proxy.take_calls();
    assert!(!read.iter().any(|call| call.contains("filter_state.")), "{read:?}");

    for document in [by_id(&world, json!({})), by_certificate(&world)] {
        let proxy = Proxy::at(&world);
        let root = proxy.plugin(Stage::Request, &document, &Rc::default());
        connect(&proxy, &states);
        proxy.change(|state| state.set("connection.tls_version", b"TLSv1.3"));
        assert_eq!(request(&root), Action::Pause);
        assert_eq!(proxy.reason(), "connection.no_certificate");
        // A peer with TLS is who its certificate says.
        proxy.connect(&world.own_identity("/other"));
        proxy.change(|state| states.iter().for_each(|(name, value)| state.set(name, value)));
        assert_eq!(request(&root), Action::Pause);
        let expected = if document["bundle"].is_null() {
            "federation.bundle_missing"
        } else {
            "rule.none_matched"
        };
        assert_eq!(proxy.reason(), expected);
    }
}

#[test]
fn connection_whose_peer_has_no_certificate_ends_with_its_time() {
    let world = World::new();
    let (proxy, worker): (Proxy, Rc<Worker>) = (Proxy::at(&world), Rc::default());
    let root = proxy.plugin(Stage::Request, &by_id(&world, json!({})), &worker);
    connect(&proxy, &[(KEY, API.as_bytes())]);
    let under_way = stream(&root, 1000);
    assert_eq!(under_way.on_request_headers(), Action::Continue);
    let later = |seconds| {
        proxy.change(|state| state.now = world.now + SignedDuration::from_secs(seconds));
        sweep(&proxy, &[&root]);
    };
    later(54);
    assert_eq!(request(&root), Action::Continue);
    assert!(!proxy.look(|state| state.filter_state.contains_key("svidgate.drain")));
    // Another filter may drain the connection now.
    later(55);
    assert_eq!(request(&root), Action::Continue);
    assert!(proxy.look(|state| state.filter_state.contains_key("svidgate.drain")));
    later(59);
    assert_eq!(proxy.look(|state| state.responses.len()), 0);
    later(60);
    assert_eq!(
        proxy.look(|state| state.responses.last().cloned()),
        Some((403, "svidgate_connection.too_old".to_owned(), 7))
    );
    assert_eq!(record(&proxy)["cut"], true);
    assert_eq!(request(&root), Action::Pause);
    assert_eq!(proxy.reason(), "connection.too_old");
    // It connects again.
    connect(&proxy, &[(KEY, API.as_bytes())]);
    assert_eq!(request(&root), Action::Continue);
}

/// As a module might set it forward, which writes under our key.
#[test]
fn clock_that_is_set_back_lets_a_connection_be_open_for_its_age_and_no_longer() {
    let world = World::new();
    let (proxy, worker): (Proxy, Rc<Worker>) = (Proxy::at(&world), Rc::default());
    let root = proxy.plugin(Stage::Request, &by_id(&world, json!({})), &worker);
    connect(&proxy, &[(KEY, API.as_bytes())]);
    let under_way = stream(&root, 1000);
    assert_eq!(under_way.on_request_headers(), Action::Continue);
    let at = |seconds| {
        proxy.change(|state| state.now = world.now + SignedDuration::from_secs(seconds));
        sweep(&proxy, &[&root]);
        request(&root)
    };
    assert_eq!(at(-3600), Action::Continue);
    assert_eq!(at(-3541), Action::Continue);
    assert_eq!(proxy.look(|state| state.responses.len()), 0);
    assert_eq!(at(-3539), Action::Pause);
    assert_eq!(proxy.reason(), "connection.too_old");
    assert!(proxy.look(|state| state.answered.contains(&1000)), "what was under way");
}

#[test]
fn network_filter_closes_a_connection_whose_time_is_over() {
    let world = World::new();
    let (proxy, worker): (Proxy, Rc<Worker>) = (Proxy::at(&world), Rc::default());
    let root = proxy.plugin(Stage::Connection, &by_id(&world, json!({})), &worker);
    connect(&proxy, &[(KEY, API.as_bytes())]);
    let filter = connection(&root, 10);
    filter.on_new_connection();
    assert_eq!(filter.on_downstream_data(1), Action::Continue);
    for (seconds, closed) in [(58, 0), (61, 1)] {
        proxy.change(|state| state.now = world.now + SignedDuration::from_secs(seconds));
        sweep(&proxy, &[&root]);
        assert_eq!(proxy.look(|state| state.closed.len()), closed, "{seconds}");
    }
}

/// It would be new for ever.
#[test]
fn proxy_that_cannot_keep_the_age_of_a_connection_gets_no_document_with_ids_alone() {
    let world = World::new();
    let proxy = Proxy::at(&world);
    let root = proxy.unconfigured(Stage::Request, &Rc::default());
    proxy.change(|state| {
        state.failing = vec!["declare_connection_state"];
        state.configuration = by_id(&world, json!({})).to_string().into_bytes();
    });
    assert!(!root.configure());
    assert!(proxy.look(|state| state.log.last().unwrap().contains("no `declare_property`")));
    proxy.change(|state| state.configuration = by_certificate(&world).to_string().into_bytes());
    assert!(root.configure());

    let proxy = Proxy::at(&world);
    let root = proxy.plugin(Stage::Request, &by_id(&world, json!({})), &Rc::default());
    connect(&proxy, &[(KEY, API.as_bytes())]);
    proxy.change(|state| state.failing = vec!["set_filter_state"]);
    assert_eq!(request(&root), Action::Pause);
}

/// A stream under way pleases the newest document, which says itself where its peer stands.
#[test]
fn document_that_does_not_take_the_evidence_ends_what_began_on_it() {
    let world = World::new();
    let (pem, sha256) = certificate(&world.own_identity("/api"));
    let states: [(&str, &[u8]); 3] = [
        (KEY, API.as_bytes()),
        ("filter_state.outer.certificate", &pem),
        ("filter_state.outer.sha256", &sha256),
    ];
    let elsewhere = json!({ "peer": { "filter_state": { "id": "outer.other" } } });
    let mut other_key = with(
        by_id(&world, elsewhere),
        json!({ "rules": [{ "name": "all", "effect": "allow", "from": [API] }] }),
    );
    other_key.as_object_mut().unwrap().remove("federation");
    let ends = |first: &Value, second: &Value| {
        let (proxy, worker): (Proxy, Rc<Worker>) = (Proxy::at(&world), Rc::default());
        let old = proxy.plugin(Stage::Request, first, &worker);
        connect(&proxy, &states);
        assert_eq!(stream(&old, 1000).on_request_headers(), Action::Continue);
        let new = proxy.plugin(Stage::Request, second, &worker);
        proxy.change(|state| state.now += SignedDuration::from_secs(1));
        sweep(&proxy, &[&old, &new]);
        let end = proxy.look(|state| state.responses.last().map(|(_, details, _)| details.clone()));
        end.unwrap_or_else(|| "goes on".to_owned())
    };
    let (id, certificate, plain) = (
        by_id(&world, json!({})),
        by_certificate(&world),
        world.document(rules()),
    );
    let renamed = |document: &Value| with(document.clone(), json!({ "version": "2" }));
    assert_eq!(ends(&id, &renamed(&id)), "goes on");
    assert_eq!(ends(&certificate, &renamed(&certificate)), "goes on");
    assert_eq!(ends(&id, &certificate), "goes on", "the certificate is there, too");
    assert_eq!(ends(&certificate, &id), "goes on", "and so is the id");
    assert_eq!(ends(&id, &plain), "svidgate_connection.plaintext");
    assert_eq!(ends(&certificate, &plain), "svidgate_connection.plaintext");
    assert_eq!(ends(&id, &other_key), "svidgate_connection.plaintext");
}

/// Another filter in front may have held the connection until its first bytes, and no handshake tells of it.
#[test]
fn connection_of_an_inner_listener_is_not_held_in_front_of_http() {
    let world = World::new();
    let (pem, sha256) = certificate(&world.own_identity("/api"));
    let states: [(&str, &[u8]); 3] = [
        (KEY, API.as_bytes()),
        ("filter_state.outer.certificate", &pem),
        ("filter_state.outer.sha256", &sha256),
    ];
    for document in [by_id(&world, json!({})), by_certificate(&world)] {
        let proxy = Proxy::at(&world);
        let root = proxy.plugin(Stage::Connection, &document, &Rc::default());
        connect(&proxy, &states);
        let filter = connection(&root, 10);
        assert_eq!(filter.on_new_connection(), Action::Continue);
        assert_eq!(filter.on_downstream_data(1), Action::Continue);
        connect(&proxy, &[]);
        let filter = connection(&root, 11);
        assert_eq!(
            filter.on_new_connection(),
            Action::Continue,
            "decided by its first bytes"
        );
        assert_eq!(filter.on_downstream_data(1), Action::Pause);
        assert_eq!(proxy.look(|state| state.closed.len()), 1);
        // It is no less closed where it stays silent.
        connect(&proxy, &states);
        let filter = connection(&root, 12);
        assert_eq!(filter.on_new_connection(), Action::Continue);
        proxy.change(|state| state.now += SignedDuration::from_secs(10));
        sweep(&proxy, &[&root]);
        assert_eq!(proxy.look(|state| state.closed.clone()).last(), Some(&12));
    }
}

/// Only the chain of a handshake of its own comes with a request.
#[test]
fn shared_leaf_whose_issuer_is_not_at_hand_is_refused_and_not_left_to_a_request() {
    let world = World::new();
    let (proxy, worker): (Proxy, Rc<Worker>) = (Proxy::at(&world), Rc::default());
    let document = with(by_certificate(&world), json!({ "xfcc": "own", "mark_passed": true }));
    let connections = proxy.plugin(Stage::Connection, &document, &worker);
    let _requests = proxy.plugin(Stage::Request, &document, &worker);
    let issuer = world.own.issue_authority(support::ca::Profile {
        common_name: Some("issuing".to_owned()),
        ..support::ca::Profile::authority("prod.example", world.now)
    });
    let (pem, sha256) = certificate(&issuer.issue(support::ca::Leaf::svid(API, world.now)));
    let states: [(&str, &[u8]); 2] = [
        ("filter_state.outer.certificate", &pem),
        ("filter_state.outer.sha256", &sha256),
    ];
    connect(&proxy, &states);
    proxy.change(|state| state.set("connection.id", &7_u64.to_le_bytes()));
    let filter = connection(&connections, 10);
    filter.on_new_connection();
    assert_eq!(filter.on_downstream_data(1), Action::Pause);
    assert_eq!(proxy.reason(), "svid.unknown_authority");
}
