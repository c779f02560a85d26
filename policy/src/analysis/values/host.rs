//! Names of hosts: for every way to meet the demands that want one, and every length, the name of which no other pattern
//! knows a label.

use std::collections::BTreeSet;

use crate::{
    analysis::{
        demand::{Demand, Value, Verdicts},
        values::found::{Found, fresh},
    },
    name::host::HostPattern,
    rules::condition::Conditions,
};

/// Most ways to meet several demands at once that are tried. Our decision.
const MAX_WAYS: usize = 4_096;

pub(super) fn find<'d>(
    demands: &[(&'d Demand, Verdicts)],
    value: impl Fn(Option<String>) -> Value,
    list: impl Fn(&'d Conditions) -> Option<&'d [HostPattern]>,
) -> Found {
    let lists: Vec<(&[HostPattern], Verdicts)> = demands
        .iter()
        .filter_map(|(demand, wanted)| Some((list(demand.target()?)?, *wanted)))
        .collect();
    let all = || lists.iter().flat_map(|(list, _)| *list);
    let labels: BTreeSet<&str> = all().flat_map(labels_of).flatten().collect();
    let other = fresh("host", |text| labels.contains(text));
    let longest = all().map(|pattern| labels_of(pattern).len()).max().unwrap_or_default();
    let addresses = all().filter_map(|pattern| match pattern {
        HostPattern::Address(address) => Some(format!("[{address}]")),
        HostPattern::Exact(_) | HostPattern::Labels(_) | HostPattern::Below(_) => None,
    });
    let mut known: Vec<String> = addresses.collect();
    // Whoever wants no more than that it is not another meets none of these and is not asked.
    let wanted: Vec<&[HostPattern]> = lists
        .iter()
        .filter(|(_, wanted)| !wanted.no)
        .map(|(list, _)| *list)
        .collect();
    let count = wanted
        .iter()
        .try_fold(1_usize, |count, list| count.checked_mul(list.len()));
    let Some(_) = count.filter(|count| *count <= MAX_WAYS) else {
        return match Found::first(known.into_iter().map(Some).chain([None]).map(value), demands) {
            Found::None => Found::Unknown,
            found @ (Found::Value(_) | Found::Unknown) => found,
        };
    };
    let mut ways = vec![Some(Shape::any())];
    for list in wanted {
        let next = ways
            .iter()
            .flatten()
            .flat_map(|way| list.iter().map(|pattern| way.with(pattern)));
        ways = next.collect();
    }
    for way in ways.into_iter().flatten() {
        known.extend(way.names(&other, longest.saturating_add(1)));
    }
    Found::first(known.into_iter().map(Some).chain([None]).map(value), demands)
}

/// The labels of a pattern, from the first to the last.
fn labels_of(pattern: &HostPattern) -> Vec<Option<&str>> {
    match pattern {
        HostPattern::Exact(name) => name.split('.').map(Some).collect(),
        HostPattern::Labels(labels) | HostPattern::Below(labels) => labels.iter().map(Option::as_deref).collect(),
        HostPattern::Address(_) => Vec::new(),
    }
}

/// Names that several patterns mean.
#[derive(Clone, Debug)]
struct Shape<'p> {
    /// From the last label to the first; `None` is any.
    labels: Vec<Option<&'p str>>,
    at_least: usize,
    at_most: Option<usize>,
}

impl<'p> Shape<'p> {
    fn any() -> Self {
        Self {
            labels: Vec::new(),
            at_least: 1,
            at_most: None,
        }
    }

    fn with(&self, pattern: &'p HostPattern) -> Option<Self> {
        let labels = labels_of(pattern);
        let (at_least, at_most) = match pattern {
            HostPattern::Exact(_) | HostPattern::Labels(_) => (labels.len(), Some(labels.len())),
            HostPattern::Below(_) => (labels.len().saturating_add(1), None),
            // Addresses are tried each.
            HostPattern::Address(_) => return None,
        };
        let mut both = self.clone();
        for (place, label) in labels.into_iter().rev().enumerate() {
            match (both.labels.get_mut(place), label) {
                (None, label) => both.labels.push(label),
                (Some(known), Some(label)) if known.is_none_or(|known| known == label) => *known = Some(label),
                (Some(_), Some(_)) => return None,
                (Some(_), None) => {}
            }
        }
        both.at_least = both.at_least.max(at_least);
        both.at_most = match (both.at_most, at_most) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        both.at_most
            .is_none_or(|at_most| both.at_least <= at_most && both.labels.len() <= at_most)
            .then_some(both)
    }

    /// For each length, up to the one from which on all are alike.
    fn names(&self, other: &str, alike: usize) -> Vec<String> {
        let last = self.at_most.unwrap_or(alike).max(self.at_least);
        let name = |length: usize| {
            let label = |place: usize| self.labels.get(place).copied().flatten().unwrap_or(other);
            let labels: Vec<&str> = (0..length).rev().map(label).collect();
            labels.join(".")
        };
        (self.at_least..=last).map(name).collect()
    }
}
