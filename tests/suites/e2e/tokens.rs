//! Callers by their tokens: a gateway brings JWT-SVIDs, and what comes of them on a real Envoy; keys from a document and from a
//! Workload API.

use std::time::Duration;

use serde_json::{Value, json};
use support::{
    ca::{Identity, Key, KeyKind, bundle_json, real_now, token_of},
    client::Request,
    envoy::{Cluster, Envoy, Scenario},
    upstream::{Behaviour, HttpUpstream},
    workload_api::{Bundles, WorkloadApi},
    world::{OWN, PARTNER, World, with},
};

use crate::stage::{Filters, assert_alive, http_listener, http1, reason, record, serve};

const EDGE: &str = "spiffe://prod.example/edge";
const CALLER: &str = "spiffe://partner.example/ns/billing/tenant/7";
const AUDIENCE: &str = "spiffe://prod.example/ns/shop/sa/orders";
const PATH: &str = "/invoices/7/1";

fn document(world: &World) -> Value {
    let rules = json!([
        { "name": "partners", "effect": "allow", "from": ["spiffe://partner.example/ns/billing/tenant/{tenant}"],
          "via": ["edge"], "to": [{ "paths": ["/invoices/{tenant}/**"] }] },
        { "name": "own", "effect": "allow", "from": ["spiffe://prod.example/**"], "to": [{ "paths": ["/own"] }] },
    ]);
    let members = json!({
        "hops": [{ "name": "edge", "peers": [EDGE], "callers": ["spiffe://partner.example/ns/billing/**"],
                   "assertion": "jwt_svid" }],
        "jwt_svid": { "audiences": [AUDIENCE], "max_stream": "3s", "leeway": "1s" },
        "forward_id": true,
    });
    with(world.document(rules), members)
}

/// A key as an issuer publishes it, for a bundle or for a Workload API.
fn jwk(key: &Key, kid: &str) -> Value {
    with(key.jwk(), json!({ "kid": kid }))
}

/// With the partner's bundle in the document, and in it a key.
fn with_key(world: &World, key: &Key) -> Value {
    let mut bundle = bundle_json(&[&world.partner]);
    let published = with(jwk(key, "k"), json!({ "use": "jwt-svid" }));
    bundle["keys"].as_array_mut().unwrap().push(published);
    let federation = json!([{ "trust_domain": PARTNER, "bundle": { "inline": bundle }, "scope": ["/ns/billing/**"] }]);
    with(document(world), json!({ "federation": federation }))
}

fn claims(changes: Value) -> Value {
    let now = real_now().as_second();
    with(
        json!({ "aud": [AUDIENCE], "exp": now + 60, "iat": now, "sub": CALLER }),
        changes,
    )
}

fn bearer(key: &Key, changes: Value) -> String {
    let header = json!({ "alg": "ES256", "kid": "k", "typ": "JWT" }).to_string();
    format!("Bearer {}", token_of(key, "ES256", header, claims(changes).to_string()))
}

struct Gateway {
    envoy: Envoy,
    edge: Identity,
}

impl Gateway {
    async fn ask(&self, request: Request) -> (Option<u16>, Value) {
        let before = self.envoy.request_log("web").len();
        let status = http1(&self.envoy, "web", Some(&self.edge))
            .await
            .send(request)
            .await
            .status();
        let entries = self.envoy.wait_request_log("web", before + 1).await;
        (status, record(&entries[before]))
    }

    async fn reason(&self, request: Request) -> String {
        let (status, record) = self.ask(request).await;
        let reason = record["reason"].as_str().unwrap().to_owned();
        assert_eq!(status == Some(200), reason == "rule.allowed", "{status:?} {record}");
        reason
    }
}

#[tokio::test]
async fn caller_with_a_token_is_who_acts_and_each_thing_that_is_wrong_has_its_reason() {
    let (world, upstream, key) = (World::new(), HttpUpstream::start(), Key::generate(KeyKind::P256));
    let document = with_key(&world, &key);
    let envoy = serve([http_listener(&world, "web", Filters::Both, &document)], &upstream).await;
    let edge = world.own_identity("/edge");
    let gateway = Gateway { envoy, edge };
    let with_token = |token: &str| Request::get(PATH).header("authorization", token.to_owned());
    let good = bearer(&key, json!({}));
    let (status, record) = gateway.ask(with_token(&good)).await;
    let expected = json!({ "id": CALLER, "via": EDGE, "evidence": "token", "decision": "allow", "reason": "rule.allowed",
                           "rule": "partners", "version": "test" });
    assert_eq!((status, record), (Some(200), expected));
    let asked = upstream.requests().swap_remove(0);
    assert_eq!(asked.header("x-svidgate-id"), [CALLER.as_bytes()]);
    assert!(asked.header("authorization").is_empty(), "it was for us");
    let other = Key::generate(KeyKind::P256);
    let now = real_now().as_second();
    for (token, reason) in [
        (
            bearer(&key, json!({ "aud": "spiffe://prod.example/other" })),
            "token.wrong_audience",
        ),
        (
            bearer(&key, json!({ "exp": now - 5, "iat": now - 60 })),
            "token.expired",
        ),
        (bearer(&key, json!({ "exp": now + 7200 })), "token.lifetime_too_long"),
        (
            bearer(&key, json!({ "sub": "spiffe://prod.example/own" })),
            "token.unknown_key",
        ),
        (
            bearer(&key, json!({ "sub": "spiffe://partner.example/ns/billing/tenant/8" })),
            "rule.none_matched",
        ),
        (bearer(&key, json!({ "cnf": { "x5t#S256": "x" } })), "token.not_bound"),
        (bearer(&other, json!({})), "token.bad_signature"),
        ("Basic eDp5".to_owned(), "assertion.malformed"),
        ("Bearer x".to_owned(), "token.malformed"),
    ] {
        assert_eq!(gateway.reason(with_token(&token)).await, reason, "{token}");
    }
    // Never the gateway's own request, and never two tokens, whatever became of the lines on their way.
    assert_eq!(gateway.reason(Request::get("/own")).await, "assertion.missing");
    let two = Request::get(PATH)
        .header("authorization", good.clone())
        .header("authorization", good.clone());
    let reason = gateway.reason(two).await;
    assert!(
        ["assertion.ambiguous", "assertion.malformed"].contains(&&*reason),
        "{reason}"
    );
    // Who is no hop: neither read nor removed.
    let api = world.own_identity("/ns/shop/sa/api");
    let seen = upstream.requests().len();
    let request = Request::get("/own").header("authorization", good.clone());
    assert_eq!(
        http1(&gateway.envoy, "web", Some(&api))
            .await
            .send(request)
            .await
            .status(),
        Some(200)
    );
    assert_eq!(upstream.requests()[seen].header("authorization"), [good.as_bytes()]);
    assert_alive(&gateway.envoy).await;
}

#[tokio::test]
async fn download_goes_on_after_its_token_and_ends_with_max_stream() {
    let (world, upstream, key) = (World::new(), HttpUpstream::start(), Key::generate(KeyKind::P256));
    upstream.behave(Behaviour::Stream {
        every: Duration::from_millis(100),
        count: 300,
    });
    let document = with_key(&world, &key);
    let envoy = serve([http_listener(&world, "web", Filters::Both, &document)], &upstream).await;
    let edge = world.own_identity("/edge");
    let now = real_now().as_second();
    let token = bearer(&key, json!({ "exp": now + 2 }));
    let mut client = http1(&envoy, "web", Some(&edge)).await;
    let start = std::time::Instant::now();
    let answer = client.send(Request::get(PATH).header("authorization", token)).await;
    let lived = start.elapsed();
    assert_eq!(answer.status(), Some(200));
    // Two seconds of the token, one of leeway, three of `max_stream`, and up to two ticks.
    assert!(
        (Duration::from_secs(4)..Duration::from_secs(12)).contains(&lived),
        "{lived:?}"
    );
    let entries = envoy.wait_request_log("web", 1).await;
    assert_eq!(reason(&entries[0]), "token.expired");
    assert_alive(&envoy).await;
}

/// Keys come by a stream of their own, and go with it: with the key that signed it, a token and what it let through are over.
#[tokio::test]
async fn keys_of_a_workload_api_count_as_they_come_and_go() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let [key, next] = [(); 2].map(|()| Key::generate(KeyKind::P256));
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("agent.sock");
    let api = WorkloadApi::start(&socket);
    api.set(
        Bundles::default()
            .with(OWN, &[&world.own])
            .with(PARTNER, &[&world.partner]),
    );
    let mut document = with(
        document(&world),
        json!({
            "authorities": { "workload_api": { "cluster": "spire_agent" } },
            "federation": [{ "trust_domain": PARTNER, "scope": ["/ns/billing/**"] }],
        }),
    );
    document.as_object_mut().unwrap().remove("bundle");
    let envoy = Envoy::start(Scenario::of(
        http_listener(&world, "web", Filters::Both, &document),
        [
            Cluster::new("app", upstream.addr()),
            Cluster::unix("spire_agent", &socket),
        ],
    ))
    .await;
    let gateway = Gateway {
        edge: world.own_identity("/edge"),
        envoy,
    };
    // Until the agent has answered nobody gets to send a request.
    let api_of_ours = world.own_identity("/ns/shop/sa/api");
    let mut is_let_in = false;
    for _ in 0..100 {
        let answer = http1(&gateway.envoy, "web", Some(&api_of_ours))
            .await
            .send(Request::get("/own"))
            .await;
        is_let_in = answer.status() == Some(200);
        if is_let_in {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(is_let_in);
    gateway.envoy.wait_request_log("web", 1).await;
    let token = |key: &Key, kid: &str| {
        let header = json!({ "alg": "ES256", "kid": kid }).to_string();
        format!(
            "Bearer {}",
            token_of(key, "ES256", header, claims(json!({})).to_string())
        )
    };
    let ask = async |key: &Key, kid: &str| {
        let request = Request::get(PATH).header("authorization", token(key, kid));
        gateway.reason(request).await
    };
    let until = async |key: &Key, kid: &str, wanted: &str| {
        for _ in 0..100 {
            if ask(key, kid).await == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("never {wanted}");
    };
    // A trust domain may be in one stream and not yet in the other.
    until(&key, "a", "federation.bundle_missing").await;
    // As SPIRE writes them: without `use`.
    let set = |keys: &[Value]| json!({ "keys": keys }).to_string();
    api.set_jwt(&[(PARTNER, &set(&[jwk(&key, "a")]))]);
    until(&key, "a", "rule.allowed").await;
    assert_eq!(ask(&next, "b").await, "token.unknown_key");
    api.set_jwt(&[(PARTNER, &set(&[jwk(&key, "a"), jwk(&next, "b")])), (OWN, "no keys")]);
    until(&next, "b", "rule.allowed").await;
    assert_eq!(ask(&key, "a").await, "rule.allowed");
    upstream.behave(Behaviour::Stream {
        every: Duration::from_millis(100),
        count: 600,
    });
    let mut client = http1(&gateway.envoy, "web", Some(&gateway.edge)).await;
    let download = Request::get(PATH).header("authorization", token(&key, "a"));
    let download = tokio::spawn(async move { client.send(download).await });
    let served = upstream.requests().len();
    while upstream.requests().len() == served {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    api.set_jwt(&[(PARTNER, &set(&[jwk(&next, "b")]))]);
    let cut = tokio::time::timeout(Duration::from_secs(15), download).await;
    assert_eq!(cut.expect("it is cut").unwrap().status(), Some(200));
    upstream.behave(Behaviour::Answer(200, Vec::new()));
    until(&key, "a", "token.unknown_key").await;
    assert_eq!(ask(&next, "b").await, "rule.allowed");
    assert_alive(&gateway.envoy).await;
}
