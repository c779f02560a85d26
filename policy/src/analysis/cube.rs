//! What does one rule say through one of its `from` and one of its paths?
//!
//! A *cube*: all of its literals hold, and none of its exceptions. A rule applies where one of its cubes holds.

use std::rc::Rc;

use crate::{
    analysis::{
        brought::spoken_of,
        demand::{Aspect, Verdicts, of_target, of_when},
        literal::{Literal, MANY, Place, Space},
        manner::{Form, Manner, Way, Who},
        terms::Terms,
    },
    name::path::PathReading,
    pattern::{
        id_pattern::IdPattern,
        path_pattern::PathPattern,
        segments::{SegmentPattern, Segments},
    },
    rules::{
        effect::Effect,
        hop::{Hop, Hops},
        reading::CONNECT,
        rule::{Rule, Target},
    },
};

/// Literals of which all hold, and exceptions of which none does.
#[derive(Clone, Debug)]
pub(crate) struct Cube {
    /// In such an order that those before one say that there are the segments that it speaks of.
    pub(crate) literals: Vec<Literal>,
    pub(crate) exceptions: Rc<[Vec<Literal>]>,
}

/// Cubes that several searches look at.
pub(crate) type Cubes = Rc<[Cube]>;

impl Cube {
    pub(crate) fn plain(literals: Vec<Literal>) -> Self {
        Self {
            literals,
            exceptions: Rc::new([]),
        }
    }

    /// The same, and these behind.
    fn and(&self, literals: &[Literal]) -> Self {
        Self {
            literals: self.literals.iter().chain(literals).cloned().collect(),
            exceptions: Rc::clone(&self.exceptions),
        }
    }

    /// The same of any path.
    pub(crate) fn without_path(&self) -> Self {
        let is_of_path = |literal: &Literal| match literal {
            Literal::Length { space, .. } => *space == Space::Path,
            Literal::Is(place, _) | Literal::IsNot(place, _) => place.space == Space::Path,
            Literal::Same(one, two) | Literal::Differ(one, two) => {
                [one, two].iter().any(|place| place.space == Space::Path)
            }
            Literal::Demand { .. } | Literal::Before(_) | Literal::From(_) => false,
        };
        let literals = self.literals.iter().filter(|literal| !is_of_path(literal)).cloned();
        Self {
            literals: literals.collect(),
            exceptions: Rc::clone(&self.exceptions),
        }
    }
}

/// How something comes and is read where a rule is taken apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reads<'p> {
    pub(crate) manner: Manner,
    pub(crate) paths: PathReading,
    /// Those that the `via` of the rule names.
    pub(crate) hops: &'p Hops,
}

/// The cubes of a rule through one of its `from` that open paths with an encoded slash, of any path.
pub(crate) fn opening(terms: &mut Terms, rule: &Rule, from: &IdPattern, reads: Reads<'_>) -> Vec<Cube> {
    let mut rule = rule.clone();
    rule.to.retain(|target| target.conditions.encoded_slashes);
    rule.to.iter_mut().for_each(|target| target.paths = None);
    cubes(terms, &rule, (from, Who::Caller), reads)
}

/// All cubes of a rule through one of its `from`, which is about one of those on the way.
pub(crate) fn cubes(terms: &mut Terms, rule: &Rule, (from, who): (&IdPattern, Who), reads: Reads<'_>) -> Vec<Cube> {
    let ways = of_way(terms, rule, (from, who), reads);
    let mut cubes = Vec::new();
    for target in &rule.to {
        let Some(demands) = demands(terms, rule, target, reads.manner.form) else {
            continue;
        };
        let patterns: Vec<Option<&PathPattern>> = match (&target.paths, reads.manner.form) {
            (Some(paths), Form::Request) => paths.iter().map(Some).collect(),
            (None, _) | (Some(_), Form::Tunnel | Form::Connection) => vec![None],
        };
        for path in patterns {
            let mut captures = Captures::default();
            let mut own = of_id_capturing(terms, who, from, &mut captures);
            if let Some(path) = path {
                let Some(of_path) = of_path(terms, path, reads.paths, &mut captures) else {
                    continue;
                };
                own.extend(of_path);
            }
            own.extend(demands.iter().cloned());
            own.extend(rule.expires.map(Literal::Before));
            cubes.extend(ways.iter().map(|way| way.and(&own)));
        }
    }
    cubes
}

/// What must hold for something to come by a way of which a rule speaks, and for its exceptions not to.
fn of_way(terms: &mut Terms, rule: &Rule, (from, who): (&IdPattern, Who), reads: Reads<'_>) -> Vec<Cube> {
    let Reads { manner, hops, .. } = reads;
    let exceptions: Vec<Vec<Literal>> = rule.except.iter().map(|except| of_id(terms, who, except)).collect();
    if manner.way == Way::Direct || rule.via.is_none() {
        let exceptions = exceptions.into();
        let literals = Vec::new();
        return vec![Cube { literals, exceptions }];
    }
    let mut cubes = Vec::new();
    for hop in spoken_of(rule, hops, manner.way) {
        let mut of_hop = of_hop(terms, hop, (from, who));
        for cube in &mut of_hop {
            // Whether it is over is asked before any rule, so a deny rule need not.
            let expires = hop.expires.filter(|_| rule.effect == Effect::Allow);
            cube.literals.extend(expires.map(Literal::Before));
        }
        if !exceptions.is_empty() {
            let all = of_hop.first().into_iter().flat_map(|cube| cube.exceptions.iter());
            let all: Rc<[Vec<Literal>]> = all.chain(&exceptions).cloned().collect();
            of_hop.iter_mut().for_each(|cube| cube.exceptions = Rc::clone(&all));
        }
        cubes.append(&mut of_hop);
    }
    cubes
}

/// That something comes through a hop: who brings, who is brought. Of all pairs, those that have something in common
/// with a pattern of one of the two.
pub(crate) fn of_hop(terms: &mut Terms, hop: &Hop, (from, who): (&IdPattern, Who)) -> Vec<Cube> {
    let may_be = |pattern: &IdPattern, of: Who| of != who || pattern.overlaps(from);
    let exceptions: Rc<[Vec<Literal>]> = hop.except.iter().map(|id| of_id(terms, Who::Caller, id)).collect();
    let mut cubes = Vec::new();
    for peer in hop.peers.ids().iter().filter(|peer| may_be(peer, Who::Hop)) {
        let of_peer = of_id(terms, Who::Hop, peer);
        for caller in hop.callers.iter().filter(|caller| may_be(caller, Who::Caller)) {
            let literals = of_peer.iter().cloned().chain(of_id(terms, Who::Caller, caller));
            cubes.push(Cube {
                literals: literals.collect(),
                exceptions: Rc::clone(&exceptions),
            });
        }
    }
    cubes
}

/// What a target demands beside identity and path, and `None` where it cannot apply to this form.
fn demands(terms: &mut Terms, rule: &Rule, target: &Target, form: Form) -> Option<Vec<Literal>> {
    let mut literals = Vec::new();
    let wanted = Verdicts::that_apply(rule.effect);
    if rule.effect == Effect::Allow && form != Form::Request && target.paths.is_some() {
        return None;
    }
    if form == Form::Tunnel && rule.effect == Effect::Allow {
        // Only who names the method opens one.
        let mut methods = target.conditions.methods.iter().flatten();
        methods.find(|method| method.as_bytes() == CONNECT)?;
    }
    let of_when = of_when(&rule.when, rule.effect);
    let of_target = of_target(&target.conditions).into_iter();
    let all = of_target
        .map(|(aspect, demand)| (aspect, demand, wanted))
        .chain(of_when);
    for (aspect, demand, wanted) in all {
        match known(&aspect, form) {
            Known::AsItIs => {}
            // Of a tunnel the method has been looked at.
            Known::Named => continue,
            Known::OnlyWhereMet if rule.effect == Effect::Allow => {}
            Known::OnlyWhereMet => continue,
            Known::Never if rule.effect == Effect::Allow => return None,
            Known::Never => continue,
        }
        let (aspect, demand) = terms.vocabulary.demand(&aspect, &demand);
        literals.push(Literal::Demand { aspect, demand, wanted });
    }
    Some(literals)
}

/// How much is known of an aspect.
enum Known {
    AsItIs,
    /// By its name in the rule.
    Named,
    /// What would not be met may be met inside.
    OnlyWhereMet,
    Never,
}

fn known(aspect: &Aspect, form: Form) -> Known {
    match (form, aspect) {
        (Form::Request, _)
        | (Form::Tunnel, Aspect::Route | Aspect::Port | Aspect::Sni | Aspect::Source | Aspect::Time)
        | (Form::Connection, Aspect::Port | Aspect::Sni | Aspect::Source | Aspect::Time) => Known::AsItIs,
        (Form::Tunnel, Aspect::Method) => Known::Named,
        (Form::Tunnel, Aspect::Host) => Known::OnlyWhereMet,
        (Form::Tunnel, Aspect::Header(_))
        | (Form::Connection, Aspect::Method | Aspect::Route | Aspect::Host | Aspect::Header(_)) => Known::Never,
    }
}

/// Where each capture stands first.
#[derive(Debug, Default)]
struct Captures<'p>(Vec<(&'p str, Place)>);

impl<'p> Captures<'p> {
    /// That a capture is the same as where it stood before.
    fn literal(&mut self, name: &'p str, place: Place) -> Option<Literal> {
        match self.0.iter().find(|(known, _)| *known == name) {
            Some((_, first)) => Some(Literal::Same(*first, place)),
            None => {
                self.0.push((name, place));
                None
            }
        }
    }
}

/// The literals of a pattern without captures, of one of those on the way.
pub(crate) fn of_id(terms: &mut Terms, who: Who, pattern: &IdPattern) -> Vec<Literal> {
    of_id_capturing(terms, who, pattern, &mut Captures::default())
}

fn of_id_capturing<'p>(
    terms: &mut Terms,
    who: Who,
    pattern: &'p IdPattern,
    captures: &mut Captures<'p>,
) -> Vec<Literal> {
    let mut literals = vec![length(Space::Id(who), &pattern.segments)];
    if let Some(name) = pattern.trust_domain() {
        let symbol = terms.vocabulary.symbol(name.as_str());
        literals.push(Literal::Is(Place::trust_domain(who), symbol));
    }
    for (place, segment) in places(Space::Id(who), &pattern.segments) {
        literals.extend(match segment {
            SegmentPattern::Literal(text) => Some(Literal::Is(place, terms.vocabulary.symbol(text))),
            SegmentPattern::Any => None,
            SegmentPattern::Capture(name) => captures.literal(name, place),
        });
    }
    literals
}

/// `None` where no path so read matches it.
fn of_path<'p>(
    terms: &mut Terms,
    pattern: &'p PathPattern,
    reading: PathReading,
    captures: &mut Captures<'p>,
) -> Option<Vec<Literal>> {
    let is_lenient = reading == PathReading::Lenient;
    let mut literals = vec![length(Space::Path, &pattern.segments)];
    for (place, segment) in places(Space::Path, &pattern.segments) {
        literals.extend(match segment {
            // Only a path with an encoded slash has it, which is read in two ways.
            SegmentPattern::Literal(text) if !is_lenient && text.contains('/') => return None,
            SegmentPattern::Literal(text) => Some(Literal::Is(place, terms.vocabulary.symbol(text))),
            // A segment that is empty, which only a lenient reading has, is met by nothing but `**`.
            SegmentPattern::Any => is_lenient.then(|| Literal::IsNot(place, terms.vocabulary.symbol(""))),
            SegmentPattern::Capture(name) => captures.literal(name, place),
        });
    }
    Some(literals)
}

fn length(space: Space, segments: &Segments) -> Literal {
    let count = segments.list.len();
    Literal::Length {
        space,
        at_least: count,
        at_most: if segments.rest { MANY } else { count },
    }
}

fn places(space: Space, segments: &Segments) -> impl Iterator<Item = (Place, &SegmentPattern)> {
    let numbered = (1_usize..).zip(&segments.list);
    numbered.map(move |(number, segment)| (Place { space, number }, segment))
}
