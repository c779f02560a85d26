//! Callers whose certificate a hop brings by RFC 9440.

use serde_json::{Value, json};
use support::{
    ca::{Identity, Leaf, Profile, pem},
    world::{PARTNER, with},
};
use svidgate_gate::{header_map::HeaderMap, peer::client_cert::certificates, plugin::action::Action};
use svidgate_policy::{certificate::leaf::Leaf as Read, digest::sha256};

use crate::hops::{CALLER, EDGE, Gateway, caller, element_by};

const CERT: &str = "client-cert";
const CHAIN: &str = "client-cert-chain";
const PATH: &str = "/invoices/7/1";

fn start(changes: Value) -> Gateway {
    let hops = json!([
        { "name": "edge", "peers": [EDGE], "callers": ["spiffe://partner.example/ns/billing/**"],
          "except": ["spiffe://partner.example/ns/billing/batch"], "assertion": "client_cert" },
        { "name": "inner", "peers": ["spiffe://prod.example/inner"], "callers": ["spiffe://prod.example/api/**"],
          "assertion": "client_cert", "evidence": "certificate", "depth": 1 },
    ]);
    Gateway::start(with(json!({ "hops": hops, "xfcc": "ignore" }), changes))
}

/// One certificate, as the standard writes it.
fn field(der: &[u8]) -> String {
    format!(":{}:", base64(der))
}

fn base64(der: &[u8]) -> String {
    let pem = pem("CERTIFICATE", der);
    pem.lines().filter(|line| !line.starts_with("-----")).collect()
}

fn leaf(of: &Identity) -> String {
    field(&of.chain()[0])
}

fn brought(gateway: &Gateway, headers: &[(&str, &str)]) -> String {
    let (action, _) = gateway.ask_with(1000, &gateway.edge, PATH, headers);
    let reason = gateway.proxy.reason();
    assert_eq!(action == Action::Continue, reason == "rule.allowed", "{reason}");
    reason
}

#[test]
fn example_of_the_standard_is_read() {
    let example: Value = serde_json::from_str(include_str!("../vectors/rfc9440.json")).unwrap();
    let text = |name: &str| example[name].as_str().unwrap();
    let read = certificates(text("leaf").as_bytes(), &[text("chain").as_bytes()]).unwrap();
    let digests: Vec<String> = read
        .iter()
        .map(|der| sha256(der).iter().map(|byte| format!("{byte:02x}")).collect())
        .collect();
    assert_eq!(json!(digests), example["sha256"]);
    // It is no SVID: its one name is an e-mail address.
    let refused = Read::parse(&read[0]).unwrap_err();
    assert_eq!(refused.reason().code(), "svid.no_uri_san");
}

#[test]
fn caller_whose_certificate_a_hop_shows_is_who_acts() {
    let gateway = start(json!({}));
    let caller = caller(&gateway.world);
    for _ in 0..2 {
        assert_eq!(brought(&gateway, &[(CERT, &leaf(&caller))]), "rule.allowed");
        assert_eq!(
            gateway.record(),
            json!({ "id": CALLER, "via": EDGE, "evidence": "certificate", "decision": "allow", "reason": "rule.allowed",
                    "rule": "partners", "version": "test" })
        );
        assert_eq!(gateway.proxy.look(|state| state.removed.clone()), [CERT]);
    }
}

#[test]
fn what_is_not_one_certificate_of_one_caller_is_refused() {
    let gateway = start(json!({}));
    let world = &gateway.world;
    let (caller, other) = (caller(world), world.partner_identity("/ns/billing/tenant/8"));
    let good = leaf(&caller);
    let list = format!("{good}, {}", leaf(&other));
    let parameter = format!("{good};a=1");
    let (unpadded, quoted) = (good.replace('=', ""), format!("\"{}\"", base64(&caller.chain()[0])));
    let xfcc = element_by(EDGE, &caller);
    let batch = leaf(&world.partner_identity("/ns/billing/batch"));
    let foreign = leaf(&world.own_identity("/api/x"));
    let many = vec![leaf(&other); 9].join(", ");
    let long = field(&[0; 20_000]);
    for (headers, reason) in [
        (vec![], "assertion.missing"),
        (vec![(CERT, "")], "assertion.missing"),
        // Another header than the one that this hop has.
        (vec![("x-forwarded-client-cert", xfcc.as_str())], "assertion.missing"),
        (vec![("client_cert", good.as_str())], "assertion.missing"),
        (
            vec![(CERT, good.as_str()), (CERT, good.as_str())],
            "assertion.ambiguous",
        ),
        (vec![(CHAIN, good.as_str())], "assertion.malformed"),
        (vec![(CERT, list.as_str())], "assertion.malformed"),
        (vec![(CERT, parameter.as_str())], "assertion.malformed"),
        (vec![(CERT, quoted.as_str())], "assertion.malformed"),
        (vec![(CERT, ":AQ:")], "assertion.malformed"),
        (vec![(CERT, ":AQ==:")], "assertion.malformed"),
        (
            vec![(CERT, good.as_str()), (CHAIN, parameter.as_str())],
            "assertion.malformed",
        ),
        (vec![(CERT, good.as_str()), (CHAIN, "")], "assertion.malformed"),
        (
            vec![(CERT, good.as_str()), (CHAIN, many.as_str())],
            "assertion.malformed",
        ),
        (vec![(CERT, long.as_str())], "assertion.malformed"),
        (vec![(CERT, batch.as_str())], "assertion.not_allowed"),
        (vec![(CERT, foreign.as_str())], "assertion.not_allowed"),
    ] {
        for _ in 0..2 {
            assert_eq!(brought(&gateway, &headers), reason, "{headers:?}");
        }
        // Remembered or not.
        assert_eq!(brought(&gateway, &[(CERT, &good)]), "rule.allowed");
    }
    if unpadded != good {
        assert_eq!(brought(&gateway, &[(CERT, &unpadded)]), "assertion.malformed");
    }
}

#[test]
fn certificates_beside_it_lead_to_an_authority() {
    let gateway = start(json!({}));
    let now = gateway.world.now;
    let issuing = gateway.world.partner.issue_authority(Profile::authority(PARTNER, now));
    let caller = issuing.issue(Leaf::svid(CALLER, now));
    let leaf = leaf(&caller);
    assert_eq!(
        brought(&gateway, &[(CERT, &leaf)]),
        "svid.bad_signature",
        "the two authorities have one name"
    );
    assert_eq!(gateway.record()["of"], "caller");
    let issuer = field(&caller.chain()[1]);
    let other = field(&gateway.world.own_identity("/x").chain()[0]);
    let one_line = format!("{issuer}, {other}");
    for chain in [
        &[(CHAIN, issuer.as_str())][..],
        &[(CHAIN, &one_line)],
        &[(CHAIN, &other), (CHAIN, &issuer)],
    ] {
        let headers = [&[(CERT, leaf.as_str())], chain].concat();
        assert_eq!(brought(&gateway, &headers), "rule.allowed", "{chain:?}");
        let removed = gateway.proxy.look(|state| state.removed.clone());
        assert!(
            removed.contains(&CERT.to_owned()) && removed.contains(&CHAIN.to_owned()),
            "{removed:?}"
        );
    }
}

/// Whoever is no hop says what it likes: it is not read, and no upstream takes it for the word of a hop.
#[test]
fn header_of_a_peer_that_is_no_hop_is_removed_in_every_spelling() {
    let forged = |gateway: &Gateway| leaf(&caller(&gateway.world));
    let names = [
        "client-cert",
        "Client_Cert",
        "client.cert",
        "client-cert-chain",
        "CLIENT_CERT_CHAIN",
        "client-certs",
    ];
    let ask = |gateway: &Gateway| {
        let peer = gateway.world.own_identity("/ns/shop");
        let value = forged(gateway);
        let headers: Vec<(&str, &str)> = names.iter().map(|name| (*name, value.as_str())).collect();
        let (action, filter) = gateway.ask_with(1000, &peer, "/any", &headers);
        assert_eq!(action, Action::Continue);
        assert_eq!(gateway.record()["id"], "spiffe://prod.example/ns/shop");
        (gateway.proxy.look(|state| state.removed.clone()), filter)
    };
    let gateway = start(json!({}));
    let (removed, filter) = ask(&gateway);
    assert_eq!(removed, names[..5]);
    gateway.proxy.change(|state| {
        let trailers: Vec<(&[u8], &[u8])> = names.iter().map(|name| (name.as_bytes(), &b"x"[..])).collect();
        state.trailers = Some(HeaderMap::from_pairs(&trailers));
        state.removed.clear();
    });
    assert_eq!(filter.on_request_trailers(), Action::Continue);
    let removed = gateway.proxy.look(|state| state.removed_trailers.clone());
    assert_eq!(removed, names[..5]);
    // Where no hop uses it, it is an application's own.
    let plain = Gateway::start(json!({}));
    assert_eq!(ask(&plain).0, [""; 0]);
}

#[test]
fn request_with_two_assertions_is_ambiguous_where_the_hop_may_make_both() {
    let both = json!([
        { "name": "edge", "peers": [EDGE], "callers": ["spiffe://partner.example/ns/billing/**"], "assertion": "client_cert" },
        { "name": "by-xfcc", "peers": [EDGE], "callers": ["spiffe://partner.example/ns/billing/**"], "assertion": "xfcc" },
        { "name": "inner", "peers": ["spiffe://prod.example/inner"], "callers": ["spiffe://prod.example/api/**"], "assertion": "xfcc" },
    ]);
    let mut rules = json!([
        { "name": "partners", "effect": "allow", "from": ["spiffe://partner.example/ns/billing/tenant/{tenant}"],
          "via": ["edge"], "to": [{ "paths": ["/invoices/{tenant}/**"] }] },
        { "name": "other", "effect": "allow", "from": ["spiffe://partner.example/ns/billing/**"], "via": ["by-xfcc"],
          "to": [{ "paths": ["/other"] }] },
    ]);
    rules
        .as_array_mut()
        .unwrap()
        .push(json!({ "name": "in", "effect": "allow", "from": ["spiffe://prod.example/**"], "via": ["inner"] }));
    let gateway = start(json!({ "hops": both, "rules": rules, "xfcc": "hop" }));
    let caller = caller(&gateway.world);
    let (field, xfcc) = (leaf(&caller), element_by(EDGE, &caller));
    let (by_field, by_xfcc) = ((CERT, field.as_str()), ("x-forwarded-client-cert", xfcc.as_str()));
    assert_eq!(brought(&gateway, &[by_field]), "rule.allowed");
    // The same certificate by the other entry has the rules of that one.
    assert_eq!(brought(&gateway, &[by_xfcc]), "rule.none_matched");
    assert_eq!(brought(&gateway, &[by_field, by_xfcc]), "assertion.ambiguous");
    assert_eq!(brought(&gateway, &[(CHAIN, &field), by_xfcc]), "assertion.ambiguous");
    assert_eq!(brought(&gateway, &[]), "assertion.missing");
}

#[test]
fn stream_is_cut_when_the_caller_falls() {
    let gateway = start(json!({}));
    let field = leaf(&caller(&gateway.world));
    assert_eq!(
        gateway.ask_with(2001, &gateway.edge, PATH, &[(CERT, &field)]).0,
        Action::Continue
    );
    assert_eq!(gateway.pass(60, &[]), [0; 0]);
    let plugins = gateway.update(json!({ "revoked": [{ "id": CALLER }] }));
    assert_eq!(gateway.pass(1, &plugins.iter().collect::<Vec<_>>()), [2001]);
    assert_eq!(gateway.record()["of"], "caller");
}

/// Beside a direct request: the header is removed. Nothing is read or verified again.
#[test]
fn warm_request_costs_one_call_more() {
    let gateway = start(json!({ "forward_id": false, "forward_via": false }));
    let field = leaf(&caller(&gateway.world));
    assert_eq!(brought(&gateway, &[(CERT, &field)]), "rule.allowed");
    gateway.proxy.take_calls();
    gateway.proxy.change(|state| state.filter_state.clear());
    assert_eq!(
        crate::double::stream(&gateway.requests, 1002).on_request_headers(),
        Action::Continue
    );
    let calls = gateway.proxy.take_calls();
    assert_eq!(calls.len(), 4, "{calls:?}");
}
