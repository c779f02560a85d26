//! Claims about all requests held against brute force, which asks documents with one rule more.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use svidgate_policy::{
    Format,
    analysis::{Bounds, Claim, Holds, Policy, Subject, Why, Witness, holds},
};

use crate::{
    brute::{self, AT},
    dice::Dice,
    differential::{asked, policy, record},
    generator::{Pair, pair, uses},
};

/// Pairs tried; more with `ANALYSIS_PAIRS=20000`.
const PAIRS: usize = 100;
/// Requests tried of each; more with `ANALYSIS_POINTS`.
const POINTS: usize = 4_000;

fn read(document: &Value) -> Option<Policy> {
    Policy::read(document.to_string().as_bytes(), Format::Json).ok()
}

/// A document with a rule about the subject more.
fn with(document: &Value, subject: &Value, effect: &str) -> Value {
    let mut document = document.clone();
    let mut rule = subject.clone();
    rule["effect"] = json!(effect);
    rule["name"] = json!("subject");
    document["rules"].as_array_mut().unwrap().push(rule);
    document
}

/// What the subject says of anybody.
fn of_anybody(subject: &Value) -> Value {
    let mut subject = subject.clone();
    for name in ["except", "via"] {
        subject.as_object_mut().unwrap().remove(name);
    }
    if let Some(to) = subject.get("to") {
        let text = to.to_string().replace("{x}", "*").replace("{y}", "*");
        subject["to"] = serde_json::from_str(&text).unwrap();
    }
    subject["from"] = json!(["spiffe://*/**"]);
    subject
}

/// The first of many requests of which each claim does not hold.
fn by_force(pair: &Pair, document: &Policy, points: usize, dice: &mut Dice) -> Option<[Option<Witness>; 3]> {
    let mut alone = pair.old.clone();
    alone["rules"] = uses(&alone["hops"]).into_iter().collect();
    let documents = [
        with(&pair.old, &pair.subject, "deny"),
        with(&pair.old, &of_anybody(&pair.subject), "deny"),
        with(&alone, &pair.subject, "allow"),
    ];
    let [denied, shut, open] = documents.map(|document| read(&document));
    let (denied, shut, open) = (denied?, shut?, open?);
    let documents = [document, &denied, &shut, &open].map(Policy::configuration);
    let mut found = [None, None, None];
    let at = AT.parse().unwrap();
    brute::each(pair, &documents, points, dice, &mut |witness, said| {
        let [document, denied, shut, open] = [said[0], said[1], said[2], said[3]].map(|may| may.pass);
        let fails = [
            document && !denied,
            open && !document && witness.now == at,
            document && denied && !shut,
        ];
        for (place, fails) in found.iter_mut().zip(fails) {
            if fails && place.is_none() {
                *place = Some(witness.clone());
            }
        }
    });
    Some(found)
}

#[test]
fn claims_hold_where_brute_force_finds_nothing_against_them() {
    let (pairs, points) = (asked("ANALYSIS_PAIRS", PAIRS), asked("ANALYSIS_POINTS", POINTS));
    let first = asked("ANALYSIS_SEED", 0);
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in first..first + pairs {
        let mut dice = Dice::new(u64::try_from(seed).unwrap());
        let mut pair = pair(&mut dice);
        let document = policy(&mut pair.old);
        let Ok(subject) = Subject::read(pair.subject.to_string().as_bytes(), &document) else {
            continue;
        };
        // What could never match is no rule.
        let Some(found) = by_force(&pair, &document, points, &mut dice) else {
            continue;
        };
        for (claim, found) in [Claim::Never, Claim::Always, Claim::Only].into_iter().zip(found) {
            let answer = holds(&document, claim, &subject, AT.parse().unwrap(), Bounds::default());
            let told = || format!("seed {seed}, {claim:?}: {answer:?}, {found:?}\n{pair:#?}");
            let kind = match &answer {
                Holds::Yes => {
                    assert!(found.is_none(), "{}", told());
                    "yes"
                }
                Holds::No(counterexamples) => {
                    let wanted = if claim == Claim::Always { "deny" } else { "allow" };
                    let asked = counterexamples
                        .iter()
                        .map(|one| one.witness.ask(document.configuration()));
                    let mut effects = asked.map(|answer| answer.effect.as_str());
                    assert!(effects.all(|effect| effect == wanted), "{}", told());
                    "no"
                }
                Holds::Undecided(why) => {
                    assert!(*why == Why::Values && pair.has_expressions, "{}", told());
                    "undecided"
                }
                Holds::Fault(_) => panic!("{}", told()),
            };
            *seen.entry(kind).or_default() += 1;
        }
    }
    record(&json!(seen));
    let share = |kind: &str| seen.get(kind).copied().unwrap_or_default() * 5;
    let all: usize = seen.values().sum();
    assert!(share("yes") > all && share("no") > all, "{seen:?}");
}

fn spoken(document: &Value) -> Policy {
    read(document).unwrap_or_else(|| panic!("{document}"))
}

fn example() -> Policy {
    spoken(&json!({
        "trust_domain": "prod.example", "chain": "proxy",
        "federation": [{ "trust_domain": "partner.example", "scope": ["/ns/billing/**"] }],
        "rules": [
            { "name": "tenants", "effect": "allow", "from": ["spiffe://partner.example/ns/billing/tenant/{t}"],
              "to": [{ "methods": ["GET", "HEAD"], "paths": ["/invoices/{t}/**"] }] },
            { "name": "everything", "effect": "allow", "from": ["spiffe://prod.example/ns/ops/**"] },
            { "name": "no-admin", "effect": "deny", "from": ["spiffe://*/**"],
              "except": ["spiffe://prod.example/**"], "to": [{ "paths": ["/admin/**"] }] },
        ],
    }))
}

fn answer(claim: Claim, subject: &Value) -> Holds {
    let policy = example();
    let subject = Subject::read(subject.to_string().as_bytes(), &policy).unwrap();
    holds(&policy, claim, &subject, AT.parse().unwrap(), Bounds::default())
}

fn first(holds: &Holds) -> String {
    let Holds::No(counterexamples) = holds else {
        panic!("{holds:?}")
    };
    counterexamples[0].witness.to_string()
}

#[test]
fn counterexample_is_a_request_that_anybody_can_make() {
    let foreign = json!({
        "from": ["spiffe://*/**"], "except": ["spiffe://prod.example/**"], "to": [{ "paths": ["/admin/**"] }],
    });
    assert_eq!(answer(Claim::Never, &foreign), Holds::Yes);
    let writes = json!({ "from": ["spiffe://partner.example/**"], "to": [{ "methods": ["POST"] }] });
    assert_eq!(answer(Claim::Never, &writes), Holds::Yes);
    let invoices = json!({ "from": ["spiffe://partner.example/**"], "to": [{ "paths": ["/invoices/**"] }] });
    let found = answer(Claim::Never, &invoices);
    assert_eq!(
        first(&found),
        "spiffe://partner.example/ns/billing/tenant/a asks GET /invoices/a, at 2026-11-23T12:00:00Z"
    );
    let operators = json!({ "from": ["spiffe://prod.example/ns/ops/**"] });
    assert_eq!(answer(Claim::Always, &operators), Holds::Yes);
    let all = json!({ "from": ["spiffe://prod.example/ns/**"] });
    assert_eq!(
        first(&answer(Claim::Always, &all)),
        "spiffe://prod.example/ns/a asks GET /, at 2026-11-23T12:00:00Z"
    );
    let only = json!({
        "from": ["spiffe://prod.example/ns/ops/**", "spiffe://partner.example/ns/billing/tenant/**"],
        "to": [{ "paths": ["/invoices/**"] }],
    });
    assert_eq!(answer(Claim::Only, &only), Holds::Yes);
    let only = json!({ "from": ["spiffe://partner.example/**"], "to": [{ "paths": ["/invoices/**"] }] });
    assert_eq!(
        first(&answer(Claim::Only, &only)),
        "spiffe://prod.example/ns/ops asks GET /invoices, at 2026-11-23T12:00:00Z"
    );
}

#[test]
fn subject_with_a_mistake_is_refused_with_its_place() {
    let policy = example();
    for (subject, place) in [
        (json!({ "from": ["spiffe://prdo.example/**"] }), "from[0]"),
        (
            json!({ "from": ["spiffe://prod.example/**"], "effect": "deny" }),
            "effect",
        ),
        (json!({ "to": [{ "paths": ["/a"] }] }), "from"),
        (json!({ "from": ["spiffe://prod.example/{x}"] }), "from"),
        (
            json!({ "from": ["spiffe://prod.example/**"], "to": [{ "paths": ["a"] }] }),
            "to[0].paths[0]",
        ),
        (json!([]), ""),
    ] {
        let mistakes = Subject::read(subject.to_string().as_bytes(), &policy).unwrap_err();
        assert_eq!(mistakes[0].place, place, "{subject}: {mistakes:?}");
    }
}
