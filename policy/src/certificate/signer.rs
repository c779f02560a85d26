//! What a certificate must be to sign others (X509-SVID 3.2 and 4): the same rules for the authorities of a bundle and
//! for what stands between one of them and a leaf.

use std::fmt;

use jiff::Timestamp;
use x509_cert::der::oid::{ObjectIdentifier, db::rfc5280};

use crate::{
    certificate::{
        fields::{Fields, Purpose},
        name_constraints::{ConstraintsError, NameConstraints},
    },
    name::id::SpiffeId,
};

/// Most signing certificates between a leaf and its authority. Our decision: nested trust domains have two or three.
pub const MAX_PATH_LENGTH: usize = 6;

/// A certificate that may sign others, as far as it says itself.
#[derive(Debug)]
pub(crate) struct Signer {
    /// Its name, in DER.
    pub(crate) subject: Vec<u8>,
    pub(crate) key_id: Option<Vec<u8>>,
    /// The subject public key info, in DER.
    pub(crate) public_key: Vec<u8>,
    /// How many signing certificates may stand below it.
    pub(crate) path_len: Option<usize>,
    pub(crate) constraints: NameConstraints,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

/// Where it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// In a bundle.
    Authority,
    /// Between an authority and a leaf.
    Intermediate,
}

impl Signer {
    pub(crate) fn read(fields: &Fields<'_>, role: Role, purpose: Purpose) -> Result<Self, SigningError> {
        check_extensions(fields, role)?;
        if !fields.is_ca {
            return Err(SigningError::NotCa);
        }
        check_key_usage(fields, role)?;
        // CA-9.
        if !fields.is_for(purpose) {
            return Err(SigningError::Purpose(purpose));
        }
        // CA-5: an id with a path is a workload's name on a signing certificate.
        let is_workload = |uri: &str| SpiffeId::parse(uri).is_ok_and(|id| !id.path().is_empty());
        if fields.uris().any(is_workload) {
            return Err(SigningError::WorkloadId);
        }
        let constraints = fields.name_constraints.as_ref().map(NameConstraints::read);
        Ok(Self {
            subject: fields.subject.clone(),
            key_id: fields.key_id.clone(),
            public_key: fields.public_key.clone(),
            path_len: fields.path_len,
            constraints: constraints
                .transpose()
                .map_err(SigningError::NameConstraints)?
                .unwrap_or_default(),
            not_before: fields.not_before,
            not_after: fields.not_after,
        })
    }
}

/// RFC 5280 6.1 takes of an authority its name and its key, and so no policies. What constrains policies would
/// constrain those of the certificates below, which are not processed.
fn check_extensions(fields: &Fields<'_>, role: Role) -> Result<(), SigningError> {
    match (fields.unknown_critical, role) {
        (Some(rfc5280::ID_CE_CERTIFICATE_POLICIES), Role::Authority) | (None, _) => Ok(()),
        (Some(oid), Role::Authority | Role::Intermediate) => Err(SigningError::CriticalExtension { oid }),
    }
}

/// CA-2. DEVIATION: RFC 5280 asks for keyCertSign only where key usage is present; X509-SVID 4.3 makes key usage itself
/// a must for signing certificates. An authority without it is accepted: older roots have none.
fn check_key_usage(fields: &Fields<'_>, role: Role) -> Result<(), SigningError> {
    match (fields.key_usage, role) {
        (Some(usage), _) if usage.key_cert_sign() => Ok(()),
        (Some(_), Role::Authority | Role::Intermediate) => Err(SigningError::CannotSign),
        (None, Role::Intermediate) => Err(SigningError::NoKeyUsage),
        (None, Role::Authority) => Ok(()),
    }
}

/// Why a certificate may not sign others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningError {
    /// Basic constraints do not say cA.
    NotCa,
    /// Key usage is missing.
    NoKeyUsage,
    /// Key usage is there and lacks keyCertSign.
    CannotSign,
    /// Extended key usage is there and lacks the purpose.
    Purpose(Purpose),
    /// Its id has a path.
    WorkloadId,
    /// Its name constraints cannot be processed.
    NameConstraints(ConstraintsError),
    /// A critical extension is not processed.
    CriticalExtension {
        /// Which.
        oid: ObjectIdentifier,
    },
}

impl fmt::Display for SigningError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotCa => f.write_str("certificate is no signing certificate (basic constraints do not say cA)"),
            Self::NoKeyUsage => f.write_str("certificate cannot sign (key usage is missing)"),
            Self::CannotSign => f.write_str("certificate cannot sign (key usage lacks keyCertSign)"),
            Self::Purpose(Purpose::ClientAuth) => f.write_str("extended key usage lacks clientAuth"),
            Self::Purpose(Purpose::ServerAuth) => f.write_str("extended key usage lacks serverAuth"),
            Self::WorkloadId => {
                f.write_str("its SPIFFE ID has a path, as a workload's has (that of a signing certificate has none)")
            }
            Self::NameConstraints(error) => write!(f, "{error}"),
            Self::CriticalExtension { oid } => write!(f, "critical extension {oid} is not known"),
        }
    }
}

impl std::error::Error for SigningError {}
