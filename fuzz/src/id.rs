//! SPIFFE IDs: read exactly where a regular expression of the specification's grammar says so, and printed as they
//! came.

use std::sync::LazyLock;

use regex::bytes::Regex;
use svidgate_policy::{SpiffeId, TrustDomain};

/// SPIFFE-ID 2.1 and 2.2, without the lengths and the dot segments.
static ID: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?-u)\Aspiffe://(?<td>[a-z0-9._-]+)(?<path>(?:/[a-zA-Z0-9._-]+)*)\z").expect("it is one")
});

/// An ID is read where the grammar has it, comes back as it was, and reads the same again; a bare name the same way.
pub fn holds(data: &[u8]) {
    let grammar = ID.captures(data).filter(|parts| {
        let dots = |segment: &[u8]| segment == b"." || segment == b"..";
        data.len() <= 2048 && parts["td"].len() <= 255 && !parts["path"].split(|byte| *byte == b'/').any(dots)
    });
    match (SpiffeId::parse(data), grammar) {
        (Ok(id), Some(parts)) => {
            assert_eq!(id.as_str().as_bytes(), data);
            assert_eq!(id.to_string().as_bytes(), data);
            assert_eq!(id.trust_domain().as_str().as_bytes(), &parts["td"]);
            assert_eq!(id.path().as_bytes(), &parts["path"]);
            let joined: String = id.segments().map(|segment| format!("/{segment}")).collect();
            assert_eq!(joined, id.path());
            assert_eq!(SpiffeId::parse(id.as_str()), Ok(id));
        }
        (Err(error), None) => assert!(!error.to_string().contains(char::is_control), "{error}"),
        (read, grammar) => panic!("read: {read:?}, by the grammar: {}", grammar.is_some()),
    }
    let as_id = [b"spiffe://", data].concat();
    let named = ID.captures(&as_id).is_some_and(|parts| parts["path"].is_empty()) && data.len() <= 255;
    assert_eq!(TrustDomain::parse(data).is_ok(), named);
}
