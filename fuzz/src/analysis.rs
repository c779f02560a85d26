//! What is said of all requests, against single ones.

use arbitrary::{Arbitrary, Unstructured};
use jiff::Timestamp;
use reference::{compiled::compiling, evaluator::Asked};
use serde_json::{Value, json};
use svidgate_policy::{
    Assertion, Format, SpiffeId,
    analysis::{Answer, Bounds, Brought, Changes, Form, Policy, RemarkBounds, What, Witness, compare, remarks},
};

use crate::drawn::Dice;

/// The first of the moments at which requests are asked.
const AT: &str = "2026-11-23T11:59:59Z";

/// How the second document comes of the first.
#[derive(Arbitrary, Debug)]
struct Changed {
    /// Rules of another document are put behind.
    more: bool,
    /// A rule that is taken out.
    out: Option<u8>,
    /// A rule whose effect is turned.
    turned: Option<u8>,
}

/// Whatever two documents answer otherwise, the comparison says that there is such a thing, or that it does not know;
/// and what is said to be too much makes no difference. No example is answered otherwise than the analysis says.
pub fn holds(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok(changed) = Changed::arbitrary(&mut input) else {
        return;
    };
    let mut dice = Dice(&mut input);
    let (Ok(old), Ok(other)) = (dice.document(), dice.document()) else {
        return;
    };
    let old = compiling(&old);
    let new = compiling(&with(&old, &other, &changed));
    let Ok(requests) = dice.requests(old["listener"] == "tcp") else {
        return;
    };
    let (of_old, of_new) = (read(&old), read(&new));
    let at: Timestamp = AT.parse().expect("it is a time");
    let comparison = compare(&of_old, &of_new, at, Bounds::default());
    let too_much: Vec<usize> = remarks(&of_old, at, RemarkBounds::default())
        .into_iter()
        .filter_map(|remark| match remark.what {
            What::Dead | What::Shadowed { .. } | What::Redundant { .. } | What::Idle => Some(remark.rule),
            What::IdleException { .. } | What::Undecided(_) => None,
            fault @ What::Fault { .. } => panic!("{fault:?}\n{old:#}"),
        })
        .collect();
    let less = read(&compiling(&without(&old, &too_much)));
    let in_force = &comparison.in_force;
    let with_dry_run = comparison.with_dry_run.as_ref().unwrap_or(in_force);
    for changes in [in_force, with_dry_run] {
        assert!(changes.faults.is_empty(), "{:?}\n{old:#}\n{new:#}", changes.faults);
    }
    for asked in &requests {
        let Some(witness) = witness(asked) else { continue };
        let [was, is, without] = [&of_old, &of_new, &less].map(|policy| witness.ask(policy.configuration()));
        let told =
            || format!("{witness:?}\n{was:?}\n{is:?}\n{without:?}\n{too_much:?}\n{comparison:#?}\n{old:#}\n{new:#}");
        assert!(is_told(in_force, passes(&was), passes(&is)), "{}", told());
        assert!(is_told(with_dry_run, would_pass(&was), would_pass(&is)), "{}", told());
        assert_eq!(passes(&was), passes(&without), "{}", told());
        assert_eq!(would_pass(&was), would_pass(&without), "{}", told());
    }
}

fn read(document: &Value) -> Policy {
    let read = Policy::read(document.to_string().as_bytes(), Format::Json);
    read.unwrap_or_else(|mistakes| panic!("{mistakes:?}\n{document:#}"))
}

fn with(old: &Value, other: &Value, changed: &Changed) -> Value {
    let mut new = old.clone();
    let Some(rules) = new["rules"].as_array_mut() else {
        return new;
    };
    let place = |number: u8, rules: &[Value]| usize::from(number).checked_rem(rules.len());
    if let Some(place) = changed.turned.and_then(|number| place(number, rules)) {
        let turned = if rules[place]["effect"] == "allow" {
            "deny"
        } else {
            "allow"
        };
        rules[place]["effect"] = json!(turned);
    }
    if let Some(place) = changed.out.and_then(|number| place(number, rules)) {
        rules.remove(place);
    }
    if changed.more {
        let more = other["rules"].as_array().into_iter().flatten().cloned();
        rules.extend(more.map(|mut rule| {
            rule["name"] = json!(format!("more-{}", rule["name"].as_str().unwrap_or_default()));
            rule
        }));
    }
    new
}

fn without(document: &Value, places: &[usize]) -> Value {
    let mut document = document.clone();
    let rules = document["rules"].as_array().into_iter().flatten().enumerate();
    let rules: Vec<&Value> = rules
        .filter(|(place, _)| !places.contains(place))
        .map(|(_, rule)| rule)
        .collect();
    document["rules"] = json!(rules);
    document
}

/// A request as a gate would be asked about it.
fn witness(asked: &Asked) -> Option<Witness> {
    let path = asked.path.clone().map(String::from_utf8).transpose().ok()?;
    let form = if asked.tcp { Form::Connection } else { Form::Request };
    let via = match &asked.through[..] {
        [] => None,
        [id] => Some(Brought {
            id: SpiffeId::parse(id).ok()?,
            assertion: Assertion::Xfcc,
        }),
        // One hop is all that is compared.
        _ => return None,
    };
    Some(Witness {
        id: SpiffeId::parse(&asked.id).ok()?,
        via,
        form,
        method: asked.method.clone(),
        host: Some(asked.host.clone()),
        path,
        headers: asked.headers.clone(),
        unread: Vec::new(),
        route: asked.route.clone(),
        port: asked.port,
        sni: asked.sni.clone(),
        source_ip: asked.source,
        now: asked.now,
    })
}

fn passes(answer: &Answer) -> bool {
    answer.effect.as_str() == "allow"
}

fn would_pass(answer: &Answer) -> bool {
    answer.would_be.as_str() == "allow"
}

/// Whether a difference is said to be possible.
fn is_told(changes: &Changes, was: bool, is: bool) -> bool {
    let is_open = |is_gain| changes.undecided.iter().any(|undecided| undecided.is_gain == is_gain);
    match (was, is) {
        (false, true) => !changes.gains.is_empty() || is_open(true),
        (true, false) => !changes.losses.is_empty() || is_open(false),
        (false, false) | (true, true) => true,
    }
}
