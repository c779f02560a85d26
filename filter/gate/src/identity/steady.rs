//! When does time next change what somebody may do?

use std::cell::Cell;

use jiff::Timestamp;
use svidgate_policy::Grants;

/// Between which two moments time changes nothing about grants. There may be thousands of rules with times.
#[derive(Debug, Default)]
pub(super) struct Steady(Cell<Option<(Timestamp, Timestamp)>>);

impl Steady {
    /// The first moment after `now` at which time alone may change them. These are the only ones that it is asked about.
    pub(super) fn next_change(&self, grants: &Grants, now: Timestamp) -> Timestamp {
        if let Some((since, until)) = self.0.get()
            && since <= now
            && now < until
        {
            return until;
        }
        let until = grants.next_change(now).unwrap_or(Timestamp::MAX);
        self.0.set(Some((now, until)));
        until
    }
}
