//! On whose behalf, and through whom?

use std::{cmp::Ordering, sync::Arc};

use jiff::Timestamp;

use crate::{
    reason::Reason,
    rules::{
        decision::Detail,
        grants::Grants,
        hop::{Assertion, Evidence, Hop, HopSet, Hops, KnownHop, MAX_DEPTH},
        rule_set::Needs,
    },
};

/// The way that a request has come: from its caller, whose rights count, perhaps through hops, which count where they
/// are forbidden something.
#[derive(Clone, Copy, Debug)]
pub struct Way<'g> {
    caller: &'g Grants,
    /// Whoever has connected first, then whoever has connected to that one.
    hops: [Option<&'g Grants>; MAX_DEPTH],
    length: usize,
    /// How each hop says who has come to it.
    assertion: Assertion,
    /// What stands behind that.
    evidence: Evidence,
}

impl<'g> Way<'g> {
    /// The peer makes it itself.
    pub fn direct(caller: &'g Grants) -> Self {
        Self {
            caller,
            hops: [None; MAX_DEPTH],
            length: 0,
            assertion: Assertion::default(),
            evidence: Evidence::default(),
        }
    }

    /// The same, with no more behind it than the word of the hop.
    #[must_use]
    pub fn by_name(self) -> Self {
        Self {
            evidence: Evidence::Name,
            ..self
        }
    }

    /// The peer is a hop, and brings it, with this assertion; it stands first of `hops`, and behind each whoever has
    /// brought it there. Whether they may is part of the decision.
    pub fn through(hops: impl IntoIterator<Item = &'g Grants>, caller: &'g Grants, assertion: Assertion) -> Self {
        let mut way = Self {
            assertion,
            ..Self::direct(caller)
        };
        for hop in hops {
            if let Some(place) = way.hops.get_mut(way.length) {
                *place = Some(hop);
            }
            way.length = way.length.saturating_add(1);
        }
        way
    }

    /// The entry of the document by which whoever has connected brings it; `None` where it is direct, or may not be
    /// brought.
    pub fn hop(&self) -> Option<&'g Hop> {
        let peer = self.hops().next()?;
        Some(&self.known().only(self.entries_of(peer))?.hop)
    }

    /// What must be read from the connection or the stream before [`Way::decide`] can answer.
    pub fn needs(&self) -> Needs {
        self.all().map(Grants::needs).fold(Needs::default(), Needs::union)
    }

    /// The first moment after `now` at which time alone may change what is decided; `None` where it never does.
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        self.all().filter_map(|grants| grants.next_change(now)).min()
    }

    /// Whose rights count.
    pub(super) fn caller(&self) -> &'g Grants {
        self.caller
    }

    /// Those who bring it, whoever has connected first.
    pub(super) fn hops(&self) -> impl Iterator<Item = &'g Grants> {
        self.hops.into_iter().flatten()
    }

    /// Everybody who has to do with it.
    pub(super) fn all(&self) -> impl Iterator<Item = &'g Grants> {
        [self.caller].into_iter().chain(self.hops())
    }

    fn known(&self) -> &'g Hops {
        &self.caller.rules.0.hops
    }

    /// The entries by which somebody brings this caller.
    fn entries_of(&self, hop: &Grants) -> HopSet {
        if !Arc::ptr_eq(&hop.rules.0, &self.caller.rules.0) {
            return HopSet::default();
        }
        let by = self.known().by(self.assertion);
        hop.brings.and(self.caller.brought_by).and(by)
    }

    /// The hops that it has come through, or why no rule is asked. Whoever brings others makes no request of its own:
    /// were one without a caller its own, it would have the rights of the hop.
    pub(super) fn taken(&self, is_request: bool, now: Timestamp) -> Result<HopSet, (Reason, Option<Detail>)> {
        if self.length == 0 {
            return if is_request && self.caller.is_hop() {
                Err((Reason::AssertionMissing, Some(Detail::BringsOthersOnly)))
            } else {
                Ok(HopSet::default())
            };
        }
        let refused = |reason, detail| Err((reason, Some(detail)));
        if !is_request {
            return refused(Reason::AssertionNotAllowed, Detail::NotItsCaller);
        }
        if self.length > MAX_DEPTH {
            return refused(Reason::AssertionTooManyHops, Detail::TooDeep);
        }
        let (mut taken, mut depth) = (HopSet::default(), self.length);
        for hop in self.hops() {
            let entries = self.entries_of(hop);
            // Two cannot be, or the document was refused.
            let Some(KnownHop { hop, .. }) = self.known().only(entries) else {
                return refused(Reason::AssertionNotAllowed, Detail::NotItsCaller);
            };
            if hop.is_over(now) {
                return refused(Reason::AssertionNotAllowed, Detail::HopIsOver);
            }
            match depth.cmp(&hop.depth) {
                Ordering::Equal => {}
                Ordering::Greater => return refused(Reason::AssertionTooManyHops, Detail::TooDeep),
                Ordering::Less => return refused(Reason::AssertionBrokenChain, Detail::NotDeepEnough),
            }
            if self.evidence == Evidence::Name && hop.evidence != Evidence::Name {
                return refused(Reason::AssertionMissing, Detail::NameAlone);
            }
            taken = taken.or(entries);
            depth = depth.saturating_sub(1);
        }
        Ok(taken)
    }
}
