//! Which worker asks a source?
//!
//! There is one lease for each source and not one for all, because workers need not have the same documents (Envoy runs
//! a VM on its main thread, too, for network filters alone). A lease lapses by itself, so a worker that dies is
//! followed by another.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::{
    board::Board,
    proxy::Proxy,
    sources::{
        index::{CONTENT, Index, IndexEntry, change_index},
        key::SourceKey,
    },
};

/// How long a lease lasts. Our decision: a few ticks, so that a busy worker keeps it and a dead one is soon followed.
pub const LEASE: SignedDuration = SignedDuration::from_secs(5);

/// A lease is renewed when less than this is left.
const RENEW_BEFORE: SignedDuration = SignedDuration::from_secs(3);

/// How long what nobody leases any more is kept.
const KEEP_UNWANTED: SignedDuration = SignedDuration::from_secs(600);

/// How many seconds the lease has left. One that ends later than any that could have been taken now was written by a
/// clock that has been set back, and is over.
fn left(entry: &IndexEntry, now: Timestamp) -> i64 {
    let left = entry.until.saturating_sub(now.as_second());
    // Nobody's is free, whenever it was let go.
    if entry.holder == 0 || left > LEASE.as_secs() {
        0
    } else {
        left.max(0)
    }
}

/// Whether a worker has the lease of a source, as the index says now.
pub fn is_leased(index: &Index, key: SourceKey, worker: u64, now: Timestamp) -> bool {
    let entry = index.entries.iter().find(|entry| entry.key == key.as_bytes());
    entry.is_some_and(|entry| entry.holder == worker && left(entry, now) > 0)
}

/// Something that a worker would lease, and what it knows of it.
#[derive(Clone, Copy, Debug)]
pub struct LeaseRequest {
    /// What.
    pub key: SourceKey,
    /// The epoch of the source; 0 of what has none.
    pub epoch: u64,
    /// The content that it has; 0 for none.
    pub content: u64,
    /// When it first asked, or the source last spoke. Where the index has lost it, it counts from then, not from now.
    pub as_of: Timestamp,
}

/// Leases what is free of `claims`, and renews what `worker` has. Gives all that it has now. `index` is what was read
/// on this tick.
pub fn lease<P: Proxy>(
    board: &Board<'_, P>,
    index: &Index,
    requests: &[LeaseRequest],
    worker: u64,
    now: Timestamp,
) -> BTreeSet<SourceKey> {
    let known: BTreeMap<SourceKey, &IndexEntry> = index
        .entries
        .iter()
        .filter_map(|entry| Some((entry.key()?, entry)))
        .collect();
    let is_wanting = |request: &&LeaseRequest| match known.get(&request.key) {
        None => true,
        Some(entry) if entry.epoch < request.epoch => true,
        Some(entry) if entry.holder == worker => left(entry, now) <= RENEW_BEFORE.as_secs(),
        Some(entry) => left(entry, now) == 0,
    };
    let wanting: Vec<LeaseRequest> = requests.iter().filter(is_wanting).copied().collect();
    let written = if wanting.is_empty() {
        None
    } else {
        let mut dropped = Vec::new();
        let written = change_index(board, |index| {
            grant(index, &wanting, worker, now);
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
    let is_ours = |entry: &&IndexEntry| entry.holder == worker && left(entry, now) > 0;
    entries.iter().filter(is_ours).filter_map(IndexEntry::key).collect()
}

/// Of two workers that try at once, the second finds what the first has written.
fn grant(index: &mut Index, wanting: &[LeaseRequest], worker: u64, now: Timestamp) {
    let places: BTreeMap<SourceKey, usize> = (0..)
        .zip(&index.entries)
        .filter_map(|(place, entry)| Some((entry.key()?, place)))
        .collect();
    for request in wanting {
        let until = now.as_second().saturating_add(LEASE.as_secs());
        let place = places.get(&request.key);
        if let Some(entry) = place.and_then(|place| index.entries.get_mut(*place))
            && entry.epoch < request.epoch
        {
            // The content keeps its number, which grows: whoever has something of that number forgets it.
            (entry.epoch, entry.seconds) = (request.epoch, now.as_second());
        }
        match places.get(&request.key).and_then(|place| index.entries.get_mut(*place)) {
            Some(entry) if entry.holder == worker || left(entry, now) == 0 => {
                (entry.holder, entry.until) = (worker, until);
            }
            Some(_) => {}
            None => index.entries.push(IndexEntry {
                key: request.key.as_bytes().to_vec(),
                content: request.content,
                seconds: request.as_of.as_second(),
                holder: worker,
                until,
                epoch: request.epoch,
            }),
        }
    }
}

/// Drops what nobody has leased for long: nobody wants it. Gives what had content.
fn drop_unleased(index: &mut Index, now: Timestamp) -> Vec<SourceKey> {
    let oldest = now.as_second().saturating_sub(KEEP_UNWANTED.as_secs());
    let is_old = |entry: &IndexEntry| entry.until < oldest;
    let with_content = index.entries.iter().filter(|entry| is_old(entry) && entry.content > 0);
    let dropped = with_content.filter_map(IndexEntry::key).collect();
    index.entries.retain(|entry| !is_old(entry));
    dropped
}

/// Lets other workers take what this one has.
pub fn release<P: Proxy>(board: &Board<'_, P>, worker: u64) {
    change_index(board, |index| {
        for entry in index.entries.iter_mut().filter(|entry| entry.holder == worker) {
            entry.holder = 0;
        }
    });
}
