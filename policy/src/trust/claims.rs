//! What does a token claim? (JWT-SVID 3)

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};

use crate::{digest::Digest, json::Json, name::id::SpiffeId, trust::token_error::TokenError};

/// Most audiences of one token. Our decision: a token for everybody is for nobody.
pub(super) const MAX_AUDIENCES: usize = 16;

/// The claims that count. All others are passed over; `iss` means nothing for trust.
#[derive(Debug)]
pub(crate) struct Claims {
    pub(crate) id: SpiffeId,
    pub(crate) audiences: Vec<Box<str>>,
    pub(crate) expires: Timestamp,
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) issued: Option<Timestamp>,
    /// The certificate that whoever shows the token must have (RFC 8705 3.1): SHA-256 of its DER.
    pub(crate) bound_to: Option<Digest>,
}

impl Claims {
    /// Reads a payload.
    pub(crate) fn read(payload: &[u8]) -> Result<Self, TokenError> {
        let claims =
            Json::parse(payload).map_err(|_| TokenError::Malformed("its claims are no JSON with each member once"))?;
        if !matches!(claims, Json::Object(_)) {
            return Err(TokenError::Malformed("its claims are no JSON object"));
        }
        Ok(Self {
            id: subject(&claims)?,
            audiences: audiences(&claims)?,
            expires: time(&claims, "exp", "`exp` is no time in seconds since 1970")?
                .ok_or(TokenError::Malformed("it has no `exp`"))?,
            not_before: time(&claims, "nbf", "`nbf` is no time in seconds since 1970")?,
            issued: time(&claims, "iat", "`iat` is no time in seconds since 1970")?,
            bound_to: binding(&claims)?,
        })
    }
}

fn subject(claims: &Json) -> Result<SpiffeId, TokenError> {
    let subject = claims
        .member("sub")
        .and_then(Json::as_str)
        .ok_or(TokenError::Malformed("it has no `sub` that is a text"))?;
    let id = SpiffeId::parse(subject).map_err(|error| TokenError::InvalidId(Some(error)))?;
    if id.path().is_empty() {
        return Err(TokenError::InvalidId(None));
    }
    Ok(id)
}

/// RFC 7519 4.1.3: a text, or a list of texts.
fn audiences(claims: &Json) -> Result<Vec<Box<str>>, TokenError> {
    let malformed = TokenError::Malformed("`aud` is no text, and no list of at most 16 texts");
    match claims.member("aud") {
        Some(Json::String(one)) => Ok(vec![one.as_ref().into()]),
        Some(Json::Array(several)) if several.len() <= MAX_AUDIENCES => several
            .iter()
            .map(|one| one.as_str().map(Into::into).ok_or(malformed.clone()))
            .collect(),
        Some(
            Json::Array(_) | Json::Null | Json::Bool(_) | Json::Unsigned(_) | Json::OtherNumber(_) | Json::Object(_),
        ) => Err(malformed),
        None => Err(TokenError::Malformed("it has no `aud`")),
    }
}

/// RFC 7519 2: a number of seconds, which may have a fraction. A text is no number, however it reads.
fn time(claims: &Json, name: &str, otherwise: &'static str) -> Result<Option<Timestamp>, TokenError> {
    let since_1970 = match claims.member(name) {
        None => return Ok(None),
        Some(Json::Unsigned(seconds)) => i64::try_from(*seconds).ok().map(SignedDuration::from_secs),
        Some(Json::OtherNumber(seconds)) => SignedDuration::try_from_secs_f64(*seconds).ok(),
        Some(Json::Null | Json::Bool(_) | Json::String(_) | Json::Array(_) | Json::Object(_)) => None,
    };
    since_1970
        .and_then(|duration| Timestamp::from_duration(duration).ok())
        .map(Some)
        .ok_or(TokenError::Malformed(otherwise))
}

/// A token that is bound and taken as if it were not is a hole, so what else there may be in `cnf` is refused.
fn binding(claims: &Json) -> Result<Option<Digest>, TokenError> {
    let Some(confirmation) = claims.member("cnf") else {
        return Ok(None);
    };
    let Json::Object(members) = confirmation else {
        return Err(TokenError::UnknownBinding);
    };
    let [(name, Json::String(thumbprint))] = members.as_slice() else {
        return Err(TokenError::UnknownBinding);
    };
    let digest = URL_SAFE_NO_PAD.decode(thumbprint.as_bytes()).ok();
    digest
        .filter(|_| name == "x5t#S256")
        .and_then(|digest| digest.try_into().ok())
        .map(Some)
        .ok_or(TokenError::UnknownBinding)
}
