//! What must not be, and the look for it.

use std::fmt;
use std::time::{Duration, Instant};

use crate::oracle::{Deed, GRACE, PROMISE};
use crate::peer::Peer;
use crate::play::Play;
use crate::script::{Kind, Name};
use crate::stream::Stream;
use crate::words::Words;

/// How far back is looked for the moment since when something is forbidden.
const FAR: Duration = Duration::from_secs(6);

/// What must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum What {
    /// The process has ended.
    Exit,
    /// Something that began when it was forbidden was let through.
    Allow,
    /// Bytes go on although they are forbidden.
    GoesOn,
    /// A stream without an end.
    NoEnd,
    /// A connection or a request that stays when everything is closed.
    Stays,
    /// Memory that does not come back.
    Memory,
    /// The admin interface does not answer.
    Hangs,
}

/// A finding.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) what: What,
    /// What brought it about, as far as can be told.
    pub(crate) after: &'static str,
    pub(crate) detail: String,
}

impl Finding {
    /// Whether two are of one kind.
    pub(crate) fn is_like(&self, other: &Finding) -> bool {
        self.what == other.what && (self.what != What::Allow || self.after == other.after)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            What::Exit => "the process ended",
            What::Allow => "wrong allow",
            What::GoesOn => "bytes go on that are forbidden",
            What::NoEnd => "no end",
            What::Stays => "something stays",
            What::Memory => "memory does not come back",
            What::Hangs => "the proxy hangs",
        };
        write!(f, "{what}, after {}: {}", self.after, self.detail)
    }
}

impl Play {
    pub(crate) fn finding(&self, what: What, detail: String) -> Finding {
        let after = self.after;
        Finding { what, after, detail }
    }

    /// Looks for what must not be.
    pub(crate) fn look(&mut self) -> Result<(), Finding> {
        if let Some(status) = self.stage.envoy.exit() {
            return Err(self.finding(What::Exit, status.to_string()));
        }
        for (number, peer) in &self.peers {
            let (mut found, mut is_behind) = (None, false);
            peer.each(|stream| {
                if found.is_none() {
                    found = self.look_at(*number, peer, stream, is_behind);
                }
                let seen = stream.seen();
                let is_through = seen.has_ended || seen.status.is_some_and(|status| status != 200);
                is_behind |= peer.is_pipelined && !is_through;
            });
            found.map_or(Ok(()), Err)?;
            self.look_at_connection(*number, peer)?;
        }
        Ok(())
    }

    /// A connection that let something through must be closed when its peer may do nothing any more.
    fn look_at_connection(&self, number: u64, peer: &Peer) -> Result<(), Finding> {
        let is_gated = self.stage.scene.both_filters || peer.listener == Name::Db;
        // A VM that is gone closes nothing.
        if !is_gated || self.trapped.is_some() || peer.was_deaf || peer.is_closed() {
            return Ok(());
        }
        let mut passed = None;
        peer.each(|stream| {
            let seen = stream.seen();
            passed = passed.max((seen.status == Some(200)).then_some(seen.asked));
        });
        let now = Instant::now();
        let deed = Deed {
            listener: peer.listener,
            who: peer.who,
            path: None,
            until: peer.until,
        };
        match passed.and_then(|passed| self.timeline.forbidden_since(deed, passed, now)) {
            Some(since) if now - since > PROMISE => {
                let late = now - since;
                let detail = format!("connection {number} of {} is open after {late:.1?}", peer.who.name());
                Err(self.finding(What::NoEnd, detail))
            }
            _ => Ok(()),
        }
    }

    /// `is_behind` where the proxy has not begun with it, because it is pipelined behind one that is not through.
    fn look_at(&self, number: u64, peer: &Peer, stream: &Stream, is_behind: bool) -> Option<Finding> {
        let (seen, now) = (stream.seen(), Instant::now());
        // When something reached one that does not listen cannot be known. What has ended is looked at once more.
        if peer.was_deaf || stream.is_judged() {
            return None;
        }
        if seen.has_ended {
            stream.judge();
        }
        let deed = deed(peer, stream);
        let from = seen.asked.checked_sub(FAR)?;
        let path = stream.path.map_or("bytes".to_owned(), |path| format!("/{path}"));
        let kind = stream.kind.map_or("", Kind::word);
        let about = |since: Instant, at: Instant| {
            let asked = match seen.asked.checked_duration_since(since) {
                Some(after) => format!("asked {after:.1?} after it was forbidden"),
                None => format!("asked {:.1?} before it was forbidden", since - seen.asked),
            };
            let late = at - since;
            format!(
                "connection {number}, {} {path} {kind}, {asked}, seen after {late:.1?}",
                peer.who.name()
            )
        };
        if let (Some(200), Some(last)) = (seen.status, seen.last)
            && let Some(since) = self.timeline.forbidden_since(deed, from.max(last - FAR), last)
        {
            if seen.asked >= since + GRACE {
                let mut finding = self.finding(What::Allow, about(since, last));
                if self.timeline.is_by_another(deed, last) {
                    finding.after = "an update of another listener";
                }
                return Some(finding);
            }
            if last - since > PROMISE {
                return Some(self.finding(What::GoesOn, about(since, last)));
            }
        }
        // A VM that is gone ends nothing either: a stream of it ends at its next byte.
        let is_silent_since = |trapped: Instant| seen.asked < trapped && seen.last.is_none_or(|last| last < trapped);
        if self.trapped.is_some_and(is_silent_since) {
            return None;
        }
        let is_open =
            !is_behind && !seen.has_ended && !seen.is_given_up && seen.status.is_none_or(|status| status == 200);
        if is_open
            && let Some(since) = self.timeline.forbidden_since(deed, from.max(now - FAR), now)
            && now - since.max(seen.turn) > PROMISE
        {
            return Some(self.finding(What::NoEnd, about(since, now)));
        }
        None
    }
}

/// What a stream does.
pub(crate) fn deed(peer: &Peer, stream: &Stream) -> Deed {
    Deed {
        listener: peer.listener,
        who: peer.who,
        path: stream.path,
        until: peer.until,
    }
}
