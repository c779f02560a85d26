//! What may it do?
//!
//! Rules as they lie in memory, what one identity may ever do, and the decision on one request.

pub(crate) mod condition;
pub(crate) mod cost;
pub(crate) mod decide;
pub(crate) mod decision;
pub(crate) mod effect;
pub(crate) mod grants;
pub(crate) mod header;
pub(crate) mod hop;
pub(crate) mod reading;
pub(crate) mod request;
pub(crate) mod rule;
pub(crate) mod rule_set;
pub(crate) mod schedule;
mod tally;
pub(crate) mod until;
pub(crate) mod verdict;
pub(crate) mod way;
