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
    if !claims
        .audiences
        .iter()
        .any(|audience| expected.audiences.contains(audience))
    {
        return Err(TokenError::WrongAudience);
    }
    let ends = check_time(&claims, expected, now)?;
    let key = keys(&claims.id)?.key(&jws.kid).ok_or(TokenError::UnknownKey)?;
    jws.verify(key, algorithms)?;
    Ok(JwtSvid {
        id: claims.id,
        kid: jws.kid,
        key: sha256(key.public_key()),
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

/// From when on it is over, where it is good now.
fn check_time(claims: &Claims, expected: &Expected, now: Timestamp) -> Result<Timestamp, TokenError> {
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
    let (lifetime, allowed) = (expires.duration_since(issued), expected.max_lifetime);
    if lifetime > allowed {
        return Err(TokenError::LifetimeTooLong { lifetime, allowed });
    }
    Ok(ends)
}
