//! Certificates in the headers of RFC 9440: whatever is read is what a list of byte sequences may be, and nothing else is.

use std::sync::LazyLock;

use regex::bytes::Regex;
use svidgate_gate::peer::{assertion::MAX_ASSERTION_BYTES, client_cert::certificates};

/// The input is the leaf's line, and behind the first line feed those of the chain.
pub fn holds(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let leaf = lines.next().unwrap_or_default();
    let chain: Vec<&[u8]> = lines.collect();
    let (read, naive) = (certificates(leaf, &chain).ok(), naive(leaf, &chain));
    assert_eq!(read, naive);
    // In one line or in several, a list is the same.
    let joined = chain.join(&b", "[..]);
    if !chain.is_empty() && leaf.len() + joined.len() <= MAX_ASSERTION_BYTES {
        assert_eq!(certificates(leaf, &[&joined]).ok(), read);
    }
}

/// The same by two expressions and a decoder of one bit after the other.
fn naive(leaf: &[u8], chain: &[&[u8]]) -> Option<Vec<Vec<u8>>> {
    static SEQUENCE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?-u)^:([A-Za-z0-9+/]{2,}(?:==?)?):$").unwrap());
    static LIST: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?-u)^[ \t]*(:[A-Za-z0-9+/=]+:)[ \t]*(?:,([^\n]*))?$").unwrap());
    let bytes: usize = leaf.len() + chain.iter().map(|line| line.len()).sum::<usize>();
    if bytes > MAX_ASSERTION_BYTES {
        return None;
    }
    let one = |text: &[u8]| decoded(SEQUENCE.captures(text)?.get(1)?.as_bytes());
    let mut all = vec![one(leaf)?];
    for line in chain {
        let mut rest = *line;
        loop {
            let parts = LIST.captures(rest)?;
            all.push(one(parts.get(1)?.as_bytes())?);
            match parts.get(2) {
                Some(behind) => rest = behind.as_bytes(),
                None => break,
            }
        }
    }
    Some(all)
}

fn decoded(base64: &[u8]) -> Option<Vec<u8>> {
    let digits: Vec<u8> = base64.iter().copied().filter(|byte| *byte != b'=').collect();
    if base64.len() % 4 != 0 || digits.len() % 4 == 1 {
        return None;
    }
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bits = Vec::new();
    for digit in digits {
        let value = alphabet.iter().position(|known| *known == digit)?;
        bits.extend((0..6).rev().map(|bit| value >> bit & 1 == 1));
    }
    let (whole, spare) = bits.split_at(bits.len() / 8 * 8);
    let byte = |bits: &[bool]| bits.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit));
    (!spare.contains(&true)).then(|| whole.chunks(8).map(byte).collect())
}
