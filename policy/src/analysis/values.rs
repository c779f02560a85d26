//! Is there a value with which all of these demands come out as wanted?
//!
//! For each aspect there is a list of values such that, whatever can be seen of any value by the demands, can be seen of
//! one in the list. Each is judged as a gate judges it. Where no list can be that complete (regular expressions, lists
//! within one header), the answer may be that it is not known, and never that there is none.

mod address;
mod header;
mod host;
mod listed;
mod sample;
mod time;

use jiff::Timestamp;

use crate::analysis::demand::{Aspect, Demand, Value, Verdicts};

/// A moment and all that follow, up to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Span {
    pub(crate) from: Timestamp,
    /// Not any more at this moment.
    pub(crate) until: Option<Timestamp>,
}

impl Span {
    pub(crate) fn is_empty(self) -> bool {
        self.until.is_some_and(|until| until <= self.from)
    }
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Value(Value),
    /// There is none.
    None,
    /// There may be one.
    Unknown,
}

impl Found {
    /// The first that meets all demands, of a list that leaves nothing out.
    fn first(values: impl Iterator<Item = Value>, demands: &[(&Demand, Verdicts)]) -> Self {
        let mut values = values;
        values
            .find(|value| value.meets(demands))
            .map_or(Self::None, Self::Value)
    }
}

/// Looks for a value of an aspect.
pub(crate) fn find(aspect: &Aspect, demands: &[(&Demand, Verdicts)], span: Span) -> Found {
    match aspect {
        Aspect::Method => Found::first(listed::methods(demands).into_iter(), demands),
        Aspect::Route => Found::first(listed::routes(demands).into_iter(), demands),
        Aspect::Port => Found::first(listed::ports(demands).into_iter(), demands),
        Aspect::Host => host::find(demands, Value::Host, |conditions| conditions.hosts.as_deref()),
        Aspect::Sni => host::find(demands, Value::Sni, |conditions| conditions.sni.as_deref()),
        Aspect::Source => Found::first(address::addresses(demands).into_iter(), demands),
        Aspect::Time => Found::first(time::times(demands, span).into_iter(), demands),
        Aspect::Header(_) => header::find(demands),
    }
}

/// A text that is none of those taken, and begins as a reader would write it.
fn fresh<'t>(begin: &str, is_taken: impl Fn(&str) -> bool + 't) -> String {
    let mut text = begin.to_owned();
    let mut number: u32 = 1;
    while is_taken(&text) {
        number = number.saturating_add(1);
        text = format!("{begin}{number}");
    }
    text
}
