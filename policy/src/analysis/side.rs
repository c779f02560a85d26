//! One document, as a comparison looks at it: what allows, what denies, and what denies beside its rules.
//!
//! Whoever no relationship covers, or is revoked, is refused before a rule is asked, and so are the requests that a hop
//! would make itself. Here that is one more denial.
//!
//! All is about requests that their caller makes itself. What comes through hops is not compared ([`crate::analysis::members`]).

use std::rc::Rc;

use hashbrown::{HashMap, HashSet};
use jiff::Timestamp;

use crate::{
    analysis::{
        cube::{Cube, Form, Reads, cubes, of_id, opening},
        index::Index,
        literal::{Literal, Place},
        policy::Policy,
        terms::Terms,
        vocabulary::Symbol,
    },
    document::settings::Listeners,
    name::id::TrustDomain,
    pattern::{id_pattern::IdPattern, segments::Segments},
    rules::{
        effect::Effect,
        hop::{Heard, HopSet},
        rule::Rule,
    },
};

/// Which rules count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// Those in force.
    InForce,
    /// Those in a dry run, too.
    WithDryRun,
}

/// Something that allows or denies, through one pattern of ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Voice {
    /// A rule, by its place, through one of its `from`.
    Rule { rule: usize, from: usize },
    /// What stands beside the rules.
    Standing(usize),
}

/// What denies beside the rules.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Standing {
    /// Ids of a trust domain that its relationship does not cover.
    Scope(TrustDomain, Vec<IdPattern>),
    /// Ids of a trust domain, from a moment on.
    Expiry(TrustDomain, Timestamp),
    /// Ids that are revoked, until a moment.
    Revoked(IdPattern, Option<Timestamp>),
    /// Ids that bring the requests of others, and make none.
    Hop(IdPattern),
    /// Ids of a trust domain that there is no relationship with. Only told of one that the other document has.
    Unknown(TrustDomain),
}

impl Standing {
    /// The ids that it may be about.
    pub(crate) fn pattern(&self) -> IdPattern {
        match self {
            Self::Scope(name, _) | Self::Expiry(name, _) | Self::Unknown(name) => IdPattern {
                trust_domain: Some(name.clone()),
                segments: Segments {
                    list: Vec::new(),
                    rest: true,
                },
            },
            Self::Revoked(pattern, _) | Self::Hop(pattern) => pattern.clone(),
        }
    }

    pub(crate) fn cube(&self, terms: &mut Terms) -> Cube {
        let mut of_domain =
            |name: &TrustDomain| Literal::Is(Place::TRUST_DOMAIN, terms.vocabulary.symbol(name.as_str()));
        match self {
            Self::Scope(name, scope) => {
                let literals = vec![of_domain(name)];
                let exceptions: Rc<[Vec<Literal>]> = scope.iter().map(|pattern| of_id(terms, pattern)).collect();
                Cube { literals, exceptions }
            }
            Self::Expiry(name, expires) => Cube::plain(vec![of_domain(name), Literal::From(*expires)]),
            Self::Unknown(name) => Cube::plain(vec![of_domain(name)]),
            Self::Revoked(pattern, until) => {
                let mut literals = of_id(terms, pattern);
                literals.extend(until.map(Literal::Before));
                Cube::plain(literals)
            }
            Self::Hop(pattern) => Cube::plain(of_id(terms, pattern)),
        }
    }

    /// Whether it says anything of what is asked for in this form.
    pub(crate) fn is_about(&self, form: Form) -> bool {
        match self {
            Self::Scope(..) | Self::Expiry(..) | Self::Revoked(..) | Self::Unknown(_) => true,
            Self::Hop(_) => form != Form::Connection,
        }
    }
}

/// A document that is compared.
#[derive(Debug)]
pub(crate) struct Side<'p> {
    pub(crate) policy: &'p Policy,
    view: View,
    at: Timestamp,
    pub(crate) standing: Vec<Standing>,
    /// The trust domains that there is a relationship with.
    pub(crate) domains: Vec<Symbol>,
    allows: Index<Voice>,
    denies: Index<Voice>,
    cubes: HashMap<(Voice, Form), Rc<[Cube]>>,
}

impl<'p> Side<'p> {
    pub(crate) fn new(policy: &'p Policy, view: View, at: Timestamp, terms: &mut Terms) -> Self {
        let mut side = Self {
            policy,
            view,
            at,
            standing: standing(policy, at),
            domains: Vec::new(),
            allows: Index::new(),
            denies: Index::new(),
            cubes: HashMap::new(),
        };
        let relationships = policy.configuration().relationships.iter();
        let domains = relationships.map(|relationship| terms.vocabulary.symbol(relationship.trust_domain.as_str()));
        side.domains = domains.collect();
        for (rule, written) in policy.rules.iter().enumerate() {
            if !side.counts(written) {
                continue;
            }
            let index = match written.effect {
                Effect::Allow => &mut side.allows,
                Effect::Deny => &mut side.denies,
            };
            for (from, pattern) in written.from.iter().enumerate() {
                index.insert(&mut terms.vocabulary, pattern, Voice::Rule { rule, from });
            }
        }
        for (number, standing) in side.standing.iter().enumerate() {
            let pattern = standing.pattern();
            side.denies
                .insert(&mut terms.vocabulary, &pattern, Voice::Standing(number));
        }
        side
    }

    /// Whether a rule says anything now or later.
    pub(crate) fn counts(&self, rule: &Rule) -> bool {
        let is_over = rule.expires.is_some_and(|expires| expires <= self.at);
        let is_seen = match self.view {
            View::InForce => !rule.dry_run,
            View::WithDryRun => true,
        };
        let is_heard = Heard::on(HopSet::default(), rule.via).has(rule.effect);
        is_seen && is_heard && !is_over
    }

    pub(crate) fn rule(&self, rule: usize) -> Option<&'p Rule> {
        self.policy.rules.get(rule)
    }

    /// What says this about ids that a pattern means.
    pub(crate) fn about(&self, effect: Effect, pattern: &IdPattern, terms: &mut Terms) -> Vec<Voice> {
        let index = match effect {
            Effect::Allow => &self.allows,
            Effect::Deny => &self.denies,
        };
        index.overlapping(&mut terms.vocabulary, pattern)
    }

    pub(crate) fn pattern(&self, voice: Voice) -> Option<IdPattern> {
        match voice {
            Voice::Rule { rule, from } => self.rule(rule)?.from.get(from).cloned(),
            Voice::Standing(number) => self.standing.get(number).map(Standing::pattern),
        }
    }

    pub(crate) fn cubes(&mut self, voice: Voice, form: Form, terms: &mut Terms) -> Rc<[Cube]> {
        if let Some(known) = self.cubes.get(&(voice, form)) {
            return Rc::clone(known);
        }
        let made: Rc<[Cube]> = match voice {
            Voice::Rule { rule, from } => {
                let rule = self.rule(rule);
                let from = rule.and_then(|rule| rule.from.get(from));
                let paths = self.policy.reading().paths;
                let made = rule
                    .zip(from)
                    .map(|(rule, from)| cubes(terms, rule, from, Reads { form, paths }));
                made.unwrap_or_default().into()
            }
            Voice::Standing(number) => {
                let standing = self.standing.get(number).filter(|standing| standing.is_about(form));
                let made = standing.map(|standing| standing.cube(terms));
                made.into_iter().collect()
            }
        };
        self.cubes.insert((voice, form), Rc::clone(&made));
        made
    }

    /// What of a rule opens paths with an encoded slash, of any path.
    pub(crate) fn opening(&self, voice: Voice, terms: &mut Terms) -> Vec<Cube> {
        let Voice::Rule { rule, from } = voice else {
            return Vec::new();
        };
        let rule = self.rule(rule).filter(|rule| rule.effect == Effect::Allow);
        let from = rule.and_then(|rule| rule.from.get(from));
        let reads = Reads {
            form: Form::Request,
            paths: self.policy.reading().paths,
        };
        let made = rule.zip(from).map(|(rule, from)| opening(terms, rule, from, reads));
        made.unwrap_or_default()
    }

    /// Where a rule may say anything about requests, whatever its effect and its paths, and about which ids.
    pub(crate) fn anything_said(&self, rule: usize, terms: &mut Terms) -> Vec<(Cube, IdPattern)> {
        let Some(written) = self.rule(rule) else {
            return Vec::new();
        };
        let mut rule = written.clone();
        // In doubt, too.
        rule.effect = Effect::Deny;
        rule.to.iter_mut().for_each(|target| target.paths = None);
        let reads = Reads {
            form: Form::Request,
            paths: self.policy.reading().paths,
        };
        let through = |from: &IdPattern| cubes(terms, &rule, from, reads);
        let all: Vec<Vec<Cube>> = rule.from.iter().map(through).collect();
        let all = rule.from.iter().zip(all);
        all.flat_map(|(from, cubes)| cubes.into_iter().map(|cube| (cube, from.clone())))
            .collect()
    }

    /// The forms in which something is asked for at its listeners.
    pub(crate) fn forms(&self) -> Vec<Form> {
        let listeners = self.policy.configuration().listener;
        let has_connections = match listeners {
            Listeners::Only(listener) => !listener.has_requests(),
            Listeners::Shared => true,
        };
        let requests = listeners.have_requests().then_some([Form::Request, Form::Tunnel]);
        let connections = has_connections.then_some(Form::Connection);
        requests.into_iter().flatten().chain(connections).collect()
    }

    /// The places of the rules that another document has not, names and order aside.
    pub(crate) fn rules_beside(&self, other: &Side<'_>) -> Vec<usize> {
        // All that count speak of one way.
        let of_one_way = |rule: &Rule| Rule {
            via: None,
            ..canonical(rule)
        };
        let counted = other.policy.rules.iter().filter(|rule| other.counts(rule));
        let known: HashSet<Rule> = counted.map(of_one_way).collect();
        let rules = self.policy.rules.iter().enumerate();
        let ours = rules.filter(|(_, rule)| self.counts(rule) && !known.contains(&of_one_way(rule)));
        ours.map(|(place, _)| place).collect()
    }

    /// The same of what stands beside the rules.
    pub(crate) fn standing_beside(&self, other: &Side<'_>) -> Vec<Standing> {
        let known: HashSet<&Standing> = other.standing.iter().collect();
        let ours = self.standing.iter().filter(|standing| !known.contains(*standing));
        let relationships = &self.policy.configuration().relationships;
        let theirs = other.policy.configuration().relationships.iter();
        let unknown = theirs
            .filter(|theirs| relationships.with(&theirs.trust_domain).is_none())
            .map(|theirs| Standing::Unknown(theirs.trust_domain.clone()));
        ours.cloned().chain(unknown).collect()
    }
}

/// A rule without its name, its lists in order.
pub(crate) fn canonical(rule: &Rule) -> Rule {
    let mut rule = rule.clone();
    rule.name = Box::default();
    rule.dry_run = false;
    rule.from.sort_unstable();
    rule.except.sort_unstable();
    for target in &mut rule.to {
        if let Some(paths) = &mut target.paths {
            paths.sort_unstable();
        }
        for list in [&mut target.conditions.methods, &mut target.conditions.routes]
            .into_iter()
            .flatten()
        {
            list.sort_unstable();
        }
    }
    rule
}

fn standing(policy: &Policy, at: Timestamp) -> Vec<Standing> {
    let configuration = policy.configuration();
    let mut standing = Vec::new();
    for relationship in configuration.relationships.iter() {
        let name = &relationship.trust_domain;
        if let Some(scope) = &relationship.scope {
            let mut scope = scope.clone();
            scope.sort_unstable();
            scope.dedup();
            standing.push(Standing::Scope(name.clone(), scope));
        }
        standing.extend(
            relationship
                .expires
                .map(|expires| Standing::Expiry(name.clone(), expires)),
        );
    }
    let revoked = configuration.revoked.ids();
    let revoked = revoked.filter(|(_, until)| until.is_none_or(|until| at < until));
    let mut revoked: Vec<Standing> = revoked
        .map(|(pattern, until)| Standing::Revoked(pattern, until))
        .collect();
    revoked.sort_unstable_by_key(|standing| standing.pattern());
    standing.extend(revoked);
    let mut peers: Vec<&IdPattern> = configuration.rules.hops().flat_map(|hop| &hop.peers).collect();
    peers.sort_unstable();
    peers.dedup();
    standing.extend(peers.into_iter().cloned().map(Standing::Hop));
    standing
}
