//! Two policies beside each other: which, what differs beyond what is expected, and how that is told.

pub mod expected;
pub mod findings;
pub mod json;
pub mod pair;
pub mod text;
pub mod verdict;
