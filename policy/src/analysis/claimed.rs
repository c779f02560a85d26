//! What would be decided about an id that nobody has verified?
//!
//! A gate makes [`Grants`] of an [`crate::Svid`], which only a verification can make. Who asks about a bare id gets
//! types of their own, which no gate takes: a claim cannot end up where a proof belongs.

use jiff::Timestamp;

use crate::{
    document::configuration::Configuration,
    name::id::SpiffeId,
    rules::{
        decision::Decision,
        grants::Grants,
        hop::{Assertion, Hop},
        request::Request,
        rule_set::{Needs, RuleSet, at},
        way::Way,
    },
    trust::{
        svid::{Trust, check_vouched},
        svid_error::SvidError,
    },
};

/// An id that is taken at its word: some leaf has it, with a chain and a life that are good.
#[derive(Clone, Debug)]
pub struct Claimed(SpiffeId);

impl Claimed {
    /// Takes an id at its word.
    ///
    /// # Errors
    /// Where the document lets in nobody of that id at that moment, whatever its certificate: for its relationship with
    /// the trust domain, or because the document revokes it.
    pub fn new(id: SpiffeId, configuration: &Configuration, now: Timestamp) -> Result<Self, SvidError> {
        let trust = Trust {
            relationships: &configuration.relationships,
            bundles: None,
            revocations: &[&configuration.revoked],
            expiry_grace: configuration.expiry_grace,
        };
        check_vouched(&id, &trust, now)?;
        Ok(Self(id))
    }

    /// The id.
    pub fn id(&self) -> &SpiffeId {
        &self.0
    }
}

/// The way of a request whose identities nobody has verified.
#[derive(Clone, Debug)]
pub struct ClaimedWay {
    /// On whose behalf it comes.
    pub caller: Claimed,
    /// Who brings it, and how it says who the caller is; `None` where the caller connects.
    pub hop: Option<(Claimed, Assertion)>,
}

impl ClaimedWay {
    /// The caller makes it itself.
    pub fn direct(caller: Claimed) -> Self {
        Self { caller, hop: None }
    }
}

/// What rules say about the ids of a way, which nobody has verified.
#[derive(Clone, Debug)]
pub struct ClaimedGrants {
    caller: Grants,
    hop: Option<(Grants, Assertion)>,
}

impl ClaimedGrants {
    /// Finds everything that the rules say about them.
    pub fn of(rules: &RuleSet, way: &ClaimedWay) -> Self {
        let hop = way.hop.as_ref();
        Self {
            caller: rules.specialise_id(&way.caller.0),
            hop: hop.map(|(hop, assertion)| (rules.specialise_id(&hop.0), *assertion)),
        }
    }

    fn way(&self) -> Way<'_> {
        match &self.hop {
            Some((hop, assertion)) => Way::through([hop], &self.caller, *assertion),
            None => Way::direct(&self.caller),
        }
    }

    /// The entry of `hops` by which it comes; `None` where it is direct, or none of this peer has this caller.
    pub fn hop(&self) -> Option<&Hop> {
        self.way().hop()
    }

    /// What would be decided of a request, or of a connection of a TCP listener.
    pub fn decide(&self, request: &Request<'_>, now: Timestamp) -> Decision<'_> {
        self.way().decide(request, now)
    }

    /// What would be decided of the connection in front of HTTP that it comes by.
    pub fn admit(&self, now: Timestamp) -> Decision<'_> {
        let peer = self.hop.as_ref().map_or(&self.caller, |(hop, _)| hop);
        peer.admit(now)
    }

    /// Whether some rule in force allows the caller something that a hop brings, requests aside.
    pub fn is_brought(&self, now: Timestamp) -> bool {
        let (caller, rules) = (&self.caller, &self.caller.rules.0);
        let groups = caller.enforced.groups.iter();
        let mut groups = groups.filter_map(|granted| at(&rules.groups, granted.group));
        groups.any(|group| {
            let is_in_force = group.allows.is_some_and(|until| !until.is_over(now));
            let named = group.via.map(|via| via.hops.and(caller.brought_by));
            is_in_force && named.is_some_and(|named| rules.hops.in_force(named, now).next().is_some())
        })
    }

    /// What must be known of a connection or a request before it can be decided on.
    pub fn needs(&self) -> Needs {
        self.way().needs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{analysis::policy::Policy, document::settings::Format, reason::Reason};

    fn policy() -> Policy {
        let document = br#"{
            "trust_domain": "td", "chain": "proxy", "listener": "tcp",
            "federation": [{ "trust_domain": "fd", "scope": ["/a/**"], "expires": "2027-01-01T00:00:00Z" }],
            "revoked": [{ "id": "spiffe://td/old" }],
            "rules": [{ "name": "r", "effect": "allow", "from": ["spiffe://*/**"], "to": [{ "ports": [1] }] }]
        }"#;
        Policy::read(document, Format::Json).unwrap()
    }

    fn asked(id: &str, now: &str) -> Result<Reason, SvidError> {
        let (policy, now) = (policy(), now.parse().unwrap());
        let claimed = Claimed::new(SpiffeId::parse(id).unwrap(), policy.configuration(), now)?;
        let grants = ClaimedGrants::of(&policy.configuration().rules, &ClaimedWay::direct(claimed));
        let request = Request {
            port: Some(1),
            ..Request::default()
        };
        Ok(grants.decide(&request, now).reason)
    }

    #[test]
    fn id_stands_and_falls_with_its_relationship_and_revocations() {
        let now = "2026-12-01T00:00:00Z";
        assert_eq!(asked("spiffe://td/a", now), Ok(Reason::RuleAllowed));
        assert_eq!(asked("spiffe://fd/a", now), Ok(Reason::RuleAllowed));
        for (id, now) in [
            ("spiffe://fd/b", now),
            ("spiffe://fd/a", "2027-01-01T00:00:00Z"),
            ("spiffe://td/old", now),
            ("spiffe://xd/a", now),
        ] {
            assert!(asked(id, now).is_err(), "{id} {now}");
        }
    }
}
