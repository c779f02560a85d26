//! What the manifests for meshes come to in their proxies. No mesh is at hand here: its plugins are put into an Envoy
//! the way the mesh does it, with the root id and the document, as JSON text, that stand in the manifest.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use serde_json::Value;
use support::{
    ca::{Authority, Identity, Leaf, Profile, real_now},
    client::Client,
    envoy::{ClientCertificate, Cluster, Envoy, Listener, Route, Scenario, Wasm},
    module_path,
    workload_api::{Bundles, WorkloadApi},
};
use tokio::time::sleep;

use crate::manifests::{documents, plugins};

const LISTENER: &str = "inbound";

/// The proxy of a workload whose mesh has this manifest.
async fn proxy(manifest: &str, own: &Authority, clusters: Vec<Cluster>) -> Envoy {
    let server = own.issue(Profile::server(real_now()));
    let routes = [Route::direct("app", "/", 200, "the application")];
    let mut listener = Listener::http(LISTENER, routes).tls(&server, ClientCertificate::AcceptUntrusted);
    for resource in documents(manifest, own) {
        for plugin in plugins(&resource) {
            let wasm = Wasm::new(&module_path(), plugin.document.clone());
            listener = if plugin.network {
                listener.connection_filter(wasm)
            } else {
                listener.request_filter(wasm)
            };
        }
    }
    Envoy::start(Scenario::of(listener, clusters)).await
}

fn peer(authority: &Authority, id: &str) -> Identity {
    authority.issue(Leaf::svid(id, real_now()))
}

async fn ask(envoy: &Envoy, identity: &Identity, path: &str) -> Option<u16> {
    let connection = Client::new(Some(identity))
        .connect(envoy.listener_addr(LISTENER))
        .await
        .expect("a handshake");
    connection.http1().await.expect("HTTP/1.1").get(path).await.status()
}

/// Asks until the agent's bundles have come, and says how often. The last one has been logged then.
async fn wait_for_bundles(envoy: &Envoy, caller: &Identity, path: &str) -> usize {
    let start = Instant::now();
    let mut attempts = 1;
    while ask(envoy, caller, path).await.is_none() {
        assert!(start.elapsed() < Duration::from_secs(20), "no bundle has come");
        attempts += 1;
        sleep(Duration::from_millis(50)).await;
    }
    envoy.wait_request_log(LISTENER, 1).await;
    attempts
}

/// What svidgate says in the last line of an access log.
fn record(log: &[Value]) -> Value {
    let text = log.last().and_then(|entry| entry["svidgate"].as_str());
    let record = serde_json::from_str(text.expect("a record")).expect("a record is JSON");
    println!("{record}");
    record
}

/// The caller of the manifest's rule gets what the rule says, and the access log says why it gets no more.
async fn assert_rule_is_in_force(envoy: &Envoy, caller: &Identity, allowed: &str, rule: &str) {
    let before = envoy.request_log(LISTENER).len();
    assert_eq!(ask(envoy, caller, allowed).await, Some(200));
    let log = envoy.wait_request_log(LISTENER, before + 1).await;
    assert_eq!([&record(&log)["rule"], &record(&log)["version"]], [rule, "1"]);
    assert_eq!(ask(envoy, caller, "/admin").await, Some(403));
    let log = envoy.wait_request_log(LISTENER, before + 2).await;
    assert_eq!(record(&log)["reason"], "rule.none_matched");
}

#[tokio::test]
async fn plugins_for_istio_with_spire_let_through_what_their_rule_says() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let socket: PathBuf = home.path().join("agent.sock");
    let [own, partner] = ["prod.example", "partner.example"].map(|name| Authority::of(name, real_now()));
    let agent = WorkloadApi::start(&socket);
    agent.set(
        Bundles::default()
            .with("prod.example", &[&own])
            .with("partner.example", &[&partner]),
    );
    // What Istio's proxy calls the agent's socket.
    let clusters = vec![Cluster::unix("sds-grpc", &socket)];
    let envoy = proxy("mesh/istio-traffic-extension.yaml", &own, clusters).await;
    let caller = peer(&partner, "spiffe://partner.example/ns/billing/sa/reports");
    let attempts = wait_for_bundles(&envoy, &caller, "/invoices/1").await;
    assert_rule_is_in_force(&envoy, &caller, "/invoices/7", "partner-reads-invoices").await;
    let research = peer(&partner, "spiffe://partner.example/ns/research/sa/x");
    assert_eq!(ask(&envoy, &research, "/invoices/7").await, None);
    let log = envoy.wait_connection_log(LISTENER, attempts + 3).await;
    assert_eq!(record(&log)["reason"], "federation.out_of_scope");
}

#[tokio::test]
async fn plugins_for_istio_with_its_own_ca_let_through_what_their_rule_says() {
    let own = Authority::of("cluster.local", real_now());
    let envoy = proxy("mesh/istio-wasm-plugin.yaml", &own, Vec::new()).await;
    let caller = peer(&own, "spiffe://cluster.local/ns/shop/sa/web");
    assert_rule_is_in_force(&envoy, &caller, "/orders/7", "web-reads-orders").await;
    let other = Authority::of("cluster.local", real_now());
    let forged = peer(&other, "spiffe://cluster.local/ns/shop/sa/web");
    assert_eq!(ask(&envoy, &forged, "/orders/7").await, None);
    let log = envoy.wait_connection_log(LISTENER, 3).await;
    assert_eq!(record(&log)["decision"], "deny");
}

#[tokio::test]
async fn plugins_for_envoy_gateway_let_through_what_their_rule_says() {
    for manifest in ["mesh/envoy-gateway.yaml", "mesh/envoy-gateway-patch.yaml"] {
        let own = Authority::of("prod.example", real_now());
        let envoy = proxy(manifest, &own, Vec::new()).await;
        let caller = peer(&own, "spiffe://prod.example/ns/edge/sa/client");
        assert_rule_is_in_force(&envoy, &caller, "/orders/7", "edge-reads-orders").await;
        let stranger = Authority::of("stranger.example", real_now());
        let caller = peer(&stranger, "spiffe://stranger.example/api");
        assert_eq!(ask(&envoy, &caller, "/orders/7").await, None);
        let log = envoy.wait_connection_log(LISTENER, 3).await;
        assert_eq!(record(&log)["reason"], "federation.unknown_trust_domain");
    }
}
