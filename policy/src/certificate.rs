//! What does one certificate say?
//!
//! Nothing here knows whom anybody trusts.

pub mod bounds;
pub(crate) mod distinguished_name;
pub mod error;
pub mod fields;
pub(crate) mod fingerprint;
pub mod leaf;
pub mod name_constraints;
pub mod pem;
pub mod signature;
pub mod signer;
