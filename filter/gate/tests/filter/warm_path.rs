//! What a request costs in calls to the proxy, each of which costs as much as the decision itself.

use std::{hint::black_box, rc::Rc, sync::Arc, time::Instant};

use serde_json::{Value, json};
use support::world::{World, with};
use svidgate_gate::{
    identity::{cache::Identities, gate::Gate},
    peer::{presented::Digest, said::Lines},
    plugin::action::Action,
    refusal::Refusal,
    stage::Stage,
    worker::worker::Worker,
};
use svidgate_policy::{Configuration, Format, Reason, Timestamp, digest::sha256};

use crate::double::{Proxy, accept, connection, request};

fn rules() -> Value {
    json!([{
        "name": "api-reads", "effect": "allow", "from": ["spiffe://prod.example/api"],
        "to": [{ "methods": ["GET"], "paths": ["/a/**"] }],
    }])
}

#[test]
fn allowed_request_of_a_known_peer_costs_three_calls() {
    let world = World::new();
    let proxy = Proxy::at(&world);
    let root = proxy.plugin(Stage::Request, &world.document(rules()), &Rc::default());
    proxy.connect(&world.own_identity("/api"));
    proxy.ask("GET", "/a/b", &[(b"accept", b"*/*")]);
    assert_eq!(request(&root), Action::Continue);
    let cold = proxy.take_calls();
    assert!(
        cold.contains(&"property connection.peer_certificate".to_owned()),
        "{cold:?}"
    );

    assert_eq!(request(&root), Action::Continue);
    assert_eq!(
        proxy.take_calls(),
        [
            "request_headers",
            "property connection.sha256_peer_certificate_digest",
            "set_filter_state"
        ]
    );
}

/// The header has all certificates of the peer, and their digest costs more than the decision. Only of a leaf that was
/// refused is it asked for: with other certificates beside it, it may have a path.
#[test]
fn certificates_of_a_known_peer_are_not_hashed_and_those_of_a_refused_one_are() {
    let world = World::new();
    let proxy = Proxy::at(&world);
    let peer = world.own_identity("/api");
    proxy.connect(&peer);
    let document = world.document(rules()).to_string();
    let gate = Gate::new(
        Arc::new(Configuration::compile(document.as_bytes(), Format::Json).expect("a document")),
        None,
        svidgate_gate::ledger::Ledger::default(),
        svidgate_gate::identity::hints::Hints::default(),
    );
    let known = gate.identify(&proxy, world.now, Lines::Absent).expect("an identity");
    let shown = known.evidence.clone();
    let mut identities = Identities::default();
    let unasked = || -> Option<Digest> { panic!("the certificates were hashed") };
    let unlooked = || -> Timestamp { panic!("the clock was looked at") };
    assert!(identities.recall(&shown, unasked, unlooked).is_none(), "nobody yet");
    identities.keep(known);
    assert!(identities.recall(&shown, unasked, unlooked).unwrap().is_ok());

    let refusal = Rc::new(Refusal {
        reason: Reason::SvidUnknownAuthority,
        detail: String::new(),
        claimed: None,
        changes: None,
        for_want_of_issuer: None,
        brought: None,
    });
    identities.keep_refusal(shown.clone(), Some([1; 32]), refusal, world.now);
    let clock = || world.now;
    assert!(identities.recall(&shown, || Some([1; 32]), clock).unwrap().is_err());
    assert!(identities.recall(&shown, || Some([2; 32]), clock).is_none());

    // The gate does not ask before it has to, either.
    let xfcc = vec![b'x'; 1 << 24];
    let fastest = |act: &dyn Fn()| {
        let times = (0..10).map(|_| {
            let began = Instant::now();
            act();
            began.elapsed()
        });
        times.min().expect("ten times")
    };
    let hashed = fastest(&|| {
        black_box(sha256(black_box(&xfcc)));
    });
    let identified = fastest(&|| {
        gate.identify(&proxy, world.now, Lines::One(&xfcc))
            .expect("an identity");
    });
    assert!(
        identified < hashed / 10,
        "{identified:?}, and a digest alone takes {hashed:?}"
    );
}

#[test]
fn allowed_request_without_an_access_log_field_costs_two_calls() {
    let world = World::new();
    let proxy = Proxy::at(&world);
    let document = with(world.document(rules()), json!({ "access_log": "refusals" }));
    let root = proxy.plugin(Stage::Request, &document, &Rc::default());
    proxy.connect(&world.own_identity("/api"));
    proxy.ask("GET", "/a/b", &[]);
    assert_eq!(request(&root), Action::Continue);
    proxy.take_calls();
    assert_eq!(request(&root), Action::Continue);
    assert_eq!(
        proxy.take_calls(),
        ["request_headers", "property connection.sha256_peer_certificate_digest"]
    );
    assert_eq!(proxy.look(|state| state.filter_state.get("svidgate").cloned()), None);

    proxy.ask("POST", "/a/b", &[]);
    assert_eq!(request(&root), Action::Pause);
    assert_eq!(proxy.reason(), "rule.none_matched");
}

#[test]
fn rule_in_a_dry_run_is_recorded_whatever_the_access_log_leaves_out() {
    let world = World::new();
    let proxy = Proxy::at(&world);
    let mut rules = rules();
    let dry = json!({ "name": "new", "effect": "deny", "from": ["spiffe://prod.example/api"], "dry_run": true });
    rules.as_array_mut().unwrap().push(dry);
    let document = with(world.document(rules), json!({ "access_log": "refusals" }));
    let root = proxy.plugin(Stage::Request, &document, &Rc::default());
    proxy.connect(&world.own_identity("/api"));
    proxy.ask("GET", "/a/b", &[]);
    assert_eq!(request(&root), Action::Continue);
    let field = proxy.look(|state| state.filter_state["svidgate"].clone());
    assert!(field.contains(r#""would_be":"deny""#), "{field}");
}

#[test]
fn conditions_cost_a_call_only_for_those_whose_rules_have_them() {
    let world = World::new();
    let proxy = Proxy::at(&world);
    let rules = json!([
        { "name": "a", "effect": "allow", "from": ["spiffe://prod.example/api"] },
        { "name": "b", "effect": "allow", "from": ["spiffe://prod.example/other"],
          "to": [{ "routes": ["app"], "ports": [443], "sni": ["shop.example"] }], "when": { "source_ips": ["192.0.2.0/24"] } },
    ]);
    let root = proxy.plugin(Stage::Request, &world.document(rules), &Rc::default());
    proxy.ask("GET", "/", &[]);
    for (path, calls) in [("/api", 3), ("/other", 7)] {
        proxy.connect(&world.own_identity(path));
        proxy.change(|state| {
            state.set("xds.route_name", b"app");
            state.set("destination.port", &443i64.to_le_bytes());
            // As the network filter notes it; to an HTTP filter the proxy may show what the client wrote.
            state.set("svidgate_peer_address", b"192.0.2.7:4711");
        });
        assert_eq!(request(&root), Action::Continue, "{path}");
        proxy.take_calls();
        assert_eq!(request(&root), Action::Continue, "{path}");
        assert_eq!(proxy.take_calls().len(), calls, "{path}");
    }
}

#[test]
fn same_document_in_one_vm_is_compiled_once_and_knows_the_same_peers() {
    let world = World::new();
    let proxy = Proxy::at(&world);
    let worker: Rc<Worker> = Rc::default();
    let document = world.document(rules());
    let connections = proxy.plugin(Stage::Connection, &document, &worker);
    let requests = proxy.plugin(Stage::Request, &document, &worker);
    assert_eq!(
        proxy.look(|state| state.log.iter().filter(|line| line.contains("configured")).count()),
        1
    );

    proxy.connect(&world.own_identity("/api"));
    let filter = connection(&connections, 7);
    assert_eq!(accept(&proxy, &filter), Action::Pause);
    assert_eq!(filter.on_downstream_data(100), Action::Continue);
    proxy.take_calls();
    proxy.ask("GET", "/a/b", &[]);
    assert_eq!(request(&requests), Action::Continue);
    assert_eq!(proxy.take_calls().len(), 3, "the peer was verified at the connection");
}

#[test]
fn bytes_of_an_admitted_connection_cost_nothing() {
    let world = World::new();
    let proxy = Proxy::at(&world);
    let document = with(
        world.document(json!([{ "name": "a", "effect": "allow", "from": ["spiffe://prod.example/api"] }])),
        json!({ "listener": "tcp" }),
    );
    let root = proxy.plugin(Stage::Connection, &document, &Rc::default());
    proxy.connect(&world.own_identity("/api"));
    let filter = connection(&root, 7);
    accept(&proxy, &filter);
    assert_eq!(filter.on_downstream_data(1), Action::Continue);
    proxy.take_calls();
    for _ in 0..100 {
        assert_eq!(
            (filter.on_downstream_data(1000), filter.on_upstream_data()),
            (Action::Continue, Action::Continue)
        );
    }
    assert_eq!(proxy.take_calls(), [""; 0]);
}
