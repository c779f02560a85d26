//! `x-forwarded-client-cert` where this listener writes it: the `Cert` and `Chain` of its last element, nothing else.
//!
//! Elements are separated by commas, pairs by semicolons, both only outside quotes. `URI`, `By` and `DNS` values are
//! not escaped by the proxies that write them, so no identity is ever read from there; certificates are escaped, quoted
//! and bound to the digest of the handshake. With `SANITIZE_SET` there is one element, ours.

/// What one element says about the certificates of the connection, still escaped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Element<'a> {
    /// The leaf.
    pub cert: Option<&'a [u8]>,
    /// The leaf and what came with it.
    pub chain: Option<&'a [u8]>,
}

/// Reads the last element. `None` where the header is not well-formed, or one of the two stands twice in it.
pub fn last_element(header: &[u8]) -> Option<Element<'_>> {
    let last = split(header, b',')?.last()?;
    let mut element = Element::default();
    for pair in split(last, b';')? {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = pair.split_at_checked(equals)?;
        let value = unquoted(value.strip_prefix(b"=")?)?;
        let slot = if name.eq_ignore_ascii_case(b"cert") {
            &mut element.cert
        } else if name.eq_ignore_ascii_case(b"chain") {
            &mut element.chain
        } else {
            continue;
        };
        if slot.replace(value).is_some() {
            return None;
        }
    }
    Some(element)
}

/// Splits at a separator outside quotes. A quote that does not end, or a backslash at the end, is no header of ours.
fn split(text: &[u8], separator: u8) -> Option<impl DoubleEndedIterator<Item = &[u8]>> {
    let mut parts = Vec::new();
    let (mut quoted, mut escaped, mut begin) = (false, false, 0usize);
    for (place, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            byte if *byte == separator && !quoted => {
                parts.push(text.get(begin..place)?);
                begin = place.checked_add(1)?;
            }
            _ => {}
        }
    }
    parts.push(text.get(begin..)?);
    (!quoted && !escaped).then(|| parts.into_iter())
}

/// Takes off quotes. The values we read are %-encoded, so a quote or backslash inside is none of the proxy's writing.
fn unquoted(value: &[u8]) -> Option<&[u8]> {
    let inside = match value.strip_prefix(b"\"") {
        Some(rest) => rest.strip_suffix(b"\"")?,
        None => value,
    };
    Some(inside)
}

#[cfg(test)]
mod tests {
    use super::{Element, last_element};

    fn read(header: &str) -> Option<(Option<&str>, Option<&str>)> {
        let text = |bytes| std::str::from_utf8(bytes).unwrap();
        last_element(header.as_bytes()).map(|Element { cert, chain }| (cert.map(text), chain.map(text)))
    }

    #[test]
    fn last_element_is_ours() {
        assert_eq!(read(r#"Hash=a;Cert="b";URI=spiffe://x"#), Some((Some("b"), None)));
        assert_eq!(
            read(r#"Cert="forged",Hash=a;Cert="b";Chain="c""#),
            Some((Some("b"), Some("c")))
        );
        assert_eq!(read("By=x;Hash=y"), Some((None, None)));
        assert_eq!(read("cert=b"), Some((Some("b"), None)));
    }

    #[test]
    fn separators_within_quotes_separate_nothing() {
        assert_eq!(
            read(r#"Subject="CN=a,Cert=forged;Cert=forged";Cert="b""#),
            Some((Some("b"), None))
        );
        assert_eq!(read(r#"Subject="a\",Cert=forged";Cert="b""#), Some((Some("b"), None)));
    }

    #[test]
    fn what_has_two_readings_is_not_read() {
        for header in [
            r#"Cert="a";Cert="b""#,
            r#"Chain=a;chain=b"#,
            r#"Cert="a"#,
            r#"Subject="a\""#,
            "Cert",
            "",
            ",",
            r#"Cert="a"x"#,
        ] {
            assert_eq!(read(header), None, "{header}");
        }
    }
}
