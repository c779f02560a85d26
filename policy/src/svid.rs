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
    certificate::{CertificateError, Leaf, MAX_INTERMEDIATES},
    chain::{self, ChainError, Purpose},
    federation::{Relationship, Relationships},
    id::{SpiffeId, TrustDomain},
    reason::Reason,
    revocation::{Revocable, Revocations},
};

/// An identity that has been verified.
///
/// What was verified holds for that moment. What can change under it, all but the signatures, is looked at again by
/// [`Svid::stands`].
#[derive(Clone, Debug)]
pub struct Svid {
    id: SpiffeId,
    sha256: [u8; 32],
    not_before: Timestamp,
    not_after: Timestamp,
    valid_until: Timestamp,
    /// The end of the path: leaf, signing certificates, authority.
    path_until: Timestamp,
    /// The authority that the path ends in; `None` where the proxy verified it.
    authority: Option<[u8; 32]>,
    /// The leaf's subject public key info in DER.
    public_key: Box<[u8]>,
    /// The certificates of the path, leaf first, authority last; of one that the proxy verified, the leaf alone.
    revocable: Box<[Revocable]>,
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

    /// The last second in which the leaf, its chain, the bundle and the relationship all hold, as far as was known when
    /// it was verified.
    pub fn valid_until(&self) -> Timestamp {
        self.valid_until
    }

    /// Whether a certificate is in the path that was verified.
    pub fn has_in_path(&self, sha256: &[u8; 32]) -> bool {
        self.revocable.iter().any(|certificate| certificate.sha256 == *sha256)
    }

    /// The first second of the leaf.
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// The last second of the leaf, its signing certificates and the authority.
    pub fn path_until(&self) -> Timestamp {
        self.path_until
    }

    /// Whether it would be verified again, without looking at a signature: relationship, time, revocations, and whether
    /// the bundle still has the authority. Gives until when, if nothing but time changes.
    ///
    /// # Errors
    /// What does not hold. [`SvidError::Chain`] says that the authority is gone; another may stand behind the leaf, which
    /// [`verify`] finds out.
    pub fn stands(&self, trust: &Trust<'_>, now: Timestamp) -> Result<Timestamp, SvidError> {
        let relationship = in_force(&self.id, trust.relationships, now)?;
        let later = |end: Timestamp| end.checked_add(trust.expiry_grace).unwrap_or(Timestamp::MAX);
        check_lifetime(self.not_before, self.not_after, relationship)?;
        check_time(self.not_before, later(self.not_after), now)?;
        if now > later(self.path_until) {
            return Err(ChainError::Expired.into());
        }
        for list in trust.revocations {
            if let Some(revocation) = list.find(&self.id, &self.revocable, now) {
                return Err(SvidError::Revoked(revocation.reason.clone()));
            }
        }
        let mut until = later(self.path_until).min(last_second(relationship.expires));
        if let Some(bundles) = trust.bundles {
            let (bundle, stale_from) = usable(bundles, &self.id, now)?;
            check_is_no_authority(&self.sha256, &self.public_key, bundle)?;
            // One that the proxy vouched for has no authority, and never had a signature looked at here.
            let known = |authority: &[u8; 32]| {
                bundle
                    .authorities
                    .iter()
                    .any(|known| known.revocable.sha256 == *authority)
            };
            if !self.authority.as_ref().is_some_and(known) {
                return Err(ChainError::UnknownAuthority { outside_validity: 0 }.into());
            }
            until = until.min(last_second(stale_from));
        }
        Ok(until)
    }
}

/// What an identity is held against after it was verified.
#[derive(Clone, Copy)]
pub struct Trust<'a> {
    /// The relationships.
    pub relationships: &'a Relationships,
    /// The bundles; `None` where the proxy vouches for chains.
    pub bundles: Option<&'a BundleSet>,
    /// Lists of revocations; an entry of any refuses.
    pub revocations: &'a [&'a Revocations],
    /// For how long past their end the certificates are good enough.
    pub expiry_grace: SignedDuration,
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
    let relationship = in_force(&leaf.id, relationships, now)?;
    let (not_before, not_after) = (leaf.fields.not_before, leaf.fields.not_after);
    // Before the chain: it costs nothing, and "expired" is the answer that an operator needs, whatever else is wrong.
    check_time(not_before, not_after, now)?;
    check_lifetime(not_before, not_after, relationship)?;
    let (path, stale_from) = match chain {
        ChainCheck::Verify {
            bundles,
            intermediates,
            algorithms,
        } => {
            let (path, stale_from) = verify_chain(&leaf, bundles, relationship, intermediates, algorithms, now)?;
            (Some(path), stale_from)
        }
        ChainCheck::Proxy => (None, None),
    };
    let path_until = path.as_ref().map_or(not_after, |path| path.valid_until);
    Ok(Svid {
        sha256: leaf.fields.revocable.sha256,
        not_before,
        not_after,
        valid_until: path_until
            .min(last_second(relationship.expires))
            .min(last_second(stale_from)),
        path_until,
        authority: path.as_ref().map(|path| path.authority),
        public_key: leaf.fields.public_key.into(),
        revocable: path
            .map_or_else(|| vec![leaf.fields.revocable], |path| path.revocable)
            .into(),
        id: leaf.id,
    })
}

/// The last second before an end that is exclusive, as those of relationships and sources are; ends of certificates are
/// inclusive.
fn last_second(end: Option<Timestamp>) -> Timestamp {
    end.map_or(Timestamp::MAX, |end| {
        end.checked_sub(SignedDuration::from_secs(1)).unwrap_or(end)
    })
}

/// The relationship that an id stands under.
fn in_force<'r>(
    id: &SpiffeId,
    relationships: &'r Relationships,
    now: Timestamp,
) -> Result<&'r Relationship, SvidError> {
    let trust_domain = id.trust_domain();
    let relationship = relationships
        .with(trust_domain)
        .ok_or_else(|| SvidError::UnknownTrustDomain(trust_domain.clone()))?;
    if !relationship.covers(id) {
        return Err(SvidError::OutOfScope(id.clone()));
    }
    if relationship.has_expired(now) {
        return Err(SvidError::RelationshipExpired(trust_domain.clone()));
    }
    Ok(relationship)
}

/// The bundle of an id's trust domain, and from when on it is stale.
fn usable<'b>(
    bundles: &'b BundleSet,
    id: &SpiffeId,
    now: Timestamp,
) -> Result<(&'b Bundle, Option<Timestamp>), SvidError> {
    let trust_domain = id.trust_domain();
    let held = bundles
        .held(trust_domain)
        .ok_or_else(|| SvidError::BundleMissing(trust_domain.clone()))?;
    if let Some(since) = held.stale_from.filter(|stale_from| now >= *stale_from) {
        return Err(SvidError::BundleStale {
            trust_domain: trust_domain.clone(),
            since,
        });
    }
    if held.bundle.authority_count() == 0 {
        return Err(SvidError::BundleEmpty(trust_domain.clone()));
    }
    Ok((&held.bundle, held.stale_from))
}

fn check_time(not_before: Timestamp, not_after: Timestamp, now: Timestamp) -> Result<(), SvidError> {
    if now < not_before {
        return Err(SvidError::NotYetValid { now, not_before });
    }
    if now > not_after {
        return Err(SvidError::Expired { now, not_after });
    }
    Ok(())
}

fn check_lifetime(not_before: Timestamp, not_after: Timestamp, relationship: &Relationship) -> Result<(), SvidError> {
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
) -> Result<(chain::Path, Option<Timestamp>), SvidError> {
    let (bundle, stale_from) = usable(bundles, &leaf.id, now)?;
    if presented.len() > MAX_INTERMEDIATES {
        return Err(SvidError::Chain(ChainError::TooLong));
    }
    check_is_no_authority(&leaf.fields.revocable.sha256, &leaf.fields.public_key, bundle)?;
    let intermediates: Vec<CertificateDer<'_>> = presented
        .iter()
        .chain(&relationship.intermediates)
        .map(|certificate| CertificateDer::from(certificate.as_ref()))
        .collect();
    let path = chain::verify(leaf.der, &intermediates, bundle, algorithms, Purpose::ClientAuth, now)?;
    Ok((path, stale_from))
}

/// LF-17, CA-7: whoever shows an authority's key, in its own certificate or in a leaf signed by itself, is no workload.
fn check_is_no_authority(sha256: &[u8; 32], public_key: &[u8], bundle: &Bundle) -> Result<(), SvidError> {
    let is_authority = bundle
        .authorities
        .iter()
        .any(|authority| authority.revocable.sha256 == *sha256 || authority.public_key == public_key);
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
    /// The source of the bundle has been silent for too long.
    BundleStale {
        /// Whose.
        trust_domain: TrustDomain,
        /// Since when it counts as stale.
        since: Timestamp,
    },
    /// A bundle without any usable authority.
    BundleEmpty(TrustDomain),
    /// It is on a list of revocations, with what the list says about it.
    Revoked(Option<Box<str>>),
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
            Self::BundleStale { .. } => Reason::FederationBundleStale,
            Self::BundleEmpty(_) => Reason::FederationBundleEmpty,
            Self::Revoked(_) => Reason::SvidRevoked,
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
            Self::BundleStale { trust_domain, since } => {
                write!(
                    f,
                    "the source of the bundle of `{trust_domain}` has been silent for too long: stale since {since}"
                )
            }
            Self::Revoked(None) => f.write_str("revoked"),
            Self::Revoked(Some(reason)) => write!(f, "revoked: {reason}"),
            Self::BundleEmpty(name) => write!(f, "the bundle of `{name}` has no X.509 authority"),
            Self::Chain(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for SvidError {}
