//! svidgate as a native module of Envoy (`dynamic_modules`), of 1.39 and 1.40.
//!
//! So far one hook: a TLS certificate validator that hands on what a peer sends with its leaf, for a network filter in wasm,
//! which sees the leaf alone otherwise. It verifies nothing: a listener with it lets everybody in, for svidgate behind it to
//! judge.

mod abi;
mod chain;
mod host;
