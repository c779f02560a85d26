//! Proxies that answer oddly, or not at all: denied, with a reason, and no panic.

use std::rc::Rc;

use serde_json::{Value, json};
use support::{
    ca::{KeyUsage, Leaf},
    world::{World, with},
};
use svidgate_gate::{
    header_map::HeaderMap, plugin::action::Action, record::counters::MAX_LINES, stage::Stage, worker::worker::Worker,
};

use crate::double::{Proxy, connection, request, stream, sweep};

fn everyone() -> Value {
    json!([{ "name": "all", "effect": "allow", "from": ["spiffe://prod.example/**"] }])
}

#[test]
fn without_a_configuration_everything_is_denied() {
    let world = World::new();
    let proxy = Proxy::at(&world);
    proxy.connect(&world.own_identity("/api"));
    proxy.ask("GET", "/", &[]);
    assert_eq!(
        request(&proxy.unconfigured(Stage::Request, &Rc::default())),
        Action::Pause
    );
    assert_eq!(proxy.reason(), "configuration.none");
    assert_eq!(
        proxy.look(|state| state.responses.clone()),
        [(403, "svidgate_configuration.none".to_owned(), 7)]
    );

    let filter = connection(&proxy.unconfigured(Stage::Connection, &Rc::default()), 9);
    assert_eq!(filter.on_new_connection(), Action::Pause);
    assert_eq!(filter.on_downstream_data(1), Action::Pause);
    assert_eq!(filter.on_upstream_data(), Action::Pause);
    assert_eq!(proxy.look(|state| state.closed.len()), 1);
}

#[test]
fn refused_configuration_leaves_the_old_one_in_force() {
    let world = World::new();
    let proxy = Proxy::at(&world);
    let root = proxy.plugin(Stage::Request, &world.document(everyone()), &Rc::default());
    for bad in [&b""[..], b"{}", b"\xff\xfe", b"{\"trust_domain\": 1}"] {
        proxy.change(|state| state.configuration = bad.to_vec());
        assert!(!root.configure());
    }
    proxy.connect(&world.own_identity("/api"));
    proxy.ask("GET", "/", &[]);
    assert_eq!(request(&root), Action::Continue);
}

/// Envoy 1.36 without a hold, and what does not say what it is.
#[test]
fn network_filter_is_refused_by_an_old_proxy_and_taken_by_one_whose_version_cannot_be_read() {
    let world = World::new();
    let version: [(&[u8], &[u8], bool); 6] = [
        (&[1, 0, 0, 0, 0, 0, 0, 0], &[36, 0, 0, 0, 0, 0, 0, 0], false),
        (&[1, 0, 0, 0, 0, 0, 0, 0], &[37, 0, 0, 0, 0, 0, 0, 0], true),
        (&[0; 8], &[0; 8], true),
        (b"", b"", true),
        (&[1, 0, 0, 0], &[36, 0, 0, 0], true),
        (b"1.36.4", b"1.36.4", true),
    ];
    for (major, minor, taken) in version {
        let proxy = Proxy::at(&world);
        let root = proxy.unconfigured(Stage::Connection, &Rc::default());
        proxy.change(|state| {
            let version = "xds.node.user_agent_build_version.version";
            state.set(&format!("{version}.major_number"), major);
            state.set(&format!("{version}.minor_number"), minor);
            state.configuration = world.document(everyone()).to_string().into_bytes();
        });
        assert_eq!(root.configure(), taken, "{major:?} {minor:?}");
    }
}

#[test]
fn tcp_document_is_no_document_for_the_http_filter() {
    let world = World::new();
    let proxy = Proxy::at(&world);
    let root = proxy.unconfigured(Stage::Request, &Rc::default());
    let document = with(world.document(everyone()), json!({ "listener": "tcp" }));
    proxy.change(|state| state.configuration = document.to_string().into_bytes());
    assert!(!root.configure());
    assert!(proxy.look(|state| {
        state
            .log
            .iter()
            .any(|line| line.contains("a TCP listener has no requests"))
    }));
}

#[test]
fn peers_that_show_nothing_or_nonsense_are_refused() {
    let world = World::new();
    let proxy = Proxy::at(&world);
    let root = proxy.plugin(Stage::Request, &world.document(everyone()), &Rc::default());
    proxy.ask("GET", "/", &[]);
    let peer = world.own_identity("/api");
    let digest = peer.leaf_sha256();
    for (properties, reason) in [
        (vec![], "connection.plaintext"),
        (vec![("connection.tls_version", "TLSv1.3")], "connection.no_certificate"),
        (
            vec![
                ("connection.tls_version", "TLSv1.3"),
                ("connection.sha256_peer_certificate_digest", ""),
            ],
            "connection.no_certificate",
        ),
        (
            vec![("connection.sha256_peer_certificate_digest", "xyz")],
            "connection.certificate_unreadable",
        ),
        (
            vec![("connection.sha256_peer_certificate_digest", &digest)],
            "connection.certificate_unreadable",
        ),
        (
            vec![
                ("connection.sha256_peer_certificate_digest", &digest),
                ("connection.peer_certificate", "\u{fffd}garbage"),
            ],
            "connection.certificate_unreadable",
        ),
        (
            vec![
                ("connection.sha256_peer_certificate_digest", &digest),
                ("filter_state.svidgate.peer_certificate", "%%%"),
            ],
            "connection.certificate_unreadable",
        ),
    ] {
        proxy.change(|state| {
            state.properties.clear();
            properties
                .iter()
                .for_each(|(path, value)| state.set(path, value.as_bytes()));
            // Refusals are remembered by digest for a while.
            state.now += jiff::SignedDuration::from_secs(60);
        });
        root.tick();
        assert_eq!(request(&root), Action::Pause, "{properties:?}");
        assert_eq!(proxy.reason(), reason, "{properties:?}");
    }
}

/// No TLS library of a proxy lets such a leaf through the handshake, so no end-to-end test can show it.
#[test]
fn leaf_without_digital_signature_is_refused_at_the_connection_and_at_the_request() {
    let world = World::new();
    let proxy = Proxy::at(&world);
    let document = world.document(everyone());
    let leaf = Leaf {
        key_usage: Some(vec![KeyUsage::KeyAgreement]),
        ..Leaf::svid("spiffe://prod.example/api", world.now)
    };
    proxy.connect(&world.own.issue(leaf));
    let filter = connection(&proxy.plugin(Stage::Connection, &document, &Rc::default()), 5);
    filter.on_new_connection();
    assert_eq!(filter.on_downstream_data(1), Action::Pause);
    assert_eq!(
        (proxy.reason().as_str(), proxy.look(|state| state.closed.len())),
        ("svid.key_usage", 1)
    );
    proxy.ask("GET", "/", &[]);
    assert_eq!(
        request(&proxy.plugin(Stage::Request, &document, &Rc::default())),
        Action::Pause
    );
    assert_eq!(proxy.reason(), "svid.key_usage");
}

#[test]
fn calls_that_fail_end_in_a_refusal() {
    let world = World::new();
    let proxy = Proxy::at(&world);
    let root = proxy.plugin(Stage::Request, &world.document(everyone()), &Rc::default());
    proxy.connect(&world.own_identity("/api"));
    proxy.ask("GET", "/", &[(b"x-svidgate-id", b"spiffe://prod.example/forged")]);
    for failing in [
        "request_headers",
        "remove_request_header",
        "property connection.sha256_peer_certificate_digest",
    ] {
        proxy.change(|state| state.failing = vec![failing]);
        assert_eq!(request(&root), Action::Pause, "{failing}");
    }
    // Records that cannot be written change no decision.
    proxy.change(|state| state.failing = vec!["set_filter_state", "define_counter", "add_to_counter"]);
    assert_eq!(request(&root), Action::Continue);
    root.tick();
    proxy.change(|state| {
        state.failing.clear();
        state.now += jiff::SignedDuration::from_secs(1);
    });
    root.tick();
    let counted = |what: &str| {
        let name = format!("svidgate.decisions_total.request.{what}");
        proxy.look(|state| state.counters.get(&name).copied())
    };
    assert_eq!(counted("allow.rule.allowed"), Some(1), "kept until the proxy took it");
    assert_eq!(
        counted("deny.request.malformed"),
        Some(2),
        "the headers, and the one that could not be removed"
    );
}

#[test]
fn forged_id_header_is_removed_and_ours_added_only_where_asked_for() {
    let world = World::new();
    let proxy = Proxy::at(&world);
    let forging: &[(&[u8], &[u8])] = &[(b"x-svidgate-id", b"a"), (b"x_svidgate-id", b"b")];
    for (forward, added) in [
        (false, vec![]),
        (
            true,
            vec![("x-svidgate-id".to_owned(), "spiffe://prod.example/api".to_owned())],
        ),
    ] {
        let document = with(world.document(everyone()), json!({ "forward_id": forward }));
        let root = proxy.plugin(Stage::Request, &document, &Rc::default());
        proxy.connect(&world.own_identity("/api"));
        proxy.ask("GET", "/", forging);
        proxy.change(|state| state.removed.clear());
        assert_eq!(request(&root), Action::Continue);
        let removed = proxy.look(|state| state.removed.clone());
        // With `_` it is another header to the proxy, and the same variable to many an upstream.
        assert_eq!(removed, ["x-svidgate-id", "x_svidgate-id"]);
        assert_eq!(proxy.look(|state| state.added.clone()), added);
    }
}

#[test]
fn forged_id_in_trailers_is_removed_or_its_stream_is_ended() {
    let world = World::new();
    let proxy = Proxy::at(&world);
    for mode in ["enforce", "dry_run"] {
        let worker: Rc<Worker> = Rc::default();
        let root = proxy.plugin(
            Stage::Request,
            &with(world.document(everyone()), json!({ "mode": mode })),
            &worker,
        );
        let open = || {
            proxy.connect(&world.own_identity("/api"));
            proxy.ask("POST", "/", &[]);
            let filter = stream(&root, 7);
            assert_eq!(filter.on_request_headers(), Action::Continue);
            proxy.change(|state| {
                let trailers: [(&[u8], &[u8]); 4] = [
                    (b"grpc-trace", b"1"),
                    (b"x-svidgate-id", b"a"),
                    (b"x.svidgate_id", b"b"),
                    (b"x\xffsvidgate-id", b"c"),
                ];
                state.trailers = Some(HeaderMap::from_pairs(&trailers));
                state.removed_trailers.clear();
                state.responses.clear();
                state.failing.clear();
            });
            filter
        };
        assert_eq!(open().on_request_trailers(), Action::Continue);
        assert_eq!(
            proxy.look(|state| state.removed_trailers.clone()),
            ["x-svidgate-id", "x.svidgate_id", "x\u{fffd}svidgate-id"]
        );
        assert_eq!(worker.under_way().len(), 1, "the stream goes on");
        for failing in ["request_trailers", "remove_request_trailer"] {
            let filter = open();
            proxy.change(|state| state.failing = vec![failing]);
            assert_eq!(filter.on_request_trailers(), Action::Pause, "{failing}");
            let expected = [(403, "svidgate_request.malformed".to_owned(), 7)];
            assert_eq!(proxy.look(|state| state.responses.clone()), expected);
            let field = proxy.look(|state| state.filter_state["svidgate"].clone());
            let record: Value = serde_json::from_str(&field).unwrap();
            assert_eq!(
                (&record["id"], &record["reason"], &record["cut"]),
                (
                    &json!("spiffe://prod.example/api"),
                    &json!("request.malformed"),
                    &json!(true)
                )
            );
            assert!(worker.under_way().is_empty(), "nothing is left to be looked at");
        }
        proxy.change(|state| state.failing.clear());
    }
}

#[test]
fn dry_run_lets_everything_pass_and_says_what_it_would_have_done() {
    let world = World::new();
    let proxy = Proxy::at(&world);
    let document = with(world.document(json!([])), json!({ "mode": "dry_run" }));
    let root = proxy.plugin(Stage::Request, &document, &Rc::default());
    proxy.ask("GET", "/", &[(b"x-svidgate-id", b"forged")]);
    assert_eq!(request(&root), Action::Continue);
    assert_eq!(
        proxy.look(|state| state.filter_state["svidgate"].clone()),
        r#"{"decision":"deny","reason":"connection.plaintext","version":"test","dry_run":true}"#
    );
    assert_eq!(proxy.look(|state| state.removed.clone()), ["x-svidgate-id"]);
    assert!(proxy.look(|state| {
        state.log.iter().any(|line| {
            line.contains(r#"{"stage":"request","decision":"deny","reason":"connection.plaintext","dry_run":true"#)
        })
    }));
}

#[test]
fn refusals_have_few_lines_and_a_count_of_the_rest() {
    let world = World::new();
    let proxy = Proxy::at(&world);
    let root = proxy.plugin(Stage::Request, &world.document(everyone()), &Rc::default());
    proxy.ask("GET", "/secret", &[(b"authorization", b"Bearer secret")]);
    for _ in 0..1000 {
        request(&root);
    }
    root.tick();
    let lines = proxy.look(|state| {
        state
            .log
            .iter()
            .filter(|line| line.contains("svidgate: decision "))
            .count()
    });
    assert_eq!(lines, usize::try_from(MAX_LINES).unwrap());
    assert!(proxy.look(|state| state.log.iter().any(|line| line.contains("990 more refusals"))));
    assert!(proxy.look(|state| !state.log.iter().any(|line| line.contains("secret"))));
    assert_eq!(
        proxy.look(|state| state.counters["svidgate.decisions_total.request.deny.connection.plaintext"]),
        1000
    );
}

#[test]
fn dry_run_holds_no_connection_and_waits_for_the_handshake() {
    let world = World::new();
    let proxy = Proxy::at(&world);
    for listener in ["http", "tcp", "tcp_server_first"] {
        let document = with(
            world.document(everyone()),
            json!({ "mode": "dry_run", "listener": listener }),
        );
        let root = proxy.plugin(Stage::Connection, &document, &Rc::default());
        proxy.change(|state| state.properties.clear());
        let filter = connection(&root, 5);
        assert_eq!(filter.on_new_connection(), Action::Continue, "{listener}");
        assert_eq!(
            filter.on_upstream_data(),
            Action::Continue,
            "{listener}: the server speaks before the handshake"
        );
        proxy.connect(&world.own_identity("/api"));
        assert_eq!(filter.on_downstream_data(1), Action::Continue, "{listener}");
        proxy.change(|state| state.now += jiff::SignedDuration::from_hours(2));
        sweep(&proxy, &[&root]);
        assert_eq!(proxy.look(|state| state.closed.len()), 0, "{listener}");
        proxy.change(|state| state.now = world.now);
    }
    assert_eq!(
        proxy.look(|state| {
            let names = state.counters.keys().cloned();
            names.filter(|name| name.contains("decisions")).collect::<Vec<_>>()
        }),
        [
            "svidgate.decisions_total.connection.allow.rule.allowed",
            "svidgate.decisions_total.connection.dry_run.svid.expired"
        ],
        "what would have been cut two hours later is told"
    );
}
