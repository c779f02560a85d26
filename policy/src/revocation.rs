//! Who is no longer accepted although its certificate is good: by id, by certificate, by key, by serial number.
//!
//! SPIFFE revokes by taking an authority out of the bundle and by short lives. Between the two stands the stolen key of
//! one workload, and that is what these lists are for. They come with the document, from an endpoint (a JSON document of
//! the same entries with a sequence), and as the CRLs of a Workload API. An entry refuses the leaf that it names, and as
//! a certificate, key or serial number also every leaf whose path goes through it.
//!
//! A CRL's own signature is not looked at: it comes from the agent that names the authorities, in the same message.
//! Every certificate that it lists is refused, whatever the entry's extensions say, which errs towards refusing; a CRL that
//! lists certificates of other issuers is not read.

use std::{collections::BTreeSet, fmt};

use hashbrown::HashMap;
use jiff::Timestamp;
use x509_cert::{
    crl::{CertificateList, RevokedCert},
    der::{Decode as _, Header, Reader as _, SliceReader, Tag, oid::db::rfc5280},
    name::{Name, RdnSequence},
};

use crate::{
    certificate::{MAX_SERIAL_BYTES, sha256},
    distinguished_name,
    document::{read_text, read_time},
    id::{IdPattern, SpiffeId, TrustDomain},
    json::Json,
    read::{CompileError, Mistake, Object, Place, Reader},
};

/// Largest document of revocations in bytes, and largest CRL. Our decision: 20,000 entries, and a copy of each on every
/// worker.
pub const MAX_REVOCATIONS_BYTES: usize = 4 * 1024 * 1024;
/// Most entries in one list. Our decision.
pub const MAX_REVOCATIONS: usize = 50_000;
/// Most id patterns in one list that are not ids written out: each of them is compared with each id, one by one.
pub const MAX_REVOKED_PATTERNS: usize = 256;

const LIST_FIELDS: &[&str] = &["sequence", "revoked"];
const ENTRY_FIELDS: &[&str] = &[
    "id",
    "sha256",
    "public_key_sha256",
    "serial",
    "issuer",
    "reason",
    "until",
];

type Digest = [u8; 32];

/// Who issued a certificate, and under which serial number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Issued {
    /// SHA-256 of the issuer's name in its one spelling.
    issuer: Digest,
    /// Big-endian, without zeros in front.
    serial: Box<[u8]>,
}

impl Issued {
    pub(crate) fn new(issuer: &Name, serial: &[u8]) -> Self {
        Self::by_name(issuer.as_ref(), serial)
    }

    fn by_name(issuer: &RdnSequence, serial: &[u8]) -> Self {
        Self::of(sha256(&distinguished_name::canonical(issuer)), serial)
    }

    fn of(issuer: Digest, serial: &[u8]) -> Self {
        let zeros = serial.iter().take_while(|byte| **byte == 0).count();
        Self {
            issuer,
            serial: serial.get(zeros..).unwrap_or_default().into(),
        }
    }
}

/// What a revocation can name a certificate by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Revocable {
    pub(crate) sha256: Digest,
    /// Of the same certificate with the other ECDSA signature that is as good.
    pub(crate) twin_sha256: Option<Digest>,
    /// SHA-256 of the subject public key info in DER.
    pub(crate) public_key: Digest,
    pub(crate) issued: Issued,
}

/// The first byte of an INTEGER in DER.
const TAG_INTEGER: u8 = 2;

/// SHA-256 of the name of whoever issued a CRL, in its one spelling; read even where nothing behind it can be (RFC 5280 5.1).
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
    sequence: Option<u64>,
    ids: HashMap<Box<str>, Revocation>,
    patterns: Vec<(IdPattern, Revocation)>,
    certificates: HashMap<Digest, Revocation>,
    public_keys: HashMap<Digest, Revocation>,
    issued: HashMap<Issued, Revocation>,
}

impl Revocations {
    /// Reads the document of an endpoint: `{"sequence": 7, "revoked": [...]}`, entries as in the configuration document.
    ///
    /// ```
    /// use svidgate_policy::Revocations;
    ///
    /// let list = br#"{"sequence": 7, "revoked": [{"id": "spiffe://partner.example/ns/billing/**", "reason": "breach"}]}"#;
    /// assert_eq!(Revocations::parse(list).unwrap().len(), 1);
    /// ```
    ///
    /// # Errors
    /// Every mistake in it; a list with a mistake is no list.
    pub fn parse(text: &[u8]) -> Result<Self, Vec<CompileError>> {
        let whole = |mistake| {
            vec![CompileError {
                place: String::new(),
                mistake,
            }]
        };
        if text.len() > MAX_REVOCATIONS_BYTES {
            return Err(whole(Mistake::TooLarge {
                bytes: text.len(),
                bound: MAX_REVOCATIONS_BYTES,
            }));
        }
        let json = Json::parse(text).map_err(|error| whole(Mistake::Syntax(error.to_string())))?;
        let mut reader = Reader::default();
        let list = read_list(&mut reader, &json);
        match list {
            Some(list) if reader.count() == 0 => Ok(list),
            _ => Err(reader.into_mistakes()),
        }
    }

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
        // RFC 5280 5.3.3: an entry, and all that follow, may be of another issuer. Read as this issuer's they would refuse
        // others than those that are meant.
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
            let issued = Issued::of(issuer, entry.serial_number.as_bytes());
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

    /// The entry that holds now for an id.
    pub(crate) fn find_id(&self, id: &SpiffeId, now: Timestamp) -> Option<&Revocation> {
        let by_id = self.ids.get(id.as_str()).filter(|entry| entry.holds(now));
        by_id.or_else(|| {
            let matching = |(pattern, entry): &&(IdPattern, Revocation)| entry.holds(now) && pattern.matches(id);
            self.patterns.iter().find(matching).map(|(_, entry)| entry)
        })
    }

    /// The entry that holds now for a certificate, its key or its serial number.
    pub(crate) fn find_certificate(&self, certificate: &Revocable, now: Timestamp) -> Option<&Revocation> {
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

    fn add(&mut self, named: Named, revocation: Revocation) {
        // Of two entries that name the same, the one that holds longer counts.
        fn keep<K: std::hash::Hash + Eq>(map: &mut HashMap<K, Revocation>, key: K, revocation: Revocation) {
            let forever = Timestamp::MAX;
            let known = map.get(&key).map(|known| known.until.unwrap_or(forever));
            if known.is_none_or(|known| known <= revocation.until.unwrap_or(forever)) {
                map.insert(key, revocation);
            }
        }
        match named {
            Named::Id(pattern) => match pattern.exact() {
                Some(id) => keep(&mut self.ids, id.into(), revocation),
                None => self.patterns.push((pattern, revocation)),
            },
            Named::Certificate(digest) => keep(&mut self.certificates, digest, revocation),
            Named::PublicKey(digest) => keep(&mut self.public_keys, digest, revocation),
            Named::Issued(issued) => keep(&mut self.issued, issued, revocation),
        }
    }
}

/// What an entry names.
enum Named {
    Id(IdPattern),
    Certificate(Digest),
    PublicKey(Digest),
    Issued(Issued),
}

fn read_list(reader: &mut Reader, json: &Json) -> Option<Revocations> {
    let root = Place::Root;
    let object = reader.object(json, &root, LIST_FIELDS)?;
    let sequence = match object.optional("sequence") {
        None => None,
        Some(Json::Unsigned(sequence)) => Some(*sequence),
        Some(_) => {
            reader.note(&root.member("sequence"), Mistake::Expected("an integer of 64 bits"));
            None
        }
    };
    let revoked = object.required("revoked", reader, &root)?;
    let mut list = read_revoked(reader, revoked, &root.member("revoked"), None);
    list.sequence = sequence;
    Some(list)
}

/// Reads the list `revoked`. An id of a trust domain that is not among `known` can revoke nobody and is a mistake.
pub(crate) fn read_revoked(
    reader: &mut Reader,
    json: &Json,
    place: &Place<'_>,
    known: Option<&BTreeSet<TrustDomain>>,
) -> Revocations {
    let mut list = Revocations::default();
    reader.check_length(place, json.as_array().map_or(0, <[_]>::len), MAX_REVOCATIONS);
    let entries = reader.list_or_none(json, place, |reader, json, place| {
        read_entry(reader, json, place, known)
    });
    for (named, revocation) in entries.unwrap_or_default() {
        list.add(named, revocation);
    }
    let patterns = list.patterns.len();
    if patterns > MAX_REVOKED_PATTERNS {
        let bound = MAX_REVOKED_PATTERNS;
        reader.note(place, Mistake::TooManyPatterns { patterns, bound });
    }
    list
}

fn read_entry(
    reader: &mut Reader,
    json: &Json,
    at: &Place<'_>,
    known: Option<&BTreeSet<TrustDomain>>,
) -> Option<(Named, Revocation)> {
    let object = reader.object(json, at, ENTRY_FIELDS)?;
    let reason = read_text(reader, object, "reason", at).map(Into::into);
    let until = object
        .optional("until")
        .and_then(|json| read_time(reader, json, &at.member("until")));
    let named = read_named(reader, object, at, known)?;
    Some((named, Revocation { reason, until }))
}

fn read_named(
    reader: &mut Reader,
    object: Object<'_>,
    at: &Place<'_>,
    known: Option<&BTreeSet<TrustDomain>>,
) -> Option<Named> {
    let [id, certificate, public_key, serial, issuer] =
        ["id", "sha256", "public_key_sha256", "serial", "issuer"].map(|name| object.optional(name));
    match (id, certificate, public_key, serial, issuer) {
        (Some(json), None, None, None, None) => read_id(reader, json, &at.member("id"), known).map(Named::Id),
        (None, Some(json), None, None, None) => read_digest(reader, json, &at.member("sha256")).map(Named::Certificate),
        (None, None, Some(json), None, None) => {
            read_digest(reader, json, &at.member("public_key_sha256")).map(Named::PublicKey)
        }
        (None, None, None, Some(serial), Some(issuer)) => {
            let serial = reader.parsed(serial, &at.member("serial"), parse_serial);
            let issuer = reader.parsed(issuer, &at.member("issuer"), parse_issuer);
            serial
                .zip(issuer)
                .map(|(serial, issuer)| Named::Issued(Issued::by_name(&issuer, &serial)))
        }
        _ => {
            reader.note(
                at,
                Mistake::Expected("exactly one of `id`, `sha256`, `public_key_sha256`, and `serial` with `issuer`"),
            );
            None
        }
    }
}

fn read_id(
    reader: &mut Reader,
    json: &Json,
    place: &Place<'_>,
    known: Option<&BTreeSet<TrustDomain>>,
) -> Option<IdPattern> {
    let pattern = reader.parsed(json, place, |text| {
        let pattern = IdPattern::parse(text).map_err(Mistake::Pattern)?;
        if pattern.segments.captures().next().is_some() {
            return Err(Mistake::Expected(
                "`*` in place of a capture, which has nothing to compare with here",
            ));
        }
        Ok(pattern)
    })?;
    if let (Some(name), Some(known)) = (pattern.trust_domain(), known)
        && !known.contains(name)
    {
        let mistake = Mistake::UnknownTrustDomain {
            name: name.to_string(),
            known: known.iter().take(10).map(ToString::to_string).collect(),
        };
        reader.note(place, mistake);
        return None;
    }
    Some(pattern)
}

fn read_digest(reader: &mut Reader, json: &Json, place: &Place<'_>) -> Option<Digest> {
    reader.parsed(json, place, |text| {
        let digest = parse_hex(text).and_then(|bytes| Digest::try_from(bytes).ok());
        digest.ok_or(Mistake::Expected("SHA-256 as 64 hexadecimal digits"))
    })
}

fn parse_serial(text: &str) -> Result<Vec<u8>, Mistake> {
    // Tools print an odd number of digits where the first is a zero.
    let even = if text.bytes().filter(u8::is_ascii_hexdigit).count().is_multiple_of(2) {
        text.to_owned()
    } else {
        format!("0{text}")
    };
    let serial =
        parse_hex(&even).filter(|serial| !serial.is_empty() && serial.len() <= MAX_SERIAL_BYTES.saturating_add(1));
    serial.ok_or(Mistake::Expected(
        "a serial number in hexadecimal digits, like `0A:1B` or `0a1b`",
    ))
}

fn parse_issuer(text: &str) -> Result<RdnSequence, Mistake> {
    let parsed: Result<RdnSequence, _> = text.parse();
    match parsed {
        Ok(name) if !name.is_empty() && !is_another_notation(text) => Ok(name),
        Ok(_) | Err(_) => Err(Mistake::Expected(
            "the issuer's name as RFC 4514 writes it, like `CN=prod.example authority,O=SPIFFE`",
        )),
    }
}

/// Whether a name is written with slashes, semicolons or quotes, breaks off, has half an escaped byte, or a backslash in a
/// value: it would be read as another name, which nobody has.
fn is_another_notation(text: &str) -> bool {
    let mut escaped = false;
    let mut after_slash = false;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            // The library takes what stands behind an escaped backslash for the end of an attribute.
            '\\' if escaped => return true,
            _ if escaped => {
                escaped = false;
                if c.is_ascii_hexdigit() && !chars.next().is_some_and(|second| second.is_ascii_hexdigit()) {
                    return true;
                }
            }
            '\\' => escaped = true,
            ';' | '"' => return true,
            '/' => after_slash = true,
            '=' if after_slash => return true,
            ',' | '+' | ' ' => after_slash = false,
            _ => {}
        }
    }
    escaped || text.starts_with('/')
}

/// Pairs of hexadecimal digits, with or without colons between them.
fn parse_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| *byte != b':')
        .map(|byte| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs
        .map(|pair| match pair {
            [high, low] => Some((high << 4) | low),
            _ => None,
        })
        .collect()
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

#[cfg(test)]
mod tests {
    use super::parse_issuer;

    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn another_notation_is_refused_and_a_slash_in_a_value_is_not() {
        for text in [
            "",
            "/C=US/O=SPIFFE",
            "C=US/O=SPIFFE",
            "C=US;O=SPIFFE",
            "CN=a\\",
            "no name",
            "CN=a\\\\\\,O=x",
        ] {
            assert!(parse_issuer(text).is_err(), "{text}");
        }
        for text in ["CN=a/b", "CN=a/b,O=c", "CN=a\\;b", "O=\\,x"] {
            assert!(parse_issuer(text).is_ok(), "{text}");
        }
    }
}
