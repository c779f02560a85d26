//! `x-forwarded-client-cert`: what the proxy writes last is what is read, whatever a client wrote in front of it.

use svidgate_gate::peer::xfcc::{Element, last_element};

const OURS: &[u8] = br#"Hash=abc;Cert="real";Chain="realchain""#;
const READ: Element<'static> = Element {
    cert: Some(b"real"),
    chain: Some(b"realchain"),
};

/// The input is what a client sent. In front of our own element it changes nothing, or makes the header unreadable.
pub fn holds(data: &[u8]) {
    let whole = [data, b",", OURS].concat();
    let read = last_element(&whole);
    assert!(read.is_none() || read == Some(READ), "{read:?}");

    let alone = last_element(data);
    assert_eq!(alone, naive(data));
    if alone.is_some() {
        // A header that reads has every quote closed, so nothing of it reaches the element behind.
        assert_eq!(read, Some(READ));
        // And it is the last element whatever stands in front, as long as that has every quote closed.
        let behind = [OURS, b",", data].concat();
        assert_eq!(last_element(&behind), alone);
    }
}

/// The same by taking quoted text out of the way first, byte by byte.
fn naive(header: &[u8]) -> Option<Element<'_>> {
    let mut shown = header.to_vec();
    let mut places = 0..header.len();
    while let Some(place) = places.next() {
        if header[place] == b'"' {
            let mut inside = places.next()?;
            while header[inside] != b'"' {
                shown[inside] = b'_';
                if header[inside] == b'\\' {
                    inside = places.next()?;
                    shown[inside] = b'_';
                }
                inside = places.next()?;
            }
        }
    }
    let begin = shown
        .iter()
        .rposition(|byte| *byte == b',')
        .map_or(0, |comma| comma + 1);
    let mut element = Element::default();
    let mut from = begin;
    for pair in shown[begin..].split(|byte| *byte == b';') {
        let text = &header[from..from + pair.len()];
        from += pair.len() + 1;
        let equals = text.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (text[..equals].to_ascii_lowercase(), &text[equals + 1..]);
        let value = match value {
            [b'"', inside @ .., b'"'] => inside,
            [b'"', ..] => return None,
            value => value,
        };
        let slot = match name.as_slice() {
            b"cert" => &mut element.cert,
            b"chain" => &mut element.chain,
            _ => continue,
        };
        if slot.replace(value).is_some() {
            return None;
        }
    }
    Some(element)
}
