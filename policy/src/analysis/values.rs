//! Is there a value with which all of these demands come out as wanted?
//!
//! For each aspect there is a list of values such that, whatever can be seen of any value by the demands, can be seen of
//! one in the list. Each is judged as a gate judges it. Where no list can be that complete (regular expressions, lists
//! within one header), the answer may be that it is not known, and never that there is none.

mod address;
mod found;
mod header;
mod host;
mod listed;
mod sample;
mod span;
mod time;

pub(crate) use self::{found::Found, span::Span};
use crate::analysis::demand::{Aspect, Demand, Value, Verdicts};

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
