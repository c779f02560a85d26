//! svidgate as a proxy-wasm module: a network filter and an HTTP filter that enforce what `svidgate-policy` decides,
//! and a hold for proxies that show a network filter no certificate otherwise.
//!
//! `root_id` says which of them a plugin is; all take the same document. What they do is `svidgate-gate`'s; here is how
//! a proxy is called, and what it calls.

#[cfg(target_arch = "wasm32")]
mod abi;
#[cfg(target_arch = "wasm32")]
mod entry;
#[cfg(target_arch = "wasm32")]
mod properties;
#[cfg(any(target_arch = "wasm32", test))]
mod struct_value;
#[cfg(any(target_arch = "wasm32", test))]
mod verify_signature;
