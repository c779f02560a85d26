//! Does it keep to the profile of a leaf (X509-SVID, sections 2 to 5)?

use jiff::Timestamp;

use crate::{
    certificate::{
        error::CertificateError,
        fields::{Fields, Purpose},
        signature,
    },
    name::id::SpiffeId,
};

/// A leaf that keeps to the X.509-SVID profile. Who signed it, and whether it is valid now, is not known yet.
#[derive(Debug)]
pub struct Leaf<'a> {
    pub(crate) id: SpiffeId,
    pub(crate) fields: Fields<'a>,
}

impl<'a> Leaf<'a> {
    /// Reads a leaf from DER and checks the profile, as far as one certificate can show it (LF-1 to LF-16).
    ///
    /// # Errors
    /// The first rule that the certificate breaks. Who it claims to be comes first, because all else hangs on that.
    pub fn parse(der: &'a [u8]) -> Result<Self, CertificateError> {
        let fields = Fields::read(der)?;
        if let Some(oid) = fields.unknown_critical {
            return Err(CertificateError::CriticalExtension { oid });
        }
        // LF-1, LF-2: one URI SAN, whatever the schemes and the order.
        let mut uris = fields.uris();
        let uri = uris.next().ok_or(CertificateError::NoUriSan)?;
        let others = uris.count();
        if others > 0 {
            return Err(CertificateError::MultipleUriSans {
                uris: others.saturating_add(1),
            });
        }
        let id = workload_id(uri)?;
        check_leaf_usage(&fields)?;
        // PV-13: the key that the handshake was signed with is held to the list like any other.
        if !signature::is_key_on_the_list(&fields.public_key) {
            return Err(CertificateError::UnsupportedKey);
        }
        Ok(Self { id, fields })
    }

    /// The SPIFFE ID, with a non-root path.
    pub fn id(&self) -> &SpiffeId {
        &self.id
    }
}

/// The last second of a certificate; `None` where it cannot be read.
pub fn not_after(der: &[u8]) -> Option<Timestamp> {
    Fields::read(der).ok().map(|fields| fields.not_after)
}

/// The id of a workload: one with a path.
pub(crate) fn workload_id(uri: impl AsRef<[u8]>) -> Result<SpiffeId, CertificateError> {
    let id = SpiffeId::parse(uri).map_err(CertificateError::InvalidId)?;
    if id.path().is_empty() {
        return Err(CertificateError::RootPath);
    }
    Ok(id)
}

fn check_leaf_usage(fields: &Fields<'_>) -> Result<(), CertificateError> {
    if fields.is_ca {
        return Err(CertificateError::IsCa {
            because: "basic constraints say cA",
        });
    }
    // DEVIATION: X509-SVID 4.3 demands key usage and digitalSignature of issuers only; a verifier that lets a leaf
    // without them pass would let a CA's leftovers pass too (LF-10, LF-11).
    let usage = fields.key_usage.ok_or(CertificateError::KeyUsage {
        because: "key usage is missing",
    })?;
    if usage.key_cert_sign() {
        return Err(CertificateError::IsCa {
            because: "key usage has keyCertSign",
        });
    }
    if usage.crl_sign() {
        return Err(CertificateError::IsCa {
            because: "key usage has cRLSign",
        });
    }
    if !usage.digital_signature() {
        return Err(CertificateError::KeyUsage {
            because: "key usage lacks digitalSignature",
        });
    }
    if !fields.is_for(Purpose::ClientAuth) {
        return Err(CertificateError::KeyUsage {
            because: "extended key usage lacks clientAuth",
        });
    }
    // RFC 5280 4.2.1.10: name constraints "MUST be used only in a CA certificate".
    if fields.name_constraints.is_some() {
        return Err(CertificateError::IsCa {
            because: "it has name constraints",
        });
    }
    Ok(())
}
