//! Whether a peer is who its certificate says: leaf, relationship, chain, time (X509-SVID, section 5).
//!
//! The one thing that everything here serves: the authorities that count are those of the trust domain in the leaf's
//! own id. There is no union of bundles and no second try with another. What comes out, an [`Svid`], can be made in no
//! other way, so whoever holds one need not ask again.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm};

use crate::{
    bundle::{Bundle, BundleSet},
    certificate::{CertificateError, Leaf, MAX_INTERMEDIATES, sha256},
    chain::{self, ChainError, Purpose},
    federation::{Relationship, Relationships},
    id::{SpiffeId, TrustDomain},
    reason::Reason,
};

/// An identity that has been verified.
#[derive(Clone, Debug)]
pub struct Svid {
    id: SpiffeId,
    sha256: [u8; 32],
    valid_until: Timestamp,
}

impl Svid {
    /// Who it is.
    pub fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// SHA-256 of the leaf's DER.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// The last second in which the leaf, its chain and the relationship all hold.
    pub fn valid_until(&self) -> Timestamp {
        self.valid_until
    }
}

/// Who vouches for the chain from the leaf to an authority.
#[derive(Clone, Copy)]
pub enum ChainCheck<'a> {
    /// We build and verify it.
    Verify {
        /// The bundles, of which one counts.
        bundles: &'a BundleSet,
        /// Certificates that came with the leaf, in any order.
        intermediates: &'a [CertificateDer<'a>],
        /// The signature algorithms that count; [`crate::ALGORITHMS`] or a list with faster ones in front.
        algorithms: &'a [&'a dyn SignatureVerificationAlgorithm],
    },
    /// The proxy has verified it against the bundle of the leaf's trust domain. Leaf, relationship and time are
    /// checked all the same.
    Proxy,
}

/// Verifies a leaf in DER as the identity of a TLS client, at one moment.
///
/// # Errors
/// The first thing that is wrong, in the order of the checks: leaf, relationship, chain, lifetime.
pub fn verify(
    leaf: &[u8],
    chain: ChainCheck<'_>,
    relationships: &Relationships,
    now: Timestamp,
) -> Result<Svid, SvidError> {
    let leaf = Leaf::parse(leaf)?;
    let trust_domain = leaf.id.trust_domain();
    let relationship = relationships
        .with(trust_domain)
        .ok_or_else(|| SvidError::UnknownTrustDomain(trust_domain.clone()))?;
    if !relationship.covers(&leaf.id) {
        return Err(SvidError::OutOfScope(leaf.id));
    }
    if relationship.has_expired(now) {
        return Err(SvidError::RelationshipExpired(trust_domain.clone()));
    }
    check_time(&leaf, relationship, now)?;
    let mut valid_until = match chain {
        ChainCheck::Verify {
            bundles,
            intermediates,
            algorithms,
        } => verify_chain(&leaf, bundles, relationship, intermediates, algorithms, now)?,
        ChainCheck::Proxy => leaf.fields.not_after,
    };
    if let Some(expires) = relationship.expires {
        // The end of a relationship is exclusive, the end of a validity inclusive.
        let last = expires.checked_sub(SignedDuration::from_secs(1)).unwrap_or(expires);
        valid_until = valid_until.min(last);
    }
    Ok(Svid {
        sha256: sha256(leaf.der),
        id: leaf.id,
        valid_until,
    })
}

/// Before the chain: it costs nothing, and "expired" is the answer that an operator needs, whatever else is wrong.
fn check_time(leaf: &Leaf<'_>, relationship: &Relationship, now: Timestamp) -> Result<(), SvidError> {
    let (not_before, not_after) = (leaf.fields.not_before, leaf.fields.not_after);
    if now < not_before {
        return Err(SvidError::NotYetValid { now, not_before });
    }
    if now > not_after {
        return Err(SvidError::Expired { now, not_after });
    }
    let lifetime = not_after.duration_since(not_before);
    match relationship.svid_max_lifetime {
        Some(allowed) if lifetime > allowed => Err(SvidError::LifetimeTooLong { lifetime, allowed }),
        Some(_) | None => Ok(()),
    }
}

fn verify_chain(
    leaf: &Leaf<'_>,
    bundles: &BundleSet,
    relationship: &Relationship,
    presented: &[CertificateDer<'_>],
    algorithms: &[&dyn SignatureVerificationAlgorithm],
    now: Timestamp,
) -> Result<Timestamp, SvidError> {
    let trust_domain = leaf.id.trust_domain();
    let bundle = bundles
        .bundle(trust_domain)
        .ok_or_else(|| SvidError::BundleMissing(trust_domain.clone()))?;
    if bundle.authority_count() == 0 {
        return Err(SvidError::BundleEmpty(trust_domain.clone()));
    }
    if presented.len() > MAX_INTERMEDIATES {
        return Err(SvidError::Chain(ChainError::TooLong));
    }
    check_is_no_authority(leaf, bundle)?;
    let intermediates: Vec<CertificateDer<'_>> = presented
        .iter()
        .chain(&relationship.intermediates)
        .map(|certificate| CertificateDer::from(certificate.as_ref()))
        .collect();
    Ok(chain::verify(
        leaf.der,
        &intermediates,
        bundle,
        algorithms,
        Purpose::ClientAuth,
        now,
    )?)
}

/// LF-17, CA-7: whoever shows an authority's key, in its own certificate or in a leaf signed by itself, is no workload.
fn check_is_no_authority(leaf: &Leaf<'_>, bundle: &Bundle) -> Result<(), SvidError> {
    let is_authority = bundle
        .authorities
        .iter()
        .any(|authority| authority.der.as_ref() == leaf.der || authority.public_key == leaf.fields.public_key);
    if is_authority {
        return Err(CertificateError::IsCa {
            because: "it has the key of an authority of the bundle",
        }
        .into());
    }
    Ok(())
}

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
    /// A bundle without any usable authority.
    BundleEmpty(TrustDomain),
    /// No authority of the bundle stands behind the leaf.
    Chain(ChainError),
}

impl From<CertificateError> for SvidError {
    fn from(error: CertificateError) -> Self {
        Self::Certificate(error)
    }
}

impl From<ChainError> for SvidError {
    fn from(error: ChainError) -> Self {
        Self::Chain(error)
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
            Self::BundleEmpty(_) => Reason::FederationBundleEmpty,
            Self::Chain(error) => error.reason(),
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
                    "svid lives {} s, the relationship allows {} s",
                    lifetime.as_secs(),
                    allowed.as_secs()
                )
            }
            Self::BundleMissing(name) => write!(f, "there is no bundle for `{name}` yet"),
            Self::BundleEmpty(name) => write!(f, "the bundle of `{name}` has no X.509 authority"),
            Self::Chain(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for SvidError {}
