//! What all threads of the proxy note of a name: which documents were the newest, in order, and which is.
//!
//! A worker is not told everything. A document that comes back while something of it is still under way is taken up by
//! the proxy without a word to that worker; a VM that is made anew after a trap gets each plugin when something comes
//! for it, an old one perhaps before the newest; a busy worker is behind the others. The note tells them. It is bound
//! to what only our own workers know ([`crate::board`]).
//!
//! A trial VM, in which the proxy tries a configuration and which it then throws away, notes nothing: only a VM that
//! has ticked does. And nothing is noted over a document that is not known here.

use jiff::{SignedDuration, Timestamp};
use prost::Message as _;

use crate::{
    board::Board,
    peer::presented::Digest,
    proxy::Proxy,
    worker::succession::{Standing, Succession},
};

/// Most documents that a note has. Our decision: more than drain at once on any proxy that is well.
const MOST_NOTED: usize = 64;
/// Bytes of a digest that stand in a note.
const DIGEST: usize = 16;
/// For this long a worker that has kept pace may be behind the others before it denies. Our decision: longer than it
/// takes to compile the largest document.
pub const MAY_BE_BEHIND: SignedDuration = SignedDuration::from_secs(5);

/// The note of one name.
#[derive(Clone, PartialEq, prost::Message)]
struct Note {
    /// The last one is the newest.
    #[prost(message, repeated, tag = "1")]
    documents: Vec<Noted>,
    /// Whether no plugin has this name any more.
    #[prost(bool, tag = "2")]
    is_over: bool,
}

/// That a document became the newest.
#[derive(Clone, PartialEq, prost::Message)]
struct Noted {
    /// Grows by one each time.
    #[prost(uint64, tag = "1")]
    number: u64,
    /// The beginning of its digest.
    #[prost(bytes = "vec", tag = "2")]
    digest: Vec<u8>,
}

impl Noted {
    fn is(&self, digest: &Digest) -> bool {
        digest.get(..DIGEST) == Some(&self.digest)
    }
}

impl Note {
    /// The note, whether it is what our workers wrote, and its version.
    fn read<P: Proxy>(board: &Board<'_, P>, label: &str) -> (Self, bool, Option<u32>) {
        let (bytes, version) = board.read(label);
        let note = bytes.and_then(|bytes| Self::decode(bytes.as_slice()).ok());
        let is_ours = note.is_some() || version.is_none();
        (note.unwrap_or_default(), is_ours, version)
    }

    fn newest(&self) -> Option<&Noted> {
        self.documents.last().filter(|_| !self.is_over)
    }

    fn last_number(&self) -> u64 {
        self.documents.last().map_or(0, |noted| noted.number)
    }

    /// Whether a document became the newest after that number.
    fn has_since(&self, digest: &Digest, number: u64) -> bool {
        self.documents
            .iter()
            .any(|noted| noted.is(digest) && noted.number > number)
    }

    fn add(&mut self, digest: &Digest) {
        let number = self.last_number().saturating_add(1);
        let digest = digest.get(..DIGEST).unwrap_or_default().to_vec();
        self.documents.push(Noted { number, digest });
        let most = self.documents.len().saturating_sub(MOST_NOTED);
        self.documents.drain(..most);
        self.is_over = false;
    }
}

fn label(succession: &Succession) -> String {
    format!("note.{:?}", succession.name())
}

/// Brings what is the newest here and what all threads have noted together. `may_write` where this VM is no trial.
pub(crate) fn settle<P: Proxy>(board: &Board<'_, P>, succession: &Succession, may_write: bool, now: Timestamp) {
    let (mut note, is_ours, version) = Note::read(board, &label(succession));
    let standing = succession.standing.get();
    if let Some(noted) = note.newest() {
        if succession.newest_digest().is_some_and(|own| noted.is(&own)) {
            return agree(succession, noted.number);
        }
        let known = succession.known_as(|digest| noted.is(digest));
        if !is_news(&note, succession) {
            return match known {
                Some(known) => {
                    succession.adopt(&known);
                    agree(succession, noted.number);
                }
                None => fall_behind(succession, standing, now),
            };
        }
        if known.is_none() {
            return fall_behind(succession, standing, now);
        }
    }
    let Some(own) = succession.newest_digest() else {
        // Nobody has a newer one any more: what is left here counts. Where somebody else wrote over the note, it cannot
        // be told, and all stays denied.
        if is_ours {
            succession.fall_back();
        }
        return;
    };
    if may_write {
        note.add(&own);
        // Where somebody has written since, this is looked at again on the next tick.
        if board.write(&label(succession), &note.encode_to_vec(), version).is_ok() {
            agree(succession, note.last_number());
        }
    }
}

/// Whether the newest here came after what is noted: it has changed since this worker last agreed, and nobody has noted
/// it since.
fn is_news(note: &Note, succession: &Succession) -> bool {
    let Standing { agreed, is_news, .. } = succession.standing.get();
    let own = succession.newest_digest();
    is_news && own.is_some_and(|own| !note.has_since(&own, if succession.is_back(&own) { agreed } else { 0 }))
}

fn agree(succession: &Succession, agreed: u64) {
    succession.standing.set(Standing {
        agreed,
        is_news: false,
        behind_since: None,
    });
}

/// Another thread has a newer document, which is not known here: at once where this VM never kept pace, as one that was
/// made anew.
fn fall_behind(succession: &Succession, standing: Standing, now: Timestamp) {
    let since = standing.behind_since.unwrap_or(now);
    let is_long = now.duration_since(since) >= MAY_BE_BEHIND;
    if standing.agreed == 0 || is_long {
        succession.lose();
    }
    succession.standing.set(Standing {
        behind_since: Some(since),
        ..standing
    });
}

/// The last plugin of a name goes: for whoever comes next there is no newest document.
pub(crate) fn end<P: Proxy>(board: &Board<'_, P>, succession: &Succession, last: &Digest) {
    let (mut note, _, version) = Note::read(board, &label(succession));
    if note.newest().is_some_and(|noted| noted.is(last)) {
        note.is_over = true;
        // Where somebody has written since, it is theirs to say.
        let _ = board.write(&label(succession), &note.encode_to_vec(), version);
    }
}
