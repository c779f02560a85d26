//! One document, as a comparison looks at it: what allows, what denies, and what denies beside its rules.
//!
//! Whoever no relationship covers, or is revoked, is refused before a rule is asked, and so are the requests that a hop
//! would make itself. Here that is one more denial.
//!
//! What comes through hops comes by ways of its own, on which there are two ids: rules that allow are about the caller, what
//! denies is about either.

use std::rc::Rc;

use hashbrown::{HashMap, HashSet};
use jiff::Timestamp;

use crate::{
    analysis::{
        brought::{on, speaks, spoken_of, ways},
        cube::{Cube, Cubes, Reads, cubes, of_id, opening},
        index::{Index, Key},
        literal::{Literal, Place},
        manner::{Form, Manner, Way, Who},
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
        hop::{Hop, Hops},
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

/// Something that allows or denies, through one pattern of the ids of one of those on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Voice {
    /// A rule, by its place, through one of its `from`.
    Rule { rule: usize, from: usize, who: Who },
    /// What stands beside the rules.
    Standing(usize, Who),
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

    /// Of one of those on the way.
    pub(crate) fn cube(&self, who: Who, terms: &mut Terms) -> Cube {
        let mut of_domain =
            |name: &TrustDomain| Literal::Is(Place::trust_domain(who), terms.vocabulary.symbol(name.as_str()));
        match self {
            Self::Scope(name, scope) => {
                let literals = vec![of_domain(name)];
                let exceptions: Rc<[Vec<Literal>]> = scope.iter().map(|pattern| of_id(terms, who, pattern)).collect();
                Cube { literals, exceptions }
            }
            Self::Expiry(name, expires) => Cube::plain(vec![of_domain(name), Literal::From(*expires)]),
            Self::Unknown(name) => Cube::plain(vec![of_domain(name)]),
            Self::Revoked(pattern, until) => {
                let mut literals = of_id(terms, who, pattern);
                literals.extend(until.map(Literal::Before));
                Cube::plain(literals)
            }
            Self::Hop(pattern) => Cube::plain(of_id(terms, who, pattern)),
        }
    }

    /// Whether it says anything of what is asked for in this manner.
    pub(crate) fn is_about(&self, manner: Manner) -> bool {
        match self {
            Self::Scope(..) | Self::Expiry(..) | Self::Revoked(..) | Self::Unknown(_) => true,
            Self::Hop(_) => manner.way == Way::Direct && manner.form != Form::Connection,
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
    /// What rules say, by the way that it is about.
    said: Vec<(Way, Said)>,
    /// What stands beside the rules, by the ids that it is about.
    standing_by_id: Index<usize>,
    cubes: HashMap<(Voice, Manner), Cubes>,
}

/// What rules say of what comes by one way.
#[derive(Debug)]
struct Said {
    allows: Sayings,
    denies: Sayings,
}

impl<'p> Side<'p> {
    pub(crate) fn new(policy: &'p Policy, view: View, at: Timestamp, terms: &mut Terms) -> Self {
        let mut side = Self {
            policy,
            view,
            at,
            standing: standing(policy, at),
            domains: Vec::new(),
            said: Vec::new(),
            standing_by_id: Index::new(),
            cubes: HashMap::new(),
        };
        let relationships = policy.configuration().relationships.iter();
        let domains = relationships.map(|relationship| terms.vocabulary.symbol(relationship.trust_domain.as_str()));
        side.domains = domains.collect();
        for way in side.ways() {
            let said = side.said_on(way, terms);
            side.said.push((way, said));
        }
        for (number, standing) in side.standing.iter().enumerate() {
            let key = Key::of_id(&mut terms.vocabulary, &standing.pattern());
            side.standing_by_id.insert(&key, number);
        }
        side
    }

    fn said_on(&self, way: Way, terms: &mut Terms) -> Said {
        let mut said = Said {
            allows: Sayings::new(),
            denies: Sayings::new(),
        };
        for (rule, written) in self.policy.rules.iter().enumerate() {
            if !self.counts(written, way) {
                continue;
            }
            let sayings = match written.effect {
                Effect::Allow => &mut said.allows,
                Effect::Deny => &mut said.denies,
            };
            sayings.insert(rule, written, terms);
        }
        said
    }

    pub(crate) fn hops(&self) -> &'p Hops {
        &self.policy.configuration().rules.0.hops
    }

    /// The ways by which something comes.
    pub(crate) fn ways(&self) -> Vec<Way> {
        ways(self.hops())
    }

    pub(crate) fn reads(&self, manner: Manner) -> Reads<'p> {
        Reads {
            manner,
            paths: self.policy.reading().paths,
            hops: self.hops(),
        }
    }

    /// Whether a rule says anything of what comes by a way, now or later.
    pub(crate) fn counts(&self, rule: &Rule, way: Way) -> bool {
        let is_over = rule.expires.is_some_and(|expires| expires <= self.at);
        let is_seen = match self.view {
            View::InForce => !rule.dry_run,
            View::WithDryRun => true,
        };
        is_seen && !is_over && speaks(rule, self.hops(), way)
    }

    pub(crate) fn rule(&self, rule: usize) -> Option<&'p Rule> {
        self.policy.rules.get(rule)
    }

    /// What says this about something in this scope that comes by this way.
    pub(crate) fn about(&self, effect: Effect, scope: &Scope<'_>, way: Way, terms: &mut Terms) -> Vec<Voice> {
        let said = self.said.iter().find(|(known, _)| *known == way);
        let sayings = said.map(|(_, said)| match effect {
            Effect::Allow => &said.allows,
            Effect::Deny => &said.denies,
        });
        let mut voices = Vec::new();
        for who in way.asked_by(effect).iter().copied() {
            for pattern in scope.ids(who) {
                let rules = sayings.map(|sayings| sayings.about(pattern, scope, &self.policy.rules, terms));
                let rules = rules.into_iter().flatten();
                voices.extend(rules.map(|(rule, from)| Voice::Rule { rule, from, who }));
                if effect == Effect::Deny {
                    let key = Key::of_id(&mut terms.vocabulary, pattern);
                    let standing = self.standing_by_id.overlapping(&key).into_iter();
                    voices.extend(standing.map(|number| Voice::Standing(number, who)));
                }
            }
        }
        if way != Way::Direct {
            // Several patterns of hops may lead to one.
            voices.sort_unstable();
            voices.dedup();
        }
        voices
    }

    /// What a rule, through one of its `from`, is about.
    pub(crate) fn scope(&self, voice: Voice, manner: Manner) -> Option<Scope<'p>> {
        match voice {
            Voice::Rule { rule, from, who } => {
                let rule = self.rule(rule)?;
                let among = spoken_of(rule, self.hops(), manner.way);
                let scope = Scope::of_ids(rule.from.get(from)?, who, among);
                Some(scope.of_rule(rule, manner.form))
            }
            Voice::Standing(..) => None,
        }
    }

    /// What somebody of such an id may have to do with, as caller or as hop.
    pub(crate) fn scope_of<'r>(&self, ids: &'r IdPattern, who: Who, way: Way) -> Scope<'r>
    where
        'p: 'r,
    {
        Scope::of_ids(ids, who, on(self.hops(), way))
    }

    /// The cubes of all that says this about something in this scope.
    pub(crate) fn cubes_about(
        &mut self,
        effect: Effect,
        scope: &Scope<'_>,
        manner: Manner,
        terms: &mut Terms,
    ) -> Vec<Cubes> {
        let voices = self.about(effect, scope, manner.way, terms).into_iter();
        voices.map(|voice| self.cubes(voice, manner, terms)).collect()
    }

    pub(crate) fn cubes(&mut self, voice: Voice, manner: Manner, terms: &mut Terms) -> Cubes {
        if let Some(known) = self.cubes.get(&(voice, manner)) {
            return Rc::clone(known);
        }
        let made: Cubes = match voice {
            Voice::Rule { rule, from, who } => {
                let rule = self.rule(rule);
                let from = rule.and_then(|rule| rule.from.get(from));
                let reads = self.reads(manner);
                let made = rule
                    .zip(from)
                    .map(|(rule, from)| cubes(terms, rule, (from, who), reads));
                made.unwrap_or_default().into()
            }
            Voice::Standing(number, who) => {
                let standing = self.standing.get(number);
                let standing = standing.filter(|standing| standing.is_about(manner));
                let made = standing.map(|standing| standing.cube(who, terms));
                made.into_iter().collect()
            }
        };
        self.cubes.insert((voice, manner), Rc::clone(&made));
        made
    }

    /// What of a rule opens paths with an encoded slash, of any path.
    pub(crate) fn opening(&self, voice: Voice, way: Way, terms: &mut Terms) -> Vec<Cube> {
        let Voice::Rule { rule, from, .. } = voice else {
            return Vec::new();
        };
        let rule = self.rule(rule).filter(|rule| rule.effect == Effect::Allow);
        let from = rule.and_then(|rule| rule.from.get(from));
        let form = Form::Request;
        let reads = self.reads(Manner { way, form });
        let made = rule.zip(from).map(|(rule, from)| opening(terms, rule, from, reads));
        made.unwrap_or_default()
    }

    /// Whether some rule opens paths with an encoded slash.
    pub(crate) fn opens_encoded_slashes(&self) -> bool {
        let ways = self.ways();
        let counts = |rule: &&Rule| ways.iter().any(|way| self.counts(rule, *way));
        let counted = self.policy.rules.iter().filter(counts);
        let mut targets = counted.flat_map(|rule| &rule.to);
        targets.any(|target| target.conditions.encoded_slashes)
    }

    /// Where a rule may say anything about requests that come by a way, whatever its effect and its paths, and about which
    /// ids of whom.
    pub(crate) fn anything_said(&self, rule: usize, way: Way, terms: &mut Terms) -> Vec<(Cube, IdPattern, Who)> {
        let Some(written) = self.rule(rule) else {
            return Vec::new();
        };
        let mut rule = written.clone();
        // In doubt, too.
        rule.effect = Effect::Deny;
        rule.to.iter_mut().for_each(|target| target.paths = None);
        let form = Form::Request;
        let reads = self.reads(Manner { way, form });
        let mut all = Vec::new();
        for who in way.asked_by(written.effect).iter().copied() {
            for from in &rule.from {
                let cubes = cubes(terms, &rule, (from, who), reads).into_iter();
                all.extend(cubes.map(|cube| (cube, from.clone(), who)));
            }
        }
        all
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

/// The places of the rules that only one of two documents has, names and order aside, as far as they speak of what comes
/// by a way.
pub(crate) fn rules_of_one(one: &Side<'_>, other: &Side<'_>, way: Way) -> [Vec<usize>; 2] {
    let counted = |side: &Side<'_>| {
        let rules = side.policy.rules.iter().enumerate();
        let counted = rules.filter(|(_, rule)| side.counts(rule, way));
        counted.map(|(place, _)| place).collect::<Vec<_>>()
    };
    let mut places: HashMap<Meaning<'_>, (Vec<usize>, bool)> = HashMap::new();
    for place in counted(one) {
        if let Some(rule) = one.rule(place) {
            places
                .entry(Meaning::of(rule, way, one.hops()))
                .or_default()
                .0
                .push(place);
        }
    }
    let mut only_other = Vec::new();
    for place in counted(other) {
        let Some(rule) = other.rule(place) else { continue };
        match places.get_mut(&Meaning::of(rule, way, other.hops())) {
            Some((_, is_in_both)) => *is_in_both = true,
            None => only_other.push(place),
        }
    }
    let only_one = places.into_values().filter(|(_, is_in_both)| !is_in_both);
    let mut only_one: Vec<usize> = only_one.flat_map(|(places, _)| places).collect();
    only_one.sort_unstable();
    [only_one, only_other]
}

/// What a rule says of what comes by a way, without names, its lists in order.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Meaning<'r> {
    effect: Effect,
    /// The hops through which it speaks of it; `None` where it asks for none.
    via: Option<Vec<MeaningOfHop<'r>>>,
    from: Vec<&'r IdPattern>,
    except: Vec<&'r IdPattern>,
    to: Vec<MeaningOfTarget<'r>>,
    when: &'r When,
    expires: Option<Timestamp>,
}

#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct MeaningOfHop<'r> {
    peers: Vec<&'r IdPattern>,
    callers: Vec<&'r IdPattern>,
    except: Vec<&'r IdPattern>,
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
    fn of(rule: &'r Rule, way: Way, hops: &'r Hops) -> Self {
        let is_asked = way != Way::Direct && rule.via.is_some();
        let named = is_asked.then(|| {
            let mut named: Vec<_> = spoken_of(rule, hops, way).map(MeaningOfHop::of).collect();
            named.sort_unstable();
            named
        });
        let Rule {
            name: _,
            effect,
            from,
            except,
            to,
            when,
            expires,
            via: _,
            dry_run: _,
            whole: _,
        } = rule;
        Self {
            effect: *effect,
            via: named,
            from: in_order(from),
            except: in_order(except),
            to: to.iter().map(MeaningOfTarget::of).collect(),
            when,
            expires: *expires,
        }
    }
}

impl<'r> MeaningOfHop<'r> {
    fn of(hop: &'r Hop) -> Self {
        let Hop {
            name: _,
            peers,
            callers,
            except,
            // All are of one way, and nothing is looked at where they are not ([`brought::is_looked_at`]).
            assertion: _,
            evidence: _,
            depth: _,
            expires,
            owner: _,
        } = hop;
        Self {
            peers: in_order(peers.ids()),
            callers: in_order(callers),
            except: in_order(except),
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
