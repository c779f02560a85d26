//! What is trusted now, and from where did it come?

mod asking;
pub mod event;
pub mod feeds;
pub mod fetch;
pub mod fetched;
pub mod index;
pub mod jwt_bundles;
pub mod key;
pub mod lease;
mod poll;
pub mod remarks;
pub mod trusted;
pub mod want;
pub mod workload_api;
