//! What each worker knows of the sources that its documents name: bundles and revocations, and how old they are.
//!
//! One worker asks a source ([`crate::sources::fetch`]); all of them read what it has published
//! ([`crate::sources::index`]) and parse it when it has changed. A document is told nothing here: it says what it
//! needs, and looks at what there is on the tick.

use std::collections::BTreeMap;

use jiff::Timestamp;
use svidgate_policy::digest::sha256;

use crate::{
    board::Board,
    proxy::{Level, Proxy},
    sources::{
        fetched::{Fetched, content_digest},
        index::{self, Content, Index},
        key::SourceKey,
        lease::LeaseRequest,
        want::Want,
    },
};

/// One source, as this worker knows it.
#[derive(Debug)]
pub struct Feed {
    want: Want,
    /// The latest that any document, of any worker, has named. An older one that comes back names nothing.
    epoch: u64,
    /// The number of the content that is known here; 0 for none.
    number: u64,
    /// SHA-256 of its bytes.
    digest: Option<[u8; 32]>,
    /// Of what it says, which other bytes may say, too.
    content_digest: Option<[u8; 32]>,
    /// The number of the newest content that the index names.
    published: u64,
    as_of: Timestamp,
    /// Whether the index has a time that is still to come.
    is_ahead: bool,
    fetched: Option<Fetched>,
    /// Its beginning, by the number of all that there have been: an answer to what was asked before it is not judged.
    beginning: u64,
}

impl Feed {
    /// The number of what came, 0 before anything did.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// When the source last spoke; before it did, when it was first asked.
    pub fn as_of(&self) -> Timestamp {
        self.as_of
    }

    /// What came last.
    pub fn fetched(&self) -> Option<&Fetched> {
        self.fetched.as_ref()
    }

    /// What documents need of it.
    pub fn want(&self) -> &Want {
        &self.want
    }

    /// Which of its publisher's beginnings it is known in.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// A number that no source has had before. It changes when what was asked is of no use any more.
    pub fn beginning(&self) -> u64 {
        self.beginning
    }

    /// The number for content that is published next.
    pub fn next_number(&self) -> u64 {
        self.published.saturating_add(1)
    }

    /// Whether these bytes say what is known here.
    pub fn says(&self, bytes: &[u8]) -> bool {
        self.digest == Some(sha256(bytes))
            || (self.content_digest.is_some() && self.content_digest == content_digest(self.want.kind, bytes))
    }

    /// Takes content that this worker has published, or has for itself alone.
    pub fn accept(&mut self, content: &Content, fetched: Fetched) {
        (self.number, self.digest) = (content.number, Some(sha256(&content.bytes)));
        self.content_digest = content_digest(self.want.kind, &content.bytes);
        self.published = self.published.max(content.number);
        self.fetched = Some(fetched);
    }

    /// The source has spoken.
    pub fn heard(&mut self, now: Timestamp) {
        self.as_of = now;
    }

    /// Notes for all workers that it has spoken now, where the index has a time that is still to come.
    pub fn mend_time<P: Proxy>(&mut self, board: &Board<'_, P>, key: SourceKey, now: Timestamp) {
        if self.is_ahead {
            self.is_ahead = !index::note_heard(board, key, now);
        }
    }

    /// Its publisher has begun anew: what it said before is forgotten.
    fn begin_epoch(&mut self, epoch: u64, beginning: u64, now: Timestamp) {
        self.beginning = beginning;
        self.epoch = epoch;
        self.number = 0;
        (self.digest, self.content_digest, self.fetched) = (None, None, None);
        (self.as_of, self.is_ahead) = (now, false);
    }

    fn read(&mut self, content: &Content) -> Result<(), String> {
        let fetched = Fetched::parse(self.want.kind, content)?;
        self.accept(content, fetched);
        Ok(())
    }
}

/// Every source that the documents of a worker name.
#[derive(Debug, Default)]
pub struct Feeds {
    by_key: BTreeMap<SourceKey, Feed>,
    index: Index,
    beginnings: Beginnings,
}

/// Counts them for all sources, so that one that is given up and named again is not taken for what it was.
#[derive(Debug, Default)]
struct Beginnings(u64);

impl Beginnings {
    fn next(&mut self) -> u64 {
        self.0 = self.0.saturating_add(1);
        self.0
    }
}

impl Feeds {
    /// Follows these sources from now on, and no others.
    pub fn follow(&mut self, wants: impl Iterator<Item = Want>, now: Timestamp) {
        let mut wanted: BTreeMap<SourceKey, Want> = BTreeMap::new();
        for want in wants {
            let key = want.key();
            let want = match wanted.get(&key) {
                Some(known) => want.and(known),
                None => want,
            };
            wanted.insert(key, want);
        }
        self.by_key.retain(|key, _| wanted.contains_key(key));
        for (key, want) in wanted {
            match self.by_key.get_mut(&key) {
                Some(feed) => {
                    if want.source.epoch() > feed.epoch {
                        feed.begin_epoch(want.source.epoch(), self.beginnings.next(), now);
                    }
                    feed.want = want;
                }
                None => {
                    let feed = Feed {
                        epoch: want.source.epoch(),
                        want,
                        number: 0,
                        digest: None,
                        content_digest: None,
                        published: 0,
                        as_of: now,
                        is_ahead: false,
                        fetched: None,
                        beginning: self.beginnings.next(),
                    };
                    self.by_key.insert(key, feed);
                }
            }
        }
    }

    /// Takes in what has been published since the last look.
    pub fn read<P: Proxy>(&mut self, board: &Board<'_, P>, now: Timestamp) {
        self.index = Index::read(board);
        for entry in &self.index.entries {
            let Some(key) = entry.key() else { continue };
            let Some(feed) = self.by_key.get_mut(&key) else {
                continue;
            };
            feed.published = entry.content;
            if entry.epoch > feed.epoch {
                feed.begin_epoch(entry.epoch, self.beginnings.next(), now);
            } else if entry.epoch < feed.epoch {
                // What is shared is of before; it is said so with the next lease.
                continue;
            }
            // What was noted by a clock that has been set back since counts from now on, and is noted anew.
            (feed.as_of, feed.is_ahead) = (entry.as_of().min(now), entry.as_of() > now);
            if entry.content <= feed.number {
                continue;
            }
            let newest = |content: &Content| content.number == entry.content && content.epoch == entry.epoch;
            let Some(content) = Content::read(board, key).filter(newest) else {
                continue;
            };
            if let Err(error) = feed.read(&content) {
                // Whoever published it could read it, so this is a build of the module beside another.
                let line = format!(
                    "svidgate: what was published of {} cannot be read: {error}",
                    feed.want.source
                );
                board.proxy.log(Level::Error, &line);
            }
        }
    }

    /// What was shared under one secret is not there under another: what each source says next is shared anew.
    pub fn share_anew(&mut self) {
        for feed in self.by_key.values_mut() {
            (feed.digest, feed.content_digest) = (None, None);
            feed.beginning = self.beginnings.next();
        }
    }

    /// What all workers know of sources, as it was last read.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// One source, to be changed.
    pub fn feed_mut(&mut self, key: SourceKey) -> Option<&mut Feed> {
        self.by_key.get_mut(&key)
    }

    /// One source.
    pub fn feed(&self, key: SourceKey) -> Option<&Feed> {
        self.by_key.get(&key)
    }

    /// What a worker would lease of them.
    pub fn requests(&self) -> impl Iterator<Item = LeaseRequest> {
        self.by_key.iter().map(|(key, feed)| LeaseRequest {
            key: *key,
            epoch: feed.epoch,
            content: feed.published.max(feed.number),
            as_of: feed.as_of,
        })
    }

    /// Whether some source has not said anything yet.
    pub fn is_waiting(&self) -> bool {
        self.by_key.values().any(|feed| feed.number == 0)
    }
}
