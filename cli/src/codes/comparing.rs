//! Findings of `svidgate diff`.

use crate::finding::{Code, Level};

/// All of them.
pub const ALL: &[&Code] = &[&GAINED, &LOST, &NOT_THERE, &MODE, &NOT_COMPARED, &NOT_DECIDED, &FAULT];

/// Somebody may do what they could not.
pub static GAINED: Code = Code {
    number: "SG0801",
    level: Level::Error,
    title: "somebody may do more",
    why: "The new policy allows this and the old one does not. The request was asked of both, by the evaluator that \
          enforces.",
    example: "svidgate diff --git main",
    mend: "If it is meant, write it into the file that `--expect` names, as a region: `gains: [ { from: [ … ], to: [ … ] } \
           ]`. If not, make the rule narrower.",
};

/// Somebody may not do what they could.
pub static LOST: Code = Code {
    number: "SG0802",
    level: Level::Error,
    title: "somebody may do less",
    why: "The old policy allows this and the new one does not. Whoever relies on it is refused once the new one is in \
          force.",
    example: "svidgate diff --git main --fail-on losses",
    mend: "If it is meant, write it into the file that `--expect` names, under `losses`. A rule with `dry_run: true` tells \
           beforehand whom it would refuse.",
};

/// An expected change that is not there.
pub static NOT_THERE: Code = Code {
    number: "SG0803",
    level: Level::Error,
    title: "a change that is expected is not there",
    why: "Nothing of this changes, or another entry expects all of it that does. It would hide a change that nobody has \
          looked at.",
    example: "gains: [ { from: [ \"spiffe://prod.example/ns/shop/sa/web\" ] } ]",
    mend: "Take it out, or say what does change.",
};

/// A document begins or ends to be enforced.
pub static MODE: Code = Code {
    number: "SG0804",
    level: Level::Error,
    title: "the policy begins or ends to be enforced",
    why: "In a dry run nobody is refused. Whatever the rules say, this changes who may pass.",
    example: "mode: dry_run",
    mend: "Change the mode alone, and look at what the dry run recorded before.",
};

/// Something differs that is not compared.
pub static NOT_COMPARED: Code = Code {
    number: "SG0805",
    level: Level::Error,
    title: "something differs that is not compared",
    why: "Requests are compared by what rules, relationships and revoked ids say of them. This member decides in another \
          way, as who vouches for whom does.",
    example: "chain: verify",
    mend: "Look at it yourself, or change it alone.",
};

/// It could not be decided whether somebody gains or loses.
pub static NOT_DECIDED: Code = Code {
    number: "SG0806",
    level: Level::Error,
    title: "it could not be decided whether somebody gains or loses",
    why: "The search has a bound, and some expressions and paths with encoded slashes are not looked into. That is never \
          taken for a yes.",
    example: "svidgate diff old.yaml new.yaml",
    mend: "Make the change in smaller parts, or narrow the rules that it is about.",
};

/// The analysis and the evaluator do not agree.
pub static FAULT: Code = Code {
    number: "SG0807",
    level: Level::Error,
    title: "the comparison and the evaluator do not agree",
    why: "Every example is asked of the evaluator that enforces. This one it answers otherwise than the comparison says: a \
          fault of ours.",
    example: "svidgate diff old.yaml new.yaml",
    mend: "Please report it, with both policies.",
};
