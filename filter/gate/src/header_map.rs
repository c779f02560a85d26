//! Which headers came, in one buffer?

use std::{ops::Range, rc::Rc};

use svidgate_policy::{Headers, folded};

/// A header map as the proxy hands it over: a count, the lengths of all names and values, then these, each with a NUL.
#[derive(Clone, Debug, Default)]
pub struct HeaderMap(Vec<u8>);

/// Bytes of one number in the map.
const NUMBER: usize = 4;

impl HeaderMap {
    /// Takes over a serialised map.
    pub fn new(serialised: Vec<u8>) -> Self {
        Self(serialised)
    }

    /// Serialises pairs, as the proxy does.
    pub fn from_pairs(pairs: &[(&[u8], &[u8])]) -> Self {
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes();
        let mut bytes = number(pairs.len()).to_vec();
        for (name, value) in pairs {
            bytes.extend_from_slice(&number(name.len()));
            bytes.extend_from_slice(&number(value.len()));
        }
        for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
            bytes.extend_from_slice(text);
            bytes.push(0);
        }
        Self(bytes)
    }

    /// The map as the proxy reads it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Every name and value, in order. A map that is cut short ends early.
    pub fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.places().map(|(name, value)| (self.at(name), self.at(value)))
    }

    /// Where each name and value stands, in order.
    pub(crate) fn places(&self) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
        let count = self.count();
        let mut lengths = NUMBER;
        let mut texts = count.saturating_mul(NUMBER).saturating_mul(2).saturating_add(NUMBER);
        std::iter::from_fn(move || {
            let mut text = || {
                let place = texts..texts.checked_add(self.number(lengths)?)?;
                lengths = lengths.checked_add(NUMBER)?;
                texts = place.end.checked_add(1)?;
                (place.end <= self.0.len()).then_some(place)
            };
            Some((text()?, text()?))
        })
        .take(count)
    }

    fn number(&self, at: usize) -> Option<usize> {
        let bytes = self.0.get(at..at.checked_add(NUMBER)?)?;
        usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
    }

    /// What stands at a place that [`HeaderMap::places`] gave.
    pub(crate) fn at(&self, place: Range<usize>) -> &[u8] {
        self.0.get(place).unwrap_or_default()
    }

    /// The first value of a header.
    pub fn first(&self, name: &[u8]) -> Option<&[u8]> {
        self.pairs().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

impl Headers for HeaderMap {
    fn count(&self) -> usize {
        self.number(0).unwrap_or_default()
    }

    fn each<'h>(&'h self, show: &mut dyn FnMut(&'h [u8], &'h [u8])) {
        self.pairs().for_each(|(name, value)| show(name, value));
    }
}

/// The names of headers that a document looks at, [`folded`] and in order.
pub type HeaderNames = Rc<[Box<[u8]>]>;

/// Whether a name is read as one of those that a document looks at.
pub fn is_looked_at(names: &HeaderNames, name: &[u8]) -> bool {
    let found = names.binary_search_by(|known| known.iter().copied().cmp(folded(name)));
    found.is_ok()
}

#[cfg(test)]
mod tests {
    use super::HeaderMap;

    #[test]
    fn header_map_reads_what_it_was_made_of() {
        let pairs: [(&[u8], &[u8]); 3] = [(b":path", b"/a"), (b"x\xff", b""), (b"x", b"\0\xfe")];
        let map = HeaderMap::from_pairs(&pairs);
        assert_eq!(map.pairs().collect::<Vec<_>>(), pairs);
        assert_eq!(map.first(b"x"), Some(&b"\0\xfe"[..]));
    }

    #[test]
    fn broken_header_map_ends_early() {
        let whole = HeaderMap::from_pairs(&[(b"a", b"b"), (b"c", b"d")]).0;
        for length in 0..whole.len() {
            assert!(HeaderMap::new(whole[..length].to_vec()).pairs().count() <= 2);
        }
        for junk in [vec![0xff; 3], vec![0xff; 4], vec![0xff; 64]] {
            assert_eq!(HeaderMap::new(junk).pairs().count(), 0);
        }
    }
}
