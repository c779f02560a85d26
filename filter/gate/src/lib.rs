//! Everything that a gate beside a proxy does: who the peer of a connection is, what it may do now, and what is told
//! about it.
//!
//! It knows no proxy: what it asks of one stands in [`proxy`], and a host implements that. What a host calls is a
//! [`Plugin`](plugin::plugin::Plugin) with its tick, and what becomes of each connection and each request.

pub mod board;
mod clock;
pub mod header_map;
pub mod identity;
pub mod ledger;
pub mod peer;
pub mod plugin;
pub mod proxy;
pub mod record;
pub mod refusal;
pub mod sources;
pub mod stage;
pub mod worker;
