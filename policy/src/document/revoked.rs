//! What is a list of revocations, as it is written in a document and served by an endpoint?

use std::collections::BTreeSet;

use x509_cert::name::RdnSequence;

use crate::{
    certificate::{bounds::MAX_SERIAL_BYTES, fingerprint::IssuerAndSerial},
    digest::{Digest, parse_hex},
    document::{
        reader::{CompileError, Mistake, Object, Place, Reader},
        values::{read_text, read_time},
    },
    json::Json,
    name::id::TrustDomain,
    pattern::id_pattern::IdPattern,
    trust::revocation::{
        MAX_REVOCATIONS, MAX_REVOCATIONS_BYTES, MAX_REVOKED_PATTERNS, Revocation, Revocations, RevokedBy,
    },
};

pub(crate) const LIST_FIELDS: &[&str] = &["sequence", "revoked"];
pub(crate) const ENTRY_FIELDS: &[&str] = &[
    "id",
    "sha256",
    "public_key_sha256",
    "serial",
    "issuer",
    "reason",
    "until",
];

impl Revocations {
    /// Reads the document of an endpoint: `{"sequence": 7, "revoked": [...]}`, entries as in the configuration
    /// document.
    ///
    /// ```
    /// use svidgate_policy::Revocations;
    ///
    /// let list = br#"{"sequence": 7, "revoked": [{"id": "spiffe://partner.example/ns/billing/**", "reason":
    /// "breach"}]}"#; assert_eq!(Revocations::parse(list).unwrap().len(), 1);
    /// ```
    ///
    /// # Errors
    /// Every mistake in it; a list with a mistake is no list.
    pub fn parse(text: &[u8]) -> Result<Self, Vec<CompileError>> {
        let whole = |mistake| {
            vec![CompileError {
                place: String::new(),
                mistake,
            }]
        };
        if text.len() > MAX_REVOCATIONS_BYTES {
            return Err(whole(Mistake::TooLarge {
                bytes: text.len(),
                bound: MAX_REVOCATIONS_BYTES,
            }));
        }
        let json = Json::parse(text).map_err(|error| whole(Mistake::Syntax(error.to_string())))?;
        let mut reader = Reader::default();
        let list = read_list(&mut reader, &json);
        match list {
            Some(list) if reader.count() == 0 => Ok(list),
            _ => Err(reader.into_mistakes()),
        }
    }
}

fn read_list(reader: &mut Reader, json: &Json) -> Option<Revocations> {
    let root = Place::Root;
    let object = reader.object(json, &root, LIST_FIELDS)?;
    let sequence = match object.optional("sequence") {
        None => None,
        Some(Json::Unsigned(sequence)) => Some(*sequence),
        Some(_) => {
            reader.note(&root.member("sequence"), Mistake::Expected("an integer of 64 bits"));
            None
        }
    };
    let revoked = object.required("revoked", reader, &root)?;
    let mut list = read_revoked(reader, revoked, &root.member("revoked"), None);
    list.sequence = sequence;
    Some(list)
}

/// Reads the list `revoked`. An id of a trust domain that is not among `known` can revoke nobody and is a mistake.
pub(crate) fn read_revoked(
    reader: &mut Reader,
    json: &Json,
    place: &Place<'_>,
    known: Option<&BTreeSet<TrustDomain>>,
) -> Revocations {
    let mut list = Revocations::default();
    reader.check_length(place, json.as_array().map_or(0, <[_]>::len), MAX_REVOCATIONS);
    let entries = reader.list_or_none(json, place, |reader, json, place| {
        read_entry(reader, json, place, known)
    });
    for (named, revocation) in entries.unwrap_or_default() {
        list.add(named, revocation);
    }
    let patterns = list.patterns.len();
    if patterns > MAX_REVOKED_PATTERNS {
        let bound = MAX_REVOKED_PATTERNS;
        reader.note(place, Mistake::TooManyPatterns { patterns, bound });
    }
    list
}

fn read_entry(
    reader: &mut Reader,
    json: &Json,
    at: &Place<'_>,
    known: Option<&BTreeSet<TrustDomain>>,
) -> Option<(RevokedBy, Revocation)> {
    let object = reader.object(json, at, ENTRY_FIELDS)?;
    let reason = read_text(reader, object, "reason", at).map(Into::into);
    let until = object
        .optional("until")
        .and_then(|json| read_time(reader, json, &at.member("until")));
    let named = read_named(reader, object, at, known)?;
    Some((named, Revocation { reason, until }))
}

fn read_named(
    reader: &mut Reader,
    object: Object<'_>,
    at: &Place<'_>,
    known: Option<&BTreeSet<TrustDomain>>,
) -> Option<RevokedBy> {
    let [id, certificate, public_key, serial, issuer] =
        ["id", "sha256", "public_key_sha256", "serial", "issuer"].map(|name| object.optional(name));
    match (id, certificate, public_key, serial, issuer) {
        (Some(json), None, None, None, None) => read_id(reader, json, &at.member("id"), known).map(RevokedBy::Id),
        (None, Some(json), None, None, None) => {
            read_digest(reader, json, &at.member("sha256")).map(RevokedBy::Certificate)
        }
        (None, None, Some(json), None, None) => {
            read_digest(reader, json, &at.member("public_key_sha256")).map(RevokedBy::PublicKey)
        }
        (None, None, None, Some(serial), Some(issuer)) => {
            let serial = reader.parsed(serial, &at.member("serial"), parse_serial);
            let issuer = reader.parsed(issuer, &at.member("issuer"), parse_issuer);
            serial
                .zip(issuer)
                .map(|(serial, issuer)| RevokedBy::IssuerAndSerial(IssuerAndSerial::by_name(&issuer, &serial)))
        }
        _ => {
            reader.note(
                at,
                Mistake::Expected("exactly one of `id`, `sha256`, `public_key_sha256`, and `serial` with `issuer`"),
            );
            None
        }
    }
}

fn read_id(
    reader: &mut Reader,
    json: &Json,
    place: &Place<'_>,
    known: Option<&BTreeSet<TrustDomain>>,
) -> Option<IdPattern> {
    let pattern = reader.parsed(json, place, |text| {
        let pattern = IdPattern::parse(text).map_err(Mistake::Pattern)?;
        if pattern.segments.captures().next().is_some() {
            return Err(Mistake::Expected(
                "`*` in place of a capture, which has nothing to compare with here",
            ));
        }
        Ok(pattern)
    })?;
    if let (Some(name), Some(known)) = (pattern.trust_domain(), known)
        && !known.contains(name)
    {
        let mistake = Mistake::UnknownTrustDomain {
            name: name.to_string(),
            known: known.iter().take(10).map(ToString::to_string).collect(),
        };
        reader.note(place, mistake);
        return None;
    }
    Some(pattern)
}

fn read_digest(reader: &mut Reader, json: &Json, place: &Place<'_>) -> Option<Digest> {
    reader.parsed(json, place, |text| {
        let digest = parse_hex(text).and_then(|bytes| Digest::try_from(bytes).ok());
        digest.ok_or(Mistake::Expected("SHA-256 as 64 hexadecimal digits"))
    })
}

fn parse_serial(text: &str) -> Result<Vec<u8>, Mistake> {
    // Tools print an odd number of digits where the first is a zero.
    let even = if text.bytes().filter(u8::is_ascii_hexdigit).count().is_multiple_of(2) {
        text.to_owned()
    } else {
        format!("0{text}")
    };
    let serial =
        parse_hex(&even).filter(|serial| !serial.is_empty() && serial.len() <= MAX_SERIAL_BYTES.saturating_add(1));
    serial.ok_or(Mistake::Expected(
        "a serial number in hexadecimal digits, like `0A:1B` or `0a1b`",
    ))
}

fn parse_issuer(text: &str) -> Result<RdnSequence, Mistake> {
    let parsed: Result<RdnSequence, _> = text.parse();
    match parsed {
        Ok(name) if !name.is_empty() && !is_another_notation(text) => Ok(name),
        Ok(_) | Err(_) => Err(Mistake::Expected(
            "the issuer's name as RFC 4514 writes it, like `CN=prod.example authority,O=SPIFFE`",
        )),
    }
}

/// Whether a name is written with slashes, semicolons or quotes, breaks off, has half an escaped byte, or a backslash
/// in a value: it would be read as another name, which nobody has.
fn is_another_notation(text: &str) -> bool {
    let mut escaped = false;
    let mut after_slash = false;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            // The library takes what stands behind an escaped backslash for the end of an attribute.
            '\\' if escaped => return true,
            _ if escaped => {
                escaped = false;
                if c.is_ascii_hexdigit() && !chars.next().is_some_and(|second| second.is_ascii_hexdigit()) {
                    return true;
                }
            }
            '\\' => escaped = true,
            ';' | '"' => return true,
            '/' => after_slash = true,
            '=' if after_slash => return true,
            ',' | '+' | ' ' => after_slash = false,
            _ => {}
        }
    }
    escaped || text.starts_with('/')
}

#[cfg(test)]
mod tests {
    use super::parse_issuer;

    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn another_notation_is_refused_and_a_slash_in_a_value_is_not() {
        for text in [
            "",
            "/C=US/O=SPIFFE",
            "C=US/O=SPIFFE",
            "C=US;O=SPIFFE",
            "CN=a\\",
            "no name",
            "CN=a\\\\\\,O=x",
        ] {
            assert!(parse_issuer(text).is_err(), "{text}");
        }
        for text in ["CN=a/b", "CN=a/b,O=c", "CN=a\\;b", "O=\\,x"] {
            assert!(parse_issuer(text).is_ok(), "{text}");
        }
    }
}
