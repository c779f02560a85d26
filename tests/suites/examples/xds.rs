//! The document from a control plane.

use grpc::xds::{Answer, ControlPlane, Plugin};
use serde_json::json;
use support::{
    client::Client,
    envoy::{Envoy, Scenario},
    world::World,
};

use crate::filled;

#[tokio::test]
async fn envoy_takes_its_plugins_from_the_control_plane_and_a_new_document_at_run_time() {
    let (world, home) = (World::new(), tempfile::tempdir().expect("a temporary directory"));
    let control_plane = ControlPlane::start().await;
    let document = |path: &str| {
        world.document(json!([{
            "name": "api", "effect": "allow", "from": ["spiffe://prod.example/api"], "to": [{ "paths": [path] }],
        }]))
    };
    control_plane.publish("1", &Plugin::both(&document("/old")));
    let values = [
        ("CONTROL_PLANE_ADDRESS", control_plane.addr().ip().to_string()),
        ("CONTROL_PLANE_PORT", control_plane.addr().port().to_string()),
    ];
    let text = filled("xds/bootstrap.yaml", home.path(), &world, &values);
    let envoy = Envoy::start(Scenario {
        text: Some(text),
        ..Scenario::default()
    })
    .await;
    let client = Client::new(Some(&world.own_identity("/api")));
    let ask = async |path: &str| {
        let connection = client.connect(envoy.listener_addr("web")).await.unwrap();
        connection.http1().await.unwrap().get(path).await.status()
    };
    assert_eq!([ask("/old").await, ask("/new").await], [Some(200), Some(403)]);
    control_plane.publish("2", &Plugin::both(&document("/new")));
    assert_eq!(control_plane.wait_answer("2").await, Answer::Accepted);
    assert_eq!([ask("/old").await, ask("/new").await], [Some(403), Some(200)]);
    let mut bad = document("/old");
    bad["mode"] = json!("enforced");
    control_plane.publish("3", &Plugin::both(&bad));
    assert!(matches!(control_plane.wait_answer("3").await, Answer::Refused(_)));
    assert_eq!([ask("/old").await, ask("/new").await], [Some(403), Some(200)]);
}
