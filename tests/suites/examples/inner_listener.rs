//! An outer listener that ends TLS, and an inner one that learns from it who the peer is.

use serde_json::{Value, json};
use support::{
    ca::{Authority, Identity, Leaf, real_now},
    client::{Client, ClientOptions},
    envoy::{Envoy, Scenario, envoy_version},
    world::{World, with},
};

use crate::filled;

fn document(world: &World) -> Value {
    let rules = json!([{
        "name": "api-reads", "effect": "allow", "from": ["spiffe://prod.example/api"], "to": [{ "paths": ["/orders/**"] }],
    }]);
    let peer = json!({ "filter_state": { "certificate": "outer.certificate", "sha256": "outer.sha256" } });
    with(world.document(rules), json!({ "peer": peer }))
}

/// What a request is answered that goes through a tunnel of its own.
async fn asks(envoy: &Envoy, identity: &Identity, path: &str) -> Option<u16> {
    let client = Client::with(Some(identity), ClientOptions::http2());
    let mut outer = client
        .connect(envoy.listener_addr("outer"))
        .await
        .unwrap()
        .http2()
        .await
        .unwrap();
    let inner = outer.tunnel("app.example:80").await.unwrap();
    inner.http1().await.ok()?.get(path).await.status()
}

#[tokio::test]
async fn caller_of_a_tunnel_is_verified_and_decided_on_at_the_inner_listener() {
    if envoy_version() < (1, 38) {
        return;
    }
    let world = World::new();
    let home = tempfile::tempdir().expect("a temporary directory");
    let values = [("DOCUMENT", document(&world).to_string())];
    let envoy = Envoy::start(Scenario {
        text: Some(filled("inner-listener.yaml", home.path(), &world, &values)),
        ..Scenario::default()
    })
    .await;
    let forged = Authority::of("prod.example", real_now()).issue(Leaf::svid("spiffe://prod.example/api", real_now()));
    let (api, web) = (world.own_identity("/api"), world.own_identity("/web"));
    for _ in 0..2 {
        assert_eq!(asks(&envoy, &api, "/orders/1").await, Some(200));
        assert_eq!(asks(&envoy, &api, "/other").await, Some(403));
        // Who has no grant at all, and who is not who he says, get no answer.
        assert_eq!(asks(&envoy, &web, "/orders/1").await, None);
        assert_eq!(asks(&envoy, &forged, "/orders/1").await, None);
    }
    let log = envoy.wait_connection_log("inner", 8).await;
    for reason in ["rule.none_matched", "svid.bad_signature"] {
        let with_reason = |entry: &&Value| entry["svidgate"].as_str().is_some_and(|record| record.contains(reason));
        assert_eq!(log.iter().filter(with_reason).count(), 2, "{reason} {log:#?}");
    }
}
