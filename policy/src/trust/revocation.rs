//! Who is no longer accepted although its certificate is good: by id, by certificate, by key, by serial number.
//!
//! SPIFFE revokes by taking an authority out of the bundle and by short lives. Between the two stands the stolen key of
//! one workload, and that is what these lists are for. They come with the document, from an endpoint (a JSON document
//! of the same entries with a sequence), and as the CRLs of a Workload API. An entry refuses the leaf that it names,
//! and as a certificate, key or serial number also every leaf whose path goes through it.
//!
//! A CRL's own signature is not looked at: it comes from the agent that names the authorities, in the same message.
//! Every certificate that it lists is refused, whatever the entry's extensions say, which errs towards refusing; a CRL
//! that lists certificates of other issuers is not read.

use std::fmt;

use hashbrown::HashMap;
use jiff::Timestamp;
use x509_cert::{
    crl::{CertificateList, RevokedCert},
    der::{Decode as _, Header, Reader as _, SliceReader, Tag, oid::db::rfc5280},
    name::RdnSequence,
};

use crate::{
    certificate::{
        distinguished_name,
        fingerprint::{Fingerprints, IssuerAndSerial},
    },
    digest::{Digest, sha256},
    name::id::SpiffeId,
    pattern::id_pattern::IdPattern,
};

/// Largest document of revocations in bytes, and largest CRL. Our decision: 20,000 entries, and a copy of each on every
/// worker.
pub const MAX_REVOCATIONS_BYTES: usize = 4 * 1024 * 1024;
/// Most entries in one list. Our decision.
pub const MAX_REVOCATIONS: usize = 50_000;
/// Most id patterns in one list that are not ids written out: each of them is compared with each id, one by one.
pub const MAX_REVOKED_PATTERNS: usize = 256;

/// The first byte of an INTEGER in DER.
const TAG_INTEGER: u8 = 2;

/// SHA-256 of the name of whoever issued a CRL, in its one spelling; read even where nothing behind it can be (RFC 5280
/// 5.1).
pub fn crl_issuer(der: &[u8]) -> Option<[u8; 32]> {
    let mut reader = SliceReader::new(der).ok()?;
    let sequence = |reader: &mut SliceReader<'_>| {
        let header = Header::decode(reader).ok()?;
        (header.tag() == Tag::Sequence).then_some(())
    };
    // CertificateList, and in it TBSCertList.
    sequence(&mut reader)?;
    sequence(&mut reader)?;
    // The version, where there is one, and the algorithm of the signature.
    if reader.tlv_bytes().ok()?.first() == Some(&TAG_INTEGER) {
        reader.tlv_bytes().ok()?;
    }
    let issuer = RdnSequence::from_der(reader.tlv_bytes().ok()?).ok()?;
    Some(sha256(&distinguished_name::canonical(&issuer)))
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// What an operator wrote about it; shown in the log.
    pub reason: Option<Box<str>>,
    /// From this moment on the entry is over.
    pub until: Option<Timestamp>,
}

impl Revocation {
    fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// A list of revocations, found by what they name.
#[derive(Clone, Debug, Default)]
pub struct Revocations {
    pub(crate) sequence: Option<u64>,
    ids: HashMap<Box<str>, Revocation>,
    pub(crate) patterns: Vec<(IdPattern, Revocation)>,
    certificates: HashMap<Digest, Revocation>,
    public_keys: HashMap<Digest, Revocation>,
    issued: HashMap<IssuerAndSerial, Revocation>,
}

impl Revocations {
    /// Takes in what a CRL in DER lists (RFC 5280, section 5).
    ///
    /// # Errors
    /// When it cannot be read, or is larger than the bounds allow. Nothing is taken in then.
    pub fn add_crl(&mut self, der: &[u8]) -> Result<(), CrlError> {
        if der.len() > MAX_REVOCATIONS_BYTES {
            return Err(CrlError::TooLarge { bytes: der.len() });
        }
        let crl: CertificateList = CertificateList::from_der(der).map_err(|_| CrlError::NotDer)?;
        let revoked = crl.tbs_cert_list.revoked_certificates.unwrap_or_default();
        if self.len().saturating_add(revoked.len()) > MAX_REVOCATIONS {
            return Err(CrlError::TooMany {
                entries: self.len().saturating_add(revoked.len()),
            });
        }
        // RFC 5280 5.3.3: an entry, and all that follow, may be of another issuer. Read as this issuer's they would
        // refuse others than those that are meant.
        let is_indirect = |entry: &RevokedCert| {
            let extensions = entry.crl_entry_extensions.iter().flatten();
            extensions
                .map(|extension| extension.extn_id)
                .any(|oid| oid == rfc5280::ID_CE_CERTIFICATE_ISSUER)
        };
        if revoked.iter().any(is_indirect) {
            return Err(CrlError::Indirect);
        }
        // Once: a name may be as large as the list.
        let issuer = sha256(&distinguished_name::canonical(crl.tbs_cert_list.issuer.as_ref()));
        for entry in revoked {
            let issued = IssuerAndSerial::of(issuer, entry.serial_number.as_bytes());
            let revocation = Revocation {
                reason: Some("certificate revocation list".into()),
                until: None,
            };
            self.issued.insert(issued, revocation);
        }
        Ok(())
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        [
            self.ids.len(),
            self.patterns.len(),
            self.certificates.len(),
            self.public_keys.len(),
            self.issued.len(),
        ]
        .into_iter()
        .fold(0, usize::saturating_add)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The list's own number, which grows with each version; a lower one is an old list.
    pub fn sequence(&self) -> Option<u64> {
        self.sequence
    }

    /// The ids that it names, and until when.
    #[cfg(feature = "analysis")]
    pub(crate) fn ids(&self) -> impl Iterator<Item = (IdPattern, Option<Timestamp>)> {
        let written = self.ids.iter().filter_map(|(id, entry)| {
            // It was written out of a pattern.
            let pattern = IdPattern::parse(id).ok()?;
            Some((pattern, entry.until))
        });
        let patterns = self
            .patterns
            .iter()
            .map(|(pattern, entry)| (pattern.clone(), entry.until));
        written.chain(patterns)
    }

    /// Whether it names the same certificates, keys and serial numbers as another, for as long.
    #[cfg(feature = "analysis")]
    pub(crate) fn has_same_certificates(&self, other: &Self) -> bool {
        self.certificates == other.certificates && self.public_keys == other.public_keys && self.issued == other.issued
    }

    /// The entry that holds now for an id.
    pub(crate) fn find_id(&self, id: &SpiffeId, now: Timestamp) -> Option<&Revocation> {
        let by_id = self.ids.get(id.as_str()).filter(|entry| entry.holds(now));
        by_id.or_else(|| {
            let matching = |(pattern, entry): &&(IdPattern, Revocation)| entry.holds(now) && pattern.matches(id);
            self.patterns.iter().find(matching).map(|(_, entry)| entry)
        })
    }

    /// The entry that holds now for a certificate, its key or its serial number.
    pub(crate) fn find_certificate(&self, certificate: &Fingerprints, now: Timestamp) -> Option<&Revocation> {
        let twin = certificate.twin_sha256.as_ref();
        [
            self.certificates.get(&certificate.sha256),
            twin.and_then(|twin| self.certificates.get(twin)),
            self.public_keys.get(&certificate.public_key),
            self.issued.get(&certificate.issued),
        ]
        .into_iter()
        .flatten()
        .find(|entry| entry.holds(now))
    }

    /// Takes in an entry.
    pub(crate) fn add(&mut self, named: RevokedBy, revocation: Revocation) {
        // Of two entries that name the same, the one that holds longer counts.
        fn keep<K: std::hash::Hash + Eq>(map: &mut HashMap<K, Revocation>, key: K, revocation: Revocation) {
            let forever = Timestamp::MAX;
            let known = map.get(&key).map(|known| known.until.unwrap_or(forever));
            if known.is_none_or(|known| known <= revocation.until.unwrap_or(forever)) {
                map.insert(key, revocation);
            }
        }
        match named {
            RevokedBy::Id(pattern) => match pattern.exact() {
                Some(id) => keep(&mut self.ids, id.into(), revocation),
                None => self.patterns.push((pattern, revocation)),
            },
            RevokedBy::Certificate(digest) => keep(&mut self.certificates, digest, revocation),
            RevokedBy::PublicKey(digest) => keep(&mut self.public_keys, digest, revocation),
            RevokedBy::IssuerAndSerial(issued) => keep(&mut self.issued, issued, revocation),
        }
    }
}

/// What an entry names.
pub(crate) enum RevokedBy {
    Id(IdPattern),
    Certificate(Digest),
    PublicKey(Digest),
    IssuerAndSerial(IssuerAndSerial),
}

/// Why a CRL cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrlError {
    /// Not a CRL in DER.
    NotDer,
    /// It lists certificates of other issuers than its own.
    Indirect,
    /// More than [`MAX_REVOCATIONS_BYTES`].
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// More than [`MAX_REVOCATIONS`] entries, with those of the CRLs beside it.
    TooMany {
        /// How many.
        entries: usize,
    },
}

impl fmt::Display for CrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotDer => f.write_str("CRL cannot be read"),
            Self::Indirect => f.write_str("CRL lists certificates of other issuers, which is not supported"),
            Self::TooLarge { bytes } => write!(f, "CRL has {bytes} bytes (at most {MAX_REVOCATIONS_BYTES})"),
            Self::TooMany { entries } => write!(f, "CRLs have {entries} entries (at most {MAX_REVOCATIONS})"),
        }
    }
}

impl std::error::Error for CrlError {}
