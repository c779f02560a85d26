//! Who a peer is, and what it may do: verification of X.509-SVIDs and decisions on requests.
//!
//! The crate answers three questions, each with a type that can only be had by the answer:
//!
//! 1. Is this document good? [`Configuration::compile`] gives a [`Configuration`], or every mistake in it.
//! 2. Who is this peer? [`svid::verify`] gives an [`Svid`], or the one reason why not.
//! 3. What may it do? [`RuleSet::specialise`] gives its [`Grants`], and [`Grants::decide`] a [`Decision`] for each
//!    request.
//!
//! It is pure: no host, no clock, no log, no I/O. Time is an argument.

#![forbid(unsafe_code)]

pub mod authority;
pub mod bundle;
pub mod bundle_error;
pub mod bundle_set;
pub mod certificate;
pub mod certificate_bounds;
pub mod certificate_error;
pub mod chain;
mod chain_error;
pub mod claim;
mod compile;
mod condition;
mod cost;
mod decide;
pub mod digest;
mod distinguished_name;
mod document;
mod effect;
mod effort;
pub mod federation;
mod fingerprint;
mod grants;
mod header;
mod host;
pub mod id;
pub mod id_pattern;
mod json;
pub mod jwt_key;
pub mod leaf;
pub mod name_constraints;
pub mod path;
pub mod path_pattern;
pub mod pattern;
mod peer;
pub mod pem;
mod quoted;
mod read;
mod read_federation;
mod read_rule;
mod reading;
mod reason;
pub mod revocation;
mod revoked;
mod rule;
mod ruleset;
mod schedule;
mod settings;
pub mod signature;
pub mod signer;
pub mod source;
pub mod svid;
mod trie;
mod values;
mod verdict;

pub use bundle::Bundle;
pub use bundle_set::BundleSet;
pub use compile::Configuration;
pub use cost::TooCostly;
pub use decide::{Decision, Detail, DryRun, HttpRequest, Request};
pub use digest::sha256;
pub use document::MAX_DOCUMENT_BYTES;
pub use effect::Effect;
pub use federation::{Relationship, Relationships};
pub use grants::Grants;
pub use header::{Headers, ID_HEADER, folded, reads_as};
pub use id::{SpiffeId, SpiffeIdError, TrustDomain};
pub use id_pattern::IdPattern;
pub use jiff::{SignedDuration, Timestamp};
pub use json::JsonError;
pub use peer::PeerOrigin;
pub use read::{CompileError, Mistake};
pub use reading::{Overridden, is_override, is_protocol};
pub use reason::Reason;
pub use revocation::Revocations;
pub use ruleset::{AboutRequests, Needs, RuleSet};
pub use settings::{AccessLog, Chain, Format, Listener, Listeners, Mode, Xfcc};
pub use signature::ALGORITHMS;
pub use source::Source;
pub use svid::{Presented, Svid, SvidError, Trust};
