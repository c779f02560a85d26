//! Peers that are nobody, at the connection and (without the network filter) at the request.

use serde_json::json;
use support::{
    ca::Leaf,
    client::{Client, Request},
    envoy::{ClientCertificate, Cluster, Envoy, Listener, Route, Scenario, Wasm},
    module_path,
    upstream::HttpUpstream,
    world::World,
};

#[tokio::test]
async fn probe() {
    let world = World::new();
    let upstream = HttpUpstream::start();
    let document = world.document(json!([
        { "name": "api-reads", "effect": "allow", "from": ["spiffe://prod.example/api"], "to": [{"methods": ["GET"], "paths": ["/a/**"]}] },
    ]));
    let module = module_path();
    let listener = Listener::http("web", [Route::to("app", "/", "app")])
        .tls(&world.server, ClientCertificate::AcceptUntrusted)
        .connection_filter(Wasm::new(&module, document.clone()))
        .request_filter(Wasm::new(&module, document));
    let envoy = Envoy::start(Scenario::of(listener, [Cluster::new("app", upstream.addr())])).await;
    let addr = envoy.listener_addr("web");
    let identity = world.own_identity("/api");
    let mut http = Client::new(Some(&identity))
        .connect(addr)
        .await
        .unwrap()
        .http1()
        .await
        .unwrap();
    println!("{:?}", http.get("/a/b").await);
    println!("{:?}", http.send(Request::new("POST", "/a/b")).await);
    println!("{:?}", http.get("/a/../b").await);
    let two = world.own.issue(Leaf {
        uri_sans: vec!["spiffe://prod.example/x".into(), "spiffe://prod.example/api".into()],
        ..Leaf::svid("spiffe://prod.example/x", world.now)
    });
    let refused = Client::new(Some(&two))
        .connect(addr)
        .await
        .unwrap()
        .http1()
        .await
        .unwrap()
        .get("/a")
        .await;
    println!("{refused:?}");
    let none = Client::new(None)
        .connect(addr)
        .await
        .unwrap()
        .http1()
        .await
        .unwrap()
        .get("/a")
        .await;
    println!("{none:?}");
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    println!("{:#?}", envoy.request_log("web"));
    println!("{:#?}", envoy.connection_log("web"));
    println!("{:#?}", envoy.stats("wasmcustom").await);
    for line in envoy.log().lines().filter(|l| l.contains("svidgate")) {
        println!("{line}");
    }
}
