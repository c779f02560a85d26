//! Which parts of a policy did the requests of the tests reach?
//!
//! An entry of a list is reached when a request meets a rule by it. A condition is reached each way: by a request that
//! meets it and by one that it keeps the rule from. So "methods, kept" without a test is a rule whose methods could be
//! taken out unnoticed.

use std::{collections::BTreeSet, fmt, time::Instant};

use svidgate_policy::{
    Request, Timestamp,
    analysis::{
        ClaimedWay, Policy,
        explain::{AboutRule, Demand, Explanation, Which},
        shape::Shape,
    },
};

use crate::testing::{file::Expected, run::Witness};

/// What can be reached: a place in the document, and in which way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item {
    /// `rules[3].to[0].methods`.
    pub place: String,
    /// In which way.
    pub way: Way,
}

/// How a part of a rule has to do with a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// The rule applies by it.
    Met,
    /// The rule applies to what comes through this hop, or `direct`.
    Through(String),
    /// It keeps the rule from a request of somebody whom the rule speaks of.
    Kept,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Met => f.write_str("no request meets it"),
            Self::Through(name) => write!(f, "no request meets it that comes through `{name}`"),
            Self::Kept => f.write_str("no request is kept out by it"),
        }
    }
}

/// What the tests reached of one policy.
#[derive(Clone, Debug)]
pub struct Coverage {
    reached: BTreeSet<Item>,
    /// When to look at no more requests.
    until: Instant,
    not_looked_at: usize,
}

impl Coverage {
    /// Nothing as yet. Requests that are asked after a moment are not looked at.
    pub fn new(until: Instant) -> Self {
        Self {
            reached: BTreeSet::new(),
            until,
            not_looked_at: 0,
        }
    }

    /// How many requests came too late.
    pub fn not_looked_at(&self) -> usize {
        self.not_looked_at
    }

    /// Everything that could be reached, in the order of the document.
    pub fn items(policy: &Policy) -> Vec<Item> {
        let mut items = Vec::new();
        for shape in Shape::all(policy) {
            let rule = format!("rules[{}]", shape.place);
            let mut add = |below: String, way| {
                items.push(Item {
                    place: format!("{rule}{below}"),
                    way,
                });
            };
            for place in 0..shape.from {
                add(format!(".from[{place}]"), Way::Met);
            }
            for place in 0..shape.except {
                add(format!(".except[{place}]"), Way::Kept);
            }
            for name in shape.via {
                add(".via".to_owned(), Way::Through(name));
            }
            for demand in &shape.demands {
                if *demand != Demand::Via {
                    add(format!(".{}", demand.member()), Way::Met);
                }
                add(format!(".{}", demand.member()), Way::Kept);
            }
            for (place, (demands, paths)) in shape.entries.iter().enumerate() {
                for path in 0..*paths {
                    add(format!(".to[{place}].paths[{path}]"), Way::Met);
                }
                for demand in demands {
                    if *demand != Demand::Paths {
                        add(format!(".to[{place}].{}", demand.member()), Way::Met);
                    }
                    add(format!(".to[{place}].{}", demand.member()), Way::Kept);
                }
            }
        }
        items
    }

    /// What was not reached of it, in the order of the document.
    pub fn missing(&self, policy: &Policy) -> Vec<Item> {
        let items = Self::items(policy).into_iter();
        items.filter(|item| !self.reached.contains(item)).collect()
    }

    fn add(&mut self, rule: &AboutRule, through: &str) {
        let name = format!("rules[{}]", rule.place);
        let mut reach = |below: String, way| {
            self.reached.insert(Item {
                place: format!("{name}{below}"),
                way,
            });
        };
        if let Some(place) = rule.excepted {
            reach(format!(".except[{place}]"), Way::Kept);
            return;
        }
        let applies = rule.applies();
        if applies {
            for place in &rule.from {
                reach(format!(".from[{place}]"), Way::Met);
            }
            reach(".via".to_owned(), Way::Through(through.to_owned()));
        }
        for (demand, holds) in rule.demands.iter().filter(|(demand, _)| is_condition(*demand)) {
            match (holds.serves(rule.effect), applies) {
                (true, true) => reach(format!(".{}", demand.member()), Way::Met),
                (false, _) => reach(format!(".{}", demand.member()), Way::Kept),
                (true, false) => {}
            }
        }
        for (place, entry) in rule.entries.iter().enumerate() {
            let applies = rule.applies_by(entry);
            if applies {
                for path in &entry.paths {
                    reach(format!(".to[{place}].paths[{path}]"), Way::Met);
                }
            }
            for (demand, holds) in &entry.demands {
                match (holds.serves(rule.effect), applies) {
                    (true, true) => reach(format!(".to[{place}].{}", demand.member()), Way::Met),
                    (false, _) => reach(format!(".to[{place}].{}", demand.member()), Way::Kept),
                    (true, false) => {}
                }
            }
        }
    }
}

/// Whether it is a condition, and not who is meant.
pub fn is_condition(demand: Demand) -> bool {
    !matches!(demand, Demand::From | Demand::Except)
}

impl Witness for Coverage {
    fn asked(&mut self, policy: &Policy, way: &ClaimedWay, expected: &Expected, now: Timestamp) {
        if Instant::now() >= self.until {
            self.not_looked_at = self.not_looked_at.saturating_add(1);
            return;
        }
        let explain = |request: &Request<'_>| Explanation::of(policy, way, request, now, Which::OfTheId);
        let explanation = expected.asked.show(explain);
        let taken = explanation.hops.iter().find(|hop| hop.is_taken());
        let through = taken.map_or("direct", |hop| hop.name.as_str());
        explanation.rules.iter().for_each(|rule| self.add(rule, through));
    }
}
