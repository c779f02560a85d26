//! Messages of the Workload API: what one says is what another reading of the same bytes finds, for every trust domain.

use std::collections::BTreeMap;

use prost::Message as _;
use svidgate_gate::sources::workload_api::{BundlesMessage, Kept, Listed, Unusable};
use x509_parser::{prelude::FromDer as _, revocation_list::CertificateRevocationList};

use crate::certificates::may_be_authority;

/// `X509BundlesResponse` as the standard's file declares it, with a map.
#[derive(Clone, PartialEq, prost::Message)]
struct Response {
    #[prost(bytes = "vec", repeated, tag = "1")]
    crl: Vec<Vec<u8>>,
    #[prost(btree_map = "string, bytes", tag = "2")]
    bundles: BTreeMap<String, Vec<u8>>,
}

/// A message that reads has the trust domains and authorities that another reading finds, but for those that it says it
/// cannot use, and written anew reads the same.
pub fn holds(data: &[u8]) {
    let world = match BundlesMessage::read(data, &Kept::default()) {
        Ok(world) => world,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let response = Response::decode(data).expect("the standard's message reads too");
    for (name, certificates) in &response.bundles {
        let name = name.strip_prefix("spiffe://").unwrap_or(name);
        let Some(Listed { bundle, .. }) = world.bundles.get(name) else {
            // No trust domain, or one whose bundle cannot be used: either is said.
            let is_it = |unusable: &Unusable| {
                unusable
                    .trust_domain
                    .as_ref()
                    .is_none_or(|known| known.as_str() == name)
            };
            assert!(world.unusable.iter().any(is_it), "`{name}` is lost");
            continue;
        };
        let (authorities, all) = count(certificates);
        assert!(bundle.authority_count() <= authorities);
        assert!(bundle.authority_count() + bundle.skipped().len() == all);
    }
    assert!(world.bundles.len() <= response.bundles.len());
    for issuer in &world.issuers_without_crl {
        let mut names = world.bundles.values().map(|listed| listed.bundle.authority_names());
        assert!(
            names.any(|names| names.contains(issuer)),
            "nobody is shut out for a CRL that cannot be used"
        );
    }
    let listed = |crl: &Vec<u8>| {
        let (_, crl) = CertificateRevocationList::from_der(crl).ok()?;
        Some(crl.iter_revoked_certificates().count())
    };
    if let Some(listed) = response.crl.iter().map(listed).sum::<Option<usize>>() {
        assert!(world.revocations.len() <= listed);
        if world.issuers_without_crl.is_empty() {
            assert_eq!(world.revocations.is_empty(), listed == 0);
        }
    }
    assert!(!response.crl.is_empty() || world.revocations.is_empty());

    // Of two entries for one trust domain neither is taken; a map has but one of them.
    if response.bundles.len() != world.bundles.len() {
        return;
    }
    let again = BundlesMessage::read(&response.encode_to_vec(), &Kept::default()).expect("written anew it reads");
    assert!(again.bundles.keys().eq(world.bundles.keys()));
    let counts = |world: &BundlesMessage| {
        world
            .bundles
            .values()
            .map(|listed| listed.bundle.authority_count())
            .collect::<Vec<_>>()
    };
    assert_eq!(counts(&again), counts(&world));
    assert_eq!(again.revocations.len(), world.revocations.len());
}

/// How many authorities, and how many values at all, stand one behind the other.
fn count(mut certificates: &[u8]) -> (usize, usize) {
    let (mut authorities, mut all) = (0, 0);
    while !certificates.is_empty() {
        let (rest, _) = x509_parser::der_parser::asn1_rs::Any::from_der(certificates).expect("values in DER");
        let value = &certificates[..certificates.len() - rest.len()];
        authorities += usize::from(may_be_authority(value));
        (all, certificates) = (all + 1, rest);
    }
    (authorities, all)
}
