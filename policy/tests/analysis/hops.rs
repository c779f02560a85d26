//! What comes through hops: who gains and loses what through whom, what holds of all of it, and which rules it needs.

use serde_json::{Value, json};
use svidgate_policy::{
    Format,
    analysis::{
        Bounds, Cause, Change, Claim, Comparison, Holds, Policy, RemarkBounds, Subject, What, Why, compare, holds,
        remarks,
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

fn hop(name: &str, peer: &str, callers: &str) -> Value {
    json!({ "name": name, "peers": [peer], "callers": [callers], "assertion": "xfcc" })
}

fn edge() -> Value {
    json!([hop("edge", "spiffe://td/edge", "spiffe://td/ns/**")])
}

fn two() -> Value {
    json!([
        hop("edge", "spiffe://td/edge", "spiffe://td/ns/a/**"),
        hop("inner", "spiffe://td/inner", "spiffe://td/ns/**"),
    ])
}

fn allow(name: &str, from: &str, via: Value) -> Value {
    json!({ "name": name, "effect": "allow", "from": [from], "via": via })
}

fn deny(name: &str, from: &str) -> Value {
    json!({ "name": name, "effect": "deny", "from": [from] })
}

fn policy(document: &Value) -> Policy {
    Policy::read(document.to_string().as_bytes(), Format::Json).unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
}

fn compared(old: &Value, new: &Value) -> Comparison {
    let comparison = compare(&policy(old), &policy(new), AT.parse().unwrap(), Bounds::default());
    assert!(comparison.in_force.faults.is_empty(), "{comparison:#?}");
    assert!(comparison.in_force.undecided.is_empty(), "{comparison:#?}");
    comparison
}

fn not_compared(comparison: &Comparison) -> Vec<(&str, bool)> {
    let members = comparison.not_compared.iter();
    members.map(|member| (member.member.as_str(), member.decides)).collect()
}

fn told(changes: &[Change]) -> Vec<String> {
    let regions = changes.iter().flat_map(|change| &change.regions);
    regions.map(|shown| shown.witness.to_string()).collect()
}

/// What is gained and what is lost, as the first example of each; all else is compared, and the same.
fn differ(old: &Value, new: &Value) -> [Option<String>; 2] {
    let comparison = compared(old, new);
    assert_eq!(not_compared(&comparison), [], "{comparison:#?}");
    let Comparison { in_force, .. } = &comparison;
    [&in_force.gains, &in_force.losses].map(|list| told(list).into_iter().next())
}

const THROUGH_EDGE: &str =
    "spiffe://td/ns/a asks GET / through spiffe://td/edge by certificate, at 2026-11-23T12:00:00Z";

#[test]
fn names_of_hops_and_who_answers_for_them_change_nothing() {
    let one = document(edge(), json!([allow("a", "spiffe://td/ns/a", json!(["edge"]))]));
    let mut other = document(
        edge(),
        json!([allow("another", "spiffe://td/ns/a", json!(["gateway"]))]),
    );
    other["hops"][0]["name"] = json!("gateway");
    other["hops"][0]["owner"] = json!("edge team");
    let comparison = compared(&one, &other);
    assert!(comparison.in_force.is_none());
    assert_eq!(not_compared(&comparison), [("hops.name", false), ("hops.owner", false)]);
}

#[test]
fn entry_that_is_taken_apart_changes_nothing() {
    let rules = |via: Value| json!([allow("a", "spiffe://td/ns/**", via), deny("not-x", "spiffe://td/*/x")]);
    let one = document(edge(), rules(json!(["edge"])));
    let mut rest = hop("rest", "spiffe://td/edge", "spiffe://td/ns/**");
    rest["except"] = json!(["spiffe://td/ns/a/**"]);
    let parts = json!([hop("part", "spiffe://td/edge", "spiffe://td/ns/a/**"), rest]);
    let other = document(parts.clone(), rules(json!(["part", "rest"])));
    assert_eq!(differ(&one, &other), [None, None]);
    // Whom both bring is all; whom one of them brings is less.
    let mut less = other;
    less["rules"][0]["via"] = json!(["rest"]);
    less["rules"]
        .as_array_mut()
        .unwrap()
        .push(allow("y", "spiffe://td/ns/a/y", json!(["part"])));
    let [gained, lost] = differ(&one, &less);
    assert_eq!(gained, None);
    let lost = lost.unwrap();
    assert!(
        lost.starts_with("spiffe://td/ns/a/a asks GET / through spiffe://td/edge"),
        "{lost}"
    );
}

#[test]
fn whoever_gains_or_loses_is_told_with_whom_it_comes_through() {
    let brought = allow("a", "spiffe://td/ns/a", json!(["edge"]));
    let old = document(edge(), json!([brought]));
    let with = |change: &dyn Fn(&mut Value)| {
        let mut new = old.clone();
        change(&mut new);
        new
    };
    let lost = || [None, Some(THROUGH_EDGE.to_owned())];
    let gained = |witness: &str| [Some(witness.to_owned()), None];
    assert_eq!(
        differ(
            &old,
            &with(&|new| new["revoked"] = json!([{ "id": "spiffe://td/ns/a" }]))
        ),
        lost()
    );
    // A prohibition is of everybody on the way.
    assert_eq!(
        differ(
            &old,
            &with(&|new| new["revoked"] = json!([{ "id": "spiffe://td/edge" }]))
        ),
        lost()
    );
    let no_edge = deny("no", "spiffe://td/edge");
    assert_eq!(differ(&old, &document(edge(), json!([brought, no_edge]))), lost());
    assert_eq!(differ(&old, &document(json!([]), json!([]))), lost());
    assert_eq!(
        differ(
            &old,
            &with(&|new| new["hops"][0]["expires"] = json!("2027-01-01T00:00:00Z"))
        ),
        [
            None,
            Some(THROUGH_EDGE.replace("2026-11-23T12:00:00Z", "2027-01-01T00:00:00Z"))
        ]
    );
    assert_eq!(
        differ(
            &old,
            &with(&|new| new["hops"][0]["except"] = json!(["spiffe://td/ns/a"]))
        )
        .map(|told| told.is_some()),
        [false, true]
    );
    assert_eq!(
        differ(
            &old,
            &with(&|new| new["rules"][0]["from"] = json!(["spiffe://td/ns/*"]))
        ),
        gained(&THROUGH_EDGE.replace("ns/a ", "ns/b "))
    );
    assert_eq!(
        differ(
            &old,
            &with(&|new| new["hops"][0]["peers"] = json!(["spiffe://td/edge", "spiffe://td/more"]))
        ),
        gained(&THROUGH_EDGE.replace("td/edge", "td/more"))
    );
    assert_eq!(
        differ(&old, &with(&|new| new["rules"][0]["via"] = json!(["edge", "direct"]))),
        gained("spiffe://td/ns/a asks GET /, at 2026-11-23T12:00:00Z")
    );
}

#[test]
fn another_assertion_is_another_way() {
    let old = document(edge(), json!([allow("a", "spiffe://td/ns/a", json!(["edge"]))]));
    let mut new = old.clone();
    new["hops"][0]["assertion"] = json!("jwt_svid");
    new["jwt_svid"] = json!({ "audiences": ["us"] });
    let by_token = THROUGH_EDGE.replace("certificate", "token");
    assert_eq!(differ(&old, &new), [Some(by_token), Some(THROUGH_EDGE.to_owned())]);
    // What is expected of tokens is told where there are some on both sides.
    let mut other = new.clone();
    other["jwt_svid"] = json!({ "audiences": ["others"] });
    assert_eq!(not_compared(&compared(&new, &other)), [("jwt_svid", true)]);
}

#[test]
fn captures_of_a_denial_are_of_each_by_itself() {
    let hops = json!([hop("edge", "spiffe://td/edge", "spiffe://td/ns/**")]);
    let all = allow("all", "spiffe://td/ns/*", json!(["edge"]));
    let denial = json!({ "name": "own", "effect": "deny", "from": ["spiffe://td/{x}"], "to": [{ "paths": ["/{x}"] }] });
    let old = document(hops.clone(), json!([all]));
    let [gained, lost] = differ(&old, &document(hops, json!([all, denial])));
    assert_eq!(gained, None);
    let lost = lost.unwrap();
    assert!(lost.contains("asks GET /edge through spiffe://td/edge"), "{lost}");
}

#[test]
fn peer_that_becomes_a_hop_loses_what_it_asks_for_itself() {
    let all = allow("all", "spiffe://td/**", json!(["direct"]));
    let with = document(edge(), json!([all, allow("a", "spiffe://td/ns/a", json!(["edge"]))]));
    let without = document(json!([]), json!([all]));
    let comparison = compared(&without, &with);
    let losses = &comparison.in_force.losses;
    assert_eq!(losses.len(), 1, "{comparison:#?}");
    assert_eq!(losses[0].cause, Cause::Hop("spiffe://td/edge".to_owned()));
    assert_eq!(told(&comparison.in_force.gains), [THROUGH_EDGE]);
}

/// More pairs of who brings and who is brought than are looked at.
fn too_many() -> Value {
    let list = |of: &str| {
        (0..70)
            .map(|number| format!("spiffe://td/{of}/{number}"))
            .collect::<Vec<_>>()
    };
    json!([{ "name": "edge", "peers": list("edge"), "callers": list("ns"), "assertion": "xfcc" }])
}

#[test]
fn what_is_too_much_to_look_at_is_told_as_not_compared_and_never_as_the_same() {
    let rule = |from: &str| document(too_many(), json!([allow("a", from, json!(["edge"]))]));
    let (one, other) = (rule("spiffe://td/ns/1"), rule("spiffe://td/ns/2"));
    assert_eq!(not_compared(&compared(&one, &one)), []);
    assert_eq!(not_compared(&compared(&one, &other)), [("hops", true)]);
    assert_eq!(
        not_compared(&compared(&document(json!([]), json!([])), &other)),
        [("hops", true)]
    );
    let asked = |claim, subject: Value| {
        let policy = policy(&one);
        let subject = Subject::read(subject.to_string().as_bytes(), &policy).unwrap();
        holds(&policy, claim, &subject, AT.parse().unwrap(), Bounds::default())
    };
    assert_eq!(
        asked(Claim::Never, json!({ "from": ["spiffe://td/ns/1"] })),
        Holds::Undecided(Why::Hops)
    );
    assert_eq!(
        asked(Claim::Only, json!({ "from": ["spiffe://td/ns/1"] })),
        Holds::Undecided(Why::Hops)
    );
    assert_eq!(asked(Claim::Never, json!({ "from": ["spiffe://td/ns/3"] })), Holds::Yes);
    let subject = json!({ "from": ["spiffe://td/ns/1"], "via": ["edge"] });
    assert_eq!(asked(Claim::Always, subject), Holds::Undecided(Why::Hops));
    let said = remarks(
        &policy(&document(
            too_many(),
            json!([
                allow("a", "spiffe://td/ns/1", json!(["edge"])),
                allow("b", "spiffe://td/ns/1", json!(["direct", "edge"])),
                allow("c", "spiffe://td/ns/1", json!(["direct"])),
            ]),
        )),
        AT.parse().unwrap(),
        RemarkBounds::default(),
    );
    let whats: Vec<_> = said.iter().map(|remark| (remark.rule, &remark.what)).collect();
    assert!(
        matches!(
            whats[..],
            [(0, What::Undecided(Why::Hops)), (2, What::Redundant { .. })]
        ),
        "{said:?}"
    );
}

fn asked(policy: &Policy, claim: Claim, subject: &Value) -> Holds {
    let subject = Subject::read(subject.to_string().as_bytes(), policy).unwrap();
    holds(policy, claim, &subject, AT.parse().unwrap(), Bounds::default())
}

fn counterexample(holds: &Holds) -> String {
    let Holds::No(counterexamples) = holds else {
        panic!("{holds:?}")
    };
    counterexamples[0].witness.to_string()
}

#[test]
fn never_is_by_whatever_way_unless_it_names_some() {
    let rules = json!([
        allow("a", "spiffe://td/ns/a", json!(["edge"])),
        allow("b", "spiffe://td/ns/b", json!(["inner"]))
    ]);
    let policy = policy(&document(two(), rules));
    let never = |subject: Value| asked(&policy, Claim::Never, &subject);
    assert_eq!(
        counterexample(&never(json!({ "from": ["spiffe://td/ns/a"] }))),
        THROUGH_EDGE
    );
    for via in [json!(["direct"]), json!(["inner"]), json!(["direct", "inner"])] {
        assert_eq!(
            never(json!({ "from": ["spiffe://td/ns/a"], "via": via })),
            Holds::Yes,
            "{via}"
        );
    }
    assert_eq!(
        counterexample(&never(
            json!({ "from": ["spiffe://td/ns/a"], "via": ["inner", "edge"] })
        )),
        THROUGH_EDGE
    );
    // Nothing is allowed on behalf of a hop, whatever it brings.
    assert_eq!(
        never(json!({ "from": ["spiffe://td/edge", "spiffe://td/inner"] })),
        Holds::Yes
    );
}

#[test]
fn always_with_a_hop_is_of_whoever_it_is_and_whomever_it_may_not_bring() {
    let rules = json!([
        allow("a", "spiffe://td/ns/**", json!(["edge", "inner"])),
        allow("own", "spiffe://td/ns/b", json!(["direct"])),
    ]);
    let document = document(two(), rules);
    let named = policy(&document);
    let always = |subject: Value| asked(&named, Claim::Always, &subject);
    assert_eq!(always(json!({ "from": ["spiffe://td/ns/b"] })), Holds::Yes);
    assert!(matches!(always(json!({ "from": ["spiffe://td/ns/a"] })), Holds::No(_)));
    assert_eq!(
        always(json!({ "from": ["spiffe://td/ns/a/**"], "via": ["edge", "inner"] })),
        Holds::Yes
    );
    assert_eq!(
        counterexample(&always(json!({ "from": ["spiffe://td/ns/**"], "via": ["edge"] }))),
        "spiffe://td/ns/b asks GET / through spiffe://td/edge by certificate, at 2026-11-23T12:00:00Z"
    );
    assert!(matches!(
        always(json!({ "from": ["spiffe://td/ns/b"], "via": ["edge", "direct"] })),
        Holds::No(_)
    ));
    // One of several peers is denied.
    let mut several = document;
    several["hops"][0]["peers"] = json!(["spiffe://td/edge", "spiffe://td/edge/*"]);
    several["rules"]
        .as_array_mut()
        .unwrap()
        .push(deny("not-seven", "spiffe://td/edge/7"));
    let several = policy(&several);
    let subject = json!({ "from": ["spiffe://td/ns/a"], "via": ["edge"] });
    let found = counterexample(&asked(&several, Claim::Always, &subject));
    assert!(found.contains("through spiffe://td/edge/7 by certificate"), "{found}");
}

#[test]
fn what_a_peer_brings_by_another_entry_is_not_what_the_subject_names() {
    let mut rest = hop("rest", "spiffe://td/edge", "spiffe://td/ns/**");
    rest["except"] = json!(["spiffe://td/ns/a"]);
    let hops = json!([hop("one", "spiffe://td/edge", "spiffe://td/ns/a"), rest]);
    let rules = json!([
        allow("a", "spiffe://td/ns/a", json!(["one"])),
        allow("b", "spiffe://td/ns/b", json!(["rest"]))
    ]);
    let policy = policy(&document(hops, rules));
    let always = |from: &str| asked(&policy, Claim::Always, &json!({ "from": [from], "via": ["one"] }));
    assert_eq!(always("spiffe://td/ns/a"), Holds::Yes);
    // Through the peer of `one` it comes, but by `rest`.
    assert_eq!(always("spiffe://td/ns/c"), Holds::Yes);
    assert!(matches!(always("spiffe://td/x"), Holds::No(_)));
}

#[test]
fn only_with_a_hop_shuts_every_other_way() {
    let rules = json!([allow("a", "spiffe://td/ns/a", json!(["edge", "inner"]))]);
    let policy = policy(&document(two(), rules));
    let only = |subject: Value| asked(&policy, Claim::Only, &subject);
    assert_eq!(only(json!({ "from": ["spiffe://td/ns/a"] })), Holds::Yes);
    assert_eq!(
        only(json!({ "from": ["spiffe://td/ns/a"], "via": ["edge", "inner"] })),
        Holds::Yes
    );
    assert_eq!(
        counterexample(&only(
            json!({ "from": ["spiffe://td/ns/a"], "via": ["edge", "direct"] })
        )),
        THROUGH_EDGE.replace("td/edge", "td/inner")
    );
    assert_eq!(
        counterexample(&only(json!({ "from": ["spiffe://td/ns/b"] }))),
        THROUGH_EDGE
    );
}

#[test]
fn subject_names_hops_that_there_are() {
    let policy = policy(&document(
        edge(),
        json!([allow("a", "spiffe://td/ns/a", json!(["edge"]))]),
    ));
    let mistakes = Subject::read(br#"{"from": ["spiffe://td/**"], "via": ["egde"]}"#, &policy).unwrap_err();
    assert_eq!(mistakes[0].place, "via[0]");
    assert_eq!(
        mistakes[0].mistake.to_string(),
        "unknown hop `egde` (known: `direct`, `edge`)"
    );
}

/// What is said of each rule.
fn said(hops: Value, rules: Value) -> Vec<(usize, What)> {
    let said = remarks(
        &policy(&document(hops, rules)),
        AT.parse().unwrap(),
        RemarkBounds::default(),
    );
    said.into_iter().map(|remark| (remark.rule, remark.what)).collect()
}

#[test]
fn rule_is_of_use_on_one_way_whatever_there_is_on_another() {
    let from = "spiffe://td/ns/a";
    assert_eq!(
        said(
            two(),
            json!([
                allow("by-edge", from, json!(["edge"])),
                allow("by-inner", from, json!(["inner"])),
                json!({ "name": "own", "effect": "allow", "from": [from] }),
            ])
        ),
        []
    );
    // What is denied directly may be brought, and the other way round.
    let denial = |via: Value| json!({ "name": "no", "effect": "deny", "from": [from], "via": via });
    assert_eq!(
        said(
            edge(),
            json!([allow("all", from, json!(["edge", "direct"])), denial(json!(["direct"]))])
        ),
        []
    );
    let both = |via: Value| said(edge(), json!([allow("brought", from, json!(["edge"])), denial(via)]));
    assert!(matches!(both(json!(["direct"]))[..], [(1, What::Idle)]));
    assert!(matches!(&both(json!(["edge"]))[..], [(0, What::Shadowed { by, .. })] if by[..] == [1]));
    // Two that say the same of a way, and a denial that is of use for the hop alone.
    let again = json!([
        allow("first", from, json!(["edge", "direct"])),
        allow("again", from, json!(["direct"]))
    ]);
    assert_eq!(said(edge(), again), [(1, What::Redundant { beside: vec![0] })]);
    let mut for_hop = deny("no", "spiffe://td/**");
    for_hop["except"] = json!(["spiffe://td/ns/**", "spiffe://td/edge", "spiffe://td/x/y"]);
    for_hop["to"] = json!([{ "paths": ["/only"] }]);
    let hops = json!([{ "name": "edge", "peers": ["spiffe://td/edge", "spiffe://td/other"],
                        "callers": ["spiffe://td/ns/**"], "assertion": "xfcc" }]);
    assert_eq!(
        said(hops, json!([allow("brought", from, json!(["edge"])), for_hop])),
        []
    );
}
