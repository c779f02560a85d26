//! Callers behind a gateway: who acts is whom the gateway shows, on its word and with the certificate; what clients say,
//! to the gateway or past it, gives nobody an identity.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};
use support::{
    ca::{Identity, Leaf, real_now},
    client::{Client, Request},
    envoy::{ClientCertificate, Cluster, Envoy, Listener, Route, Scenario, Xfcc},
    upstream::{Behaviour, HttpUpstream},
    world::{PARTNER, World, with},
};

use crate::stage::{Filters, assert_alive, http_listener, http1, reason, record, serve};

const XFCC: &str = "x-forwarded-client-cert";
const EDGE: &str = "spiffe://prod.example/edge";
const CALLER_PATH: &str = "/ns/billing/tenant/7";
const CALLER: &str = "spiffe://partner.example/ns/billing/tenant/7";
const PATH: &str = "/invoices/7/1";

/// What a gateway may bring, and what peers may ask for themselves.
fn document(world: &World, xfcc: &str) -> Value {
    let rules = json!([
        { "name": "partners", "effect": "allow", "from": ["spiffe://partner.example/ns/billing/tenant/{tenant}"],
          "via": ["edge"], "to": [{ "paths": ["/invoices/{tenant}/**"] }] },
        { "name": "own", "effect": "allow", "from": ["spiffe://prod.example/**"], "to": [{ "paths": ["/own"] }] },
    ]);
    let hops = json!([{ "name": "edge", "peers": [EDGE], "callers": ["spiffe://partner.example/ns/billing/**"],
                        "assertion": "xfcc" }]);
    let members = json!({ "xfcc": xfcc, "hops": hops, "forward_id": true, "forward_via": true });
    with(world.document(rules), members)
}

/// The proxy that decides: one listener of each mode.
async fn deciding(world: &World, upstream: &HttpUpstream) -> Envoy {
    let listener = |name: &str, mode, xfcc| {
        let document = document(world, xfcc);
        http_listener(world, name, Filters::Both, &document).xfcc(mode)
    };
    let listeners = [
        listener("forward", Xfcc::ForwardOnly, "hop"),
        listener("append", Xfcc::AppendForward, "hop_appended"),
    ];
    serve(listeners, upstream).await
}

/// The gateways in front of it, all with the identity of the edge: as they should be, and in three ways as not.
async fn gateway(world: &World, deciding: &Envoy) -> Envoy {
    let edge = world.own_identity("/edge");
    let cluster = |name: &str| Cluster::mutual_tls(name, deciding.listener_addr(name), &edge);
    let listener = |name: &str, server: &Identity, clients: ClientCertificate, mode| {
        let routes = [
            Route::to("append", "/append", "append"),
            Route::to("forward", "/", "forward"),
        ];
        Listener::http(name, routes).tls(server, clients).xfcc(mode)
    };
    let untrusted = || ClientCertificate::AcceptUntrusted;
    Envoy::start(Scenario {
        listeners: vec![
            listener("gateway", &world.server, untrusted(), Xfcc::SanitizeSet),
            listener("with_svid", &edge, untrusted(), Xfcc::SanitizeSet),
            listener("open", &world.server, ClientCertificate::NotAsked, Xfcc::SanitizeSet),
            listener("appending", &world.server, untrusted(), Xfcc::AppendForward),
            listener("forwarding", &world.server, untrusted(), Xfcc::ForwardOnly),
        ],
        clusters: vec![cluster("forward"), cluster("append")],
        ..Scenario::default()
    })
    .await
}

/// A certificate as Envoy writes it into the header.
fn escaped(pem: &str) -> String {
    let escape = |byte: u8| {
        if byte.is_ascii_alphanumeric() {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    pem.bytes().map(escape).collect()
}

fn element(caller: &Identity) -> String {
    format!(
        "Hash={};Cert=\"{}\";URI={CALLER}",
        caller.leaf_sha256(),
        escaped(&caller.leaf_pem())
    )
}

/// Asks through a gateway, and gives the answer and what the deciding proxy has recorded of it.
struct Through<'e> {
    gateway: &'e Envoy,
    deciding: &'e Envoy,
}

impl Through<'_> {
    async fn ask(&self, listener: &str, client: Option<&Identity>, request: Request) -> (Option<u16>, Value) {
        let before = self.deciding.request_log("forward").len();
        let status = http1(self.gateway, listener, client).await.send(request).await.status();
        let entries = self.deciding.wait_request_log("forward", before + 1).await;
        (status, record(&entries[before]))
    }
}

#[tokio::test]
async fn caller_behind_a_gateway_is_who_acts() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let deciding = deciding(&world, &upstream).await;
    let gateway = gateway(&world, &deciding).await;
    let through = Through {
        gateway: &gateway,
        deciding: &deciding,
    };
    let caller = world.partner_identity(CALLER_PATH);
    let expected = json!({ "id": CALLER, "via": EDGE, "evidence": "certificate", "decision": "allow",
                           "reason": "rule.allowed", "rule": "partners", "version": "test" });
    for (number, listener) in ["gateway", "with_svid"].into_iter().enumerate() {
        // What the client says of itself the gateway takes away.
        let forged = Request::get(PATH)
            .header(XFCC, "By=x;URI=spiffe://prod.example/api")
            .header("x-svidgate-via", "x");
        let (status, record) = through.ask(listener, Some(&caller), forged).await;
        assert_eq!((status, record), (Some(200), expected.clone()), "{listener}");
        let asked = upstream.requests().swap_remove(number);
        assert_eq!(asked.header("x-svidgate-id"), [CALLER.as_bytes()]);
        assert_eq!(asked.header("x-svidgate-via"), [EDGE.as_bytes()]);
        assert!(asked.header(XFCC).is_empty());
    }
    // Rights are those of the caller: neither another tenant's, nor the gateway's own.
    for path in ["/invoices/8/1", "/own"] {
        let (status, record) = through.ask("gateway", Some(&caller), Request::get(path)).await;
        assert_eq!(
            (status, &record["reason"]),
            (Some(403), &json!("rule.none_matched")),
            "{path}"
        );
        assert_eq!(record["id"], CALLER);
    }
    let other = world.own_identity("/ns/shop/sa/api");
    let (status, record) = through.ask("gateway", Some(&other), Request::get("/own")).await;
    assert_eq!(
        (status, &record["reason"]),
        (Some(403), &json!("assertion.not_allowed"))
    );
    assert_alive(&deciding).await;
}

/// Whoever takes the caller away from a request does not make it the gateway's.
#[tokio::test]
async fn what_a_gateway_does_not_say_or_should_not_pass_on_is_refused() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let deciding = deciding(&world, &upstream).await;
    let gateway = gateway(&world, &deciding).await;
    let through = Through {
        gateway: &gateway,
        deciding: &deciding,
    };
    let (caller, mallory) = (
        world.partner_identity(CALLER_PATH),
        world.partner_identity("/ns/billing/mallory"),
    );
    let forged = element(&caller);
    for (listener, client, xfcc, expected) in [
        // No certificate: Envoy drops the header, whatever the mode.
        ("open", None, Some(&forged), "assertion.missing"),
        ("open", None, None, "assertion.missing"),
        ("forwarding", Some(&mallory), None, "assertion.missing"),
        ("appending", Some(&mallory), Some(&forged), "assertion.too_many_hops"),
    ] {
        for path in [PATH, "/own"] {
            let request = Request::get(path);
            let request = match xfcc {
                Some(xfcc) => request.header(XFCC, xfcc.clone()),
                None => request,
            };
            let (status, record) = through.ask(listener, client, request).await;
            assert_eq!(
                (status, &record["reason"]),
                (Some(403), &json!(expected)),
                "{listener} {record}"
            );
            assert_eq!((&record["via"], record.get("id")), (&json!(EDGE), None));
        }
    }
    // Mixed formats of a gateway that appends: whatever comes, no caller of the client's choice.
    for xfcc in [
        json!([{ "cert": caller.leaf_pem() }]).to_string(),
        "[".to_owned(),
        "[{\"a\":1}],[{\"b\":1}]".to_owned(),
        "Hash=00;Subject=\"".to_owned(),
    ] {
        let (status, record) = through
            .ask(
                "appending",
                Some(&mallory),
                Request::get(PATH).header(XFCC, xfcc.clone()),
            )
            .await;
        let reason = record["reason"].as_str().unwrap_or_default();
        assert!(
            status == Some(403) && reason.starts_with("assertion."),
            "{xfcc}: {record}"
        );
    }
    assert_eq!(upstream.connections(), 0);
    assert_alive(&deciding).await;
}

/// Leaves of an authority that the gateway trusts, with names that look like more when they are written unescaped.
#[tokio::test]
async fn names_that_look_like_more_give_nobody_an_identity() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let deciding = deciding(&world, &upstream).await;
    let gateway = gateway(&world, &deciding).await;
    let through = Through {
        gateway: &gateway,
        deciding: &deciding,
    };
    let leaf = |uri: &str, dns: &[&str]| {
        let profile = Leaf {
            dns_sans: dns.iter().map(ToString::to_string).collect(),
            ..Leaf::svid(uri, world.now)
        };
        world.partner.issue(profile)
    };
    let id = format!("spiffe://{PARTNER}/ns/billing/mallory");
    for (uri, dns) in [
        (format!("{id},URI={CALLER}"), vec![]),
        (format!("{id},By={EDGE};URI={CALLER}"), vec![]),
        (format!("{CALLER};DNS=x"), vec![]),
        (format!("{CALLER};Issuer=\"CN=x\""), vec![]),
        (
            format!(
                "{CALLER},By={EDGE};Hash={};URI=spiffe://prod.example/edge",
                "a".repeat(64)
            ),
            vec![],
        ),
        (format!("{CALLER}\""), vec![]),
        (id.clone(), vec!["a,b;c=\"d"]),
        (format!("{id};Cert=\"x\""), vec![]),
    ] {
        let client = leaf(&uri, &dns);
        let (status, record) = through.ask("gateway", Some(&client), Request::get(PATH)).await;
        let reason = record["reason"].as_str().unwrap_or_default();
        let is_refused = reason.starts_with("assertion.") || reason.starts_with("svid.");
        assert!(status == Some(403) && is_refused, "{uri} {dns:?}: {record}");
        assert_eq!((&record["via"], record.get("id")), (&json!(EDGE), None), "{record}");
    }
    // With a DNS name that is one, the leaf is what it is.
    let (status, _) = through
        .ask(
            "gateway",
            Some(&leaf(CALLER, &["billing.partner.example"])),
            Request::get(PATH),
        )
        .await;
    assert_eq!(status, Some(200));
    assert_alive(&deciding).await;
}

/// Straight to the proxy that decides: a peer that is no hop says what it likes, and it is not read and not passed on.
#[tokio::test]
async fn header_of_a_peer_that_is_no_hop_gives_it_nothing() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let deciding = deciding(&world, &upstream).await;
    let peer = world.own_identity("/ns/shop/sa/mallory");
    let forged = element(&world.partner_identity(CALLER_PATH));
    for listener in ["forward", "append"] {
        let mut count = 0;
        for (path, status) in [(PATH, 403), ("/own", 200)] {
            for name in [XFCC, "x_forwarded_client_cert"] {
                let mut http = http1(&deciding, listener, Some(&peer)).await;
                let request = Request::get(path)
                    .header(name, forged.clone())
                    .header("connection", XFCC);
                assert_eq!(http.send(request).await.status(), Some(status), "{listener} {path}");
                count += 1;
                let record = record(&deciding.wait_request_log(listener, count).await[count - 1]);
                assert_eq!(record["id"], "spiffe://prod.example/ns/shop/sa/mallory");
                assert_eq!(record.get("via"), None);
            }
        }
    }
    for request in upstream.requests() {
        assert!(request.header(XFCC).is_empty() && request.header("x_forwarded_client_cert").is_empty());
    }
    // Without a certificate nobody is a hop.
    let nobody = Client::new(None).connect(deciding.listener_addr("forward")).await;
    let mut nobody = nobody.unwrap().http1().await.unwrap();
    let outcome = nobody.send(Request::get(PATH).header(XFCC, forged)).await;
    assert_eq!(outcome.status(), None);
    assert_alive(&deciding).await;
}

/// Where the listener that decides appends an element of its own, in the format that the header came in.
#[tokio::test]
async fn element_that_this_listener_appends_is_told_from_that_of_the_hop() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let deciding = deciding(&world, &upstream).await;
    let (edge, caller) = (world.own_identity("/edge"), world.partner_identity(CALLER_PATH));
    let json = json!([{ "hash": caller.leaf_sha256(), "cert": caller.leaf_pem() }]).to_string();
    let is_json = support::envoy::envoy_version() >= (1, 38);
    let mut count = 0;
    for (xfcc, expected) in [
        (Some(element(&caller)), "rule.allowed"),
        (Some(json), if is_json { "rule.allowed" } else { "assertion.malformed" }),
        (None, "assertion.missing"),
        (Some(element(&edge)), "assertion.not_allowed"),
        (
            Some(format!("{},{}", element(&caller), element(&caller))),
            "assertion.too_many_hops",
        ),
        (Some("Hash=00;Subject=\"".to_owned()), "assertion.malformed"),
    ] {
        let mut http = http1(&deciding, "append", Some(&edge)).await;
        let request = Request::get(PATH);
        let request = match &xfcc {
            Some(xfcc) => request.header(XFCC, xfcc.clone()),
            None => request,
        };
        let status = http.send(request).await.status();
        count += 1;
        let found = reason(&deciding.wait_request_log("append", count).await[count - 1]);
        assert_eq!(found, expected, "{xfcc:?}");
        assert_eq!(status == Some(200), found == "rule.allowed");
    }
    assert_alive(&deciding).await;
}

/// The caller's certificate ends while its download goes on; the gateway's connection is left for others.
#[tokio::test]
async fn download_is_cut_when_the_caller_is_over_and_the_hop_goes_on() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let deciding = deciding(&world, &upstream).await;
    let gateway = gateway(&world, &deciding).await;
    let short = world.partner.issue(Leaf {
        not_after: real_now() + SignedDuration::from_secs(4),
        ..Leaf::svid(CALLER, world.now)
    });
    let long = world.partner_identity(CALLER_PATH);
    upstream.behave(Behaviour::Stream {
        every: Duration::from_millis(100),
        count: 150,
    });
    let (mut first, mut second) = (
        http1(&gateway, "gateway", Some(&short)).await,
        http1(&gateway, "gateway", Some(&long)).await,
    );
    let cut = first.open(Request::get(PATH)).await.unwrap();
    let kept = second.open(Request::get(PATH)).await.unwrap();
    assert!(!cut.collect().await.complete);
    let entry = record(&deciding.wait_request_log("forward", 1).await[0]);
    assert_eq!(
        (&entry["reason"], &entry["of"]),
        (&json!("svid.expired"), &json!("caller"))
    );
    assert_eq!(
        (&entry["cut"], &entry["via"], &entry["id"]),
        (&json!(true), &json!(EDGE), &json!(CALLER))
    );
    assert!(kept.collect().await.complete);
    deciding
        .wait_stat("wasmcustom.svidgate.brought_total.cut.edge", 1)
        .await;
    deciding
        .wait_stat("wasmcustom.svidgate.brought_total.allow.edge", 2)
        .await;
    assert_alive(&deciding).await;
}
