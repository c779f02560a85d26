//! Which number does a literal segment have? Each that any pattern has gets one, so that it is read and compared once
//! in a search, and after that its number is.

use std::{hash::Hasher as _, num::NonZeroU32};

use fnv::FnvHasher;
use hashbrown::HashTable;

use crate::name::path::Segment;

/// A literal segment of any pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct LiteralId(NonZeroU32);

#[derive(Debug, Default)]
pub(super) struct Literals {
    table: HashTable<Literal>,
    /// The longest, in bytes.
    longest: usize,
}

#[derive(Debug)]
struct Literal {
    text: Box<str>,
    id: LiteralId,
}

impl Literals {
    /// The number of a text, which gets one where it has none.
    pub(super) fn add(&mut self, text: &str) -> LiteralId {
        if let Some(known) = self.find(Segment::literal(text)) {
            return known;
        }
        self.longest = self.longest.max(text.len());
        // More literals than a u32 counts do not fit into the bounds of a document.
        let number = u32::try_from(self.table.len()).unwrap_or(u32::MAX);
        let id = LiteralId(NonZeroU32::MIN.saturating_add(number));
        let literal = Literal { text: text.into(), id };
        let rehash = |literal: &Literal| hash(literal.text.bytes());
        self.table.insert_unique(hash(text.bytes()), literal, rehash);
        id
    }

    /// The number of what a segment stands for.
    pub(super) fn find(&self, segment: Segment<'_>) -> Option<LiteralId> {
        // A peer's segment may have 60 KiB.
        if segment.least_bytes() > self.longest {
            return None;
        }
        let is_wanted = |literal: &Literal| segment.is(literal.text.as_bytes());
        let found = self.table.find(hash(segment.bytes()), is_wanted);
        found.map(|literal| literal.id)
    }
}

/// Escaped and plain spellings of a segment are one literal, so the hash is fed what the segment stands for.
fn hash(segment: impl Iterator<Item = u8>) -> u64 {
    let mut hasher = FnvHasher::default();
    segment.for_each(|byte| hasher.write_u8(byte));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// Were it not so, every answer would stay right, and each would look at every literal.
    #[test]
    fn literals_are_told_apart_by_their_hash() {
        let hashes: BTreeSet<u64> = (0..10_000).map(|number| hash(number.to_string().bytes())).collect();
        assert_eq!(hashes.len(), 10_000);
    }
}
