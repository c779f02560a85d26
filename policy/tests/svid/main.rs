//! What makes a certificate an identity, one sentence a test: the checklist of X509-SVID, RFC 5280 and our decisions.
//!
//! Pure: certificates come from the test CA, the clock stands still, and each refusal is told by its reason code.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets the unexpected must stop"
)]

mod chain;
mod constraints;
mod encoding;
mod federation;
mod hostile;
mod jwt_keys;
mod keys;
mod leaf;
mod one_name;
mod pem;
mod second_opinion;
mod signing;
mod standing;
mod telling;
mod time;
mod tokens;
#[cfg(not(target_family = "wasm"))]
mod tokens_second_opinion;
mod verifier;
