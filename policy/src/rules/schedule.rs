//! When may time alone change what rules say?
//!
//! Asked of every identity again and again, and at the edge of a window of all of them at once; so it costs a search in
//! what was put in order when the document was compiled, not a walk over its rules.

use jiff::{SignedDuration, Timestamp};

use crate::rules::condition::{DAY_MINUTES, When};

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// The moments at which rules end, or a window of theirs begins or ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Schedule {
    ends: Vec<Timestamp>,
    /// Minutes of the day, on whatever day.
    edges: Vec<u16>,
}

impl Schedule {
    pub(crate) fn add_end(&mut self, expires: Option<Timestamp>) {
        self.ends.extend(expires);
    }

    pub(crate) fn add(&mut self, expires: Option<Timestamp>, when: &When) {
        self.add_end(expires);
        let windows = [&when.time, &when.not_time].into_iter().flatten().flatten();
        let edges = windows.flat_map(|window| [window.from, window.until]);
        self.edges
            .extend(edges.map(|minute| minute.checked_rem(DAY_MINUTES).unwrap_or_default()));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty() && self.edges.is_empty()
    }

    /// Puts it in order, for [`Schedule::next_change`].
    pub(crate) fn sort(&mut self) {
        self.ends.sort_unstable();
        self.ends.dedup();
        self.ends.shrink_to_fit();
        self.edges.sort_unstable();
        self.edges.dedup();
        self.edges.shrink_to_fit();
    }

    /// The first of the moments after `now`.
    pub(crate) fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let end = self.ends.partition_point(|end| *end <= now);
        let end = self.ends.get(end).copied();
        end.into_iter().chain(self.next_edge(now)).min()
    }

    fn next_edge(&self, now: Timestamp) -> Option<Timestamp> {
        let second = now.as_second().rem_euclid(DAY_SECONDS);
        let at = |minute: &u16| i64::from(*minute).saturating_mul(60);
        let next = self.edges.partition_point(|minute| at(minute) <= second);
        let today = self.edges.get(next).map(at);
        let tomorrow = || self.edges.first().map(|minute| at(minute).saturating_add(DAY_SECONDS));
        let seconds = today.or_else(tomorrow)?.saturating_sub(second);
        let begun = Timestamp::from_second(now.as_second()).ok()?;
        begun.checked_add(SignedDuration::from_secs(seconds)).ok()
    }
}
