//! What was decided, for those who run the gate: counters, access-log fields, log lines.
//!
//! Counters are kept in the VM and handed over on the tick, because a call into the proxy costs as much as a decision.
//! Nothing that a peer wrote is shown unless it was checked: an id is, a path or a header's value is not shown at all. The
//! issuer that an unknown certificate names is the exception, for there is no other way to find it: escaped, cut and said to be
//! claimed.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use svidgate_policy::{Decision, Effect, Reason, SpiffeId};

use crate::{
    decision_line,
    host::{Host, Level},
};

/// The name of the filter state; `%FILTER_STATE(wasm.svidgate:PLAIN)%` prints it.
pub const FILTER_STATE: &str = "svidgate";
/// What a record has for `would_be` where it would have cost too much to find out.
pub(crate) const UNKNOWN: &str = "unknown";
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
    /// The name in records.
    pub const fn as_str(self) -> &'static str {
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
    /// It had been let through, and was ended.
    Cut,
    /// Denied by a document that is in a dry run: it passed.
    DryRun,
    /// A rule in a dry run would have allowed it.
    WouldAllow,
    /// A rule in a dry run would have denied it.
    WouldDeny,
    /// What rules in a dry run would have changed would have cost too much to find out.
    WouldUnknown,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Cut => "cut",
            Self::DryRun => "dry_run",
            Self::WouldAllow => "would_allow",
            Self::WouldDeny => "would_deny",
            Self::WouldUnknown => "would_unknown",
        }
    }
}

/// Who something was decided for.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// The id.
    pub id: &'a SpiffeId,
    /// Whether the proxy's word for it is all there is.
    pub is_vouched: bool,
}

impl Who<'_> {
    /// What stands behind the id, where it is not a certificate that was looked at here.
    pub(crate) fn evidence(self) -> Option<&'static str> {
        self.is_vouched.then_some("proxy")
    }
}

/// One decision, to be recorded.
pub struct Entry<'a> {
    /// Where.
    pub stage: Stage,
    /// Who, where verified.
    pub who: Option<Who<'a>>,
    /// What.
    pub decision: Decision<'a>,
    /// Whether a refusal was carried out.
    pub enforced: bool,
    /// Whether it is about something that had been let through before.
    pub live: bool,
    /// The version of the document that decided, as it is shown; empty where it has none.
    pub version: &'a str,
}

impl Entry<'_> {
    fn outcome(&self) -> Outcome {
        match (self.decision.effect, self.enforced, self.live) {
            (Effect::Allow, _, _) => Outcome::Allow,
            (Effect::Deny, true, false) => Outcome::Deny,
            (Effect::Deny, true, true) => Outcome::Cut,
            (Effect::Deny, false, _) => Outcome::DryRun,
        }
    }

    /// One short JSON object. No part of it needs escaping: ids, rule names and versions have no such characters. It is written for
    /// each request, so without the detours of `fmt`.
    fn json(&self) -> String {
        let mut json = String::with_capacity(192);
        let mut member = |name: &str, value: &str| {
            json.push_str(if json.is_empty() { "{\"" } else { ",\"" });
            json.push_str(name);
            json.push_str("\":\"");
            json.push_str(value);
            json.push('"');
        };
        if let Some(who) = self.who {
            member("id", who.id.as_str());
            if let Some(evidence) = who.evidence() {
                member("evidence", evidence);
            }
        }
        member("decision", self.decision.effect.as_str());
        member("reason", self.decision.reason.code());
        if let Some(rule) = self.decision.rule {
            member("rule", rule);
        }
        if let Some(would) = self.decision.dry_run {
            member("would_be", would.effect.as_str());
            member("would_be_rule", would.rule);
        }
        if self.decision.would_be_is_unknown {
            member("would_be", UNKNOWN);
        }
        if !self.version.is_empty() {
            member("version", self.version);
        }
        json.push_str(match self.outcome() {
            Outcome::Cut => r#","cut":true}"#,
            Outcome::DryRun => r#","dry_run":true}"#,
            Outcome::Allow | Outcome::Deny | Outcome::WouldAllow | Outcome::WouldDeny | Outcome::WouldUnknown => "}",
        });
        json
    }
}

/// What an operator wants to know of a refusal beside the decision.
#[derive(Default)]
pub struct Circumstances {
    /// The peer's address.
    pub peer: Option<String>,
    /// The proxy's number of the connection.
    pub connection_id: Option<u64>,
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
            None if entry.decision.would_be_is_unknown => add(Outcome::WouldUnknown),
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
        host.log(Level::Warn, &decision_line::of(entry, circumstances));
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
            let name = format!(
                "svidgate.decisions_total.{}.{}.{reason}",
                stage.as_str(),
                outcome.as_str()
            );
            host.define_counter(&name).ok()
        };
        let Some(counter) = known.or_else(defined) else {
            return false;
        };
        self.counters.insert(key, counter);
        host.add_to_counter(counter, count).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, LINES_PERIOD, MAX_LINES, Records, Stage, Who};
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
            would_be_is_unknown: false,
            detail: None,
        };
        let json = Entry {
            stage: Stage::Request,
            who: Some(Who {
                id: &id,
                is_vouched: false,
            }),
            decision,
            enforced: true,
            live: false,
            version: "7 (b)",
        }
        .json();
        let expected = r#"{"id":"spiffe://prod.example/api","decision":"allow","reason":"rule.allowed","rule":"read","would_be":"deny","would_be_rule":"new","version":"7 (b)"}"#;
        assert_eq!(json, expected);
        let vouched = Entry {
            stage: Stage::Request,
            who: Some(Who {
                id: &id,
                is_vouched: true,
            }),
            decision: Decision {
                dry_run: None,
                ..decision
            },
            enforced: true,
            live: false,
            version: "",
        };
        let expected = r#"{"id":"spiffe://prod.example/api","evidence":"proxy","decision":"allow","reason":"rule.allowed","rule":"read"}"#;
        assert_eq!(vouched.json(), expected);
        let unknown = Entry {
            stage: Stage::Request,
            who: None,
            decision: Decision {
                dry_run: None,
                would_be_is_unknown: true,
                ..decision
            },
            enforced: true,
            live: false,
            version: "",
        };
        let expected = r#"{"decision":"allow","reason":"rule.allowed","rule":"read","would_be":"unknown"}"#;
        assert_eq!(unknown.json(), expected);
        let refused = Entry {
            stage: Stage::Connection,
            who: None,
            decision: Decision::refused(Reason::ConnectionPlaintext),
            enforced: false,
            live: false,
            version: "",
        };
        assert_eq!(
            refused.json(),
            r#"{"decision":"deny","reason":"connection.plaintext","dry_run":true}"#
        );
        let cut = Entry {
            decision: Decision::refused(Reason::SvidRevoked),
            enforced: true,
            live: true,
            ..refused
        };
        assert_eq!(cut.json(), r#"{"decision":"deny","reason":"svid.revoked","cut":true}"#);
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
}
