//! What documents come to, held against what gates decide about many requests.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets the unexpected must stop"
)]

mod brute;
mod dice;
mod differential;
mod expected;
mod generator;
mod hops;
mod planted;
mod questions;
mod useless;
