//! What must hold for every input, one property a module. Each target in `targets/` asks one of them.
//!
//! None of them is only "does not panic": each compares with something that shares no code with what is fuzzed, another
//! library, a regular expression, or the reference evaluator of `tests/lib`. A property that does not hold panics.

pub mod analysis;
pub mod assertion;
pub mod bundle;
pub mod carrier;
mod certificates;
pub mod client_cert;
pub mod decision;
pub mod document;
mod drawn;
pub mod dump;
pub mod id;
pub mod leaf;
pub mod pattern;
pub mod pem;
mod places;
pub mod revocations;
pub mod tests;
pub mod token;
pub mod workload_api;
pub mod xfcc;
