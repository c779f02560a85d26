//! The harness itself works, without the module under test.

mod bundle_endpoint;
mod envoy;
mod workload_api;

use std::time::{Duration, Instant};

use support::client::PATIENCE;

/// Waits until `holds`.
///
/// # Panics
/// When it never does.
async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
