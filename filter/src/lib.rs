//! svidgate as a proxy-wasm module: a network filter and an HTTP filter that enforce what `svidgate-policy` decides.
//!
//! `root_id` says which of the two a plugin is; both take the same document.

#[cfg(target_arch = "wasm32")]
mod abi;
pub mod configuration;
pub mod connection;
#[cfg(target_arch = "wasm32")]
mod entry;
pub mod gate;
pub mod host;
pub mod identities;
pub mod live;
pub mod peer;
pub mod proxy_signature;
pub mod record;
pub mod request;
pub mod root;
pub mod xfcc;
