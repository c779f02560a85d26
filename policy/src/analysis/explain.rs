//! Why was it answered so, and what would have had to be otherwise?
//!
//! There is no second evaluator here. What one demand of one rule says about a request is asked of the evaluator that
//! enforces, with a rule that demands nothing else: once as an allow rule, which a doubt does not help, and once as a
//! deny rule, which a doubt does. So the two agree about every reading of a request, and will go on to.

use std::sync::Arc;

use jiff::Timestamp;

use crate::{
    analysis::{
        claimed::{ClaimedGrants, ClaimedWay},
        policy::Policy,
    },
    name::id::SpiffeId,
    pattern::{
        id_pattern::IdPattern,
        segments::{SegmentPattern, Segments},
    },
    reason::Reason,
    rules::{
        condition::{Conditions, When},
        decision::{Decision, Detail},
        effect::Effect,
        hop::{Heard, Hop, HopSet},
        request::Request,
        rule::{Rule, Target},
        rule_set::{RuleSet, RuleSetBuilder},
    },
};

/// What is answered, and what each rule has to do with it.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// What the proxy would answer.
    pub answer: Answer,
    /// Through which entry of `hops` it comes, and what each has to do with it of which the peer is one: in the order of
    /// the document. Empty where it comes through nobody.
    pub hops: Vec<AboutHop>,
    /// What each rule says, in the order of the document; a deny rule that speaks of the hop, too, behind what it says of
    /// the caller. Empty where the request is refused before any is asked.
    pub rules: Vec<AboutRule>,
}

/// A decision that outlives the grants that it was made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether it may pass.
    pub effect: Effect,
    /// Why.
    pub reason: Reason,
    /// The rule that decided.
    pub rule: Option<String>,
    /// What it would have been with the rules that are in a dry run, and by which rule, where that is another one.
    pub dry_run: Option<(Effect, String)>,
    /// What exactly is behind a refusal.
    pub detail: Option<Detail>,
}

impl Answer {
    /// What is told of a decision.
    pub fn of(decision: &Decision<'_>) -> Self {
        Self {
            effect: decision.effect,
            reason: decision.reason,
            rule: decision.rule.map(str::to_owned),
            dry_run: decision
                .dry_run
                .map(|dry_run| (dry_run.effect, dry_run.rule.to_owned())),
            detail: decision.detail,
        }
    }

    /// Whether it may pass.
    pub fn is_allowed(&self) -> bool {
        self.effect == Effect::Allow
    }
}

/// Whether a demand holds. An allow rule needs a yes; a deny rule applies unless it is a no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Holds {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// It cannot be known, or one reading of the request says yes and another one no.
    Unknown,
}

impl Holds {
    /// Whether a rule of this effect goes on from here.
    pub fn serves(self, effect: Effect) -> bool {
        match (self, effect) {
            (Self::Yes, _) | (Self::Unknown, Effect::Deny) => true,
            (Self::No, _) | (Self::Unknown, Effect::Allow) => false,
        }
    }
}

/// What a rule can demand. Numbers are places in the lists of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Demand {
    /// One of `from`.
    From,
    /// None of `except`.
    Except,
    /// The way among `via`. An allow rule without it speaks of none through hops.
    Via,
    /// Before `expires`.
    Expires,
    /// One of `methods`.
    Methods,
    /// One of `paths`, with the captures that the id gives.
    Paths,
    /// One of `hosts`.
    Hosts,
    /// One of `routes`.
    Routes,
    /// One of `ports`.
    Ports,
    /// One of `sni`.
    Sni,
    /// `encoded_slashes: true`, of a path that has one.
    EncodedSlashes,
    /// This one of `headers`.
    Header(usize),
    /// This one of `not_headers`.
    NotHeader(usize),
    /// One of `source_ips`.
    SourceIps,
    /// None of `not_source_ips`.
    NotSourceIps,
    /// One of `time`.
    Time,
    /// None of `not_time`.
    NotTime,
}

impl Demand {
    /// The member of the document that demands it, below the rule, or below an entry of its `to`.
    pub fn member(self) -> String {
        match self {
            Self::From => "from".to_owned(),
            Self::Except => "except".to_owned(),
            Self::Via => "via".to_owned(),
            Self::Expires => "expires".to_owned(),
            Self::Methods => "methods".to_owned(),
            Self::Paths => "paths".to_owned(),
            Self::Hosts => "hosts".to_owned(),
            Self::Routes => "routes".to_owned(),
            Self::Ports => "ports".to_owned(),
            Self::Sni => "sni".to_owned(),
            Self::EncodedSlashes => "encoded_slashes".to_owned(),
            Self::Header(place) => format!("when.headers[{place}]"),
            Self::NotHeader(place) => format!("when.not_headers[{place}]"),
            Self::SourceIps => "when.source_ips".to_owned(),
            Self::NotSourceIps => "when.not_source_ips".to_owned(),
            Self::Time => "when.time".to_owned(),
            Self::NotTime => "when.not_time".to_owned(),
        }
    }

    /// Whether it stands in an entry of `to`.
    pub fn is_of_entry(self) -> bool {
        match self {
            Self::Methods
            | Self::Paths
            | Self::Hosts
            | Self::Routes
            | Self::Ports
            | Self::Sni
            | Self::EncodedSlashes => true,
            Self::From
            | Self::Except
            | Self::Via
            | Self::Expires
            | Self::Header(_)
            | Self::NotHeader(_)
            | Self::SourceIps
            | Self::NotSourceIps
            | Self::Time
            | Self::NotTime => false,
        }
    }
}

/// What one entry of `hops` has to do with a request that somebody brings who is one of its `peers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AboutHop {
    /// Its place in `hops`.
    pub place: usize,
    /// Its name.
    pub name: String,
    /// The places in `callers` of the patterns that the caller matches.
    pub callers: Vec<usize>,
    /// The place in `except` of the first pattern that takes the caller out.
    pub excepted: Option<usize>,
    /// Whether it has come to its end; `None` where it has none.
    pub is_over: Option<bool>,
}

impl AboutHop {
    /// Whether it is the one through which the request comes.
    pub fn is_taken(&self) -> bool {
        !self.callers.is_empty() && self.excepted.is_none()
    }
}

/// What one rule has to do with a request.
#[derive(Clone, Debug)]
pub struct AboutRule {
    /// Whether it is asked about who brings the request, and not about who it is for.
    pub is_about_hop: bool,
    /// Its place in `rules`.
    pub place: usize,
    /// Its name.
    pub name: String,
    /// Allow or deny.
    pub effect: Effect,
    /// Whether it only tells what it would do.
    pub dry_run: bool,
    /// The places in `from` of the patterns that the id matches.
    pub from: Vec<usize>,
    /// The place in `except` of the first pattern that takes the id out.
    pub excepted: Option<usize>,
    /// What it demands whatever the entry of `to`, and whether it holds.
    pub demands: Vec<(Demand, Holds)>,
    /// Each entry of `to`.
    pub entries: Vec<AboutEntry>,
}

/// What one entry of `to` has to do with a request.
#[derive(Clone, Debug)]
pub struct AboutEntry {
    /// What it demands, and whether it holds.
    pub demands: Vec<(Demand, Holds)>,
    /// The places in `paths` of the patterns that match.
    pub paths: Vec<usize>,
}

impl AboutRule {
    /// Whether it speaks of the id at all.
    pub fn speaks_of_the_id(&self) -> bool {
        !self.from.is_empty()
    }

    /// Whether the entry of `to` at a place applies, and all else that the rule demands.
    pub fn applies_by(&self, entry: &AboutEntry) -> bool {
        self.missing(entry).next().is_none()
    }

    /// Whether it applies: what it says is part of the answer.
    pub fn applies(&self) -> bool {
        self.entries.iter().any(|entry| self.applies_by(entry))
    }

    /// The demands that keep the rule from applying by an entry of `to`.
    pub fn missing<'e>(&'e self, entry: &'e AboutEntry) -> impl Iterator<Item = (Demand, Holds)> + 'e {
        let demands = self.demands.iter().chain(&entry.demands);
        demands.copied().filter(|(_, holds)| !holds.serves(self.effect))
    }

    /// The entry of `to` that is nearest to applying, with how many demands keep it from that.
    pub fn nearest(&self) -> Option<(usize, usize)> {
        let entries = self.entries.iter().enumerate();
        entries
            .map(|(place, entry)| (place, self.missing(entry).count()))
            .min_by_key(|(_, missing)| *missing)
    }
}

/// Of which rules is something to be found out?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Of all.
    All,
    /// Of those of which one `from` matches the id.
    OfTheId,
}

impl Explanation {
    /// What a policy answers, and what its rules have to do with it.
    pub fn of(policy: &Policy, way: &ClaimedWay, request: &Request<'_>, now: Timestamp, which: Which) -> Self {
        let grants = ClaimedGrants::of(&policy.configuration().rules, way);
        let answer = Answer::of(&grants.decide(request, now));
        let hops = about_hops(policy, way, now);
        let taken = hops.iter().filter(|hop| hop.is_taken());
        let caller = Asked {
            policy,
            id: way.caller.id(),
            way: taken.fold(HopSet::default(), |taken, hop| taken.with(hop.place)),
            request,
            now,
        };
        let hop = way.hop.as_ref().map(|(hop, _)| Asked { id: hop.id(), ..caller });
        let is_of_caller = |rule: &Rule| match which {
            Which::All => true,
            Which::OfTheId => caller.is_meant(rule),
        };
        let mut rules = Vec::new();
        // Of who may bring whom, none is asked.
        let is_no_way = matches!(answer.reason, Reason::AssertionMissing | Reason::AssertionNotAllowed);
        if !is_no_way && !caller.is_refused_whole() {
            for (place, rule) in policy.rules.iter().enumerate() {
                rules.extend(is_of_caller(rule).then(|| caller.about(place, rule)));
                let hop = hop.filter(|hop| rule.effect == Effect::Deny && hop.is_meant(rule));
                rules.extend(hop.map(|hop| AboutRule {
                    is_about_hop: true,
                    ..hop.about(place, rule)
                }));
            }
        }
        Self { answer, hops, rules }
    }
}

/// The entries by which somebody brings a request, and what each has to do with the caller.
fn about_hops(policy: &Policy, way: &ClaimedWay, now: Timestamp) -> Vec<AboutHop> {
    let Some((peer, assertion)) = &way.hop else {
        return Vec::new();
    };
    let hops = policy.configuration().rules.hops().enumerate();
    let is_one = |hop: &Hop| hop.assertion == *assertion && !matching(hop.peers.ids(), peer.id()).is_empty();
    let own = hops.filter(|(_, hop)| is_one(hop));
    own.map(|(place, hop)| AboutHop {
        place,
        name: hop.name.to_string(),
        callers: matching(&hop.callers, way.caller.id()),
        excepted: matching(&hop.except, way.caller.id()).first().copied(),
        is_over: hop.expires.map(|expires| now >= expires),
    })
    .collect()
}

/// The places of the patterns that an id matches.
fn matching(patterns: &[IdPattern], id: &SpiffeId) -> Vec<usize> {
    let places = patterns.iter().enumerate();
    let places = places.filter(|(_, pattern)| pattern.matches(id));
    places.map(|(place, _)| place).collect()
}

/// A request, and one of those on its way.
#[derive(Clone, Copy)]
struct Asked<'a> {
    policy: &'a Policy,
    id: &'a SpiffeId,
    /// The hops through which it comes.
    way: HopSet,
    request: &'a Request<'a>,
    now: Timestamp,
}

impl Asked<'_> {
    /// Whether one `from` of a rule means the id.
    fn is_meant(&self, rule: &Rule) -> bool {
        rule.from.iter().any(|pattern| pattern.matches(self.id))
    }

    /// Whether it is refused whatever rules there are.
    fn is_refused_whole(&self) -> bool {
        !self.is_allowed(everything(true))
    }

    fn about(&self, place: usize, rule: &Rule) -> AboutRule {
        let from = matching(&rule.from, self.id);
        let excepted = matching(&rule.except, self.id).first().copied();
        let known = |holds: bool| if holds { Holds::Yes } else { Holds::No };
        let mut demands = vec![(Demand::From, known(!from.is_empty()))];
        if !rule.except.is_empty() {
            demands.push((Demand::Except, known(excepted.is_none())));
        }
        let is_heard = Heard::on(self.way, rule.via).has(rule.effect);
        if rule.via.is_some() || !is_heard {
            demands.push((Demand::Via, known(is_heard)));
        }
        if let Some(expires) = rule.expires {
            demands.push((Demand::Expires, known(self.now < expires)));
        }
        demands.extend(self.of_when(&rule.when));
        let entries = rule
            .to
            .iter()
            .map(|target| self.about_entry(rule, target, &from))
            .collect();
        AboutRule {
            is_about_hop: false,
            place,
            name: rule.name.to_string(),
            effect: rule.effect,
            dry_run: rule.dry_run,
            from,
            excepted,
            demands,
            entries,
        }
    }

    fn of_when(&self, when: &When) -> Vec<(Demand, Holds)> {
        let When {
            headers,
            not_headers,
            source_ips,
            not_source_ips,
            time,
            not_time,
        } = when;
        let mut demands = Vec::new();
        let mut ask = |demand, is_there: bool, when: When| {
            if is_there {
                demands.push((demand, self.holds_when(when)));
            }
        };
        let none = When::default;
        for (place, header) in headers.iter().enumerate() {
            let headers = vec![header.clone()];
            ask(Demand::Header(place), true, When { headers, ..none() });
        }
        for (place, header) in not_headers.iter().enumerate() {
            let not_headers = vec![header.clone()];
            ask(Demand::NotHeader(place), true, When { not_headers, ..none() });
        }
        let (source_ips, not_source_ips) = (source_ips.clone(), not_source_ips.clone());
        let (time, not_time) = (time.clone(), not_time.clone());
        ask(Demand::SourceIps, source_ips.is_some(), When { source_ips, ..none() });
        let is_there = not_source_ips.is_some();
        ask(
            Demand::NotSourceIps,
            is_there,
            When {
                not_source_ips,
                ..none()
            },
        );
        ask(Demand::Time, time.is_some(), When { time, ..none() });
        ask(Demand::NotTime, not_time.is_some(), When { not_time, ..none() });
        demands
    }

    fn about_entry(&self, rule: &Rule, target: &Target, from: &[usize]) -> AboutEntry {
        let Conditions {
            methods,
            hosts,
            routes,
            ports,
            sni,
            encoded_slashes,
        } = &target.conditions;
        let mut demands = Vec::new();
        let mut ask = |demand, is_there: bool, conditions: Conditions| {
            if is_there {
                demands.push((demand, self.holds_conditions(conditions)));
            }
        };
        let none = Conditions::default;
        let (methods, hosts, routes) = (methods.clone(), hosts.clone(), routes.clone());
        let (ports, sni) = (ports.clone(), sni.clone());
        ask(Demand::Methods, methods.is_some(), Conditions { methods, ..none() });
        ask(Demand::Hosts, hosts.is_some(), Conditions { hosts, ..none() });
        ask(Demand::Routes, routes.is_some(), Conditions { routes, ..none() });
        ask(Demand::Ports, ports.is_some(), Conditions { ports, ..none() });
        ask(Demand::Sni, sni.is_some(), Conditions { sni, ..none() });
        if rule.effect == Effect::Allow && !encoded_slashes && self.has_encoded_slash() {
            demands.push((Demand::EncodedSlashes, Holds::No));
        }
        // Which methods are asked for inside is not known, and only a rule that names the tunnel's own opens it.
        if rule.effect == Effect::Allow && target.conditions.methods.is_none() && self.opens_a_tunnel() {
            demands.push((Demand::Methods, Holds::Unknown));
        }
        let mut matching = Vec::new();
        if let Some(paths) = &target.paths {
            // What the id gives a capture is known where a `from` matches. Where none does, any segment will do.
            let from: Vec<IdPattern> = from.iter().filter_map(|place| rule.from.get(*place)).cloned().collect();
            let captured = !from.is_empty();
            let ask = |paths: Vec<_>| {
                let from = if captured { from.clone() } else { anybody() };
                let target = Target {
                    paths: Some(paths),
                    conditions: none(),
                };
                self.holds(from, target, When::default())
            };
            let paths: Vec<_> = paths
                .iter()
                .map(|path| {
                    let mut path = path.clone();
                    if !captured {
                        path.segments = without_captures(&path.segments);
                    }
                    path
                })
                .collect();
            let places = paths.iter().enumerate();
            let places = places.filter(|(_, path)| ask(vec![(*path).clone()]) != Holds::No);
            matching = places.map(|(place, _)| place).collect();
            demands.push((Demand::Paths, ask(paths.clone())));
        }
        AboutEntry {
            demands,
            paths: matching,
        }
    }

    /// Whether the path has an encoded slash that only a rule can open.
    fn has_encoded_slash(&self) -> bool {
        !self.is_allowed(everything(false))
    }

    /// Whether it opens a tunnel, to some upstream at least.
    fn opens_a_tunnel(&self) -> bool {
        !self.is_allowed(everything(true).into_iter().take(1))
    }

    fn holds_when(&self, when: When) -> Holds {
        self.holds(anybody(), Target::default(), when)
    }

    fn holds_conditions(&self, conditions: Conditions) -> Holds {
        let paths = None;
        self.holds(anybody(), Target { paths, conditions }, When::default())
    }

    /// What the evaluator says of demands that stand alone.
    fn holds(&self, from: Vec<IdPattern>, mut target: Target, when: When) -> Holds {
        // Whether it reads encoded slashes is a demand of its own.
        target.conditions.encoded_slashes = true;
        let deny = rule(Effect::Deny, from.clone(), target.clone(), when.clone());
        let allow = rule(Effect::Allow, from, target, when);
        let denied = everything(true).into_iter().chain([deny]);
        match (self.is_allowed(with_tunnels(allow)), self.is_allowed(denied)) {
            (true, _) => Holds::Yes,
            (false, true) => Holds::No,
            (false, false) => Holds::Unknown,
        }
    }

    fn is_allowed(&self, rules: impl IntoIterator<Item = Rule>) -> bool {
        let reading = self.policy.configuration().rules.0.reading;
        let mut builder = RuleSetBuilder::new(reading, Vec::new(), 0);
        rules.into_iter().for_each(|rule| builder.add(rule));
        let rules = RuleSet(Arc::new(builder.finish()));
        let grants = rules.specialise_id(self.id);
        grants.decide(self.request, self.now).is_allowed()
    }
}

/// Rules that allow all that any rule can; also paths with an encoded slash, or not.
fn everything(encoded_slashes: bool) -> Vec<Rule> {
    let conditions = Conditions {
        encoded_slashes,
        ..Conditions::default()
    };
    let paths = None;
    with_tunnels(rule(
        Effect::Allow,
        anybody(),
        Target { paths, conditions },
        When::default(),
    ))
}

/// The same, and for tunnels. An allow rule must name the method of one, which is a demand of its own.
fn with_tunnels(allow: Rule) -> Vec<Rule> {
    let mut tunnels = allow.clone();
    for target in &mut tunnels.to {
        target.conditions.methods.get_or_insert_with(|| vec!["CONNECT".into()]);
    }
    vec![allow, tunnels]
}

/// A rule that says nothing else.
fn rule(effect: Effect, from: Vec<IdPattern>, target: Target, when: When) -> Rule {
    Rule {
        name: Box::default(),
        effect,
        from,
        except: Vec::new(),
        via: None,
        to: vec![target],
        when,
        expires: None,
        dry_run: false,
        whole: true,
    }
}

/// `spiffe://*/**`
fn anybody() -> Vec<IdPattern> {
    vec![IdPattern {
        trust_domain: None,
        segments: Segments {
            list: Vec::new(),
            rest: true,
        },
    }]
}

fn without_captures(segments: &Segments) -> Segments {
    let any = |segment: &SegmentPattern| match segment {
        SegmentPattern::Literal(literal) => SegmentPattern::Literal(literal.clone()),
        SegmentPattern::Any | SegmentPattern::Capture(_) => SegmentPattern::Any,
    };
    Segments {
        list: segments.list.iter().map(any).collect(),
        rest: segments.rest,
    }
}
