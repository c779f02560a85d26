//! Which changes does somebody expect?

use crate::{
    analysis::{
        brought::speaks,
        cube::{Cube, Reads, cubes},
        manner::Who,
        subject::Subject,
        terms::Terms,
    },
    rules::effect::Effect,
};

/// Changes that a comparison does not tell of.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// What may be gained, as read for the new document.
    pub gains: Vec<Subject>,
    /// What may be lost, as read for the old document.
    pub losses: Vec<Subject>,
}

impl Expected {
    pub(crate) fn of(&self, is_gain: bool) -> &[Subject] {
        if is_gain { &self.gains } else { &self.losses }
    }
}

/// What is expected, in the paths of the document that allows it. As an allow rule would read it: a request of which is not
/// known whether it belongs to what is expected does not.
pub(crate) fn expected(terms: &mut Terms, subjects: &[Subject], reads: Reads<'_>) -> Vec<Cube> {
    let mut expected = Vec::new();
    for subject in subjects {
        let rule = subject.rule(Effect::Allow);
        if !speaks(&rule, reads.hops, reads.manner.way) {
            continue;
        }
        for from in &rule.from {
            expected.extend(cubes(terms, &rule, (from, Who::Caller), reads));
        }
    }
    expected
}
