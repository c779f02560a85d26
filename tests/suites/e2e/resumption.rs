//! TLS sessions that are resumed: no certificate goes over the wire again, and the peer is decided on all the same.

use jiff::SignedDuration;
use serde_json::json;
use support::{
    bundle_endpoint::{BundleEndpoint, Served, bundle_document},
    ca::{Authority, Identity, Leaf, real_now},
    client::{Client, ClientOptions, Sessions, TlsVersions},
    envoy::{Cluster, Envoy, Scenario},
    upstream::HttpUpstream,
    world::{World, with},
};

use crate::stage::{API, API_PATH, Filters, http_listener, reason, record, serve};

fn resuming(identity: &Identity, versions: TlsVersions) -> Client {
    let sessions = Some(Sessions::default());
    Client::with(
        Some(identity),
        ClientOptions {
            versions,
            sessions,
            ..ClientOptions::default()
        },
    )
}

/// One connection with one request: whether it was resumed, and the status.
async fn ask(envoy: &Envoy, client: &Client, path: &str) -> (bool, Option<u16>) {
    let connection = client.connect(envoy.listener_addr("web")).await.unwrap();
    let resumed = connection.resumed();
    (resumed, connection.http1().await.unwrap().get(path).await.status())
}

#[tokio::test]
async fn resumed_session_is_decided_on_like_a_new_one() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let rules = json!([{ "name": "open", "effect": "allow", "from": [API], "to": [{ "paths": ["/open"] }] }]);
    let envoy = serve(
        [http_listener(&world, "web", Filters::Both, &world.document(rules))],
        &upstream,
    )
    .await;
    for versions in [TlsVersions::Only12, TlsVersions::Only13] {
        let client = resuming(&world.own_identity(API_PATH), versions);
        let before = envoy.request_log("web").len();
        assert_eq!(ask(&envoy, &client, "/open").await, (false, Some(200)), "{versions:?}");
        assert_eq!(ask(&envoy, &client, "/open").await, (true, Some(200)), "{versions:?}");
        assert_eq!(ask(&envoy, &client, "/closed").await, (true, Some(403)), "{versions:?}");
        let log = envoy.wait_request_log("web", before + 3).await;
        assert!(log[before..].iter().all(|entry| record(entry)["id"] == API), "{log:?}");
    }
}

/// The session is as good as new; the certificate behind it is not.
#[tokio::test]
async fn resumed_session_of_an_expired_svid_is_refused() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let envoy = serve(
        [http_listener(
            &world,
            "web",
            Filters::Both,
            &world.document(crate::stage::allow_api()),
        )],
        &upstream,
    )
    .await;
    let not_after = real_now() + SignedDuration::from_secs(4);
    let short = world.own.issue(Leaf {
        not_after,
        ..Leaf::svid(API, world.now)
    });
    let clients = [TlsVersions::Only12, TlsVersions::Only13].map(|versions| resuming(&short, versions));
    for client in &clients {
        assert_eq!(ask(&envoy, client, "/").await, (false, Some(200)));
    }
    while real_now() <= not_after + SignedDuration::from_secs(2) {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    for (number, client) in (3..).zip(&clients) {
        assert_eq!(ask(&envoy, client, "/").await, (true, None));
        assert_eq!(
            reason(&envoy.wait_connection_log("web", number).await[number - 1]),
            "svid.expired"
        );
    }
    assert_eq!(upstream.requests().len(), 2);
}

/// The attack that a handshake-only check lets through: the session was made while the authority counted.
#[tokio::test]
async fn resumed_session_is_refused_after_the_bundle_was_emptied() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let endpoint = BundleEndpoint::start(None);
    let publish = |authorities: &[&Authority]| {
        let document = bundle_document(authorities, None, None);
        endpoint.serve("/own.json", Served::Document(document));
    };
    publish(&[&world.own]);
    let source = json!({ "cluster": "endpoint", "path": "/own.json", "refresh": "1s" });
    let document = with(
        world.document(crate::stage::allow_api()),
        json!({ "bundle": { "endpoint": source } }),
    );
    let envoy = Envoy::start(Scenario::of(
        http_listener(&world, "web", Filters::Both, &document),
        [
            Cluster::new("app", upstream.addr()),
            Cluster::new("endpoint", endpoint.addr()),
        ],
    ))
    .await;
    let updated = async |times| {
        envoy
            .wait_stat("wasmcustom.svidgate.source_events_total.updated", times)
            .await;
        // The worker takes it in on its next tick.
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    };
    updated(1).await;
    let api = world.own_identity(API_PATH);
    let clients = [TlsVersions::Only12, TlsVersions::Only13].map(|versions| resuming(&api, versions));
    for client in &clients {
        assert_eq!(ask(&envoy, client, "/").await, (false, Some(200)));
        assert_eq!(ask(&envoy, client, "/").await, (true, Some(200)));
    }
    let before = envoy.wait_connection_log("web", 4).await.len();
    publish(&[]);
    updated(2).await;
    for (number, client) in (before + 1..).zip(&clients) {
        assert_eq!(ask(&envoy, client, "/").await, (true, None));
        let log = envoy.wait_connection_log("web", number).await;
        assert_eq!(reason(&log[number - 1]), "federation.bundle_empty");
    }
    assert_eq!(upstream.requests().len(), 4);
}
