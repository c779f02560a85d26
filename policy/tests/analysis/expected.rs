//! Comparisons that leave out what is expected, held against brute force: a document with the expected alone says what
//! belongs to it.

use serde_json::{Value, json};
use svidgate_policy::{
    Format,
    analysis::{Bounds, Changes, Expected, Policy, Subject, Witness, compare, compare_beyond},
};

use crate::{
    brute::{self, AT},
    dice::Dice,
    differential::{asked, policy},
    generator::{Pair, pair, uses},
};

/// Pairs tried; more with `ANALYSIS_PAIRS=20000`.
const PAIRS: usize = 420;
/// Requests tried of each; more with `ANALYSIS_POINTS`.
const POINTS: usize = 4_000;

/// A document that allows the subject alone.
fn alone(document: &Value, subject: &Value) -> Option<Policy> {
    let (mut document, mut rule) = (document.clone(), subject.clone());
    rule["effect"] = json!("allow");
    rule["name"] = json!("subject");
    document["rules"] = [rule].into_iter().chain(uses(&document["hops"])).collect();
    Policy::read(document.to_string().as_bytes(), Format::Json).ok()
}

/// What one of the rules says.
fn said_by_a_rule(documents: [&Value; 2], dice: &mut Dice) -> Option<Value> {
    let rules = documents.into_iter().flat_map(|document| document["rules"].as_array());
    let rules: Vec<&Value> = rules.flatten().collect();
    let mut rule = (*rules.get(dice.below(rules.len().max(1)))?).clone();
    for member in ["name", "effect", "expires", "dry_run"] {
        rule.as_object_mut()?.remove(member);
    }
    Some(rule)
}

#[derive(Default)]
struct Found {
    /// Any gain, and one that is not expected; the same of losses.
    all: [bool; 2],
    unexpected: [Option<Witness>; 2],
}

fn by_force(pair: &Pair, documents: &[&Policy; 4], points: usize, dice: &mut Dice) -> Found {
    let documents = documents.map(Policy::configuration);
    let mut found = Found::default();
    brute::each(pair, &documents, points, dice, &mut |witness, said| {
        let [old, new, in_old, in_new] = [said[0], said[1], said[2], said[3]].map(|may| may.pass);
        let changes = [(new && !old, in_new), (old && !new, in_old)];
        for (place, (changes, is_expected)) in changes.into_iter().enumerate() {
            found.all[place] |= changes;
            if changes && !is_expected && found.unexpected[place].is_none() {
                found.unexpected[place] = Some(witness.clone());
            }
        }
    });
    found
}

#[test]
fn nothing_that_is_not_expected_is_left_out_and_all_that_is() {
    let (pairs, points) = (asked("ANALYSIS_PAIRS", PAIRS), asked("ANALYSIS_POINTS", POINTS));
    let first = asked("ANALYSIS_SEED", 0);
    let (mut tried, mut quieter) = (0usize, 0usize);
    for seed in first..first + pairs {
        let mut dice = Dice::new(u64::try_from(seed).unwrap());
        let mut pair = pair(&mut dice);
        let (old, new) = (policy(&mut pair.old), policy(&mut pair.new));
        // What is expected by chance is little of what changes.
        if dice.below(2) == 0
            && let Some(subject) = said_by_a_rule([&pair.old, &pair.new], &mut dice)
        {
            pair.subject = subject;
        }
        let read = |policy| Subject::read(pair.subject.to_string().as_bytes(), policy).ok();
        let alone = |document| alone(document, &pair.subject);
        let (Some(loss), Some(gain), Some(in_old), Some(in_new)) =
            (read(&old), read(&new), alone(&pair.old), alone(&pair.new))
        else {
            continue;
        };
        let found = by_force(&pair, &[&old, &new, &in_old, &in_new], points, &mut dice);
        let expected = Expected {
            gains: vec![gain],
            losses: vec![loss],
        };
        let at = AT.parse().unwrap();
        let beyond = compare_beyond(&expected, &old, &new, at, Bounds::default()).in_force;
        let all = compare(&old, &new, at, Bounds::default()).in_force;
        let told = || {
            format!(
                "seed {seed}: {found:?}\n{pair:#?}\n{beyond:#?}",
                found = found.unexpected
            )
        };
        assert!(beyond.faults.is_empty(), "{}", told());
        let lists = |changes: &Changes| [&changes.gains, &changes.losses].map(|list| !list.is_empty());
        let open = [true, false].map(|is_gain| beyond.undecided.iter().any(|one| one.is_gain == is_gain));
        let (left, before) = (lists(&beyond), lists(&all));
        for place in 0..2 {
            let is_missed = found.unexpected[place].is_some() && !left[place] && !open[place];
            assert!(!is_missed, "missed: {}", told());
            quieter += usize::from(before[place] && !left[place]);
        }
        // Whatever is told is expected of nobody.
        for (changes, expected) in [(&beyond.gains, &in_new), (&beyond.losses, &in_old)] {
            for shown in changes.iter().flat_map(|change| &change.regions) {
                let answer = shown.witness.ask(expected.configuration());
                assert_eq!(answer.effect.as_str(), "deny", "{shown:?}\n{}", told());
            }
        }
        tried += 1;
    }
    println!("{tried} pairs, {quieter} lists of changes that were all expected");
    assert!(tried * 3 > pairs && quieter * 20 > tried, "{tried}, {quieter}");
}
