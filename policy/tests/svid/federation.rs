//! Whose authorities count: each id belongs to one trust domain, and only that one's bundle may vouch for it.

use ca::{Authority, ExtendedKeyUsage, FIXED_NOW, Identity, Leaf, Profile, bundle_json};
use jiff::SignedDuration;
use serde_json::json;
use svidgate_policy::IdPattern;
use svidgate_policy::trust::bundle::Bundle;
use svidgate_policy::trust::relationship::Relationship;
use svidgate_policy::{ALGORITHMS, Configuration, Format, Presented, Reason, Trust, trust::svid};

use crate::verifier::{ID, OURS, THEIR_ID, THEIRS, Verifier, authority, leaf, name, reason, relationship};

const SECOND: SignedDuration = SignedDuration::from_secs(1);

fn their_leaf() -> Leaf {
    Leaf::svid(THEIR_ID, FIXED_NOW)
}

/// We and a partner, each with an authority.
fn federated() -> (Verifier, Authority, Authority) {
    let (ours, theirs) = (authority(), Authority::of(THEIRS, FIXED_NOW));
    let verifier = Verifier::trusting(&ours)
        .bundle(THEIRS, &[&theirs])
        .relationship(relationship(THEIRS));
    (verifier, ours, theirs)
}

fn scope(patterns: &[&str]) -> Option<Vec<IdPattern>> {
    let parse = |pattern: &&str| IdPattern::parse_scope(pattern, &name(THEIRS)).unwrap();
    Some(patterns.iter().map(parse).collect())
}

#[test]
fn each_trust_domain_vouches_for_its_own_ids() {
    let (verifier, ours, theirs) = federated();
    assert_eq!(verifier.verify(&ours.issue(leaf())).unwrap().id().as_str(), ID);
    assert_eq!(
        verifier.verify(&theirs.issue(their_leaf())).unwrap().id().as_str(),
        THEIR_ID
    );
}

#[test]
fn foreign_id_signed_by_our_authority_is_refused() {
    let (verifier, ours, _) = federated();
    assert_eq!(
        verifier.refuses(&ours.issue(their_leaf())),
        Reason::SvidUnknownAuthority
    );
}

#[test]
fn our_id_signed_by_a_federated_authority_is_refused() {
    let (verifier, _, theirs) = federated();
    assert_eq!(verifier.refuses(&theirs.issue(leaf())), Reason::SvidUnknownAuthority);
}

#[test]
fn our_id_signed_by_a_federated_authority_of_our_authoritys_name_is_refused() {
    let ours = authority();
    let namesake = Authority::of(OURS, FIXED_NOW);
    let verifier = Verifier::trusting(&ours)
        .bundle(THEIRS, &[&namesake])
        .relationship(relationship(THEIRS));
    assert_eq!(verifier.refuses(&namesake.issue(leaf())), Reason::SvidBadSignature);
    assert!(verifier.verify(&namesake.issue(their_leaf())).is_ok());
}

#[test]
fn federated_chain_through_our_authority_is_refused() {
    // Ours has signed theirs, which gives theirs no say about our ids when only its own root is in its bundle.
    let (verifier, ours, theirs) = federated();
    let cross = ours.issue_authority(ca::Profile {
        key: theirs.key.clone(),
        ..ca::Profile::authority(THEIRS, FIXED_NOW)
    });
    let foreign = theirs.issue(their_leaf());
    let stranger = Authority::of("stranger.example", FIXED_NOW);
    let only_ours = Verifier::trusting(&ours)
        .bundle(THEIRS, &[&stranger])
        .relationship(relationship(THEIRS));
    let sent = [cross.certificate.clone()];
    assert_eq!(
        reason(only_ours.verify_sent(&foreign.leaf, &sent, FIXED_NOW)),
        Reason::SvidUnknownAuthority
    );
    assert!(verifier.verify_sent(&foreign.leaf, &sent, FIXED_NOW).is_ok());
}

#[test]
fn one_key_in_two_bundles_still_vouches_for_both_alone() {
    let shared = authority();
    let verifier = Verifier::trusting(&shared)
        .bundle(THEIRS, &[&shared])
        .relationship(relationship(THEIRS));
    assert_eq!(
        verifier
            .verify(&shared.issue(leaf()))
            .unwrap()
            .id()
            .trust_domain()
            .as_str(),
        OURS
    );
    assert_eq!(
        verifier
            .verify(&shared.issue(their_leaf()))
            .unwrap()
            .id()
            .trust_domain()
            .as_str(),
        THEIRS
    );
}

#[test]
fn trust_domain_without_a_relationship_is_refused_whatever_bundles_there_are() {
    let theirs = Authority::of(THEIRS, FIXED_NOW);
    let verifier = Verifier::trusting(&authority()).bundle(THEIRS, &[&theirs]);
    assert_eq!(
        verifier.refuses(&theirs.issue(their_leaf())),
        Reason::FederationUnknownTrustDomain
    );
    // A name that begins or ends like one that we know is another one.
    for trust_domain in [
        "prod.example.attacker.example",
        "prod.exampl",
        "prod.example.",
        "sub.prod.example",
        "prod",
    ] {
        let leaf = Leaf::svid(&format!("spiffe://{trust_domain}/ns/shop/sa/api"), FIXED_NOW);
        assert_eq!(
            verifier.refuses(&theirs.issue(leaf)),
            Reason::FederationUnknownTrustDomain,
            "{trust_domain}"
        );
    }
}

#[test]
fn relationship_without_a_bundle_is_refused() {
    let theirs = Authority::of(THEIRS, FIXED_NOW);
    let verifier = Verifier::trusting(&authority()).relationship(relationship(THEIRS));
    assert_eq!(
        verifier.refuses(&theirs.issue(their_leaf())),
        Reason::FederationBundleMissing
    );
}

#[test]
fn empty_bundle_takes_every_svid_away() {
    let (verifier, _, theirs) = federated();
    let identity = theirs.issue(their_leaf());
    assert!(verifier.verify(&identity).is_ok());
    let emptied = verifier.exact_bundle(THEIRS, Bundle::parse(br#"{"keys": []}"#).unwrap());
    assert_eq!(emptied.refuses(&identity), Reason::FederationBundleEmpty);
}

#[test]
fn jwt_key_never_vouches_for_a_certificate() {
    let theirs = Authority::of(THEIRS, FIXED_NOW);
    let mut document = bundle_json(&[&theirs]);
    document["keys"][0]["use"] = json!("jwt-svid");
    document["keys"][0]["kid"] = json!("key");
    // Complete as a JWT key.
    let members = theirs.key.jwk();
    let entry = document["keys"][0].as_object_mut().unwrap();
    entry.extend(members.as_object().unwrap().clone());
    let bundle = Bundle::parse(document.to_string().as_bytes()).unwrap();
    assert_eq!((bundle.authority_count(), bundle.jwt_keys().len()), (0, 1));
    let verifier = Verifier::default()
        .exact_bundle(THEIRS, bundle)
        .relationship(relationship(THEIRS));
    assert_eq!(
        verifier.refuses(&theirs.issue(their_leaf())),
        Reason::FederationBundleEmpty
    );
}

#[test]
fn bundle_document_vouches_as_its_certificates_do() {
    let (first, second) = (Authority::of(THEIRS, FIXED_NOW), Authority::of(THEIRS, FIXED_NOW));
    let document = bundle_json(&[&first, &second]).to_string();
    let bundle = Bundle::parse(document.as_bytes()).unwrap();
    let verifier = Verifier::default()
        .exact_bundle(THEIRS, bundle)
        .relationship(relationship(THEIRS));
    assert!(verifier.verify(&first.issue(their_leaf())).is_ok());
    assert!(verifier.verify(&second.issue(their_leaf())).is_ok());
}

#[test]
fn second_certificate_of_a_bundle_entry_is_no_authority() {
    let (first, second) = (
        Authority::of(THEIRS, FIXED_NOW),
        Authority::root(ca::Profile {
            common_name: Some("second".into()),
            ..ca::Profile::authority(THEIRS, FIXED_NOW)
        }),
    );
    let mut document = bundle_json(&[&first]);
    let other = bundle_json(&[&second])["keys"][0]["x5c"][0].clone();
    document["keys"][0]["x5c"].as_array_mut().unwrap().push(other);
    let bundle = Bundle::parse(document.to_string().as_bytes()).unwrap();
    assert_eq!((bundle.authority_count(), bundle.skipped().len()), (1, 0));
    let verifier = Verifier::default()
        .exact_bundle(THEIRS, bundle)
        .relationship(relationship(THEIRS));
    assert!(verifier.verify(&first.issue(their_leaf())).is_ok());
    assert_eq!(
        verifier.refuses(&second.issue(their_leaf())),
        Reason::SvidUnknownAuthority
    );
}

#[test]
fn id_outside_the_scope_of_its_relationship_is_refused() {
    let (verifier, _, theirs) = federated();
    let limited = Relationship {
        scope: scope(&["/ns/billing/**", "/ns/*/sa/probe"]),
        ..relationship(THEIRS)
    };
    let verifier = verifier.relationship(limited);
    let verify =
        |path: &str| verifier.verify(&theirs.issue(Leaf::svid(&format!("spiffe://{THEIRS}{path}"), FIXED_NOW)));
    for path in ["/ns/billing/sa/reader", "/ns/billing", "/ns/shop/sa/probe"] {
        assert!(verify(path).is_ok(), "{path}");
    }
    for path in [
        "/ns/shop/sa/api",
        "/ns/billing2/sa/reader",
        "/ns",
        "/ns/shop/sa/probe/x",
        "/NS/billing/sa/reader",
    ] {
        assert_eq!(reason(verify(path)), Reason::FederationOutOfScope, "{path}");
    }
    let nothing = Relationship {
        scope: scope(&[]),
        ..relationship(THEIRS)
    };
    assert_eq!(
        verifier.relationship(nothing).refuses(&theirs.issue(their_leaf())),
        Reason::FederationOutOfScope
    );
}

#[test]
fn relationship_ends_with_the_second_that_is_named() {
    let (verifier, ours, theirs) = federated();
    let ends = Relationship {
        expires: Some(FIXED_NOW),
        ..relationship(THEIRS)
    };
    let verifier = verifier.relationship(ends);
    let identity = theirs.issue(their_leaf());
    assert!(verifier.verify_at(&identity, FIXED_NOW - SECOND).is_ok());
    assert_eq!(
        reason(verifier.verify_at(&identity, FIXED_NOW)),
        Reason::FederationExpired
    );
    assert_eq!(
        reason(verifier.verify_at(&identity, FIXED_NOW + SECOND)),
        Reason::FederationExpired
    );
    // Ours goes on.
    assert!(verifier.verify(&ours.issue(leaf())).is_ok());
}

#[test]
fn chain_that_the_proxy_verified_is_not_verified_again() {
    let verifier = Verifier::default().relationship(relationship(OURS));
    let identity = authority().issue(leaf());
    let svid = verifier.verify_after_proxy(&identity.leaf, FIXED_NOW).unwrap();
    assert_eq!(svid.id().as_str(), ID);
    assert_eq!(svid.valid_until(), leaf().not_after);
}

#[test]
fn leaf_relationship_and_time_are_checked_after_the_proxy_too() {
    let ends = FIXED_NOW + SignedDuration::from_mins(30);
    let verifier = Verifier::default()
        .relationship(relationship(OURS))
        .relationship(Relationship {
            scope: scope(&["/ns/billing/**"]),
            svid_max_lifetime: Some(SignedDuration::from_hours(2)),
            expires: Some(ends),
            ..relationship(THEIRS)
        });
    let root = authority();
    let after_proxy = |identity: Identity, now| reason(verifier.verify_after_proxy(&identity.leaf, now));
    let refused = |leaf| after_proxy(root.issue(leaf), FIXED_NOW);

    let two = vec![ID.to_owned(), THEIR_ID.to_owned()];
    assert_eq!(
        refused(Leaf {
            uri_sans: two,
            ..leaf()
        }),
        Reason::SvidMultipleUriSans
    );
    assert_eq!(
        refused(Leaf::svid("spiffe://prod.example", FIXED_NOW)),
        Reason::SvidRootPath
    );
    assert_eq!(
        refused(Leaf {
            key_usage: None,
            ..leaf()
        }),
        Reason::SvidKeyUsage
    );
    let server = Some(vec![ExtendedKeyUsage::ServerAuth]);
    assert_eq!(
        refused(Leaf {
            extended_key_usage: server,
            ..leaf()
        }),
        Reason::SvidKeyUsage
    );
    let stranger = "spiffe://stranger.example/a";
    assert_eq!(
        refused(Leaf::svid(stranger, FIXED_NOW)),
        Reason::FederationUnknownTrustDomain
    );
    assert_eq!(
        refused(Leaf::svid("spiffe://partner.example/ns/shop", FIXED_NOW)),
        Reason::FederationOutOfScope
    );
    let long = Leaf {
        not_after: FIXED_NOW + SignedDuration::from_hours(3),
        ..their_leaf()
    };
    assert_eq!(refused(long), Reason::SvidLifetimeTooLong);
    assert_eq!(after_proxy(root.issue(their_leaf()), ends), Reason::FederationExpired);
    let (first, last) = (leaf().not_before, leaf().not_after);
    assert_eq!(after_proxy(root.issue(leaf()), first - SECOND), Reason::SvidNotYetValid);
    assert_eq!(after_proxy(root.issue(leaf()), last + SECOND), Reason::SvidExpired);

    let svid = verifier
        .verify_after_proxy(&root.issue(their_leaf()).leaf, FIXED_NOW)
        .unwrap();
    assert_eq!(svid.valid_until(), ends - SECOND);
}

/// BN-11, BN-12, BN-14: what is not plainly a certificate is no authority, and spoils no other.
#[test]
fn entry_whose_certificate_is_not_plainly_written_is_counted_and_the_others_stay() {
    let good = authority();
    let plain = bundle_json(&[&good])["keys"][0].clone();
    let base64 = plain["x5c"][0].as_str().unwrap().to_owned();
    let with = |member: &str, value: serde_json::Value| {
        let mut key = plain.clone();
        key[member] = value;
        key
    };
    let entries = json!([
        with("x5c", json!([good.pem()])),
        with(
            "x5c",
            json!([base64.replace('+', "-").replace('/', "_").trim_end_matches('=')])
        ),
        with("x5c", json!([format!("{base64}AAAA")])),
        with("x5c", json!(["AAAA"])),
        with("kty", json!("RSA")),
        with("kid", json!("a publisher's mistake")),
        plain,
    ]);
    let document = json!({ "keys": entries }).to_string();
    let bundle = Bundle::parse(document.as_bytes()).unwrap();
    let skipped: Vec<usize> = bundle.skipped().iter().map(|skipped| skipped.index).collect();
    assert_eq!((bundle.authority_count(), skipped), (2, vec![0, 1, 2, 3, 4]));
    let verifier = Verifier::default()
        .exact_bundle(OURS, bundle)
        .relationship(relationship(OURS));
    assert!(verifier.verify(&good.issue(leaf())).is_ok());
}

/// They are kept apart as bundles are.
#[test]
fn intermediate_of_another_relationship_is_not_at_hand() {
    let root = Authority::of(THEIRS, FIXED_NOW);
    let middle = root.issue_authority(Profile {
        common_name: Some("intermediate".to_owned()),
        ..Profile::authority(THEIRS, FIXED_NOW)
    });
    let identity = Identity {
        intermediates: Vec::new(),
        ..middle.issue(their_leaf())
    };
    let knowing = |ours: &[&Authority], theirs: &[&Authority]| {
        let with = |trust_domain, known: &[&Authority]| Relationship {
            intermediates: known.iter().map(|one| one.certificate.clone().into()).collect(),
            ..relationship(trust_domain)
        };
        Verifier::trusting(&authority())
            .relationship(with(OURS, ours))
            .bundle(THEIRS, &[&root])
            .relationship(with(THEIRS, theirs))
    };
    assert!(knowing(&[], &[&middle]).verify(&identity).is_ok());
    assert_eq!(
        knowing(&[&middle], &[]).refuses(&identity),
        Reason::SvidUnknownAuthority
    );
}

#[test]
fn intermediates_of_a_relationship_are_checked_when_the_document_is_read() {
    let root = authority();
    let middle = |name: &str| {
        root.issue_authority(Profile {
            common_name: Some(name.to_owned()),
            ..Profile::authority(OURS, FIXED_NOW)
        })
    };
    let mistakes = |intermediates: Vec<String>| {
        let document = json!({
            "trust_domain": OURS, "chain": "proxy", "rules": [],
            "federation": [{ "trust_domain": "partner.example", "intermediates": intermediates }],
        });
        match Configuration::compile(document.to_string().as_bytes(), Format::Json) {
            Ok(_) => Vec::new(),
            Err(mistakes) => mistakes.iter().map(ToString::to_string).collect(),
        }
    };
    let same: Vec<String> = (0..9).map(|_| middle("one name").pem()).collect();
    assert_eq!(mistakes(same[..8].to_vec()), [""; 0]);
    assert_eq!(mistakes(same), ["federation[0].intermediates: 9 entries (at most 8)"]);
    assert_eq!(
        mistakes(vec![middle("a").pem(), root.issue(leaf()).leaf_pem()]),
        ["federation[0].intermediates[1]: certificate is no signing certificate (basic constraints do not say cA)"]
    );
}

/// SPIRE with an upstream authority, Istio with a plugged-in CA and cert-manager with an issuing CA sign leaves by a
/// certificate that is not in the bundle; a network filter sees the leaf alone.
#[test]
fn own_trust_domain_has_intermediates_and_a_cap_on_lifetimes() {
    let (root, theirs) = (authority(), Authority::of(THEIRS, FIXED_NOW));
    let issuer = root.issue_authority(Profile {
        common_name: Some("issuer".to_owned()),
        ..Profile::authority(OURS, FIXED_NOW)
    });
    let verify = |changes: serde_json::Value, leaf: Leaf, by: &Authority| {
        let mut document = json!({
            "trust_domain": OURS,
            "bundle": { "inline": bundle_json(&[&root]) },
            "federation": [{ "trust_domain": THEIRS, "bundle": { "inline": bundle_json(&[&theirs]) } }],
            "rules": [],
        });
        document
            .as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        let compiled = Configuration::compile(document.to_string().as_bytes(), Format::Json).unwrap();
        let trust = Trust {
            relationships: &compiled.relationships,
            bundles: Some(&compiled.bundles),
            revocations: &[],
            expiry_grace: SignedDuration::ZERO,
        };
        let identity = by.issue(leaf);
        let presented = Presented {
            leaf: &identity.leaf,
            intermediates: &[],
        };
        let verified = svid::verify(presented, ALGORITHMS, &trust, FIXED_NOW);
        verified.map(|_| ()).map_err(|error| error.reason())
    };
    let hours = |hours: i64| Leaf {
        not_before: FIXED_NOW,
        not_after: FIXED_NOW + SignedDuration::from_hours(hours),
        ..leaf()
    };
    let given = json!({ "intermediates": [issuer.pem()], "svid_max_lifetime": "24h" });
    assert_eq!(verify(json!({}), hours(24), &issuer), Err(Reason::SvidUnknownAuthority));
    assert_eq!(verify(given.clone(), hours(24), &issuer), Ok(()));
    assert_eq!(
        verify(given.clone(), hours(26), &issuer),
        Err(Reason::SvidLifetimeTooLong)
    );
    assert_eq!(verify(json!({}), hours(26), &root), Ok(()));
    // They are ours alone: neither the hints nor the cap say anything about another trust domain.
    let long = Leaf {
        not_after: FIXED_NOW + SignedDuration::from_hours(26),
        ..their_leaf()
    };
    assert_eq!(verify(given.clone(), long, &theirs), Ok(()));
    assert_eq!(verify(given, their_leaf(), &issuer), Err(Reason::SvidUnknownAuthority));
    // A hint is no authority.
    let stranger = Authority::root(Profile {
        common_name: Some("stranger".to_owned()),
        ..Profile::authority(OURS, FIXED_NOW)
    });
    let hinted = json!({ "intermediates": [stranger.pem()] });
    assert_eq!(verify(hinted, leaf(), &stranger), Err(Reason::SvidUnknownAuthority));
}
