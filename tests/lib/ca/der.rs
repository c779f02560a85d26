//! Writes DER, well-formed or not: every value is bytes that the caller may bend.
//!
//! A certificate library refuses to write most of what these tests need to send (two SAN extensions, an
//! empty key usage, a name constraint on URIs, RSA-PSS), so this one has no opinion.

use jiff::{Timestamp, tz::TimeZone};

/// One element: `tag`, the length of `content`, `content`.
pub fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let mut der = vec![tag];
    match length {
        [] => der.push(0),
        [short] if *short < 0x80 => der.push(*short),
        long => {
            der.push(0x80 | long.len() as u8);
            der.extend_from_slice(long);
        }
    }
    der.extend_from_slice(content);
    der
}

/// Of one element that this module has written, the length of what stands before the content, and the content's.
fn lengths(der: &[u8]) -> (usize, usize) {
    let more = match der[1] {
        short @ ..0x80 => return (2, usize::from(short)),
        long => usize::from(long & 0x7f),
    };
    let length = der[2..2 + more]
        .iter()
        .fold(0, |length, byte| length << 8 | usize::from(*byte));
    (2 + more, length)
}

/// The content of an element that this module has written.
pub fn content(der: &[u8]) -> &[u8] {
    let (before, length) = lengths(der);
    &der[before..before + length]
}

/// The elements, whole, in a content that this module has written.
pub fn elements(mut content: &[u8]) -> Vec<&[u8]> {
    let mut elements = Vec::new();
    while !content.is_empty() {
        let (before, length) = lengths(content);
        let (element, rest) = content.split_at(before + length);
        elements.push(element);
        content = rest;
    }
    elements
}

/// A SEQUENCE of elements.
pub fn sequence(elements: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    element(0x30, &elements.into_iter().collect::<Vec<_>>().concat())
}

/// A SET of one element (more would have to be sorted).
pub fn set(only: Vec<u8>) -> Vec<u8> {
    element(0x31, &only)
}

/// `[number]`, constructed: explicit tags, and implicit tags of sequences.
pub fn context(number: u8, content: &[u8]) -> Vec<u8> {
    element(0xa0 | number, content)
}

/// `[number]`, primitive: implicit tags of strings.
pub fn context_primitive(number: u8, content: &[u8]) -> Vec<u8> {
    element(0x80 | number, content)
}

/// An OBJECT IDENTIFIER from its dotted form.
///
/// # Panics
/// When `dotted` is not one.
pub fn oid(dotted: &str) -> Vec<u8> {
    let arcs: Vec<u64> = dotted
        .split('.')
        .map(|arc| arc.parse().unwrap_or_else(|_| panic!("`{dotted}` is not an OID")))
        .collect();
    let [first, second, rest @ ..] = arcs.as_slice() else {
        panic!("`{dotted}` is not an OID");
    };
    let mut content = base128(first * 40 + second);
    content.extend(rest.iter().flat_map(|arc| base128(*arc)));
    element(0x06, &content)
}

fn base128(mut arc: u64) -> Vec<u8> {
    let mut bytes = vec![(arc & 0x7f) as u8];
    while arc > 0x7f {
        arc >>= 7;
        bytes.insert(0, 0x80 | (arc & 0x7f) as u8);
    }
    bytes
}

/// A BOOLEAN.
pub fn boolean(value: bool) -> Vec<u8> {
    element(0x01, &[if value { 0xff } else { 0 }])
}

/// An INTEGER from its big-endian content, as it is: a zero in front keeps a large one positive.
pub fn integer(big_endian: &[u8]) -> Vec<u8> {
    element(0x02, big_endian)
}

/// A NULL.
pub fn null() -> Vec<u8> {
    element(0x05, &[])
}

/// An OCTET STRING.
pub fn octet_string(content: &[u8]) -> Vec<u8> {
    element(0x04, content)
}

/// A BIT STRING of whole bytes.
pub fn bit_string(content: &[u8]) -> Vec<u8> {
    element(0x03, &[&[0], content].concat())
}

/// A BIT STRING with the given bits set and no trailing zero bits, as RFC 5280 writes key usages.
pub fn named_bits(bits: &[u8]) -> Vec<u8> {
    let Some(last) = bits.iter().max() else {
        return element(0x03, &[0]);
    };
    let mut content = vec![0; usize::from(last / 8) + 2];
    content[0] = 7 - last % 8;
    for bit in bits {
        content[usize::from(bit / 8) + 1] |= 0x80 >> (bit % 8);
    }
    element(0x03, &content)
}

/// A UTF8String.
pub fn utf8_string(text: &str) -> Vec<u8> {
    element(0x0c, text.as_bytes())
}

/// A Time: UTCTime up to 2049, GeneralizedTime from then on (RFC 5280, section 4.1.2.5).
pub fn time(at: Timestamp) -> Vec<u8> {
    let utc = at.to_zoned(TimeZone::UTC);
    if (1950..2050).contains(&utc.year()) {
        element(0x17, utc.strftime("%y%m%d%H%M%SZ").to_string().as_bytes())
    } else {
        element(0x18, utc.strftime("%Y%m%d%H%M%SZ").to_string().as_bytes())
    }
}
