//! What the workers share: who fetches, and what was fetched last from each source.
//!
//! The proxy keeps one map for all workers, by key, each value with a version that a writer can insist on. An *index*
//! tells of every source which content is the newest and when the source last spoke, so that a worker that has it all
//! makes one call a tick. Contents stand under keys of their own, written before the index names them. With each source
//! stands a *lease*, which says which worker asks it. There is one for each source and not one for all, because workers
//! need not have the same documents (Envoy runs a VM on its main thread, too, for network filters alone). It lapses by
//! itself, so a worker that dies is followed by another.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use jiff::{SignedDuration, Timestamp};
use prost::Message as _;
use svidgate_policy::{Source, digest::sha256};

use crate::{host::Host, secret::Board, workload_api::Kept};

/// How long a lease lasts. Our decision: a few ticks, so that a busy worker keeps it and a dead one is soon followed.
pub const LEASE: SignedDuration = SignedDuration::from_secs(5);
/// A lease is renewed when less than this is left.
const RENEW_BEFORE: SignedDuration = SignedDuration::from_secs(3);
/// How long what nobody leases any more is kept.
const KEEP_UNWANTED: SignedDuration = SignedDuration::from_secs(600);
/// Tries to write the index when another worker has written in between.
const MAX_TRIES: u32 = 8;

/// Labels of what is shared ([`Board`]).
const INDEX: &str = "index";
const CONTENT: &str = "content.";

/// What a source gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The bundle of one trust domain.
    Bundle,
    /// A list of revocations.
    Revocations,
    /// The bundles of all trust domains, with CRLs.
    WorkloadApi,
    /// No source: the lease says which worker speaks for a document.
    Document,
}

/// A source by what it gives and where it is; how often it is asked makes no other source of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceKey([u8; 16]);

impl SourceKey {
    /// The key of a source.
    pub fn new(kind: Kind, source: &Source) -> Self {
        let text = match source {
            Source::WorkloadApi { cluster } => format!("{kind:?}\0{cluster}"),
            Source::Endpoint(endpoint) => {
                format!(
                    "{kind:?}\0{}\0{}\0{}",
                    endpoint.cluster, endpoint.authority, endpoint.path
                )
            }
        };
        Self::of(&text)
    }

    /// The key of the lease for a document.
    pub fn of_document(digest: &[u8; 32]) -> Self {
        Self::of(&format!("{:?}\0{digest:?}", Kind::Document))
    }

    /// The key of what workers have learned of intermediates ([`crate::hints`]).
    pub fn of_hints() -> Self {
        Self::of("hints")
    }

    fn of(text: &str) -> Self {
        let mut key = [0; 16];
        key.iter_mut()
            .zip(sha256(text.as_bytes()))
            .for_each(|(to, from)| *to = from);
        Self(key)
    }
}

impl fmt::Display for SourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is known of every source.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Index {
    /// In no order.
    #[prost(message, repeated, tag = "1")]
    pub entries: Vec<Entry>,
}

/// What is known of one source.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Entry {
    /// Its [`SourceKey`].
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    /// The newest content; 0 where there is none yet.
    #[prost(uint64, tag = "2")]
    pub content: u64,
    /// When the source last spoke; before it did, when it was first asked. Seconds since 1970.
    #[prost(int64, tag = "3")]
    seconds: i64,
    /// The worker that asks it.
    #[prost(uint64, tag = "4")]
    holder: u64,
    /// Until when it does. Seconds since 1970.
    #[prost(int64, tag = "5")]
    until: i64,
    /// Which of its publisher's beginnings this is about; what was said before is not believed.
    #[prost(uint64, tag = "6")]
    pub epoch: u64,
}

impl Entry {
    /// How many seconds the lease has left. One that ends later than any that could have been taken now was written by a
    /// clock that has been set back, and is over.
    fn left(&self, now: Timestamp) -> i64 {
        let left = self.until.saturating_sub(now.as_second());
        // Nobody's is free, whenever it was let go.
        if self.holder == 0 || left > LEASE.as_secs() {
            0
        } else {
            left.max(0)
        }
    }

    /// When the source last spoke, or was first asked.
    pub fn as_of(&self) -> Timestamp {
        Timestamp::from_second(self.seconds).unwrap_or(Timestamp::MIN)
    }

    /// Which source it is about.
    pub fn key(&self) -> Option<SourceKey> {
        self.key.as_slice().try_into().map(SourceKey).ok()
    }
}

impl Index {
    /// Reads the index. One that cannot be read is as none: it is written anew.
    pub fn read<H: Host>(board: &Board<'_, H>) -> Self {
        Self::read_version(board).0
    }

    fn read_version<H: Host>(board: &Board<'_, H>) -> (Self, Option<u32>) {
        let (bytes, version) = board.read(INDEX);
        let index = bytes.and_then(|bytes| Self::decode(bytes.as_slice()).ok());
        (index.unwrap_or_default(), version)
    }
}

/// What came from a source.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Content {
    /// Its number, which grows.
    #[prost(uint64, tag = "1")]
    pub number: u64,
    /// As it came.
    #[prost(bytes = "vec", tag = "2")]
    pub bytes: Vec<u8>,
    /// Of a Workload API, every trust domain that it has ever listed.
    #[prost(string, repeated, tag = "3")]
    pub listed: Vec<String>,
    /// Of a Workload API, what was known before of what the bytes cannot be used for.
    #[prost(message, optional, tag = "4")]
    pub kept: Option<Kept>,
    /// The epoch of the source that it was fetched in.
    #[prost(uint64, tag = "5")]
    pub epoch: u64,
}

impl Content {
    /// Reads the newest content of a source.
    pub fn read<H: Host>(board: &Board<'_, H>, key: SourceKey) -> Option<Self> {
        let (bytes, _) = board.read(&format!("{CONTENT}{key}"));
        Self::decode(bytes?.as_slice())
            .ok()
            .filter(|content| content.number > 0)
    }

    /// Publishes this content, as of now. Its number must be the next one: where another worker has published in between,
    /// what this one has was judged against what is no longer there, and nothing is published.
    pub fn publish<H: Host>(&self, board: &Board<'_, H>, key: SourceKey, now: Timestamp) -> Published {
        let mut published = Published::Unshared;
        let changed = change_index(board, |index| {
            published = match index.entries.iter_mut().find(|entry| entry.key == key.0) {
                Some(entry) if entry.epoch == self.epoch && entry.content.checked_add(1) == Some(self.number) => {
                    (entry.content, entry.seconds) = (self.number, now.as_second());
                    Published::Shared
                }
                Some(_) => Published::Overtaken,
                None => Published::Unshared,
            };
        });
        if changed.is_none() {
            return Published::Unshared;
        }
        // Behind the index: a reader that does not find this number here looks again on its next tick.
        let label = format!("{CONTENT}{key}");
        if published == Published::Shared && board.write(&label, &self.encode_to_vec(), None).is_err() {
            return Published::Unshared;
        }
        published
    }
}

/// What came of publishing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// All workers have it.
    Shared,
    /// Another worker has published something newer.
    Overtaken,
    /// It cannot be shared: it is this worker's own.
    Unshared,
}

/// Whether a worker has the lease of a source, as the index says now.
pub fn is_leased(index: &Index, key: SourceKey, worker: u64, now: Timestamp) -> bool {
    let entry = index.entries.iter().find(|entry| entry.key == key.0);
    entry.is_some_and(|entry| entry.holder == worker && entry.left(now) > 0)
}

/// Notes that a source has spoken now, and has said nothing new.
pub fn note<H: Host>(board: &Board<'_, H>, key: SourceKey, now: Timestamp) -> bool {
    let noted = change_index(board, |index| {
        if let Some(entry) = index.entries.iter_mut().find(|entry| entry.key == key.0) {
            entry.seconds = now.as_second();
        }
    });
    noted.is_some()
}

/// Something that a worker would lease, and what it knows of it.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// What.
    pub key: SourceKey,
    /// The epoch of the source; 0 of what has none.
    pub epoch: u64,
    /// The content that it has; 0 for none.
    pub content: u64,
    /// When it first asked, or the source last spoke. Where the index has lost it, it counts from then, not from now.
    pub as_of: Timestamp,
}

/// Leases what is free of `claims`, and renews what `worker` has. Gives all that it has now. `index` is what was read on
/// this tick.
pub fn lease<H: Host>(
    board: &Board<'_, H>,
    index: &Index,
    claims: &[Claim],
    worker: u64,
    now: Timestamp,
) -> BTreeSet<SourceKey> {
    let known: BTreeMap<SourceKey, &Entry> = index
        .entries
        .iter()
        .filter_map(|entry| Some((entry.key()?, entry)))
        .collect();
    let is_wanting = |claim: &&Claim| match known.get(&claim.key) {
        None => true,
        Some(entry) if entry.epoch < claim.epoch => true,
        Some(entry) if entry.holder == worker => entry.left(now) <= RENEW_BEFORE.as_secs(),
        Some(entry) => entry.left(now) == 0,
    };
    let wanting: Vec<Claim> = claims.iter().filter(is_wanting).copied().collect();
    let written = if wanting.is_empty() {
        None
    } else {
        let mut dropped = Vec::new();
        let written = change_index(board, |index| {
            take(index, &wanting, worker, now);
            dropped = drop_unleased(index, now);
        });
        if written.is_some() {
            for key in dropped {
                // The map has no way to remove a key; an empty value is what remains of it.
                let _ = board.write(&format!("{CONTENT}{key}"), &[], None);
            }
        }
        written
    };
    let entries = written.as_ref().map_or(&index.entries, |written| &written.entries);
    let is_ours = |entry: &&Entry| entry.holder == worker && entry.left(now) > 0;
    entries.iter().filter(is_ours).filter_map(Entry::key).collect()
}

/// Of two workers that try at once, the second finds what the first has written.
fn take(index: &mut Index, wanting: &[Claim], worker: u64, now: Timestamp) {
    let places: BTreeMap<SourceKey, usize> = (0..)
        .zip(&index.entries)
        .filter_map(|(place, entry)| Some((entry.key()?, place)))
        .collect();
    for claim in wanting {
        let until = now.as_second().saturating_add(LEASE.as_secs());
        let place = places.get(&claim.key);
        if let Some(entry) = place.and_then(|place| index.entries.get_mut(*place))
            && entry.epoch < claim.epoch
        {
            // The content keeps its number, which grows: whoever has something of that number forgets it.
            (entry.epoch, entry.seconds) = (claim.epoch, now.as_second());
        }
        match places.get(&claim.key).and_then(|place| index.entries.get_mut(*place)) {
            Some(entry) if entry.holder == worker || entry.left(now) == 0 => {
                (entry.holder, entry.until) = (worker, until);
            }
            Some(_) => {}
            None => index.entries.push(Entry {
                key: claim.key.0.to_vec(),
                content: claim.content,
                seconds: claim.as_of.as_second(),
                holder: worker,
                until,
                epoch: claim.epoch,
            }),
        }
    }
}

/// Drops what nobody has leased for long: nobody wants it. Gives what had content.
fn drop_unleased(index: &mut Index, now: Timestamp) -> Vec<SourceKey> {
    let oldest = now.as_second().saturating_sub(KEEP_UNWANTED.as_secs());
    let is_old = |entry: &Entry| entry.until < oldest;
    let with_content = index.entries.iter().filter(|entry| is_old(entry) && entry.content > 0);
    let dropped = with_content.filter_map(Entry::key).collect();
    index.entries.retain(|entry| !is_old(entry));
    dropped
}

/// Lets other workers take what this one has.
pub fn release<H: Host>(board: &Board<'_, H>, worker: u64) {
    change_index(board, |index| {
        for entry in index.entries.iter_mut().filter(|entry| entry.holder == worker) {
            entry.holder = 0;
        }
    });
}

fn change_index<H: Host>(board: &Board<'_, H>, mut change: impl FnMut(&mut Index)) -> Option<Index> {
    for _ in 0..MAX_TRIES {
        let (mut index, version) = Index::read_version(board);
        if version.is_none() {
            // The host has no way to write only where nothing is: so something is put there first, and what another worker
            // may have written since is lost at most once, at the very start.
            let _ = board.write(INDEX, &Index::default().encode_to_vec(), None);
            continue;
        }
        change(&mut index);
        if board.write(INDEX, &index.encode_to_vec(), version).is_ok() {
            return Some(index);
        }
    }
    None
}
