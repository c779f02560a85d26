//! The keys that sign a trust domain's JWT-SVIDs: EC and RSA keys of a JWK set, as the algorithms take them.
//!
//! They come in two ways. A bundle endpoint serves them beside the X.509 authorities with `use: jwt-svid`; a Workload
//! API (`FetchJWTBundles`) sends a plain JWK set for each trust domain, whose keys have no `use`. What cannot be used
//! is passed over and counted. A `kid` that two keys have names neither: which of them signed cannot be said.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rsa::{BigUint, RsaPublicKey, pkcs1::EncodeRsaPublicKey as _};
use rustls_pki_types::{AlgorithmIdentifier, alg_id};

use crate::{
    certificate::signature,
    json::Json,
    trust::bundle_error::{BundleError, MAX_BUNDLE_BYTES, MAX_BUNDLE_KEYS, SkipReason, SkippedKey},
};

/// Longest `kid` in bytes. Our decision: SPIRE's have 32 characters.
pub const MAX_KID_BYTES: usize = 256;
/// Longest coordinate or modulus, as it is written. RSA of 4,096 bits has 683 characters.
const MAX_NUMBER_BYTES: usize = 1024;

/// A key that JWT-SVIDs of a trust domain may be signed by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtKey {
    kid: Box<str>,
    kind: AlgorithmIdentifier,
    public_key: Box<[u8]>,
    alg: Option<Box<str>>,
}

/// The algorithms that a JWT-SVID may be signed with (JWT-SVID 2.1), by kind of key.
const EC_P256: [&str; 1] = ["ES256"];
const EC_P384: [&str; 1] = ["ES384"];
const EC_P521: [&str; 1] = ["ES512"];
const RSA: [&str; 6] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];

impl JwtKey {
    /// Its name in the headers of tokens.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The kind of key, as signature algorithms name it.
    pub fn kind(&self) -> AlgorithmIdentifier {
        self.kind
    }

    /// The key as signature algorithms take it: an uncompressed point, or an `RSAPublicKey` in DER.
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// Whether a token with this `alg` may be signed by it. The key decides, never the token: of an EC key one
    /// algorithm, of an RSA key those of RSA, and only the one that the key names where it names one.
    pub fn may_sign(&self, alg: &str) -> bool {
        let is_named = self.alg.as_deref().is_none_or(|named| named == alg);
        is_named && algorithms(self.kind).contains(&alg)
    }

    /// Reads a JWK whose `use` has been looked at.
    pub(crate) fn read(key: &Json) -> Result<Self, SkipReason> {
        let kid = text(key, "kid")
            .filter(|kid| !kid.is_empty())
            .ok_or(SkipReason::NoKid)?;
        if kid.len() > MAX_KID_BYTES {
            return Err(SkipReason::NotJwtKey("`kid` is longer than 256 bytes"));
        }
        let (kind, public_key) = match text(key, "kty") {
            Some("EC") => point(key)?,
            Some("RSA") => rsa_key(key)?,
            _ => return Err(SkipReason::NotJwtKey("only EC and RSA keys sign JWT-SVIDs")),
        };
        if !signature::is_on_the_list(kind, &public_key) {
            return Err(SkipReason::NotJwtKey("the size of the key does not count here"));
        }
        let alg = match key.member("alg") {
            None => None,
            Some(alg) => Some(
                alg.as_str()
                    .filter(|alg| algorithms(kind).contains(alg))
                    .ok_or(SkipReason::NotJwtKey("`alg` does not go with the key"))?,
            ),
        };
        Ok(Self {
            kid: kid.into(),
            kind,
            public_key,
            alg: alg.map(Into::into),
        })
    }
}

fn algorithms(kind: AlgorithmIdentifier) -> &'static [&'static str] {
    match kind {
        alg_id::ECDSA_P256 => &EC_P256,
        alg_id::ECDSA_P384 => &EC_P384,
        alg_id::ECDSA_P521 => &EC_P521,
        alg_id::RSA_ENCRYPTION => &RSA,
        _ => &[],
    }
}

fn text<'k>(key: &'k Json, name: &str) -> Option<&'k str> {
    key.member(name).and_then(Json::as_str)
}

/// A number of a JWK: base64url without padding.
fn number(key: &Json, name: &str) -> Option<Vec<u8>> {
    let text = text(key, name).filter(|text| text.len() <= MAX_NUMBER_BYTES)?;
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// RFC 7518 6.2.1: both coordinates have all bytes of the field, leading zeros too.
fn point(key: &Json) -> Result<(AlgorithmIdentifier, Box<[u8]>), SkipReason> {
    let (kind, field_bytes) = match text(key, "crv") {
        Some("P-256") => (alg_id::ECDSA_P256, 32),
        Some("P-384") => (alg_id::ECDSA_P384, 48),
        Some("P-521") => (alg_id::ECDSA_P521, 66),
        _ => return Err(SkipReason::NotJwtKey("`crv` is not P-256, P-384 or P-521")),
    };
    let coordinate = |name| number(key, name).filter(|number| number.len() == field_bytes);
    let (Some(x), Some(y)) = (coordinate("x"), coordinate("y")) else {
        return Err(SkipReason::NotJwtKey(
            "`x` and `y` are not coordinates of the curve's size",
        ));
    };
    let point = [&[UNCOMPRESSED][..], &x, &y].concat();
    if !signature::is_point(kind, &point) {
        return Err(SkipReason::NotJwtKey("`x` and `y` are not on the curve"));
    }
    Ok((kind, point.into()))
}

/// The first byte of a point with both coordinates (SEC 1, 2.3.3).
const UNCOMPRESSED: u8 = 4;

fn rsa_key(key: &Json) -> Result<(AlgorithmIdentifier, Box<[u8]>), SkipReason> {
    let (Some(modulus), Some(exponent)) = (number(key, "n"), number(key, "e")) else {
        return Err(SkipReason::NotJwtKey(
            "`n` and `e` are no base64url numbers of at most 1,024 characters",
        ));
    };
    let [modulus, exponent] = [modulus, exponent].map(|number| BigUint::from_bytes_be(&number));
    let der = RsaPublicKey::new(modulus, exponent)
        .ok()
        .and_then(|key| key.to_pkcs1_der().ok())
        .ok_or(SkipReason::NotJwtKey(
            "`n` and `e` are no RSA key of at most 4,096 bits",
        ))?;
    Ok((alg_id::RSA_ENCRYPTION, der.as_bytes().into()))
}

/// The JWT keys of one trust domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JwtKeys {
    keys: Vec<(usize, JwtKey)>,
    skipped: Vec<SkippedKey>,
}

impl JwtKeys {
    /// Reads what a Workload API sends for one trust domain: a JWK set in which `use` is missing or `jwt-svid`. A key
    /// for anything else is none of ours.
    ///
    /// # Errors
    /// When the text is not JSON, repeats a member, has no `keys` list, or is beyond a bound.
    pub fn parse_workload_api(text: &[u8]) -> Result<Self, BundleError> {
        if text.len() > MAX_BUNDLE_BYTES {
            return Err(BundleError::TooLarge { bytes: text.len() });
        }
        let document = Json::parse(text).map_err(BundleError::Json)?;
        let keys = document
            .member("keys")
            .and_then(Json::as_array)
            .ok_or(BundleError::NoKeys)?;
        if keys.len() > MAX_BUNDLE_KEYS {
            return Err(BundleError::TooManyKeys { keys: keys.len() });
        }
        let mut jwt_keys = Self::default();
        for (index, key) in keys.iter().enumerate() {
            let is_ours = match key.member("use") {
                None => true,
                Some(meant) => meant.as_str() == Some("jwt-svid"),
            };
            if is_ours {
                jwt_keys.take(index, key);
            }
        }
        jwt_keys.drop_repeated();
        Ok(jwt_keys)
    }

    /// Reads the key at a place of a list.
    pub(crate) fn take(&mut self, index: usize, key: &Json) {
        match JwtKey::read(key) {
            Ok(key) => self.keys.push((index, key)),
            Err(why) => self.skipped.push(SkippedKey { index, why }),
        }
    }

    /// When all are read: of those that share a `kid` none counts.
    pub(crate) fn drop_repeated(&mut self) {
        let mut kids: Vec<Box<str>> = self.keys.iter().map(|(_, key)| key.kid.clone()).collect();
        kids.sort_unstable();
        let is_alone = |kid: &str| {
            let first = kids.partition_point(|known| &**known < kid);
            kids.get(first.saturating_add(1)).is_none_or(|next| &**next != kid)
        };
        let (alone, repeated): (Vec<_>, Vec<_>) = std::mem::take(&mut self.keys)
            .into_iter()
            .partition(|(_, key)| is_alone(&key.kid));
        self.keys = alone;
        let why = SkipReason::RepeatedKid;
        let skipped = repeated.into_iter().map(|(index, _)| SkippedKey {
            index,
            why: why.clone(),
        });
        self.skipped.extend(skipped);
        self.skipped.sort_by_key(|skipped| skipped.index);
    }

    /// The key of that name.
    pub fn key(&self, kid: &str) -> Option<&JwtKey> {
        self.iter().find(|key| &*key.kid == kid)
    }

    /// All of them, in the order of the list.
    pub fn iter(&self) -> impl Iterator<Item = &JwtKey> {
        self.keys.iter().map(|(_, key)| key)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Those that were meant for us and could not be used.
    pub fn skipped(&self) -> &[SkippedKey] {
        &self.skipped
    }
}
