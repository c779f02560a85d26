//! Why is it nobody here?

use jiff::Timestamp;
use svidgate_policy::{Hop, Reason, SpiffeId};

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
    /// Where it is about what a hop says of somebody, or about whom it brings.
    pub brought: Option<Brought>,
}

/// By whom somebody was brought who is nobody here.
#[derive(Clone, Debug)]
pub struct Brought {
    /// The id of the hop.
    pub via: SpiffeId,
    /// The name of its first entry in the document.
    pub hop: Option<Box<str>>,
    /// Whether it is the caller's certificate that is no identity here.
    pub of_caller: bool,
}

impl Brought {
    /// By this hop.
    pub fn by(via: &SpiffeId, hop: Option<&Hop>) -> Self {
        Self {
            via: via.clone(),
            hop: hop.map(|hop| hop.name.clone()),
            of_caller: false,
        }
    }
}
