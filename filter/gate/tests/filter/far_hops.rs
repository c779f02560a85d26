//! Requests that come through several hops: each is verified, each must be known, and none may be left out.

use serde_json::{Value, json};
use support::{
    ca::{Identity, Leaf, Profile},
    world::World,
};
use svidgate_gate::plugin::action::Action;

use jiff::SignedDuration;

use crate::hops::{CALLER, EDGE, Gateway, caller, element_by};

/// The partner's own gateway, to which its callers connect.
const OUTER: &str = "spiffe://partner.example/ns/billing/gateway";
const PATH: &str = "/invoices/7/1";

fn hops() -> Value {
    json!([
        { "name": "edge", "peers": [EDGE], "callers": ["spiffe://partner.example/ns/billing/**"],
          "except": [OUTER, "spiffe://partner.example/ns/billing/inner"], "assertion": "xfcc", "depth": 2 },
        { "name": "theirs", "peers": [OUTER], "callers": ["spiffe://partner.example/ns/billing/tenant/*"], "assertion": "xfcc" },
        { "name": "deep", "peers": ["spiffe://prod.example/deep"], "callers": ["spiffe://partner.example/ns/billing/tenant/7"],
          "assertion": "xfcc", "depth": 4 },
        { "name": "third", "peers": ["spiffe://prod.example/third"], "callers": ["spiffe://partner.example/ns/billing/tenant/7"],
          "assertion": "xfcc", "depth": 3 },
    ])
}

fn rules() -> Value {
    json!([
        { "name": "partners", "effect": "allow", "from": ["spiffe://partner.example/ns/billing/tenant/{tenant}"],
          "via": ["edge", "theirs"], "to": [{ "paths": ["/invoices/{tenant}/**"] }] },
        { "name": "any", "effect": "allow", "from": [CALLER], "via": ["edge", "theirs", "third", "deep"], "to": [{ "paths": ["/any"] }] },
    ])
}

struct Way {
    gateway: Gateway,
    outer: Identity,
    caller: Identity,
}

impl Way {
    fn start(changes: Value) -> Self {
        let world = World::new();
        let members = support::world::with(json!({ "hops": hops(), "rules": rules() }), changes);
        let (outer, caller) = (world.partner_identity("/ns/billing/gateway"), caller(&world));
        Self {
            gateway: Gateway::start_in(world, members),
            outer,
            caller,
        }
    }

    /// What both gateways write: the caller has come to the outer one, and that one to the edge.
    fn header(&self) -> String {
        format!("{},{}", element_by(OUTER, &self.caller), element_by(EDGE, &self.outer))
    }
}

#[test]
fn caller_behind_two_hops_is_who_acts() {
    let way = Way::start(json!({}));
    let gateway = &way.gateway;
    let json = |elements: Value| elements.to_string();
    let both = json(json!([
        { "by": [OUTER], "hash": way.caller.leaf_sha256(), "cert": way.caller.leaf_pem() },
        { "by": [EDGE], "hash": way.outer.leaf_sha256(), "cert": way.outer.leaf_pem() },
    ]));
    // A gateway that serves with the certificate of a host name writes no `By`.
    let without_by = way
        .header()
        .replace(&format!("By={OUTER};"), "")
        .replace(&format!("By={EDGE};"), "");
    for xfcc in [&way.header(), &way.header(), &both, &without_by] {
        assert_eq!(gateway.brought(xfcc), "rule.allowed", "{xfcc}");
        let via = format!("{OUTER},{EDGE}");
        assert_eq!(
            gateway.record(),
            json!({ "id": CALLER, "via": via, "evidence": "certificate", "decision": "allow", "reason": "rule.allowed",
                    "rule": "partners", "version": "test" })
        );
        let added = gateway.proxy.look(|state| state.added.clone());
        assert!(added.contains(&("x-svidgate-via".to_owned(), via)), "{added:?}");
    }
}

#[test]
fn way_that_is_not_whole_or_not_as_deep_as_the_document_says_is_refused() {
    let way = Way::start(json!({}));
    let gateway = &way.gateway;
    let (caller, outer) = (&way.caller, &way.outer);
    let (first, second) = (element_by(OUTER, caller), element_by(EDGE, outer));
    assert_eq!(gateway.brought(&format!("{first},{second}")), "rule.allowed");
    let other = gateway.world.partner_identity("/ns/billing/tenant/8");
    let inner = gateway.world.partner_identity("/ns/billing/inner");
    let third = gateway.world.own_identity("/third");
    let uri = format!("By={EDGE};Hash={};URI={OUTER}", outer.leaf_sha256());
    for (xfcc, reason) in [
        // Not so many elements as `depth` says.
        (element_by(EDGE, caller), "assertion.broken_chain"),
        (format!("{first},{first},{second}"), "assertion.too_many_hops"),
        ([first.as_str(); 5].join(","), "assertion.too_many_hops"),
        ([first.as_str(); 6].join(","), "assertion.too_many_hops"),
        // Of each the certificate counts, the caller's word or the hop's.
        (format!("{first},{uri}"), "assertion.missing"),
        (format!("By={OUTER};URI={CALLER},{second}"), "assertion.missing"),
        // Whoever has come to the edge is no hop, though it says that somebody has come to it.
        (
            format!(
                "{},{}",
                element_by("spiffe://partner.example/ns/billing/tenant/8", caller),
                element_by(EDGE, &other)
            ),
            "assertion.not_allowed",
        ),
        (
            format!(
                "{},{}",
                element_by("spiffe://partner.example/ns/billing/inner", caller),
                element_by(EDGE, &inner)
            ),
            "assertion.not_allowed",
        ),
        // It is one, at another place of the way.
        (
            format!(
                "{},{}",
                element_by("spiffe://prod.example/third", caller),
                element_by(EDGE, &third)
            ),
            "assertion.broken_chain",
        ),
        (format!("{second},{first}"), "assertion.broken_chain"),
        // What the outer one passes on was said to another.
        (
            format!("{},{second}", element_by(EDGE, caller)),
            "assertion.broken_chain",
        ),
        (
            format!("{first},{}", element_by(OUTER, outer)),
            "assertion.broken_chain",
        ),
        (
            format!(
                "{},{second}",
                first.replace(&caller.leaf_sha256(), &other.leaf_sha256())
            ),
            "assertion.broken_chain",
        ),
        // A leaf whose name has a whole element in it.
        (
            format!("By={EDGE};Cert=\"x\";URI=spiffe://x,{second}"),
            "assertion.malformed",
        ),
    ] {
        for _ in 0..2 {
            assert_eq!(gateway.brought(&xfcc), reason, "{xfcc}");
            let record = gateway.record();
            assert!(record["via"].as_str().unwrap().ends_with(EDGE), "{record}");
        }
    }
}

/// The caller must be one of each hop's: certificates are public, so an outer hop could show one of whomever the inner
/// one may bring.
#[test]
fn caller_must_be_one_of_every_hop_on_the_way() {
    let way = Way::start(json!({}));
    let wide = way.gateway.world.partner_identity("/ns/billing/other");
    let header = format!("{},{}", element_by(OUTER, &wide), element_by(EDGE, &way.outer));
    assert_eq!(way.gateway.brought(&header), "assertion.not_allowed");
    assert_eq!(way.gateway.record()["id"], "spiffe://partner.example/ns/billing/other");
    assert_eq!(way.gateway.brought(&way.header()), "rule.allowed");
}

#[test]
fn way_through_four_hops_is_the_longest() {
    let way = Way::start(json!({}));
    let (third, deep) = ("spiffe://prod.example/third", "spiffe://prod.example/deep");
    let world = &way.gateway.world;
    let header = [
        element_by(OUTER, &way.caller),
        element_by(EDGE, &way.outer),
        element_by(third, &way.gateway.edge),
        element_by(deep, &world.own_identity("/third")),
    ];
    let ask = |header: &str| {
        way.gateway.ask(&world.own_identity("/deep"), "/any", &[header]);
        way.gateway.proxy.reason()
    };
    assert_eq!(ask(&header.join(",")), "rule.allowed");
    assert_eq!(way.gateway.record()["via"], format!("{OUTER},{EDGE},{third},{deep}"));
    assert_eq!(ask(&header[1..].join(",")), "assertion.broken_chain");
    assert_eq!(
        ask(&[&header[..1], &header[..]].concat().join(",")),
        "assertion.too_many_hops"
    );
}

#[test]
fn hop_between_is_a_peer_in_full() {
    let world = World::new();
    let now = world.now;
    let ended = world.partner.issue(Profile {
        not_before: now - SignedDuration::from_mins(60),
        not_after: now - SignedDuration::from_mins(1),
        ..Leaf::svid(OUTER, now)
    });
    let foreign = world.own.issue(Leaf::svid(OUTER, now));
    let revoked = world.partner.issue(Leaf::svid(OUTER, now));
    let gateway = Gateway::start_in(
        world,
        json!({ "hops": hops(), "rules": rules(), "revoked": [{ "sha256": revoked.leaf_sha256() }] }),
    );
    let caller = caller(&gateway.world);
    for (outer, reason) in [
        (ended, "svid.expired"),
        (foreign, "svid.unknown_authority"),
        (revoked, "svid.revoked"),
    ] {
        let header = format!("{},{}", element_by(OUTER, &caller), element_by(EDGE, &outer));
        assert_eq!(gateway.brought(&header), reason);
        let record = gateway.record();
        assert_eq!(
            (&record["of"], &record["via"]),
            (&json!("hop"), &json!(EDGE)),
            "{record}"
        );
    }
}

#[test]
fn where_this_listener_appends_its_element_is_one_more() {
    let way = Way::start(json!({ "xfcc": "hop_appended" }));
    let own = format!(
        "By=spiffe://prod.example/us;Hash={};URI={EDGE}",
        way.gateway.edge.leaf_sha256()
    );
    assert_eq!(way.gateway.brought(&format!("{},{own}", way.header())), "rule.allowed");
    assert_eq!(way.gateway.brought(&way.header()), "assertion.broken_chain");
    let (first, second) = (element_by(OUTER, &way.caller), element_by(EDGE, &way.outer));
    let more = format!("{first},{first},{second},{own}");
    assert_eq!(way.gateway.brought(&more), "assertion.too_many_hops");
}

#[test]
fn what_is_forbidden_to_any_hop_of_the_way_is_forbidden() {
    let deny = |from: &str, via: Option<&str>| {
        let mut rules = rules();
        let mut rule = json!({ "name": "no", "effect": "deny", "from": [from] });
        if let Some(via) = via {
            rule["via"] = json!([via]);
        }
        rules.as_array_mut().unwrap().push(rule);
        let way = Way::start(json!({ "rules": rules }));
        way.gateway.brought(&way.header())
    };
    for from in [OUTER, EDGE, CALLER] {
        for via in [None, Some("edge"), Some("theirs")] {
            assert_eq!(deny(from, via), "rule.denied", "{from} {via:?}");
        }
    }
    assert_eq!(deny(OUTER, Some("deep")), "rule.allowed");
}

#[test]
fn streams_are_cut_when_any_of_the_way_falls() {
    for (fallen, of) in [(CALLER, Some("caller")), (OUTER, Some("hop")), (EDGE, None)] {
        let way = Way::start(json!({}));
        let (action, _) = way.gateway.ask_as(2001, &way.gateway.edge, PATH, &[&way.header()]);
        assert_eq!(action, Action::Continue);
        assert_eq!(way.gateway.pass(60, &[]), [0; 0]);
        let plugins = way.gateway.update(json!({ "revoked": [{ "id": fallen }] }));
        assert_eq!(
            way.gateway.pass(1, &plugins.iter().collect::<Vec<_>>()),
            [2001],
            "{fallen}"
        );
        let record = way.gateway.record();
        assert_eq!(
            (&record["reason"], &record["cut"]),
            (&json!("svid.revoked"), &json!(true))
        );
        assert_eq!(record["of"].as_str(), of, "{record}");
    }
    // The outer one's certificate ends, and nothing else.
    let world = World::new();
    let outer = world.partner.issue(Profile {
        not_after: world.now + SignedDuration::from_mins(10),
        ..Leaf::svid(OUTER, world.now)
    });
    let gateway = Gateway::start_in(world, json!({ "hops": hops(), "rules": rules() }));
    let header = format!(
        "{},{}",
        element_by(OUTER, &caller(&gateway.world)),
        element_by(EDGE, &outer)
    );
    assert_eq!(
        gateway.ask_as(2001, &gateway.edge, PATH, &[&header]).0,
        Action::Continue
    );
    assert_eq!(gateway.pass(9 * 60, &[]), [0; 0]);
    assert_eq!(gateway.pass(2 * 60, &[]), [2001]);
    assert_eq!(gateway.record()["reason"], "svid.expired");
    assert_eq!(gateway.record()["of"], "hop");
}
