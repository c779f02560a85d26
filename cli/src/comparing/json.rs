//! What differs, for programs.

use serde_json::{Value, json};
use svidgate_policy::analysis::{Answer, Change, Shown};

use crate::{
    as_json::as_json,
    comparing::{
        text::{cause, sides},
        verdict::Compared,
    },
};

/// One object, to which members are only ever added.
pub fn json(all: &[Compared]) -> String {
    let comparisons: Vec<Value> = all.iter().map(of_one).collect();
    let whole = json!({
        "schema": "svidgate/diff/v1",
        "comparisons": comparisons,
        "nothing_changes": comparisons.iter().all(|one| one.get("nothing_changes") == Some(&Value::Bool(true))),
    });
    as_json(&whole)
}

fn of_one(compared: &Compared) -> Value {
    let (pair, comparison) = (&compared.pair, &compared.comparison);
    let in_force = &comparison.in_force;
    let list = |is_gain, changes: &[Change]| -> Vec<Value> {
        changes.iter().map(|change| told(is_gain, change, compared)).collect()
    };
    let not_compared: Vec<&str> = comparison
        .not_compared
        .iter()
        .map(|member| member.member.as_str())
        .collect();
    let missing = compared.missing.iter().map(|missing| {
        let start = missing.place.start();
        json!({
            "is": if missing.is_gain { "gain" } else { "loss" },
            "file": missing.place.source.name(),
            "line": start.line,
            "column": start.column,
        })
    });
    json!({
        "old": pair.old.name,
        "new": pair.new.name,
        "is_new": pair.old.document.is_none(),
        "is_gone": pair.new.document.is_none(),
        "gained": list(true, &in_force.gains),
        "lost": list(false, &in_force.losses),
        "expected_and_not_there": missing.collect::<Vec<_>>(),
        "undecided": in_force.undecided.len(),
        "faults": in_force.faults.len(),
        "mode_changes": comparison.mode.is_some(),
        "not_compared": not_compared,
        "nothing_changes": in_force.is_none() && comparison.mode.is_none() && not_compared.is_empty(),
    })
}

fn told(is_gain: bool, change: &Change, compared: &Compared) -> Value {
    let (allows, refuses) = sides(is_gain, compared);
    let of = |answer: &Answer| json!({ "reason": answer.reason.code(), "rule": answer.rule, "hop": answer.hop });
    let shown = |shown: &Shown| {
        json!({
            "region": shown.region.to_string(),
            "example": shown.witness.to_string(),
            "allowed": of(&shown.allowed),
            "refused": of(&shown.refused),
        })
    };
    json!({
        "cause": cause(&change.cause, allows, refuses),
        "regions": change.regions.iter().map(shown).collect::<Vec<_>>(),
        "has_more": change.has_more,
    })
}
