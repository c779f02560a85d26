//! Who a peer is, and what it may do: verification of X.509-SVIDs and decisions on requests.
//!
//! The crate answers three questions, each with a type that can only be had by the answer:
//!
//! 1. Is this document good? [`Configuration::compile`] gives a [`Configuration`], or every mistake in it.
//! 2. Who is this peer? [`trust::svid::verify`] gives an [`Svid`], or the one reason why not.
//! 3. What may it do? [`RuleSet::specialise`] gives its [`Grants`], and [`Grants::decide`] a [`Decision`] for each
//!    request.
//!
//! It is pure: no host, no clock, no log, no I/O. Time is an argument.

#![forbid(unsafe_code)]

#[cfg(feature = "analysis")]
pub mod analysis;
pub mod certificate;
pub mod claim;
pub mod digest;
pub mod document;
mod effort;
mod json;
pub mod name;
pub mod pattern;
mod quoted;
mod reason;
pub mod rules;
pub mod trust;

pub use certificate::signature::ALGORITHMS;
pub use digest::sha256;
pub use document::{
    configuration::Configuration,
    members::MAX_DOCUMENT_BYTES,
    peer::PeerOrigin,
    reader::{CompileError, Mistake},
    settings::{AccessLog, ChainMode, Format, Listener, Listeners, Mode, XfccMode},
    source::Source,
};
pub use jiff::{SignedDuration, Timestamp};
pub use json::{Json, JsonError};
pub use name::id::{SpiffeId, SpiffeIdError, TrustDomain};
pub use pattern::id_pattern::IdPattern;
pub use reason::Reason;
pub use rules::{
    cost::TooCostly,
    decision::{Decision, Detail, DryRun},
    effect::Effect,
    grants::Grants,
    header::{Headers, ID_HEADER, VIA_HEADER, folded, reads_as},
    hop::{Assertion, Evidence, Hop, MAX_DEPTH, MAX_HOPS, Peers},
    reading::{Overridden, is_override, is_protocol},
    request::{HttpRequest, Request},
    rule_set::{AboutRequests, Needs, RuleSet},
    way::Way,
};
pub use trust::{
    bundle::Bundle,
    bundle_set::BundleSet,
    relationship::{Relationship, Relationships},
    revocation::Revocations,
    svid::{Presented, Svid, Trust},
    svid_error::SvidError,
};
