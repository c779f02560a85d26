//! What does a hop say of who calls? `x-forwarded-client-cert`, by a grammar that knows what proxies write and nothing
//! else.
//!
//! What a proxy writes of a certificate's names it does not escape, in text, so a name can look like the end of an
//! element and the beginning of another. No grammar tells the two apart, so where there is a certificate names are not
//! read at all: of an element counts the certificate, whose own names are looked at when it is verified, and that there
//! are just so many elements as there are hops. A name counts where the document takes the hop's word for it, and only
//! at the end of an element ([`Element::name`]). All else is only checked: keys that are known, in the order in which Envoy writes them, each as
//! often as it may; values that are quoted whole, or have nothing in them that separates.
//!
//! Which of its two formats a header has, text or JSON, is the client's to choose where the proxy appends.

use std::borrow::Cow;

use svidgate_policy::{Json, MAX_DEPTH};

/// Most bytes of an assertion. Our decision: a leaf and a chain of three with RSA keys, escaped, have about 10 KiB.
pub const MAX_ASSERTION_BYTES: usize = 32 * 1024;
/// Most elements that are looked at, one of each hop and one of this listener; one more, and it is not read on.
pub const MAX_ELEMENTS: usize = MAX_DEPTH + 1;

/// What one proxy says of who has connected to it, as far as it counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element<'h> {
    /// The ids of the proxy's own certificate.
    pub by: Vec<Cow<'h, str>>,
    /// SHA-256 of the leaf, in hexadecimal digits.
    pub hash: Option<Cow<'h, str>>,
    /// The leaf, in PEM.
    pub cert: Option<Pem<'h>>,
    /// The leaf and what came with it, in one text or several.
    pub chain: Vec<Pem<'h>>,
    /// The URI names of the leaf.
    pub uris: Vec<Cow<'h, str>>,
    /// Whether something stands behind them that could be part of one, for nothing is escaped.
    pub has_more: bool,
}

impl Element<'_> {
    /// The one URI name of a leaf that is not shown, where nothing else can have been taken for it: a name with the
    /// beginning of another field in it would be followed by that field.
    pub fn name(&self) -> Option<&str> {
        match &self.uris[..] {
            [name] if !self.has_more => Some(name),
            _ => None,
        }
    }
}

/// A certificate in PEM, escaped as URLs are in text, and never in JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pem<'h>(pub Cow<'h, str>);

/// Why a header is not an assertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotWellFormed {
    /// More bytes than [`MAX_ASSERTION_BYTES`].
    TooLong,
    /// More elements than [`MAX_ELEMENTS`].
    TooManyElements,
    /// Bytes that no proxy writes there.
    NotText,
    /// A key that is not known, out of its order, or there again.
    Key,
    /// A value that is quoted in part, or has something in it that separates.
    Value,
    /// Not the JSON that proxies write.
    Json,
}

impl NotWellFormed {
    /// What is wrong. None of it is a peer's own words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLong => "it has more than 32 KiB",
            Self::TooManyElements => "it has more than 5 elements",
            Self::NotText => "it has bytes other than visible ASCII and spaces",
            Self::Key => {
                "a key is not known, stands out of the order By Hash Cert Chain Subject URI DNS Issuer, or twice"
            }
            Self::Value => "a value is quoted in part, not quoted to its end, or has a quote or an equals sign in it",
            Self::Json => {
                "it begins as JSON, and is not a list of objects with by, hash, cert, chain, subject, uri, dns \
                           and issuer"
            }
        }
    }
}

/// Reads all elements, first the one of the proxy that is farthest from here. Of an empty header there is none.
///
/// # Errors
/// Where any byte of it is not what the grammar allows.
pub fn elements(header: &[u8]) -> Result<Vec<Element<'_>>, NotWellFormed> {
    if header.len() > MAX_ASSERTION_BYTES {
        return Err(NotWellFormed::TooLong);
    }
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~');
    let text = std::str::from_utf8(header).ok().filter(|_| header.iter().all(is_plain));
    let text = text.ok_or(NotWellFormed::NotText)?;
    if text.is_empty() {
        return Ok(Vec::new());
    }
    if text.starts_with('[') {
        return from_json(text);
    }
    let mut elements = Vec::new();
    let mut rest = text;
    loop {
        if elements.len() >= MAX_ELEMENTS {
            return Err(NotWellFormed::TooManyElements);
        }
        let (element, behind) = from_text(rest)?;
        elements.push(element);
        match behind {
            Some(behind) => rest = behind,
            None => return Ok(elements),
        }
    }
}

/// The keys, in the order in which Envoy writes them, and whether each may stand there more than once.
const KEYS: [(&str, bool); 8] = [
    ("By", true),
    ("Hash", false),
    ("Cert", false),
    ("Chain", false),
    ("Subject", false),
    ("URI", true),
    ("DNS", true),
    ("Issuer", false),
];

/// One element, and what stands behind the comma that ends it.
fn from_text(mut rest: &str) -> Result<(Element<'_>, Option<&str>), NotWellFormed> {
    let mut element = Element::default();
    let mut last: Option<usize> = None;
    loop {
        let (key, value) = rest.split_once('=').ok_or(NotWellFormed::Key)?;
        let known = KEYS.iter().enumerate().find(|(_, (name, _))| *name == key);
        let (place, (_, is_many)) = known.ok_or(NotWellFormed::Key)?;
        let is_in_order = last.is_none_or(|last| last < place || (last == place && *is_many));
        if !is_in_order {
            return Err(NotWellFormed::Key);
        }
        last = Some(place);
        let (value, behind) = value_of(value).ok_or(NotWellFormed::Value)?;
        match key {
            "By" => element.by.push(Cow::Borrowed(value)),
            "Hash" => element.hash = Some(Cow::Borrowed(value)),
            "Cert" => element.cert = Some(Pem(Cow::Borrowed(value))),
            "Chain" => element.chain.push(Pem(Cow::Borrowed(value))),
            "URI" => element.uris.push(Cow::Borrowed(value)),
            "DNS" | "Issuer" => element.has_more = true,
            _ => {}
        }
        let mut letters = behind.chars();
        match letters.next() {
            None => return Ok((element, None)),
            Some(',') => return Ok((element, Some(letters.as_str()))),
            Some(';') => rest = letters.as_str(),
            Some(_) => return Err(NotWellFormed::Value),
        }
    }
}

/// A value, still escaped, and what stands behind it.
fn value_of(text: &str) -> Option<(&str, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ';']).unwrap_or(text.len());
        let (value, behind) = text.split_at_checked(end)?;
        return (!value.contains(['"', '='])).then_some((value, behind));
    };
    let mut is_escaped = false;
    let end = quoted.find(|letter: char| {
        let is_end = letter == '"' && !is_escaped;
        is_escaped = letter == '\\' && !is_escaped;
        is_end
    })?;
    let (value, behind) = quoted.split_at_checked(end)?;
    Some((value, behind.strip_prefix('"')?))
}

/// What Envoy writes with `format: JSON`: a list of objects of texts and lists of texts. A member that is not known is
/// none of its writing; one that is there twice has two readings, and is no JSON here.
fn from_json(text: &str) -> Result<Vec<Element<'_>>, NotWellFormed> {
    let Ok(Json::Array(items)) = Json::parse(text.as_bytes()) else {
        return Err(NotWellFormed::Json);
    };
    if items.len() > MAX_ELEMENTS {
        return Err(NotWellFormed::TooManyElements);
    }
    let elements = items.into_iter().map(from_object);
    elements.collect::<Option<_>>().ok_or(NotWellFormed::Json)
}

fn from_object(item: Json<'_>) -> Option<Element<'_>> {
    let Json::Object(members) = item else { return None };
    let mut element = Element::default();
    for (name, value) in members {
        match name.as_ref() {
            "by" => element.by = texts(value)?,
            "hash" => element.hash = Some(text_of(value)?),
            "cert" => element.cert = Some(pem(text_of(value)?)?),
            "chain" => element.chain = texts(value)?.into_iter().map(pem).collect::<Option<_>>()?,
            "subject" | "issuer" => drop(text_of(value)?),
            "uri" => element.uris = texts(value)?,
            "dns" => drop(texts(value)?),
            _ => return None,
        }
    }
    Some(element)
}

fn text_of(value: Json<'_>) -> Option<Cow<'_, str>> {
    match value {
        Json::String(text) => Some(text),
        Json::Null | Json::Bool(_) | Json::Unsigned(_) | Json::OtherNumber(_) | Json::Array(_) | Json::Object(_) => {
            None
        }
    }
}

fn texts(value: Json<'_>) -> Option<Vec<Cow<'_, str>>> {
    match value {
        Json::Array(items) => items.into_iter().map(text_of).collect(),
        Json::Null | Json::Bool(_) | Json::Unsigned(_) | Json::OtherNumber(_) | Json::String(_) | Json::Object(_) => {
            None
        }
    }
}

/// A `%` would be taken for an escape, and here there are none.
fn pem(text: Cow<'_, str>) -> Option<Pem<'_>> {
    (!text.contains('%')).then_some(Pem(text))
}

#[cfg(test)]
mod tests {
    use super::{Element, MAX_ASSERTION_BYTES, NotWellFormed, elements};

    /// Of each element: By, Hash, Cert, Chain.
    fn read(header: &str) -> Result<Vec<String>, NotWellFormed> {
        let shown = |element: &Element<'_>| {
            let pem = |pem: &super::Pem<'_>| pem.0.to_string();
            let chain: Vec<String> = element.chain.iter().map(pem).collect();
            format!(
                "{}|{}|{}|{}",
                element.by.join(" "),
                element.hash.as_deref().unwrap_or("-"),
                element.cert.as_ref().map_or("-".to_owned(), pem),
                chain.join(" ")
            )
        };
        elements(header.as_bytes()).map(|elements| elements.iter().map(shown).collect())
    }

    #[test]
    fn what_envoy_writes_is_read() {
        for (header, expected) in [
            ("", vec![]),
            ("Hash=ab", vec!["|ab|-|"]),
            (
                r#"By=spiffe://td/gw;Hash=ab;Cert="c%0A";Chain="d";Subject="CN=\"a\",O=b\\";URI=spiffe://td/a;DNS=x;DNS=y;Issuer="CN=i""#,
                vec!["spiffe://td/gw|ab|c%0A|d"],
            ),
            ("By=a;By=b;Hash=ab;URI=", vec!["a b|ab|-|"]),
            (r#"Cert="a",Hash=b;Cert=c"#, vec!["|-|a|", "|b|c|"]),
            ("[]", vec![]),
            (
                r#"[{"by":["a","b"],"hash":"ab","cert":"-----\nx","chain":["y","z"],"subject":"CN=\"a\"","uri":["u,URI=v"],"dns":["d"],"issuer":"i"}, {}]"#,
                vec!["a b|ab|-----\nx|y z", "|-|-|"],
            ),
        ] {
            let expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
            assert_eq!(read(header), Ok(expected), "{header}");
        }
    }

    #[test]
    fn names_that_look_like_more_end_in_another_number_of_elements_or_in_none() {
        // What Envoy writes of leaves with such names, as it was seen.
        for (header, found) in [
            (
                "By=spiffe://td/gw;Hash=ab;URI=spiffe://td/a,URI=spiffe://td/admin",
                Ok(2),
            ),
            (
                "By=spiffe://td/gw;Hash=ab;URI=spiffe://td/a,By=spiffe://td/b;URI=spiffe://td/admin",
                Ok(2),
            ),
            (
                "By=spiffe://td/gw;Hash=ab;URI=spiffe://td/a;DNS=x;URI=spiffe://td/admin",
                Err(NotWellFormed::Key),
            ),
            (
                r#"By=spiffe://td/gw;Hash=ab;URI=spiffe://td/a;DNS=a,b;c="d"#,
                Err(NotWellFormed::Key),
            ),
            (
                r#"By=spiffe://td/gw;Hash=ab;URI=spiffe://td/""#,
                Err(NotWellFormed::Value),
            ),
            // An open quote of the client's, and the proxy's own element behind it.
            (
                r#"Hash=00;Subject=",By=spiffe://td/gw;Hash=ab;Subject="CN=c";URI=spiffe://td/a"#,
                Err(NotWellFormed::Value),
            ),
            // Formats that a client has mixed.
            (
                r#"[{"uri":["spiffe://td/a"]}],By=spiffe://td/gw;Hash=ab"#,
                Err(NotWellFormed::Json),
            ),
            (
                r#"[{"hash":"a"}],[{"hash":"b"},{"hash":"c"}]"#,
                Err(NotWellFormed::Json),
            ),
            (r#"{"hash":"a"},By=spiffe://td/gw"#, Err(NotWellFormed::Key)),
            ("[,By=spiffe://td/gw", Err(NotWellFormed::Json)),
        ] {
            assert_eq!(read(header).map(|elements| elements.len()), found, "{header}");
        }
    }

    #[test]
    fn what_no_proxy_writes_is_not_read() {
        for header in [
            ",",
            ";",
            "=",
            "Hash",
            "hash=ab",
            " Hash=ab",
            "Hash =ab",
            "Hash=ab;",
            "Hash=ab,",
            "Hash=ab, Hash=cd",
            "Hash=ab;Hash=ab",
            "Cert=a;Cert=b",
            "Cert=a;Hash=b",
            "URI=a;By=b",
            "Other=a",
            r#"Hash="ab"c"#,
            r#"Hash=a"b""#,
            r#"Hash="ab"#,
            r#"Hash="ab\"#,
            r#"Hash="ab\""#,
            "Hash=a=b",
            "Hash=a\tb",
            "Hash=a\u{e9}",
            "Hash=a\nURI=b",
            "Hash=1,Hash=2,Hash=3,Hash=4,Hash=5,Hash=6",
            r#"[{"hash":"a","hash":"a"}]"#,
            r#"[{"hash":1}]"#,
            r#"[{"hash":null}]"#,
            r#"[{"by":"a"}]"#,
            r#"[{"role":"a"}]"#,
            r#"["a"]"#,
            r#"[{"cert":"%2D"}]"#,
            r#"[{"chain":["%2D"]}]"#,
            "[{}",
            "[{},{},{},{},{},{}]",
        ] {
            assert!(read(header).is_err(), "{header}");
        }
        let of_bytes = |bytes: usize| format!("Hash={}", "a".repeat(bytes - "Hash=".len()));
        assert!(read(&of_bytes(MAX_ASSERTION_BYTES)).is_ok());
        assert_eq!(read(&of_bytes(MAX_ASSERTION_BYTES + 1)), Err(NotWellFormed::TooLong));
    }
}
