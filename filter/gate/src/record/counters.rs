//! What was decided, for those who run the gate: counters, access-log fields, log lines.
//!
//! Counters are kept here and handed over on the tick, because a call into the proxy costs as much as a decision.
//! Nothing that a peer wrote is shown unless it was checked: an id is, a path or a header's value is not shown at all.
//! The issuer that an unknown certificate names is the exception, for there is no other way to find it: escaped, cut
//! and said to be claimed.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use svidgate_policy::{Effect, Reason};

use crate::{
    clock::is_over,
    proxy::{Level, Proxy},
    record::{
        decision::{Circumstances, Outcome, Record},
        line,
    },
    stage::Stage,
};

/// The name of the filter state; `%FILTER_STATE(wasm.svidgate:PLAIN)%` prints it.
pub const FILTER_STATE: &str = "svidgate";
/// Most lines for refusals in [`LINES_PERIOD`]. Our decision: enough to see what goes on, too few to fill a disk.
pub const MAX_LINES: u32 = 10;
/// Every plugin of a worker ticks, and any number of listeners may have one; so lines go by the clock, not by ticks.
pub const LINES_PERIOD: SignedDuration = SignedDuration::from_secs(1);

/// The records of one worker.
#[derive(Debug, Default)]
pub struct Records {
    counts: BTreeMap<(Stage, Outcome, Reason), u64>,
    counters: BTreeMap<(Stage, Outcome, Reason), u32>,
    /// Of what hops have brought, by their names.
    brought: BTreeMap<Box<str>, BTreeMap<Outcome, u64>>,
    lines: u32,
    suppressed: u64,
    /// When refusals were last given new lines.
    renewed: Timestamp,
}

impl Records {
    /// Counts a decision.
    pub fn count(&mut self, record: &Record<'_>) {
        if let Some(hop) = record.hop() {
            self.count_brought(hop, record.outcome());
        }
        let mut add = |outcome| {
            let count = self
                .counts
                .entry((record.stage, outcome, record.decision.reason))
                .or_default();
            *count = count.saturating_add(1);
        };
        add(record.outcome());
        match record.decision.dry_run.map(|would| would.effect) {
            Some(Effect::Allow) => add(Outcome::WouldAllow),
            Some(Effect::Deny) => add(Outcome::WouldDeny),
            None if record.decision.would_be_is_unknown => add(Outcome::WouldUnknown),
            None => {}
        }
    }

    fn count_brought(&mut self, hop: &str, outcome: Outcome) {
        if !self.brought.contains_key(hop) {
            self.brought.insert(hop.into(), BTreeMap::new());
        }
        if let Some(counts) = self.brought.get_mut(hop) {
            let count = counts.entry(outcome).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// Writes the access-log field of the connection or stream being served.
    pub fn show<P: Proxy>(proxy: &P, record: &Record<'_>) {
        // A proxy that cannot take it has the counters and the log.
        let _ = proxy.note(FILTER_STATE, record.json().as_bytes());
    }

    /// Whether a refusal may have a line of its own. Asked before anything is gathered for it.
    pub fn may_log(&mut self) -> bool {
        if self.lines >= MAX_LINES {
            self.suppressed = self.suppressed.saturating_add(1);
            return false;
        }
        self.lines = self.lines.saturating_add(1);
        true
    }

    /// Writes the line of a refusal.
    pub fn log<P: Proxy>(proxy: &P, record: &Record<'_>, circumstances: &Circumstances) {
        proxy.log(Level::Warn, &line::of(record, circumstances));
    }

    /// Hands counters over to the proxy and, where it is time, gives refusals new lines.
    pub fn flush<P: Proxy>(&mut self, proxy: &P, now: Timestamp) {
        for (key, count) in std::mem::take(&mut self.counts) {
            if !self.hand_over(proxy, key, count) {
                // Kept for the next tick.
                self.counts.insert(key, count);
            }
        }
        for (hop, counts) in std::mem::take(&mut self.brought) {
            for (outcome, count) in counts {
                let name = format!("svidgate.brought_total.{}.{hop}", outcome.as_str());
                let counter = proxy.define_counter(&name);
                // A proxy that cannot count has the log.
                let _ = counter.and_then(|counter| proxy.add_to_counter(counter, count));
            }
        }
        if let Some(suppressed @ 1..) = self.renew(now) {
            proxy.log(
                Level::Warn,
                &format!("svidgate: {suppressed} more refusals without a line of their own"),
            );
        }
    }

    /// Gives refusals new lines where the last ones are old enough, and tells how many had none since.
    fn renew(&mut self, now: Timestamp) -> Option<u64> {
        if !is_over(LINES_PERIOD, self.renewed, now) {
            return None;
        }
        (self.lines, self.renewed) = (0, now);
        Some(std::mem::take(&mut self.suppressed))
    }

    fn hand_over<P: Proxy>(&mut self, proxy: &P, key: (Stage, Outcome, Reason), count: u64) -> bool {
        let (stage, outcome, reason) = key;
        let known = self.counters.get(&key).copied();
        let defined = || {
            let name = format!(
                "svidgate.decisions_total.{}.{}.{reason}",
                stage.as_str(),
                outcome.as_str()
            );
            proxy.define_counter(&name).ok()
        };
        let Some(counter) = known.or_else(defined) else {
            return false;
        };
        self.counters.insert(key, counter);
        proxy.add_to_counter(counter, count).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::{LINES_PERIOD, MAX_LINES, Records};
    use jiff::{SignedDuration, Timestamp};

    #[test]
    fn lines_are_renewed_by_the_clock_however_many_plugins_tick() {
        let mut records = Records::default();
        let start = Timestamp::constant(1_781_524_800, 0);
        records.renew(start);
        let mut own = 0;
        for tick in 0..20 {
            own += (0..100).filter(|_| records.may_log()).count();
            assert_eq!(records.renew(start + SignedDuration::from_millis(tick * 49)), None);
        }
        assert_eq!(own, usize::try_from(MAX_LINES).unwrap());
        assert_eq!(records.renew(start + LINES_PERIOD), Some(1990));
        assert!(records.may_log());
        assert_eq!(records.renew(start - LINES_PERIOD), Some(0), "the clock was set back");
    }
}
