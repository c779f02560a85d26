//! Who acts here: the peer itself, or a caller that it brings?

use std::rc::Rc;

use jiff::Timestamp;
use svidgate_policy::{Assertion, Way};

use crate::{identity::identity::Identity, record::decision::Who};

/// Those who have to do with a connection or a request.
#[derive(Clone, Debug)]
pub struct Party {
    /// Who has connected.
    pub peer: Rc<Identity>,
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
    pub fn brought_by(
        peer: &Identity,
        identity: Rc<Identity>,
        between: Vec<Rc<Identity>>,
        assertion: Assertion,
    ) -> Self {
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
pub fn via(peer: &Identity, between: &[Rc<Identity>]) -> Box<str> {
    let between = between.iter().rev().map(|hop| &**hop);
    let ids: Vec<&str> = between.chain([peer]).map(|hop| hop.svid.id().as_str()).collect();
    ids.join(",").into()
}

impl Party {
    /// The peer itself.
    pub fn direct(peer: Rc<Identity>) -> Self {
        Self { peer, caller: None }
    }

    /// The way from who asks.
    pub fn way(&self) -> Way<'_> {
        match &self.caller {
            Some(caller) => Way::through(
                self.hops().map(|hop| &hop.grants),
                &caller.identity.grants,
                caller.assertion,
            ),
            None => Way::direct(&self.peer.grants),
        }
    }

    /// The hops that it has come through, the peer first.
    fn hops(&self) -> impl Iterator<Item = &Rc<Identity>> {
        let caller = self.caller.iter();
        caller.flat_map(|caller| [&self.peer].into_iter().chain(&caller.between))
    }

    /// How it was said on whose behalf it asks; `None` where it is nobody's but its own.
    pub fn assertion(&self) -> Option<Assertion> {
        self.caller.as_ref().map(|caller| caller.assertion)
    }

    /// The ids of the hops that it has come through, the one to which the caller has connected first, parted by commas;
    /// `None` where it has come through none.
    pub fn via(&self) -> Option<&str> {
        let caller = self.caller.as_ref()?;
        Some(caller.via.as_deref().unwrap_or(self.peer.svid.id().as_str()))
    }

    /// Whose rights count.
    pub fn acting(&self) -> &Identity {
        self.caller.as_ref().map_or(&self.peer, |caller| &caller.identity)
    }

    /// Who it is, as records show it.
    pub fn who(&self) -> Who<'_> {
        let hop = self.caller.as_ref().map(|_| &*self.peer);
        Who {
            via: self.via(),
            hop: hop.and_then(|hop| self.way().hop().or_else(|| hop.grants.first_hop())),
            ..self.acting().who()
        }
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Rc<Identity>> {
        let caller = self.caller.iter();
        let brought = caller.flat_map(|caller| [&caller.identity].into_iter().chain(&caller.between));
        [&self.peer].into_iter().chain(brought)
    }

    /// The first moment after `now` at which time alone may change what it may do.
    pub fn next_change(&self, now: Timestamp) -> Timestamp {
        let all = self.all().map(|identity| identity.next_change(now));
        all.min().unwrap_or(Timestamp::MAX)
    }
}
