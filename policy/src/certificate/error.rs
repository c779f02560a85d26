//! What is wrong with a certificate?

use std::fmt;

use x509_cert::der::oid::ObjectIdentifier;

use crate::{
    certificate::bounds::{MAX_EXTENSIONS, MAX_INTERMEDIATES, MAX_SANS, MAX_SERIAL_BYTES},
    name::id::SpiffeIdError,
    reason::Reason,
};

/// Why a certificate is not readable, or not an X.509-SVID leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateError {
    /// Not PEM, or PEM without a certificate.
    NotPem,
    /// Not one DER certificate.
    NotDer,
    /// Beyond a bound in bytes.
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        bound: usize,
    },
    /// A serial number of more than 20 bytes.
    SerialTooLong {
        /// How many.
        bytes: usize,
    },
    /// More than [`MAX_INTERMEDIATES`] beside the leaf.
    TooMany,
    /// More certificates in a bundle than the bound allows.
    TooManyAuthorities {
        /// The bound.
        most: usize,
    },
    /// More than [`MAX_SANS`].
    TooManySans {
        /// How many.
        sans: usize,
    },
    /// More than [`MAX_EXTENSIONS`].
    TooManyExtensions {
        /// How many.
        extensions: usize,
    },
    /// An extension that is processed does not parse.
    ExtensionUnreadable {
        /// Which.
        oid: ObjectIdentifier,
    },
    /// An extension appears twice.
    DuplicateExtension {
        /// Which.
        oid: ObjectIdentifier,
    },
    /// A critical extension that is not processed.
    CriticalExtension {
        /// Which.
        oid: ObjectIdentifier,
    },
    /// No URI SAN: not an SVID.
    NoUriSan,
    /// More than one URI SAN.
    MultipleUriSans {
        /// How many.
        uris: usize,
    },
    /// The URI SAN is not a SPIFFE ID.
    InvalidId(SpiffeIdError),
    /// The ID has no path.
    RootPath,
    /// A signing certificate in leaf position.
    IsCa {
        /// What shows it.
        because: &'static str,
    },
    /// The leaf's own key is not on the list of algorithms.
    UnsupportedKey,
    /// Key usage or extended key usage.
    KeyUsage {
        /// What is wrong with it.
        because: &'static str,
    },
}

impl CertificateError {
    /// The reason code for a peer that presented such a certificate as its leaf.
    pub fn reason(&self) -> Reason {
        match self {
            Self::NotPem
            | Self::NotDer
            | Self::SerialTooLong { .. }
            | Self::TooLarge { .. }
            | Self::TooManySans { .. }
            | Self::TooManyExtensions { .. }
            | Self::ExtensionUnreadable { .. }
            | Self::DuplicateExtension { .. } => Reason::ConnectionCertificateUnreadable,
            Self::TooMany | Self::TooManyAuthorities { .. } => Reason::SvidChainTooLong,
            Self::CriticalExtension { .. } => Reason::SvidCriticalExtension,
            Self::NoUriSan => Reason::SvidNoUriSan,
            Self::MultipleUriSans { .. } => Reason::SvidMultipleUriSans,
            Self::InvalidId(_) => Reason::SvidInvalidId,
            Self::RootPath => Reason::SvidRootPath,
            Self::IsCa { .. } => Reason::SvidIsCa,
            Self::UnsupportedKey => Reason::SvidUnsupportedAlgorithm,
            Self::KeyUsage { .. } => Reason::SvidKeyUsage,
        }
    }
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPem => f.write_str("no certificate in PEM"),
            Self::NotDer => f.write_str("not one X.509 certificate in DER"),
            Self::SerialTooLong { bytes } => write!(
                f,
                "serial number has {bytes} bytes (at most {MAX_SERIAL_BYTES}, RFC 5280 4.1.2.2)"
            ),
            Self::TooLarge { bytes, bound } => write!(f, "{bytes} bytes (at most {bound})"),
            Self::TooManyAuthorities { most } => write!(f, "more than {most} certificates in one bundle"),
            Self::TooMany => write!(f, "more than {MAX_INTERMEDIATES} certificates beside the leaf"),
            Self::TooManySans { sans } => {
                write!(
                    f,
                    "certificate contains {sans} subject alternative names (at most {MAX_SANS})"
                )
            }
            Self::TooManyExtensions { extensions } => {
                write!(
                    f,
                    "certificate contains {extensions} extensions (at most {MAX_EXTENSIONS})"
                )
            }
            Self::ExtensionUnreadable { oid } => write!(f, "extension {oid} does not parse"),
            Self::DuplicateExtension { oid } => write!(f, "extension {oid} appears twice"),
            Self::CriticalExtension { oid } => write!(f, "critical extension {oid} is not known"),
            Self::NoUriSan => f.write_str("certificate contains no URI SAN (an X.509-SVID has exactly one)"),
            Self::MultipleUriSans { uris } => {
                write!(
                    f,
                    "certificate contains {uris} URI SANs (an X.509-SVID has exactly one)"
                )
            }
            Self::InvalidId(error) => write!(f, "URI SAN is not a SPIFFE ID: {error}"),
            Self::RootPath => f.write_str("SPIFFE ID has no path (a workload's has one)"),
            Self::IsCa { because } => write!(f, "a signing certificate is not an identity: {because}"),
            Self::UnsupportedKey => {
                f.write_str("key is none of ECDSA P-256, P-384, P-521, RSA of 2048 to 4096 bits, Ed25519")
            }
            Self::KeyUsage { because } => f.write_str(because),
        }
    }
}

impl std::error::Error for CertificateError {}
