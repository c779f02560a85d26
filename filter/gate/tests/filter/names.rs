//! Callers for whom a hop gives no more than its word: where that is enough, and what a name must not be.

use serde_json::{Value, json};
use support::world::with;
use svidgate_gate::plugin::action::Action;

use crate::hops::{Gateway, element_by, escaped};

const WAYPOINT: &str = "spiffe://prod.example/waypoint";
const CALLER: &str = "spiffe://prod.example/ns/a/7";

fn hops() -> Value {
    json!([
        { "name": "waypoint", "peers": [WAYPOINT], "callers": ["spiffe://prod.example/ns/a/*"], "assertion": "xfcc",
          "evidence": "name" },
        { "name": "strict", "peers": [WAYPOINT], "callers": ["spiffe://prod.example/ns/b/*"], "assertion": "xfcc" },
        { "name": "other", "peers": ["spiffe://prod.example/other"], "callers": ["spiffe://prod.example/ns/a/*"],
          "assertion": "xfcc" },
    ])
}

fn start(changes: Value) -> Gateway {
    let rules = json!([
        { "name": "a", "effect": "allow", "from": ["spiffe://prod.example/ns/**"], "via": ["waypoint", "strict", "other"],
          "to": [{ "paths": ["/any"] }] },
    ]);
    Gateway::start(with(json!({ "hops": hops(), "rules": rules }), changes))
}

fn brought(gateway: &Gateway, hop: &str, xfcc: &str) -> String {
    let hop = gateway.world.own_identity(hop);
    let (action, _) = gateway.ask(&hop, "/any", &[xfcc]);
    let reason = gateway.proxy.reason();
    assert_eq!(action == Action::Continue, reason == "rule.allowed", "{reason}");
    reason
}

#[test]
fn name_that_a_hop_writes_is_taken_where_the_document_says_so() {
    let gateway = start(json!({}));
    let hash = "ab".repeat(32);
    for xfcc in [
        format!("By={WAYPOINT};URI={CALLER}"),
        format!("By={WAYPOINT};URI=\"{CALLER}\""),
        format!("URI={CALLER}"),
        format!("By={WAYPOINT};Hash={hash};Subject=\"CN=x\";URI={CALLER}"),
        json!([{ "by": [WAYPOINT], "uri": [CALLER], "dns": ["x"], "issuer": "CN=i" }]).to_string(),
    ] {
        for _ in 0..2 {
            assert_eq!(brought(&gateway, "/waypoint", &xfcc), "rule.allowed", "{xfcc}");
            assert_eq!(
                gateway.record(),
                json!({ "id": CALLER, "via": WAYPOINT, "evidence": "name", "decision": "allow", "reason": "rule.allowed",
                        "rule": "a", "version": "test" })
            );
        }
        // Remembered or not, another hop's word is not enough, nor is its own where its other entry wants more.
        assert_eq!(
            brought(
                &gateway,
                "/other",
                &xfcc.replace(WAYPOINT, "spiffe://prod.example/other")
            ),
            "assertion.missing"
        );
        assert_eq!(
            brought(&gateway, "/waypoint", &xfcc.replace("/ns/a/", "/ns/b/")),
            "assertion.missing"
        );
    }
    let alone = format!("URI={CALLER}");
    assert_eq!(brought(&gateway, "/waypoint", &alone), "rule.allowed");
    assert_eq!(brought(&gateway, "/other", &alone), "assertion.missing");
    // Where it shows the certificate, that is what counts.
    let caller = gateway.world.own_identity("/ns/a/7");
    assert_eq!(
        brought(&gateway, "/waypoint", &element_by(WAYPOINT, &caller)),
        "rule.allowed"
    );
    assert_eq!(gateway.record()["evidence"], "certificate");
    let forged = gateway
        .world
        .stranger
        .issue(support::ca::Leaf::svid(CALLER, gateway.world.now));
    let forged = format!("Cert=\"{}\";URI={CALLER}", escaped(&forged.leaf_pem()));
    assert_eq!(brought(&gateway, "/waypoint", &forged), "svid.unknown_authority");
}

/// A leaf of an authority that the hop trusts may have any name, and the hop escapes none.
#[test]
fn name_that_may_be_a_part_of_another_is_refused() {
    let gateway = start(json!({}));
    let by = format!("By={WAYPOINT};URI=");
    for (xfcc, reason) in [
        (format!("{by}{CALLER};DNS=x"), "assertion.malformed"),
        (format!("{by}{CALLER};Issuer=\"CN=x\""), "assertion.malformed"),
        (
            format!("{by}{CALLER};URI=spiffe://prod.example/ns/a/8"),
            "assertion.malformed",
        ),
        (format!("{by}spiffe://x;URI={CALLER}"), "assertion.malformed"),
        (
            format!("{by}spiffe://x,By={WAYPOINT};URI={CALLER}"),
            "assertion.too_many_hops",
        ),
        (
            format!("{by}spiffe://x;By={WAYPOINT};URI={CALLER}"),
            "assertion.malformed",
        ),
        (format!("{by}{CALLER},URI={CALLER}"), "assertion.too_many_hops"),
        (format!("{by}{CALLER}\""), "assertion.malformed"),
        (by.clone(), "assertion.malformed"),
        (format!("By={WAYPOINT}"), "assertion.malformed"),
        (format!("{by}spiffe://prod.example"), "assertion.malformed"),
        (format!("{by}https://prod.example/ns/a/7"), "assertion.malformed"),
        (format!("{by}spiffe://prod.example/ns/a/../a/7"), "assertion.malformed"),
        (
            format!("By=spiffe://prod.example/other;URI={CALLER}"),
            "assertion.broken_chain",
        ),
        (json!([{ "uri": [CALLER, CALLER] }]).to_string(), "assertion.malformed"),
        (
            json!([{ "uri": [format!("{CALLER},URI=x")] }]).to_string(),
            "assertion.malformed",
        ),
        (json!([{ "uri": [] }]).to_string(), "assertion.malformed"),
        (format!("{by}spiffe://prod.example/ns/c/7"), "assertion.not_allowed"),
        (
            format!("{by}spiffe://partner.example/ns/billing/x"),
            "assertion.not_allowed",
        ),
        (
            format!("{by}spiffe://stranger.example/ns/a/7"),
            "federation.unknown_trust_domain",
        ),
        (format!("{by}{WAYPOINT}"), "assertion.not_allowed"),
    ] {
        assert_eq!(brought(&gateway, "/waypoint", &xfcc), reason, "{xfcc}");
    }
}

#[test]
fn stream_is_cut_when_the_name_falls() {
    let strict = |place: usize| {
        let mut hops = hops();
        hops[place].as_object_mut().unwrap().remove("evidence");
        hops
    };
    for (changes, reason) in [
        (json!({ "revoked": [{ "id": CALLER }] }), "svid.revoked"),
        (json!({ "hops": strict(0) }), "assertion.missing"),
    ] {
        let gateway = start(json!({}));
        let waypoint = gateway.world.own_identity("/waypoint");
        let xfcc = format!("By={WAYPOINT};URI={CALLER}");
        assert_eq!(gateway.ask_as(2001, &waypoint, "/any", &[&xfcc]).0, Action::Continue);
        assert_eq!(gateway.pass(3_000, &[]), [0; 0]);
        let plugins = gateway.update(changes);
        assert_eq!(gateway.pass(1, &plugins.iter().collect::<Vec<_>>()), [2001]);
        assert_eq!(gateway.proxy.reason(), reason);
    }
}
