//! Which sources does this worker ask, and which of them has answered?
//!
//! Endpoints are polled, a Workload API is listened to, on the one worker that has the lease of the source. Redirects
//! are not followed: where a bundle comes from is the document's to say.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use svidgate_policy::trust::{bundle_error::MAX_BUNDLE_BYTES, revocation::MAX_REVOCATIONS_BYTES};

use crate::{
    board::Board,
    proxy::Proxy,
    sources::{
        asking::Asking,
        event::SourceEvent,
        feeds::{Feed, Feeds},
        index::Index,
        key::{Kind, SourceKey},
        lease,
        poll::{AbandonedStream, Poll},
        workload_api::{MAX_MESSAGE_BYTES, StreamEnd},
    },
};

/// Most sources that are asked in one tick; the others are asked in the next.
const MOST_ASKED: usize = 64;

/// Asks the sources that are leased to this worker.
#[derive(Debug, Default)]
pub struct Fetcher {
    polls: BTreeMap<SourceKey, Poll>,
    /// Streams that nobody listens to any more.
    abandoned: Vec<AbandonedStream>,
}

impl Fetcher {
    /// Asks every source that is due and leased to this worker, and lets go of the others. The answers come to the
    /// plugin of this `context`.
    pub fn fetch<P: Proxy>(
        &mut self,
        feeds: &mut Feeds,
        board: &Board<'_, P>,
        context: u32,
        leased: &BTreeSet<SourceKey>,
        now: Timestamp,
    ) {
        self.let_go_of(|key, _| !leased.contains(&key) || feeds.feed(key).is_none());
        let mut due: Vec<(Timestamp, SourceKey)> = Vec::new();
        for key in leased {
            if let Some(mut asking) = self.asking(feeds, *key, now)
                && asking.attend(board, now)
            {
                due.push((asking.poll.next, *key));
            }
        }
        // Whoever has waited longest comes first, so that one that always fails keeps nobody from being asked.
        due.sort_unstable();
        for (_, key) in due.into_iter().take(MOST_ASKED) {
            let asked = self
                .asking(feeds, key, now)
                .map(|mut asking| asking.ask(board.proxy, context, now));
            if asked == Some(false) {
                // Not one more in this call. ENVOY: (seen on 1.40.0, clusters without endpoints) what became of it is
                // put off to the end of the call, and two that are put off can wait for each other for ever.
                break;
            }
        }
    }

    /// The streams that are to be ended, by context and token, which are forgotten here.
    pub fn take_abandoned(&mut self) -> Vec<(u32, u32)> {
        let abandoned = self.abandoned.drain(..);
        abandoned.map(|stream| (stream.context, stream.token)).collect()
    }

    /// Forgets what was asked of sources that other workers have leased since.
    pub fn let_go_of_unleased(&mut self, index: &Index, worker: u64, now: Timestamp) {
        self.let_go_of(|key, poll| poll.pending.is_some() && !lease::is_leased(index, key, worker, now));
    }

    /// A plugin is gone, and with it all that it has asked.
    pub fn context_gone(&mut self, context: u32) {
        self.abandoned.retain(|stream| stream.context != context);
        let asked = |poll: &Poll| poll.pending.is_some_and(|pending| pending.context == context);
        self.polls.retain(|_, poll| !asked(poll));
    }

    /// An endpoint has answered; `headers` is 0 where it has not.
    pub fn on_answer<P: Proxy>(
        &mut self,
        feeds: &mut Feeds,
        board: &Board<'_, P>,
        token: u32,
        headers: usize,
        bytes: usize,
        now: Timestamp,
    ) {
        let Some(mut asking) = self.asked(feeds, token, now) else {
            return;
        };
        asking.poll.pending = None;
        match answer(board.proxy, asking.feed, headers, bytes) {
            Ok(body) => asking.take_answer(board, body, now),
            Err(error) => asking.fail(board.proxy, SourceEvent::Failed, &error, now),
        }
    }

    /// A Workload API has sent a message.
    pub fn on_message<P: Proxy>(
        &mut self,
        feeds: &mut Feeds,
        board: &Board<'_, P>,
        token: u32,
        bytes: usize,
        now: Timestamp,
    ) {
        let Some(mut asking) = self.asked(feeds, token, now) else {
            return;
        };
        if bytes > MAX_MESSAGE_BYTES {
            let error = format!("message has {bytes} bytes (at most {MAX_MESSAGE_BYTES})");
            return asking.fail(board.proxy, SourceEvent::Unreadable, &error, now);
        }
        match board.proxy.stream_message(bytes) {
            Ok(message) => asking.take_answer(board, message, now),
            Err(error) => asking.fail(board.proxy, SourceEvent::Failed, &error.to_string(), now),
        }
    }

    /// A Workload API has closed its stream.
    pub fn on_close<P: Proxy>(&mut self, feeds: &mut Feeds, proxy: &P, token: u32, status: u32, now: Timestamp) {
        // ENVOY: (seen on 1.36 to 1.40) a stream that only the other side has closed is kept, and ended once more when
        // its context goes: by a pointer to what is gone by then. Here, and nowhere later, it still is what it was.
        proxy.cancel_stream(token);
        self.abandoned.retain(|stream| stream.token != token);
        let Some((key, poll)) = self.polls.iter_mut().find(|(_, poll)| poll.has_asked(token)) else {
            return;
        };
        // It has ended, so that whoever gives the source up does not end it once more.
        poll.pending = None;
        let (key, beginning) = (*key, poll.beginning);
        let Some(mut asking) = self.asking(feeds, key, now) else {
            return;
        };
        // Where its publisher has begun anew since, this tells nothing.
        if asking.poll.beginning != beginning {
            return;
        }
        let message = proxy.stream_status_message().unwrap_or_default();
        let error = StreamEnd::new(status, &message).to_string();
        asking.fail(proxy, SourceEvent::Failed, &error, now);
    }

    /// The source that was asked with this token.
    fn asked<'a>(&'a mut self, feeds: &'a mut Feeds, token: u32, now: Timestamp) -> Option<Asking<'a>> {
        let key = *self.polls.iter().find(|(_, poll)| poll.has_asked(token))?.0;
        let asking = self.asking(feeds, key, now)?;
        // Where its publisher has begun anew since, nothing is pending.
        asking.poll.pending.is_some().then_some(asking)
    }

    /// A source that is followed, and what was asked of it since it began.
    fn asking<'a>(&'a mut self, feeds: &'a mut Feeds, key: SourceKey, now: Timestamp) -> Option<Asking<'a>> {
        let feed = feeds.feed_mut(key)?;
        let poll = self
            .polls
            .entry(key)
            .or_insert_with(|| Poll::due(now, feed.beginning()));
        if poll.beginning != feed.beginning() {
            self.abandoned.extend(poll.give_up());
            *poll = Poll::due(now, feed.beginning());
        }
        Some(Asking {
            key,
            feed,
            poll,
            abandoned: &mut self.abandoned,
        })
    }

    /// Forgets sources, and what was asked of them.
    fn let_go_of(&mut self, is_to_go: impl Fn(SourceKey, &Poll) -> bool) {
        let abandoned = &mut self.abandoned;
        self.polls.retain(|key, poll| {
            let goes = is_to_go(*key, poll);
            if goes {
                abandoned.extend(poll.give_up());
            }
            !goes
        });
    }
}

/// The body of a good answer.
fn answer<P: Proxy>(proxy: &P, feed: &Feed, headers: usize, bytes: usize) -> Result<Vec<u8>, String> {
    if headers == 0 {
        return Err("no whole answer".to_owned());
    }
    let head = proxy.http_answer_headers().map_err(|error| error.to_string())?;
    let status = head.first(b":status").unwrap_or_default();
    if status != b"200" {
        let status = String::from_utf8_lossy(status);
        let proxy = match &*status {
            "503" | "504" => " (which is also what the proxy says where nobody answers)",
            _ => "",
        };
        return Err(format!("answered with status {status}{proxy}"));
    }
    let most = match feed.want().kind {
        Kind::Bundle => MAX_BUNDLE_BYTES,
        Kind::Revocations => MAX_REVOCATIONS_BYTES,
        Kind::WorkloadApi | Kind::JwtBundles | Kind::Document => MAX_MESSAGE_BYTES,
    };
    // Not read before it is known to fit.
    if bytes > most {
        return Err(format!("answered with {bytes} bytes (at most {most})"));
    }
    proxy.http_answer_body(bytes).map_err(|error| error.to_string())
}
