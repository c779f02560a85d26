//! Lists of revocations: no more entries than there are, the sequence as it stands, and places for mistakes.

use serde_json::Value;
use svidgate_policy::Revocations;

use crate::places::assert_stand;

/// A list that reads has its entries; one that does not says where it is wrong. The same list reads the same in a
/// document whose trust domains it names.
pub fn holds(data: &[u8]) {
    let value: Option<Value> = serde_json::from_slice(data).ok();
    let list = match Revocations::parse(data) {
        Ok(list) => list,
        Err(mistakes) => return assert_stand(&mistakes, value.as_ref()),
    };
    let value = value.expect("a list is JSON");
    let entries = value["revoked"].as_array().expect("it has entries");
    // Of two that name the same, one is kept; of patterns with wildcards, each is.
    let (patterns, mut different): (Vec<String>, Vec<String>) =
        entries.iter().map(named).partition(|named| named.contains('*'));
    different.sort_unstable();
    different.dedup();
    let most = patterns.len() + different.len();
    assert!(list.len() <= most, "{} of {patterns:?} and {different:?}", list.len());
    assert_eq!(list.is_empty(), entries.is_empty());
    assert_eq!(list.sequence(), value["sequence"].as_u64());
    for entry in entries {
        let kinds = ["id", "sha256", "public_key_sha256", "serial"];
        assert_eq!(
            kinds.iter().filter(|kind| entry.get(**kind).is_some()).count(),
            1,
            "{entry}"
        );
        assert_eq!(entry.get("serial").is_some(), entry.get("issuer").is_some(), "{entry}");
    }
}

fn named(entry: &Value) -> String {
    let mut named = entry.clone();
    if let Some(members) = named.as_object_mut() {
        members.remove("reason");
        members.remove("until");
    }
    named.to_string()
}
