//! Would the tests notice a mistake? Every mutant of a policy is asked all of them.

use std::time::Instant;

use svidgate_policy::{
    Format, Timestamp,
    analysis::{Bounds, Changes, Policy, compare},
};

use crate::{
    input::{document::to_json, policy::Read},
    testing::{
        mutants::{Mutant, mutants},
        plan::Plan,
    },
};

/// How much it may cost to find out whether one mutant answers anything otherwise. Our decision: a second.
const MUTANT_BOUNDS: Bounds = Bounds {
    steps: 5_000_000,
    regions: 1,
    through: 1,
};

/// What came of all mutants of a policy.
#[derive(Clone, Debug, Default)]
pub struct Mutation {
    /// How many answer something otherwise.
    pub different: usize,
    /// How many of these a test noticed.
    pub noticed: usize,
    /// Those that none did.
    pub survivors: Vec<Survivor>,
    /// The place of the first that was not tried, and how many there are.
    pub not_tried: Option<(String, usize)>,
}

/// A change that no test notices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survivor {
    /// Where in the document.
    pub place: String,
    /// What was changed.
    pub change: String,
    /// Whether it is certain that some answer changes.
    pub is_decided: bool,
}

/// Asks every mutant of a policy all tests. One that does not compile nobody could load, and one that answers everything
/// as before is none. Those that are left at a moment are not tried.
pub fn run(read: &Read, plans: &[&Plan], now: Timestamp, until: Instant) -> Mutation {
    let mut mutation = Mutation::default();
    let json = read.document.root().and_then(|root| to_json(root).ok());
    let Some(document) = json.and_then(|json| serde_json::from_str(&json).ok()) else {
        return mutation;
    };
    for mutant in mutants(&document) {
        if Instant::now() >= until {
            let left = mutation.not_tried.get_or_insert((mutant.place, 0));
            left.1 = left.1.saturating_add(1);
            continue;
        }
        let Mutant { place, change, .. } = mutant.clone();
        let Ok(mutant) = Policy::read(mutant.document(&document).to_string().as_bytes(), Format::Json) else {
            continue;
        };
        let is_noticed = plans.iter().any(|plan| plan.notices(&mutant));
        let is_decided = match (is_noticed, differ(&read.policy, &mutant, now)) {
            (true, _) => {
                mutation.noticed = mutation.noticed.saturating_add(1);
                mutation.different = mutation.different.saturating_add(1);
                continue;
            }
            (false, Some(false)) => continue,
            (false, Some(true)) => true,
            (false, None) => false,
        };
        mutation.different = mutation.different.saturating_add(1);
        mutation.survivors.push(Survivor {
            place,
            change,
            is_decided,
        });
    }
    mutation
}

/// Whether two policies answer any request differently, where that is decided.
fn differ(one: &Policy, two: &Policy, now: Timestamp) -> Option<bool> {
    let compared = compare(one, two, now, MUTANT_BOUNDS);
    let Changes { gains, losses, .. } = &compared.in_force;
    match (gains.is_empty() && losses.is_empty(), compared.in_force.is_none()) {
        (false, _) => Some(true),
        (true, true) => Some(false),
        (true, false) => None,
    }
}
