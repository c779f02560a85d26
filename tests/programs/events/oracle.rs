//! What the documents say, held against what was seen: the verdict of each moment, known without asking the module.
//!
//! What goes on must please the newest document of its own listener, and the newest of any listener whose plugins have
//! the same name. While an update is under way, and after a listener is gone, what cannot be known counts as allowed.

use std::time::{Duration, Instant};

use crate::document::{Document, Source, Who};
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
    /// When the Workload API said something, and whether that surely takes the partner's authority away.
    pub(crate) messages: Vec<(Instant, bool)>,
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
            document.is_some_and(|document| {
                let is_withdrawn = document.partner_from == Source::Workload && self.is_partner_withdrawn(at);
                document.denies(deed.who, deed.path, since) || (deed.who == Who::Partner && is_withdrawn)
            })
        };
        let known = |change: &&Change| which(change) && change.written <= at;
        let is_settled = |change: &Change| change.settled.is_some_and(|(when, _)| when <= at);
        let is_accepted = |change: &&Change| is_settled(change) && change.settled.is_some_and(|(_, accepted)| accepted);
        let newest = self.changes.iter().filter(known).rfind(is_accepted);
        let mut open = self.changes.iter().filter(known).filter(|change| !is_settled(change));
        newest.is_some_and(denies) && open.all(denies)
    }
}

impl Timeline {
    fn is_partner_withdrawn(&self, at: Instant) -> bool {
        let heard = self.messages.iter().rfind(|(when, _)| *when <= at);
        heard.is_some_and(|(_, is_withdrawn)| *is_withdrawn)
    }
}

fn is_http(listener: Name) -> bool {
    match listener {
        Name::Web | Name::Web2 => true,
        Name::Db => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(listener: Name, api: &str, written: Instant, settled: Option<(Instant, bool)>) -> Change {
        let mut document = Document::open();
        *document.may_mut(Who::Api) = api.to_owned();
        Change {
            listener,
            document: Some(document),
            written,
            settled,
        }
    }

    fn deed(listener: Name, path: char) -> Deed {
        Deed {
            listener,
            who: Who::Api,
            path: Some(path),
            until: None,
        }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_an_accepted_document_does_not_allow_is_forbidden_from_then_on() {
        let epoch = Instant::now();
        let (written, accepted) = (epoch + seconds(10), epoch + seconds(11));
        let timeline = Timeline {
            epoch,
            changes: vec![
                change(Name::Web, "ab", epoch, Some((epoch, true))),
                change(Name::Web, "b", written, Some((accepted, true))),
                change(Name::Web, "", epoch + seconds(12), Some((epoch + seconds(13), false))),
            ],
            messages: Vec::new(),
        };
        let at = epoch + seconds(20);
        let since = timeline.forbidden_since(deed(Name::Web, 'a'), epoch, at);
        let since = since.expect("the newest document has no rule for it");
        assert!(
            since >= accepted && since < accepted + seconds(1),
            "{:?}",
            since - epoch
        );
        let refused = timeline.forbidden_since(deed(Name::Web, 'b'), epoch, at);
        assert_eq!(refused, None, "what Envoy has refused forbids nothing");
    }

    #[test]
    fn looser_document_that_is_under_way_counts_as_allowing() {
        let epoch = Instant::now();
        let timeline = Timeline {
            epoch,
            changes: vec![
                change(Name::Web, "b", epoch, Some((epoch, true))),
                change(Name::Web, "ab", epoch + seconds(5), None),
            ],
            messages: Vec::new(),
        };
        let forbidden = |at| timeline.forbidden_since(deed(Name::Web, 'a'), epoch, epoch + seconds(at));
        assert!(forbidden(4).is_some());
        assert_eq!(forbidden(6), None);
    }

    #[test]
    fn newer_document_of_another_listener_with_the_same_name_forbids_too() {
        let epoch = Instant::now();
        let newer = epoch + seconds(5);
        let mut timeline = Timeline {
            epoch,
            changes: vec![
                change(Name::Web, "a", epoch, Some((epoch, true))),
                change(Name::Web2, "b", newer, Some((newer, true))),
            ],
            messages: Vec::new(),
        };
        let (deed, at) = (deed(Name::Web, 'a'), epoch + seconds(8));
        assert!(timeline.forbidden_since(deed, epoch, at).is_some() && timeline.is_by_another(deed, at));
        timeline.changes.push(Change {
            document: None,
            ..change(Name::Web2, "", epoch + seconds(7), None)
        });
        assert_eq!(timeline.forbidden_since(deed, epoch, at), None, "that listener goes");
    }
}
