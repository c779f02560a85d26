//! What do rules come to?
//!
//! Questions that nobody asks of a gate and everybody asks of a document: about an id without a certificate, about all
//! ids and requests at once, about two documents. Behind the feature `analysis`, which no module of a proxy has.

mod branch;
mod brought;
pub(crate) mod claimed;
mod compare;
mod comparison;
mod cube;
mod demand;
mod expected;
pub mod explain;
pub mod fields;
pub mod granted;
mod index;
mod literal;
mod manner;
mod members;
pub mod patterns;
pub(crate) mod policy;
mod question;
mod realise;
mod region;
mod remarks;
mod sayings;
mod search;
mod seek;
pub mod shape;
mod side;
mod subject;
mod terms;
mod values;
mod vocabulary;
mod witness;

pub use self::{
    claimed::{Claimed, ClaimedGrants, ClaimedWay},
    compare::{compare, compare_beyond},
    comparison::{Bounds, Cause, Change, Changes, Comparison, Fault, LeftOut, Shown, Undecided, Why},
    expected::Expected,
    manner::Form,
    members::Difference,
    policy::Policy,
    question::{Claim, Counterexample, Holds, holds},
    region::Region,
    remarks::{Remark, RemarkBounds, What, remarks},
    subject::Subject,
    witness::{Answer, Brought, Witness},
};
