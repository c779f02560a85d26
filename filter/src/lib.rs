//! svidgate as a proxy-wasm module: a network filter and an HTTP filter that enforce what `svidgate-policy` decides,
//! and a hold for proxies that show a network filter no certificate otherwise.
//!
//! `root_id` says which of them a plugin is; all take the same document.

#[cfg(target_arch = "wasm32")]
mod abi;
pub mod action;
pub mod authorities;
pub mod behind;
pub mod capability;
mod clock;
pub mod configuration;
pub mod connection;
pub mod cut;
pub mod decision;
mod decision_line;
#[cfg(target_arch = "wasm32")]
mod entry;
pub mod event;
pub mod fetch;
pub mod fetched;
pub mod gate;
pub mod grounds;
pub mod head;
pub mod header_map;
pub mod hints;
pub mod hold;
pub mod host;
pub mod identities;
pub mod identity;
pub mod key;
pub mod lease;
pub mod ledger;
pub mod live;
pub mod note;
pub mod peer;
pub mod poll;
pub mod proxy_signature;
pub mod record;
pub mod refusal;
mod remarks;
pub mod request;
pub mod root;
pub mod secret;
pub mod shared;
pub mod stage;
pub mod succession;
pub mod surroundings;
pub mod trusted;
pub mod unproven;
pub mod verification;
pub mod version;
pub mod want;
pub mod watch;
pub mod worker;
pub mod workload_api;
pub mod xfcc;
