//! What we agreed with other trust domains: which of their ids count, for how long, and who answers for it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use rustls_pki_types::CertificateDer;

use crate::{
    name::id::{SpiffeId, TrustDomain},
    pattern::id_pattern::IdPattern,
};

/// How long the source of a bundle may be silent where the document does not say. Our decision: a publisher announces a
/// new authority days ahead, and what it withdraws must not stay good for much longer than a day.
pub const MAX_STALENESS: SignedDuration = SignedDuration::from_hours(24);

/// The relationship with one trust domain, our own or a foreign one.
#[derive(Clone, Debug)]
pub struct Relationship {
    /// Whose.
    pub trust_domain: TrustDomain,
    /// The ids that it covers; `None` is all of the trust domain.
    pub scope: Option<Vec<IdPattern>>,
    /// Longest whole lifetime of an SVID, from notBefore to notAfter.
    pub svid_max_lifetime: Option<SignedDuration>,
    /// How long the source of the bundle may be silent before nothing of the trust domain is accepted.
    pub max_staleness: SignedDuration,
    /// From this moment on nothing of the trust domain is accepted.
    pub expires: Option<Timestamp>,
    /// Who answers for it; shown to operators, never compared.
    pub owner: Option<String>,
    /// Signing certificates to build paths with, never trusted by themselves.
    pub intermediates: Vec<CertificateDer<'static>>,
}

impl Relationship {
    /// A relationship without limits, as a trust domain has with itself.
    pub fn unlimited(trust_domain: TrustDomain) -> Self {
        Self {
            trust_domain,
            scope: None,
            svid_max_lifetime: None,
            max_staleness: MAX_STALENESS,
            expires: None,
            owner: None,
            intermediates: Vec::new(),
        }
    }

    /// Whether an id of the trust domain is covered.
    pub(crate) fn covers(&self, id: &SpiffeId) -> bool {
        self.scope
            .as_ref()
            .is_none_or(|scope| scope.iter().any(|pattern| pattern.matches(id)))
    }

    pub(crate) fn has_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| now >= expires)
    }
}

/// Every relationship, by trust domain. A trust domain that is not here is unknown, whatever bundles there are.
#[derive(Clone, Debug, Default)]
pub struct Relationships(BTreeMap<TrustDomain, Relationship>);

impl Relationships {
    /// Adds a relationship in place of an earlier one with the same trust domain.
    pub fn insert(&mut self, relationship: Relationship) {
        self.0.insert(relationship.trust_domain.clone(), relationship);
    }

    /// The relationship with a trust domain.
    pub fn with(&self, trust_domain: &TrustDomain) -> Option<&Relationship> {
        self.0.get(trust_domain)
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Relationship> {
        self.0.values()
    }
}

/// What a cap on lifetimes has room for beside the lifetime that is meant: issuers write a notBefore in the past, for
/// clocks that are slow. Istio's own CA 2 minutes (`ClockSkewGracePeriod`), SPIRE 10 seconds (`NotBeforeCushion`), AWS
/// Private CA an hour.
const MAX_SLACK: SignedDuration = SignedDuration::from_hours(1);

/// And no more than this share of the cap, which would be none otherwise. It leaves SPIRE its 10 seconds from 40
/// seconds on.
const SLACK_SHARE: i32 = 4;

pub(super) fn with_slack(cap: SignedDuration) -> SignedDuration {
    let slack = cap.checked_div(SLACK_SHARE).unwrap_or_default().min(MAX_SLACK);
    cap.checked_add(slack).unwrap_or(SignedDuration::MAX)
}
