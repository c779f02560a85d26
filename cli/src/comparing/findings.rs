//! What differs, as findings: for annotations, code scanning and reports of tests.

use svidgate_policy::analysis::{Cause, Change};

use crate::{
    codes::comparing,
    comparing::{
        pair::Side,
        text::{answers, cause, not_there, sides},
        verdict::{Compared, FailOn},
    },
    finding::{Code, Finding, Level},
    source::Place,
    visible::visible,
};

/// One finding a region. What does not make the answer no is a note.
pub fn findings(compared: &Compared, fail_on: FailOn) -> Vec<Finding> {
    let comparison = &compared.comparison;
    let in_force = &comparison.in_force;
    let mut findings = Vec::new();
    for (is_gain, list) in [(true, &in_force.gains), (false, &in_force.losses)] {
        for change in list {
            of_change(compared, is_gain, change, fail_on.has(is_gain), &mut findings);
        }
    }
    let whole = || here(compared, "");
    for missing in &compared.missing {
        let sentence = format!("expected and not there: {}", not_there(missing.is_gain, &missing.place));
        findings.push(Finding::new(&comparing::NOT_THERE, missing.place.clone(), sentence));
    }
    if let Some((from, to)) = comparison.mode {
        let place = here(compared, "mode");
        findings.push(Finding::new(
            &comparing::MODE,
            place,
            format!("mode {from:?} becomes {to:?}"),
        ));
    }
    for member in &comparison.not_compared {
        // `federation[partner.example].owner` is a place of a relationship by its name, and the list is near enough.
        let name = member.member.split(['[', '.']).next().unwrap_or_default();
        let sentence = format!("`{}` differs, and is not compared", member.member);
        let mut finding = Finding::new(&comparing::NOT_COMPARED, here(compared, name), sentence);
        if !member.decides {
            finding.level = Level::Note;
        }
        findings.push(finding);
    }
    for undecided in &in_force.undecided {
        let (allows, refuses) = sides(undecided.is_gain, compared);
        let what = if undecided.is_gain { "gains" } else { "loses" };
        let by = cause(&undecided.cause, allows, refuses);
        let sentence = format!("whether somebody {what} by {by} was not decided ({:?})", undecided.why);
        findings.push(Finding::new(&comparing::NOT_DECIDED, whole(), sentence));
    }
    for fault in &in_force.faults {
        let sentence = format!("{} is answered otherwise than the comparison says", fault.witness);
        findings.push(Finding::new(&comparing::FAULT, whole(), sentence));
    }
    findings
}

fn of_change(compared: &Compared, is_gain: bool, change: &Change, fails: bool, findings: &mut Vec<Finding>) {
    let (code, word): (&'static Code, _) = if is_gain {
        (&comparing::GAINED, "gained")
    } else {
        (&comparing::LOST, "lost")
    };
    let (allows, refuses) = sides(is_gain, compared);
    let by = cause(&change.cause, allows, refuses);
    let more = if change.has_more { ", and more" } else { "" };
    for shown in &change.regions {
        let sentence = format!("{word} by {by}: {}{more}", shown.region);
        let right = format!("for example {}: {}", shown.witness, answers(is_gain, shown));
        let mut finding = Finding::new(code, place(compared, is_gain, &change.cause), sentence).right(right);
        if !fails {
            finding.level = Level::Note;
        }
        findings.push(finding);
    }
}

/// What makes the difference, where it stands in what is there now; where it does not, the rules of that.
fn place(compared: &Compared, is_gain: bool, cause: &Cause) -> Option<Place> {
    match (cause, is_gain) {
        (Cause::Allow(rule), true) | (Cause::Deny(rule), false) => here(compared, &format!("rules[{rule}].name")),
        (Cause::Allow(_), false) | (Cause::Deny(_), true) => here(compared, "rules"),
        (Cause::Scope(_) | Cause::Expiry(..) | Cause::Unknown(_), _) => here(compared, "federation"),
        (Cause::Revoked(_), _) => here(compared, "revoked"),
        (Cause::Hop(_), _) => here(compared, "hops"),
    }
}

/// A place in the new document. The old one may be there no more, and nothing can be shown in it.
fn here(compared: &Compared, place: &str) -> Option<Place> {
    let Side { document, .. } = &*compared.pair.new;
    document.as_ref().map(|document| document.place(place))
}

/// What messages call the files that are there.
pub fn files(all: &[Compared]) -> Vec<String> {
    let sides = all.iter().map(|compared| match &compared.pair.new.document {
        Some(_) => &compared.pair.new,
        None => &compared.pair.old,
    });
    let mut files: Vec<String> = sides.map(|side| visible(&side.name)).collect();
    files.dedup();
    files
}
