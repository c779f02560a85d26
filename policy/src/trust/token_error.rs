//! Why is a token no identity, and how is that said?

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use crate::{name::id::SpiffeIdError, reason::Reason, trust::svid_error::SvidError};

/// Why a token is no identity here and now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// It is not what a JWT-SVID is: three parts, JSON, the members that must be there, of their types.
    Malformed(&'static str),
    /// `alg` is none of the nine that a JWT-SVID may have.
    UnsupportedAlgorithm,
    /// `typ` is there, and neither `JWT` nor `JOSE`.
    WrongType,
    /// The header demands that something be understood (`crit`, `b64`).
    CriticalHeader(&'static str),
    /// `sub` is no id of a workload.
    InvalidId(Option<SpiffeIdError>),
    /// None of its audiences is one of ours.
    WrongAudience,
    /// After `exp`.
    Expired {
        /// When it was looked at.
        now: Timestamp,
        /// From when on it is over.
        expires: Timestamp,
    },
    /// Before `nbf`.
    NotYetValid {
        /// When it was looked at.
        now: Timestamp,
        /// The first good moment.
        not_before: Timestamp,
    },
    /// Longer than the document allows.
    LifetimeTooLong {
        /// From `iat`, or from now where that is earlier or missing, to `exp`.
        lifetime: SignedDuration,
        /// What is allowed.
        allowed: SignedDuration,
    },
    /// `cnf` says something that cannot be held to.
    UnknownBinding,
    /// The JWT keys of its trust domain have none with this `kid`.
    UnknownKey,
    /// The key of this `kid` does not sign with this `alg`.
    OtherAlgorithm,
    /// The key did not make this signature.
    BadSignature,
    /// What holds for every identity: relationship, scope, revocation, bundle.
    Identity(SvidError),
}

impl From<SvidError> for TokenError {
    fn from(error: SvidError) -> Self {
        Self::Identity(error)
    }
}

impl TokenError {
    /// The reason code.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Malformed(_) => Reason::TokenMalformed,
            Self::UnsupportedAlgorithm | Self::OtherAlgorithm => Reason::TokenUnsupportedAlgorithm,
            Self::WrongType => Reason::TokenWrongType,
            Self::CriticalHeader(_) => Reason::TokenCriticalHeader,
            Self::InvalidId(_) => Reason::TokenInvalidId,
            Self::WrongAudience => Reason::TokenWrongAudience,
            Self::Expired { .. } => Reason::TokenExpired,
            Self::NotYetValid { .. } => Reason::TokenNotYetValid,
            Self::LifetimeTooLong { .. } => Reason::TokenLifetimeTooLong,
            Self::UnknownBinding => Reason::TokenNotBound,
            Self::UnknownKey => Reason::TokenUnknownKey,
            Self::BadSignature => Reason::TokenBadSignature,
            Self::Identity(error) => error.reason(),
        }
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) => write!(f, "the token is no JWT-SVID: {what}"),
            Self::UnsupportedAlgorithm => {
                f.write_str("`alg` is none of RS256, RS384, RS512, ES256, ES384, ES512, PS256, PS384, PS512")
            }
            Self::WrongType => f.write_str("`typ` is neither `JWT` nor `JOSE`"),
            Self::CriticalHeader(name) => write!(f, "the header has `{name}`, which no JWT-SVID needs"),
            Self::InvalidId(Some(error)) => write!(f, "`sub` is no SPIFFE ID: {error}"),
            Self::InvalidId(None) => f.write_str("`sub` names a trust domain, not a workload"),
            Self::WrongAudience => f.write_str("`aud` has none of `jwt_svid.audiences`"),
            Self::Expired { now, expires } => write!(f, "`exp` is {expires}, and it is {now}"),
            Self::NotYetValid { now, not_before } => write!(f, "`nbf` is {not_before}, and it is {now}"),
            Self::LifetimeTooLong { lifetime, allowed } => write!(
                f,
                "it is valid for {lifetime:#}, and `jwt_svid.max_lifetime` is {allowed:#}"
            ),
            Self::UnknownBinding => f.write_str("`cnf` is not `x5t#S256` alone, with the SHA-256 of a certificate"),
            Self::UnknownKey => f.write_str("its trust domain has no JWT key with this `kid`"),
            Self::OtherAlgorithm => f.write_str("the key of this `kid` does not sign with this `alg`"),
            Self::BadSignature => f.write_str("the key of this `kid` did not make the signature"),
            // Its X.509 authorities may well be.
            Self::Identity(SvidError::BundleMissing(name)) => write!(
                f,
                "the JWT keys of {name} are not at hand (a Workload API has a stream of its own for them, FetchJWTBundles)"
            ),
            Self::Identity(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for TokenError {}
