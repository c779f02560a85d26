//! Connections that are being held: the handshake may be done, no byte has come yet.
//!
//! A hold has no end of its own. A client that finishes the handshake and stays silent would keep a connection and its
//! context for ever, so each hold has a deadline that the tick looks after. The set must be exact: a call for a context
//! that is gone would act on the root instead.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

/// The held connections of one plugin on one worker, by context.
#[derive(Debug, Default)]
pub struct Held(BTreeMap<u32, Timestamp>);

impl Held {
    /// Begins a hold.
    pub fn begin(&mut self, context: u32, now: Timestamp, limit: SignedDuration) {
        self.0.insert(context, now.checked_add(limit).unwrap_or(now));
    }

    /// Ends a hold, however it ended.
    pub fn end(&mut self, context: u32) {
        self.0.remove(&context);
    }

    /// Takes out those whose time is over.
    pub fn take_overdue(&mut self, now: Timestamp) -> Vec<u32> {
        let overdue: Vec<u32> = self
            .0
            .iter()
            .filter(|(_, deadline)| now >= **deadline)
            .map(|(context, _)| *context)
            .collect();
        overdue.iter().for_each(|context| self.end(*context));
        overdue
    }
}
