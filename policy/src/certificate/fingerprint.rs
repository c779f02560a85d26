//! What a revocation can name a certificate by.

use x509_cert::name::{Name, RdnSequence};

use crate::{
    certificate::distinguished_name,
    digest::{Digest, sha256},
};

/// Who issued a certificate, and under which serial number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct IssuerAndSerial {
    /// SHA-256 of the issuer's name in its one spelling.
    issuer: Digest,
    /// Big-endian, without zeros in front.
    serial: Box<[u8]>,
}

impl IssuerAndSerial {
    pub(crate) fn new(issuer: &Name, serial: &[u8]) -> Self {
        Self::by_name(issuer.as_ref(), serial)
    }

    pub(crate) fn by_name(issuer: &RdnSequence, serial: &[u8]) -> Self {
        Self::of(sha256(&distinguished_name::canonical(issuer)), serial)
    }

    pub(crate) fn of(issuer: Digest, serial: &[u8]) -> Self {
        let zeros = serial.iter().take_while(|byte| **byte == 0).count();
        Self {
            issuer,
            serial: serial.get(zeros..).unwrap_or_default().into(),
        }
    }
}

/// What a revocation can name a certificate by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprints {
    pub(crate) sha256: Digest,
    /// Of the same certificate with the other ECDSA signature that is as good.
    pub(crate) twin_sha256: Option<Digest>,
    /// SHA-256 of the subject public key info in DER.
    pub(crate) public_key: Digest,
    pub(crate) issued: IssuerAndSerial,
}
