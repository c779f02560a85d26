//! What was decided, for those who run the gate: counters, access-log fields, log lines.
//!
//! Counters are kept in the VM and handed over on the tick, because a call into the proxy costs as much as a decision.
//! Nothing that a peer wrote is shown unless it was checked: an id is, a path or a header's value is not shown at all.

use std::{collections::BTreeMap, fmt::Write as _};

use jiff::{SignedDuration, Timestamp};
use svidgate_policy::{Decision, Effect, Reason, SpiffeId};

use crate::host::{Host, Level};

/// The name of the filter state; `%FILTER_STATE(wasm.svidgate:PLAIN)%` prints it.
pub const FILTER_STATE: &str = "svidgate";
/// Most lines for refusals in [`LINES_PERIOD`]. Our decision: enough to see what goes on, too few to fill a disk.
pub const MAX_LINES: u32 = 10;
/// Every plugin of a worker ticks, and any number of listeners may have one; so lines go by the clock, not by ticks.
pub const LINES_PERIOD: SignedDuration = SignedDuration::from_secs(1);

/// Which filter decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The network filter.
    Connection,
    /// The HTTP filter.
    Request,
}

impl Stage {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Request => "request",
        }
    }
}

/// What came of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Allow,
    Deny,
    /// Denied by a document that is in a dry run: it passed.
    DryRun,
    /// A rule in a dry run would have allowed it.
    WouldAllow,
    /// A rule in a dry run would have denied it.
    WouldDeny,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::DryRun => "dry_run",
            Self::WouldAllow => "would_allow",
            Self::WouldDeny => "would_deny",
        }
    }
}

/// One decision, to be recorded.
pub struct Entry<'a> {
    /// Where.
    pub stage: Stage,
    /// Who, where verified.
    pub id: Option<&'a SpiffeId>,
    /// What.
    pub decision: Decision<'a>,
    /// Whether a refusal was carried out.
    pub enforced: bool,
}

impl Entry<'_> {
    fn outcome(&self) -> Outcome {
        match (self.decision.effect, self.enforced) {
            (Effect::Allow, _) => Outcome::Allow,
            (Effect::Deny, true) => Outcome::Deny,
            (Effect::Deny, false) => Outcome::DryRun,
        }
    }

    /// One short JSON object. No part of it needs escaping: ids and rule names have no such characters.
    fn json(&self) -> String {
        let mut json = String::with_capacity(160);
        json.push('{');
        if let Some(id) = self.id {
            let _ = write!(json, r#""id":"{id}","#);
        }
        let _ = write!(
            json,
            r#""decision":"{}","reason":"{}""#,
            self.decision.effect.as_str(),
            self.decision.reason
        );
        if let Some(rule) = self.decision.rule {
            let _ = write!(json, r#","rule":"{rule}""#);
        }
        if self.outcome() == Outcome::DryRun {
            json.push_str(r#","dry_run":true"#);
        }
        if let Some(would) = self.decision.dry_run {
            let _ = write!(
                json,
                r#","would_be":"{}","would_be_rule":"{}""#,
                would.effect.as_str(),
                would.rule
            );
        }
        json.push('}');
        json
    }
}

/// What an operator wants to know of a refusal beside the decision.
#[derive(Default)]
pub struct Circumstances {
    /// The peer's address.
    pub peer: Option<String>,
    /// An id that nothing vouches for.
    pub claimed: Option<SpiffeId>,
    /// The route, or for a connection the server name.
    pub target: Option<(&'static str, Vec<u8>)>,
    /// What exactly is wrong.
    pub detail: Option<String>,
}

/// The records of one worker.
#[derive(Debug, Default)]
pub struct Records {
    counts: BTreeMap<(Stage, Outcome, Reason), u64>,
    counters: BTreeMap<(Stage, Outcome, Reason), u32>,
    lines: u32,
    suppressed: u64,
    /// When refusals were last given new lines.
    renewed: Timestamp,
}

impl Records {
    /// Counts a decision.
    pub fn count(&mut self, entry: &Entry<'_>) {
        let mut add = |outcome| {
            let count = self
                .counts
                .entry((entry.stage, outcome, entry.decision.reason))
                .or_default();
            *count = count.saturating_add(1);
        };
        add(entry.outcome());
        match entry.decision.dry_run.map(|would| would.effect) {
            Some(Effect::Allow) => add(Outcome::WouldAllow),
            Some(Effect::Deny) => add(Outcome::WouldDeny),
            None => {}
        }
    }

    /// Writes the access-log field of the connection or stream being served.
    pub fn show<H: Host>(host: &H, entry: &Entry<'_>) {
        // A proxy that cannot take it has the counters and the log.
        let _ = host.set_filter_state(FILTER_STATE, entry.json().as_bytes());
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
    pub fn log<H: Host>(host: &H, entry: &Entry<'_>, circumstances: &Circumstances) {
        let mut line = format!(
            "svidgate: {} {} reason={}",
            if entry.enforced { "denied" } else { "would deny" },
            entry.stage.as_str(),
            entry.decision.reason
        );
        let mut field = |name: &str, value: &str| {
            let _ = write!(line, " {name}={value}");
        };
        if let Some(peer) = &circumstances.peer {
            field("peer", peer);
        }
        match (entry.id, &circumstances.claimed) {
            (Some(id), _) => field("id", id.as_str()),
            (None, Some(claimed)) => field("claimed", claimed.as_str()),
            (None, None) => {}
        }
        if let Some(rule) = entry.decision.rule {
            field("rule", rule);
        }
        if let Some((name, target)) = circumstances.target.as_ref().filter(|(_, target)| !target.is_empty()) {
            field(name, &printable(target));
        }
        if let Some(detail) = &circumstances.detail {
            field("detail", &format!("\"{}\"", printable(detail.as_bytes())));
        }
        host.log(Level::Warn, &line);
    }

    /// Hands counters over to the proxy and, where it is time, gives refusals new lines.
    pub fn flush<H: Host>(&mut self, host: &H, now: Timestamp) {
        for (key, count) in std::mem::take(&mut self.counts) {
            if !self.hand_over(host, key, count) {
                // Kept for the next tick.
                self.counts.insert(key, count);
            }
        }
        if let Some(suppressed @ 1..) = self.renew(now) {
            host.log(
                Level::Warn,
                &format!("svidgate: {suppressed} more refusals without a line of their own"),
            );
        }
    }

    /// Gives refusals new lines where the last ones are old enough, and tells how many had none since.
    fn renew(&mut self, now: Timestamp) -> Option<u64> {
        let since = now.duration_since(self.renewed);
        // A clock that was set back is no reason to fall silent.
        if !since.is_negative() && since < LINES_PERIOD {
            return None;
        }
        (self.lines, self.renewed) = (0, now);
        Some(std::mem::take(&mut self.suppressed))
    }

    fn hand_over<H: Host>(&mut self, host: &H, key: (Stage, Outcome, Reason), count: u64) -> bool {
        let (stage, outcome, reason) = key;
        let known = self.counters.get(&key).copied();
        let defined = || {
            let name = format!("svidgate.{}.{}.{reason}", stage.as_str(), outcome.as_str());
            host.define_counter(&name).ok()
        };
        let Some(counter) = known.or_else(defined) else {
            return false;
        };
        self.counters.insert(key, counter);
        host.add_to_counter(counter, count).is_ok()
    }
}

/// At most this many bytes of a name that someone else chose.
const MAX_SHOWN_BYTES: usize = 200;

/// Text for a log line: printable ASCII without quotes, the rest as `?`.
fn printable(text: &[u8]) -> String {
    let shown = |byte: &u8| match byte {
        b'"' => '\'',
        b' '..=b'~' => char::from(*byte),
        _ => '?',
    };
    text.iter().take(MAX_SHOWN_BYTES).map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::{Entry, LINES_PERIOD, MAX_LINES, Records, Stage, printable};
    use jiff::{SignedDuration, Timestamp};
    use svidgate_policy::{Decision, DryRun, Effect, Reason, SpiffeId};

    #[test]
    fn access_log_field_is_one_short_json() {
        let id = SpiffeId::parse("spiffe://prod.example/api").unwrap();
        let decision = Decision {
            effect: Effect::Allow,
            reason: Reason::RuleAllowed,
            rule: Some("read"),
            dry_run: Some(DryRun {
                effect: Effect::Deny,
                rule: "new",
            }),
        };
        let json = Entry {
            stage: Stage::Request,
            id: Some(&id),
            decision,
            enforced: true,
        }
        .json();
        let expected = r#"{"id":"spiffe://prod.example/api","decision":"allow","reason":"rule.allowed","rule":"read","would_be":"deny","would_be_rule":"new"}"#;
        assert_eq!(json, expected);
        let refused = Entry {
            stage: Stage::Connection,
            id: None,
            decision: Decision::refused(Reason::ConnectionPlaintext),
            enforced: false,
        };
        assert_eq!(
            refused.json(),
            r#"{"decision":"deny","reason":"connection.plaintext","dry_run":true}"#
        );
    }

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

    #[test]
    fn log_lines_have_no_bytes_of_a_peer_that_could_forge_one() {
        assert_eq!(printable(b"a\"b\nsvidgate: allowed\xff"), "a'b?svidgate: allowed?");
        assert_eq!(printable(&[b'x'; 1000]).len(), 200);
    }
}
