//! A document for HTTP in front of what is none: no request would ever be decided on, so whoever may do anything could
//! do everything. And what looks odd behind a connection manager, and is honest.

use std::time::Duration;

use serde_json::{Value, json};
use support::{
    client::{Client, ClientOptions, Connection},
    envoy::{Cluster, Dial, Envoy, Scenario},
    upstream::{HttpUpstream, TcpUpstream},
    world::World,
};

use crate::stage::{API, API_PATH, Filters, assert_alive, has_tcp, http_listener, http1, http2, reason, tcp_listener};

/// It may do one thing.
fn document(world: &World) -> Value {
    world.document(
        json!([{ "name": "one", "effect": "allow", "from": [API], "to": [{ "paths": ["/one"], "methods": ["GET"] }] }]),
    )
}

async fn connect(envoy: &Envoy, world: &World, listener: &str, alpn: &[&str]) -> Connection {
    let options = ClientOptions {
        alpn: alpn.iter().map(ToString::to_string).collect(),
        ..ClientOptions::default()
    };
    let client = Client::with(Some(&world.own_identity(API_PATH)), options);
    client.connect(envoy.listener_addr(listener)).await.unwrap()
}

/// Where the proxy has dialled before there are bytes, none passes; where it dials with the first bytes, these are all.
/// (One that dials at once never ends the handshake of a connection that is held: `connection.silent`.)
#[tokio::test]
async fn tcp_proxy_behind_a_document_for_http_passes_nothing_or_the_first_bytes_alone() {
    let (world, upstream) = (World::new(), TcpUpstream::echo());
    if !has_tcp() {
        return;
    }
    let dials = [("with_data", Dial::OnDownstreamData)];
    let listeners = dials.map(|(name, dial)| tcp_listener(&world, name, dial, &document(&world)));
    let clusters = vec![Cluster::new("db", upstream.addr())];
    let envoy = Envoy::start(Scenario {
        listeners: listeners.into(),
        clusters,
        ..Scenario::default()
    })
    .await;
    for (name, dial) in dials {
        for alpn in [&[][..], &["h2"], &["http/1.1"]] {
            let before = upstream.received().len();
            let mut connection = connect(&envoy, &world, name, alpn).await;
            let _ = connection.write(b"GET /two HTTP/1.1\r\n").await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            let _ = connection.write(b"more").await;
            assert_eq!(connection.read_until_close().await.unwrap(), b"", "{name} {alpn:?}");
            let passed = upstream.received().split_off(before);
            match dial {
                Dial::OnDownstreamData => assert_eq!(passed, b"GET /two HTTP/1.1\r\n", "{name} {alpn:?}"),
                Dial::Immediately | Dial::OnTlsHandshake => assert_eq!(passed, b"", "{name} {alpn:?}"),
            }
        }
        for entry in envoy.wait_connection_log(name, 3).await {
            assert_eq!(reason(&entry), "connection.not_http", "{entry}");
        }
    }
    envoy.wait_log("no request will ever be decided on").await;
    assert_alive(&envoy).await;
}

/// Nothing that a peer withholds or writes condemns the chain.
#[tokio::test]
async fn odd_beginnings_behind_a_connection_manager_are_not_taken_for_tcp() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let listener = http_listener(&world, "web", Filters::Both, &document(&world));
    let envoy = Envoy::start(Scenario::of(listener, [Cluster::new("app", upstream.addr())])).await;
    let identity = world.own_identity(API_PATH);

    // Opened ahead of need.
    let mut idle = http2(&envoy, "web", Some(&identity)).await;
    // One byte, half a head, the preface of HTTP/2 alone.
    let mut begun = connect(&envoy, &world, "web", &[]).await;
    begun.write(b"G").await.unwrap();
    let mut half = connect(&envoy, &world, "web", &["http/1.1"]).await;
    half.write(b"GET /one HTTP/1.1\r\nhost: a\r\n").await.unwrap();
    let mut preface = connect(&envoy, &world, "web", &["h2"]).await;
    preface
        .write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    begun.write(b"ET /one HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    half.write(b"\r\n").await.unwrap();
    for connection in [&mut begun, &mut half] {
        let answer = connection.read(12).await.unwrap();
        assert_eq!(answer, b"HTTP/1.1 200");
    }
    assert!(!preface.read(1).await.unwrap().is_empty());
    assert_eq!(idle.get("/one").await.status(), Some(200));
    // What no codec can read is answered by the connection manager.
    let mut garbled = connect(&envoy, &world, "web", &[]).await;
    garbled.write(b"\x16\x03\x01 no HTTP\r\n\r\n").await.unwrap();
    assert!(garbled.read_until_close().await.unwrap().starts_with(b"HTTP/1.1 400"));
    let mut good = http1(&envoy, "web", Some(&identity)).await;
    assert_eq!(good.get("/one").await.status(), Some(200));
    assert!(!envoy.log().contains("connection.not_http"));
}
