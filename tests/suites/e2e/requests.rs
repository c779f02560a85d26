//! Requests of peers with an identity: each is decided on by the rules, whatever the version of HTTP.

use serde_json::{Value, json};
use support::{
    ca::Identity,
    client::{Client, ClientOptions, Http, Request},
    envoy::{ClientCertificate, Cluster, Envoy, Listener, Route, Scenario},
    upstream::HttpUpstream,
    world::World,
};

use crate::stage::{API, API_PATH, Filters, assert_bare_403, gated, http1, http2, inspecting_tls, reason, record};

fn rules() -> Value {
    let high_ports: Vec<u16> = (1024..=65535).collect();
    json!([
        { "name": "reads", "effect": "allow", "from": [API],
          "to": [{ "methods": ["GET", "HEAD"], "paths": ["/read/**"] }] },
        { "name": "tenants", "effect": "allow", "from": ["spiffe://prod.example/ns/shop/tenant/{tenant}"],
          "to": [{ "paths": ["/invoices/{tenant}/**"] }] },
        { "name": "open", "effect": "allow", "from": [API], "to": [{ "paths": ["/open/**"] }] },
        { "name": "secret", "effect": "deny", "from": ["spiffe://*/**"], "to": [{ "paths": ["/open/secret/**"] }] },
        { "name": "internal", "effect": "allow", "from": [API],
          "to": [{ "hosts": ["internal.example", "*.cluster.local"] }] },
        { "name": "routed", "effect": "allow", "from": [API], "to": [{ "routes": ["special"] }] },
        { "name": "labelled", "effect": "allow", "from": [API], "to": [{ "paths": ["/labelled"] }],
          "when": { "headers": [{ "name": "x-env", "is": "prod" }], "not_headers": [{ "name": "x-debug", "present": true }] } },
        { "name": "high-port", "effect": "allow", "from": [API], "to": [{ "ports": high_ports, "paths": ["/ports/high"] }] },
        { "name": "low-port", "effect": "allow", "from": [API], "to": [{ "ports": [80, 443], "paths": ["/ports/low"] }] },
        { "name": "named", "effect": "allow", "from": [API], "to": [{ "sni": ["*.sni.example"], "paths": ["/named"] }] },
        { "name": "over", "effect": "allow", "from": [API], "to": [{ "paths": ["/over"] }], "expires": "2020-01-01T00:00:00Z" },
        { "name": "partner", "effect": "allow", "from": ["spiffe://partner.example/ns/billing/sa/api"],
          "to": [{ "methods": ["POST"], "paths": ["/read/**"] }] },
    ])
}

fn request(method: &str, path: &str) -> Request {
    Request::new(method, path)
}

fn at(host: &str, path: &str) -> Request {
    Request {
        host: host.to_owned(),
        ..Request::get(path)
    }
}

/// What our API asks, and the rule that lets it, or the reason why not.
fn asked_by_the_api() -> Vec<(Request, Result<&'static str, &'static str>)> {
    let labelled = |values: &[&str]| {
        values.iter().fold(Request::get("/labelled"), |request, value| {
            request.header("x-env", *value)
        })
    };
    vec![
        (request("GET", "/read/a"), Ok("reads")),
        (request("HEAD", "/read/a/b?q=/../x"), Ok("reads")),
        (request("GET", "/read"), Ok("reads")),
        (request("GET", "/read/%61"), Ok("reads")),
        (request("POST", "/read/a"), Err("rule.none_matched")),
        (request("GET", "/READ/a"), Err("rule.none_matched")),
        (request("GET", "/readers"), Err("rule.none_matched")),
        (request("GET", "/"), Err("rule.none_matched")),
        (request("GET", "/invoices/blue/1"), Err("rule.none_matched")),
        (request("DELETE", "/open/x"), Ok("open")),
        (request("GET", "/open/secret"), Err("rule.denied")),
        (request("GET", "/open/secret/x"), Err("rule.denied")),
        (request("GET", "/open/%73ecret/x"), Err("rule.denied")),
        (request("GET", "/open/secrets"), Ok("open")),
        (at("internal.example", "/x"), Ok("internal")),
        (at("INTERNAL.example:8443", "/x"), Ok("internal")),
        (at("internal.example.", "/x"), Ok("internal")),
        (at("db.cluster.local", "/x"), Ok("internal")),
        (at("internal.example.evil.example", "/x"), Err("rule.none_matched")),
        (at("internal.example", "/open/secret"), Err("rule.denied")),
        (request("GET", "/special/x"), Ok("routed")),
        (labelled(&["prod"]), Ok("labelled")),
        (labelled(&["prod", "prod"]), Ok("labelled")),
        (labelled(&[]), Err("rule.none_matched")),
        (labelled(&["prod", "test"]), Err("rule.none_matched")),
        (labelled(&["Prod"]), Err("rule.none_matched")),
        (labelled(&["prod"]).header("x-debug", ""), Err("rule.none_matched")),
        (request("GET", "/ports/high"), Ok("high-port")),
        (request("GET", "/ports/low"), Err("rule.none_matched")),
        (request("GET", "/named"), Err("rule.none_matched")),
        (request("GET", "/over"), Err("rule.expired")),
    ]
}

struct Gate {
    world: World,
    upstream: HttpUpstream,
    envoy: Envoy,
}

impl Gate {
    async fn start() -> Self {
        let (world, upstream) = (World::new(), HttpUpstream::start());
        let document = world.document(rules());
        let routes = || [Route::to("special", "/special", "app"), Route::to("app", "/", "app")];
        let listener = |name, filters| {
            let listener = Listener::http(name, routes()).tls(&world.server, ClientCertificate::AcceptUntrusted);
            gated(listener, filters, &document)
        };
        let listeners = [
            listener("web", Filters::Both),
            listener("request_only", Filters::RequestOnly),
        ];
        let envoy = Envoy::start(Scenario {
            listeners: listeners.into(),
            clusters: vec![Cluster::new("app", upstream.addr())],
            amend: Some(inspecting_tls),
            ..Scenario::default()
        });
        let envoy = envoy.await;
        Self { world, upstream, envoy }
    }

    /// Sends a request and checks what came of it: the answer, the record, what reached the upstream.
    async fn ask(&self, http: &mut Http, request: Request, expected: Result<&str, &str>) {
        let (logged, arrived) = (self.envoy.request_log("web").len(), self.upstream.requests().len());
        let what = format!(
            "{} {} {} {:?}",
            request.method, request.host, request.path, request.headers
        );
        let outcome = http.send(request).await;
        let log = self.envoy.wait_request_log("web", logged + 1).await;
        let record = record(&log[logged]);
        let arrived = self.upstream.requests().len() - arrived;
        match expected {
            Ok(rule) => {
                assert_eq!((outcome.status(), arrived), (Some(200), 1), "{what}: {record}");
                assert_eq!(
                    (&record["decision"], &record["rule"]),
                    (&json!("allow"), &json!(rule)),
                    "{what}"
                );
                assert_eq!(reason(&log[logged]), "rule.allowed", "{what}");
            }
            Err(expected) => {
                assert_bare_403(&outcome);
                assert_eq!((reason(&log[logged]).as_str(), arrived), (expected, 0), "{what}");
                assert_eq!(record["decision"], "deny", "{what}");
            }
        }
    }
}

#[tokio::test]
async fn every_request_is_allowed_or_refused_by_its_own_rule() {
    let gate = Gate::start().await;
    let api = gate.world.own_identity(API_PATH);
    let mut one = http1(&gate.envoy, "web", Some(&api)).await;
    let mut two = http2(&gate.envoy, "web", Some(&api)).await;
    for (request, expected) in asked_by_the_api() {
        gate.ask(&mut one, request.clone(), expected).await;
        gate.ask(&mut two, request, expected).await;
    }
    // Over HTTP/1.1 Envoy itself refuses a method that it does not know.
    gate.ask(&mut two, request("get", "/read/a"), Err("rule.none_matched"))
        .await;
    // A refused request costs nobody the connection.
    assert!(!one.is_closed() && !two.is_closed());

    let (invoices, refused) = ("/invoices/blue/7", Err("rule.none_matched"));
    let tenant = |name: &str| gate.world.own_identity(&format!("/ns/shop/tenant/{name}"));
    let mut blue = http1(&gate.envoy, "web", Some(&tenant("blue"))).await;
    gate.ask(&mut blue, Request::get(invoices), Ok("tenants")).await;
    gate.ask(&mut blue, Request::get("/invoices/red/7"), refused).await;
    gate.ask(&mut blue, Request::get("/invoices/blue-2/7"), refused).await;
    gate.ask(&mut blue, Request::get("/read/a"), refused).await;
    let mut red = http2(&gate.envoy, "web", Some(&tenant("red"))).await;
    gate.ask(&mut red, Request::get(invoices), refused).await;
    gate.ask(&mut red, Request::get("/invoices/red/7"), Ok("tenants")).await;

    let mut partner = http1(
        &gate.envoy,
        "web",
        Some(&gate.world.partner_identity("/ns/billing/sa/api")),
    )
    .await;
    gate.ask(&mut partner, request("POST", "/read/a"), Ok("partner")).await;
    gate.ask(&mut partner, request("GET", "/read/a"), refused).await;

    let options = ClientOptions {
        server_name: "db.sni.example".to_owned(),
        ..ClientOptions::default()
    };
    let named = Client::with(Some(&api), options)
        .connect(gate.envoy.listener_addr("web"))
        .await
        .unwrap();
    gate.ask(&mut named.http1().await.unwrap(), Request::get("/named"), Ok("named"))
        .await;
}

/// The first of our own ids that no rule speaks of.
fn without_grants(world: &World) -> Identity {
    world.own_identity("/ns/shop/sa/nobody")
}

#[tokio::test]
async fn peer_that_no_rule_could_ever_allow_is_closed_at_the_connection() {
    let gate = Gate::start().await;
    let nobody = without_grants(&gate.world);
    assert_eq!(
        http1(&gate.envoy, "web", Some(&nobody))
            .await
            .get("/open")
            .await
            .status(),
        None
    );
    let closed = record(&gate.envoy.wait_connection_log("web", 1).await[0]);
    let id = "spiffe://prod.example/ns/shop/sa/nobody";
    assert_eq!(
        closed,
        json!({ "id": id, "decision": "deny", "reason": "rule.none_matched", "version": "test" })
    );

    assert_bare_403(
        &http1(&gate.envoy, "request_only", Some(&nobody))
            .await
            .get("/open")
            .await,
    );
    let refused = record(&gate.envoy.wait_request_log("request_only", 1).await[0]);
    assert_eq!(
        refused,
        json!({ "id": id, "decision": "deny", "reason": "rule.none_matched", "version": "test" })
    );
    assert_eq!(gate.upstream.connections(), 0);
}
