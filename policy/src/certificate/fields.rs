//! What does one certificate say, leaf or signing?
//!
//! Everything that is later decided on (id, key usages, validity, digest) comes from the same DER bytes that the
//! signature covers. An extension that does not parse, appears twice or has trailing bytes refuses the certificate:
//! "unreadable" never reads as "absent". The other way, asking the TLS library for the SANs, gives the first URI of
//! several and no way to see the others.

use jiff::Timestamp;
use x509_cert::{
    certificate::{Certificate, Version},
    der::{
        self, Decode, Encode, Reader as _, SliceReader, Tag, Tagged as _,
        asn1::{AnyRef, BitString, UintRef},
        oid::{AssociatedOid, ObjectIdentifier, db::rfc5280},
    },
    ext::{
        Extension,
        pkix::{self, name::GeneralName},
    },
    name::Name,
    time::Time,
};

use crate::{
    certificate::{
        bounds::{MAX_EXTENSIONS, MAX_SANS, MAX_SERIAL_BYTES},
        error::CertificateError,
        fingerprint::{Fingerprints, IssuerAndSerial},
        name_constraints::Names,
        pem::check_size,
        signature::{self, Signed},
    },
    digest::sha256,
};

/// What a leaf is used for; where extended key usage is present anywhere in its path, it must allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The peer is a TLS client.
    ClientAuth,
    /// The peer is a TLS server.
    ServerAuth,
}

/// What a verifier of SVIDs looks at in any certificate, leaf or signing.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    der: &'a [u8],
    certificate: Certificate,
    /// Subject and issuer, in DER.
    pub(crate) subject: Vec<u8>,
    pub(crate) issuer: Vec<u8>,
    /// The identifiers of its own key and of its issuer's, which help to build paths and prove nothing.
    pub(crate) key_id: Option<Vec<u8>>,
    pub(crate) issuer_key_id: Option<Vec<u8>>,
    sans: Vec<GeneralName>,
    pub(crate) is_ca: bool,
    /// How many signing certificates may stand below this one, where it says so.
    pub(crate) path_len: Option<usize>,
    pub(crate) key_usage: Option<pkix::KeyUsage>,
    extended_key_usage: Option<pkix::ExtendedKeyUsage>,
    pub(crate) name_constraints: Option<pkix::NameConstraints>,
    /// A critical extension that is not processed; it refuses the certificate.
    pub(crate) unknown_critical: Option<ObjectIdentifier>,
    /// The subject public key info, in DER.
    pub(crate) public_key: Vec<u8>,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

impl<'a> Fields<'a> {
    /// Reads one certificate whole: all of its bytes, every extension at most once (LF-16, PV-7).
    pub(crate) fn read(der: &'a [u8]) -> Result<Self, CertificateError> {
        check_size(der)?;
        let certificate = Certificate::from_der(der).map_err(|_| undecodable(der))?;
        let body = certificate.tbs_certificate();
        // RFC 5280 4.1.2.1: only version 3 has extensions, and without them it is neither an SVID nor may it sign.
        if body.version() != Version::V3 {
            return Err(CertificateError::NotDer);
        }
        // RFC 5280 4.1.1.2: the signature does not cover the outer one.
        if body.signature() != certificate.signature_algorithm() {
            return Err(CertificateError::NotDer);
        }
        let extensions = body.extensions().map_or(&[][..], Vec::as_slice);
        check_extensions(extensions)?;
        let sans: Option<pkix::SubjectAltName> = find(extensions)?;
        let sans = sans.map_or_else(Vec::new, |sans| sans.0);
        if sans.len() > MAX_SANS {
            return Err(CertificateError::TooManySans { sans: sans.len() });
        }
        let key_id: Option<pkix::SubjectKeyIdentifier> = find(extensions).unwrap_or_default();
        let issuer_key_id: Option<pkix::AuthorityKeyIdentifier> = find(extensions).unwrap_or_default();
        let (is_ca, path_len) = basic_constraints(extensions)?;
        Ok(Self {
            subject: encoded(body.subject())?,
            issuer: encoded(body.issuer())?,
            key_id: key_id.map(|id| id.0.as_bytes().to_vec()),
            issuer_key_id: issuer_key_id
                .and_then(|id| id.key_identifier)
                .map(|id| id.as_bytes().to_vec()),
            sans,
            is_ca,
            path_len,
            key_usage: key_usage(extensions)?,
            extended_key_usage: find(extensions)?,
            name_constraints: find(extensions)?,
            unknown_critical: unknown_critical(extensions),
            public_key: encoded(body.subject_public_key_info())?,
            not_before: timestamp(body.validity().not_before),
            not_after: timestamp(body.validity().not_after),
            der,
            certificate,
        })
    }

    /// The URI SANs, in their order. LF-3: other kinds may be there and give no identity.
    pub(crate) fn uris(&self) -> impl Iterator<Item = &str> {
        self.sans.iter().filter_map(|name| match name {
            GeneralName::UniformResourceIdentifier(uri) => Some(uri.as_str()),
            GeneralName::OtherName(_)
            | GeneralName::Rfc822Name(_)
            | GeneralName::DnsName(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EdiPartyName(_)
            | GeneralName::IpAddress(_)
            | GeneralName::RegisteredId(_) => None,
        })
    }

    /// What constraints are on.
    pub(crate) fn names(&self) -> Names<'_> {
        Names {
            sans: &self.sans,
            subject: self.certificate.tbs_certificate().subject(),
        }
    }

    /// The issuer's name.
    pub(crate) fn issuer_name(&self) -> &Name {
        self.certificate.tbs_certificate().issuer()
    }

    /// Whether it may be used for a purpose, where it says for which (LF-14, CA-9).
    pub(crate) fn is_for(&self, purpose: Purpose) -> bool {
        let wanted = match purpose {
            Purpose::ClientAuth => rfc5280::ID_KP_CLIENT_AUTH,
            Purpose::ServerAuth => rfc5280::ID_KP_SERVER_AUTH,
        };
        self.extended_key_usage
            .as_ref()
            .is_none_or(|usage| usage.0.contains(&wanted) || usage.0.contains(&rfc5280::ANY_EXTENDED_KEY_USAGE))
    }

    /// What is signed, and how; `None` where the signature is no whole number of bytes.
    pub(crate) fn signed(&self) -> Option<Signed<'_>> {
        let content = AnyRef::from_der(self.der).ok()?.value();
        let mut reader = SliceReader::new(content).ok()?;
        Some(Signed {
            message: reader.tlv_bytes().ok()?,
            algorithm: reader.tlv_bytes().ok()?,
            signature: self.certificate.signature().as_bytes()?,
        })
    }

    /// SHA-256 of the whole.
    pub(crate) fn sha256(&self) -> [u8; 32] {
        sha256(self.der)
    }

    /// What a revocation can name it by. Digests of the whole, so it is asked for only where somebody stands behind it.
    pub(crate) fn revocable(&self) -> Fingerprints {
        let body = self.certificate.tbs_certificate();
        Fingerprints {
            sha256: sha256(self.der),
            twin_sha256: twin(self.der, &self.certificate).map(|twin| sha256(&twin)),
            public_key: sha256(&self.public_key),
            issued: IssuerAndSerial::new(body.issuer(), body.serial_number().as_bytes()),
        }
    }
}

fn encoded(value: &impl Encode) -> Result<Vec<u8>, CertificateError> {
    value.to_der().map_err(|_| CertificateError::NotDer)
}

/// Why a certificate does not decode, as far as an issuer can mend it.
fn undecodable(der: &[u8]) -> CertificateError {
    serial_bytes(der)
        .filter(|bytes| *bytes > MAX_SERIAL_BYTES)
        .map_or(CertificateError::NotDer, |bytes| CertificateError::SerialTooLong {
            bytes,
        })
}

/// How many bytes the serial number has.
fn serial_bytes(der: &[u8]) -> Option<usize> {
    let certificate = AnyRef::from_der(der).ok()?;
    let mut reader = SliceReader::new(certificate.value()).ok()?;
    let body = AnyRef::decode(&mut reader).ok()?;
    let mut reader = SliceReader::new(body.value()).ok()?;
    // Behind the version, which stands in a tag of its own.
    let _version = AnyRef::decode(&mut reader).ok()?;
    let serial = AnyRef::decode(&mut reader).ok()?;
    let digits = match serial.value() {
        [0, digits @ ..] | digits => digits,
    };
    (serial.tag() == Tag::Integer).then_some(digits.len())
}

/// The same certificate with the other ECDSA signature that is as good. Without a key it can be made of this one, and
/// with it this one of whatever was revoked by its digest.
fn twin(der: &[u8], certificate: &Certificate) -> Option<Vec<u8>> {
    let known = certificate.signature();
    let twin = signature::ecdsa_twin(known.as_bytes()?)?;
    let content = AnyRef::from_der(der).ok()?.value();
    let known_bytes = usize::try_from(known.encoded_len().ok()?).ok()?;
    let before = content.get(..content.len().checked_sub(known_bytes)?)?;
    let content = [before, &BitString::from_bytes(&twin).ok()?.to_der().ok()?].concat();
    AnyRef::new(Tag::Sequence, &content).ok()?.to_der().ok()
}

/// The extensions that are processed; any other that is critical refuses the certificate.
const PROCESSED: [ObjectIdentifier; 5] = [
    rfc5280::ID_CE_SUBJECT_ALT_NAME,
    rfc5280::ID_CE_BASIC_CONSTRAINTS,
    rfc5280::ID_CE_KEY_USAGE,
    rfc5280::ID_CE_EXT_KEY_USAGE,
    rfc5280::ID_CE_NAME_CONSTRAINTS,
];

fn unknown_critical(extensions: &[Extension]) -> Option<ObjectIdentifier> {
    let mut unknown = extensions
        .iter()
        .filter(|extension| extension.critical && !PROCESSED.contains(&extension.extn_id));
    // Where there are several, not the one that an authority may have.
    let (first, other) = (unknown.next()?.extn_id, unknown.next());
    Some(match other {
        Some(other) if first == rfc5280::ID_CE_CERTIFICATE_POLICIES => other.extn_id,
        Some(_) | None => first,
    })
}

fn check_extensions(extensions: &[Extension]) -> Result<(), CertificateError> {
    if extensions.len() > MAX_EXTENSIONS {
        return Err(CertificateError::TooManyExtensions {
            extensions: extensions.len(),
        });
    }
    for (place, extension) in extensions.iter().enumerate() {
        if extensions
            .iter()
            .take(place)
            .any(|earlier| earlier.extn_id == extension.extn_id)
        {
            return Err(CertificateError::DuplicateExtension { oid: extension.extn_id });
        }
    }
    Ok(())
}

/// Reads the one extension of a type; trailing bytes are an error of the decoder.
fn find<T: for<'a> Decode<'a> + AssociatedOid>(extensions: &[Extension]) -> Result<Option<T>, CertificateError> {
    extensions
        .iter()
        .find(|extension| extension.extn_id == T::OID)
        .map(|extension| T::from_der(extension.extn_value.as_bytes()))
        .transpose()
        .map_err(|_| CertificateError::ExtensionUnreadable { oid: T::OID })
}

/// The decoder leaves out the bits that a BIT STRING says are unused. X.690 11.2.1 has them zero; where they are not,
/// another reader may see keyCertSign.
fn key_usage(extensions: &[Extension]) -> Result<Option<pkix::KeyUsage>, CertificateError> {
    let oid = pkix::KeyUsage::OID;
    let extension = extensions.iter().find(|extension| extension.extn_id == oid);
    if let Some([_tag, _length, unused, .., last]) = extension.map(|extension| extension.extn_value.as_bytes())
        && last.trailing_zeros() < u32::from(*unused)
    {
        return Err(CertificateError::ExtensionUnreadable { oid });
    }
    find(extensions)
}

/// cA, and the path length, which may be of any size: the decoder's own type has one byte for it.
fn basic_constraints(extensions: &[Extension]) -> Result<(bool, Option<usize>), CertificateError> {
    let oid = pkix::BasicConstraints::OID;
    let Some(extension) = extensions.iter().find(|extension| extension.extn_id == oid) else {
        return Ok((false, None));
    };
    let read = |reader: &mut SliceReader<'_>| {
        let is_ca = Option::<bool>::decode(reader)?.unwrap_or_default();
        let path_len = Option::<UintRef<'_>>::decode(reader)?;
        Ok((is_ca, path_len.map(saturated)))
    };
    SliceReader::new(extension.extn_value.as_bytes())
        .and_then(|mut reader| reader.sequence(read).and_then(|found| reader.finish().map(|()| found)))
        .map_err(|_: der::Error| CertificateError::ExtensionUnreadable { oid })
}

/// No path is so long that a larger number would be another.
fn saturated(number: UintRef<'_>) -> usize {
    number.as_bytes().iter().fold(0usize, |sum, byte| {
        sum.saturating_mul(256).saturating_add(usize::from(*byte))
    })
}

/// RFC 5280 4.1.2.5: `99991231235959Z` is how a certificate says that it has no end. It is a day past what our type for
/// time holds, and stands for its last moment.
fn timestamp(time: Time) -> Timestamp {
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).ok();
    seconds
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .unwrap_or(Timestamp::MAX)
}
