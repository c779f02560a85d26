//! The module that was pulled, in a real Envoy.

use std::fs;

use serde_json::json;
use support::{
    client::Client,
    envoy::{ClientCertificate, Cluster, Envoy, Listener, Route, Scenario, Wasm},
    module_path,
    upstream::HttpUpstream,
    world::World,
};

use crate::stage::{Registry, VERSION, blob, inspected, pulled, unpacked};

#[tokio::test]
async fn envoy_loads_the_pulled_module_and_decides_with_it() {
    let registry = Registry::filled();
    let manifest = inspected(&registry.url(VERSION), "--raw");
    let image = pulled(&registry.url(VERSION));
    let plugin = unpacked(&blob(&image, &manifest["layers"][0]["digest"]));
    assert!(fs::read(&plugin).unwrap() == fs::read(module_path()).unwrap());
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let document = world.document(json!([
        { "name": "api", "effect": "allow", "from": ["spiffe://prod.example/ns/shop/sa/api"] },
    ]));
    let wasm = Wasm::new(&plugin, document);
    let listener = Listener::http("web", [Route::to("app", "/", "app")])
        .tls(&world.server, ClientCertificate::AcceptUntrusted)
        .request_filter(wasm);
    let envoy = Envoy::start(Scenario::of(listener, [Cluster::new("app", upstream.addr())])).await;
    for (path, status) in [("/ns/shop/sa/api", 200), ("/ns/shop/sa/other", 403)] {
        let identity = world.own_identity(path);
        let connection = Client::new(Some(&identity)).connect(envoy.listener_addr("web")).await;
        let mut http = connection.unwrap().http1().await.unwrap();
        assert_eq!(http.get("/").await.status(), Some(status), "{path}");
    }
    assert_eq!(upstream.requests().len(), 1);
}
