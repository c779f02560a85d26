//! Conditions on the peer's address: the address of the TLS connection counts, whatever a header says.

use serde_json::{Map, Value, json};
use support::{
    ca::Identity,
    client::{Client, Http, Request},
    envoy::Envoy,
    upstream::HttpUpstream,
    world::World,
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::stage::{API, API_PATH, Filters, assert_alive, http_listener, http1, reason, serve};

/// An address that no test client has.
const OFFICE: &str = "203.0.113.7";

fn rules() -> Value {
    json!([
        { "name": "from-here", "effect": "allow", "from": [API], "to": [{ "paths": ["/here"] }],
          "when": { "source_ips": ["127.0.0.0/8"] } },
        { "name": "from-the-office", "effect": "allow", "from": [API], "to": [{ "paths": ["/office"] }],
          "when": { "source_ips": ["203.0.113.0/24"] } },
        { "name": "anywhere", "effect": "allow", "from": [API], "to": [{ "paths": ["/anywhere"] }] },
        { "name": "not-from-elsewhere", "effect": "deny", "from": [API], "to": [{ "paths": ["/anywhere"] }],
          "when": { "not_source_ips": ["203.0.113.0/24"] } },
    ])
}

/// Envoy's HTTP filters see the last address of `x-forwarded-for` as the peer's, unless the listener says
/// `use_remote_address: true`; its default is that they believe the client.
#[tokio::test]
async fn address_in_x_forwarded_for_is_not_believed() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let listener = http_listener(&world, "web", Filters::Both, &world.document(rules()));
    let envoy = serve([listener], &upstream).await;
    let identity = world.own_identity(API_PATH);
    let mut http = http1(&envoy, "web", Some(&identity)).await;
    for (number, (path, forwarded, status, expected)) in (1..).zip([
        ("/here", None, 200, "rule.allowed"),
        ("/here", Some(OFFICE), 200, "rule.allowed"),
        ("/office", None, 403, "rule.none_matched"),
        ("/office", Some(OFFICE), 403, "rule.none_matched"),
        ("/office", Some("203.0.113.7, 203.0.113.8"), 403, "rule.none_matched"),
        ("/anywhere", None, 403, "rule.denied"),
        ("/anywhere", Some(OFFICE), 403, "rule.denied"),
    ]) {
        let request = forwarded.into_iter().fold(Request::get(path), |request, address| {
            request
                .header("x-forwarded-for", address)
                .header("x-real-ip", address)
                .header("forwarded", address)
        });
        assert_eq!(http.send(request).await.status(), Some(status), "{path} {forwarded:?}");
        let log = envoy.wait_request_log("web", number).await;
        assert_eq!(reason(&log[number - 1]), expected, "{path} {forwarded:?}");
    }
    let line = envoy
        .wait_decision(&json!({ "stage": "request", "reason": "rule.none_matched" }))
        .await;
    assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
    assert!(
        !envoy.log().contains(OFFICE),
        "a log line names an address that the client made up"
    );
}

/// Without the network filter nobody tells the true address. A demand on it is then neither met nor failed: no allow
/// rule applies, every deny rule does.
#[tokio::test]
async fn without_the_network_filter_no_address_meets_a_condition() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let listener = http_listener(&world, "web", Filters::RequestOnly, &world.document(rules()));
    let envoy = serve([listener], &upstream).await;
    let mut http = http1(&envoy, "web", Some(&world.own_identity(API_PATH))).await;
    for path in ["/here", "/office", "/anywhere"] {
        assert_eq!(http.get(path).await.status(), Some(403), "{path}");
        let forged = Request::get(path).header("x-forwarded-for", OFFICE);
        assert_eq!(http.send(forged).await.status(), Some(403), "{path}");
    }
    assert_eq!(upstream.connections(), 0);
}

/// A connection whose first bytes say, as a load balancer's do, where it comes from (PROXY protocol, version 1).
async fn proxied(envoy: &Envoy, identity: &Identity, source: Option<&str>) -> Http {
    let mut stream = TcpStream::connect(envoy.listener_addr("web")).await.unwrap();
    let head = source.map_or("PROXY UNKNOWN\r\n".to_owned(), |source| {
        format!("PROXY TCP4 {source} 127.0.0.1 4711 443\r\n")
    });
    stream.write_all(head.as_bytes()).await.unwrap();
    let connection = Client::new(Some(identity)).handshake(stream).await;
    connection.unwrap().http1().await.unwrap()
}

/// Behind a load balancer that writes the PROXY protocol, the address in it counts, and not the balancer's own. That
/// counts where the balancer says that it does not know. Still no header changes it.
#[tokio::test]
async fn address_of_the_proxy_protocol_counts_where_the_listener_reads_it() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let mut listener = http_listener(&world, "web", Filters::Both, &world.document(rules()));
    let filter = json!([{
        "name": "envoy.filters.listener.proxy_protocol",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol",
        },
    }]);
    listener.also = Map::from_iter([("listener_filters".to_owned(), filter)]);
    let envoy = serve([listener], &upstream).await;
    let identity = world.own_identity(API_PATH);
    let mut number = 0;
    for (source, path, status, expected) in [
        (Some(OFFICE), "/office", 200, "rule.allowed"),
        (Some(OFFICE), "/anywhere", 200, "rule.allowed"),
        (Some(OFFICE), "/here", 403, "rule.none_matched"),
        (Some("203.0.114.7"), "/office", 403, "rule.none_matched"),
        (Some("203.0.114.7"), "/anywhere", 403, "rule.denied"),
        (Some("127.0.0.9"), "/here", 200, "rule.allowed"),
        (None, "/here", 200, "rule.allowed"),
        (None, "/office", 403, "rule.none_matched"),
    ] {
        let mut http = proxied(&envoy, &identity, source).await;
        for header in [None, Some("127.0.0.1"), Some(OFFICE)] {
            let request = header.into_iter().fold(Request::get(path), |request, address| {
                request.header("x-forwarded-for", address)
            });
            let answer = http.send(request).await.status();
            assert_eq!(answer, Some(status), "{source:?} {path} {header:?}");
            number += 1;
            let log = envoy.wait_request_log("web", number).await;
            assert_eq!(reason(&log[number - 1]), expected, "{source:?} {path} {header:?}");
        }
    }
    let line = json!({ "stage": "request", "reason": "rule.denied", "peer": "203.0.114.7:4711" });
    envoy.wait_decision(&line).await;
    assert_alive(&envoy).await;
}
