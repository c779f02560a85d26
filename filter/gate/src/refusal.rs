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
    /// Where it is about what a hop says of somebody, or about whom it brings.
    pub brought: Option<Box<Brought>>,
}

/// By whom somebody was brought who is nobody here.
#[derive(Clone, Debug)]
pub struct Brought {
    /// The ids of the hops, as far as they are known, the first that it has come through first.
    pub via: Box<str>,
    /// The name of the first entry in the document of whoever has connected.
    pub hop: Option<Box<str>>,
    /// Of whose certificate or token the reason speaks, where it is not what was said of them.
    pub of: Option<Of>,
}

/// Whose certificate or token it is, where it is not that of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Of whose rights count.
    Caller,
    /// Of a hop that has not connected here itself.
    Hop,
}

impl Of {
    /// As records have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Hop => "hop",
        }
    }
}
