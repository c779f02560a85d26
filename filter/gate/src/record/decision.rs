//! What is one recorded decision?

use svidgate_policy::{Decision, Effect, Hop, SpiffeId};

use crate::{
    refusal::{Brought, Of, Refusal},
    stage::Stage,
};

/// What a record has for `would_be` where it would have cost too much to find out.
pub(crate) const UNKNOWN: &str = "unknown";

/// What came of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
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
    pub(crate) const fn as_str(self) -> &'static str {
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
    /// Whether a token stands for it.
    pub is_by_token: bool,
    /// The ids of the hops that it has come through, parted by commas, the first first.
    pub via: Option<&'a str>,
    /// The entry of the document by which the last of them has brought it here.
    pub hop: Option<&'a Hop>,
}

impl Who<'_> {
    /// What stands behind the id, where it is not a certificate that was looked at here.
    pub(crate) fn evidence(self) -> Option<&'static str> {
        match (self.is_vouched, self.via) {
            (true, None) => Some("proxy"),
            // No more than the word of the hop.
            (true, Some(_)) => Some("name"),
            (false, _) if self.is_by_token => Some("token"),
            // A hop has shown it, and not its owner.
            (false, Some(_)) => Some("certificate"),
            (false, None) => None,
        }
    }
}

/// One decision, to be recorded.
pub struct Record<'a> {
    /// Where.
    pub stage: Stage,
    /// Who, where verified.
    pub who: Option<Who<'a>>,
    /// By whom somebody was brought who is nobody here.
    pub brought: Option<&'a Brought>,
    /// What.
    pub decision: Decision<'a>,
    /// Whether a refusal was carried out.
    pub enforced: bool,
    /// Whether it is about something that had been let through before.
    pub live: bool,
    /// The version of the document that decided, as it is shown; empty where it has none.
    pub version: &'a str,
}

impl<'a> Record<'a> {
    /// What a document of this version has decided, and has carried out, on somebody unknown who was not let through
    /// before.
    pub fn new(stage: Stage, decision: Decision<'a>, version: &'a str) -> Self {
        Self {
            stage,
            who: None,
            brought: None,
            decision,
            enforced: true,
            live: false,
            version,
        }
    }

    /// The same about somebody who is nobody here.
    #[must_use]
    pub fn refusing(self, refusal: Option<&'a Refusal>) -> Self {
        let brought = refusal.and_then(|refusal| refusal.brought.as_deref());
        Self { brought, ..self }
    }

    /// The ids of the hops.
    pub(crate) fn via(&self) -> Option<&'a str> {
        let of_known = self.who.and_then(|who| who.via);
        of_known.or(self.brought.map(|brought| &*brought.via))
    }

    /// The name of its entry in the document.
    pub(crate) fn hop(&self) -> Option<&'a str> {
        let of_known = self.who.and_then(|who| who.hop).map(|hop| &*hop.name);
        of_known.or(self.brought.and_then(|brought| brought.hop.as_deref()))
    }

    /// Of whose certificate the reason speaks, where it is not that of the peer.
    pub(crate) fn of(&self) -> Option<&'static str> {
        self.brought?.of.map(Of::as_str)
    }

    /// The same about somebody.
    #[must_use]
    pub fn about(self, who: Option<Who<'a>>) -> Self {
        Self { who, ..self }
    }

    /// The same, carried out or only told.
    #[must_use]
    pub fn enforced(self, enforced: bool) -> Self {
        Self { enforced, ..self }
    }

    /// The same about something that had been let through, or had not.
    #[must_use]
    pub fn live(self, live: bool) -> Self {
        Self { live, ..self }
    }

    pub(crate) fn outcome(&self) -> Outcome {
        match (self.decision.effect, self.enforced, self.live) {
            (Effect::Allow, _, _) => Outcome::Allow,
            (Effect::Deny, true, false) => Outcome::Deny,
            (Effect::Deny, true, true) => Outcome::Cut,
            (Effect::Deny, false, _) => Outcome::DryRun,
        }
    }

    /// One short JSON object. No part of it needs escaping: ids, rule names and versions have no such characters. It is
    /// written for each request, so without the detours of `fmt`.
    pub(crate) fn json(&self) -> String {
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
        }
        if let Some(via) = self.via() {
            member("via", via);
        }
        if let Some(evidence) = self.who.and_then(Who::evidence) {
            member("evidence", evidence);
        }
        if let Some(of) = self.of() {
            member("of", of);
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

#[cfg(test)]
mod tests {
    use super::{Record, Stage, Who};
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
        let json = Record {
            stage: Stage::Request,
            who: Some(Who {
                id: &id,
                is_vouched: false,
                is_by_token: false,
                via: None,
                hop: None,
            }),
            brought: None,
            decision,
            enforced: true,
            live: false,
            version: "7 (b)",
        }
        .json();
        let expected = r#"{"id":"spiffe://prod.example/api","decision":"allow","reason":"rule.allowed","rule":"read","would_be":"deny","would_be_rule":"new","version":"7 (b)"}"#;
        assert_eq!(json, expected);
        let vouched = Record {
            stage: Stage::Request,
            brought: None,
            who: Some(Who {
                id: &id,
                is_vouched: true,
                is_by_token: false,
                via: None,
                hop: None,
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
        let unknown = Record {
            stage: Stage::Request,
            brought: None,
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
        let refused = Record {
            stage: Stage::Connection,
            brought: None,
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
        let cut = Record {
            decision: Decision::refused(Reason::SvidRevoked),
            enforced: true,
            live: true,
            ..refused
        };
        assert_eq!(cut.json(), r#"{"decision":"deny","reason":"svid.revoked","cut":true}"#);
    }
}
