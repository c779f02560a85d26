//! Who is this, and does it still stand?
//!
//! Bundles of trust domains, relationships with them, revocations, and the path from a leaf to an authority.

pub mod authority;
pub mod bundle;
pub mod bundle_error;
pub mod bundle_set;
mod candidate;
pub mod chain;
pub(crate) mod chain_error;
mod claims;
mod jws;
pub mod jwt_key;
pub mod jwt_svid;
pub mod relationship;
pub mod revocation;
pub mod svid;
pub mod svid_error;
pub mod token_error;
