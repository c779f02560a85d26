//! How long it takes to verify who a new peer is, as the histogram `svidgate.verification_microseconds`.
//!
//! Only certificates that are met for the first time are measured: those that are remembered cost no signature. Reading
//! the clock once more is a small part of what is measured.

use std::cell::Cell;

use jiff::Timestamp;

use crate::proxy::{Proxy, ProxyError};

const HISTOGRAM: &str = "svidgate.verification_microseconds";

/// The measurements of one document.
#[derive(Debug, Default)]
pub struct Verifications {
    histogram: Cell<Option<u32>>,
}

impl Verifications {
    /// A verification that began at `start` is over.
    pub fn measure<P: Proxy>(&self, proxy: &P, start: Result<Timestamp, ProxyError>) {
        let (Ok(start), Ok(end)) = (start, proxy.now()) else {
            return;
        };
        // A clock that was set back in between has measured nothing.
        let Ok(microseconds) = u64::try_from(end.duration_since(start).as_micros()) else {
            return;
        };
        let defined = || proxy.define_histogram(HISTOGRAM).ok();
        let Some(histogram) = self.histogram.get().or_else(defined) else {
            return;
        };
        self.histogram.set(Some(histogram));
        // A proxy that cannot take it lets the peer in all the same.
        let _ = proxy.add_to_histogram(histogram, microseconds);
    }
}
