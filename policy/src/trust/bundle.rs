//! The trust bundle of one trust domain, in the SPIFFE bundle format (Trust Domain and Bundle, section 4; X509-SVID 6).
//!
//! A bundle is a JWK set. What this version of the standard does not know is passed over, what it knows and cannot use
//! is passed over and counted, so that one bad entry neither takes a trust domain down nor goes unseen. A document that
//! could be read in two ways (a member twice, a sequence that is no integer) is refused whole. A bundle does not name
//! its trust domain; whoever configured it does (BN-17).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use x509_cert::{der::Decode as _, name::RdnSequence};

use crate::{
    certificate::{
        bounds::MAX_CERTIFICATE_BYTES,
        distinguished_name,
        error::CertificateError,
        signature::{self, MAX_SIGNATURE_CHECKS},
    },
    digest::sha256,
    json::Json,
    trust::{
        authority::Authority,
        bundle_error::{BundleError, MAX_BUNDLE_BYTES, MAX_BUNDLE_KEYS, SkipReason, SkippedKey},
        jwt_key::JwtKeys,
    },
};

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
                "{authorities} authorities have one name; only {tried} are tried for a leaf whose authority key \
                 identifier names none of them"
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

    /// The names of its authorities, as [`crate::trust::revocation::crl_issuer`] gives that of a CRL.
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

    /// How many authorities have a key with which no signature would ever be taken: it is too small, or of another kind.
    #[cfg(feature = "analysis")]
    pub fn unusable_authorities(&self) -> usize {
        let keys = self.authorities.iter().map(|authority| &authority.signer.public_key);
        keys.filter(|key| !signature::is_key_on_the_list(key)).count()
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

    /// The first and the last second of the authority that ends last: when it has ended nobody has a path any more.
    /// `None` where there is none.
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

#[cfg(test)]
mod tests {
    use super::{Bundle, BundleError};
    use crate::trust::bundle_set::BundleSet;

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
