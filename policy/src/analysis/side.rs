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
        cube::{Cube, Cubes, Form, Reads, cubes, of_id, opening},
        index::{Index, Key},
        literal::{Literal, Place},
        policy::Policy,
        sayings::{Sayings, Scope},
        terms::Terms,
        vocabulary::Symbol,
    },
    document::settings::Listeners,
    name::{host::HostPattern, id::TrustDomain},
    pattern::{id_pattern::IdPattern, path_pattern::PathPattern, segments::Segments},
    rules::{
        condition::{Conditions, When},
        effect::Effect,
        hop::{Heard, HopSet},
        rule::{Rule, Target},
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
    allows: Sayings,
    denies: Sayings,
    /// What stands beside the rules, by the ids that it is about.
    standing_by_id: Index<Voice>,
    cubes: HashMap<(Voice, Form), Cubes>,
}

impl<'p> Side<'p> {
    pub(crate) fn new(policy: &'p Policy, view: View, at: Timestamp, terms: &mut Terms) -> Self {
        let mut side = Self {
            policy,
            view,
            at,
            standing: standing(policy, at),
            domains: Vec::new(),
            allows: Sayings::new(),
            denies: Sayings::new(),
            standing_by_id: Index::new(),
            cubes: HashMap::new(),
        };
        let relationships = policy.configuration().relationships.iter();
        let domains = relationships.map(|relationship| terms.vocabulary.symbol(relationship.trust_domain.as_str()));
        side.domains = domains.collect();
        for (rule, written) in policy.rules.iter().enumerate() {
            if !side.counts(written) {
                continue;
            }
            let sayings = match written.effect {
                Effect::Allow => &mut side.allows,
                Effect::Deny => &mut side.denies,
            };
            sayings.insert(rule, written, terms);
        }
        for (number, standing) in side.standing.iter().enumerate() {
            let key = Key::of_id(&mut terms.vocabulary, &standing.pattern());
            side.standing_by_id.insert(&key, Voice::Standing(number));
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

    /// What says this about something in this scope.
    pub(crate) fn about(&self, effect: Effect, scope: &Scope<'_>, terms: &mut Terms) -> Vec<Voice> {
        let sayings = match effect {
            Effect::Allow => &self.allows,
            Effect::Deny => &self.denies,
        };
        let rules = sayings.about(scope, &self.policy.rules, terms).into_iter();
        let rules = rules.map(|(rule, from)| Voice::Rule { rule, from });
        let standing = match effect {
            Effect::Allow => Vec::new(),
            Effect::Deny => {
                let key = Key::of_id(&mut terms.vocabulary, scope.ids);
                self.standing_by_id.overlapping(&key)
            }
        };
        rules.chain(standing).collect()
    }

    /// What a rule, through one of its `from`, is about.
    pub(crate) fn scope(&self, voice: Voice, form: Form) -> Option<Scope<'p>> {
        match voice {
            Voice::Rule { rule, from } => {
                let rule = self.rule(rule)?;
                Some(Scope::of_rule(rule, rule.from.get(from)?, form))
            }
            Voice::Standing(_) => None,
        }
    }

    /// The cubes of all that says this about something in this scope.
    pub(crate) fn cubes_about(
        &mut self,
        effect: Effect,
        scope: &Scope<'_>,
        form: Form,
        terms: &mut Terms,
    ) -> Vec<Cubes> {
        let voices = self.about(effect, scope, terms).into_iter();
        voices.map(|voice| self.cubes(voice, form, terms)).collect()
    }

    pub(crate) fn cubes(&mut self, voice: Voice, form: Form, terms: &mut Terms) -> Cubes {
        if let Some(known) = self.cubes.get(&(voice, form)) {
            return Rc::clone(known);
        }
        let made: Cubes = match voice {
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

    /// Whether some rule opens paths with an encoded slash.
    pub(crate) fn opens_encoded_slashes(&self) -> bool {
        let counted = self.policy.rules.iter().filter(|rule| self.counts(rule));
        let mut targets = counted.flat_map(|rule| &rule.to);
        targets.any(|target| target.conditions.encoded_slashes)
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

    /// What stands beside the rules, and does not in another document.
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

/// The places of the rules that only one of two documents has, names and order aside.
pub(crate) fn rules_of_one(one: &Side<'_>, other: &Side<'_>) -> [Vec<usize>; 2] {
    fn counted<'p>(side: &Side<'p>) -> impl Iterator<Item = (usize, &'p Rule)> {
        let rules = side.policy.rules.iter().enumerate();
        rules.filter(|(_, rule)| side.counts(rule))
    }
    let mut places: HashMap<Meaning<'_>, (Vec<usize>, bool)> = HashMap::new();
    for (place, rule) in counted(one) {
        places.entry(Meaning::of(rule)).or_default().0.push(place);
    }
    let mut only_other = Vec::new();
    for (place, rule) in counted(other) {
        match places.get_mut(&Meaning::of(rule)) {
            Some((_, is_in_both)) => *is_in_both = true,
            None => only_other.push(place),
        }
    }
    let only_one = places.into_values().filter(|(_, is_in_both)| !is_in_both);
    let mut only_one: Vec<usize> = only_one.flat_map(|(places, _)| places).collect();
    only_one.sort_unstable();
    [only_one, only_other]
}

/// A rule without its name and the ways that it speaks of, its lists in order.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Meaning<'r> {
    effect: Effect,
    from: Vec<&'r IdPattern>,
    except: Vec<&'r IdPattern>,
    to: Vec<MeaningOfTarget<'r>>,
    when: &'r When,
    expires: Option<Timestamp>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct MeaningOfTarget<'r> {
    paths: Option<Vec<&'r PathPattern>>,
    methods: Option<Vec<&'r str>>,
    routes: Option<Vec<&'r str>>,
    ports: &'r Option<Vec<u16>>,
    hosts: &'r Option<Vec<HostPattern>>,
    sni: &'r Option<Vec<HostPattern>>,
    encoded_slashes: bool,
}

impl<'r> Meaning<'r> {
    pub(crate) fn of(rule: &'r Rule) -> Self {
        let Rule {
            name: _,
            effect,
            from,
            except,
            to,
            when,
            expires,
            // Those that are asked about speak of one way, and count.
            via: _,
            dry_run: _,
            whole: _,
        } = rule;
        Self {
            effect: *effect,
            from: in_order(from),
            except: in_order(except),
            to: to.iter().map(MeaningOfTarget::of).collect(),
            when,
            expires: *expires,
        }
    }
}

impl<'r> MeaningOfTarget<'r> {
    fn of(target: &'r Target) -> Self {
        let Conditions {
            methods,
            hosts,
            routes,
            ports,
            sni,
            encoded_slashes,
        } = &target.conditions;
        let words = |list: &'r Vec<Box<str>>| {
            let mut words: Vec<&str> = list.iter().map(AsRef::as_ref).collect();
            words.sort_unstable();
            words
        };
        Self {
            paths: target.paths.as_deref().map(in_order),
            methods: methods.as_ref().map(words),
            routes: routes.as_ref().map(words),
            ports,
            hosts,
            sni,
            encoded_slashes: *encoded_slashes,
        }
    }
}

fn in_order<T: Ord>(list: &[T]) -> Vec<&T> {
    let mut list: Vec<&T> = list.iter().collect();
    list.sort_unstable();
    list
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
    let mut peers: Vec<&IdPattern> = configuration.rules.hops().flat_map(|hop| hop.peers.ids()).collect();
    peers.sort_unstable();
    peers.dedup();
    standing.extend(peers.into_iter().cloned().map(Standing::Hop));
    standing
}
