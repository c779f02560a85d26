//! What is SHA-256 of this, and how is it written in hexadecimal digits?

use sha2::{Digest as _, Sha256};

/// SHA-256 of something.
pub(crate) type Digest = [u8; 32];

/// SHA-256 of a certificate's DER, as TLS libraries print it.
pub fn sha256(der: &[u8]) -> [u8; 32] {
    Sha256::digest(der).into()
}

/// Pairs of hexadecimal digits, with or without colons between them.
pub(crate) fn parse_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| *byte != b':')
        .map(|byte| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs
        .map(|pair| match pair {
            [high, low] => Some((high << 4) | low),
            _ => None,
        })
        .collect()
}
