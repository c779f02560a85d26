//! What may one id do, rule by rule?

use jiff::Timestamp;

use crate::{
    analysis::{claimed::Claimed, policy::Policy},
    name::id::SpiffeId,
    pattern::{
        id_pattern::IdPattern,
        path_pattern::PathPattern,
        segments::{SegmentPattern, Segments},
    },
    rules::{effect::Effect, rule::Rule},
};

/// What one rule says of an id: its effect, its paths with the id's own captures, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Its place in `rules`.
    pub place: usize,
    /// Its name.
    pub name: String,
    /// Allow or deny.
    pub effect: Effect,
    /// Whether it only tells what it would do.
    pub dry_run: bool,
    /// For each entry of `to`, by its place: the paths, with what the id gives the captures; none where any path will do.
    pub entries: Vec<Option<Vec<String>>>,
}

/// All rules that speak of an id and are in force at one moment, in the order of the document. What a deny rule says is
/// not taken out of what an allow rule says: both are told.
pub fn granted(policy: &Policy, claimed: &Claimed, now: Timestamp) -> Vec<Said> {
    let id = claimed.id();
    let in_force = |rule: &Rule| {
        rule.expires.is_none_or(|expires| now < expires) && !rule.except.iter().any(|pattern| pattern.matches(id))
    };
    let rules = policy.rules.iter().enumerate().filter(|(_, rule)| in_force(rule));
    rules
        .filter_map(|(place, rule)| {
            let matching: Vec<&IdPattern> = rule.from.iter().filter(|pattern| pattern.matches(id)).collect();
            if matching.is_empty() {
                return None;
            }
            let paths = |paths: &Vec<PathPattern>| {
                let mut all: Vec<String> = matching
                    .iter()
                    .flat_map(|from| paths.iter().map(|path| filled(path, from, id)))
                    .collect();
                all.sort();
                all.dedup();
                all
            };
            Some(Said {
                place,
                name: rule.name.to_string(),
                effect: rule.effect,
                dry_run: rule.dry_run,
                entries: rule.to.iter().map(|target| target.paths.as_ref().map(paths)).collect(),
            })
        })
        .collect()
}

/// A path with the segments of an id in place of the captures.
fn filled(path: &PathPattern, from: &IdPattern, id: &SpiffeId) -> String {
    let value = |name: &str| {
        let place = from.segments.list.iter().position(|segment| match segment {
            SegmentPattern::Capture(captured) => captured.as_ref() == name,
            SegmentPattern::Literal(_) | SegmentPattern::Any => false,
        });
        id.segments().nth(place?)
    };
    let fill = |segment: &SegmentPattern| match segment {
        SegmentPattern::Capture(name) => match value(name) {
            Some(value) => SegmentPattern::Literal(value.into()),
            None => segment.clone(),
        },
        SegmentPattern::Literal(_) | SegmentPattern::Any => segment.clone(),
    };
    Segments {
        list: path.segments.list.iter().map(fill).collect(),
        rest: path.segments.rest,
    }
    .to_string()
}
