//! Where does the gate stand, and where does it not?
//!
//! From what an Envoy is configured with to a verdict for each way in. What is not understood is *not known*, and never taken for
//! guarded: members of a newer Envoy, filters whose conduct nobody here knows, whatever comes by discovery and is not here.

pub mod admin;
pub mod at_work;
mod chain;
pub mod document;
pub mod door;
pub mod expect;
mod filter;
pub mod findings;
mod http;
pub mod json;
mod kinds;
mod leads;
mod listener;
mod lock;
pub mod markdown;
mod message;
pub mod plugin;
pub mod read;
pub mod remark;
pub mod report;
mod requests;
mod routes;
mod snapshot;
mod stands_on;
pub mod text;
pub mod tls;
