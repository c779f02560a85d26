//! Callers whose certificate a hop brings by RFC 9440, on a real Envoy: who acts, what is refused, and what no upstream gets.

use serde_json::{Value, json};
use support::{
    ca::{Identity, Leaf, Profile, pem},
    client::Request,
    envoy::Envoy,
    upstream::HttpUpstream,
    world::{PARTNER, World, with},
};

use crate::stage::{Filters, assert_alive, http_listener, http1, http2, record, serve};

const EDGE: &str = "spiffe://prod.example/edge";
const CALLER: &str = "spiffe://partner.example/ns/billing/tenant/7";
const PATH: &str = "/invoices/7/1";
const CERT: &str = "client-cert";
const CHAIN: &str = "client-cert-chain";

fn document(world: &World) -> Value {
    let rules = json!([
        { "name": "partners", "effect": "allow", "from": ["spiffe://partner.example/ns/billing/tenant/{tenant}"],
          "via": ["edge"], "to": [{ "paths": ["/invoices/{tenant}/**"] }] },
        { "name": "own", "effect": "allow", "from": ["spiffe://prod.example/**"], "to": [{ "paths": ["/own"] }] },
    ]);
    let hops = json!([{ "name": "edge", "peers": [EDGE], "callers": ["spiffe://partner.example/ns/billing/**"],
                        "assertion": "client_cert" }]);
    with(
        world.document(rules),
        json!({ "hops": hops, "forward_id": true, "forward_via": true }),
    )
}

/// One certificate, as the standard writes it.
fn field(der: &[u8]) -> String {
    let pem = pem("CERTIFICATE", der);
    let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    format!(":{base64}:")
}

fn leaf(of: &Identity) -> String {
    field(&of.chain()[0])
}

struct Asking<'e> {
    envoy: &'e Envoy,
    count: usize,
}

impl Asking<'_> {
    async fn ask(&mut self, peer: &Identity, path: &str, headers: &[(&str, &str)]) -> (Option<u16>, Value) {
        let request = headers.iter().fold(Request::get(path), |request, (name, value)| {
            request.header(name, (*value).to_owned())
        });
        let status = http1(self.envoy, "in", Some(peer)).await.send(request).await.status();
        self.count += 1;
        (
            status,
            record(&self.envoy.wait_request_log("in", self.count).await[self.count - 1]),
        )
    }
}

#[tokio::test]
async fn caller_whose_certificate_a_gateway_shows_is_who_acts() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let envoy = serve(
        [http_listener(&world, "in", Filters::Both, &document(&world))],
        &upstream,
    )
    .await;
    let mut asking = Asking {
        envoy: &envoy,
        count: 0,
    };
    let edge = world.own_identity("/edge");
    let issuing = world.partner.issue_authority(Profile::authority(PARTNER, world.now));
    let caller = issuing.issue(Leaf::svid(CALLER, world.now));
    let (leaf_field, issuer) = (leaf(&caller), field(&caller.chain()[1]));
    let (status, found) = asking.ask(&edge, PATH, &[(CERT, &leaf_field), (CHAIN, &issuer)]).await;
    let expected = json!({ "id": CALLER, "via": EDGE, "evidence": "certificate", "decision": "allow",
                           "reason": "rule.allowed", "rule": "partners", "version": "test" });
    assert_eq!((status, found), (Some(200), expected));
    let asked = upstream.requests().swap_remove(0);
    assert_eq!(asked.header("x-svidgate-id"), [CALLER.as_bytes()]);
    assert!(asked.header(CERT).is_empty() && asked.header(CHAIN).is_empty());
    // Over HTTP/2, and with the chain in two lines.
    let mut http = http2(&envoy, "in", Some(&edge)).await;
    let other = leaf(&world.own_identity("/x"));
    let request = Request::get(PATH)
        .header(CERT, leaf_field.clone())
        .header(CHAIN, other)
        .header(CHAIN, issuer.clone());
    assert_eq!(http.send(request).await.status(), Some(200));
    asking.count += 1;
    let twice = [(CERT, leaf_field.as_str()), (CERT, leaf_field.as_str())];
    let listed = format!("{leaf_field}, {leaf_field}");
    let parameter = format!("{leaf_field};a=1");
    for (headers, reason) in [
        (&[][..], "assertion.missing"),
        (&[(CERT, "")], "assertion.missing"),
        (&twice, "assertion.ambiguous"),
        (&[(CERT, &listed)], "assertion.malformed"),
        (&[(CERT, &parameter)], "assertion.malformed"),
        (&[(CERT, "x")], "assertion.malformed"),
        (&[(CHAIN, &issuer)], "assertion.malformed"),
        (&[("client_cert", &leaf_field)], "assertion.missing"),
    ] {
        let (status, found) = asking.ask(&edge, PATH, headers).await;
        assert_eq!((status, &found["reason"]), (Some(403), &json!(reason)), "{headers:?}");
        assert_eq!(found["via"], EDGE);
    }
    // A client that has the gateway's header taken away is nobody, and not the gateway.
    let (status, found) = asking
        .ask(&edge, "/own", &[(CERT, &leaf_field), ("connection", CERT)])
        .await;
    assert_eq!(status, Some(403));
    assert_ne!(found["id"], EDGE, "{found}");
    assert_alive(&envoy).await;
}

#[tokio::test]
async fn certificate_that_a_peer_shows_of_another_gives_it_nothing() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let envoy = serve(
        [http_listener(&world, "in", Filters::Both, &document(&world))],
        &upstream,
    )
    .await;
    let mut asking = Asking {
        envoy: &envoy,
        count: 0,
    };
    let peer = world.own_identity("/ns/shop/sa/mallory");
    let forged = leaf(&world.partner_identity("/ns/billing/tenant/7"));
    let names = [CERT, CHAIN, "client_cert", "Client_Cert-Chain"];
    for name in names {
        for (path, status) in [(PATH, 403), ("/own", 200)] {
            let (found, record) = asking.ask(&peer, path, &[(name, &forged), ("connection", CERT)]).await;
            assert_eq!(found, Some(status), "{name} {path}");
            assert_eq!(record["id"], "spiffe://prod.example/ns/shop/sa/mallory");
        }
    }
    let asked = upstream.requests();
    assert_eq!(asked.len(), names.len());
    for request in asked {
        for name in [CERT, CHAIN, "client_cert", "client_cert-chain"] {
            assert!(request.header(name).is_empty(), "{name}");
        }
    }
    assert_alive(&envoy).await;
}
