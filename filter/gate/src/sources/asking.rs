//! What is asked of one source, and what becomes of its answer.
//!
//! Nothing that comes replaces what there is unless all of it can be read and it is no step back: an unreadable answer,
//! a lower sequence and a silent source leave the last good content in place, which goes stale by its age. An empty
//! list of keys is a good answer and takes effect like any other.

use jiff::{SignedDuration, Timestamp};
use svidgate_policy::{Source, document::source::Endpoint};

use crate::{
    board::Board,
    proxy::{Level, Proxy},
    sources::{
        event::{SourceEvent, count},
        feeds::Feed,
        fetched::Fetched,
        index::{self, Content, Published},
        jwt_bundles::FETCH_JWT_BUNDLES,
        key::{Kind, SourceKey},
        poll::{AbandonedStream, Heard, LONGEST_BACK_OFF, Pending, Poll, back_off, jittered, later},
        remarks,
        workload_api::FETCH_X509_BUNDLES,
    },
};

/// How often an endpoint is asked whose bundle does not say (SPIFFE Federation 4.1: about five minutes).
const REFRESH: SignedDuration = SignedDuration::from_secs(300);
/// The bounds of what a bundle may say: a hint is a hint.
const SHORTEST_REFRESH: SignedDuration = SignedDuration::from_secs(10);
const LONGEST_REFRESH: SignedDuration = SignedDuration::from_secs(3600);
/// A source is asked at least this many times before it counts as silent for too long.
const ASKED_BEFORE_STALE: i32 = 3;
/// The same of a Workload API that has never said anything, so that perhaps nobody can be let in. There is one in a
/// document; of endpoints there may be thousands, and as many that are dead would keep the others from being asked.
const LONGEST_BACK_OFF_AT_FIRST: SignedDuration = SignedDuration::from_secs(5);
/// How long an answer, or the first message of a stream, may take.
const PATIENCE: SignedDuration = SignedDuration::from_secs(10);
const PATIENCE_MILLISECONDS: u32 = 10_000;
/// Most lines about what cannot be used in one message.
const MOST_UNUSABLE: usize = 16;
/// How often, at most, it is noted that an open stream is still open.
const STREAM_NOTE: SignedDuration = SignedDuration::from_secs(5);

/// One source that this worker asks.
pub(super) struct Asking<'a> {
    pub(super) key: SourceKey,
    pub(super) feed: &'a mut Feed,
    pub(super) poll: &'a mut Poll,
    pub(super) abandoned: &'a mut Vec<AbandonedStream>,
}

impl Asking<'_> {
    /// Gives up on what is overdue, and says whether the source is to be asked.
    pub(super) fn attend<P: Proxy>(&mut self, board: &Board<'_, P>, now: Timestamp) -> bool {
        // After a clock was set back, what it was to be asked at may be days ahead.
        self.poll.next = self.poll.next.min(later(now, self.refresh()));
        self.feed.mend_time(board, self.key, now);
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
            }) if now.duration_since(self.feed.as_of()) >= self.stream_note() => {
                if index::note_heard(board, self.key, now) {
                    self.feed.heard(now);
                }
            }
            Some(_) => {}
            None => return now >= self.poll.next,
        }
        false
    }

    /// Asks the source, and says whether the proxy has taken the question.
    pub(super) fn ask<P: Proxy>(&mut self, proxy: &P, context: u32, now: Timestamp) -> bool {
        let asked = match &self.feed.want().source {
            Source::WorkloadApi { cluster } => {
                let method = match self.feed.want().kind {
                    Kind::JwtBundles => FETCH_JWT_BUNDLES,
                    Kind::WorkloadApi | Kind::Bundle | Kind::Revocations | Kind::Document => FETCH_X509_BUNDLES,
                };
                proxy.open_stream(cluster, method, &[])
            }
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
                    is_stream: matches!(self.feed.want().source, Source::WorkloadApi { .. }),
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

    fn give_up(&mut self) {
        self.abandoned.extend(self.poll.give_up());
    }

    pub(super) fn take_answer<P: Proxy>(&mut self, board: &Board<'_, P>, bytes: Vec<u8>, now: Timestamp) {
        let proxy = board.proxy;
        let held = self.feed.fetched().and_then(Fetched::sequence);
        let is_below_pin =
            held.is_some_and(|held| self.feed.want().pinned_sequence.is_some_and(|pinned| held < pinned));
        if self.feed.says(&bytes) && !is_below_pin {
            index::note_heard(board, self.key, now);
            self.succeed(proxy, SourceEvent::Unchanged, now);
            return;
        }
        let mut content = Content {
            number: self.feed.next_number(),
            listed: self.feed.fetched().map(Fetched::listed).unwrap_or_default(),
            bytes,
            kept: None,
            epoch: self.feed.epoch(),
        };
        let fetched = match self.read_answer(&mut content) {
            Ok(fetched) => fetched,
            Err(error) => return self.fail(proxy, SourceEvent::Unreadable, &error, now),
        };
        let held = held.max(self.feed.want().pinned_sequence);
        if let (Some(held), Some(sequence)) = (held, fetched.sequence())
            && sequence < held
        {
            let error = self.step_back(&fetched, sequence, held);
            return self.fail(proxy, SourceEvent::Rollback, &error, now);
        }
        let is_same_sequence = held.is_some() && held == fetched.sequence() && self.feed.number() > 0;
        content.listed = fetched.listed();
        match content.publish(board, self.key, now) {
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
                self.feed.want().source
            );
            proxy.log(Level::Warn, &line);
        }
        let unusable = match &fetched {
            Fetched::WorkloadApi { message, .. } => message.unusable.len(),
            Fetched::JwtBundles(bundles) => bundles.unusable.len(),
            Fetched::Bundle(_) | Fetched::Revocations(_) => 0,
        };
        if unusable > 0 {
            let unusable = u64::try_from(unusable).unwrap_or(u64::MAX);
            count(proxy, SourceEvent::UnusableBundle, unusable);
        }
        let before = self.remarks();
        self.feed.accept(&content, fetched);
        self.succeed(proxy, SourceEvent::Updated, now);
        let line = format!(
            "svidgate: new content from {}: {}",
            self.feed.want().source,
            self.summary()
        );
        proxy.log(Level::Info, &line);
        remarks::tell(proxy, &self.remarks(), &before);
    }

    /// What there is to say about an answer that is older than what there is. It may be a replay, or the publisher may
    /// have been built anew; no answer tells which, so the operator must.
    fn step_back(&self, answer: &Fetched, sequence: u64, held: u64) -> String {
        let is_pin = self.feed.fetched().and_then(Fetched::sequence) != Some(held);
        let whose = if is_pin {
            "which the document pins"
        } else {
            "which is held"
        };
        let mut common = String::new();
        if let (Some(Fetched::Bundle(held)), Fetched::Bundle(bundle)) = (self.feed.fetched(), answer) {
            let (shared, all) = (bundle.common_authorities(held), held.authority_count());
            common = format!(", with {shared} of the {all} authorities that are held");
        }
        format!(
            "sequence {sequence} is lower than {held}, {whose}{common} (if its publisher was built anew: raise `epoch` \
             of this endpoint above {})",
            self.feed.epoch()
        )
    }

    /// Reads what came, and puts beside it what was known before of what it cannot be used for.
    fn read_answer(&self, content: &mut Content) -> Result<Fetched, String> {
        let fetched = Fetched::parse(self.feed.want().kind, content)?;
        let (Some(Fetched::WorkloadApi { message: held, .. }), Fetched::WorkloadApi { message, .. }) =
            (self.feed.fetched(), &fetched)
        else {
            return Ok(fetched);
        };
        let kept = held.kept_beside(message, self.feed.as_of());
        if kept.is_empty() {
            return Ok(fetched);
        }
        content.kept = Some(kept);
        Fetched::parse(self.feed.want().kind, content)
    }

    /// What there is to say about the bundles that are held.
    fn remarks(&self) -> Vec<String> {
        match self.feed.fetched() {
            Some(Fetched::Bundle(bundle)) => remarks::lines([(&self.feed.want().source, &**bundle)].into_iter()),
            Some(Fetched::WorkloadApi { message, .. }) => {
                let unusable = message.unusable.iter();
                let unusable = unusable.map(|unusable| format!("svidgate: {}: {unusable}", self.feed.want().source));
                let bundles = message.bundles.iter().map(|(name, listed)| (name, &*listed.bundle));
                unusable.take(MOST_UNUSABLE).chain(remarks::lines(bundles)).collect()
            }
            Some(Fetched::JwtBundles(bundles)) => {
                let unusable = bundles.unusable.iter();
                let unusable = unusable.map(|unusable| format!("svidgate: {}: {unusable}", self.feed.want().source));
                unusable.chain(bundles.remarks()).take(MOST_UNUSABLE).collect()
            }
            Some(Fetched::Revocations(_)) | None => Vec::new(),
        }
    }

    fn summary(&self) -> String {
        match self.feed.fetched() {
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
            Some(Fetched::JwtBundles(bundles)) => format!(
                "{} JWT keys of {} trust domains, {} keys skipped",
                bundles.count(),
                bundles.keys.len(),
                bundles.skipped()
            ),
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
            proxy.log(
                Level::Info,
                &format!("svidgate: {} answers again", self.feed.want().source),
            );
        }
        self.poll.failures = 0;
        self.feed.heard(now);
        self.poll.next = later(now, jittered(self.refresh(), proxy.random()));
    }

    /// Nothing usable came: what there is stays, and the source is asked again after a while. A stream is ended for
    /// that: a Workload API sends only what is new, so what could not be used would never come again.
    pub(super) fn fail<P: Proxy>(&mut self, proxy: &P, event: SourceEvent, error: &str, now: Timestamp) {
        count(proxy, event, 1);
        self.give_up();
        self.poll.failures = self.poll.failures.saturating_add(1);
        let longest = match (self.feed.number(), &self.feed.want().source) {
            (0, Source::WorkloadApi { .. }) => LONGEST_BACK_OFF_AT_FIRST,
            (_, Source::WorkloadApi { .. } | Source::Endpoint(_)) => LONGEST_BACK_OFF,
        };
        let pause = back_off(self.poll.failures).min(longest).min(self.refresh());
        self.poll.next = later(now, jittered(pause, proxy.random()));
        // The first failure, and then fewer and fewer of them: the counter has them all.
        if self.poll.failures.is_power_of_two() {
            let line = format!(
                "svidgate: {}: {error}; what there is stays, {} failures in a row",
                self.feed.want().source,
                self.poll.failures
            );
            proxy.log(Level::Warn, &line);
        }
    }

    /// How often it is noted that an open stream is still open.
    fn stream_note(&self) -> SignedDuration {
        let longest = self.feed.want().max_staleness.checked_div(ASKED_BEFORE_STALE);
        STREAM_NOTE
            .min(longest.unwrap_or(STREAM_NOTE))
            .max(SignedDuration::from_secs(1))
    }

    /// How often the source is asked.
    fn refresh(&self) -> SignedDuration {
        let asked_for = match &self.feed.want().source {
            Source::Endpoint(endpoint) => endpoint.refresh,
            Source::WorkloadApi { .. } => None,
        };
        let hinted = || {
            let seconds = self.feed.fetched().and_then(Fetched::refresh_hint)?;
            let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
            Some(SignedDuration::from_secs(seconds).clamp(SHORTEST_REFRESH, LONGEST_REFRESH))
        };
        let wanted = asked_for.or_else(hinted).unwrap_or(REFRESH);
        let longest = self
            .feed
            .want()
            .max_staleness
            .checked_div(ASKED_BEFORE_STALE)
            .unwrap_or(REFRESH);
        wanted.min(longest).max(SignedDuration::from_secs(1))
    }
}
