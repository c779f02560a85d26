//! Why no authority of the bundle stands behind a leaf, and how that is told: so that whoever reads the line knows
//! which certificate is meant and what to do.

use std::fmt;

use jiff::Timestamp;
use x509_cert::der::oid::ObjectIdentifier;

use crate::{
    certificate::{
        bounds::{MAX_CERTIFICATE_BYTES, MAX_INTERMEDIATES},
        fields::Fields,
        name_constraints::Breach,
        signature::MAX_SIGNATURE_CHECKS,
        signer::{MAX_PATH_LENGTH, SigningError},
    },
    claim::{Claim, Hex, beginning},
    reason::Reason,
};

/// The issuer that a certificate names, for whom nobody vouches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// How many certificates above the leaf were found before this was missed.
    found: usize,
    /// As RFC 4514 writes it, as far as it is shown.
    name: String,
    /// The identifier of its key in hexadecimal digits, as far as it is shown.
    key_id: Option<String>,
}

impl Issuer {
    pub(crate) fn of(child: &Fields<'_>, found: usize) -> Self {
        Self {
            found,
            name: beginning(child.issuer_name()),
            key_id: child.issuer_key_id.as_deref().map(|id| beginning(Hex(id))),
        }
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.found {
            0 => f.write_str("the leaf")?,
            found => write!(f, "certificate {found} above the leaf")?,
        }
        write!(f, " claims issuer `{}`", Claim(&self.name))?;
        match &self.key_id {
            Some(key_id) => write!(f, ", key id {}", Claim(key_id)),
            None => f.write_str(", no key id"),
        }
    }
}

/// Why no authority of the bundle stands behind a leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainError {
    /// No authority, and no chain to one, has the issuer's name.
    UnknownAuthority {
        /// How many authorities there are.
        authorities: usize,
        /// How many of them were not looked at because they are expired or not yet valid.
        outside_validity: usize,
        /// What was looked for.
        issuer: Issuer,
    },
    /// The authority that stood behind it is not in the bundle any more.
    AuthorityGone,
    /// A name matches, its key did not make the signature.
    BadSignature {
        /// How many certificates have the issuer's name.
        namesakes: usize,
        /// Whether one of them has the key identifier, too.
        is_meant: bool,
    },
    /// A certificate of the path is past its end, or ends before it begins.
    Expired {
        /// Its end.
        not_after: Timestamp,
    },
    /// A certificate of the path has not begun.
    NotYetValid {
        /// Its beginning.
        not_before: Timestamp,
    },
    /// A certificate that signed another may not.
    Signer(SigningError),
    /// More signing certificates stand below one than it allows.
    PathLength,
    /// The leaf has the key of a signing certificate of its own path.
    LeafKey,
    /// What stands in the place of a leaf may sign others, or constrains them.
    LeafSigns,
    /// A critical extension of what stands in the place of a leaf is not known.
    LeafExtension {
        /// Which.
        oid: ObjectIdentifier,
    },
    /// A name constraint forbids a name below it.
    NameConstraint(Breach),
    /// A certificate of the path is revoked.
    Revoked {
        /// What the list says about it.
        reason: Option<Box<str>>,
    },
    /// The signature algorithm is not on the list.
    UnsupportedAlgorithm,
    /// More than [`MAX_PATH_LENGTH`] signing certificates below an authority.
    TooDeep,
    /// More certificates beside the leaf than the bounds allow.
    TooMany,
    /// One beside the leaf is too large.
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// More than [`MAX_SIGNATURE_CHECKS`].
    TooMuchWork,
    /// The leaf cannot be read.
    Unreadable,
}

impl ChainError {
    /// The reason code.
    pub fn reason(&self) -> Reason {
        match self {
            Self::UnknownAuthority { .. } | Self::AuthorityGone => Reason::SvidUnknownAuthority,
            Self::BadSignature { .. } => Reason::SvidBadSignature,
            Self::Expired { .. } => Reason::SvidExpired,
            Self::NotYetValid { .. } => Reason::SvidNotYetValid,
            Self::Signer(SigningError::Purpose(_)) => Reason::SvidKeyUsage,
            Self::Signer(SigningError::NameConstraints(_)) | Self::NameConstraint(_) => Reason::SvidNameConstraint,
            Self::Signer(SigningError::CriticalExtension { .. }) | Self::LeafExtension { .. } => {
                Reason::SvidCriticalExtension
            }
            Self::Signer(
                SigningError::NotCa | SigningError::NoKeyUsage | SigningError::CannotSign | SigningError::WorkloadId,
            )
            | Self::PathLength
            | Self::LeafSigns => Reason::SvidSigningCertificate,
            Self::LeafKey => Reason::SvidIsCa,
            Self::Revoked { .. } => Reason::SvidRevoked,
            Self::UnsupportedAlgorithm => Reason::SvidUnsupportedAlgorithm,
            Self::TooDeep | Self::TooMany | Self::TooLarge { .. } | Self::TooMuchWork => Reason::SvidChainTooLong,
            Self::Unreadable => Reason::ConnectionCertificateUnreadable,
        }
    }
}

impl ChainError {
    /// Whether nothing is known against the leaf but that its issuer is not at hand: with the right certificates beside
    /// it, there may be a path. Where a certificate with the issuer's name and key id is at hand, it is not that,
    /// unless only its time is not now: an issuer that keeps its key has a certificate after it.
    pub fn is_for_want_of_issuer(&self) -> bool {
        match self {
            Self::UnknownAuthority { .. }
            | Self::AuthorityGone
            | Self::BadSignature { is_meant: false, .. }
            | Self::Expired { .. }
            | Self::NotYetValid { .. } => true,
            Self::BadSignature { is_meant: true, .. }
            | Self::Signer(_)
            | Self::PathLength
            | Self::LeafKey
            | Self::LeafSigns
            | Self::LeafExtension { .. }
            | Self::NameConstraint(_)
            | Self::Revoked { .. }
            | Self::UnsupportedAlgorithm
            | Self::TooDeep
            | Self::TooMany
            | Self::TooLarge { .. }
            | Self::TooMuchWork
            | Self::Unreadable => false,
        }
    }
}

impl fmt::Display for ChainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownAuthority {
                authorities,
                outside_validity,
                issuer,
            } => {
                write!(f, "none of {authorities} authorities issued it")?;
                if *outside_validity > 0 {
                    write!(f, " ({outside_validity} of them outside their validity)")?;
                }
                write!(f, "; {issuer}")
            }
            Self::AuthorityGone => f.write_str("its authority is not in the bundle any more"),
            Self::BadSignature { namesakes, is_meant } => {
                write!(
                    f,
                    "{namesakes} certificates have the issuer's name, none the key that signed"
                )?;
                f.write_str(if *is_meant {
                    " (one has its key id: the signature is wrong)"
                } else {
                    ""
                })
            }
            Self::Expired { not_after } => write!(f, "a certificate of the chain is expired: {not_after} was its end"),
            Self::NotYetValid { not_before } => {
                write!(
                    f,
                    "a certificate of the chain is not valid yet: it begins at {not_before}"
                )
            }
            Self::Signer(error) => write!(f, "a signing certificate of the chain: {error}"),
            Self::PathLength => {
                f.write_str("more signing certificates stand below one of the chain than its path length allows")
            }
            Self::LeafKey => f.write_str("the leaf has the key of a signing certificate of its own chain"),
            Self::LeafSigns => f.write_str("what stands in the place of a leaf is a signing certificate"),
            Self::LeafExtension { oid } => write!(f, "critical extension {oid} of the leaf is not known"),
            Self::NameConstraint(breach) => write!(f, "a name constraint of the chain: {breach}"),
            Self::Revoked { reason: None } => f.write_str("a certificate of the chain is revoked"),
            Self::Revoked { reason: Some(reason) } => write!(f, "a certificate of the chain is revoked: {reason}"),
            Self::UnsupportedAlgorithm => f.write_str("a signature algorithm of the chain is not supported"),
            Self::TooDeep => write!(f, "more than {MAX_PATH_LENGTH} signing certificates below an authority"),
            Self::TooMany => write!(
                f,
                "more than {MAX_INTERMEDIATES} certificates beside the leaf, from the peer or in `intermediates`"
            ),
            Self::TooLarge { bytes } => write!(
                f,
                "a certificate beside the leaf has {bytes} bytes (at most {MAX_CERTIFICATE_BYTES})"
            ),
            Self::TooMuchWork => write!(
                f,
                "more than {MAX_SIGNATURE_CHECKS} signatures would have to be checked: too many signing certificates \
                 of one name, without the key id that the certificate below names"
            ),
            Self::Unreadable => f.write_str("the leaf cannot be read"),
        }
    }
}

impl std::error::Error for ChainError {}
