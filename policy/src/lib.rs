//! Who a peer is, and what it may do: verification of X.509-SVIDs and decisions on requests, without any I/O.

#![forbid(unsafe_code)]

pub mod bundle;
pub mod certificate;
pub mod chain;
pub mod federation;
pub mod id;
mod json;
mod name_constraints;
pub mod path;
pub mod pattern;
pub mod reason;
pub mod signature;
pub mod svid;

pub use id::{SpiffeId, SpiffeIdError, TrustDomain};
