//! What `guard` makes of configurations: those of `envoy/`, and those that control planes make.

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

mod command;
mod doors;
mod doubts;
mod examples;
mod shapes;
mod stands_on;
