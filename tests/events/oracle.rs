//! What the documents say, held against what was seen: the verdict of each moment, known without asking the module.
//!
//! What goes on must please the newest document of its own listener, and the newest of any listener whose plugins have
//! the same name. While an update is under way, and after a listener is gone, what cannot be known counts as allowed.

use std::time::{Duration, Instant};

use crate::document::{Document, Who};
use crate::script::Name;

/// How long a worker may take to have what Envoy has accepted.
pub(crate) const GRACE: Duration = Duration::from_millis(2500);
/// How long what must end may take: two seconds are promised, and a loaded machine has the rest.
pub(crate) const PROMISE: Duration = Duration::from_millis(3500);
/// How finely the past is looked at.
const STEP: Duration = Duration::from_millis(50);

/// What happened to a listener.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) listener: Name,
    /// `None`: it was removed.
    pub(crate) document: Option<Document>,
    pub(crate) written: Instant,
    /// When that was seen to be accepted or refused, and which. `None`: not yet.
    pub(crate) settled: Option<(Instant, bool)>,
}

/// Every change of an episode, in order.
#[derive(Debug)]
pub(crate) struct Timeline {
    /// The time that documents count from.
    pub(crate) epoch: Instant,
    pub(crate) changes: Vec<Change>,
}

/// Who does what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deed {
    pub(crate) listener: Name,
    pub(crate) who: Who,
    /// `None`: a TCP connection.
    pub(crate) path: Option<char>,
    /// When the SVID ends.
    pub(crate) until: Option<Instant>,
}

impl Timeline {
    /// Since when, without a break, a deed has surely been forbidden at a moment; looked at from `from` on.
    pub(crate) fn forbidden_since(&self, deed: Deed, from: Instant, at: Instant) -> Option<Instant> {
        let mut since = None;
        let mut moment = at;
        while moment >= from && self.forbids(deed, moment) {
            since = Some(moment);
            moment = moment.checked_sub(STEP)?;
        }
        since
    }

    /// Whether it is forbidden by a document of another listener alone.
    pub(crate) fn is_by_another(&self, deed: Deed, at: Instant) -> bool {
        let is_over = deed.until.is_some_and(|until| at >= until);
        !is_over && !self.own_forbids(deed, at) && self.newest_forbids(deed, at)
    }

    /// Whether a deed is surely forbidden at a moment.
    fn forbids(&self, deed: Deed, at: Instant) -> bool {
        let is_over = deed.until.is_some_and(|until| at >= until);
        is_over || self.own_forbids(deed, at) || self.newest_forbids(deed, at)
    }

    fn own_forbids(&self, deed: Deed, at: Instant) -> bool {
        self.all_deny(deed, at, |change| {
            change.listener == deed.listener && change.document.is_some()
        })
    }

    fn newest_forbids(&self, deed: Deed, at: Instant) -> bool {
        let has_name = |change: &&Change| is_http(change.listener) == is_http(deed.listener);
        let someone_is_gone = self
            .changes
            .iter()
            .filter(has_name)
            .any(|change| change.document.is_none() && change.written <= at);
        !someone_is_gone && self.all_deny(deed, at, |change| has_name(&change))
    }

    /// Whether the newest of some changes denies, and all of them that may be about to become the newest.
    fn all_deny(&self, deed: Deed, at: Instant, which: impl Fn(&Change) -> bool) -> bool {
        let since = at.saturating_duration_since(self.epoch);
        let denies = |change: &Change| {
            let document = change.document.as_ref();
            document.is_some_and(|document| document.denies(deed.who, deed.path, since))
        };
        let known = |change: &&Change| which(change) && change.written <= at;
        let is_settled = |change: &Change| change.settled.is_some_and(|(when, _)| when <= at);
        let is_accepted = |change: &&Change| is_settled(change) && change.settled.is_some_and(|(_, accepted)| accepted);
        let newest = self.changes.iter().filter(known).rfind(is_accepted);
        let mut open = self.changes.iter().filter(known).filter(|change| !is_settled(change));
        newest.is_some_and(denies) && open.all(denies)
    }
}

fn is_http(listener: Name) -> bool {
    match listener {
        Name::Web | Name::Web2 => true,
        Name::Db => false,
    }
}
