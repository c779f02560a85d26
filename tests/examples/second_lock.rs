//! Envoy's own SPIFFE validator in front of the module.

use std::fs;

use serde_json::json;
use support::{
    ca::{Authority, Leaf, real_now},
    client::Client,
    envoy::{Envoy, Scenario},
    world::World,
};

use crate::filled;

#[tokio::test]
async fn second_lock_refuses_strangers_in_the_handshake_and_leaves_the_rest_to_the_rules() {
    let world = World::new();
    let home = tempfile::tempdir().expect("a temporary directory");
    let document = world.document(json!([{
        "name": "api-reads", "effect": "allow", "from": ["spiffe://prod.example/api"], "to": [{ "methods": ["GET"] }],
    }]));
    let bundles = [("OWN_BUNDLE_PEM", &world.own), ("PARTNER_BUNDLE_PEM", &world.partner)].map(|(name, authority)| {
        let path = home.path().join(name);
        fs::write(&path, authority.pem()).unwrap();
        (name, path.display().to_string())
    });
    let document = [("DOCUMENT", document.to_string())];
    let values = [&bundles[..], &document[..]].concat();
    let text = filled("second-lock.yaml", home.path(), &world, &values);
    let envoy = Envoy::start(Scenario {
        text: Some(text),
        ..Scenario::default()
    })
    .await;
    let address = envoy.listener_addr("web");

    let known = world.own_identity("/api");
    let mut http = Client::new(Some(&known))
        .connect(address)
        .await
        .unwrap()
        .http1()
        .await
        .unwrap();
    assert_eq!(http.get("/").await.status(), Some(200));
    let refused = http.send(support::client::Request::new("POST", "/")).await;
    assert_eq!(refused.status(), Some(403));
    let log = envoy.wait_request_log("web", 2).await;
    assert!(log[1]["svidgate"].as_str().unwrap().contains("rule.none_matched"));

    let forged = Authority::of("prod.example", real_now()).issue(Leaf::svid("spiffe://prod.example/api", real_now()));
    let reached = match Client::new(Some(&forged)).connect(address).await {
        Ok(connection) => connection.http1().await.unwrap().get("/").await.status(),
        Err(_) => None,
    };
    assert_eq!(reached, None);
    drop(http);
    let log = envoy.wait_connection_log("web", 2).await;
    let handshake = log
        .iter()
        .filter(|line| line["tls_failure"].as_str().is_some_and(|text| text.contains("CERT")));
    assert_eq!(handshake.count(), 1, "{log:#?}");

    // An X.509-SVID has exactly one URI SAN (X509-SVID 2).
    let two = Leaf {
        uri_sans: vec!["spiffe://prod.example/web".into(), "spiffe://prod.example/api".into()],
        ..Leaf::svid("spiffe://prod.example/web", real_now())
    };
    let two = world.own.issue(two);
    let refused = Client::new(Some(&two))
        .connect(address)
        .await
        .unwrap()
        .http1()
        .await
        .unwrap()
        .get("/")
        .await;
    assert_eq!(refused.status(), None);
    let log = envoy.wait_connection_log("web", 3).await;
    assert!(
        log.last().unwrap()["svidgate"]
            .as_str()
            .unwrap()
            .contains("svid.multiple_uri_sans")
    );
}
