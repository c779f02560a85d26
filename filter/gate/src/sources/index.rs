//! What the workers share of sources: which content of each is the newest, and when the source last spoke.
//!
//! The proxy keeps one map for all workers, by key, each value with a version that a writer can insist on. An *index*
//! has an entry for every source, so that a worker that has all contents makes one call a tick. Contents stand under
//! keys of their own, written before the index names them. With each entry stands a lease ([`crate::sources::lease`]).

use jiff::Timestamp;
use prost::Message as _;

use crate::{
    board::Board,
    proxy::Proxy,
    sources::{key::SourceKey, workload_api::Kept},
};

/// Tries to write the index when another worker has written in between.
const MAX_TRIES: u32 = 8;

/// Labels of what is shared ([`Board`]).
const INDEX: &str = "index";
pub(crate) const CONTENT: &str = "content.";

/// What is known of every source.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Index {
    /// In no order.
    #[prost(message, repeated, tag = "1")]
    pub entries: Vec<IndexEntry>,
}

/// What is known of one source.
#[derive(Clone, PartialEq, prost::Message)]
pub struct IndexEntry {
    /// Its [`SourceKey`].
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) key: Vec<u8>,
    /// The newest content; 0 where there is none yet.
    #[prost(uint64, tag = "2")]
    pub content: u64,
    /// When the source last spoke; before it did, when it was first asked. Seconds since 1970.
    #[prost(int64, tag = "3")]
    pub(crate) seconds: i64,
    /// The worker that asks it.
    #[prost(uint64, tag = "4")]
    pub(crate) holder: u64,
    /// Until when it does. Seconds since 1970.
    #[prost(int64, tag = "5")]
    pub(crate) until: i64,
    /// Which of its publisher's beginnings this is about; what was said before is not believed.
    #[prost(uint64, tag = "6")]
    pub epoch: u64,
}

impl IndexEntry {
    /// When the source last spoke, or was first asked.
    pub fn as_of(&self) -> Timestamp {
        Timestamp::from_second(self.seconds).unwrap_or(Timestamp::MIN)
    }

    /// Which source it is about.
    pub fn key(&self) -> Option<SourceKey> {
        SourceKey::from_bytes(&self.key)
    }
}

impl Index {
    /// Reads the index. One that cannot be read is as none: it is written anew.
    pub fn read<P: Proxy>(board: &Board<'_, P>) -> Self {
        Self::read_version(board).0
    }

    fn read_version<P: Proxy>(board: &Board<'_, P>) -> (Self, Option<u32>) {
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
    pub fn read<P: Proxy>(board: &Board<'_, P>, key: SourceKey) -> Option<Self> {
        let (bytes, _) = board.read(&format!("{CONTENT}{key}"));
        Self::decode(bytes?.as_slice())
            .ok()
            .filter(|content| content.number > 0)
    }

    /// Publishes this content, as of now. Its number must be the next one: where another worker has published in
    /// between, what this one has was judged against what is no longer there, and nothing is published.
    pub fn publish<P: Proxy>(&self, board: &Board<'_, P>, key: SourceKey, now: Timestamp) -> Published {
        let mut published = Published::Unshared;
        let changed = change_index(board, |index| {
            published = match index.entries.iter_mut().find(|entry| entry.key == key.as_bytes()) {
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

/// Notes that a source has spoken now, and has said nothing new.
pub fn note_heard<P: Proxy>(board: &Board<'_, P>, key: SourceKey, now: Timestamp) -> bool {
    let noted = change_index(board, |index| {
        if let Some(entry) = index.entries.iter_mut().find(|entry| entry.key == key.as_bytes()) {
            entry.seconds = now.as_second();
        }
    });
    noted.is_some()
}

pub(crate) fn change_index<P: Proxy>(board: &Board<'_, P>, mut change: impl FnMut(&mut Index)) -> Option<Index> {
    for _ in 0..MAX_TRIES {
        let (mut index, version) = Index::read_version(board);
        if version.is_none() {
            // The proxy has no way to write only where nothing is: so something is put there first, and what another
            // worker may have written since is lost at most once, at the very start.
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
