//! One document for all listeners of a workload: which listener it is says the plugin.

use serde_json::{Value, json};
use support::{
    client::Client,
    envoy::{Cluster, Dial, Envoy, Listener, Scenario, Wasm},
    upstream::{HttpUpstream, TcpUpstream},
    world::{World, with},
};

use crate::stage::{API, API_PATH, Filters, has_tcp, http_listener, http1, reason, refusal, tcp_listener, wasm};

/// What an e2e listener may get.
fn high_ports() -> Vec<u16> {
    (1024..=u16::MAX).collect()
}

fn shared(world: &World, rules: Value) -> Value {
    with(world.document(rules), json!({ "listener": "shared" }))
}

fn placed(listener: Listener, place: &'static str, document: &Value) -> Listener {
    listener.connection_filter(Wasm {
        placed: Some(place),
        ..wasm(document)
    })
}

fn http(world: &World, name: &str, document: &Value) -> Listener {
    placed(http_listener(world, name, Filters::Both, document), "http", document)
}

fn tcp(world: &World, name: &str, dial: Dial, place: &'static str, document: &Value) -> Listener {
    placed(tcp_listener(world, name, dial, document), place, document)
}

/// What a client that sends `ping` gets back.
async fn ping(envoy: &Envoy, listener: &str, client: &Client) -> Vec<u8> {
    let mut connection = client.connect(envoy.listener_addr(listener)).await.unwrap();
    let _ = connection.write(b"ping").await;
    let _ = connection.finish().await;
    connection.read_until_close().await.unwrap()
}

#[tokio::test]
async fn one_document_decides_requests_and_connections() {
    let (world, web, db) = (World::new(), HttpUpstream::start(), TcpUpstream::echo());
    let everywhere = json!({ "name": "db", "effect": "allow", "from": [API], "to": [{ "ports": high_ports() }] });
    let get =
        json!({ "name": "get", "effect": "allow", "from": [API], "to": [{ "methods": ["GET"], "paths": ["/**"] }] });
    let no_admin = |more: Value| {
        let target = with(json!({ "paths": ["/admin/**"] }), more);
        json!({ "name": "no-admin", "effect": "deny", "from": ["spiffe://*/**"], "to": [target] })
    };
    let no_debug = json!({ "name": "no-debug", "effect": "deny", "from": ["spiffe://*/**"],
        "when": { "headers": [{ "name": "debug", "present": true }] } });
    // A document, what a request for `/` gets, and what a connection gets.
    let cases = [
        ("a_request", json!([get]), "rule.allowed", "rule.none_matched"),
        ("both", json!([get, everywhere]), "rule.allowed", "rule.allowed"),
        (
            "a_path",
            json!([everywhere, no_admin(json!({}))]),
            "rule.allowed",
            "rule.denied",
        ),
        ("a_header", json!([everywhere, no_debug]), "rule.allowed", "rule.denied"),
        (
            "elsewhere",
            json!([everywhere, no_admin(json!({ "ports": [80] }))]),
            "rule.allowed",
            "rule.allowed",
        ),
    ];
    let mut listeners = Vec::new();
    for (name, rules, ..) in &cases {
        let document = shared(&world, rules.clone());
        listeners.push(http(&world, &format!("{name}.http"), &document));
        if has_tcp() {
            let tcp = |kind: &str, dial, place| tcp(&world, &format!("{name}.{kind}"), dial, place, &document);
            listeners.push(tcp("tcp", Dial::OnDownstreamData, "tcp"));
            listeners.push(tcp("server", Dial::OnTlsHandshake, "tcp_server_first"));
        }
    }
    let clusters = vec![Cluster::new("app", web.addr()), Cluster::new("db", db.addr())];
    let envoy = Envoy::start(Scenario {
        listeners,
        clusters,
        ..Scenario::default()
    })
    .await;
    let identity = world.own_identity(API_PATH);
    let client = Client::new(Some(&identity));
    for (name, _, request, connection) in cases {
        let listener = format!("{name}.http");
        http1(&envoy, &listener, Some(&identity)).await.get("/").await;
        assert_eq!(
            reason(&envoy.wait_request_log(&listener, 1).await[0]),
            request,
            "{listener}"
        );
        if !has_tcp() {
            continue;
        }
        for kind in ["tcp", "server"] {
            let listener = format!("{name}.{kind}");
            let before = db.received().len();
            let answer = ping(&envoy, &listener, &client).await;
            let passed: &[u8] = if connection == "rule.allowed" { b"ping" } else { b"" };
            assert_eq!(answer, passed, "{listener}");
            assert_eq!(
                reason(&envoy.wait_connection_log(&listener, 1).await[0]),
                connection,
                "{listener}"
            );
            assert_eq!(db.received().len() - before, passed.len(), "{listener}");
        }
    }
    let note = "listener: shared: at TCP listeners the allow rules that need a request (1) never match, and the deny \
                rules that need one (0)";
    assert!(envoy.log().contains(note));
}

/// It is not guessed from what stands behind.
#[tokio::test]
async fn plugin_that_does_not_say_what_it_stands_in_is_refused() {
    let world = World::new();
    let document = shared(
        &world,
        json!([{ "name": "a", "effect": "allow", "from": [API], "to": [{ "methods": ["GET"] }] }]),
    );
    let said = refusal(http_listener(&world, "web", Filters::Both, &document)).await;
    assert!(
        said.contains("svidgate: listener: `shared` leaves it to the plugin"),
        "{said}"
    );

    let document = world.document(json!([{ "name": "a", "effect": "allow", "from": [API] }]));
    let disagreeing = placed(http_listener(&world, "web", Filters::Both, &document), "tcp", &document);
    let said = refusal(disagreeing).await;
    let disagree = "the document is for `http`, and the `root_id` of the plugin says `tcp`";
    assert!(said.contains(disagree), "{said}");
}
