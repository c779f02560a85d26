//! What comes through hops is not compared, and nothing says that it was.

use serde_json::{Value, json};
use svidgate_policy::{
    Format,
    analysis::{
        Bounds, Cause, Claim, Comparison, Holds, Policy, RemarkBounds, Subject, What, Why, compare, holds, remarks,
    },
};

use crate::brute::AT;

fn document(hops: Value, rules: Value) -> Value {
    let mut document = json!({
        "trust_domain": "td", "xfcc": "hop", "authorities": { "workload_api": { "cluster": "agent" } }, "rules": rules,
    });
    if hops != json!([]) {
        document["hops"] = hops;
    }
    document
}

fn edge() -> Value {
    json!([{ "name": "edge", "peers": ["spiffe://td/edge"], "callers": ["spiffe://td/ns/**"], "assertion": "xfcc" }])
}

fn allow(name: &str, from: &str, via: Value) -> Value {
    json!({ "name": name, "effect": "allow", "from": [from], "via": via })
}

fn policy(document: &Value) -> Policy {
    Policy::read(document.to_string().as_bytes(), Format::Json).unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
}

fn compared(old: &Value, new: &Value) -> Comparison {
    let comparison = compare(&policy(old), &policy(new), AT.parse().unwrap(), Bounds::default());
    assert!(comparison.in_force.faults.is_empty(), "{comparison:#?}");
    comparison
}

fn not_compared(comparison: &Comparison) -> Vec<(&str, bool)> {
    let members = comparison.not_compared.iter();
    members.map(|member| (member.member.as_str(), member.decides)).collect()
}

#[test]
fn the_same_rules_on_the_same_ways_change_nothing() {
    let brought = allow("a", "spiffe://td/ns/a", json!(["edge"]));
    let one = document(edge(), json!([brought]));
    let mut other = one.clone();
    other["rules"][0]["name"] = json!("another-name");
    other["hops"][0]["owner"] = json!("edge team");
    let comparison = compared(&one, &other);
    assert!(comparison.in_force.is_none());
    assert_eq!(not_compared(&comparison), [("hops.owner", false)]);
}

#[test]
fn whatever_has_a_say_in_what_is_brought_is_told_as_not_compared() {
    let brought = allow("a", "spiffe://td/ns/a", json!(["edge"]));
    let old = document(edge(), json!([brought]));
    let deny = json!({ "name": "no", "effect": "deny", "from": ["spiffe://td/edge"] });
    let mut ended = old.clone();
    ended["hops"][0]["expires"] = json!("2027-01-01T00:00:00Z");
    let mut revoked = old.clone();
    revoked["revoked"] = json!([{ "id": "spiffe://td/ns/b" }]);
    let others = [
        ended,
        revoked,
        document(edge(), json!([brought, deny])),
        document(edge(), json!([allow("a", "spiffe://td/ns/*", json!(["edge"]))])),
        document(json!([]), json!([])),
    ];
    for new in &others {
        for (old, new) in [(&old, new), (new, &old)] {
            let comparison = compared(old, new);
            assert!(not_compared(&comparison).contains(&("hops", true)), "{comparison:#?}");
        }
    }
}

#[test]
fn what_callers_ask_for_themselves_is_compared() {
    let both = |via: Value| document(edge(), json!([allow("a", "spiffe://td/ns/a", via)]));
    let comparison = compared(&both(json!(["edge"])), &both(json!(["edge", "direct"])));
    assert_eq!(comparison.in_force.gains.len(), 1, "{comparison:#?}");
    assert!(comparison.in_force.losses.is_empty());
    // A peer that becomes a hop makes no requests any more.
    let all = allow("all", "spiffe://td/**", json!(["direct"]));
    let with = document(edge(), json!([all, allow("a", "spiffe://td/ns/a", json!(["edge"]))]));
    let without = document(json!([]), json!([all]));
    let comparison = compared(&without, &with);
    let losses = &comparison.in_force.losses;
    assert_eq!(losses.len(), 1, "{comparison:#?}");
    assert_eq!(losses[0].cause, Cause::Hop("spiffe://td/edge".to_owned()));
    assert!(comparison.in_force.gains.is_empty());
}

#[test]
fn claim_about_what_may_be_brought_is_undecided() {
    let rules = json!([
        allow("a", "spiffe://td/ns/a", json!(["edge"])),
        allow("b", "spiffe://td/**", json!(["direct"])),
    ]);
    let policy = policy(&document(edge(), rules));
    let asked = |claim, from: &str| {
        let subject = json!({ "from": [from] });
        let subject = Subject::read(subject.to_string().as_bytes(), &policy).unwrap();
        holds(&policy, claim, &subject, AT.parse().unwrap(), Bounds::default())
    };
    assert!(matches!(asked(Claim::Never, "spiffe://td/x"), Holds::No(_)));
    assert_eq!(asked(Claim::Only, "spiffe://td/**"), Holds::Undecided(Why::Hops));
    // No request of a hop's own is allowed, and nobody brings it.
    assert_eq!(asked(Claim::Never, "spiffe://td/edge"), Holds::Yes);
    assert!(matches!(asked(Claim::Always, "spiffe://td/edge"), Holds::No(_)));
    assert_eq!(asked(Claim::Always, "spiffe://td/ns/a"), Holds::Yes);
}

#[test]
fn nothing_that_a_hop_may_bring_is_never() {
    let rules = json!([allow("a", "spiffe://td/ns/*", json!(["edge"]))]);
    let policy = policy(&document(edge(), rules));
    let subject = Subject::read(br#"{"from": ["spiffe://td/ns/a"]}"#, &policy).unwrap();
    let holds = |at: &str| holds(&policy, Claim::Never, &subject, at.parse().unwrap(), Bounds::default());
    assert_eq!(holds(AT), Holds::Undecided(Why::Hops));
}

#[test]
fn rule_about_ways_through_hops_is_never_said_to_come_to_nothing() {
    let deny = |name: &str, from: &str, except: &str| json!({ "name": name, "effect": "deny", "from": [from], "except": [except] });
    let rules = json!([
        allow("brought", "spiffe://td/ns/a", json!(["edge"])),
        // Of what callers ask for themselves, both allow what nobody else does, and nothing.
        allow("own", "spiffe://td/ns/b", json!(["direct", "edge"])),
        allow("own-again", "spiffe://td/ns/b", json!(["direct"])),
        // Nothing that is allowed directly is denied by it, and much that is brought.
        deny("no", "spiffe://td/ns/a", "spiffe://td/edge"),
        json!({ "name": "not-by-the-edge", "effect": "deny", "from": ["spiffe://td/**"], "except": ["spiffe://td/edge"],
                "to": [{ "paths": ["/only"] }] }),
    ]);
    let said = remarks(
        &policy(&document(edge(), rules)),
        AT.parse().unwrap(),
        RemarkBounds::default(),
    );
    let of = |rule: usize| -> Vec<&What> {
        said.iter()
            .filter(|one| one.rule == rule)
            .map(|one| &one.what)
            .collect()
    };
    assert_eq!(of(0), Vec::<&What>::new());
    assert!(matches!(*of(2), [What::Redundant { .. }]), "{said:?}");
    assert_eq!(of(3), [&What::Undecided(Why::Hops)]);
    assert_eq!(of(4), Vec::<&What>::new(), "{said:?}");
}
