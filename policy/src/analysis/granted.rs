//! What may one id do, rule by rule?

use jiff::Timestamp;

use crate::{
    analysis::{
        claimed::{ClaimedGrants, ClaimedWay},
        policy::Policy,
    },
    name::id::SpiffeId,
    pattern::{
        id_pattern::IdPattern,
        path_pattern::PathPattern,
        segments::{SegmentPattern, Segments},
    },
    rules::{
        effect::Effect,
        hop::{Heard, HopSet},
        rule::Rule,
    },
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

/// All rules that speak of a caller and are in force at one moment, in the order of the document, whatever their `via`.
/// Through a hop, those alone that speak of that way, and the deny rules that speak of the hop. What a deny rule says is
/// not taken out of what an allow rule says: both are told.
pub fn granted(policy: &Policy, way: &ClaimedWay, now: Timestamp) -> Vec<Said> {
    let rules = policy.rules.iter().enumerate();
    let in_force = rules.filter(|(_, rule)| rule.expires.is_none_or(|expires| now < expires));
    let Some((hop, _)) = &way.hop else {
        let said = in_force.filter_map(|(place, rule)| said_of(place, rule, way.caller.id()));
        return said.collect();
    };
    let grants = ClaimedGrants::of(&policy.configuration().rules, way);
    let name = grants.hop().map(|hop| &hop.name);
    let mut hops = policy.configuration().rules.hops();
    let Some(taken) = hops.position(|hop| Some(&hop.name) == name) else {
        return Vec::new();
    };
    let taken = HopSet::default().with(taken);
    let heard = in_force.filter(|(_, rule)| Heard::on(taken, rule.via).has(rule.effect));
    heard
        .filter_map(|(place, rule)| {
            let of_hop = || said_of(place, rule, hop.id()).filter(|_| rule.effect == Effect::Deny);
            said_of(place, rule, way.caller.id()).or_else(of_hop)
        })
        .collect()
}

/// `None` where the rule does not speak of the id.
fn said_of(place: usize, rule: &Rule, id: &SpiffeId) -> Option<Said> {
    if rule.except.iter().any(|pattern| pattern.matches(id)) {
        return None;
    }
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
