//! What documents come to, held against what gates decide about many requests.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that meets the unexpected must stop"
)]

mod brute;
mod dice;
mod differential;
mod generator;
