//! Whether a token is a JWT-SVID for us, of somebody that we trust to be what it says (JWT-SVID, sections 2 to 4).
//!
//! As with certificates, the keys that count are those of the trust domain in the token's own `sub`, and no others. A token
//! proves that its bearer has it, and nothing else: who may show it to us is decided by whoever calls this.

use jiff::{SignedDuration, Timestamp};
use rustls_pki_types::SignatureVerificationAlgorithm;

use crate::{
    digest::{Digest, sha256},
    name::id::SpiffeId,
    trust::{claims::Claims, jws::Jws, jwt_key::JwtKeys, token_error::TokenError},
};

pub use crate::trust::jws::MAX_TOKEN_BYTES;

/// What a token is held against, beside keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Who we are, as tokens name it. Nobody's token is for us where there is none.
    pub audiences: Vec<Box<str>>,
    /// For how long at most a token may be good, from when it was issued.
    pub max_lifetime: SignedDuration,
    /// How far the clocks of issuers may be from ours.
    pub leeway: SignedDuration,
}

/// A token that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtSvid {
    id: SpiffeId,
    kid: Box<str>,
    key: Digest,
    audiences: Box<[Box<str>]>,
    lifetime: SignedDuration,
    ends: Timestamp,
    bound_to: Option<Digest>,
}

impl JwtSvid {
    /// Whose it is.
    pub fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// Whether the key that signed it is among these. Without it, the token is good for nothing.
    pub(crate) fn is_signed_by_one_of(&self, keys: &JwtKeys) -> bool {
        keys.key(&self.kid)
            .is_some_and(|key| sha256(key.public_key()) == self.key)
    }

    /// From when on it is not good any more: `exp`, and our leeway.
    pub fn ends(&self) -> Timestamp {
        self.ends
    }

    /// Whether it is for us, and for as long as is allowed, as another document says it.
    ///
    /// # Errors
    /// Which of the two it is not.
    pub fn check_is_expected(&self, expected: &Expected) -> Result<(), TokenError> {
        check_audience(&self.audiences, expected)?;
        check_lifetime(self.lifetime, expected)
    }

    /// SHA-256 of the certificate, in DER, that whoever shows it must have. To be held against the certificate at hand
    /// each time that the token is shown.
    pub fn bound_to(&self) -> Option<&[u8; 32]> {
        self.bound_to.as_ref()
    }
}

/// Verifies a token at one moment. `keys` are the JWT keys of a trust domain, or why there are none.
///
/// # Errors
/// The first thing that is wrong, in the order of the checks: algorithm and header, claims, audience, time, lifetime, then
/// what `keys` says, the key, the signature. What costs nothing comes first.
pub fn verify<'k>(
    token: &[u8],
    expected: &Expected,
    keys: impl FnOnce(&SpiffeId) -> Result<&'k JwtKeys, TokenError>,
    algorithms: &[&dyn SignatureVerificationAlgorithm],
    now: Timestamp,
) -> Result<JwtSvid, TokenError> {
    let jws = Jws::read(token)?;
    let claims = Claims::read(&jws.payload)?;
    check_audience(&claims.audiences, expected)?;
    let (ends, lifetime) = check_time(&claims, expected, now)?;
    let key = keys(&claims.id)?.key(&jws.kid).ok_or(TokenError::UnknownKey)?;
    jws.verify(key, algorithms)?;
    Ok(JwtSvid {
        id: claims.id,
        kid: jws.kid,
        key: sha256(key.public_key()),
        audiences: claims.audiences.into(),
        lifetime,
        ends,
        bound_to: claims.bound_to,
    })
}

/// Whether the key that a token names, one of these, made its signature. It says nothing of what the token claims: for outside
/// vectors, whose payloads are no claims.
///
/// # Errors
/// As [`verify`], of header, key and signature.
pub fn verify_signature(
    token: &[u8],
    keys: &JwtKeys,
    algorithms: &[&dyn SignatureVerificationAlgorithm],
) -> Result<(), TokenError> {
    let jws = Jws::read(token)?;
    let key = keys.key(&jws.kid).ok_or(TokenError::UnknownKey)?;
    jws.verify(key, algorithms)
}

fn check_audience(audiences: &[Box<str>], expected: &Expected) -> Result<(), TokenError> {
    let is_ours = |audience| expected.audiences.contains(audience);
    if audiences.iter().any(is_ours) {
        Ok(())
    } else {
        Err(TokenError::WrongAudience)
    }
}

fn check_lifetime(lifetime: SignedDuration, expected: &Expected) -> Result<(), TokenError> {
    let allowed = expected.max_lifetime;
    if lifetime > allowed {
        return Err(TokenError::LifetimeTooLong { lifetime, allowed });
    }
    Ok(())
}

/// From when on it is over, where it is good now, and for how long it is good in all.
fn check_time(claims: &Claims, expected: &Expected, now: Timestamp) -> Result<(Timestamp, SignedDuration), TokenError> {
    let expires = claims.expires;
    let ends = expires.checked_add(expected.leeway).unwrap_or(Timestamp::MAX);
    if now >= ends {
        return Err(TokenError::Expired { now, expires });
    }
    let latest = now.checked_add(expected.leeway).unwrap_or(Timestamp::MAX);
    if let Some(not_before) = claims.not_before.filter(|not_before| latest < *not_before) {
        return Err(TokenError::NotYetValid { now, not_before });
    }
    // One that says it was issued later than now may be good for longer than it says.
    let issued = claims.issued.map_or(now, |issued| issued.min(now));
    let lifetime = expires.duration_since(issued);
    check_lifetime(lifetime, expected)?;
    Ok((ends, lifetime))
}
