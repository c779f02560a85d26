//! What do rules come to?
//!
//! Questions that nobody asks of a gate and everybody asks of a document: about an id without a certificate, about all
//! ids and requests at once, about two documents. Behind the feature `analysis`, which no module of a proxy has.

pub(crate) mod claimed;
pub mod explain;
pub mod granted;
pub(crate) mod policy;

pub use self::{
    claimed::{Claimed, ClaimedGrants},
    policy::Policy,
};
