//! Reading certificates: PEM and DER within bounds, and the profile of an X.509-SVID leaf (X509-SVID, sections 2 to 5).
//!
//! A leaf is read once. Everything that is later decided on (id, key usages, validity, digest) comes from the same DER
//! bytes that the signature covers. An extension that does not parse, appears twice or has trailing bytes refuses the
//! certificate: "unreadable" never reads as "absent". The other way, asking the TLS library for the SANs, gives the
//! first URI of several and no way to see the others.

use std::fmt;

use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
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
    digest::sha256,
    fingerprint::{Issued, Revocable},
    id::{SpiffeId, SpiffeIdError},
    name_constraints::Names,
    reason::Reason,
    signature::{self, Signed},
};

/// Largest certificate in DER bytes. Our decision: SVIDs are 0.5 to 2 KiB, the largest seen in the field under 10 KiB.
pub const MAX_CERTIFICATE_BYTES: usize = 16 * 1024;
/// Most certificates that may come with a leaf. The path builder itself stops at six signing certificates.
pub const MAX_INTERMEDIATES: usize = 8;
/// Most subject alternative names of any kind. Our decision: agents put a few DNS names beside the id.
pub const MAX_SANS: usize = 128;
/// Most extensions in one certificate. Our decision: profiles in use have about ten.
pub const MAX_EXTENSIONS: usize = 32;
/// Longest serial number in bytes (RFC 5280 4.1.2.2), a zero in front not counted.
pub(crate) const MAX_SERIAL_BYTES: usize = 20;
/// Largest PEM text, escaped or not: a leaf and its intermediates, with a third more for base64, twice for escapes.
pub const MAX_PEM_BYTES: usize = 4 * MAX_CERTIFICATE_BYTES * (MAX_INTERMEDIATES + 1);

/// Reads the certificates of a PEM text, plain or %-encoded, leaf first.
///
/// # Errors
/// When the text is not PEM, holds no certificate, or goes beyond a bound.
pub fn read_pem(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    if text.len() > MAX_PEM_BYTES {
        return Err(CertificateError::TooLarge {
            bytes: text.len(),
            bound: MAX_PEM_BYTES,
        });
    }
    // Base64 has no `%`, so where there is one the whole text is escaped.
    let text = percent_encoding::percent_decode(text);
    let text: std::borrow::Cow<'_, [u8]> = text.into();
    let mut certificates = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|_| CertificateError::NotPem)?;
        if certificates.len() > MAX_INTERMEDIATES {
            return Err(CertificateError::TooMany);
        }
        check_size(&certificate)?;
        certificates.push(certificate);
    }
    if certificates.is_empty() {
        Err(CertificateError::NotPem)
    } else {
        Ok(certificates)
    }
}

/// Splits certificates in DER that stand one behind the other, as the Workload API has them. What is in them is not
/// looked at.
///
/// # Errors
/// When something in between is no whole value of DER, is larger than a certificate may be, or there are more than
/// `most`.
pub fn split_der(mut bytes: &[u8], most: usize) -> Result<Vec<&[u8]>, CertificateError> {
    let mut certificates = Vec::new();
    while !bytes.is_empty() {
        let mut reader = SliceReader::new(bytes).map_err(|_| CertificateError::NotDer)?;
        let certificate = reader.tlv_bytes().map_err(|_| CertificateError::NotDer)?;
        check_size(certificate)?;
        if certificates.len() >= most {
            return Err(CertificateError::TooManyAuthorities { most });
        }
        certificates.push(certificate);
        bytes = bytes.get(certificate.len()..).unwrap_or_default();
    }
    Ok(certificates)
}

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
    pub(crate) fn revocable(&self) -> Revocable {
        let body = self.certificate.tbs_certificate();
        Revocable {
            sha256: sha256(self.der),
            twin_sha256: twin(self.der, &self.certificate).map(|twin| sha256(&twin)),
            public_key: sha256(&self.public_key),
            issued: Issued::new(body.issuer(), body.serial_number().as_bytes()),
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

/// The same certificate with the other ECDSA signature that is as good. Without a key it can be made of this one, and with
/// it this one of whatever was revoked by its digest.
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

fn check_size(der: &[u8]) -> Result<(), CertificateError> {
    if der.len() > MAX_CERTIFICATE_BYTES {
        return Err(CertificateError::TooLarge {
            bytes: der.len(),
            bound: MAX_CERTIFICATE_BYTES,
        });
    }
    Ok(())
}

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
