//! Who has connected, as far as anybody has?

use std::rc::Rc;

use jiff::Timestamp;
use svidgate_policy::Grants;

use crate::{
    identity::{identity::Identity, steady::Steady},
    peer::presented::{Digest, Evidence},
};

/// Who has connected.
#[derive(Clone, Debug)]
pub enum Peer {
    /// Somebody who is known.
    Known(Rc<Identity>),
    /// Someone who has shown no certificate, and may bring others all the same.
    Anonymous(Rc<Anonymous>),
}

/// What there is for those who have shown no certificate.
#[derive(Debug)]
pub struct Anonymous {
    grants: Grants,
    steady: Steady,
}

impl Anonymous {
    /// Those of whom the rules say this.
    pub fn new(grants: Grants) -> Self {
        Self {
            grants,
            steady: Steady::default(),
        }
    }
}

/// What stands in records in place of an id.
const ANONYMOUS: &str = "anonymous";

impl Peer {
    /// Who it is, where that is known.
    pub fn identity(&self) -> Option<&Rc<Identity>> {
        match self {
            Self::Known(identity) => Some(identity),
            Self::Anonymous(_) => None,
        }
    }

    /// What it may do.
    pub fn grants(&self) -> &Grants {
        match self {
            Self::Known(identity) => &identity.grants,
            Self::Anonymous(anonymous) => &anonymous.grants,
        }
    }

    /// Its id, or that it has none, as records show it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(identity) => identity.svid.id().as_str(),
            Self::Anonymous(_) => ANONYMOUS,
        }
    }

    /// The leaf that it has shown in its own handshake.
    pub fn leaf(&self) -> Option<Digest> {
        match &self.identity()?.evidence {
            Evidence::Handshake(leaf) => Some(*leaf),
            Evidence::Shared(_)
            | Evidence::Vouched(_)
            | Evidence::Brought(_)
            | Evidence::Named(_)
            | Evidence::Token(_) => None,
        }
    }

    /// The first moment after `now` at which time alone may change what it may do.
    pub fn next_change(&self, now: Timestamp) -> Timestamp {
        match self {
            Self::Known(identity) => identity.next_change(now),
            Self::Anonymous(anonymous) => anonymous.steady.next_change(&anonymous.grants, now),
        }
    }
}
