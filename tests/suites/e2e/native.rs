//! The native validator: what a peer sends with its leaf reaches the network filter, and nothing is verified by it.

use futures_util::future::join_all;
use serde_json::json;
use support::{
    ca::{Authority, Identity, Leaf, Profile},
    client::Client,
    envoy::{ClientCertificate, Cluster, Dial, Envoy, Listener, Scenario, envoy_version},
    upstream::TcpUpstream,
    world::{OWN, World, with},
};

use crate::stage::{API, allow_api, assert_alive, reason, tcp_listener};

/// Workers of an Envoy: several whose peers shake hands at the same time.
const WORKERS: u32 = 4;
/// Connections under way at a time, each of another peer.
const PEERS: usize = 12;

/// A listener that asks for certificates by the validator, with this as its configuration.
fn listener(world: &World, name: &str, configuration: &'static str) -> Listener {
    let document = with(world.document(allow_api()), json!({ "listener": "tcp" }));
    tcp_listener(world, name, Dial::OnDownstreamData, &document)
        .tls(&world.server, ClientCertificate::HandedOn(configuration))
}

fn scenario(listeners: Vec<Listener>, upstream: &TcpUpstream) -> Scenario {
    Scenario {
        listeners,
        clusters: vec![Cluster::new("db", upstream.addr())],
        concurrency: WORKERS,
        ..Scenario::default()
    }
}

/// Whether the module is for this Envoy. Where it is not, it must say so, and Envoy must not start.
async fn is_loaded(world: &World, upstream: &TcpUpstream) -> bool {
    if envoy_version() >= (1, 39) {
        return true;
    }
    let refused = Envoy::try_start(scenario(vec![listener(world, "db", "")], upstream)).await;
    let log = refused.expect_err("it is for others");
    // Before 1.38 there is no such validator.
    if envoy_version() == (1, 38) {
        assert!(
            log.contains("this Envoy is none of those that this module is for"),
            "{log}"
        );
    }
    false
}

/// A peer below an intermediate of its own.
fn peer(world: &World, number: usize) -> Identity {
    let issuer = world.own.issue_authority(Profile {
        common_name: Some(format!("issuing {number}")),
        ..Profile::authority(OWN, world.now)
    });
    issuer.issue(Leaf::svid(API, world.now))
}

/// What comes back of `ping`; nothing, where the peer is refused.
async fn ping(envoy: &Envoy, listener: &str, peer: &Identity) -> Vec<u8> {
    let client = Client::new(Some(peer));
    let mut connection = client
        .connect(envoy.listener_addr(listener))
        .await
        .expect("a handshake");
    // A refused client may find the connection closed already.
    let _ = connection.write(b"ping").await;
    let _ = connection.finish().await;
    connection.read_until_close().await.expect("an end")
}

#[tokio::test]
async fn intermediates_that_are_handed_on_lead_to_an_authority_at_the_first_byte() {
    let (world, upstream) = (World::new(), TcpUpstream::echo());
    if !is_loaded(&world, &upstream).await {
        return;
    }
    let document = with(world.document(allow_api()), json!({ "listener": "tcp" }));
    let listeners = vec![
        listener(&world, "db", ""),
        tcp_listener(&world, "without", Dial::OnDownstreamData, &document),
    ];
    let envoy = Envoy::start(scenario(listeners, &upstream)).await;
    assert!(ping(&envoy, "without", &peer(&world, 0)).await.is_empty());
    let entries = envoy.wait_connection_log("without", 1).await;
    assert_eq!(reason(&entries[0]), "svid.unknown_authority");
    assert_eq!(upstream.connections(), 0);
    // On all workers at once, and each from its own chain: there is no other by which it could be found.
    for round in 0..5 {
        let peers: Vec<Identity> = (0..PEERS).map(|number| peer(&world, round * PEERS + number)).collect();
        let answers = join_all(peers.iter().map(|peer| ping(&envoy, "db", peer))).await;
        assert!(answers.iter().all(|answer| answer == b"ping"), "{answers:?}");
    }
    // It verifies nothing: whoever is refused is refused by the filter behind it.
    let stranger = Authority::root(Profile::authority(OWN, world.now));
    let forged = stranger.issue(Leaf::svid(API, world.now));
    let forged = Identity {
        intermediates: vec![stranger.certificate.clone()],
        ..forged
    };
    let served = upstream.connections();
    assert!(ping(&envoy, "db", &forged).await.is_empty());
    assert_eq!(upstream.connections(), served);
    // Who shows none gets no further than the handshake.
    let nobody = Client::new(None).connect(envoy.listener_addr("db")).await;
    if let Ok(mut nobody) = nobody {
        let _ = nobody.write(b"ping").await;
        assert!(nobody.read_until_close().await.is_ok_and(|answer| answer.is_empty()));
    }
    assert_eq!(upstream.connections(), served);
    assert_alive(&envoy).await;
}

#[tokio::test]
async fn configuration_that_the_module_does_not_understand_is_refused_with_what_would_be_right() {
    let (world, upstream) = (World::new(), TcpUpstream::echo());
    if !is_loaded(&world, &upstream).await {
        return;
    }
    let refused = Envoy::try_start(scenario(vec![listener(&world, "db", "accept")], &upstream)).await;
    let log = refused.expect_err("it is no configuration");
    assert!(
        log.contains("its configuration is neither empty nor `accept_host=` and a fingerprint"),
        "{log}"
    );
}
