//! Issuers whose intermediates rotate and are published nowhere: only a peer's chain shows them, and only to the HTTP
//! filter.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{
    ca::{Authority, Identity, Leaf, Profile},
    client::{Client, ClientOptions, Outcome},
    envoy::{Cluster, Dial, Envoy, Listener, Scenario, Wasm, Xfcc},
    upstream::{HttpUpstream, TcpUpstream},
    world::{OWN, World, with},
};

use crate::{
    lock_behind::locking,
    stage::{API, Filters, assert_alive, has_tcp, http_listener, http1, http2, reason, tcp_listener, wasm},
};

/// What a connection gets until a request of it is allowed.
const TIMEOUT: Duration = Duration::from_secs(3);

fn document(world: &World, changes: Value) -> Value {
    let rules =
        json!([{ "name": "read", "effect": "allow", "from": [API], "to": [{ "methods": ["GET"], "paths": ["/**"] }] }]);
    let open = json!({ "xfcc": "own", "mark_passed": true, "first_bytes_timeout": "3s" });
    with(with(world.document(rules), open), changes)
}

fn issuing(world: &World, name: &str) -> Authority {
    world.own.issue_authority(Profile {
        common_name: Some(name.to_owned()),
        ..Profile::authority(OWN, world.now)
    })
}

fn peer(issuer: &Authority, world: &World) -> Identity {
    issuer.issue(Leaf::svid(API, world.now))
}

fn listener(world: &World, name: &str, document: &Value) -> Listener {
    http_listener(world, name, Filters::Both, document).xfcc(Xfcc::SanitizeSet)
}

async fn start(listeners: Vec<Listener>, upstream: &HttpUpstream) -> Envoy {
    Envoy::start(Scenario {
        listeners,
        clusters: vec![Cluster::new("app", upstream.addr())],
        amend: Some(locking),
        ..Scenario::default()
    })
    .await
}

/// How long the proxy leaves a connection open on which nothing is sent any more.
async fn ends_after(envoy: &Envoy, name: &str, identity: &Identity, first: &[u8]) -> Duration {
    let options = ClientOptions::http2();
    let mut connection = Client::with(Some(identity), options)
        .connect(envoy.listener_addr(name))
        .await
        .unwrap();
    let began = Instant::now();
    let _ = connection.write(first).await;
    let _ = connection.read_until_close().await;
    began.elapsed()
}

#[tokio::test]
async fn peer_below_an_intermediate_that_nobody_has_listed_is_proven_by_its_first_request() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let envoy = start(vec![listener(&world, "web", &document(&world, json!({})))], &upstream).await;
    let issuer = issuing(&world, "issuing 1");
    let first = peer(&issuer, &world);
    let mut client = http2(&envoy, "web", Some(&first)).await;
    assert_eq!(client.get("/a").await.status(), Some(200));
    // It is proven: a refused request and a longer pause end nothing.
    assert_eq!(
        client.send(support::client::Request::new("POST", "/a")).await.status(),
        Some(403)
    );
    tokio::time::sleep(TIMEOUT + Duration::from_secs(2)).await;
    assert_eq!(client.get("/a").await.status(), Some(200));
    // The next intermediate, as after a rotation, and a peer of each.
    let next = issuing(&world, "issuing 2");
    for identity in [peer(&next, &world), peer(&next, &world), peer(&issuer, &world)] {
        for mut client in [
            http1(&envoy, "web", Some(&identity)).await,
            http2(&envoy, "web", Some(&identity)).await,
        ] {
            assert_eq!(client.get("/a").await.status(), Some(200));
        }
    }
    assert_eq!(upstream.requests().len(), 8);
    assert_alive(&envoy).await;
}

/// What nobody vouches for gets 403 and its connection's end; the upstream hears nothing of it.
#[tokio::test]
async fn forged_leaf_reaches_no_upstream_and_its_connection_ends() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let open = document(&world, json!({}));
    let listeners = vec![
        listener(&world, "web", &open),
        listener(&world, "no_mark", &document(&world, json!({ "mark_passed": false }))),
    ];
    let envoy = start(listeners, &upstream).await;
    let own_root = Authority::of(OWN, world.now);
    let forger = own_root.issue_authority(Profile {
        common_name: Some("issuing 1".to_owned()),
        ..Profile::authority(OWN, world.now)
    });
    let forged = peer(&forger, &world);
    for mut client in [
        http1(&envoy, "web", Some(&forged)).await,
        http2(&envoy, "web", Some(&forged)).await,
    ] {
        for _ in 0..3 {
            assert_eq!(client.get("/a").await.status(), Some(403));
        }
    }
    let log = envoy.wait_request_log("web", 6).await;
    // Its chain leads to an authority that has our authority's name and another key.
    assert!(
        log.iter().all(|entry| reason(entry).starts_with("svid.")),
        "{:?}",
        log.iter().map(reason).collect::<Vec<_>>()
    );
    // Whoever sends no request, or half of one, is closed in time.
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for first in [&preface[..], &preface[..20]] {
        let took = ends_after(&envoy, "web", &forged, first).await;
        assert!(
            took >= TIMEOUT - Duration::from_millis(1100) && took < TIMEOUT + Duration::from_millis(2500),
            "{took:?}"
        );
    }
    // Without the mark, at the first byte.
    let took = ends_after(&envoy, "no_mark", &forged, preface).await;
    assert!(took < Duration::from_millis(1500), "{took:?}");
    assert_eq!(upstream.connections(), 0);
    let denied = envoy.stats("wasmcustom.svidgate").await;
    let unproven: u64 = denied
        .iter()
        .filter(|(name, _)| name.contains("unproven"))
        .map(|(_, value)| value)
        .sum();
    assert!(unproven >= 2, "{denied:?}");
    assert_alive(&envoy).await;
}

/// One address with very many leaves that nobody vouches for; those who are known are served all the while.
#[tokio::test]
async fn flood_of_unproven_connections_is_bounded_for_each_address() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let envoy = start(
        vec![listener(
            &world,
            "web",
            &document(&world, json!({ "first_bytes_timeout": "20s" })),
        )],
        &upstream,
    )
    .await;
    let forger = Authority::root(Profile {
        common_name: Some("nobody".to_owned()),
        ..Profile::authority(OWN, world.now)
    });
    let forged = peer(&forger, &world);
    let most = svidgate_gate::worker::unproven::MAX_UNPROVEN_OF_ADDRESS;
    let mut waiting = Vec::new();
    let mut refused = 0;
    for _ in 0..most + 10 {
        let mut client = http1(&envoy, "web", Some(&forged)).await;
        match client.get("/a").await {
            Outcome::Response(response) => {
                assert_eq!(response.status, 403);
                waiting.push(client);
            }
            _ => refused += 1,
        }
    }
    assert_eq!((waiting.len(), refused), (most, 10));
    let log = envoy.wait_connection_log("web", 10).await;
    let bounded = log
        .iter()
        .filter(|entry| reason(entry) == "connection.too_many_unproven");
    assert_eq!(bounded.count(), 10);
    let known = world.own_identity("/ns/shop/sa/api");
    assert_eq!(
        http1(&envoy, "web", Some(&known)).await.get("/a").await.status(),
        Some(200)
    );
    // Whoever goes gives its place back.
    drop(waiting.split_off(1));
    let begun = Instant::now();
    loop {
        let mut client = http1(&envoy, "web", Some(&peer(&issuing(&world, "i"), &world))).await;
        if client.get("/a").await.status() == Some(200) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "no place is given back");
    }
    assert_alive(&envoy).await;
}

/// A TCP listener sees no chain, ever. What an HTTP listener beside it has verified helps it.
#[tokio::test]
async fn tcp_listener_learns_from_the_http_listener_beside_it_and_leaves_nothing_to_requests() {
    if !has_tcp() {
        return;
    }
    let (world, upstream, db) = (World::new(), HttpUpstream::start(), TcpUpstream::echo());
    let shared = with(
        document(&world, json!({ "listener": "shared" })),
        json!({ "rules": [
            { "name": "read", "effect": "allow", "from": [API], "to": [{ "methods": ["GET"], "paths": ["/**"] }] },
            { "name": "db", "effect": "allow", "from": [API], "to": [{ "ports": (1024..=u16::MAX).collect::<Vec<u16>>() }] },
        ] }),
    );
    let placed = |listener: Listener, place| {
        listener.connection_filter(Wasm {
            placed: Some(place),
            ..wasm(&shared)
        })
    };
    let web = placed(listener(&world, "web", &shared), "http");
    let tcp = placed(tcp_listener(&world, "db", Dial::OnDownstreamData, &shared), "tcp");
    let envoy = Envoy::start(Scenario {
        listeners: vec![web, tcp],
        clusters: vec![Cluster::new("app", upstream.addr()), Cluster::new("db", db.addr())],
        ..Scenario::default()
    })
    .await;
    let issuer = issuing(&world, "issuing 1");
    let ping = async |identity: &Identity| {
        let mut connection = Client::new(Some(identity))
            .connect(envoy.listener_addr("db"))
            .await
            .unwrap();
        let _ = connection.write(b"ping").await;
        let _ = connection.finish().await;
        connection.read_until_close().await.unwrap()
    };
    let (one, other) = (peer(&issuer, &world), peer(&issuer, &world));
    assert_eq!(ping(&one).await, b"");
    assert_eq!(db.connections(), 0, "nothing was dialled");
    assert_eq!(
        http1(&envoy, "web", Some(&other)).await.get("/a").await.status(),
        Some(200)
    );
    assert_eq!(ping(&one).await, b"ping");
    assert_alive(&envoy).await;
}
