//! What is known of those on a way, a request and a moment so far, and does it hang together?
//!
//! Segments that are the same form a class, which may be a text and may not be others. There are more texts than any
//! document names, so a class without a text always has one that is free, and all that can go wrong is seen when a
//! literal is added: congruence of constants is complete for this.

use jiff::Timestamp;

use crate::{
    analysis::{
        demand::Verdicts,
        literal::{Literal, Place, Space},
        manner::Who,
        terms::{Terms, Wanted},
        values::{Found, Span},
        vocabulary::{AspectId, DemandId, Symbol},
    },
    name::id::check_segment,
};

/// What is known so far.
#[derive(Clone, Debug)]
pub(crate) struct Branch {
    caller: (usize, usize),
    hop: (usize, usize),
    path: (usize, usize),
    places: Vec<(Place, usize)>,
    classes: Vec<Class>,
    pub(crate) wanted: Vec<(AspectId, Wanted)>,
    pub(crate) span: Span,
}

/// Segments that are the same.
#[derive(Clone, Debug, Default)]
struct Class {
    text: Option<Symbol>,
    not: Vec<Symbol>,
    apart: Vec<usize>,
    /// Whether one of them is a segment of an id, which few texts may be.
    is_of_id: bool,
}

impl Branch {
    /// Anything from a moment on.
    pub(crate) fn new(span: Span) -> Self {
        Self {
            // A leaf's id has a path.
            caller: (1, usize::MAX),
            hop: (1, usize::MAX),
            path: (0, usize::MAX),
            places: Vec::new(),
            classes: Vec::new(),
            wanted: Vec::new(),
            span,
        }
    }

    pub(crate) fn length(&self, space: Space) -> (usize, usize) {
        match space {
            Space::Id(Who::Caller) => self.caller,
            Space::Id(Who::Hop) => self.hop,
            Space::Path => self.path,
        }
    }

    fn length_mut(&mut self, space: Space) -> &mut (usize, usize) {
        match space {
            Space::Id(Who::Caller) => &mut self.caller,
            Space::Id(Who::Hop) => &mut self.hop,
            Space::Path => &mut self.path,
        }
    }

    fn class_of(&self, place: Place) -> Option<usize> {
        let found = self.places.binary_search_by_key(&place, |(place, _)| *place).ok()?;
        self.places.get(found).map(|(_, class)| *class)
    }

    fn class(&self, place: Place) -> Option<&Class> {
        self.classes.get(self.class_of(place)?)
    }

    /// The text of a segment, where it is known.
    pub(crate) fn text(&self, place: Place) -> Option<Symbol> {
        self.class(place)?.text
    }

    /// What a segment is known not to be.
    pub(crate) fn not(&self, place: Place) -> &[Symbol] {
        self.class(place).map_or(&[], |class| class.not.as_slice())
    }

    /// The number of those that are the same as a segment, where anything is known of it.
    pub(crate) fn group(&self, place: Place) -> Option<usize> {
        self.class_of(place)
    }

    /// All segments of which anything is known.
    pub(crate) fn known(&self) -> impl Iterator<Item = (Place, usize)> {
        self.places.iter().copied()
    }

    fn may_exist(&self, place: Place) -> bool {
        place.number <= self.length(place.space).1
    }

    /// Whether a literal holds, as far as is known.
    pub(crate) fn truth(&self, literal: &Literal, terms: &mut Terms) -> Option<bool> {
        match literal {
            Literal::Length {
                space,
                at_least,
                at_most,
            } => {
                let (least, most) = self.length(*space);
                if most < *at_least || *at_most < least {
                    Some(false)
                } else {
                    (*at_least <= least && most <= *at_most).then_some(true)
                }
            }
            Literal::Is(place, symbol) => self.is(*place, *symbol, terms),
            Literal::IsNot(place, symbol) if self.may_exist(*place) => self.is(*place, *symbol, terms).map(|is| !is),
            Literal::Same(one, two) => self.are_same(*one, *two, terms),
            Literal::Differ(one, two) if self.may_exist(*one) && self.may_exist(*two) => {
                self.are_same(*one, *two, terms).map(|same| !same)
            }
            Literal::IsNot(..) | Literal::Differ(..) => Some(false),
            Literal::Demand { aspect, demand, wanted } => {
                let known = self.verdicts(*aspect, *demand);
                if known.and(*wanted).is_empty() {
                    Some(false)
                } else if known.and(wanted.others()).is_empty() {
                    Some(true)
                } else {
                    self.truth_by_values(*aspect, *demand, *wanted, terms)
                }
            }
            Literal::Before(end) => self.is_before(*end),
            Literal::From(end) => self.is_before(*end).map(|is| !is),
        }
    }

    fn is_before(&self, end: Timestamp) -> Option<bool> {
        if end <= self.span.from {
            Some(false)
        } else {
            self.span.until.is_some_and(|until| until <= end).then_some(true)
        }
    }

    fn is(&self, place: Place, symbol: Symbol, terms: &Terms) -> Option<bool> {
        if !self.may_exist(place) {
            return Some(false);
        }
        let class = self.class(place)?;
        match class.text {
            Some(text) => Some(text == symbol),
            None if class.not.contains(&symbol) || (class.is_of_id && !may_be_in_id(symbol, terms)) => Some(false),
            None => None,
        }
    }

    fn are_same(&self, one: Place, two: Place, terms: &Terms) -> Option<bool> {
        if !self.may_exist(one) || !self.may_exist(two) {
            return Some(false);
        }
        let (number, other) = (self.class_of(one)?, self.class_of(two)?);
        if number == other {
            return Some(true);
        }
        let (class, with) = (self.classes.get(number)?, self.classes.get(other)?);
        let is_barred =
            |text: Symbol, from: &Class| from.not.contains(&text) || (from.is_of_id && !may_be_in_id(text, terms));
        match (class.text, with.text) {
            (Some(text), Some(other)) => Some(text == other),
            (Some(text), None) if is_barred(text, with) => Some(false),
            (None, Some(text)) if is_barred(text, class) => Some(false),
            (None, None) if class.apart.contains(&other) => Some(false),
            (Some(_), None) | (None, Some(_) | None) => None,
        }
    }

    fn verdicts(&self, aspect: AspectId, demand: DemandId) -> Verdicts {
        let wanted = self.wanted.iter().find(|(known, _)| *known == aspect);
        let known = wanted.and_then(|(_, wanted)| wanted.iter().find(|(known, _)| *known == demand));
        known.map_or(Verdicts::ALL, |(_, verdicts)| *verdicts)
    }

    fn truth_by_values(&self, aspect: AspectId, demand: DemandId, wanted: Verdicts, terms: &mut Terms) -> Option<bool> {
        let mut find = |verdicts| {
            let (_, wanted) = self.with_verdicts(aspect, demand, verdicts);
            terms.find(aspect, &wanted, self.span)
        };
        if find(wanted) == Found::None {
            Some(false)
        } else {
            (find(wanted.others()) == Found::None).then_some(true)
        }
    }

    /// What is wanted of an aspect, with one demand more. And which demands are there: none, if they cannot be met.
    fn with_verdicts(&self, aspect: AspectId, demand: DemandId, verdicts: Verdicts) -> (Verdicts, Wanted) {
        let known = self.wanted.iter().find(|(known, _)| *known == aspect);
        let mut wanted = known.map(|(_, wanted)| wanted.clone()).unwrap_or_default();
        match wanted.binary_search_by_key(&demand, |(known, _)| *known) {
            Ok(found) => {
                let Some((_, known)) = wanted.get_mut(found) else {
                    return (Verdicts::ALL, wanted);
                };
                *known = known.and(verdicts);
                (*known, wanted)
            }
            Err(place) => {
                wanted.insert(place, (demand, verdicts));
                (verdicts, wanted)
            }
        }
    }

    /// Adds a literal; `false` where it cannot hold beside what is known.
    pub(crate) fn add(&mut self, literal: &Literal, terms: &mut Terms) -> bool {
        match literal {
            Literal::Length {
                space,
                at_least,
                at_most,
            } => {
                let (least, most) = self.length_mut(*space);
                *least = (*least).max(*at_least);
                *most = (*most).min(*at_most);
                least <= most
            }
            Literal::Is(place, symbol) => {
                let class = self.class_made(*place);
                self.set_text(class, *symbol, terms)
            }
            Literal::IsNot(place, symbol) => {
                let class = self.class_made(*place);
                self.bar(class, *symbol)
            }
            Literal::Same(one, two) => {
                let (one, two) = (self.class_made(*one), self.class_made(*two));
                self.unite(one, two, terms)
            }
            Literal::Differ(one, two) => {
                let (one, two) = (self.class_made(*one), self.class_made(*two));
                self.part(one, two)
            }
            Literal::Demand { aspect, demand, wanted } => {
                let (verdicts, wanted) = self.with_verdicts(*aspect, *demand, *wanted);
                if verdicts.is_empty() {
                    return false;
                }
                let found = terms.find(*aspect, &wanted, self.span);
                match self.wanted.iter_mut().find(|(known, _)| known == aspect) {
                    Some((_, known)) => *known = wanted,
                    None => self.wanted.push((*aspect, wanted)),
                }
                found != Found::None
            }
            Literal::Before(end) => {
                self.span.until = Some(self.span.until.map_or(*end, |until| until.min(*end)));
                self.has_time(terms)
            }
            Literal::From(begin) => {
                self.span.from = self.span.from.max(*begin);
                self.has_time(terms)
            }
        }
    }

    pub(crate) fn add_all(&mut self, literals: &[Literal], terms: &mut Terms) -> bool {
        literals.iter().all(|literal| self.add(literal, terms))
    }

    /// Whether windows still meet what is left of time.
    fn has_time(&self, terms: &mut Terms) -> bool {
        let mut wanted = self.wanted.iter();
        !self.span.is_empty() && wanted.all(|(aspect, wanted)| terms.find(*aspect, wanted, self.span) != Found::None)
    }

    fn class_made(&mut self, place: Place) -> usize {
        match self.places.binary_search_by_key(&place, |(place, _)| *place) {
            Ok(found) => self.places.get(found).map_or(usize::MAX, |(_, class)| *class),
            Err(at) => {
                let class = self.classes.len();
                self.classes.push(Class {
                    is_of_id: place.is_segment_of_id(),
                    ..Class::default()
                });
                self.places.insert(at, (place, class));
                class
            }
        }
    }

    fn set_text(&mut self, number: usize, symbol: Symbol, terms: &Terms) -> bool {
        let Some(class) = self.classes.get_mut(number) else {
            return false;
        };
        if let Some(known) = class.text {
            return known == symbol;
        }
        if class.not.contains(&symbol) || (class.is_of_id && !may_be_in_id(symbol, terms)) {
            return false;
        }
        class.text = Some(symbol);
        let apart = class.apart.clone();
        apart.into_iter().all(|other| self.bar(other, symbol))
    }

    fn bar(&mut self, number: usize, symbol: Symbol) -> bool {
        let Some(class) = self.classes.get_mut(number) else {
            return false;
        };
        if class.text == Some(symbol) {
            return false;
        }
        if !class.not.contains(&symbol) {
            class.not.push(symbol);
        }
        true
    }

    fn part(&mut self, one: usize, two: usize) -> bool {
        if one == two {
            return false;
        }
        for (number, other) in [(one, two), (two, one)] {
            if let Some(class) = self.classes.get_mut(number)
                && !class.apart.contains(&other)
            {
                class.apart.push(other);
            }
        }
        let text = |number: usize| self.classes.get(number).and_then(|class| class.text);
        let (text_of_one, text_of_two) = (text(one), text(two));
        text_of_one.is_none_or(|text| self.bar(two, text)) && text_of_two.is_none_or(|text| self.bar(one, text))
    }

    fn unite(&mut self, one: usize, two: usize, terms: &Terms) -> bool {
        if one == two {
            return true;
        }
        let Some(gone) = self.classes.get(two).cloned() else {
            return false;
        };
        if gone.apart.contains(&one) {
            return false;
        }
        for (_, class) in &mut self.places {
            if *class == two {
                *class = one;
            }
        }
        let Some(class) = self.classes.get_mut(one) else {
            return false;
        };
        class.is_of_id |= gone.is_of_id;
        let text = class.text;
        // Those that are apart from the one that is gone are apart from what it is now.
        if let Some(text) = text
            && class.is_of_id
            && !may_be_in_id(text, terms)
        {
            return false;
        }
        gone.apart.into_iter().all(|other| self.part(one, other))
            && gone.not.into_iter().all(|symbol| self.bar(one, symbol))
            && gone.text.is_none_or(|text| self.set_text(one, text, terms))
    }
}

fn may_be_in_id(symbol: Symbol, terms: &Terms) -> bool {
    check_segment(terms.vocabulary.text(symbol).as_bytes()).is_ok()
}
