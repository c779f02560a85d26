//! What a document may have: the very tables that its reader asks.
//!
//! A schema that is made of them cannot know a member that the reader does not, nor the other way.

use crate::document::{federation, hops, jwt_svid, members, peer, revoked, rule, source};

/// Names of members, or words that a member takes.
pub type Table = &'static [&'static str];

/// The members of a document.
pub const DOCUMENT: Table = members::FIELDS;
/// Words of `mode`.
pub const MODES: Table = members::MODES;
/// Words of `listener`.
pub const LISTENERS: Table = members::LISTENERS;
/// Words of `chain`.
pub const CHAINS: Table = members::CHAINS;
/// Words of `xfcc`.
pub const XFCC: Table = members::XFCC;
/// Words of `access_log`.
pub const ACCESS_LOGS: Table = members::ACCESS_LOGS;
/// Words of `paths`.
pub const PATHS: Table = members::PATHS;
/// Words of `overrides`.
pub const OVERRIDES: Table = members::OVERRIDES;
/// The members of `peer`.
pub const PEER: Table = peer::PEER_FIELDS;
/// The members of `peer.filter_state`.
pub const FILTER_STATE: Table = peer::FILTER_STATE_FIELDS;
/// The members of `authorities`.
pub const AUTHORITIES: Table = source::AUTHORITIES_FIELDS;
/// The members of `authorities.workload_api`.
pub const WORKLOAD_API: Table = source::WORKLOAD_API_FIELDS;
/// The members of an endpoint.
pub const ENDPOINT: Table = source::ENDPOINT_FIELDS;
/// The members of `revocations`.
pub const REVOCATIONS: Table = source::REVOCATIONS_FIELDS;
/// The members of `bundle`.
pub const BUNDLE: Table = federation::BUNDLE_FIELDS;
/// The members of an entry of `federation`.
pub const RELATIONSHIP: Table = federation::RELATIONSHIP_FIELDS;
/// The members of an entry of `hops`.
pub const HOP: Table = hops::HOP_FIELDS;
/// Words of `assertion`.
pub const ASSERTIONS: Table = hops::ASSERTIONS;
/// The members of `jwt_svid`.
pub const JWT_SVID: Table = jwt_svid::JWT_SVID_FIELDS;
/// Words of `evidence`.
pub const EVIDENCE: Table = hops::EVIDENCE;
/// The members of a list of revocations as an endpoint serves it.
pub const REVOCATION_LIST: Table = revoked::LIST_FIELDS;
/// The members of a revocation.
pub const REVOCATION: Table = revoked::ENTRY_FIELDS;
/// The members of a rule.
pub const RULE: Table = rule::FIELDS;
/// Words of `effect`.
pub const EFFECTS: Table = rule::EFFECTS;
/// The members of an entry of `to`.
pub const TARGET: Table = rule::TARGET_FIELDS;
/// Those of them that demand something.
pub const TARGET_DEMANDS: Table = rule::TARGET_DEMANDS;
/// The members of `when`.
pub const WHEN: Table = rule::WHEN_FIELDS;
/// The members of a condition on a header.
pub const HEADER: Table = rule::HEADER_FIELDS;
/// The members of a window of time.
pub const TIME: Table = rule::TIME_FIELDS;
/// Words of `days`.
pub const DAYS: Table = rule::DAYS;
/// Words of `zone`.
pub const ZONES: Table = rule::ZONES;
