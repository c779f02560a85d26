//! Rules that come to nothing, held against documents without them.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use svidgate_policy::{
    Format,
    analysis::{Bounds, Policy, Remark, RemarkBounds, What, Why, compare, remarks},
};

use crate::{
    brute::{self, AT},
    dice::Dice,
    differential::{asked, policy, record},
    generator::{Pair, pair, uses},
};

/// Documents tried; more with `ANALYSIS_PAIRS=20000`.
const DOCUMENTS: usize = 100;
/// Requests tried of each; more with `ANALYSIS_POINTS`.
const POINTS: usize = 4_000;

/// The rules of both documents of a pair in one, so that many come to nothing beside others.
fn of_both(pair: &Pair) -> Value {
    let mut document = pair.old.clone();
    let mut rules = pair.new["rules"].as_array().unwrap().clone();
    rules.extend(pair.old["rules"].as_array().unwrap().iter().cloned());
    for (place, rule) in rules.iter_mut().enumerate() {
        rule["name"] = json!(format!("r{place}"));
    }
    document["rules"] = json!(rules);
    document
}

fn without(document: &Value, is_out: impl Fn(usize) -> bool) -> Value {
    let mut document = document.clone();
    let rules = document["rules"].as_array().unwrap().iter().enumerate();
    let rules: Vec<&Value> = rules
        .filter(|(place, _)| !is_out(*place))
        .map(|(_, rule)| rule)
        .collect();
    document["rules"] = json!(rules);
    document
}

fn read(document: &Value) -> Policy {
    Policy::read(document.to_string().as_bytes(), Format::Json).unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
}

fn comes_to_nothing(what: &What) -> bool {
    matches!(
        what,
        What::Dead | What::Shadowed { .. } | What::Redundant { .. } | What::Idle
    )
}

fn kind(what: &What) -> &'static str {
    match what {
        What::Dead => "dead",
        What::Shadowed { .. } => "shadowed",
        What::Redundant { .. } => "redundant",
        What::Idle => "idle",
        What::IdleException { .. } => "idle exception",
        What::Undecided(_) => "undecided",
        What::Fault { .. } => "fault",
    }
}

/// One document, and what is said of its rules.
struct Tried<'a> {
    pair: &'a Pair,
    document: &'a Value,
    policy: &'a Policy,
    said: &'a [Remark],
}

impl Tried<'_> {
    fn told(&self) -> String {
        format!("{:#?}\n{:#}", self.said, self.document)
    }

    /// Nothing that brute force finds, and nothing that a comparison finds, is decided otherwise in another document.
    fn is_same(&self, other: &Value, points: usize, dice: &mut Dice) {
        let other = read(other);
        let (old, new) = (self.policy.configuration(), other.configuration());
        let found = brute::differences(self.pair, old, new, points, dice);
        let found = [found.gain, found.loss, found.would_gain, found.would_lose];
        assert!(found.iter().all(Option::is_none), "{found:?}\n{}", self.told());
        let compared = compare(self.policy, &other, AT.parse().unwrap(), Bounds::default());
        let with_dry_run = compared.with_dry_run.unwrap_or_default();
        for changes in [&compared.in_force, &with_dry_run] {
            assert!(
                changes.gains.is_empty() && changes.losses.is_empty(),
                "{changes:#?}\n{}",
                self.told()
            );
        }
    }

    /// All that is too much can go at once.
    fn can_go(&self, points: usize, dice: &mut Dice) {
        let is_out = |place| {
            let mut said = self.said.iter();
            said.any(|remark| remark.rule == place && comes_to_nothing(&remark.what))
        };
        self.is_same(&without(self.document, is_out), points, dice);
        let mut spared = self.document.clone();
        // From behind, so that places stay what they are.
        for remark in self.said.iter().rev() {
            if let What::IdleException { except } = remark.what {
                let rule = spared["rules"][remark.rule].as_object_mut().unwrap();
                let list = rule["except"].as_array_mut().unwrap();
                list.remove(except);
                if list.is_empty() {
                    rule.remove("except");
                }
            }
        }
        self.is_same(&spared, points, dice);
    }

    /// What is not said to be too much is of use beside all that was not when it was asked about, the last first.
    fn is_of_use(&self, place: usize) {
        let too_much = |other: usize| {
            let mut said = self.said.iter();
            let is_too_much = |what: &What| matches!(what, What::Redundant { .. } | What::Idle);
            other > place && said.any(|remark| remark.rule == other && is_too_much(&remark.what))
        };
        let with = read(&without(self.document, too_much));
        let without = read(&without(self.document, |other| other == place || too_much(other)));
        let compared = compare(&with, &without, AT.parse().unwrap(), Bounds::default());
        let with_dry_run = compared.with_dry_run.unwrap_or_default();
        assert!(
            !compared.in_force.is_none() || !with_dry_run.is_none(),
            "rule {place}\n{}",
            self.told()
        );
    }

    /// Nobody passes where a dead rule alone would let pass, nor where a shadowed one stands beside all that deny.
    fn opens_nothing(&self, remark: &Remark, points: usize, dice: &mut Dice) {
        let mut alone = self.document.clone();
        let mut rule = alone["rules"][remark.rule].clone();
        rule["effect"] = json!("allow");
        let denies = alone["rules"].as_array().unwrap().iter();
        let denies = denies.filter(|rule| rule["effect"] == "deny" && rule["dry_run"] != true);
        let mut rules: Vec<Value> = match remark.what {
            What::Dead => Vec::new(),
            _ => denies.cloned().collect(),
        };
        rules.push(rule);
        rules.extend(uses(&alone["hops"]));
        alone["rules"] = json!(rules);
        // As an allow rule it may lack what one at all listeners must have.
        let Ok(alone) = Policy::read(alone.to_string().as_bytes(), Format::Json) else {
            return;
        };
        brute::each(
            self.pair,
            &[alone.configuration()],
            points,
            dice,
            &mut |witness, said| {
                assert!(!said[0].pass, "{witness}\n{remark:?}\n{}", self.told());
            },
        );
    }
}

#[test]
fn rule_comes_to_nothing_if_and_only_if_nothing_changes_without_it() {
    let (documents, points) = (asked("ANALYSIS_PAIRS", DOCUMENTS), asked("ANALYSIS_POINTS", POINTS));
    let first = asked("ANALYSIS_SEED", 0);
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in first..first + documents {
        let mut dice = Dice::new(u64::try_from(seed).unwrap());
        let pair = pair(&mut dice);
        let mut document = of_both(&pair);
        let policy = policy(&mut document);
        let said = remarks(&policy, AT.parse().unwrap(), RemarkBounds::default());
        let tried = Tried {
            pair: &pair,
            document: &document,
            policy: &policy,
            said: &said,
        };
        for remark in &said {
            *seen.entry(kind(&remark.what)).or_default() += 1;
            match &remark.what {
                What::Undecided(why) => assert!(
                    *why == Why::Values && pair.has_expressions,
                    "seed {seed}\n{}",
                    tried.told()
                ),
                What::Fault { .. } => panic!("seed {seed}\n{}", tried.told()),
                What::Dead | What::Shadowed { .. } => tried.opens_nothing(remark, points, &mut dice),
                What::Redundant { .. } | What::Idle | What::IdleException { .. } => {}
            }
        }
        tried.can_go(points, &mut dice);
        for (place, rule) in document["rules"].as_array().unwrap().iter().enumerate() {
            let is_over = rule["expires"].as_str().is_some_and(|end| end <= AT);
            let is_said = said
                .iter()
                .any(|remark| remark.rule == place && !matches!(remark.what, What::IdleException { .. }));
            if !is_over && rule["dry_run"] != true && !is_said {
                tried.is_of_use(place);
                *seen.entry("of use").or_default() += 1;
            }
        }
    }
    record(&json!(seen));
    for kind in ["dead", "shadowed", "redundant", "idle", "idle exception", "of use"] {
        let times = seen.get(kind).copied().unwrap_or_default();
        assert!(times * 50 >= documents, "{kind}: {seen:?}");
    }
}

/// What is said of rules, each as its name, what it is, and what goes with that.
fn said(rules: &Value) -> Vec<String> {
    let document = json!({
        "trust_domain": "prod.example", "chain": "proxy",
        "federation": [{ "trust_domain": "partner.example", "scope": ["/ns/billing/**"] }],
        "rules": rules,
    });
    let policy = read(&document);
    let names: Vec<&str> = policy.rule_names().collect();
    let named = |places: &[usize]| places.iter().map(|place| names[*place]).collect::<Vec<_>>().join(" ");
    let said = remarks(&policy, AT.parse().unwrap(), RemarkBounds::default());
    let told = said.iter().map(|remark| {
        let more = match &remark.what {
            What::Shadowed { by, example } => format!(" by {}: {example}", named(by)),
            What::Redundant { beside } => format!(" beside {}", named(beside)),
            What::IdleException { except } => format!(" {except}"),
            What::Undecided(why) => format!(" {why:?}"),
            What::Dead | What::Idle | What::Fault { .. } => String::new(),
        };
        format!("{} {}{more}", names[remark.rule], kind(&remark.what))
    });
    told.collect()
}

#[test]
fn what_is_said_names_what_makes_it_so() {
    let rule = |name: &str, effect: &str, from: &str, path: &str| {
        let to = json!([{ "paths": [path] }]);
        json!({ "name": name, "effect": effect, "from": [from], "to": to })
    };
    let api = "spiffe://prod.example/ns/shop/sa/api";
    let shop = "spiffe://prod.example/ns/shop/**";
    assert_eq!(
        said(&json!([
            rule("orders", "allow", api, "/orders/**"),
            rule("no-orders", "deny", "spiffe://*/**", "/orders/**"),
            rule("stock", "allow", api, "/stock/**"),
        ])),
        [format!(
            "orders shadowed by no-orders: {api} asks GET /orders, at 2026-11-23T12:00:00Z"
        )]
    );
    // The narrower is too much beside the broader, wherever it stands; of two that are the same, the later.
    assert_eq!(
        said(&json!([
            rule("narrow", "allow", api, "/orders/1"),
            rule("broad", "allow", shop, "/orders/**"),
            rule("other", "allow", shop, "/stock"),
            rule("again", "allow", shop, "/orders/**"),
        ])),
        ["narrow redundant beside broad", "again redundant beside broad"]
    );
    // Two together.
    let methods = |name: &str, methods: &[&str]| json!({ "name": name, "effect": "allow", "from": [api], "to": [{ "methods": methods }] });
    assert_eq!(
        said(&json!([
            methods("reads", &["GET", "HEAD"]),
            methods("unrelated", &["OPTIONS"]),
            methods("writes", &["POST"]),
            methods("both", &["GET", "POST"]),
        ])),
        ["both redundant beside reads writes"]
    );
    assert_eq!(
        said(&json!([
            rule("orders", "allow", shop, "/orders/**"),
            rule("nothing-there", "deny", "spiffe://*/**", "/admin/**"),
            rule("some", "deny", api, "/orders/1"),
            rule("more", "deny", api, "/orders/*"),
        ])),
        ["nothing-there idle", "some redundant beside more"]
    );
    // The relationship's scope leaves nobody; the window is none of a rule that can come true.
    let mut windows = rule("windows", "allow", api, "/orders/**");
    windows["when"] = json!({ "time": [{ "until": "08:00" }], "not_time": [{ "until": "09:00" }] });
    let mut foreign = rule("foreign", "deny", "spiffe://*/ns/*/x", "/**");
    foreign["except"] = json!(["spiffe://prod.example/**"]);
    let mut twice = rule("twice", "allow", shop, "/**");
    twice["except"] = json!(["spiffe://prod.example/ns/ops/x", "spiffe://prod.example/ns/shop/x"]);
    assert_eq!(
        said(&json!([windows, foreign, twice])),
        ["windows dead", "foreign idle", "twice idle exception 0"]
    );
    assert_eq!(
        said(&json!([{
            "name": "scoped", "effect": "allow",
            "from": ["spiffe://*/ns/*/{x}/{x}"],
            "except": ["spiffe://*/ns/*/a/b", "spiffe://partner.example/ns/shop/**", "spiffe://*/ns/billing/a/a"],
            "to": [{ "paths": ["/{x}"] }],
        }])),
        ["scoped idle exception 0", "scoped idle exception 1"]
    );
}

#[test]
fn what_cannot_be_decided_within_the_bounds_is_said() {
    let rule = |place: usize| {
        json!({
            "name": format!("r{place}"), "effect": "allow", "from": [format!("spiffe://td/{place}")],
        })
    };
    let rules: Vec<Value> = (0..3).map(rule).collect();
    let policy = read(&json!({ "trust_domain": "td", "chain": "proxy", "rules": rules }));
    let bounds = RemarkBounds {
        steps: 2,
        steps_of_rule: 2,
    };
    let said = remarks(&policy, AT.parse().unwrap(), bounds);
    let what: Vec<(usize, &What)> = said.iter().map(|remark| (remark.rule, &remark.what)).collect();
    let expected = What::Undecided(Why::Steps);
    assert_eq!(what, [(0, &expected)]);
}

#[test]
fn rule_that_may_have_a_say_in_encoded_slashes_is_not_said_to_be_too_much() {
    let rule = |name: &str, opens: bool| {
        let mut target = json!({ "paths": ["/a/**"] });
        if opens {
            target["encoded_slashes"] = json!(true);
            target["routes"] = json!(["files"]);
        }
        json!({ "name": name, "effect": "allow", "from": ["spiffe://td/a"], "to": [target] })
    };
    let document = |rules: Value| json!({ "trust_domain": "td", "chain": "proxy", "rules": rules });
    let policy = read(&document(json!([rule("opens", true), rule("not", false)])));
    let said = remarks(&policy, AT.parse().unwrap(), RemarkBounds::default());
    let what: Vec<&What> = said.iter().map(|remark| &remark.what).collect();
    // Whatever else `opens` allows `not` allows, too.
    assert_eq!(what, [&What::Undecided(Why::EncodedSlashes)]);
}
