//! The document as the proxy hands it over.
//!
//! A `google.protobuf.StringValue` arrives as its text.
//!
//! ENVOY: (seen on 1.36 to 1.40) a `google.protobuf.Struct`, which is how people write a document within a
//! configuration, arrives in the protobuf encoding, whatever the documentation says, so it is turned into the JSON that
//! it stands for. Its numbers are doubles: a `spiffe_sequence` above 2^53 must come in a `StringValue`.

use std::borrow::Cow;

use prost::Message as _;
use prost_types::{Struct, Value, value::Kind};
use serde_json::{Map, Number, Value as Json};

/// The document as JSON text. What is neither is handed on as it is, for the compiler to say what is wrong with it.
pub(crate) fn document(bytes: &[u8]) -> Cow<'_, [u8]> {
    if !looks_like_struct(bytes) {
        return Cow::Borrowed(bytes);
    }
    match Struct::decode(bytes) {
        Ok(document) => Cow::Owned(object(document).to_string().into_bytes()),
        Err(_) => Cow::Borrowed(bytes),
    }
}

/// A struct begins with the tag of a member and has, behind each name, the tag of a value. The second is a control
/// byte, which JSON text cannot have.
fn looks_like_struct(bytes: &[u8]) -> bool {
    const MEMBER: u8 = 0x0a;
    const VALUE: u8 = 0x12;
    bytes.first() == Some(&MEMBER) && bytes.contains(&VALUE)
}

fn object(document: Struct) -> Json {
    Json::Object(
        document
            .fields
            .into_iter()
            .map(|(name, value)| (name, json(value)))
            .collect::<Map<_, _>>(),
    )
}

/// Nesting is bounded by the protobuf decoder (100 levels).
fn json(value: Value) -> Json {
    match value.kind {
        None | Some(Kind::NullValue(_)) => Json::Null,
        Some(Kind::BoolValue(value)) => Json::Bool(value),
        Some(Kind::NumberValue(value)) => number(value),
        Some(Kind::StringValue(value)) => Json::String(value),
        Some(Kind::ListValue(list)) => Json::Array(list.values.into_iter().map(json).collect()),
        Some(Kind::StructValue(document)) => object(document),
    }
}

/// Whole numbers that a double holds exactly are written as such.
fn number(value: f64) -> Json {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() < EXACT {
        #[expect(
            clippy::as_conversions,
            clippy::cast_possible_truncation,
            reason = "whole and within 53 bits"
        )]
        return Json::Number(Number::from(value as i64));
    }
    Number::from_f64(value).map_or(Json::Null, Json::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(kind: Kind) -> Value {
        Value { kind: Some(kind) }
    }

    #[test]
    fn struct_becomes_the_json_that_it_stands_for() {
        let inner = Struct {
            fields: [("b".to_owned(), value(Kind::BoolValue(true)))].into(),
        };
        let list = prost_types::ListValue {
            values: vec![
                value(Kind::NumberValue(5432.0)),
                value(Kind::NumberValue(0.5)),
                value(Kind::NumberValue(1e300)),
                value(Kind::StringValue("x\"y".to_owned())),
                value(Kind::StructValue(inner)),
            ],
        };
        let whole = Struct {
            fields: [("a".to_owned(), value(Kind::ListValue(list)))].into(),
        };
        assert_eq!(
            document(&whole.encode_to_vec()),
            br#"{"a":[5432,0.5,1e+300,"x\"y",{"b":true}]}"#.as_slice()
        );
    }

    #[test]
    fn text_stays_as_it_is() {
        for text in [
            &b"{}"[..],
            b"\n{\n \"a\": 1}",
            b"",
            b"\n",
            b"\n\x12 not a struct",
            b"nonsense",
        ] {
            assert_eq!(document(text), text);
        }
    }
}
