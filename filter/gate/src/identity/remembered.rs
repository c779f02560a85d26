//! What was read of a header lately and turned out to be good?
//!
//! A header is remembered by all of its bytes: to find it again costs a fast hash, with a key of this worker, and a comparison,
//! which is a fraction of what a digest of it would.

use std::{num::NonZeroUsize, rc::Rc};

use lru::LruCache;

use crate::peer::presented::Digest;

/// Most headers of one kind that one document remembers on one worker. Our decision: as many callers as identities have room.
pub const MAX_REMEMBERED: usize = 4096;
/// Most bytes of them. Our decision: 2,000 with a leaf each, escaped.
pub const MAX_REMEMBERED_BYTES: usize = 8 * 1024 * 1024;

/// How many bytes something takes.
pub trait Bytes {
    /// About how many.
    fn bytes(&self) -> usize;
}

impl Bytes for Digest {
    fn bytes(&self) -> usize {
        self.len()
    }
}

/// Headers and what was read of them.
#[derive(Debug)]
pub struct Remembered<T> {
    known: LruCache<Box<[u8]>, Rc<T>>,
    /// Of all that are known.
    bytes: usize,
}

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self {
            known: LruCache::new(NonZeroUsize::new(MAX_REMEMBERED).unwrap_or(NonZeroUsize::MIN)),
            bytes: 0,
        }
    }
}

impl<T: Bytes> Remembered<T> {
    /// What was read of a header before.
    pub fn recall(&mut self, header: &[u8]) -> Option<Rc<T>> {
        self.known.get(header).map(Rc::clone)
    }

    /// Remembers what was read of a header.
    pub fn keep(&mut self, header: &[u8], read: Rc<T>) {
        if self.known.contains(header) {
            return;
        }
        self.bytes = self.bytes.saturating_add(bytes(header, &*read));
        if let Some((header, gone)) = self.known.push(header.into(), read) {
            self.bytes = self.bytes.saturating_sub(bytes(&header, &*gone));
        }
        while self.bytes > MAX_REMEMBERED_BYTES {
            let Some((header, gone)) = self.known.pop_lru() else {
                break;
            };
            self.bytes = self.bytes.saturating_sub(bytes(&header, &*gone));
        }
    }
}

fn bytes(header: &[u8], read: &impl Bytes) -> usize {
    header.len().saturating_add(read.bytes())
}

#[cfg(test)]
mod tests {
    use super::{Digest, MAX_REMEMBERED, MAX_REMEMBERED_BYTES, Rc, Remembered};

    #[test]
    fn what_is_remembered_is_bounded_in_number_and_in_bytes() {
        let read = || Rc::<Digest>::new([7; 32]);
        let mut remembered = Remembered::default();
        for number in 0..MAX_REMEMBERED + 10 {
            remembered.keep(&number.to_le_bytes(), read());
        }
        assert_eq!(remembered.known.len(), MAX_REMEMBERED);
        assert!(remembered.recall(&0_usize.to_le_bytes()).is_none());
        let mut remembered = Remembered::default();
        for number in 0..400_usize {
            let header = [&[b'x'; 30_000][..], &number.to_le_bytes()].concat();
            remembered.keep(&header, read());
            remembered.keep(&header, read());
            assert!(remembered.recall(&header).is_some());
        }
        assert!(remembered.bytes <= MAX_REMEMBERED_BYTES, "{}", remembered.bytes);
        let known = remembered.known.iter();
        let summed: usize = known.map(|(header, read)| super::bytes(header, &**read)).sum();
        assert_eq!(remembered.bytes, summed);
    }
}
