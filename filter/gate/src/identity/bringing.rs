//! Who brings somebody, as it is told where nobody comes of it?

use std::rc::Rc;

use crate::{
    identity::{asserted::Refused, identity::Identity, party::via, peer::Peer},
    refusal::{Brought, Of, Refusal},
};

/// A hop that brings somebody, and those known already through whom it does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bringing<'a> {
    /// Who has connected.
    pub(super) peer: &'a Peer,
    /// Who has connected to it, and so on.
    pub(super) between: &'a [Rc<Identity>],
}

impl<'a> Bringing<'a> {
    /// A hop of which nobody else is known yet.
    pub(super) fn alone(peer: &'a Peer) -> Self {
        Self { peer, between: &[] }
    }

    /// What it says, or does not, is refused.
    pub(super) fn refuse(self, (reason, detail): Refused) -> Rc<Refusal> {
        let refusal = Refusal {
            reason,
            detail,
            claimed: None,
            changes: None,
            for_want_of_issuer: None,
            brought: None,
        };
        self.refused(None, refusal)
    }

    /// One whom it brings is refused.
    pub(super) fn refuse_of(self, of: Of, refusal: &Refusal) -> Rc<Refusal> {
        self.refused(Some(of), refusal.clone())
    }

    fn refused(self, of: Option<Of>, refusal: Refusal) -> Rc<Refusal> {
        let first = self.peer.grants().first_hop();
        let brought = Brought {
            via: via(self.peer, self.between),
            hop: first.map(|hop| hop.name.clone()),
            of,
        };
        Rc::new(Refusal {
            brought: Some(Box::new(brought)),
            ..refusal
        })
    }
}
