//! What is it called, in one reading?
//!
//! Everything that has one name here has one spelling: SPIFFE IDs, request paths, hosts.

pub(crate) mod host;
pub mod id;
pub mod path;
