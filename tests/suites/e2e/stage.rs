//! What every subject needs: listeners with the module in front of an upstream, and the records read back.

use serde_json::{Value, json};
use support::{
    ca::Identity,
    client::{Client, ClientOptions, Http, Outcome},
    envoy::{ClientCertificate, Cluster, Dial, Envoy, Keeping, Listener, Route, Scenario, Wasm, envoy_version},
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
    let listener = showing_certificate(listener, filters).request_filter(wasm(document));
    match filters {
        Filters::Both => listener.connection_filter(wasm(document)),
        Filters::RequestOnly => listener,
    }
}

/// Before 1.38 Envoy shows no certificate but what `set_filter_state` keeps: in 1.37 when the handshake is done, before
/// behind a hold.
pub(crate) fn showing_certificate(listener: Listener, filters: Filters) -> Listener {
    let how = match (envoy_version(), filters) {
        (version, _) if version >= (1, 38) => Keeping::No,
        (version, _) if version >= (1, 37) && listener.tls.is_none() => Keeping::No,
        (version, _) if version >= (1, 37) => Keeping::OnTlsHandshake,
        (_, Filters::Both) => Keeping::BehindHold,
        (_, Filters::RequestOnly) => Keeping::AtRequest,
    };
    listener.keeping_certificate(how)
}

/// A TCP listener in front of the cluster `db`.
pub(crate) fn tcp_listener(world: &World, name: &str, dial: Dial, document: &Value) -> Listener {
    let listener = Listener::tcp(name, "db", dial).tls(&world.server, ClientCertificate::AcceptUntrusted);
    let listener = match dial {
        // For TCP there is nothing that an older one could keep it with.
        Dial::Immediately if !has_tcp() => listener,
        Dial::Immediately | Dial::OnDownstreamData | Dial::OnTlsHandshake => {
            showing_certificate(listener, Filters::Both)
        }
    };
    listener.connection_filter(wasm(document))
}

/// Whether this Envoy bears a TCP listener with the module in it.
pub(crate) fn has_tcp() -> bool {
    envoy_version() >= (1, 37)
}

/// For tests of what a TCP listener does with a document. On an Envoy that bears none, asserts that the document is
/// refused at the start with the reason, and gives true: there is nothing more to test.
pub(crate) async fn tcp_is_refused(world: &World, document: &Value) -> bool {
    if has_tcp() {
        return false;
    }
    let said = refusal(tcp_listener(world, "db", Dial::Immediately, document)).await;
    let (major, minor) = envoy_version();
    let reason = format!("svidgate: listener: Envoy {major}.{minor} has no `upstream_connect_mode`");
    assert!(said.contains(&reason), "{said}");
    true
}

/// Whether an HTTP/2 answer that is cut looks whole to our client. Envoy 1.36 resets the stream with `NO_ERROR`, later
/// ones with an error.
pub(crate) fn cut_http2_looks_whole() -> bool {
    envoy_version() < (1, 37)
}

/// What an Envoy says that does not start with a listener in front of `app` or `db`.
pub(crate) async fn refusal(listener: Listener) -> String {
    let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
    let clusters = ["app", "db"].map(|name| Cluster::new(name, nowhere));
    match Envoy::try_start(Scenario::of(listener, clusters)).await {
        Ok(_) => panic!("Envoy started"),
        Err(log) => log,
    }
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

/// A peer that asks again and again on one connection of a listener with the HTTP filter alone, so that every answer
/// has its reason in the access log.
pub(crate) struct Asking<'e> {
    envoy: &'e Envoy,
    listener: &'e str,
    identity: Identity,
    http: Http,
}

impl<'e> Asking<'e> {
    pub(crate) async fn start(envoy: &'e Envoy, listener: &'e str, identity: &Identity) -> Self {
        Self {
            envoy,
            listener,
            identity: identity.clone(),
            http: http1(envoy, listener, Some(identity)).await,
        }
    }

    /// Asks once, and gives the reason for the answer.
    pub(crate) async fn reason(&mut self) -> String {
        let path = format!("/{}", NUMBER.fetch_add(1, std::sync::atomic::Ordering::SeqCst));
        if self.http.is_closed() {
            self.http = http1(self.envoy, self.listener, Some(&self.identity)).await;
        }
        let status = self.http.get(&path).await.status();
        let deadline = std::time::Instant::now() + support::client::PATIENCE;
        loop {
            let log = self.envoy.request_log(self.listener);
            if let Some(entry) = log.iter().rev().find(|entry| entry["path"] == path.as_str()) {
                let reason = reason(entry);
                assert_eq!(status == Some(200), reason == "rule.allowed", "{status:?} {reason}");
                return reason;
            }
            assert!(std::time::Instant::now() < deadline, "no entry for {path}");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// Asks until the reason is this one; gives how long it took.
    pub(crate) async fn wait(&mut self, wanted: &str) -> std::time::Duration {
        let start = std::time::Instant::now();
        loop {
            let reason = self.reason().await;
            if reason == wanted {
                return start.elapsed();
            }
            assert!(start.elapsed() < LONG, "it is still {reason}, not {wanted}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    /// Asks for a while; all answers have this reason.
    pub(crate) async fn keeps(&mut self, wanted: &str, span: std::time::Duration) {
        let start = std::time::Instant::now();
        while start.elapsed() < span {
            assert_eq!(self.reason().await, wanted);
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
}

/// So that every request has a path of its own.
static NUMBER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
/// What a source may take to be asked again after failures, and then some.
const LONG: std::time::Duration = std::time::Duration::from_secs(30);
