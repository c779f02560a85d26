//! The filter against a double of the proxy: what it asks of the proxy, how often, and what it does with odd answers.

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

mod anonymous;
mod client_certs;
mod cuts;
mod double;
mod far_hops;
mod hints;
mod holdings;
mod hops;
mod listeners;
mod many_streams;
mod memory;
mod names;
mod odd_proxies;
mod peer_origin;
mod policy_version;
mod sequences;
mod shared;
mod sources;
mod succession;
mod ticks;
mod tokens;
mod told;
mod unproven;
mod warm_path;
mod watch;
mod workers;
mod workload_api;
