//! JSON as a tree that hides nothing: duplicate member names are an error, order is kept, 64-bit integers are exact.
//!
//! `serde_json::Value` keeps the last of two members of one name without a word (BN-20), and typed `serde` stops at the
//! first mistake where an operator wants all of them. Depth is bounded by the parser (128 levels), size by the caller.

use std::{collections::HashSet, fmt};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::read::Escaped;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Unsigned(u64),
    /// Negative, fractional or beyond 64 bits.
    OtherNumber(f64),
    String(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads one whole value; anything but white space behind it is an error.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, JsonError> {
        serde_json::from_slice(text).map_err(|error| JsonError(error.to_string()))
    }

    /// Reads the same tree from YAML 1.2.
    #[cfg(feature = "yaml")]
    pub(crate) fn parse_yaml(text: &str) -> Result<Self, JsonError> {
        use serde_saphyr::options::MergeKeyPolicy;

        let options = serde_saphyr::options! {
            // The words of YAML 1.1 (`yes`, `on`, `n`) are text.
            strict_booleans: true,
            // A member that another one replaces would be dropped without a word.
            merge_keys: MergeKeyPolicy::Error,
            reject_unsupported_tags: true,
            // What the largest document has room for. Aliases, which can say much in few bytes, keep the library's bounds.
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

/// The text is not JSON (or not YAML), with line and column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError(String);

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for JsonError {}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_none<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(u64::try_from(value).map_or_else(|_| Json::OtherNumber(lossy(value)), Json::Unsigned))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::OtherNumber(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut list: Vec<(String, Json)> = Vec::new();
        while let Some(member) = members.next_entry()? {
            list.push(member);
        }
        // A tree of many small objects must not take many times the size of its text.
        list.shrink_to_fit();
        match repeated(&list) {
            Some(name) => Err(A::Error::custom(format_args!(
                "member `{}` appears twice",
                Escaped(name)
            ))),
            None => Ok(Json::Object(list)),
        }
    }
}

/// A name that more than one member has.
fn repeated(members: &[(String, Json)]) -> Option<&str> {
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
    let mut again = members.iter().filter(|(name, _)| !names.insert(name.as_str()));
    again.next().map(|(name, _)| name.as_str())
}

#[expect(clippy::as_conversions, reason = "only its being negative is ever looked at")]
fn lossy(value: i64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::Json;

    #[test]
    fn duplicate_members_are_refused_at_any_depth() {
        assert!(Json::parse(br#"{"a": 1, "b": [{"c": 1, "c": 2}]}"#).is_err());
        assert!(Json::parse(br#"{"a": {"c": 1}, "b": {"c": 2}}"#).is_ok());
        for members in [2, 16, 17, 40] {
            let list = |last| {
                let members: String = (1..members).map(|name| format!("\"{name}\":0,")).collect();
                format!("{{{members}\"{last}\":0}}")
            };
            assert!(Json::parse(list(0).as_bytes()).is_ok(), "{members}");
            assert!(Json::parse(list(1).as_bytes()).is_err(), "{members}");
            assert!(Json::parse(list(members - 1).as_bytes()).is_err(), "{members}");
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
