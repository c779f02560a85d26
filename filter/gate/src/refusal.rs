//! Why is it nobody here?

use jiff::Timestamp;
use svidgate_policy::{Reason, SpiffeId};

/// A certificate that is no identity here.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The reason code.
    pub reason: Reason,
    /// What is wrong, for the log.
    pub detail: String,
    /// The id that the certificate bears, which nothing vouches for.
    pub claimed: Option<SpiffeId>,
    /// The first moment at which it may hold no longer, although nothing but time has changed.
    pub changes: Option<Timestamp>,
    /// Where nothing is wrong but that its issuer is not at hand: how much had been learned of issuers then
    /// ([`crate::identity::hints::Hints::learned`]).
    pub for_want_of_issuer: Option<u64>,
}
