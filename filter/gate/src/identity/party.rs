//! Who acts here: the peer itself, or a caller that it brings?

use std::rc::Rc;

use jiff::Timestamp;
use svidgate_policy::{Assertion, Way};

use crate::{identity::identity::Identity, peer::presented::Evidence, record::decision::Who};

/// Those who have to do with a connection or a request.
#[derive(Clone, Debug)]
pub struct Party {
    /// Who has connected.
    pub peer: Rc<Identity>,
    /// On whose behalf it asks, where it is a hop.
    pub caller: Option<Rc<Identity>>,
}

impl Party {
    /// The peer itself.
    pub fn direct(peer: Rc<Identity>) -> Self {
        Self { peer, caller: None }
    }

    /// The way from who asks.
    pub fn way(&self) -> Way<'_> {
        match &self.caller {
            Some(caller) => Way::through(&self.peer.grants, &caller.grants, assertion(caller)),
            None => Way::direct(&self.peer.grants),
        }
    }

    /// How it was said on whose behalf it asks; `None` where it is nobody's but its own.
    pub fn assertion(&self) -> Option<Assertion> {
        self.caller.as_deref().map(assertion)
    }

    /// Whose rights count.
    pub fn acting(&self) -> &Identity {
        self.caller.as_ref().unwrap_or(&self.peer)
    }

    /// Who it is, as records show it.
    pub fn who(&self) -> Who<'_> {
        let hop = self.caller.as_ref().map(|_| &*self.peer);
        Who {
            via: hop.map(|hop| hop.svid.id()),
            hop: hop.and_then(|hop| self.way().hop().or_else(|| hop.grants.first_hop())),
            ..self.acting().who()
        }
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Rc<Identity>> {
        [&self.peer].into_iter().chain(&self.caller)
    }

    /// The first moment after `now` at which time alone may change what it may do.
    pub fn next_change(&self, now: Timestamp) -> Timestamp {
        let all = self.all().map(|identity| identity.next_change(now));
        all.min().unwrap_or(Timestamp::MAX)
    }
}

/// How a hop has said who it is.
fn assertion(caller: &Identity) -> Assertion {
    match caller.evidence {
        Evidence::Token(_) => Assertion::JwtSvid,
        Evidence::Handshake(_) | Evidence::Shared(_) | Evidence::Vouched(_) | Evidence::Brought(_) => Assertion::Xfcc,
    }
}
