//! What every subject needs: listeners with the module in front of an upstream, and the records read back.

use serde_json::{Value, json};
use support::{
    ca::Identity,
    client::{Client, ClientOptions, Http, Outcome},
    envoy::{ClientCertificate, Cluster, Dial, Envoy, Listener, Route, Scenario, Wasm, envoy_version},
    module_path,
    upstream::HttpUpstream,
    world::World,
};

/// The id that most tests ask with.
pub(crate) const API: &str = "spiffe://prod.example/ns/shop/sa/api";
/// Its path.
pub(crate) const API_PATH: &str = "/ns/shop/sa/api";

/// Which filters stand in an HTTP listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filters {
    /// The network filter and the HTTP filter, with the same document.
    Both,
    /// The HTTP filter alone.
    RequestOnly,
}

/// A rule that lets [`API`] do everything.
pub(crate) fn allow_api() -> Value {
    json!([{ "name": "api", "effect": "allow", "from": [API] }])
}

/// An HTTP listener in front of the cluster `app` that leaves trust to the module.
pub(crate) fn http_listener(world: &World, name: &str, filters: Filters, document: &Value) -> Listener {
    let routes = [Route::to("app", "/", "app")];
    let listener = Listener::http(name, routes).tls(&world.server, ClientCertificate::AcceptUntrusted);
    gated(listener, filters, document)
}

/// A listener with the module in it.
pub(crate) fn gated(listener: Listener, filters: Filters, document: &Value) -> Listener {
    let listener = showing_certificate(listener).request_filter(wasm(document));
    match filters {
        Filters::Both => listener.connection_filter(wasm(document)),
        Filters::RequestOnly => listener,
    }
}

/// Before 1.38 Envoy shows a network filter no certificate but what `set_filter_state` keeps, which 1.37 brought.
fn showing_certificate(listener: Listener) -> Listener {
    if envoy_version() < (1, 38) && listener.tls.is_some() {
        listener.keeping_certificate()
    } else {
        listener
    }
}

/// A TCP listener in front of the cluster `db`.
pub(crate) fn tcp_listener(world: &World, name: &str, dial: Dial, document: &Value) -> Listener {
    let listener = Listener::tcp(name, "db", dial).tls(&world.server, ClientCertificate::AcceptUntrusted);
    showing_certificate(listener).connection_filter(wasm(document))
}

/// The module with a document.
pub(crate) fn wasm(document: &Value) -> Wasm {
    Wasm::new(&module_path(), document.clone())
}

/// An Envoy with these listeners; `app` is the upstream.
pub(crate) async fn serve(listeners: impl IntoIterator<Item = Listener>, upstream: &HttpUpstream) -> Envoy {
    Envoy::start(Scenario {
        listeners: listeners.into_iter().collect(),
        clusters: vec![Cluster::new("app", upstream.addr())],
        ..Scenario::default()
    })
    .await
}

/// Gives every listener Envoy's TLS inspector, without which no filter sees the server name (SNI).
pub(crate) fn inspecting_tls(bootstrap: &mut Value) {
    let inspector = json!({
        "name": "envoy.filters.listener.tls_inspector",
        "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector" },
    });
    for listener in bootstrap["static_resources"]["listeners"].as_array_mut().unwrap() {
        listener["listener_filters"] = json!([inspector]);
    }
}

/// An HTTP/1.1 connection.
pub(crate) async fn http1(envoy: &Envoy, listener: &str, identity: Option<&Identity>) -> Http {
    let connection = Client::new(identity).connect(envoy.listener_addr(listener)).await;
    connection.unwrap().http1().await.unwrap()
}

/// An HTTP/2 connection.
pub(crate) async fn http2(envoy: &Envoy, listener: &str, identity: Option<&Identity>) -> Http {
    let client = Client::with(identity, ClientOptions::http2());
    let connection = client.connect(envoy.listener_addr(listener)).await.unwrap();
    assert_eq!(connection.alpn(), Some(&b"h2"[..]));
    connection.http2().await.unwrap()
}

/// What the module wrote into an access log entry; null where it wrote nothing.
pub(crate) fn record(entry: &Value) -> Value {
    entry["svidgate"].as_str().map_or(Value::Null, |text| {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("`{text}` is not JSON: {error}"))
    })
}

/// The reason in an access log entry.
pub(crate) fn reason(entry: &Value) -> String {
    record(entry)["reason"].as_str().unwrap_or("none at all").to_owned()
}

/// Asserts that a request was answered 403 with nothing in it.
pub(crate) fn assert_bare_403(outcome: &Outcome) {
    let Outcome::Response(response) = outcome else {
        panic!("no response: {outcome:?}")
    };
    assert_eq!((response.status, response.text().as_str()), (403, ""));
    let telling = response
        .headers
        .iter()
        .find(|(name, value)| name.contains("svidgate") || String::from_utf8_lossy(value).contains("svidgate"));
    assert_eq!(telling, None);
}

/// Asserts that no VM has failed, and that a good peer is still served.
pub(crate) async fn assert_alive(envoy: &Envoy) {
    let log = envoy.log();
    for trouble in [
        "panicked",
        "wasm trap",
        "Function: proxy_on",
        "Uncaught RuntimeError",
        "wasm_fail",
    ] {
        assert!(!log.contains(trouble), "the log has `{trouble}`");
    }
    let stats = envoy.stats("wasm.").await;
    let failures: Vec<_> = stats
        .iter()
        .filter(|(name, value)| name.contains("fail") && **value > 0)
        .collect();
    assert!(failures.is_empty(), "{failures:?}");
}
