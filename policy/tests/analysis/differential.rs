//! Comparisons held against brute force.

use std::collections::BTreeMap;

use serde_json::Value;
use svidgate_policy::{
    Format,
    analysis::{Bounds, Change, Changes, Policy, Witness, compare},
};

use crate::{
    brute::{self, AT, Differences},
    dice::Dice,
    generator::{DIMENSIONS, Dimension, OF_HOPS, Pair, pair, uses},
};

/// Pairs tried; more with `ANALYSIS_PAIRS=20000`.
const PAIRS: usize = 300;
/// Requests tried of each; more with `ANALYSIS_POINTS`.
const POINTS: usize = 4_000;

pub(crate) fn asked(name: &str, otherwise: usize) -> usize {
    std::env::var(name)
        .ok()
        .and_then(|asked| asked.parse().ok())
        .unwrap_or(otherwise)
}

/// Prints what was seen, for whoever keeps a record.
pub(crate) fn record(seen: &Value) {
    println!("analysis: {seen}");
}

/// Leaves out rules that do not compile: they could never match. And hops, where two of them could bring one caller.
pub(crate) fn policy(document: &mut Value) -> Policy {
    let compiled = |document: &Value| Policy::read(document.to_string().as_bytes(), Format::Json);
    if let Ok(policy) = compiled(document) {
        return policy;
    }
    let with = |document: &Value, rules: Vec<&Value>| {
        let mut document = document.clone();
        document["rules"] = serde_json::json!(rules);
        document
    };
    let mut uses = uses(&document["hops"]);
    if uses
        .as_ref()
        .is_some_and(|uses| compiled(&with(document, vec![uses])).is_err())
    {
        for name in ["hops", "jwt_svid"] {
            document.as_object_mut().unwrap().remove(name);
        }
        uses = None;
    }
    let rules = document["rules"].as_array().unwrap().clone();
    let alone = |rule: &&Value| compiled(&with(document, [*rule].into_iter().chain(&uses).collect())).is_ok();
    *document = with(document, rules.iter().filter(alone).collect());
    compiled(document).unwrap_or_else(|mistakes| panic!("{mistakes:?}\n{document:#}"))
}

#[derive(Default)]
struct Seen {
    pairs: usize,
    differ: usize,
    undecided: usize,
    alone: BTreeMap<Dimension, usize>,
}

fn check(pair: &Pair, old: &Policy, new: &Policy, by_force: &Differences, seen: &mut Seen) {
    let comparison = compare(old, new, AT.parse().unwrap(), Bounds::default());
    let told = || format!("{pair:#?}\n{comparison:#?}");
    let in_force = &comparison.in_force;
    let with_dry_run = comparison.with_dry_run.as_ref().unwrap_or(in_force);
    for changes in [in_force, with_dry_run] {
        assert!(changes.faults.is_empty(), "{}", told());
        assert!(changes.undecided.is_empty() || pair.has_expressions, "{}", told());
    }
    let missed = |changes: &Changes, is_gain: bool, list: &[Change], found: &Option<Witness>| {
        let is_open = changes.undecided.iter().any(|undecided| undecided.is_gain == is_gain);
        assert!(
            found.is_none() || !list.is_empty() || is_open,
            "missed {found:?}\n{}",
            told()
        );
    };
    missed(in_force, true, &in_force.gains, &by_force.gain);
    missed(in_force, false, &in_force.losses, &by_force.loss);
    missed(with_dry_run, true, &with_dry_run.gains, &by_force.would_gain);
    missed(with_dry_run, false, &with_dry_run.losses, &by_force.would_lose);
    for (changes, is_gain) in [(&in_force.gains, true), (&in_force.losses, false)] {
        for shown in changes.iter().flat_map(|change| &change.regions) {
            let passes = [old, new].map(|policy| shown.witness.ask(policy.configuration()).effect.as_str());
            let expected = if is_gain { ["deny", "allow"] } else { ["allow", "deny"] };
            assert_eq!(passes, expected, "{shown:?}\n{}", told());
        }
    }
    seen.pairs += 1;
    seen.undecided += usize::from(!in_force.undecided.is_empty() || !with_dry_run.undecided.is_empty());
    if !in_force.gains.is_empty() || !in_force.losses.is_empty() {
        seen.differ += 1;
        if let Some(dimension) = pair.differ_in {
            *seen.alone.entry(dimension).or_default() += 1;
        }
    }
}

#[test]
fn comparison_misses_nothing_that_brute_force_finds() {
    let (pairs, points) = (asked("ANALYSIS_PAIRS", PAIRS), asked("ANALYSIS_POINTS", POINTS));
    let first = asked("ANALYSIS_SEED", 0);
    let mut seen = Seen::default();
    for seed in first..first + pairs {
        let mut dice = Dice::new(u64::try_from(seed).unwrap());
        let mut pair = pair(&mut dice);
        let (old, new) = (policy(&mut pair.old), policy(&mut pair.new));
        let by_force = brute::differences(&pair, old.configuration(), new.configuration(), points, &mut dice);
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            check(&pair, &old, &new, &by_force, &mut seen);
        }));
        assert!(checked.is_ok(), "seed {seed}");
    }
    let of_each = asked("ANALYSIS_OF_EACH", 0);
    for dimension in DIMENSIONS.into_iter().chain(OF_HOPS) {
        let count = seen.alone.get(&dimension).copied().unwrap_or_default();
        assert!(
            count >= of_each,
            "{dimension:?} alone decides {count} pairs: {:?}",
            seen.alone
        );
    }
    let alone: BTreeMap<String, usize> = seen
        .alone
        .iter()
        .map(|(dimension, count)| (format!("{dimension:?}"), *count))
        .collect();
    record(&serde_json::json!({
        "pairs": seen.pairs, "points": points, "differ": seen.differ, "undecided": seen.undecided, "alone": alone,
    }));
    assert!(
        seen.differ * 3 >= seen.pairs,
        "{} of {} differ",
        seen.differ,
        seen.pairs
    );
    assert!(
        seen.undecided * 20 <= seen.pairs,
        "{} of {} undecided",
        seen.undecided,
        seen.pairs
    );
}
