//! On whose behalf, and through whom?

use std::sync::Arc;

use jiff::Timestamp;

use crate::{
    reason::Reason,
    rules::{
        decision::Detail,
        grants::Grants,
        hop::{Assertion, Hop, HopSet},
        rule_set::Needs,
    },
};

/// The way that a request has come: from its caller, whose rights count, perhaps through a hop, which counts where it
/// is forbidden something.
#[derive(Clone, Copy, Debug)]
pub struct Way<'g> {
    pub(super) caller: &'g Grants,
    pub(super) hop: Option<&'g Grants>,
    /// How the hop says who the caller is.
    assertion: Assertion,
}

impl<'g> Way<'g> {
    /// The peer makes it itself.
    pub fn direct(caller: &'g Grants) -> Self {
        Self {
            caller,
            hop: None,
            assertion: Assertion::default(),
        }
    }

    /// The peer is a hop, and brings it, with this assertion. Whether it may is part of the decision.
    pub fn through(hop: &'g Grants, caller: &'g Grants, assertion: Assertion) -> Self {
        Self {
            caller,
            hop: Some(hop),
            assertion,
        }
    }

    /// The hop of the document through which it has come; `None` where it is direct, or no hop may bring it.
    pub fn hop(&self) -> Option<&'g Hop> {
        let known = self.caller.rules.0.hops.only(self.hops())?;
        Some(&known.hop)
    }

    /// What must be read from the connection or the stream before [`Way::decide`] can answer.
    pub fn needs(&self) -> Needs {
        let of_hop = self.hop.map(Grants::needs).unwrap_or_default();
        self.caller.needs().union(of_hop)
    }

    /// The first moment after `now` at which time alone may change what is decided; `None` where it never does.
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let of_hop = self.hop.and_then(|hop| hop.next_change(now));
        self.caller.next_change(now).into_iter().chain(of_hop).min()
    }

    fn hops(&self) -> HopSet {
        let hop = self.hop.filter(|hop| Arc::ptr_eq(&hop.rules.0, &self.caller.rules.0));
        let by = self.caller.rules.0.hops.by(self.assertion);
        let both = |hop: &Grants| hop.brings.and(self.caller.brought_by).and(by);
        hop.map(both).unwrap_or_default()
    }

    /// The hops that it has come through, or why no rule is asked. Whoever brings others makes no request of its own:
    /// were one without a caller its own, it would have the rights of the hop.
    pub(super) fn taken(&self, is_request: bool, now: Timestamp) -> Result<HopSet, (Reason, Option<Detail>)> {
        let refused = |detail| Err((Reason::AssertionNotAllowed, Some(detail)));
        match self.hop {
            None if is_request && self.caller.is_hop() => {
                Err((Reason::AssertionMissing, Some(Detail::BringsOthersOnly)))
            }
            None => Ok(HopSet::default()),
            Some(_) if !is_request => refused(Detail::NotItsCaller),
            Some(_) => {
                let (hops, known) = (self.hops(), &self.caller.rules.0.hops);
                // Two cannot be, or the document was refused.
                match (known.only(hops), known.in_force(hops, now).next()) {
                    (None, _) => refused(Detail::NotItsCaller),
                    (Some(_), None) => refused(Detail::HopIsOver),
                    (Some(_), Some(_)) => Ok(hops),
                }
            }
        }
    }
}
