//! Why is it nobody, and how is that said?

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use crate::{
    certificate::error::CertificateError,
    name::id::{SpiffeId, TrustDomain},
    reason::Reason,
    trust::{
        chain::{ChainError, NoPath},
        relationship::with_slack,
    },
};

/// Why a certificate is no identity here and now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SvidError {
    /// The leaf cannot be read or breaks the profile.
    Certificate(CertificateError),
    /// No relationship with the trust domain.
    UnknownTrustDomain(TrustDomain),
    /// The relationship does not cover the id.
    OutOfScope(SpiffeId),
    /// The relationship has ended.
    RelationshipExpired(TrustDomain),
    /// Before notBefore.
    NotYetValid {
        /// When it was looked at.
        now: Timestamp,
        /// The first good second.
        not_before: Timestamp,
    },
    /// After notAfter.
    Expired {
        /// When it was looked at.
        now: Timestamp,
        /// The last good second.
        not_after: Timestamp,
    },
    /// Longer than the relationship allows.
    LifetimeTooLong {
        /// From notBefore to notAfter.
        lifetime: SignedDuration,
        /// What is allowed.
        allowed: SignedDuration,
    },
    /// No bundle for the trust domain.
    BundleMissing(TrustDomain),
    /// The source of the bundle has been silent for too long.
    BundleStale {
        /// Whose.
        trust_domain: TrustDomain,
        /// Since when it counts as stale.
        since: Timestamp,
    },
    /// A bundle without any usable authority.
    BundleEmpty(TrustDomain),
    /// The token that stands for it is over.
    TokenExpired {
        /// When it was looked at.
        now: Timestamp,
        /// From when on it is over.
        ends: Timestamp,
    },
    /// Its trust domain has no more the key that signed the token that stands for it.
    TokenKeyGone(TrustDomain),
    /// It is on a list of revocations.
    Revoked {
        /// What the list says about it.
        reason: Option<Box<str>>,
        /// From when on the list does not say so any more.
        until: Option<Timestamp>,
    },
    /// No authority of the bundle stands behind the leaf.
    ChainMode {
        /// What is in the way.
        why: ChainError,
        /// The first moment to come at which something in the way may be gone, if nothing but time changes.
        changes: Option<Timestamp>,
    },
}

impl From<CertificateError> for SvidError {
    fn from(error: CertificateError) -> Self {
        Self::Certificate(error)
    }
}

impl From<ChainError> for SvidError {
    fn from(error: ChainError) -> Self {
        Self::ChainMode {
            why: error,
            changes: None,
        }
    }
}

impl From<NoPath> for SvidError {
    fn from(none: NoPath) -> Self {
        Self::ChainMode {
            why: none.why,
            changes: none.changes,
        }
    }
}

impl SvidError {
    /// The reason code.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Certificate(error) => error.reason(),
            Self::UnknownTrustDomain(_) => Reason::FederationUnknownTrustDomain,
            Self::OutOfScope(_) => Reason::FederationOutOfScope,
            Self::RelationshipExpired(_) => Reason::FederationExpired,
            Self::NotYetValid { .. } => Reason::SvidNotYetValid,
            Self::Expired { .. } => Reason::SvidExpired,
            Self::LifetimeTooLong { .. } => Reason::SvidLifetimeTooLong,
            Self::BundleMissing(_) => Reason::FederationBundleMissing,
            Self::BundleStale { .. } => Reason::FederationBundleStale,
            Self::BundleEmpty(_) => Reason::FederationBundleEmpty,
            Self::TokenExpired { .. } => Reason::TokenExpired,
            Self::TokenKeyGone(_) => Reason::TokenUnknownKey,
            Self::Revoked { .. } => Reason::SvidRevoked,
            Self::ChainMode { why, .. } => why.reason(),
        }
    }

    /// Whether all else that can be said without an issuer holds: leaf, relationship, time, lifetime, revocation.
    pub fn is_for_want_of_issuer(&self) -> bool {
        match self {
            Self::ChainMode { why, .. } => why.is_for_want_of_issuer(),
            Self::Certificate(_)
            | Self::UnknownTrustDomain(_)
            | Self::OutOfScope(_)
            | Self::RelationshipExpired(_)
            | Self::NotYetValid { .. }
            | Self::Expired { .. }
            | Self::LifetimeTooLong { .. }
            | Self::BundleMissing(_)
            | Self::BundleStale { .. }
            | Self::BundleEmpty(_)
            | Self::TokenExpired { .. }
            | Self::TokenKeyGone(_)
            | Self::Revoked { .. } => false,
        }
    }

    /// The first moment at which it may hold no longer, although nothing but time has changed.
    pub fn changes(&self) -> Option<Timestamp> {
        match self {
            Self::NotYetValid { not_before, .. } => Some(*not_before),
            Self::Revoked { until, .. } => *until,
            Self::ChainMode { changes, .. } => *changes,
            // What has ended does not begin again, and what is missing does not come by itself.
            Self::Certificate(_)
            | Self::UnknownTrustDomain(_)
            | Self::OutOfScope(_)
            | Self::RelationshipExpired(_)
            | Self::Expired { .. }
            | Self::LifetimeTooLong { .. }
            | Self::BundleMissing(_)
            | Self::BundleStale { .. }
            | Self::BundleEmpty(_)
            | Self::TokenExpired { .. }
            | Self::TokenKeyGone(_) => None,
        }
    }
}

impl fmt::Display for SvidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(error) => write!(f, "{error}"),
            Self::UnknownTrustDomain(name) => write!(f, "no federation relationship with trust domain `{name}`"),
            Self::OutOfScope(id) => {
                write!(
                    f,
                    "the relationship with `{}` does not cover `{}`",
                    id.trust_domain(),
                    id.path()
                )
            }
            Self::RelationshipExpired(name) => write!(f, "the relationship with `{name}` has ended"),
            Self::NotYetValid { now, not_before } => write!(f, "svid not yet valid: {now} is before {not_before}"),
            Self::Expired { now, not_after } => write!(f, "svid expired: {now} is past {not_after}"),
            Self::LifetimeTooLong { lifetime, allowed } => {
                write!(
                    f,
                    "svid lives {} s from notBefore to notAfter, `svid_max_lifetime` allows {} s, and {} s for a \
                     notBefore in \
                     the past",
                    lifetime.as_secs(),
                    allowed.as_secs(),
                    with_slack(*allowed).as_secs().saturating_sub(allowed.as_secs())
                )
            }
            Self::BundleMissing(name) => write!(f, "there is no bundle for `{name}` yet"),
            Self::BundleStale { trust_domain, since } => {
                write!(
                    f,
                    "the source of the bundle of `{trust_domain}` has been silent for too long: stale since {since}"
                )
            }
            Self::TokenExpired { now, ends } => write!(f, "token expired: {now} is not before {ends}"),
            Self::TokenKeyGone(name) => {
                write!(
                    f,
                    "the JWT keys of `{name}` no longer have the one that signed the token"
                )
            }
            Self::Revoked { reason: None, .. } => f.write_str("revoked"),
            Self::Revoked {
                reason: Some(reason), ..
            } => write!(f, "revoked: {reason}"),
            Self::BundleEmpty(name) => write!(f, "the bundle of `{name}` has no X.509 authority"),
            Self::ChainMode { why, .. } => write!(f, "{why}"),
        }
    }
}

impl std::error::Error for SvidError {}
