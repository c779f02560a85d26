//! CONNECT and upgrades: inside a tunnel goes whatever the peer likes, so only an allow rule that names CONNECT opens
//! one.

use serde_json::{Value, json};
use support::{
    client::{Client, ClientOptions},
    envoy::{Cluster, Envoy, Scenario},
    upstream::TcpUpstream,
    world::World,
};

use crate::stage::{Filters, assert_alive, http_listener, reason};

/// Lets the listener open tunnels to `app`, by CONNECT and by extended CONNECT.
fn with_tunnels(bootstrap: &mut Value) {
    let listener = &mut bootstrap["static_resources"]["listeners"][0];
    for filter in listener["filter_chains"][0]["filters"].as_array_mut().unwrap() {
        if filter["name"] == "envoy.filters.network.http_connection_manager" {
            let manager = &mut filter["typed_config"];
            manager["upgrade_configs"] = json!([
                { "upgrade_type": "CONNECT" }, { "upgrade_type": "CONNECT-UDP" }, { "upgrade_type": "websocket" },
            ]);
            manager["http2_protocol_options"] = json!({ "allow_connect": true });
            let tunnel = json!({ "name": "tunnel", "match": { "connect_matcher": {} },
                "route": { "cluster": "app", "upgrade_configs": [{ "upgrade_type": "CONNECT", "connect_config": {} }] } });
            let routes = manager["route_config"]["virtual_hosts"][0]["routes"]
                .as_array_mut()
                .unwrap();
            routes.insert(0, tunnel);
        }
    }
}

fn rules() -> Value {
    let rule = |name: &str, effect: &str, who: &str, target: Value| json!({ "name": name, "effect": effect, "from": [format!("spiffe://prod.example/{who}")], "to": [target] });
    json!([
        { "name": "everything", "effect": "allow", "from": ["spiffe://prod.example/everything"] },
        rule("every-path", "allow", "paths", json!({ "paths": ["/**"] })),
        rule("tunnel", "allow", "tunnel", json!({ "methods": ["CONNECT"] })),
        rule("tunnel-and-chat", "allow", "both", json!({ "methods": ["CONNECT"] })),
        rule("chat", "allow", "both", json!({ "methods": ["GET"], "paths": ["/chat"] })),
        rule("no-admin", "deny", "both", json!({ "paths": ["/admin/**"] })),
    ])
}

type Fields = &'static [(&'static [u8], &'static [u8])];

const PLAIN: Fields = &[(b":method", b"CONNECT"), (b":authority", b"db.example:5432")];
const UDP: Fields = &[
    (b":method", b"CONNECT"),
    (b":protocol", b"connect-udp"),
    (b":scheme", b"https"),
    (b":authority", b"localhost"),
    (b":path", b"/.well-known/masque/udp/192.0.2.1/443/"),
    (b"capsule-protocol", b"?1"),
];
const CHAT: Fields = &[
    (b":method", b"CONNECT"),
    (b":protocol", b"websocket"),
    (b":scheme", b"https"),
    (b":authority", b"localhost"),
    (b":path", b"/chat"),
];
const ADMIN: Fields = &[
    (b":method", b"CONNECT"),
    (b":protocol", b"websocket"),
    (b":scheme", b"https"),
    (b":authority", b"localhost"),
    (b":path", b"/admin/x"),
];

/// Who asks for what, and the reason of the answer.
const ASKED: &[(&str, Fields, &str)] = &[
    ("everything", PLAIN, "rule.none_matched"),
    ("paths", PLAIN, "rule.none_matched"),
    ("tunnel", PLAIN, "rule.allowed"),
    ("both", PLAIN, "rule.denied"),
    ("everything", UDP, "rule.none_matched"),
    ("paths", UDP, "rule.none_matched"),
    ("tunnel", UDP, "rule.allowed"),
    ("both", UDP, "rule.denied"),
    ("everything", CHAT, "rule.allowed"),
    ("paths", CHAT, "rule.allowed"),
    ("both", CHAT, "rule.allowed"),
    ("both", ADMIN, "rule.denied"),
    ("tunnel", CHAT, "rule.none_matched"),
];

#[tokio::test]
async fn tunnels_are_opened_by_rules_that_name_them_and_by_no_others() {
    let (world, upstream) = (World::new(), TcpUpstream::echo());
    let listener = http_listener(&world, "web", Filters::Both, &world.document(rules()));
    let envoy = Envoy::start(Scenario {
        amend: Some(with_tunnels),
        ..Scenario::of(listener, [Cluster::new("app", upstream.addr())])
    })
    .await;
    let mut wrong = Vec::new();
    for (number, (who, fields, expected)) in ASKED.iter().enumerate() {
        let identity = world.own_identity(&format!("/{who}"));
        let client = Client::with(Some(&identity), ClientOptions::http2());
        let connection = client.connect(envoy.listener_addr("web")).await.unwrap();
        // What the upstream makes of it is not looked at: it may be closed or go on.
        let asked = connection.raw_http2(fields);
        let _ = tokio::time::timeout(std::time::Duration::from_millis(500), asked).await;
        let log = envoy.wait_request_log("web", number + 1).await;
        let found = reason(&log[number]);
        if found != *expected {
            wrong.push(format!("{who}, {}: {found}, not {expected}", log[number]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_alive(&envoy).await;
}

/// Over HTTP/1.1, with bytes through the one that is opened, and no connection for the others.
#[tokio::test]
async fn tunnel_that_no_rule_names_reaches_nothing() {
    let (world, upstream) = (World::new(), TcpUpstream::echo());
    let listener = http_listener(&world, "web", Filters::Both, &world.document(rules()));
    let envoy = Envoy::start(Scenario {
        amend: Some(with_tunnels),
        ..Scenario::of(listener, [Cluster::new("app", upstream.addr())])
    })
    .await;
    let connect = b"CONNECT db.example:5432 HTTP/1.1\r\nhost: db.example:5432\r\n\r\n";
    // The words of a websocket make no other thing of it: there is no path that they could be about.
    let disguised = b"CONNECT db.example:5432 HTTP/1.1\r\nhost: db.example:5432\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    for (number, (who, asked, expected)) in (1..).zip([
        ("everything", &connect[..], "rule.none_matched"),
        ("paths", connect, "rule.none_matched"),
        ("both", connect, "rule.denied"),
        ("everything", disguised, "rule.none_matched"),
        ("both", disguised, "rule.denied"),
    ]) {
        let identity = world.own_identity(&format!("/{who}"));
        let connection = Client::new(Some(&identity)).connect(envoy.listener_addr("web")).await;
        assert_eq!(connection.unwrap().raw_http1(asked).await.status(), Some(403), "{who}");
        let log = envoy.wait_request_log("web", number).await;
        assert_eq!(reason(&log[number - 1]), expected, "{who}");
    }
    assert_eq!(upstream.connections(), 0);
    let line = envoy
        .wait_decision(&json!({ "reason": "rule.none_matched", "stage": "request" }))
        .await;
    assert!(line["detail"].as_str().unwrap().starts_with("a tunnel"), "{line}");
    let identity = world.own_identity("/tunnel");
    let mut connection = Client::new(Some(&identity))
        .connect(envoy.listener_addr("web"))
        .await
        .unwrap();
    connection.write(connect).await.unwrap();
    let answer = connection.read(b"HTTP/1.1 200".len()).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 200");
    connection.write(b"through").await.unwrap();
    let deadline = std::time::Instant::now() + support::client::PATIENCE;
    while upstream.received() != b"through" && std::time::Instant::now() < deadline {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(upstream.received(), b"through");
    assert_alive(&envoy).await;
}
