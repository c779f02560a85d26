//! Bundles: no authority but those that another library finds, numbers as they stand in the text.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;
use svidgate_policy::{Bundle, BundleSet, TrustDomain};

use crate::certificates::may_be_authority;

/// A bundle that reads has only what another reading finds in it, and reads the same as a member of a map.
pub fn holds(data: &[u8]) {
    let parsed = Bundle::parse(data);
    let map = [br#"{"trust_domains": {"a": "#, data, b"}}"].concat();
    let in_map = BundleSet::parse_map(&map);
    let Ok(bundle) = parsed else {
        // Inside of the map the text may be another (`{}}, "b": {`), but a bundle of `a` is none of it alone.
        return;
    };
    let document: Value = serde_json::from_slice(data).expect("a bundle is JSON");
    let keys = document["keys"].as_array().expect("a bundle has keys");
    let with_use = |wanted: &str| keys.iter().filter(|key| key["use"] == wanted).collect::<Vec<_>>();

    let authorities = with_use("x509-svid").into_iter().filter(|key| {
        let first = key["x5c"][0]
            .as_str()
            .and_then(|text| BASE64_STANDARD.decode(text).ok());
        first.is_some_and(|der| may_be_authority(&der))
    });
    assert!(bundle.authority_count() <= authorities.count());
    let has_kid = |key: &&Value| key["kid"].as_str().is_some_and(|kid| !kid.is_empty());
    assert!(bundle.jwt_keys().len() <= with_use("jwt-svid").into_iter().filter(has_kid).count());
    assert_eq!(bundle.sequence(), document["spiffe_sequence"].as_u64());
    let hint = document["spiffe_refresh_hint"].as_u64().filter(|hint| *hint > 0);
    assert_eq!(bundle.refresh_hint(), hint);

    let skipped: Vec<usize> = bundle.skipped().iter().map(|key| key.index).collect();
    assert!(skipped.is_sorted() && skipped.iter().all(|index| *index < keys.len()));
    let used = bundle.authority_count() + bundle.jwt_keys().len() + skipped.len();
    assert!(used <= keys.len());

    let (set, errors) = in_map.expect("a bundle is a member of a map");
    assert!(errors.is_empty());
    let member = set
        .bundle(&TrustDomain::parse("a").expect("it is one"))
        .expect("it is there");
    assert_eq!(member.authority_count(), bundle.authority_count());
    assert_eq!(
        (member.sequence(), member.skipped()),
        (bundle.sequence(), bundle.skipped())
    );
}
