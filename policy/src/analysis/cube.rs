//! What does one rule say through one of its `from` and one of its paths?
//!
//! A *cube*: all of its literals hold, and none of its exceptions. A rule applies where one of its cubes holds.

use std::rc::Rc;

use crate::{
    analysis::{
        demand::{Aspect, Verdicts, of_target, of_when},
        literal::{Literal, MANY, Place, Space},
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
        reading::CONNECT,
        rule::{Rule, Target},
    },
};

/// In which form something is asked for. What is known of it differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Form {
    /// One reading of an HTTP request.
    Request,
    /// A request that opens a tunnel, of whose inside no method, path or header is known.
    Tunnel,
    /// A connection of a TCP listener, of which nothing of HTTP is known.
    Connection,
}

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

/// How paths are read where a rule is taken apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reads {
    pub(crate) form: Form,
    pub(crate) paths: PathReading,
}

/// The cubes of a rule through one of its `from` that open paths with an encoded slash, of any path.
pub(crate) fn opening(terms: &mut Terms, rule: &Rule, from: &IdPattern, reads: Reads) -> Vec<Cube> {
    let mut rule = rule.clone();
    rule.to.retain(|target| target.conditions.encoded_slashes);
    rule.to.iter_mut().for_each(|target| target.paths = None);
    cubes(terms, &rule, from, reads)
}

/// All cubes of a rule through one of its `from`.
pub(crate) fn cubes(terms: &mut Terms, rule: &Rule, from: &IdPattern, reads: Reads) -> Vec<Cube> {
    let exceptions: Rc<[Vec<Literal>]> = rule.except.iter().map(|except| of_id(terms, except)).collect();
    let mut cubes = Vec::new();
    for target in &rule.to {
        let Some(demands) = demands(terms, rule, target, reads.form) else {
            continue;
        };
        let patterns: Vec<Option<&PathPattern>> = match (&target.paths, reads.form) {
            (Some(paths), Form::Request) => paths.iter().map(Some).collect(),
            (None, _) | (Some(_), Form::Tunnel | Form::Connection) => vec![None],
        };
        for path in patterns {
            let mut captures = Captures::default();
            let mut literals = of_id_capturing(terms, from, &mut captures);
            if let Some(path) = path {
                let Some(of_path) = of_path(terms, path, reads.paths, &mut captures) else {
                    continue;
                };
                literals.extend(of_path);
            }
            literals.extend(demands.iter().cloned());
            literals.extend(rule.expires.map(Literal::Before));
            let exceptions = Rc::clone(&exceptions);
            cubes.push(Cube { literals, exceptions });
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

/// The literals of a pattern without captures.
pub(crate) fn of_id(terms: &mut Terms, pattern: &IdPattern) -> Vec<Literal> {
    of_id_capturing(terms, pattern, &mut Captures::default())
}

fn of_id_capturing<'p>(terms: &mut Terms, pattern: &'p IdPattern, captures: &mut Captures<'p>) -> Vec<Literal> {
    let mut literals = vec![length(Space::Id, &pattern.segments)];
    if let Some(name) = pattern.trust_domain() {
        literals.push(Literal::Is(Place::TRUST_DOMAIN, terms.vocabulary.symbol(name.as_str())));
    }
    for (place, segment) in places(Space::Id, &pattern.segments) {
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
