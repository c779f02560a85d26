//! JSON as a tree that hides nothing: duplicate member names are an error, order is kept, 64-bit integers are exact.
//!
//! `serde_json::Value` keeps the last of two members of one name without a word (BN-20), and typed `serde` stops at the
//! first mistake where an operator wants all of them. Depth is bounded by the parser (128 levels), size by the caller.

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{error::Category, value::RawValue};

use crate::quoted::Escaped;

/// A JSON value. Its strings are slices of the text wherever they have no escapes: a large document has millions.
#[derive(Clone, Debug, PartialEq)]
pub enum Json<'t> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number of 64 bits.
    Unsigned(u64),
    /// Negative, fractional or beyond 64 bits.
    OtherNumber(f64),
    /// Its escapes taken away.
    String(Cow<'t, str>),
    /// In order.
    Array(Vec<Json<'t>>),
    /// In order, each name once.
    Object(Vec<(Cow<'t, str>, Json<'t>)>),
}

impl<'t> Json<'t> {
    /// Reads one whole value.
    ///
    /// # Errors
    /// When it is no JSON, has a name twice in one object, or anything but white space behind it.
    pub fn parse(text: &'t [u8]) -> Result<Self, JsonError> {
        serde_json::from_slice(text).map_err(|error| JsonError(error.to_string()))
    }

    /// Reads the same tree from YAML 1.2.
    #[cfg(feature = "yaml")]
    pub(crate) fn parse_yaml(text: &'t str) -> Result<Self, JsonError> {
        use serde_saphyr::options::MergeKeyPolicy;

        let options = serde_saphyr::options! {
            // The words of YAML 1.1 (`yes`, `on`, `n`) are text.
            strict_booleans: true,
            // A member that another one replaces would be dropped without a word.
            merge_keys: MergeKeyPolicy::Error,
            reject_unsupported_tags: true,
            // What the largest document has room for. Aliases, which can say much in few bytes, keep the library's
            // bounds.
            budget: serde_saphyr::budget! { max_nodes: 10_000_000, max_events: 30_000_000 },
            // A message is one line.
            with_snippet: false,
        };
        serde_saphyr::from_str_with_options(text, options).map_err(|error| JsonError(error.to_string()))
    }

    /// What the value is, for "expected ..., found ...".
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Unsigned(_) | Self::OtherNumber(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "a list",
            Self::Object(_) => "an object",
        }
    }

    /// The value as a text that is the same for all that say the same: members of objects in the order of their names.
    pub(crate) fn canonical(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Unsigned(value) => value.to_string(),
            Self::OtherNumber(value) => format!("{value:?}"),
            Self::String(text) => format!("{text:?}"),
            Self::Array(items) => format!("[{}]", items.iter().map(Self::canonical).collect::<Vec<_>>().join(",")),
            Self::Object(members) => {
                let mut members: Vec<String> = members
                    .iter()
                    .map(|(name, value)| format!("{name:?}:{}", value.canonical()))
                    .collect();
                members.sort_unstable();
                format!("{{{}}}", members.join(","))
            }
        }
    }

    pub(crate) fn member(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.iter().find(|(known, _)| known == name).map(|(_, value)| value),
            Self::Null
            | Self::Bool(_)
            | Self::Unsigned(_)
            | Self::OtherNumber(_)
            | Self::String(_)
            | Self::Array(_) => None,
        }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self {
            Some(text)
        } else {
            None
        }
    }

    pub(crate) fn as_array(&self) -> Option<&[Self]> {
        if let Self::Array(items) = self {
            Some(items)
        } else {
            None
        }
    }
}

/// A document without its rules, and these by themselves. As trees, a hundred thousand of them would take many times
/// the memory of their text, and more than everything that is made of them; so each is read when it is its turn.
#[derive(Debug)]
pub(crate) struct Parts<'t> {
    /// All else. A list of rules is empty here.
    pub(crate) tree: Json<'t>,
    pub(crate) rules: Vec<Part<'t>>,
}

/// What is read when it is its turn.
#[derive(Debug)]
pub(crate) enum Part<'t> {
    /// Syntax has been checked.
    Text(&'t RawValue),
    #[cfg(feature = "yaml")]
    Tree(Json<'t>),
}

/// The member that is read by parts.
const RULES: &str = "rules";

impl<'t> Parts<'t> {
    /// Reads one whole value; anything but white space behind it is an error.
    pub(crate) fn parse(text: &'t [u8]) -> Result<Self, JsonError> {
        if text.starts_with(BYTE_ORDER_MARK) {
            return Err(JsonError("expected JSON, found a byte order mark before it".to_owned()));
        }
        let parsed = match text.trim_ascii_start().first() {
            None => return Err(JsonError("expected JSON, found nothing".to_owned())),
            Some(b'{') => serde_json::from_slice(text),
            Some(_) => serde_json::from_slice(text).map(|tree| Self {
                tree,
                rules: Vec::new(),
            }),
        };
        parsed.map_err(|error| JsonError(explained(text, &error)))
    }

    /// The same of YAML 1.2.
    #[cfg(feature = "yaml")]
    pub(crate) fn parse_yaml(text: &'t str) -> Result<Self, JsonError> {
        let mut tree = Json::parse_yaml(text)?;
        let mut rules = Vec::new();
        if let Json::Object(members) = &mut tree {
            for (_, value) in members.iter_mut().filter(|(name, _)| name == RULES) {
                if let Json::Array(items) = value {
                    rules.extend(items.drain(..).map(Part::Tree));
                }
            }
        }
        Ok(Self { tree, rules })
    }
}

/// What some editors write before UTF-8. JSON has none (RFC 8259 8.1).
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The parser's words, and before them that JSON is read here, for whom the text is none.
fn explained(text: &[u8], error: &serde_json::Error) -> String {
    match error.classify() {
        Category::Data | Category::Io => error.to_string(),
        Category::Syntax | Category::Eof if looks_like_yaml(text) => {
            format!("expected JSON, found what looks like YAML: {error}")
        }
        Category::Syntax | Category::Eof => format!("cannot be read as JSON: {error}"),
    }
}

/// Whether a text begins like a document that people write in YAML: with a comment, a marker, an entry of a list, a
/// name and a colon, or with a name that has no quotes in braces.
fn looks_like_yaml(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    let braced = text.strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
    let is_named = |text: &[u8]| {
        let is_in_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let length = text.iter().take_while(|byte| is_in_name(byte)).count();
        length > 0 && text.get(length) == Some(&b':')
    };
    let begins = [&b"#"[..], b"---", b"%YAML", b"- "]
        .iter()
        .any(|begin| text.starts_with(begin));
    begins || is_named(braced.unwrap_or(text))
}

impl<'t> Part<'t> {
    /// Reads it.
    pub(crate) fn read(self) -> Result<Json<'t>, JsonError> {
        match self {
            Self::Text(text) => serde_json::from_str(text.get()).map_err(|error| {
                // Where in the text of this part would be read as where in the document.
                let (text, place) = (
                    error.to_string(),
                    format!(" at line {} column {}", error.line(), error.column()),
                );
                JsonError(text.strip_suffix(&place).unwrap_or(&text).to_owned())
            }),
            #[cfg(feature = "yaml")]
            Self::Tree(tree) => Ok(tree),
        }
    }
}

/// The text is not JSON (or not YAML), with line and column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError(String);

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for JsonError {}

impl<'de> Deserialize<'de> for Json<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

impl<'de> Deserialize<'de> for Parts<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PartsVisitor)
    }
}

struct PartsVisitor;

impl<'de> Visitor<'de> for PartsVisitor {
    type Value = Parts<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Parts<'de>, A::Error> {
        let (mut list, mut rules) = (Vec::new(), Vec::new());
        while let Some(Name(name)) = members.next_key()? {
            let value = if name == RULES {
                let text: &'de RawValue = members.next_value()?;
                if text.get().starts_with('[') {
                    let items: Vec<&'de RawValue> = serde_json::from_str(text.get()).map_err(A::Error::custom)?;
                    // A second list is refused below.
                    rules = items.into_iter().map(Part::Text).collect();
                    Json::Array(Vec::new())
                } else {
                    serde_json::from_str(text.get()).map_err(A::Error::custom)?
                }
            } else {
                members.next_value()?
            };
            list.push((name, value));
        }
        Ok(Parts {
            tree: object(list)?,
            rules,
        })
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_none<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json<'de>, E> {
        Ok(Json::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json<'de>, E> {
        Ok(u64::try_from(value).map_or_else(|_| Json::OtherNumber(lossy(value)), Json::Unsigned))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json<'de>, E> {
        Ok(Json::OtherNumber(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json<'de>, E> {
        Ok(Json::String(Cow::Owned(value.to_owned())))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::String(Cow::Borrowed(value)))
    }

    fn visit_string<E>(self, value: String) -> Result<Json<'de>, E> {
        Ok(Json::String(Cow::Owned(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json<'de>, A::Error> {
        // Most lists of a rule have one entry, and room for four would be most of the tree.
        let mut list = Vec::with_capacity(1);
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json<'de>, A::Error> {
        let mut list: Vec<(Cow<'de, str>, Json<'de>)> = Vec::new();
        while let Some((Name(name), value)) = members.next_entry()? {
            list.push((name, value));
        }
        // A tree of many small objects must not take many times the size of its text.
        list.shrink_to_fit();
        object(list)
    }
}

/// An object of these members, no two of which have one name.
fn object<'t, E: Error>(members: Vec<(Cow<'t, str>, Json<'t>)>) -> Result<Json<'t>, E> {
    match repeated(&members) {
        Some(name) => Err(E::custom(format_args!("member `{}` appears twice", Escaped(name)))),
        None => Ok(Json::Object(members)),
    }
}

/// The name of a member.
struct Name<'t>(Cow<'t, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameVisitor)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = Name<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
        Ok(Name(Cow::Owned(name.to_owned())))
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
        Ok(Name(Cow::Borrowed(name)))
    }

    fn visit_string<E>(self, name: String) -> Result<Name<'de>, E> {
        Ok(Name(Cow::Owned(name)))
    }
}

/// A name that more than one member has.
fn repeated<'m>(members: &'m [(Cow<'_, str>, Json<'_>)]) -> Option<&'m str> {
    /// Up to here comparing all with all is faster than a table, and takes no memory.
    const FEW: usize = 16;
    if members.len() <= FEW {
        let mut later = members;
        while let [(name, _), rest @ ..] = later {
            if rest.iter().any(|(other, _)| other == name) {
                return Some(name);
            }
            later = rest;
        }
        return None;
    }
    let mut names = HashSet::with_capacity(members.len());
    let mut again = members.iter().filter(|(name, _)| !names.insert(name.as_ref()));
    again.next().map(|(name, _)| name.as_ref())
}

#[expect(clippy::as_conversions, reason = "only its being negative is ever looked at")]
fn lossy(value: i64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::Json;

    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn duplicate_members_are_refused_at_any_depth() {
        assert!(Json::parse(br#"{"a": 1, "b": [{"c": 1, "c": 2}]}"#).is_err());
        assert!(Json::parse(br#"{"a": {"c": 1}, "b": {"c": 2}}"#).is_ok());
        for last in [1, 15, 16, 39] {
            let list = |one_more| {
                let members: String = (1..=last).map(|name| format!("\"{name}\":0,")).collect();
                format!("{{{members}\"{one_more}\":0}}")
            };
            assert!(Json::parse(list(0).as_bytes()).is_ok(), "{last}");
            assert!(Json::parse(list(1).as_bytes()).is_err(), "{last}");
            assert!(Json::parse(list(last).as_bytes()).is_err(), "{last}");
        }
    }

    #[test]
    fn integers_are_exact_to_64_bits() {
        assert_eq!(Json::parse(b"18446744073709551615"), Ok(Json::Unsigned(u64::MAX)));
        assert!(matches!(Json::parse(b"18446744073709551616"), Ok(Json::OtherNumber(_))));
        assert!(matches!(Json::parse(b"-1"), Ok(Json::OtherNumber(_))));
        assert!(matches!(Json::parse(b"1.0"), Ok(Json::OtherNumber(_))));
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in ["", "{} {}", "{", "{\"a\":\"x\ny\"}", "\u{201c}a\u{201d}", "[1,]", "nul"] {
            assert!(Json::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Json::parse(b"\"\xff\"").is_err());
        assert!(Json::parse("[".repeat(100_000).as_bytes()).is_err());
    }
}
