//! Fetching, on the one worker that has a source's lease: endpoints are polled, a Workload API is listened to.
//!
//! Nothing that comes replaces what there is unless all of it can be read and it is no step back: an unreadable answer, a
//! lower sequence and a silent source leave the last good content in place, which goes stale by its age. An empty list of
//! keys is a good answer and takes effect like any other. Redirects are not followed: where a bundle comes from is the
//! document's to say.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use svidgate_policy::{
    Source,
    digest::sha256,
    document::source::Endpoint,
    trust::{bundle_error::MAX_BUNDLE_BYTES, revocation::MAX_REVOCATIONS_BYTES},
};

use crate::{
    board::Board,
    proxy::{Level, Proxy},
    sources::{
        event::{SourceEvent, count},
        feeds::{Feed, Feeds},
        fetched::{Fetched, content_digest},
        index::{self, Content, Published},
        key::{Kind, SourceKey},
        lease,
        poll::{AbandonedStream, Heard, LONGEST_BACK_OFF, Pending, Poll, back_off, jittered, later},
        remarks,
        workload_api::{FETCH_X509_BUNDLES, MAX_MESSAGE_BYTES, StreamEnd},
    },
};

/// How often an endpoint is asked whose bundle does not say (SPIFFE Federation 4.1: about five minutes).
const REFRESH: SignedDuration = SignedDuration::from_secs(300);
/// The bounds of what a bundle may say: a hint is a hint.
const SHORTEST_REFRESH: SignedDuration = SignedDuration::from_secs(10);
const LONGEST_REFRESH: SignedDuration = SignedDuration::from_secs(3600);
/// A source is asked at least this many times before it counts as silent for too long.
const ASKED_BEFORE_STALE: i32 = 3;
/// The same of a Workload API that has never said anything, so that perhaps nobody can be let in. There is one in a document; of
/// endpoints there may be thousands, and as many that are dead would keep the others from being asked.
const LONGEST_BACK_OFF_AT_FIRST: SignedDuration = SignedDuration::from_secs(5);
/// How long an answer, or the first message of a stream, may take.
const PATIENCE: SignedDuration = SignedDuration::from_secs(10);
const PATIENCE_MILLISECONDS: u32 = 10_000;
/// Most sources that are asked in one tick; the others are asked in the next.
const MOST_ASKED: usize = 64;
/// Most lines about what cannot be used in one message.
const MOST_UNUSABLE: usize = 16;
/// How often, at most, it is noted that an open stream is still open.
const STREAM_NOTE: SignedDuration = SignedDuration::from_secs(5);

impl Feeds {
    /// Asks every source that is due and leased to this worker, and lets go of the others. `context` is the root context
    /// that the answers come to.
    pub fn fetch<P: Proxy>(
        &mut self,
        board: &Board<'_, P>,
        context: u32,
        leased: &BTreeSet<SourceKey>,
        now: Timestamp,
    ) {
        let mut due: Vec<(Timestamp, SourceKey)> = Vec::new();
        for (key, feed) in &mut self.by_key {
            if !leased.contains(key) {
                feed.let_go(now);
            } else if feed.attend(board, *key, now) {
                due.push((feed.poll.next, *key));
            }
        }
        // Whoever has waited longest comes first, so that one that always fails keeps nobody from being asked.
        due.sort_unstable();
        for (_, key) in due.into_iter().take(MOST_ASKED) {
            let asked = self
                .by_key
                .get_mut(&key)
                .map(|feed| feed.ask(board.proxy, context, now));
            if asked == Some(false) {
                // Not one more in this call of the VM. ENVOY: (seen on 1.40.0, clusters without endpoints) what became of it is
                // put off to the end of the call, and two that are put off can wait for each other for ever.
                break;
            }
        }
    }

    /// The streams that are to be ended, by context and token, which are forgotten here.
    pub fn take_abandoned(&mut self) -> Vec<(u32, u32)> {
        let of_feeds = self.by_key.values_mut().flat_map(|feed| feed.abandoned.drain(..));
        let abandoned = self.abandoned.drain(..).chain(of_feeds);
        abandoned.map(|stream| (stream.context, stream.token)).collect()
    }

    /// Forgets what was asked of sources that other workers have leased since.
    pub fn let_go_of_unleased(&mut self, worker: u64, now: Timestamp) {
        for (key, feed) in &mut self.by_key {
            if feed.poll.pending.is_some() && !lease::is_leased(&self.index, *key, worker, now) {
                feed.let_go(now);
            }
        }
    }

    /// A root context is gone, and with it all that it has asked.
    pub fn context_gone(&mut self, context: u32, now: Timestamp) {
        let stays = |stream: &AbandonedStream| stream.context != context;
        self.abandoned.retain(stays);
        for feed in self.by_key.values_mut() {
            feed.abandoned.retain(stays);
            if feed.poll.pending.is_some_and(|pending| pending.context == context) {
                feed.poll = Poll::due(now);
            }
        }
    }

    /// An endpoint has answered; `headers` is 0 where it has not.
    pub fn on_answer<P: Proxy>(
        &mut self,
        board: &Board<'_, P>,
        token: u32,
        headers: usize,
        bytes: usize,
        now: Timestamp,
    ) {
        let Some((key, feed)) = self.asked(token) else { return };
        feed.poll.pending = None;
        match answer(board.proxy, feed, headers, bytes) {
            Ok(body) => feed.take_answer(board, key, body, now),
            Err(error) => feed.fail(board.proxy, SourceEvent::Failed, &error, now),
        }
    }

    /// A Workload API has sent a message.
    pub fn on_message<P: Proxy>(&mut self, board: &Board<'_, P>, token: u32, bytes: usize, now: Timestamp) {
        let Some((key, feed)) = self.asked(token) else { return };
        if bytes > MAX_MESSAGE_BYTES {
            let error = format!("message has {bytes} bytes (at most {MAX_MESSAGE_BYTES})");
            return feed.fail(board.proxy, SourceEvent::Unreadable, &error, now);
        }
        match board.proxy.stream_message(bytes) {
            Ok(message) => feed.take_answer(board, key, message, now),
            Err(error) => feed.fail(board.proxy, SourceEvent::Failed, &error.to_string(), now),
        }
    }

    /// A Workload API has closed its stream.
    pub fn on_close<P: Proxy>(&mut self, proxy: &P, token: u32, status: u32, now: Timestamp) {
        // ENVOY: (seen on 1.36 to 1.40) a stream that only the other side has closed is kept, and ended once more when its
        // context goes: by a pointer to what is gone by then. Here, and nowhere later, it still is what it was.
        proxy.cancel_stream(token);
        let is_another = |stream: &AbandonedStream| stream.token != token;
        self.abandoned.retain(is_another);
        for feed in self.by_key.values_mut() {
            feed.abandoned.retain(is_another);
        }
        let Some((_, feed)) = self.asked(token) else { return };
        feed.poll.pending = None;
        let message = proxy.stream_status_message().unwrap_or_default();
        let error = StreamEnd::new(status, &message).to_string();
        feed.fail(proxy, SourceEvent::Failed, &error, now);
    }

    fn asked(&mut self, token: u32) -> Option<(SourceKey, &mut Feed)> {
        let of_token = |feed: &Feed| feed.poll.pending.is_some_and(|pending| pending.token == token);
        let (key, feed) = self.by_key.iter_mut().find(|(_, feed)| of_token(feed))?;
        Some((*key, feed))
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
    let most = match feed.want.kind {
        Kind::Bundle => MAX_BUNDLE_BYTES,
        Kind::Revocations => MAX_REVOCATIONS_BYTES,
        Kind::WorkloadApi | Kind::Document => MAX_MESSAGE_BYTES,
    };
    // Not read into the VM before it is known to fit.
    if bytes > most {
        return Err(format!("answered with {bytes} bytes (at most {most})"));
    }
    proxy.http_answer_body(bytes).map_err(|error| error.to_string())
}

impl Feed {
    /// Gives up on what is overdue, and says whether the source is to be asked.
    fn attend<P: Proxy>(&mut self, board: &Board<'_, P>, key: SourceKey, now: Timestamp) -> bool {
        // After a clock was set back, what it was to be asked at may be days ahead.
        self.poll.next = self.poll.next.min(later(now, self.refresh()));
        if self.is_ahead {
            self.is_ahead = !index::note_heard(board, key, now);
        }
        match self.poll.pending {
            Some(Pending {
                heard: Heard::Nothing(deadline),
                ..
            }) if now > deadline || deadline > later(now, PATIENCE.checked_mul(2).unwrap_or(PATIENCE)) => {
                self.fail(board.proxy, SourceEvent::Failed, "no answer in time", now);
            }
            // An open stream speaks by being open: what it said last is how things are.
            Some(Pending {
                heard: Heard::Current, ..
            }) if now.duration_since(self.as_of) >= self.stream_note() => {
                if index::note_heard(board, key, now) {
                    self.as_of = now;
                }
            }
            Some(_) => {}
            None => return now >= self.poll.next,
        }
        false
    }

    /// Asks the source, and says whether the proxy has taken the question.
    fn ask<P: Proxy>(&mut self, proxy: &P, context: u32, now: Timestamp) -> bool {
        let asked = match &self.want.source {
            Source::WorkloadApi { cluster } => proxy.open_stream(cluster, FETCH_X509_BUNDLES, &[]),
            Source::Endpoint(Endpoint {
                cluster,
                authority,
                path,
                ..
            }) => proxy.http_get(cluster, authority, path, PATIENCE_MILLISECONDS),
        };
        match asked {
            Ok(token) => {
                // The proxy's own limit comes first; this one is for an answer that is lost with its context.
                let patience = PATIENCE.checked_mul(2).unwrap_or(PATIENCE);
                self.poll.pending = Some(Pending {
                    token,
                    context,
                    heard: Heard::Nothing(later(now, patience)),
                });
                true
            }
            Err(error) => {
                let error = format!("{error} (is there such a cluster, with an endpoint?)");
                self.fail(proxy, SourceEvent::Failed, &error, now);
                false
            }
        }
    }

    /// Another worker asks this source.
    pub(crate) fn let_go(&mut self, now: Timestamp) {
        self.give_up();
        self.poll = Poll::due(now);
    }

    fn give_up(&mut self) {
        if let Some(Pending { token, context, .. }) = self.poll.pending.take()
            && matches!(self.want.source, Source::WorkloadApi { .. })
        {
            self.abandoned.push(AbandonedStream { token, context });
        }
    }

    fn take_answer<P: Proxy>(&mut self, board: &Board<'_, P>, key: SourceKey, bytes: Vec<u8>, now: Timestamp) {
        let proxy = board.proxy;
        let held = self.fetched.as_ref().and_then(Fetched::sequence);
        let is_below_pin = held.is_some_and(|held| self.want.pinned_sequence.is_some_and(|pinned| held < pinned));
        let is_known = self.digest == Some(sha256(&bytes))
            || (self.content_digest.is_some() && self.content_digest == content_digest(self.want.kind, &bytes));
        if is_known && !is_below_pin {
            index::note_heard(board, key, now);
            self.succeed(proxy, SourceEvent::Unchanged, now);
            return;
        }
        let mut content = Content {
            number: self.published.saturating_add(1),
            listed: self.fetched.as_ref().map(Fetched::listed).unwrap_or_default(),
            bytes,
            kept: None,
            epoch: self.epoch,
        };
        let fetched = match self.read_answer(&mut content) {
            Ok(fetched) => fetched,
            Err(error) => return self.fail(proxy, SourceEvent::Unreadable, &error, now),
        };
        let held = held.max(self.want.pinned_sequence);
        if let (Some(held), Some(sequence)) = (held, fetched.sequence())
            && sequence < held
        {
            let error = self.step_back(&fetched, sequence, held);
            return self.fail(proxy, SourceEvent::Rollback, &error, now);
        }
        let is_same_sequence = held.is_some() && held == fetched.sequence() && self.number > 0;
        content.listed = fetched.listed();
        match content.publish(board, key, now) {
            // What cannot be shared, because another module writes over it, is taken for this worker alone.
            Published::Shared | Published::Unshared => {}
            Published::Overtaken => {
                let error = "another worker has published something newer";
                return self.fail(proxy, SourceEvent::Failed, error, now);
            }
        }
        if is_same_sequence {
            count(proxy, SourceEvent::SameSequence, 1);
            let line = format!(
                "svidgate: {}: other content under the same sequence; it is taken",
                self.want.source
            );
            proxy.log(Level::Warn, &line);
        }
        if let Fetched::WorkloadApi { message, .. } = &fetched
            && !message.unusable.is_empty()
        {
            let unusable = u64::try_from(message.unusable.len()).unwrap_or(u64::MAX);
            count(proxy, SourceEvent::UnusableBundle, unusable);
        }
        self.published = content.number;
        let before = self.remarks();
        self.accept(&content, fetched);
        self.succeed(proxy, SourceEvent::Updated, now);
        let line = format!("svidgate: new content from {}: {}", self.want.source, self.summary());
        proxy.log(Level::Info, &line);
        remarks::tell(proxy, &self.remarks(), &before);
    }

    /// What there is to say about an answer that is older than what there is. It may be a replay, or the publisher may have been
    /// built anew; no answer tells which, so the operator must.
    fn step_back(&self, answer: &Fetched, sequence: u64, held: u64) -> String {
        let is_pin = self.fetched.as_ref().and_then(Fetched::sequence) != Some(held);
        let whose = if is_pin {
            "which the document pins"
        } else {
            "which is held"
        };
        let mut common = String::new();
        if let (Some(Fetched::Bundle(held)), Fetched::Bundle(bundle)) = (&self.fetched, answer) {
            let (shared, all) = (bundle.common_authorities(held), held.authority_count());
            common = format!(", with {shared} of the {all} authorities that are held");
        }
        format!(
            "sequence {sequence} is lower than {held}, {whose}{common} (if its publisher was built anew: raise `epoch` of this \
             endpoint above {})",
            self.epoch
        )
    }

    /// Reads what came, and puts beside it what was known before of what it cannot be used for.
    fn read_answer(&self, content: &mut Content) -> Result<Fetched, String> {
        let fetched = Fetched::parse(self.want.kind, content)?;
        let (Some(Fetched::WorkloadApi { message: held, .. }), Fetched::WorkloadApi { message, .. }) =
            (&self.fetched, &fetched)
        else {
            return Ok(fetched);
        };
        let kept = held.kept_beside(message, self.as_of);
        if kept.is_empty() {
            return Ok(fetched);
        }
        content.kept = Some(kept);
        Fetched::parse(self.want.kind, content)
    }

    /// What there is to say about the bundles that are held.
    fn remarks(&self) -> Vec<String> {
        match &self.fetched {
            Some(Fetched::Bundle(bundle)) => remarks::lines([(&self.want.source, &**bundle)].into_iter()),
            Some(Fetched::WorkloadApi { message, .. }) => {
                let unusable = message.unusable.iter();
                let unusable = unusable.map(|unusable| format!("svidgate: {}: {unusable}", self.want.source));
                let bundles = message.bundles.iter().map(|(name, listed)| (name, &*listed.bundle));
                unusable.take(MOST_UNUSABLE).chain(remarks::lines(bundles)).collect()
            }
            Some(Fetched::Revocations(_)) | None => Vec::new(),
        }
    }

    fn summary(&self) -> String {
        match &self.fetched {
            Some(Fetched::Bundle(bundle)) => {
                let sequence = bundle.sequence().map(|sequence| format!(", sequence {sequence}"));
                format!(
                    "{} authorities, {} keys skipped{}",
                    bundle.authority_count(),
                    bundle.skipped().len(),
                    sequence.unwrap_or_default()
                )
            }
            Some(Fetched::Revocations(list)) => format!("{} revocations", list.len()),
            Some(Fetched::WorkloadApi { message, .. }) => {
                let skipped = message.bundles.values().map(|listed| listed.bundle.skipped().len());
                format!(
                    "{} trust domains, {} certificates skipped, {} revoked by CRLs",
                    message.bundles.len(),
                    skipped.fold(0, usize::saturating_add),
                    message.revocations.len()
                )
            }
            None => String::new(),
        }
    }

    fn hear(&mut self, heard: Heard) {
        if let Some(pending) = &mut self.poll.pending {
            pending.heard = heard;
        }
    }

    /// The source has spoken.
    fn succeed<P: Proxy>(&mut self, proxy: &P, event: SourceEvent, now: Timestamp) {
        count(proxy, event, 1);
        self.hear(Heard::Current);
        if self.poll.failures > 0 {
            proxy.log(Level::Info, &format!("svidgate: {} answers again", self.want.source));
        }
        self.poll.failures = 0;
        self.as_of = now;
        self.poll.next = later(now, jittered(self.refresh(), proxy.random()));
    }

    /// Nothing usable came: what there is stays, and the source is asked again after a while. A stream is ended for that: a
    /// Workload API sends only what is new, so what could not be used would never come again.
    fn fail<P: Proxy>(&mut self, proxy: &P, event: SourceEvent, error: &str, now: Timestamp) {
        count(proxy, event, 1);
        self.give_up();
        self.poll.failures = self.poll.failures.saturating_add(1);
        let longest = match (self.number, &self.want.source) {
            (0, Source::WorkloadApi { .. }) => LONGEST_BACK_OFF_AT_FIRST,
            (_, Source::WorkloadApi { .. } | Source::Endpoint(_)) => LONGEST_BACK_OFF,
        };
        let pause = back_off(self.poll.failures).min(longest).min(self.refresh());
        self.poll.next = later(now, jittered(pause, proxy.random()));
        // The first failure, and then fewer and fewer of them: the counter has them all.
        if self.poll.failures.is_power_of_two() {
            let line = format!(
                "svidgate: {}: {error}; what there is stays, {} failures in a row",
                self.want.source, self.poll.failures
            );
            proxy.log(Level::Warn, &line);
        }
    }

    /// How often it is noted that an open stream is still open.
    fn stream_note(&self) -> SignedDuration {
        let longest = self.want.max_staleness.checked_div(ASKED_BEFORE_STALE);
        STREAM_NOTE
            .min(longest.unwrap_or(STREAM_NOTE))
            .max(SignedDuration::from_secs(1))
    }

    /// How often the source is asked.
    fn refresh(&self) -> SignedDuration {
        let asked_for = match &self.want.source {
            Source::Endpoint(endpoint) => endpoint.refresh,
            Source::WorkloadApi { .. } => None,
        };
        let hinted = || {
            let seconds = self.fetched.as_ref().and_then(Fetched::refresh_hint)?;
            let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
            Some(SignedDuration::from_secs(seconds).clamp(SHORTEST_REFRESH, LONGEST_REFRESH))
        };
        let wanted = asked_for.or_else(hinted).unwrap_or(REFRESH);
        let longest = self
            .want
            .max_staleness
            .checked_div(ASKED_BEFORE_STALE)
            .unwrap_or(REFRESH);
        wanted.min(longest).max(SignedDuration::from_secs(1))
    }
}
