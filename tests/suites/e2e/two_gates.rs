//! Two plugins of svidgate in one filter chain, as while one resource of a mesh takes the place of another.

use serde_json::{Value, json};
use support::{
    client::Client,
    envoy::{Cluster, Dial, Envoy, Scenario},
    upstream::{HttpUpstream, TcpUpstream},
    world::{World, with},
};

use crate::stage::{API, API_PATH, Filters, assert_alive, has_tcp, http_listener, http1, tcp_listener};

/// The network filter of each listener once more behind itself, under a name of its own and without the rule for the
/// API.
fn twice(bootstrap: &mut Value) {
    for listener in bootstrap["static_resources"]["listeners"].as_array_mut().unwrap() {
        let filters = listener["filter_chains"][0]["filters"].as_array_mut().unwrap();
        let place = filters
            .iter()
            .position(|filter| filter.to_string().contains("svidgate.connection"));
        let place = place.expect("a network filter");
        let second = filters[place]
            .to_string()
            .replace("svidgate.connection", "second")
            .replace(r#""root_id":"second""#, r#""root_id":"svidgate.connection""#)
            .replace(API_PATH, "/nobody");
        filters.insert(place + 1, serde_json::from_str(&second).unwrap());
    }
}

#[tokio::test]
async fn connection_must_please_both_and_waits_for_neither() {
    // Before 1.37 a hold stands in front, once.
    if !has_tcp() {
        return;
    }
    let (world, app, db) = (World::new(), HttpUpstream::start(), TcpUpstream::echo());
    let from = [API, "spiffe://prod.example/web"];
    let document = world.document(json!([{ "name": "both", "effect": "allow", "from": from }]));
    let tcp = with(document.clone(), json!({ "listener": "tcp" }));
    let envoy = Envoy::start(Scenario {
        listeners: vec![
            http_listener(&world, "web", Filters::Both, &document),
            tcp_listener(&world, "db", Dial::OnDownstreamData, &tcp),
        ],
        clusters: vec![Cluster::new("app", app.addr()), Cluster::new("db", db.addr())],
        amend: Some(twice),
        ..Scenario::default()
    })
    .await;
    let (pleasing, other) = (world.own_identity("/web"), world.own_identity(API_PATH));
    let mut client = http1(&envoy, "web", Some(&pleasing)).await;
    assert_eq!(client.get("/").await.status(), Some(200));
    assert_eq!(http1(&envoy, "web", Some(&other)).await.get("/").await.status(), None);
    assert_eq!(app.requests().len(), 1);
    for (identity, expected) in [(&pleasing, &b"ping"[..]), (&other, b"")] {
        let client = Client::new(Some(identity));
        let mut connection = client.connect(envoy.listener_addr("db")).await.unwrap();
        let _ = connection.write(b"ping").await;
        let _ = connection.finish().await;
        assert_eq!(connection.read_until_close().await.unwrap(), expected);
    }
    assert_eq!(db.received(), b"ping");
    assert_alive(&envoy).await;
}
