//! The contract of the crate, from outside: documents that compile or say what is wrong, and decisions.
//!
//! What is said by example lies in `vectors/`, as data. What is said in general is compared with [`reference`], a naive
//! evaluator that shares nothing with the crate.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets the unexpected must stop"
)]

mod allocation;
mod bounds;
mod cost;
mod decisions;
mod documents;
mod reference;
mod vectors;
