//! The command, as a shell sees it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets the unexpected must stop"
)]

mod bundles;
mod carriers;
mod command;
mod diff;
mod explain;
mod hostile;
mod known;
mod lints;
mod places;
mod stage;
mod suppressions;
mod testing;
mod via;
