//! Which principals can only ever be told that finding out costs too much?
//!
//! Nothing else says so before they ask. What is seen is what every request costs at least: each `from` that an id
//! matches is looked into, and each rule there that names no path is asked. What more a request costs depends on the
//! request.

use std::fmt;

use crate::{
    effort::{DECISION_STEPS, Effort, SPECIALISATION_STEPS},
    name::id::SpiffeId,
    pattern::trie::NODE_STEPS,
    rules::{
        grants::{Found, GRANT_STEPS},
        rule_set::{RuleGroup, RuleSet, Rules, at},
    },
};

/// Steps of looking through a document. Our decision: some tens of milliseconds; where they do not suffice, no more is
/// said.
const CHECK_STEPS: u32 = 4_000_000;

/// A principal that no request of can be decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooCostly {
    /// Who. Where it is a pattern that costs so much, an id that matches it.
    pub id: Box<str>,
    /// What a request costs at least; `None` where to find its rules costs too much already.
    pub steps: Option<usize>,
    /// The bound.
    pub bound: u32,
}

impl fmt::Display for TooCostly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, steps, bound } = self;
        write!(f, "`{id}` can only ever get rule.too_costly: ")?;
        match steps {
            Some(steps) => write!(f, "each request takes {steps} steps at least, of {bound}")?,
            None => write!(f, "to find its rules takes more than {bound} steps")?,
        }
        f.write_str(" (fewer different `from` and exceptions, or fewer rules without paths, for this identity)")
    }
}

impl RuleSet {
    /// The first principal, by its id, of those that the rules write out or that match all of a pattern, that can only
    /// ever get `rule.too_costly`; as far as can be seen.
    pub fn too_costly(&self, has_requests: bool) -> Option<TooCostly> {
        let rules = &*self.0;
        let effort = Effort::of(CHECK_STEPS);
        let weigh = |groups: &[u32]| {
            let groups = groups.iter().filter_map(|group| at(&rules.groups, *group));
            groups.map(|group| weight(group, has_requests)).fold((0, 0), add)
        };
        // Most match few patterns or none, so that a look at what all patterns lead to tells that there is nothing to
        // find.
        let patterns = weigh(&rules.enforced.by_pattern);
        let written = rules.enforced.exact.iter();
        let mut suspects: Vec<&str> = written
            .filter(|(_, groups)| effort.spend(groups.len()) && is_beyond(add(weigh(groups), patterns)))
            .map(|(id, _)| id.as_ref())
            .collect();
        if is_beyond(patterns) {
            suspects.extend(rules.enforced.examples.iter().map(AsRef::as_ref));
        }
        suspects.sort_unstable();
        let mut suspects = suspects.into_iter();
        suspects.find_map(|id| self.weigh_up(rules, id, has_requests, &effort))
    }

    fn weigh_up(&self, rules: &Rules, id: &str, has_requests: bool, effort: &Effort) -> Option<TooCostly> {
        // It costs at most so much to find what it matches.
        if !effort.spend(usize::try_from(SPECIALISATION_STEPS).ok()?) {
            return None;
        }
        let Found { groups, is_too_costly } = self.specialise_id(&SpiffeId::parse(id).ok()?).enforced;
        let granted = groups.iter().filter_map(|granted| at(&rules.groups, granted.group));
        let (steps, _) = granted.map(|group| weight(group, has_requests)).fold((0, 0), add);
        let (steps, bound) = if is_too_costly {
            (None, SPECIALISATION_STEPS)
        } else {
            (Some(steps), DECISION_STEPS)
        };
        steps.is_none_or(|steps| exceeds(steps, bound)).then(|| TooCostly {
            id: id.into(),
            steps,
            bound,
        })
    }
}

/// What a group costs each decision, and each identity that matches it, at least.
fn weight(group: &RuleGroup, has_requests: bool) -> (usize, usize) {
    let node = if has_requests { NODE_STEPS } else { 0 };
    let decision = group.anywhere.len().saturating_add(node).saturating_add(1);
    (decision, group.except.len().saturating_add(GRANT_STEPS))
}

fn add(one: (usize, usize), two: (usize, usize)) -> (usize, usize) {
    (one.0.saturating_add(two.0), one.1.saturating_add(two.1))
}

fn is_beyond((decision, specialisation): (usize, usize)) -> bool {
    exceeds(decision, DECISION_STEPS) || exceeds(specialisation, SPECIALISATION_STEPS)
}

fn exceeds(steps: usize, bound: u32) -> bool {
    u32::try_from(steps).map_or(true, |steps| steps > bound)
}
