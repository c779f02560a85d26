//! What a hop says of who calls: whatever is read is what proxies write, and nothing that is not is read.

use std::{borrow::Cow, sync::LazyLock};

use regex::bytes::Regex;
use serde_json::Value;
use svidgate_gate::peer::assertion::{Element, MAX_ASSERTION_BYTES, MAX_ELEMENTS, Pem, elements};

/// Our own element, as Envoy writes it.
const OURS: &str = r#"By=spiffe://td/us;Hash=abc;Cert="real";Subject="CN=c";URI=spiffe://td/peer"#;

/// The input is what came before the element of this listener.
pub fn holds(data: &[u8]) {
    let read = elements(data);
    match (&read, naive(data)) {
        (Ok(read), Some(naive)) => assert_eq!(*read, naive),
        (Err(_), None) => {}
        (read, naive) => panic!("{read:?}, and naively {naive:?}"),
    }
    // A name is one where the element ends with it.
    for name in read.iter().flatten().filter_map(Element::name) {
        let text = String::from_utf8_lossy(data);
        assert!(
            data.starts_with(b"[")
                || text.ends_with(&*name)
                || text.contains(&format!("{name},"))
                || text.contains(&format!("{name}\""))
        );
    }
    // What a client wrote before our element makes it unreadable, or leaves it the last.
    let whole = [data, b",", OURS.as_bytes()].concat();
    if let Ok(whole) = elements(&whole) {
        let last = whole.last().and_then(|element| element.hash.as_deref());
        assert_eq!(last, Some("abc"));
        let before = read.map_or(0, |read| read.len());
        assert_eq!(whole.len(), before + 1);
    }
}

/// The same by one expression for each element.
fn naive(data: &[u8]) -> Option<Vec<Element<'_>>> {
    if data.len() > MAX_ASSERTION_BYTES || !data.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        return None;
    }
    let text = std::str::from_utf8(data).ok()?;
    let mut elements = Vec::new();
    if text.starts_with('[') {
        let list: Vec<Value> = serde_json::from_str(text).ok()?;
        for value in &list {
            elements.push(object(value)?);
        }
        // Of a member that is there twice a value keeps one.
        if members(&list) != names(text) {
            return None;
        }
    } else if !text.is_empty() {
        let mut rest = data;
        loop {
            let parted = [b";", rest].concat();
            let whole = ELEMENT.find(&parted)?.len().checked_sub(1)?;
            if whole == 0 {
                return None;
            }
            elements.push(pairs(&rest[..whole])?);
            match &rest[whole..] {
                [] => break,
                [b',', behind @ ..] => rest = behind,
                _ => return None,
            }
        }
    }
    (elements.len() <= MAX_ELEMENTS).then_some(elements)
}

/// One element, in the order in which its pairs may stand.
static ELEMENT: LazyLock<Regex> = LazyLock::new(|| {
    let value = r#"(?:"(?:[^"\\]|\\.)*"|[^",;=]*)"#;
    let keys = [
        ("By", "*"),
        ("Hash", "?"),
        ("Cert", "?"),
        ("Chain", "?"),
        ("Subject", "?"),
        ("URI", "*"),
        ("DNS", "*"),
        ("Issuer", "?"),
    ];
    // Each pair begins with the `;` that parts it from the one before; the first has one put before it.
    let pairs: String = keys
        .iter()
        .map(|(key, often)| format!("(?:;{key}={value}){often}"))
        .collect();
    Regex::new(&format!("^{pairs}")).unwrap()
});

/// What is within an element that is one.
fn pairs(element: &[u8]) -> Option<Element<'static>> {
    static PAIR: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r#"([A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^",;=]*))"#).unwrap());
    let mut read = Element::default();
    for pair in PAIR.captures_iter(element) {
        let value = pair.get(2).or_else(|| pair.get(3))?.as_bytes();
        let value = Cow::Owned(String::from_utf8(value.to_vec()).ok()?);
        match pair.get(1)?.as_bytes() {
            b"By" => read.by.push(value),
            b"Hash" => read.hash = Some(value),
            b"Cert" => read.cert = Some(Pem(value)),
            b"Chain" => read.chain.push(Pem(value)),
            b"URI" => read.uris.push(value),
            b"DNS" | b"Issuer" => read.has_more = true,
            _ => {}
        }
    }
    Some(read)
}

/// How many members all objects have.
fn members(list: &[Value]) -> usize {
    list.iter()
        .filter_map(Value::as_object)
        .map(|object| object.len())
        .sum()
}

/// How many names stand before a colon, outside of strings.
fn names(text: &str) -> usize {
    let (mut is_string, mut is_escaped, mut names) = (false, false, 0);
    for letter in text.chars() {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' if is_string => is_escaped = true,
            '"' => is_string = !is_string,
            ':' if !is_string => names += 1,
            _ => {}
        }
    }
    names
}

/// An object as Envoy writes it.
fn object(value: &Value) -> Option<Element<'static>> {
    let members = value.as_object()?;
    let mut read = Element::default();
    for (name, value) in members {
        let text = || value.as_str().map(|text| Cow::Owned(text.to_owned()));
        let texts = || {
            let list = value.as_array()?.iter();
            list.map(|text| text.as_str().map(|text| Cow::Owned(text.to_owned())))
                .collect::<Option<Vec<Cow<'static, str>>>>()
        };
        let pem = |text: Cow<'static, str>| (!text.contains('%')).then_some(Pem(text));
        match name.as_str() {
            "by" => read.by = texts()?,
            "hash" => read.hash = Some(text()?),
            "cert" => read.cert = Some(pem(text()?)?),
            "chain" => read.chain = texts()?.into_iter().map(pem).collect::<Option<_>>()?,
            "subject" | "issuer" => drop(text()?),
            "uri" => read.uris = texts()?,
            "dns" => drop(texts()?),
            _ => return None,
        }
    }
    Some(read)
}
