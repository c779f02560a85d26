//! What did the operator write?
//!
//! Reading a document so that every mistake in it is found at once, and compiling what was read.

pub(crate) mod configuration;
pub(crate) mod federation;
pub(crate) mod hops;
pub mod jwt_svid;
pub(crate) mod members;
pub(crate) mod peer;
pub(crate) mod reader;
pub(crate) mod revoked;
pub(crate) mod rule;
pub(crate) mod settings;
pub mod source;
pub(crate) mod values;
