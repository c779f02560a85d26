//! Callers without a client certificate, by their tokens: what such a connection opens, and that nothing else does, on a chain
//! without our HTTP filter, too.

use serde_json::{Value, json};
use support::{
    ca::{Identity, Key, KeyKind, Leaf, bundle_json, real_now, token_of},
    client::{Client, Request},
    envoy::{ClientCertificate, Cluster, Dial, Envoy, Listener, Route, Scenario},
    upstream::{HttpUpstream, TcpUpstream},
    world::{World, with},
};

use crate::{
    lock_behind::locking,
    stage::{Filters, assert_alive, gated, has_tcp, reason, record, showing_certificate, wasm},
};

const CALLER: &str = "spiffe://prod.example/ns/batch/7";
const AUDIENCE: &str = "spiffe://prod.example/ns/shop/sa/orders";
const PATH: &str = "/jobs/7";

fn document(world: &World, key: &Key) -> Value {
    let rules = json!([
        { "name": "batch", "effect": "allow", "from": ["spiffe://prod.example/ns/batch/{job}"], "via": ["balancer"],
          "to": [{ "paths": ["/jobs/{job}"] }] },
        { "name": "own", "effect": "allow", "from": ["spiffe://prod.example/**"], "to": [{ "paths": ["/own"] }] },
    ]);
    let mut bundle = bundle_json(&[&world.own]);
    let jwk = with(key.jwk(), json!({ "kid": "k", "use": "jwt-svid" }));
    bundle["keys"].as_array_mut().unwrap().push(jwk);
    let members = json!({
        "bundle": { "inline": bundle },
        "hops": [{ "name": "balancer", "peers": "anonymous", "callers": ["spiffe://prod.example/ns/batch/*"],
                   "assertion": "jwt_svid" }],
        "jwt_svid": { "audiences": [AUDIENCE] },
        "mark_passed": true,
        "forward_via": true,
    });
    with(world.document(rules), members)
}

fn bearer(key: &Key, changes: Value) -> String {
    let now = real_now().as_second();
    let claims = json!({ "aud": [AUDIENCE], "exp": now + 60, "iat": now, "sub": CALLER });
    let header = json!({ "alg": "ES256", "kid": "k", "typ": "JWT" }).to_string();
    format!(
        "Bearer {}",
        token_of(key, "ES256", header, with(claims, changes).to_string())
    )
}

fn http(world: &World, name: &str) -> Listener {
    Listener::http(name, [Route::to("app", "/", "app")]).tls(&world.server, ClientCertificate::Optional)
}

/// Gives the status, where there is an answer.
async fn ask(envoy: &Envoy, listener: &str, peer: Option<&Identity>, path: &str, token: Option<&str>) -> Option<u16> {
    let connection = Client::new(peer).connect(envoy.listener_addr(listener)).await.ok()?;
    let mut http = connection.http1().await.ok()?;
    let request = Request::get(path);
    let request = match token {
        Some(token) => request.header("authorization", token.to_owned()),
        None => request,
    };
    http.send(request).await.status()
}

#[tokio::test]
async fn token_opens_what_names_its_hop_and_nothing_else_is_open_without_a_certificate() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let key = Key::generate(KeyKind::P256);
    let document = document(&world, &key);
    let listeners = vec![
        gated(http(&world, "web"), Filters::Both, &document),
        gated(http(&world, "requests"), Filters::RequestOnly, &document),
        gated(
            Listener::http("open", [Route::to("app", "/", "app")]).tls(&world.server, ClientCertificate::NotAsked),
            Filters::Both,
            &document,
        ),
    ];
    let envoy = Envoy::start(Scenario {
        listeners,
        clusters: vec![Cluster::new("app", upstream.addr())],
        amend: Some(locking),
        ..Scenario::default()
    })
    .await;
    let good = bearer(&key, json!({}));
    let other_audience = bearer(&key, json!({ "aud": ["spiffe://prod.example/other"] }));
    let forged = bearer(&Key::generate(KeyKind::P256), json!({}));
    for listener in ["web", "requests", "open"] {
        let mut count = 0;
        for (path, token, expected) in [
            (PATH, Some(&good), "rule.allowed"),
            (PATH, None, "assertion.missing"),
            ("/own", Some(&good), "rule.none_matched"),
            ("/jobs/8", Some(&good), "rule.none_matched"),
            (PATH, Some(&other_audience), "token.wrong_audience"),
            (PATH, Some(&forged), "token.bad_signature"),
        ] {
            let status = ask(&envoy, listener, None, path, token.map(String::as_str)).await;
            assert_eq!(
                status,
                Some(if expected == "rule.allowed" { 200 } else { 403 }),
                "{listener} {path}"
            );
            count += 1;
            let record = record(&envoy.wait_request_log(listener, count).await[count - 1]);
            assert_eq!(
                (&record["reason"], &record["via"]),
                (&json!(expected), &json!("anonymous")),
                "{record}"
            );
        }
    }
    // Whoever shows a certificate is judged by it.
    let stranger = world
        .stranger
        .issue(Leaf::svid("spiffe://stranger.example/x", world.now));
    assert_eq!(ask(&envoy, "web", Some(&stranger), PATH, Some(&good)).await, None);
    assert_eq!(
        ask(&envoy, "requests", Some(&stranger), PATH, Some(&good)).await,
        Some(403)
    );
    let own = world.own_identity("/ns/shop");
    assert_eq!(ask(&envoy, "web", Some(&own), PATH, Some(&good)).await, Some(403));
    assert_eq!(ask(&envoy, "web", Some(&own), "/own", None).await, Some(200));
    for request in upstream.requests().iter().take(3) {
        assert_eq!(request.header("x-svidgate-via"), [b"anonymous"]);
        assert!(request.header("authorization").is_empty());
    }
    assert_alive(&envoy).await;
}

/// The network filter alone lets such a connection through because requests are judged. Where they are not, it does not; and
/// where the HTTP filter stands in another chain only, the lock behind refuses what it has not marked.
#[tokio::test]
async fn chain_without_the_http_filter_opens_nothing() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let tcp = TcpUpstream::echo();
    let key = Key::generate(KeyKind::P256);
    let document = document(&world, &key);
    let good = bearer(&key, json!({}));
    let alone = Envoy::start(Scenario {
        listeners: vec![bare(&world, &document)],
        clusters: vec![Cluster::new("app", upstream.addr())],
        ..Scenario::default()
    })
    .await;
    assert_eq!(ask(&alone, "bare", None, PATH, Some(&good)).await, None);
    let entry = alone.wait_connection_log("bare", 1).await.remove(0);
    assert_eq!(reason(&entry), "connection.no_certificate");
    assert_alive(&alone).await;
    let mut listeners = vec![
        gated(http(&world, "web"), Filters::Both, &document),
        bare(&world, &document),
    ];
    if has_tcp() {
        let db = Listener::tcp("db", "db", Dial::OnDownstreamData).tls(&world.server, ClientCertificate::Optional);
        listeners.push(showing_certificate(db, Filters::Both).connection_filter(wasm(&document)));
    }
    let envoy = Envoy::start(Scenario {
        listeners,
        clusters: vec![Cluster::new("app", upstream.addr()), Cluster::new("db", tcp.addr())],
        amend: Some(locking_http),
        ..Scenario::default()
    })
    .await;
    assert_eq!(ask(&envoy, "web", None, PATH, Some(&good)).await, Some(200));
    assert_eq!(
        ask(&envoy, "bare", None, PATH, Some(&good)).await,
        Some(403),
        "the lock has refused it"
    );
    assert_eq!(upstream.requests().len(), 1);
    if has_tcp() {
        let mut connection = Client::new(None).connect(envoy.listener_addr("db")).await.unwrap();
        let _ = connection.write(b"hello").await;
        let _ = connection.read_until_close().await;
        assert_eq!(
            reason(&envoy.wait_connection_log("db", 1).await[0]),
            "connection.not_http"
        );
        // As of everybody, in front of `tcp_proxy` with a document for HTTP.
        assert_eq!(tcp.received(), b"hello", "the first bytes alone");
    }
    assert_alive(&envoy).await;
}

/// A listener with the network filter alone.
fn bare(world: &World, document: &Value) -> Listener {
    showing_certificate(http(world, "bare"), Filters::Both).connection_filter(wasm(document))
}

/// A lock behind the HTTP filters; a TCP listener has none.
fn locking_http(bootstrap: &mut Value) {
    let listeners = bootstrap["static_resources"]["listeners"].as_array_mut().unwrap();
    let (http, tcp): (Vec<Value>, Vec<Value>) = listeners.drain(..).partition(|listener| listener["name"] != "db");
    *listeners = http;
    locking(bootstrap);
    bootstrap["static_resources"]["listeners"]
        .as_array_mut()
        .unwrap()
        .extend(tcp);
}
