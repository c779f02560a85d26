//! Who acts here: the peer itself, or a caller that it brings?

use std::rc::Rc;

use jiff::Timestamp;
use svidgate_policy::{Assertion, Way};

use crate::{
    identity::{identity::Identity, peer::Peer},
    ledger::Owner,
    peer::presented::Evidence,
    record::decision::Who,
};

/// Those who have to do with a connection or a request.
#[derive(Clone, Debug)]
pub struct Party {
    /// Who has connected.
    pub peer: Peer,
    /// On whose behalf it asks, where it is a hop.
    pub caller: Option<Caller>,
}

/// Whom a hop brings.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who it is.
    pub identity: Rc<Identity>,
    /// The hops that it has come through before, the one that has connected to the peer first.
    pub between: Vec<Rc<Identity>>,
    /// How it was said.
    pub assertion: Assertion,
    /// The ids of several hops ([`via`]).
    via: Option<Box<str>>,
}

impl Caller {
    /// Somebody whom this peer brings.
    pub fn brought_by(peer: &Peer, identity: Rc<Identity>, between: Vec<Rc<Identity>>, assertion: Assertion) -> Self {
        let via = (!between.is_empty()).then(|| via(peer, &between));
        Self {
            identity,
            between,
            assertion,
            via,
        }
    }
}

/// The ids of hops, parted by commas, which no id has: the one to which the caller has connected first.
pub fn via(peer: &Peer, between: &[Rc<Identity>]) -> Box<str> {
    let between = between.iter().rev().map(|hop| hop.svid.id().as_str());
    let ids: Vec<&str> = between.chain([peer.as_str()]).collect();
    ids.join(",").into()
}

impl Party {
    /// The peer itself.
    pub fn direct(peer: Peer) -> Self {
        Self { peer, caller: None }
    }

    /// The way from who asks.
    pub fn way(&self) -> Way<'_> {
        match &self.caller {
            Some(caller) => {
                let between = caller.between.iter().map(|hop| &hop.grants);
                let hops = [self.peer.grants()].into_iter().chain(between);
                let way = Way::through(hops, &caller.identity.grants, caller.assertion);
                match caller.identity.evidence {
                    Evidence::Named(_) => way.by_name(),
                    Evidence::Handshake(_)
                    | Evidence::Shared(_)
                    | Evidence::Vouched(_)
                    | Evidence::Brought(_)
                    | Evidence::Token(_) => way,
                }
            }
            None => Way::direct(self.peer.grants()),
        }
    }

    /// How it was said on whose behalf it asks; `None` where it is nobody's but its own.
    pub fn assertion(&self) -> Option<Assertion> {
        self.caller.as_ref().map(|caller| caller.assertion)
    }

    /// The ids of the hops that it has come through, the one to which the caller has connected first, parted by commas;
    /// `None` where it has come through none.
    pub fn via(&self) -> Option<&str> {
        let caller = self.caller.as_ref()?;
        Some(caller.via.as_deref().unwrap_or(self.peer.as_str()))
    }

    /// Who has connected, where that is known.
    pub fn connected(&self) -> Option<&Identity> {
        self.peer.identity().map(|identity| &**identity)
    }

    /// Whose rights count; nobody's, where one has connected who has shown no certificate.
    pub fn acting(&self) -> Option<&Identity> {
        match &self.caller {
            Some(caller) => Some(&caller.identity),
            None => self.connected(),
        }
    }

    /// Under which what is kept of it is counted. Of one who has shown no certificate it is its caller's alone.
    pub fn owner(&self) -> Owner {
        let caller = self.caller.as_ref().map(|caller| caller.identity.account());
        match (self.connected(), caller) {
            (Some(peer), caller) => Owner {
                peer: peer.account(),
                caller,
            },
            (None, caller) => Owner::direct(caller.unwrap_or_default()),
        }
    }

    /// Who it is, as records show it.
    pub fn who(&self) -> Option<Who<'_>> {
        let hop = self.caller.as_ref().map(|_| &self.peer);
        Some(Who {
            via: self.via(),
            hop: hop.and_then(|hop| self.way().hop().or_else(|| hop.grants().first_hop())),
            ..self.acting()?.who()
        })
    }

    /// All of them that are known.
    pub fn all(&self) -> impl Iterator<Item = &Rc<Identity>> {
        let caller = self.caller.iter();
        let brought = caller.flat_map(|caller| [&caller.identity].into_iter().chain(&caller.between));
        self.peer.identity().into_iter().chain(brought)
    }

    /// The first moment after `now` at which time alone may change what it may do.
    pub fn next_change(&self, now: Timestamp) -> Timestamp {
        let all = self.all().map(|identity| identity.next_change(now));
        all.chain([self.peer.next_change(now)]).min().unwrap_or(now)
    }
}
