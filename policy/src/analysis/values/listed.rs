//! Methods, routes and ports: what some demand names, and one that none does.

use crate::{
    analysis::{
        demand::{Demand, Value, Verdicts},
        values::found::fresh,
    },
    rules::condition::Conditions,
};

/// What people ask with most, so that an example is one of these where it can be.
const USUAL: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"];

fn named<'d, T: 'd>(
    demands: &[(&'d Demand, Verdicts)],
    list: impl Fn(&'d Conditions) -> Option<&'d [T]>,
) -> Vec<&'d T> {
    let conditions = demands.iter().filter_map(|(demand, _)| demand.target());
    conditions.filter_map(list).flatten().collect()
}

/// A method in another case than a rule has it is neither that method nor another.
pub(super) fn methods(demands: &[(&Demand, Verdicts)]) -> Vec<Value> {
    let named = named(demands, |conditions| conditions.methods.as_deref());
    let usual = USUAL.into_iter().map(str::to_owned);
    let in_other_case = named.iter().map(|method| method.to_ascii_lowercase());
    let is_taken = |text: &str| named.iter().any(|method| method.eq_ignore_ascii_case(text));
    let other = fresh("OTHER", is_taken);
    usual
        .chain(named.iter().map(|method| method.to_string()))
        .chain([other])
        .chain(in_other_case)
        .map(Value::Method)
        .collect()
}

/// A route without a name is one that no rule means.
pub(super) fn routes(demands: &[(&Demand, Verdicts)]) -> Vec<Value> {
    let named = named(demands, |conditions| conditions.routes.as_deref());
    let texts = named.iter().map(|route| Some(route.to_string()));
    texts.chain([Some(String::new()), None]).map(Value::Route).collect()
}

pub(super) fn ports(demands: &[(&Demand, Verdicts)]) -> Vec<Value> {
    let mut named = named(demands, |conditions| conditions.ports.as_deref());
    named.sort_unstable();
    // The usual ones first.
    let mut any = [8443, 443, 80].into_iter().chain(1..=u16::MAX);
    let other = any.find(|port| named.binary_search(&port).is_err());
    let named = named.iter().map(|port| Some(**port));
    let known = named.chain(other.map(Some));
    known.chain([None]).map(Value::Port).collect()
}
