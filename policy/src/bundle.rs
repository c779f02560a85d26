//! The trust bundle of one trust domain, in the SPIFFE bundle format (Trust Domain and Bundle, section 4; X509-SVID 6).
//!
//! A bundle is a JWK set. What this version of the standard does not know is passed over, what it knows and cannot use
//! is passed over and counted, so that one bad entry neither takes a trust domain down nor goes unseen. A document that
//! could be read in two ways (a member twice, a sequence that is no integer) is refused whole. A bundle does not name
//! its trust domain; whoever configured it does (BN-17).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use x509_cert::{der::Decode as _, name::RdnSequence};

use crate::{
    certificate::{CertificateError, Fields, MAX_CERTIFICATE_BYTES, Purpose, sha256},
    chain::MAX_SIGNATURE_CHECKS,
    distinguished_name,
    id::TrustDomain,
    json::{Json, JsonError},
    jwt_key::JwtKeys,
    revocation::Revocable,
    signature,
    signer::{Role, Signer, SigningError},
};

/// Largest bundle document in bytes. Our decision: as many keys as are taken, with P-256 keys, and half as many with RSA-4096.
pub const MAX_BUNDLE_BYTES: usize = 2 * 1024 * 1024;
/// Most entries in `keys`, of any use. Our decision: an issuer that keeps ended keys for two days and makes new ones every ten
/// minutes has 580, half of them for JWTs. What a leaf may cost is bounded apart from it.
pub const MAX_BUNDLE_KEYS: usize = 1024;

/// One X.509 authority: a signing certificate that the bundle vouches for, self-signed or not (PV-10).
#[derive(Debug)]
pub(crate) struct Authority {
    pub(crate) revocable: Revocable,
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

/// An entry of `keys` that is meant for us and cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedKey {
    /// Its place in `keys`, from 0.
    pub index: usize,
    /// What is wrong with it.
    pub why: SkipReason,
}

/// Why an entry of `keys` cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// An `x509-svid` entry without `x5c`, or with an empty one (BN-8).
    NoCertificate,
    /// The first `x5c` value is not standard base64 (BN-11).
    NotBase64,
    /// The first `x5c` value is no authority.
    NotAuthority(AuthorityError),
    /// A certificate of a list of them is no authority.
    Certificate(AuthorityError),
    /// An entry without `use`, which nobody can tell what it is for (BN-6).
    NoUse,
    /// The key members of the entry are of another type of key than the certificate's (BN-14).
    KeyMismatch,
    /// A JWT key without `kid`, which the JWT profile demands (JWT-SVID 6.1).
    NoKid,
    /// Two JWT keys have this one's `kid`.
    RepeatedKid,
    /// A JWT key that no JWT-SVID can be verified with, and why.
    NotJwtKey(&'static str),
}

impl fmt::Display for SkippedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let SkipReason::Certificate(error) = &self.why {
            return write!(f, "certificate {} of the list: {error}", self.index);
        }
        write!(f, "keys[{}]: ", self.index)?;
        match &self.why {
            SkipReason::NoCertificate => f.write_str("`x5c` has no certificate"),
            SkipReason::NotBase64 => f.write_str("`x5c[0]` is not standard base64"),
            SkipReason::NotAuthority(error) => write!(f, "`x5c[0]`: {error}"),
            SkipReason::Certificate(error) => write!(f, "{error}"),
            SkipReason::NoUse => f.write_str("`use` is missing (`x509-svid` or `jwt-svid`)"),
            SkipReason::KeyMismatch => f.write_str("`kty` is not the certificate's kind of key"),
            SkipReason::NoKid => f.write_str("`kid` is missing"),
            SkipReason::RepeatedKid => f.write_str("another key has its `kid`, so neither counts"),
            SkipReason::NotJwtKey(why) => f.write_str(why),
        }
    }
}

/// Something about a bundle that whoever publishes it should hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remark<'a> {
    /// An entry that is meant for us and is not used.
    Skipped(&'a SkippedKey),
    /// More authorities of one name than are tried for a leaf that does not say whose key signed it.
    Crowd {
        /// How many.
        authorities: usize,
        /// How many of them are tried.
        tried: usize,
    },
}

impl fmt::Display for Remark<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skipped(skipped) => write!(f, "{skipped}; the key is not used"),
            Self::Crowd { authorities, tried } => write!(
                f,
                "{authorities} authorities have one name; only {tried} are tried for a leaf whose authority key identifier names \
                 none of them"
            ),
        }
    }
}

/// The bundle of one trust domain.
#[derive(Debug, Default)]
pub struct Bundle {
    pub(crate) authorities: Vec<Authority>,
    jwt_keys: JwtKeys,
    sequence: Option<u64>,
    refresh_hint: Option<u64>,
    skipped: Vec<SkippedKey>,
}

impl Bundle {
    /// Reads a SPIFFE bundle document.
    ///
    /// A bundle without any usable authority is a good answer: it says that nothing in the trust domain is valid
    /// (BN-15).
    ///
    /// # Errors
    /// When the text is not JSON, repeats a member, has no `keys` list, or a sequence or hint of the wrong type.
    pub fn parse(text: &[u8]) -> Result<Self, BundleError> {
        if text.len() > MAX_BUNDLE_BYTES {
            return Err(BundleError::TooLarge { bytes: text.len() });
        }
        Self::from_json(&Json::parse(text).map_err(BundleError::Json)?)
    }

    pub(crate) fn from_json(document: &Json) -> Result<Self, BundleError> {
        // BN-1; BN-2: members of the set that are not known are passed over.
        let keys = document
            .member("keys")
            .and_then(Json::as_array)
            .ok_or(BundleError::NoKeys)?;
        if keys.len() > MAX_BUNDLE_KEYS {
            return Err(BundleError::TooManyKeys { keys: keys.len() });
        }
        let mut bundle = Self {
            sequence: integer(document, "spiffe_sequence")?,
            refresh_hint: refresh_hint(document)?,
            ..Self::default()
        };
        for (index, key) in keys.iter().enumerate() {
            if let Err(why) = bundle.take_key(index, key) {
                bundle.skipped.push(SkippedKey { index, why });
            }
        }
        bundle.jwt_keys.drop_repeated();
        bundle.skipped.extend_from_slice(bundle.jwt_keys.skipped());
        bundle.skipped.sort_by_key(|skipped| skipped.index);
        Ok(bundle)
    }

    fn take_key(&mut self, index: usize, key: &Json) -> Result<(), SkipReason> {
        // BN-5: RFC 7517 types are all that this version of the standard knows.
        let kty = key.member("kty").and_then(Json::as_str);
        if !matches!(kty, Some("EC" | "RSA" | "OKP")) {
            return Ok(());
        }
        // BN-6, BN-7: case-sensitive; a use that is not known is none of ours.
        match key.member("use").and_then(Json::as_str) {
            Some("x509-svid") => {
                self.authorities.push(authority(key, kty.unwrap_or_default())?);
                Ok(())
            }
            Some("jwt-svid") => {
                self.jwt_keys.take(index, key);
                Ok(())
            }
            Some(_) => Ok(()),
            None => Err(SkipReason::NoUse),
        }
    }

    /// How many authorities another bundle has, too.
    pub fn common_authorities(&self, other: &Self) -> usize {
        let digest = |authority: &Authority| authority.revocable.sha256;
        let theirs: BTreeSet<[u8; 32]> = other.authorities.iter().map(digest).collect();
        let ours: BTreeSet<[u8; 32]> = self.authorities.iter().map(digest).collect();
        ours.intersection(&theirs).count()
    }

    /// The names of its authorities, as [`crate::revocation::crl_issuer`] gives that of a CRL.
    pub fn authority_names(&self) -> BTreeSet<[u8; 32]> {
        let subjects = self.authorities.iter().map(|authority| &authority.signer.subject);
        subjects
            .filter_map(|subject| RdnSequence::from_der(subject).ok())
            .map(|name| sha256(&distinguished_name::canonical(&name)))
            .collect()
    }

    /// How many X.509 authorities can be used.
    pub fn authority_count(&self) -> usize {
        self.authorities.len()
    }

    /// The JWT keys; they never validate an X.509-SVID (BN-16).
    pub fn jwt_keys(&self) -> &JwtKeys {
        &self.jwt_keys
    }

    /// `spiffe_sequence`, exact to 64 bits.
    pub fn sequence(&self) -> Option<u64> {
        self.sequence
    }

    /// `spiffe_refresh_hint` in seconds, as written; whoever polls bounds it.
    pub fn refresh_hint(&self) -> Option<u64> {
        self.refresh_hint
    }

    /// The first and the last second of the authority that ends last: when it has ended nobody has a path any more. `None`
    /// where there is none.
    pub fn last_authority(&self) -> Option<(Timestamp, Timestamp)> {
        let lives = self.authorities.iter().map(|authority| &authority.signer);
        let lives = lives.map(|signer| (signer.not_before, signer.not_after));
        lives.max_by_key(|(_, end)| *end)
    }

    /// Entries that were meant for us and could not be used.
    pub fn skipped(&self) -> &[SkippedKey] {
        &self.skipped
    }

    /// What whoever publishes it should hear of.
    pub fn remarks(&self) -> impl Iterator<Item = Remark<'_>> {
        let skipped = self.skipped.iter().map(Remark::Skipped);
        skipped.chain(self.crowd())
    }

    /// The most authorities of one name, where they are more than can be tried.
    fn crowd(&self) -> Option<Remark<'_>> {
        let mut names: BTreeMap<&[u8], (usize, usize, u32)> = BTreeMap::new();
        for signer in self.authorities.iter().map(|authority| &authority.signer) {
            let (count, tried, spent) = names.entry(&signer.subject).or_default();
            *spent = spent.saturating_add(signature::least_cost(&signer.public_key));
            *count = count.saturating_add(1);
            if *spent <= MAX_SIGNATURE_CHECKS {
                *tried = tried.saturating_add(1);
            }
        }
        let (authorities, tried, _) = names.into_values().max()?;
        (tried < authorities).then_some(Remark::Crowd { authorities, tried })
    }

    /// A bundle made of certificates alone, as the Workload API and test data have them. Bad ones are skipped.
    pub fn from_certificates(certificates: impl IntoIterator<Item = CertificateDer<'static>>) -> Self {
        let mut bundle = Self::default();
        for (index, der) in certificates.into_iter().enumerate() {
            match Authority::parse(&der) {
                Ok(authority) => bundle.authorities.push(authority),
                Err(error) => bundle.skipped.push(SkippedKey {
                    index,
                    why: SkipReason::Certificate(error),
                }),
            }
        }
        bundle
    }
}

/// BN-8 to BN-14. Only the first certificate counts (BN-9); a `kid` is the publisher's mistake, not ours (BN-12).
fn authority(key: &Json, kty: &str) -> Result<Authority, SkipReason> {
    let first = key
        .member("x5c")
        .and_then(Json::as_array)
        .and_then(<[_]>::first)
        .ok_or(SkipReason::NoCertificate)?;
    let text = first.as_str().ok_or(SkipReason::NoCertificate)?;
    if text.len() > MAX_CERTIFICATE_BYTES.saturating_mul(2) {
        let error = CertificateError::TooLarge {
            bytes: text.len(),
            bound: MAX_CERTIFICATE_BYTES,
        };
        return Err(SkipReason::NotAuthority(error.into()));
    }
    let der = STANDARD.decode(text).map_err(|_| SkipReason::NotBase64)?;
    let authority = Authority::parse(&der).map_err(SkipReason::NotAuthority)?;
    if key_type(&authority.signer.public_key).is_some_and(|known| known != kty) {
        return Err(SkipReason::KeyMismatch);
    }
    Ok(authority)
}

/// The JWK type of a key in DER, for the kinds of key that we know.
fn key_type(public_key: &[u8]) -> Option<&'static str> {
    use x509_cert::{
        der::{
            Decode as _,
            oid::db::{rfc5912, rfc8410},
        },
        spki::SubjectPublicKeyInfoRef,
    };

    let algorithm = SubjectPublicKeyInfoRef::from_der(public_key).ok()?.algorithm.oid;
    match algorithm {
        rfc5912::ID_EC_PUBLIC_KEY => Some("EC"),
        rfc5912::RSA_ENCRYPTION | rfc5912::ID_RSASSA_PSS => Some("RSA"),
        rfc8410::ID_ED_25519 => Some("OKP"),
        _ => None,
    }
}

/// BN-3: an integer of 64 bits; a number with a fraction, a string or a negative one refuses the bundle.
fn integer(document: &Json, name: &'static str) -> Result<Option<u64>, BundleError> {
    match document.member(name) {
        None => Ok(None),
        Some(Json::Unsigned(value)) => Ok(Some(*value)),
        Some(
            Json::Null | Json::Bool(_) | Json::OtherNumber(_) | Json::String(_) | Json::Array(_) | Json::Object(_),
        ) => Err(BundleError::NotInteger { member: name }),
    }
}

/// BN-4: zero and negative hints say nothing.
fn refresh_hint(document: &Json) -> Result<Option<u64>, BundleError> {
    match document.member("spiffe_refresh_hint") {
        Some(Json::OtherNumber(value)) if *value < 0.0 && value.fract() == 0.0 => Ok(None),
        _ => Ok(integer(document, "spiffe_refresh_hint")?.filter(|seconds| *seconds > 0)),
    }
}

/// Why a document is no bundle, or no bundle map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BundleError {
    /// Not JSON, or a member appears twice.
    Json(JsonError),
    /// More than [`MAX_BUNDLE_BYTES`].
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// `keys` is missing or no list.
    NoKeys,
    /// More than [`MAX_BUNDLE_KEYS`].
    TooManyKeys {
        /// How many.
        keys: usize,
    },
    /// A member that must be an integer of 64 bits is not.
    NotInteger {
        /// Which.
        member: &'static str,
    },
    /// `trust_domains` is missing or no object.
    NoTrustDomains,
}

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "{error}"),
            Self::TooLarge { bytes } => write!(f, "bundle has {bytes} bytes (at most {MAX_BUNDLE_BYTES})"),
            Self::NoKeys => f.write_str("`keys` is missing or no list"),
            Self::TooManyKeys { keys } => write!(f, "bundle has {keys} keys (at most {MAX_BUNDLE_KEYS})"),
            Self::NotInteger { member } => write!(f, "`{member}` is no integer from 0 to 18446744073709551615"),
            Self::NoTrustDomains => f.write_str("`trust_domains` is missing or no object"),
        }
    }
}

impl std::error::Error for BundleError {}

/// The bundles of several trust domains, each kept apart from the others (PV-3, FE-18).
#[derive(Debug, Default)]
pub struct BundleSet {
    bundles: BTreeMap<TrustDomain, Held>,
}

/// A bundle, and until when its source may stay silent.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) bundle: Arc<Bundle>,
    /// From this moment on nothing of the trust domain is accepted (FE-15); `None` where the bundle has no source that
    /// could fall silent.
    pub(crate) stale_from: Option<Timestamp>,
}

impl BundleSet {
    /// Sets the bundle of a trust domain in place of any earlier one. It does not go stale.
    pub fn insert(&mut self, trust_domain: TrustDomain, bundle: impl Into<Arc<Bundle>>) {
        self.put(trust_domain, bundle.into(), None);
    }

    /// Sets the bundle of a trust domain in place of any earlier one, good until its source has been silent for too
    /// long.
    pub fn insert_until(&mut self, trust_domain: TrustDomain, bundle: impl Into<Arc<Bundle>>, stale_from: Timestamp) {
        self.put(trust_domain, bundle.into(), Some(stale_from));
    }

    fn put(&mut self, trust_domain: TrustDomain, bundle: Arc<Bundle>, stale_from: Option<Timestamp>) {
        self.bundles.insert(trust_domain, Held { bundle, stale_from });
    }

    /// Takes the bundle of a trust domain away: nothing of it is accepted.
    pub fn remove(&mut self, trust_domain: &TrustDomain) {
        self.bundles.remove(trust_domain);
    }

    /// The bundle of a trust domain; none means that there is none, never that another would do.
    pub fn bundle(&self, trust_domain: &TrustDomain) -> Option<&Arc<Bundle>> {
        self.bundles.get(trust_domain).map(|held| &held.bundle)
    }

    pub(crate) fn held(&self, trust_domain: &TrustDomain) -> Option<&Held> {
        self.bundles.get(trust_domain)
    }

    /// All bundles, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&TrustDomain, &Bundle)> {
        self.bundles.iter().map(|(name, held)| (name, &*held.bundle))
    }

    /// Reads a SPIFFE bundle map, the state of the world for all its trust domains (Trust Domain and Bundle, 5.1.1).
    ///
    /// A member that is no bundle leaves its trust domain without one, which refuses its SVIDs; the errors come back
    /// beside the set (BN-23).
    ///
    /// # Errors
    /// When the document as a whole is no bundle map, or a name appears twice (BN-20).
    pub fn parse_map(text: &[u8]) -> Result<(Self, Vec<MemberError>), BundleError> {
        if text.len() > MAX_BUNDLE_BYTES {
            return Err(BundleError::TooLarge { bytes: text.len() });
        }
        let document = Json::parse(text).map_err(BundleError::Json)?;
        let Some(Json::Object(members)) = document.member("trust_domains") else {
            return Err(BundleError::NoTrustDomains);
        };
        let mut set = Self::default();
        let mut errors = Vec::new();
        for (name, member) in members {
            match (TrustDomain::parse(name.as_ref()), Bundle::from_json(member)) {
                (Ok(trust_domain), Ok(bundle)) => set.insert(trust_domain, bundle),
                (Err(_), _) => errors.push(MemberError {
                    name: name.to_string(),
                    error: None,
                }),
                (Ok(_), Err(error)) => errors.push(MemberError {
                    name: name.to_string(),
                    error: Some(error),
                }),
            }
        }
        Ok((set, errors))
    }
}

/// A member of a bundle map that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberError {
    /// The member's name.
    pub name: String,
    /// What is wrong with the bundle; `None` where the name is no trust domain.
    pub error: Option<BundleError>,
}

#[cfg(test)]
mod tests {
    use super::{Bundle, BundleError, BundleSet};

    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn unknown_keys_are_passed_over_and_bad_ones_counted() {
        let bundle = Bundle::parse(
            br#"{"keys": [{"use": "x509-svid"}, {"kty": "new", "use": "x509-svid"}, {"kty": "EC"},
                {"kty": "EC", "use": "X509-SVID"}, {"kty": "EC", "use": "wit-svid"}, {"kty": "EC", "use": "x509-svid"},
                {"kty": "EC", "use": "x509-svid", "x5c": []}, {"kty": "EC", "use": "x509-svid", "x5c": ["-_-_"]},
                {"kty": "EC", "use": "jwt-svid"}, {"kty": "EC", "use": "jwt-svid", "kid": "k"}], "x": {}}"#,
        )
        .unwrap();
        assert_eq!(bundle.authority_count(), 0);
        assert_eq!(bundle.jwt_keys().len(), 0);
        assert_eq!(
            bundle.skipped().iter().map(|skipped| skipped.index).collect::<Vec<_>>(),
            [2, 5, 6, 7, 8, 9]
        );
    }

    #[test]
    fn sequence_is_exact_and_wrong_types_refuse_the_bundle() {
        let parse = |text: &str| Bundle::parse(text.as_bytes());
        let bundle =
            parse(r#"{"keys": [], "spiffe_sequence": 18446744073709551615, "spiffe_refresh_hint": 60}"#).unwrap();
        assert_eq!((bundle.sequence(), bundle.refresh_hint()), (Some(u64::MAX), Some(60)));
        for text in [
            r#"{"keys": [], "spiffe_sequence": "1"}"#,
            r#"{"keys": [], "spiffe_sequence": -1}"#,
            r#"{"keys": [], "spiffe_sequence": 1.5}"#,
            r#"{"keys": [], "spiffe_sequence": 18446744073709551616}"#,
            r#"{"keys": [], "spiffe_sequence": null}"#,
            r#"{"keys": [], "spiffe_refresh_hint": "60"}"#,
        ] {
            assert!(matches!(parse(text), Err(BundleError::NotInteger { .. })), "{text}");
        }
        for text in [
            r#"{"keys": [], "spiffe_refresh_hint": 0}"#,
            r#"{"keys": [], "spiffe_refresh_hint": -5}"#,
        ] {
            assert_eq!(parse(text).unwrap().refresh_hint(), None);
        }
    }

    #[test]
    fn what_is_no_bundle_is_refused() {
        for text in [
            "{}",
            r#"{"keys": {}}"#,
            "[]",
            r#"{"keys": [], "keys": []}"#,
            r#"{"keys": []} x"#,
        ] {
            assert!(Bundle::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn duplicate_trust_domain_refuses_the_whole_map() {
        let twice = br#"{"trust_domains": {"a": {"keys": []}, "a": {"keys": []}}}"#;
        assert!(matches!(BundleSet::parse_map(twice), Err(BundleError::Json(_))));
        let (set, errors) =
            BundleSet::parse_map(br#"{"trust_domains": {"a": {"keys": []}, "B": {"keys": []}, "c": {}}}"#).unwrap();
        assert_eq!(set.iter().count(), 1);
        assert_eq!(errors.len(), 2);
        assert!(BundleSet::parse_map(br#"{"trust_domains": {}}"#).is_ok());
        assert!(BundleSet::parse_map(br#"{}"#).is_err());
    }
}
