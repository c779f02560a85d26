//! From a leaf to an authority of one bundle: RFC 5280 path validation, by `rustls-webpki`, within bounds.
//!
//! webpki builds the path and checks names, validity, cA, path lengths, extended key usage, constraints and signatures.
//! It leaves to its caller what stands below the marked lines here: key usage of signing certificates, ids that look
//! like a leaf's, the validity of the authority itself, URI constraints, and a bound on signatures that fits a proxy's
//! event loop (webpki's own is 100; one costs up to a millisecond in a VM).

use std::{
    fmt,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use jiff::Timestamp;
use rustls_pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm, TrustAnchor, UnixTime,
    alg_id,
};
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeId, KeyPurposeIdIter, VerifiedPath};

use crate::{
    bundle::{Authority, Bundle},
    certificate::{Fields, MAX_CERTIFICATE_BYTES, MAX_INTERMEDIATES},
    id::SpiffeId,
    name_constraints,
    reason::Reason,
    revocation::Revocable,
};

/// Most signatures checked for one leaf. Our decision: eight authorities of one name, below each two certificates. Those
/// that are dear count as more than one, so that a peer with a forged leaf costs a worker 20 to 30 ms at worst (`make abuse`).
pub const MAX_SIGNATURE_CHECKS: u32 = 24;

/// Most different signing certificates with one subject name beside a leaf, those of the relationship counted. Two names
/// with three certificates each cost the path builder 0.4 ms at worst, with four each ten times that.
pub const MAX_SAME_SUBJECT: usize = 3;

/// What the leaf is used for; where extended key usage is present anywhere below the authority, it must allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The peer is a TLS client.
    ClientAuth,
    /// The peer is a TLS server.
    ServerAuth,
}

/// A path that was found and verified.
#[derive(Clone, Debug)]
pub struct Path {
    /// The last second in which every certificate of it, authority included, is valid.
    pub valid_until: Timestamp,
    /// SHA-256 of the authority's DER. As long as the bundle has this authority, the path holds.
    pub authority: [u8; 32],
    /// What its certificates can be revoked by, leaf first, authority last.
    pub(crate) revocable: Vec<Revocable>,
}

/// Verifies a path from `leaf` (DER) through any of `intermediates`, in any order, to an authority of `bundle`.
///
/// The leaf's own names are looked at only for constraints: whose bundle this is has been decided by the caller.
///
/// # Errors
/// What stands between the leaf and the nearest it came to an authority.
pub fn verify(
    leaf: &[u8],
    intermediates: &[CertificateDer<'_>],
    bundle: &Bundle,
    algorithms: &[&dyn SignatureVerificationAlgorithm],
    purpose: Purpose,
    now: Timestamp,
) -> Result<Path, ChainError> {
    // Certificates know whole seconds, and the last one counts to its end.
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let intermediates = bounded(intermediates)?;
    let time = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.as_second()).unwrap_or_default()));
    let leaf_fields = Fields::read(leaf).map_err(|_| ChainError::Unreadable)?;
    // RFC 5280 4.2.1.9 and 4.2.1.10: a certificate that is no CA neither signs nor constrains others.
    let signs = leaf_fields.key_usage.is_some_and(|usage| usage.key_cert_sign());
    if signs || leaf_fields.name_constraints.is_some() {
        return Err(ChainError::SigningCertificate);
    }
    let leaf_der = CertificateDer::from(leaf);
    // RFC 5280 leaves the validity of an anchor open; here an expired authority signs nothing (PV-5).
    let (valid, outside): (Vec<_>, Vec<_>) = bundle
        .authorities
        .iter()
        .partition(|authority| authority.is_valid_at(now));
    let refused = |error| ChainError::of(error, outside.len());
    let leaf = EndEntityCert::try_from(&leaf_der).map_err(refused)?;
    let anchors: Vec<TrustAnchor<'_>> = valid.iter().map(|authority| borrow(&authority.anchor)).collect();
    let budget = AtomicU32::new(MAX_SIGNATURE_CHECKS);
    let counted: Vec<_> = algorithms
        .iter()
        .map(|algorithm| Counted {
            algorithm: *algorithm,
            left: &budget,
        })
        .collect();
    let mut algorithms: Vec<&dyn SignatureVerificationAlgorithm> = Vec::with_capacity(counted.len());
    counted.iter().for_each(|algorithm| algorithms.push(algorithm));

    let check = |path: &VerifiedPath<'_>| check_path(path, &leaf_fields, &valid, &anchors);
    let verified = leaf.verify_for_usage(&algorithms, &anchors, &intermediates, time, purpose, None, Some(&check));
    match verified {
        Ok(path) => summary(&path, leaf_fields, &valid, &anchors),
        Err(_) if budget.load(Ordering::Relaxed) == 0 => Err(ChainError::TooMuchWork),
        Err(error) => Err(refused(error)),
    }
}

/// The certificates that are worth trying. A path builder tries every certificate that bears a wanted name, at every
/// level; eight that all bear one name would be tens of thousands of partial paths, on a peer's word. So each name may
/// stand on [`MAX_SAME_SUBJECT`] different certificates, enough for a rotation.
fn bounded<'a>(intermediates: &'a [CertificateDer<'a>]) -> Result<Vec<CertificateDer<'a>>, ChainError> {
    let too_large = intermediates
        .iter()
        .any(|certificate| certificate.len() > MAX_CERTIFICATE_BYTES);
    // Those of the peer and those of the relationship, each within its own bound.
    if too_large || intermediates.len() > MAX_INTERMEDIATES.saturating_mul(2) {
        return Err(ChainError::TooLong);
    }
    let kept = different(intermediates);
    if is_one_subject_too_often(&kept) {
        return Err(ChainError::SameSubject);
    }
    Ok(kept
        .into_iter()
        .map(|(_, certificate)| CertificateDer::from(certificate.as_ref()))
        .collect())
}

/// Whether certificates would be refused beside every leaf, because more than [`MAX_SAME_SUBJECT`] have one subject.
pub(crate) fn have_too_many_of_one_subject(certificates: &[CertificateDer<'_>]) -> bool {
    is_one_subject_too_often(&different(certificates))
}

type Parsed<'a> = (TrustAnchor<'a>, &'a CertificateDer<'a>);

/// Each certificate once. What is not one cannot be part of a path, and need not spoil a good one.
fn different<'a>(certificates: &'a [CertificateDer<'a>]) -> Vec<Parsed<'a>> {
    let mut different: Vec<Parsed<'a>> = Vec::new();
    for certificate in certificates {
        if let Ok(parsed) = webpki::anchor_from_trusted_cert(certificate)
            && !different.iter().any(|(_, known)| *known == certificate)
        {
            different.push((parsed, certificate));
        }
    }
    different
}

fn is_one_subject_too_often(certificates: &[Parsed<'_>]) -> bool {
    let of_subject = |subject: &[u8]| {
        certificates
            .iter()
            .filter(|(known, _)| *known.subject == *subject)
            .count()
    };
    certificates
        .iter()
        .any(|(parsed, _)| of_subject(&parsed.subject) > MAX_SAME_SUBJECT)
}

fn borrow<'a>(anchor: &'a TrustAnchor<'static>) -> TrustAnchor<'a> {
    TrustAnchor {
        subject: anchor.subject.as_ref().into(),
        subject_public_key_info: anchor.subject_public_key_info.as_ref().into(),
        name_constraints: anchor
            .name_constraints
            .as_ref()
            .map(|constraints| constraints.as_ref().into()),
    }
}

/// The authority that an anchor was made of. The two lists are of one length and order.
fn authority_of<'a>(
    path: &VerifiedPath<'_>,
    valid: &[&'a Authority],
    anchors: &[TrustAnchor<'_>],
) -> Option<&'a Authority> {
    let place = anchors.iter().position(|anchor| std::ptr::eq(anchor, path.anchor()))?;
    valid.get(place).copied()
}

/// What webpki does not check on a path that it has found good. An error here lets it look for another path.
fn check_path(
    path: &VerifiedPath<'_>,
    leaf: &Fields,
    valid: &[&Authority],
    anchors: &[TrustAnchor<'_>],
) -> Result<(), webpki::Error> {
    let authority = authority_of(path, valid, anchors).ok_or(webpki::Error::UnknownIssuer)?;
    // CA-3. RFC 5280 leaves the path length of an anchor open, as it does its constraints (NC-9); here both count.
    if authority
        .path_len
        .is_some_and(|most| path.intermediate_certificates().count() > usize::from(most))
    {
        return Err(webpki::Error::PathLenConstraintViolated);
    }
    let mut uris = leaf.uri_sans.clone();
    for certificate in path.intermediate_certificates() {
        let fields = Fields::read(&certificate.der()).map_err(|_| webpki::Error::MalformedExtensions)?;
        // CA-2. DEVIATION: RFC 5280 asks for keyCertSign only where key usage is present; X509-SVID 4.3 makes key usage
        // itself a must for signing certificates.
        if !fields.key_usage.is_some_and(|usage| usage.key_cert_sign()) {
            return Err(webpki::Error::EndEntityUsedAsCa);
        }
        // CA-5: an id with a path is a workload's name on a signing certificate.
        let is_workload = |uri: &String| SpiffeId::parse(uri).is_ok_and(|id| !id.path().is_empty());
        if fields.uri_sans.iter().any(is_workload) {
            return Err(webpki::Error::EndEntityUsedAsCa);
        }
        // What constrains by empty lists cannot be told from a mistake.
        if fields
            .name_constraints
            .as_ref()
            .is_some_and(name_constraints::says_nothing)
        {
            return Err(webpki::Error::MalformedNameConstraint);
        }
        uris.extend(fields.uri_sans);
    }
    // NC-1: leaf and signing certificates alike.
    if uris.iter().all(|uri| authority.uri_constraints.allow(uri)) {
        Ok(())
    } else {
        Err(webpki::Error::NameConstraintViolation)
    }
}

fn summary(
    path: &VerifiedPath<'_>,
    leaf: Fields,
    valid: &[&Authority],
    anchors: &[TrustAnchor<'_>],
) -> Result<Path, ChainError> {
    let authority = authority_of(path, valid, anchors).ok_or(ChainError::UnknownAuthority { outside_validity: 0 })?;
    let mut valid_until = leaf.not_after.min(authority.not_after);
    let mut revocable = vec![leaf.revocable];
    for certificate in path.intermediate_certificates() {
        let fields = Fields::read(&certificate.der()).map_err(|_| ChainError::Unreadable)?;
        valid_until = valid_until.min(fields.not_after);
        revocable.push(fields.revocable);
    }
    revocable.push(authority.revocable.clone());
    Ok(Path {
        valid_until,
        authority: authority.revocable.sha256,
        revocable,
    })
}

impl ExtendedKeyUsageValidator for Purpose {
    fn validate(&self, usages: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        // id-kp-serverAuth, id-kp-clientAuth and anyExtendedKeyUsage, as DER contents (RFC 5280 4.2.1.12).
        const SERVER_AUTH: KeyPurposeId<'static> = KeyPurposeId::new(&[0x2b, 6, 1, 5, 5, 7, 3, 1]);
        const CLIENT_AUTH: KeyPurposeId<'static> = KeyPurposeId::new(&[0x2b, 6, 1, 5, 5, 7, 3, 2]);
        const ANY: KeyPurposeId<'static> = KeyPurposeId::new(&[0x55, 0x1d, 0x25, 0]);

        let wanted = match self {
            Self::ClientAuth => CLIENT_AUTH,
            Self::ServerAuth => SERVER_AUTH,
        };
        let mut absent = true;
        for usage in usages {
            let usage = usage?;
            if usage == wanted || usage == ANY {
                return Ok(());
            }
            absent = false;
        }
        // webpki refuses an extension that is present and empty before it asks here.
        if absent {
            Ok(())
        } else {
            Err(webpki::Error::EmptyEkuExtension)
        }
    }
}

/// An algorithm that stops verifying when the budget of its leaf is spent.
#[derive(Debug)]
struct Counted<'a> {
    algorithm: &'a dyn SignatureVerificationAlgorithm,
    left: &'a AtomicU32,
}

impl Counted<'_> {
    /// How many checks it counts as. Measured in Envoy: 60 to 100 us for most; 850 us for P-521; PSS, which no proxy checks
    /// for us, 3.5 ms with 4,096 bits.
    fn checks(&self) -> u32 {
        match self.algorithm.signature_alg_id() {
            alg_id::RSA_PSS_SHA256 | alg_id::RSA_PSS_SHA384 | alg_id::RSA_PSS_SHA512 => 4,
            _ if self.algorithm.public_key_alg_id() == alg_id::ECDSA_P521 => 2,
            _ => 1,
        }
    }
}

impl SignatureVerificationAlgorithm for Counted<'_> {
    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let left = self.left.load(Ordering::Relaxed).checked_sub(self.checks());
        self.left.store(left.unwrap_or_default(), Ordering::Relaxed);
        left.ok_or(InvalidSignature)?;
        self.algorithm.verify_signature(public_key, message, signature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.signature_alg_id()
    }
}

/// Why no authority of the bundle stands behind a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainError {
    /// No authority, and no chain to one, has the issuer's name.
    UnknownAuthority {
        /// How many authorities were not looked at because they are expired or not yet valid.
        outside_validity: usize,
    },
    /// A name matches, its key did not make the signature.
    BadSignature,
    /// A certificate of the path is past its end, or ends before it begins.
    Expired,
    /// A certificate of the path has not begun.
    NotYetValid,
    /// A signing certificate breaks its rules: cA, keyCertSign, path length, an id with a path.
    SigningCertificate,
    /// A name constraint forbids a name below it, or cannot be processed.
    NameConstraint,
    /// A critical extension is not known.
    CriticalExtension,
    /// A signature algorithm or key is not on the list.
    UnsupportedAlgorithm,
    /// Extended key usage of a certificate in the path lacks the purpose.
    ExtendedKeyUsage,
    /// More or larger certificates than the bounds allow.
    TooLong,
    /// More than [`MAX_SAME_SUBJECT`] signing certificates with one subject.
    SameSubject,
    /// More than [`MAX_SIGNATURE_CHECKS`].
    TooMuchWork,
    /// A certificate cannot be read.
    Unreadable,
}

impl ChainError {
    /// The reason code.
    pub fn reason(self) -> Reason {
        match self {
            Self::UnknownAuthority { .. } => Reason::SvidUnknownAuthority,
            Self::BadSignature => Reason::SvidBadSignature,
            Self::Expired => Reason::SvidExpired,
            Self::NotYetValid => Reason::SvidNotYetValid,
            Self::SigningCertificate => Reason::SvidSigningCertificate,
            Self::NameConstraint => Reason::SvidNameConstraint,
            Self::CriticalExtension => Reason::SvidCriticalExtension,
            Self::UnsupportedAlgorithm => Reason::SvidUnsupportedAlgorithm,
            Self::ExtendedKeyUsage => Reason::SvidKeyUsage,
            Self::TooLong | Self::SameSubject | Self::TooMuchWork => Reason::SvidChainTooLong,
            Self::Unreadable => Reason::ConnectionCertificateUnreadable,
        }
    }
}

impl ChainError {
    /// What an error of webpki means, where so many authorities were not looked at.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the enum is open; whatever is new refuses as unreadable"
    )]
    fn of(error: webpki::Error, outside_validity: usize) -> Self {
        use webpki::Error as E;
        match error {
            E::UnknownIssuer => Self::UnknownAuthority { outside_validity },
            E::InvalidSignatureForPublicKey => Self::BadSignature,
            E::CertExpired { .. } | E::InvalidCertValidity => Self::Expired,
            E::CertNotValidYet { .. } => Self::NotYetValid,
            E::CaUsedAsEndEntity | E::EndEntityUsedAsCa | E::PathLenConstraintViolated => Self::SigningCertificate,
            E::NameConstraintViolation
            | E::MalformedNameConstraint
            | E::InvalidNetworkMaskConstraint
            | E::MaximumNameConstraintComparisonsExceeded => Self::NameConstraint,
            E::UnsupportedCriticalExtension => Self::CriticalExtension,
            E::UnsupportedSignatureAlgorithmContext(_)
            | E::UnsupportedSignatureAlgorithmForPublicKeyContext(_)
            | E::SignatureAlgorithmMismatch => Self::UnsupportedAlgorithm,
            E::EmptyEkuExtension | E::RequiredEkuNotFoundContext(_) => Self::ExtendedKeyUsage,
            E::MaximumPathDepthExceeded | E::MaximumPathBuildCallsExceeded => Self::TooLong,
            // Not met: our own bound is lower.
            E::MaximumSignatureChecksExceeded => Self::TooMuchWork,
            _ => Self::Unreadable,
        }
    }
}

impl fmt::Display for ChainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownAuthority { outside_validity: 0 } => {
                f.write_str("no authority of the bundle issued it, directly or through the certificates at hand")
            }
            Self::UnknownAuthority { outside_validity } => write!(
                f,
                "no valid authority of the bundle issued it ({outside_validity} in the bundle are outside their validity)"
            ),
            Self::BadSignature => f.write_str("an authority has the issuer's name, but not the key that signed"),
            Self::Expired => f.write_str("a certificate of the chain is expired"),
            Self::NotYetValid => f.write_str("a certificate of the chain is not valid yet"),
            Self::SigningCertificate => f.write_str(
                "a signing certificate of the chain breaks its rules (cA, keyCertSign, path length, id without a path)",
            ),
            Self::NameConstraint => {
                f.write_str("a name constraint of the chain forbids a name, or cannot be processed")
            }
            Self::CriticalExtension => f.write_str("a critical extension of the chain is not known"),
            Self::UnsupportedAlgorithm => f.write_str("a signature algorithm of the chain is not supported"),
            Self::ExtendedKeyUsage => f.write_str("extended key usage of the chain lacks clientAuth"),
            Self::TooLong => write!(
                f,
                "the chain has more than {MAX_INTERMEDIATES} certificates beside the leaf, or too large ones"
            ),
            Self::SameSubject => write!(
                f,
                "more than {MAX_SAME_SUBJECT} signing certificates beside the leaf (the relationship's counted) have one subject"
            ),
            Self::TooMuchWork => write!(
                f,
                "more than {MAX_SIGNATURE_CHECKS} signatures would have to be checked"
            ),
            Self::Unreadable => f.write_str("a certificate of the chain cannot be read"),
        }
    }
}

impl std::error::Error for ChainError {}
