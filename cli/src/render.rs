//! What does a proxy or a mesh load, and does what is there carry this document?

pub mod atomic;
pub mod carried;
pub mod envoy;
pub mod envoy_gateway;
mod fill;
pub mod into;
pub mod istio;
pub mod policy;
pub mod values;
mod written;
