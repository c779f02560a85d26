//! When two names of directories are the same (RFC 5280 7.1): issuers in lists of revocations, and the names that constraints
//! are on. Where a path is built names are compared byte by byte, as issuers write them.

use x509_cert::{
    attr::AttributeTypeAndValue,
    der::{Encode as _, Tag, Tagged as _},
    name::{RdnSequence, RelativeDistinguishedName},
};

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

/// The parts of a name in their one spelling, in their order: what names below it begin with.
pub(crate) fn parts(name: &RdnSequence) -> Vec<String> {
    name.iter().map(spell_part).collect()
}

fn spell_part(part: &RelativeDistinguishedName) -> String {
    let mut spelled: Vec<String> = part.iter().map(spell).collect();
    spelled.sort_unstable();
    spelled.join("\n")
}

fn spell(attribute: &AttributeTypeAndValue) -> String {
    let value = text(attribute.value.tag(), attribute.value.value());
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

/// The text of a string of whatever type; of what is none, its bytes in hexadecimal digits.
fn text(tag: Tag, bytes: &[u8]) -> String {
    if tag == Tag::Utf8String {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    if ONE_BYTE.contains(&tag) {
        return bytes.iter().map(|byte| char::from(*byte)).collect();
    }
    if tag == Tag::BmpString {
        let unit = |pair: &[u8]| pair.iter().fold(0, |unit: u16, byte| (unit << 8) | u16::from(*byte));
        let decoded = char::decode_utf16(bytes.chunks(2).map(unit));
        return decoded.map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn folded(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").to_lowercase()
}

#[cfg(test)]
mod tests {
    use x509_cert::name::RdnSequence;

    use super::{Tag, canonical, text};

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
    fn every_type_of_string_has_a_text() {
        assert_eq!(text(Tag::PrintableString, b"AT&T *"), "AT&T *");
        assert_eq!(text(Tag::TeletexString, b"M\xfcller"), "M\u{fc}ller");
        assert_eq!(text(Tag::BmpString, b"\0a\0b"), "ab");
        assert_eq!(text(Tag::Utf8String, "M\u{fc}".as_bytes()), "M\u{fc}");
        assert_eq!(text(Tag::OctetString, b"\x01\xff"), "01ff");
    }
}
