//! Is this certificate an authority?

use std::fmt;

use crate::certificate::{
    error::CertificateError,
    fields::{Fields, Purpose},
    fingerprint::Fingerprints,
    signer::{Role, Signer, SigningError},
};

/// One X.509 authority: a signing certificate that the bundle vouches for, self-signed or not (PV-10).
#[derive(Debug)]
pub(crate) struct Authority {
    pub(crate) revocable: Fingerprints,
    pub(crate) signer: Signer,
}

impl Authority {
    /// Reads an authority and checks what makes it one (BN-13, CA-1, CA-2, CA-5, CA-9).
    pub(crate) fn parse(der: &[u8]) -> Result<Self, AuthorityError> {
        let fields = Fields::read(der)?;
        let signer = Signer::read(&fields, Role::Authority, Purpose::ClientAuth).map_err(AuthorityError::Signer)?;
        Ok(Self {
            signer,
            revocable: fields.revocable(),
        })
    }
}

/// Why a certificate is no X.509 authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorityError {
    /// It cannot be read.
    Certificate(CertificateError),
    /// It may not sign others.
    Signer(SigningError),
}

impl From<CertificateError> for AuthorityError {
    fn from(error: CertificateError) -> Self {
        Self::Certificate(error)
    }
}

impl fmt::Display for AuthorityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(error) => write!(f, "{error}"),
            Self::Signer(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for AuthorityError {}
