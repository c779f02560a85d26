//! The texts and demands that several documents have in common, by number.

use hashbrown::HashMap;

use crate::analysis::demand::{Aspect, Demand};

/// A segment, or the name of a trust domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Symbol(u32);

/// A demand on an aspect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct DemandId(u32);

/// An aspect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct AspectId(u32);

/// Things by number, and numbers by thing.
#[derive(Debug)]
struct Table<T> {
    list: Vec<T>,
    numbers: HashMap<T, u32>,
}

impl<T: Clone + Eq + std::hash::Hash> Table<T> {
    fn new() -> Self {
        Self {
            list: Vec::new(),
            numbers: HashMap::new(),
        }
    }

    fn number<Q>(&mut self, thing: &Q) -> u32
    where
        Q: ?Sized + std::hash::Hash + hashbrown::Equivalent<T> + ToOwned<Owned = T>,
        T: std::borrow::Borrow<Q>,
    {
        if let Some(number) = self.numbers.get(thing) {
            return *number;
        }
        // As many do not fit into the bounds of documents.
        let number = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        self.list.push(thing.to_owned());
        self.numbers.insert(thing.to_owned(), number);
        number
    }

    fn thing(&self, number: u32) -> Option<&T> {
        self.list.get(usize::try_from(number).ok()?)
    }
}

/// What there is to speak of.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    texts: Table<String>,
    demands: Table<Demand>,
    aspects: Table<Aspect>,
}

impl Vocabulary {
    pub(crate) fn new() -> Self {
        Self {
            texts: Table::new(),
            demands: Table::new(),
            aspects: Table::new(),
        }
    }

    pub(crate) fn symbol(&mut self, text: &str) -> Symbol {
        Symbol(self.texts.number(text))
    }

    pub(crate) fn text(&self, symbol: Symbol) -> &str {
        self.texts.thing(symbol.0).map_or("", String::as_str)
    }

    pub(crate) fn demand(&mut self, aspect: &Aspect, demand: &Demand) -> (AspectId, DemandId) {
        (
            AspectId(self.aspects.number(aspect)),
            DemandId(self.demands.number(demand)),
        )
    }

    pub(crate) fn aspect(&self, id: AspectId) -> Option<&Aspect> {
        self.aspects.thing(id.0)
    }

    pub(crate) fn demanded(&self, id: DemandId) -> Option<&Demand> {
        self.demands.thing(id.0)
    }
}
