//! Does what a file of tests claims hold of a policy?

use std::fmt;

use svidgate_policy::{
    Effect, Timestamp,
    analysis::{
        Bounds, Claim as Statement, ClaimedGrants, ClaimedWay, Counterexample, Holds, Policy, Subject, Why,
        explain::Answer, holds,
    },
};

use crate::{
    identity::Nobody,
    input::compiled::in_words,
    testing::{
        file::{Expected, Region},
        plan::{Claim, Claimed, Plan, Planned, Quantifier},
    },
};

/// What came of one test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its name.
    pub name: String,
    /// Where it stands: line and column, from 1.
    pub at: (u64, u64),
    /// Whether it may fail.
    pub todo: bool,
    /// How many claims it makes.
    pub claims: usize,
    /// Those that do not hold.
    pub failures: Vec<Failure>,
}

impl Outcome {
    /// What it counts as.
    pub fn verdict(&self) -> Verdict {
        let is_undecided = |failure: &Failure| failure.kind == FailureKind::Undecided;
        match (self.todo, self.failures.as_slice()) {
            (true, []) => Verdict::Done,
            (true, [_, ..]) => Verdict::Todo,
            (false, []) => Verdict::Passed,
            (false, failures) if failures.iter().all(is_undecided) => Verdict::Undecided,
            (false, [_, ..]) => Verdict::Failed,
        }
    }
}

/// What a test counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All that it claims holds.
    Passed,
    /// Something does not.
    Failed,
    /// Nothing was found that does not hold, and not all was looked at.
    Undecided,
    /// It does not hold, as its author knows.
    Todo,
    /// It is marked as one that does not hold, and does.
    Done,
}

/// A claim that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Where it stands: line and column, from 1.
    pub at: (u64, u64),
    /// Whether it is wrong, or could not be decided.
    pub kind: FailureKind,
    /// What was claimed.
    pub claimed: String,
    /// What is so.
    pub found: String,
}

/// How a claim fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// It is not so.
    Wrong,
    /// The bounds were reached before it was decided.
    Undecided,
}

/// Who looks on at the requests that are asked.
pub trait Witness {
    /// A request that came by a way was asked, and answered.
    fn asked(&mut self, policy: &Policy, way: &ClaimedWay, expected: &Expected, now: Timestamp);
}

/// Nobody looks on.
impl Witness for () {
    fn asked(&mut self, _: &Policy, _: &ClaimedWay, _: &Expected, _: Timestamp) {}
}

impl Plan {
    /// Asks a policy all of it.
    pub fn run(&self, policy: &Policy, witness: &mut dyn Witness) -> Vec<Outcome> {
        self.tests.iter().map(|test| test.run(policy, witness)).collect()
    }

    /// Whether all of it holds: the same, stopping at the first test that fails. Only wrong answers count.
    pub fn notices(&self, policy: &Policy) -> bool {
        let tests = self.tests.iter().filter(|test| !test.todo);
        tests.map(|test| test.run(policy, &mut ())).any(|outcome| {
            let mut failures = outcome.failures.iter();
            failures.any(|failure| failure.kind == FailureKind::Wrong)
        })
    }
}

impl Planned {
    /// Asks a policy all that the test claims.
    pub fn run(&self, policy: &Policy, witness: &mut dyn Witness) -> Outcome {
        let claims = self.claims.iter();
        Outcome {
            name: self.name.clone(),
            at: self.at,
            todo: self.todo,
            claims: self.claims.len(),
            failures: claims
                .filter_map(|claim| claim.failure(policy, self.now, witness))
                .collect(),
        }
    }
}

impl Claim {
    fn failure(&self, policy: &Policy, now: Timestamp, witness: &mut dyn Witness) -> Option<Failure> {
        let wrong = |claimed: String, found: String| Failure {
            at: self.at,
            kind: FailureKind::Wrong,
            claimed,
            found,
        };
        match &self.claimed {
            Claimed::Answer {
                coming,
                expected,
                effect,
                reason,
            } => {
                let claimed = || Wanted(*effect, expected).to_string();
                let way = match coming.identify(policy, now) {
                    Ok(way) => way,
                    Err(Nobody::NoWay(what)) => return Some(wrong(claimed(), what)),
                    // Whoever is nobody is denied everything, and the reason is the one to hold it against.
                    Err(Nobody::Caller(refused) | Nobody::Hop(refused)) => {
                        let as_wanted = *effect == Effect::Deny
                            && reason.is_none_or(|reason| reason == refused.reason())
                            && expected.rule.is_none();
                        let found = format!("refused for {} ({refused})", refused.reason().code());
                        return (!as_wanted).then(|| wrong(claimed(), found));
                    }
                };
                witness.asked(policy, &way, expected, now);
                let answer = answer(policy, &way, expected, now);
                let as_wanted = answer.effect == *effect
                    && reason.is_none_or(|reason| reason == answer.reason)
                    && expected
                        .rule
                        .as_ref()
                        .is_none_or(|rule| answer.rule.as_ref() == Some(rule));
                (!as_wanted).then(|| wrong(claimed(), Told(&answer).to_string()))
            }
            Claimed::Refused { coming, reason } => {
                let claimed = || format!("the SVID is refused for {}", reason.code());
                match coming.identify(policy, now) {
                    Ok(way) => Some(wrong(claimed(), format!("it is {}", way.caller.id()))),
                    Err(Nobody::NoWay(what)) => Some(wrong(claimed(), what)),
                    Err(Nobody::Caller(refused) | Nobody::Hop(refused)) if refused.reason() == *reason => None,
                    Err(Nobody::Caller(refused) | Nobody::Hop(refused)) => Some(wrong(
                        claimed(),
                        format!("it is refused for {} ({refused})", refused.reason().code()),
                    )),
                }
            }
            Claimed::Everywhere(quantifier, region) => everywhere(policy, *quantifier, region, now, self.at),
        }
    }
}

/// What the evaluator that enforces answers.
pub fn answer(policy: &Policy, way: &ClaimedWay, expected: &Expected, now: Timestamp) -> Answer {
    let grants = ClaimedGrants::of(&policy.configuration().rules, way);
    expected.asked.show(|request| Answer::of(&grants.decide(request, now)))
}

struct Wanted<'a>(Effect, &'a Expected);

impl fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(effect, expected) = self;
        write!(f, "{} {}", effect.as_str(), expected.asked)?;
        if let Some(reason) = &expected.reason {
            write!(f, ", {reason}")?;
        }
        if let Some(rule) = &expected.rule {
            write!(f, ", by {rule}")?;
        }
        Ok(())
    }
}

/// An answer in one line: `deny rule.denied nobody-near-admin`.
pub struct Told<'a>(pub &'a Answer);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0.effect.as_str(), self.0.reason.code())?;
        if let Some(rule) = &self.0.rule {
            write!(f, " {rule}")?;
        }
        if let Some(detail) = &self.0.detail {
            write!(f, " ({detail})")?;
        }
        Ok(())
    }
}

/// Whether a statement about all identities and all requests holds.
fn everywhere(
    policy: &Policy,
    quantifier: Quantifier,
    region: &Region,
    now: Timestamp,
    at: (u64, u64),
) -> Option<Failure> {
    let failure = |kind, found: String| {
        let claimed = format!("{} {region}", quantifier.as_str());
        let claimed = Failure {
            at,
            kind,
            claimed,
            found,
        };
        Some(claimed)
    };
    let subject = match Subject::read(region.to_string().as_bytes(), policy) {
        Ok(subject) => subject,
        Err(mistakes) => return failure(FailureKind::Wrong, in_words(&mistakes)),
    };
    let claim = match quantifier {
        Quantifier::Never => Statement::Never,
        Quantifier::Always => Statement::Always,
        Quantifier::Only => Statement::Only,
    };
    match holds(policy, claim, &subject, now, Bounds::default()) {
        Holds::Yes => None,
        Holds::No(examples) => failure(FailureKind::Wrong, told(&examples)),
        Holds::Undecided(why) => failure(
            FailureKind::Undecided,
            match why {
                Why::Steps => "more than the search may cost".to_owned(),
                Why::Values => "there may be a header or an id that makes the difference; none was found".to_owned(),
                Why::EncodedSlashes => {
                    "some rule opens paths with an encoded slash, which are not looked at".to_owned()
                }
                Why::Hops => "there are too many hops for what comes through them to be looked at".to_owned(),
                Why::TooCostly => "what was found costs the gate too much to decide".to_owned(),
            },
        ),
        Holds::Fault(example) => failure(
            FailureKind::Undecided,
            format!(
                "a fault of ours, please report it: {} is decided otherwise",
                example.witness
            ),
        ),
    }
}

/// The first counterexample, as a request that anybody can ask about.
fn told(examples: &[Counterexample]) -> String {
    let Some(first) = examples.first() else {
        return String::new();
    };
    let rule = first
        .answer
        .rule
        .as_ref()
        .map(|rule| format!(" {rule}"))
        .unwrap_or_default();
    let hop = first.answer.hop.as_ref();
    let hop = hop.map(|hop| format!(" through hop {hop}")).unwrap_or_default();
    let answer = format!(
        "{} {}{rule}{hop}",
        first.answer.effect.as_str(),
        first.answer.reason.code()
    );
    format!("{answer} for {}", first.witness)
}

impl Quantifier {
    fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Always => "always",
            Self::Only => "only",
        }
    }
}
