//! Callers behind two gateways, each a real Envoy: who acts is whom the outer one shows, through both and no other.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};
use support::{
    ca::{Identity, Leaf, real_now},
    client::Request,
    envoy::{ClientCertificate, Cluster, Envoy, Listener, Route, Scenario, Xfcc},
    upstream::{Behaviour, HttpUpstream},
    world::{World, with},
};

use crate::stage::{Filters, assert_alive, http_listener, http1, record, serve};

const EDGE: &str = "spiffe://prod.example/edge";
const OUTER_PATH: &str = "/ns/billing/gateway";
const OUTER: &str = "spiffe://partner.example/ns/billing/gateway";
const CALLER_PATH: &str = "/ns/billing/tenant/7";
const CALLER: &str = "spiffe://partner.example/ns/billing/tenant/7";
const PATH: &str = "/invoices/7/1";

fn document(world: &World) -> Value {
    let rules = json!([
        { "name": "partners", "effect": "allow", "from": ["spiffe://partner.example/ns/billing/tenant/{tenant}"],
          "via": ["edge", "theirs"], "to": [{ "paths": ["/invoices/{tenant}/**"] }] },
    ]);
    let hops = json!([
        { "name": "edge", "peers": [EDGE], "callers": ["spiffe://partner.example/ns/billing/tenant/*"],
          "assertion": "xfcc", "depth": 2 },
        { "name": "theirs", "peers": [OUTER], "callers": ["spiffe://partner.example/ns/billing/tenant/*"],
          "assertion": "xfcc" },
    ]);
    with(
        world.document(rules),
        json!({ "xfcc": "hop", "hops": hops, "forward_via": true }),
    )
}

/// A gateway that speaks to the next proxy as `identity`.
async fn gateway(world: &World, identity: &Identity, next: std::net::SocketAddr, listeners: &[(&str, Xfcc)]) -> Envoy {
    let listener = |(name, mode): &(&str, Xfcc)| {
        let listener = Listener::http(name, [Route::to("next", "/", "next")]);
        listener
            .tls(&world.server, ClientCertificate::AcceptUntrusted)
            .xfcc(*mode)
    };
    Envoy::start(Scenario {
        listeners: listeners.iter().map(listener).collect(),
        clusters: vec![Cluster::mutual_tls("next", next, identity)],
        ..Scenario::default()
    })
    .await
}

#[tokio::test]
async fn caller_behind_two_gateways_is_who_acts_and_no_part_of_the_way_may_be_left_out() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let deciding = serve(
        [http_listener(&world, "in", Filters::Both, &document(&world)).xfcc(Xfcc::ForwardOnly)],
        &upstream,
    )
    .await;
    let modes = [
        ("append", Xfcc::AppendForward),
        ("set", Xfcc::SanitizeSet),
        ("forward", Xfcc::ForwardOnly),
    ];
    let edge = gateway(
        &world,
        &world.own_identity("/edge"),
        deciding.listener_addr("in"),
        &modes,
    )
    .await;
    let outer = |name: &'static str| {
        let modes = [("append", Xfcc::AppendForward), ("set", Xfcc::SanitizeSet)];
        let (world, edge) = (&world, &edge);
        async move {
            gateway(
                world,
                &world.partner_identity(OUTER_PATH),
                edge.listener_addr(name),
                &modes,
            )
            .await
        }
    };
    let (whole, cut, passed_on) = (outer("append").await, outer("set").await, outer("forward").await);
    let (caller, other) = (
        world.partner_identity(CALLER_PATH),
        world.own_identity("/ns/shop/sa/web"),
    );
    let mallory = world.partner_identity("/ns/billing/tenant/8");
    let public: String = caller.leaf_pem().bytes().map(|byte| format!("%{byte:02X}")).collect();
    let public = format!("Cert=\"{public}\"");
    let mut count = 0;
    let forged = format!("By={OUTER};URI={CALLER}");
    for (envoy, listener, client, said, expected) in [
        (&whole, "set", &caller, None, "rule.allowed"),
        // What the client says the outer one takes away, or it is one element too many.
        (&whole, "set", &caller, Some(&forged), "rule.allowed"),
        (&whole, "append", &caller, Some(&forged), "assertion.too_many_hops"),
        (&whole, "append", &caller, None, "rule.allowed"),
        (&whole, "set", &other, Some(&forged), "assertion.not_allowed"),
        // The inner one takes away what the outer one has said, or adds nothing of its own.
        (&cut, "set", &caller, None, "assertion.broken_chain"),
        (&passed_on, "set", &caller, None, "assertion.broken_chain"),
        (&passed_on, "append", &caller, Some(&forged), "assertion.missing"),
        // Straight to the inner one.
        (&edge, "append", &caller, None, "assertion.broken_chain"),
        (&edge, "append", &caller, Some(&forged), "assertion.missing"),
        // Whoever has connected to it is no gateway, whatever certificate of another it shows.
        (&edge, "append", &mallory, Some(&public), "assertion.not_allowed"),
        (&edge, "forward", &caller, Some(&forged), "assertion.broken_chain"),
    ] {
        let request = Request::get(PATH);
        let request = match said {
            Some(said) => request.header("x-forwarded-client-cert", said.clone()),
            None => request,
        };
        let status = http1(envoy, listener, Some(client)).await.send(request).await.status();
        count += 1;
        let record = record(&deciding.wait_request_log("in", count).await[count - 1]);
        assert_eq!(record["reason"], expected, "{listener} {said:?}: {record}");
        assert_eq!(
            status,
            Some(if expected == "rule.allowed" { 200 } else { 403 }),
            "{record}"
        );
        if expected == "rule.allowed" {
            assert_eq!(
                (&record["id"], &record["via"]),
                (&json!(CALLER), &json!(format!("{OUTER},{EDGE}")))
            );
        }
    }
    let asked = upstream.requests().swap_remove(0);
    assert_eq!(asked.header("x-svidgate-via"), [format!("{OUTER},{EDGE}").as_bytes()]);
    assert_alive(&deciding).await;
}

/// The outer gateway's certificate ends while a download through it goes on.
#[tokio::test]
async fn download_is_cut_when_a_gateway_that_is_not_ours_to_see_is_over() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let deciding = serve(
        [http_listener(&world, "in", Filters::Both, &document(&world)).xfcc(Xfcc::ForwardOnly)],
        &upstream,
    )
    .await;
    let modes = [("append", Xfcc::AppendForward)];
    let edge = gateway(
        &world,
        &world.own_identity("/edge"),
        deciding.listener_addr("in"),
        &modes,
    )
    .await;
    let short = world.partner.issue(Leaf {
        not_after: real_now() + SignedDuration::from_secs(8),
        ..Leaf::svid(OUTER, world.now)
    });
    let outer = gateway(
        &world,
        &short,
        edge.listener_addr("append"),
        &[("set", Xfcc::SanitizeSet)],
    )
    .await;
    upstream.behave(Behaviour::Stream {
        every: Duration::from_millis(100),
        count: 150,
    });
    let mut http = http1(&outer, "set", Some(&world.partner_identity(CALLER_PATH))).await;
    let download = http.open(Request::get(PATH)).await.unwrap();
    assert!(!download.collect().await.complete);
    let record = record(&deciding.wait_request_log("in", 1).await[0]);
    assert_eq!(
        (&record["reason"], &record["of"], &record["cut"]),
        (&json!("svid.expired"), &json!("hop"), &json!(true)),
        "{record}"
    );
    assert_alive(&deciding).await;
}
