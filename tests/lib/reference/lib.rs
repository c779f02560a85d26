//! What a document means, told once more and naively, and what the crate makes of it, in the same words.
//!
//! [`evaluator`] reads the JSON of the document anew for every request, rule by rule, as the contract says it in prose.
//! It shares nothing with the crate but the clock's type.

pub mod compiled;
pub mod evaluator;
pub mod identity;
