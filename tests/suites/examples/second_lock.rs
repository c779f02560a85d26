//! Envoy's own SPIFFE validator in front of the module, and its RBAC behind.

use std::{fs, path::Path};

use serde_json::{Value, json};
use support::{
    ca::{Authority, Leaf, real_now},
    client::Client,
    envoy::{Envoy, Scenario},
    world::{World, with},
};

use crate::filled;

/// An Envoy with the example. It lives in the folder.
async fn start(world: &World, home: &Path, document: &Value) -> Envoy {
    let bundles = [("OWN_BUNDLE_PEM", &world.own), ("PARTNER_BUNDLE_PEM", &world.partner)].map(|(name, authority)| {
        let path = home.join(name);
        fs::write(&path, authority.pem()).unwrap();
        (name, path.display().to_string())
    });
    let document = [("DOCUMENT", document.to_string())];
    let values = [&bundles[..], &document[..]].concat();
    let text = filled("second-lock.yaml", home, world, &values);
    Envoy::start(Scenario {
        text: Some(text),
        ..Scenario::default()
    })
    .await
}

fn document(world: &World) -> Value {
    let rules = json!([{
        "name": "api-reads", "effect": "allow", "from": ["spiffe://prod.example/api"], "to": [{ "methods": ["GET"] }],
    }]);
    with(world.document(rules), json!({ "mark_passed": true }))
}

#[tokio::test]
async fn lock_behind_opens_to_nothing_that_has_no_mark() {
    let world = World::new();
    let home = tempfile::tempdir().expect("a temporary directory");
    let unmarked = with(document(&world), json!({ "mark_passed": false }));
    let envoy = start(&world, home.path(), &unmarked).await;
    let connection = Client::new(Some(&world.own_identity("/api")))
        .connect(envoy.listener_addr("web"))
        .await;
    let mut http = connection.unwrap().http1().await.unwrap();
    assert_eq!(http.get("/").await.status(), Some(403));
    assert_eq!(envoy.stat("http.web.rbac.denied").await, 1);
    let log = envoy.wait_request_log("web", 1).await;
    assert!(log[0]["svidgate"].as_str().unwrap().contains("rule.allowed"));
}

#[tokio::test]
async fn second_lock_refuses_strangers_in_the_handshake_and_leaves_the_rest_to_the_rules() {
    let world = World::new();
    let home = tempfile::tempdir().expect("a temporary directory");
    let envoy = start(&world, home.path(), &document(&world)).await;
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
