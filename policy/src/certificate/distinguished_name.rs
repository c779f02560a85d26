//! When two names of directories are the same (RFC 5280 7.1): issuers in lists of revocations, and the names that
//! constraints are on. Where a path is built names are compared byte by byte, as issuers write them.

use x509_cert::{
    attr::AttributeTypeAndValue,
    der::{Encode as _, Tag, Tagged as _, oid::ObjectIdentifier},
    name::{RdnSequence, RelativeDistinguishedName},
};

use crate::claim::Hex;

/// Most attributes of a name that are compared one by one; of one with more, only its DER is.
const MAX_NAME_ATTRIBUTES: usize = 32;

/// A name in one spelling: without case, types of string, order and spare spaces, in which tools differ.
/// What is not the same to the letter may be the same here, never the other way; that errs towards refusing.
pub(crate) fn canonical(name: &RdnSequence) -> Vec<u8> {
    if name.iter().map(|rdn| rdn.len()).fold(0, usize::saturating_add) > MAX_NAME_ATTRIBUTES {
        return name.to_der().unwrap_or_default();
    }
    let mut spelled: Vec<String> = name.iter().flat_map(|rdn| rdn.iter()).map(spell).collect();
    spelled.sort_unstable();
    spelled.join("\n").into_bytes()
}

/// A part of a name: its attributes in their one spelling, in order.
pub(crate) type Part = Vec<Attribute>;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Attribute {
    oid: ObjectIdentifier,
    value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Text(String),
    /// Of a type that is no string, or that is not read here.
    Other(Vec<u8>),
}

impl Value {
    /// Whether this is another value. `None`: one of them is not read here, and may be the same to who reads it.
    fn differs(&self, other: &Self) -> Option<bool> {
        match (self, other) {
            (Self::Text(one), Self::Text(other)) => Some(one != other),
            (Self::Other(_), _) | (_, Self::Other(_)) => (self == other).then_some(false),
        }
    }
}

/// The parts of a name, in their order.
pub(crate) fn parts(name: &RdnSequence) -> Vec<Part> {
    name.iter().map(part).collect()
}

fn part(part: &RelativeDistinguishedName) -> Part {
    let attribute = |attribute: &AttributeTypeAndValue| Attribute {
        oid: attribute.oid,
        value: match text(attribute.value.tag(), attribute.value.value()) {
            Some(text) => Value::Text(folded(&text)),
            None => Value::Other(attribute.value.value().to_vec()),
        },
    };
    let mut attributes: Part = part.iter().map(attribute).collect();
    attributes.sort_unstable();
    attributes
}

/// Whether a name begins with another, as one does that is below it. `None`: that cannot be said.
pub(crate) fn begins_with(name: &[Part], above: &[Part]) -> Option<bool> {
    if name.len() < above.len() {
        return Some(false);
    }
    let mut is_known = true;
    for (part, above) in name.iter().zip(above) {
        if part.len() != above.len() {
            return Some(false);
        }
        for (one, other) in part.iter().zip(above) {
            match (one.oid == other.oid).then(|| one.value.differs(&other.value)) {
                Some(Some(false)) => {}
                Some(Some(true)) | None => return Some(false),
                Some(None) => is_known = false,
            }
        }
    }
    is_known.then_some(true)
}

fn spell(attribute: &AttributeTypeAndValue) -> String {
    let (tag, bytes) = (attribute.value.tag(), attribute.value.value());
    let value = text(tag, bytes).unwrap_or_else(|| Hex(bytes).to_string());
    format!("{}={}", attribute.oid, folded(&value))
}

/// The types of string that are one byte a character. More than they allow is met in the field; read as Latin-1 it
/// compares as what it looks like.
const ONE_BYTE: [Tag; 5] = [
    Tag::PrintableString,
    Tag::Ia5String,
    Tag::TeletexString,
    Tag::VisibleString,
    Tag::NumericString,
];

/// The text of a string of a type that is read here.
fn text(tag: Tag, bytes: &[u8]) -> Option<String> {
    if tag == Tag::Utf8String {
        return String::from_utf8(bytes.to_vec()).ok();
    }
    if ONE_BYTE.contains(&tag) {
        return Some(bytes.iter().map(|byte| char::from(*byte)).collect());
    }
    if tag == Tag::BmpString {
        let (units, []) = bytes.as_chunks() else { return None };
        let units = units.iter().map(|unit| u16::from_be_bytes(*unit));
        return char::decode_utf16(units).collect::<Result<_, _>>().ok();
    }
    None
}

fn folded(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").to_lowercase()
}

#[cfg(test)]
mod tests {
    use x509_cert::name::RdnSequence;

    use super::{Tag, begins_with, canonical, parts, text};

    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn names_are_compared_without_case_order_and_spaces() {
        let spelled = |name: &str| canonical(&name.parse::<RdnSequence>().unwrap());
        let same = |one: &str, other: &str| spelled(one) == spelled(other);
        assert!(same("CN=a,O=SPIFFE,C=US", "c=us,o=Spiffe,cn=A"));
        assert!(same("O=AT&T", "o=at&t"));
        assert!(same("CN=a b", "CN=a  b"));
        assert!(same("1.2.3.4.5=x", "1.2.3.4.5=X"));
        assert!(!same("CN=a,O=SPIFFE", "CN=a"));
        assert!(!same("CN=a,O=b", "CN=b,O=a"));
        assert!(!same("CN=ab", "CN=a b"));
    }

    #[test]
    fn strings_have_a_text_and_what_is_none_has_not() {
        for (tag, bytes, expected) in [
            (Tag::PrintableString, &b"AT&T *"[..], Some("AT&T *")),
            (Tag::TeletexString, b"M\xfcller", Some("M\u{fc}ller")),
            (Tag::BmpString, b"\0a\0b", Some("ab")),
            (Tag::BmpString, b"\0a\0", None),
            (Tag::BmpString, b"\xd8\0\0a", None),
            (Tag::Utf8String, "M\u{fc}".as_bytes(), Some("M\u{fc}")),
            (Tag::Utf8String, b"M\xfc", None),
            (Tag::OctetString, b"\x01\xff", None),
        ] {
            assert_eq!(text(tag, bytes).as_deref(), expected, "{tag} {bytes:?}");
        }
    }

    #[test]
    fn name_that_is_not_read_may_begin_with_any() {
        let begins = |name: &str, above: &str| {
            let [name, above] = [name, above].map(|name| parts(&name.parse::<RdnSequence>().unwrap()));
            begins_with(&name, &above)
        };
        // Most general part last. `#0401ff` is an OCTET STRING.
        assert_eq!(begins("CN=a,O=x", "O=X"), Some(true));
        let all = parts(&RdnSequence::default());
        assert_eq!(
            begins_with(&parts(&"CN=a".parse::<RdnSequence>().unwrap()), &all),
            Some(true)
        );
        assert_eq!(begins("CN=a,O=x", "O=y"), Some(false));
        assert_eq!(begins("O=x", "CN=a,O=x"), Some(false));
        assert_eq!(begins("OU=x", "O=x"), Some(false));
        assert_eq!(begins("CN=a+OU=b,O=x", "CN=a,O=x"), Some(false));
        assert_eq!(begins("2.5.4.10=#040178", "O=x"), None);
        assert_eq!(begins("O=x", "2.5.4.10=#040178"), None);
        assert_eq!(begins("2.5.4.10=#040178", "2.5.4.10=#040178"), Some(true));
        assert_eq!(begins("CN=a,2.5.4.10=#040178", "CN=b,O=x"), Some(false));
        assert_eq!(begins("2.5.4.3=#040178,O=x", "O=x"), Some(true));
    }
}
