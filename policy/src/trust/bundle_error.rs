//! What is wrong with a bundle, or with one of its keys?

use std::fmt;

use crate::{json::JsonError, trust::authority::AuthorityError};

/// Largest bundle document in bytes. Our decision: as many keys as are taken, with P-256 keys, and half as many with
/// RSA-4096.
pub const MAX_BUNDLE_BYTES: usize = 2 * 1024 * 1024;
/// Most entries in `keys`, of any use. Our decision: an issuer that keeps ended keys for two days and makes new ones
/// every ten minutes has 580, half of them for JWTs. What a leaf may cost is bounded apart from it.
pub const MAX_BUNDLE_KEYS: usize = 1024;

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
