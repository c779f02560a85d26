//! From the leaf to an authority: X509-SVID 3.2, 4 and 5.1, RFC 5280 section 6.

use support::ca::{
    Authority, BasicConstraints, ExtendedKeyUsage, Extension, FIXED_NOW, GeneralName, Identity, KeyUsage, Leaf,
    Profile, der,
};
use svidgate_policy::Reason;
use svidgate_policy::bundle::{AuthorityError, Bundle, SkipReason};
use svidgate_policy::chain::{self, Purpose};
use svidgate_policy::federation::Relationship;
use svidgate_policy::signature::ALGORITHMS;

use crate::verifier::{OURS, THEIRS, Verifier, authority, leaf, reason, relationship};

const NOBODY_KNOWS: &str = "1.3.6.1.4.1.55555.1";

/// A good intermediate of our trust domain.
fn intermediate(name: &str) -> Profile {
    Profile {
        common_name: Some(name.to_owned()),
        ..Profile::authority(OURS, FIXED_NOW)
    }
}

/// Root, a changed intermediate, leaf.
fn through(change: impl FnOnce(Profile) -> Profile) -> (Verifier, Identity) {
    let root = authority();
    let issuer = root.issue_authority(change(intermediate("intermediate")));
    (Verifier::trusting(&root), issuer.issue(leaf()))
}

#[track_caller]
fn accepted_through(change: impl FnOnce(Profile) -> Profile) {
    let (verifier, identity) = through(change);
    verifier.verify(&identity).unwrap();
}

#[track_caller]
fn refused_through(change: impl FnOnce(Profile) -> Profile) -> Reason {
    let (verifier, identity) = through(change);
    verifier.refuses(&identity)
}

/// Root, `count` intermediates, leaf.
fn deep(root: &Authority, count: usize) -> Identity {
    let below = |issuer: Authority, number| issuer.issue_authority(intermediate(&format!("intermediate {number}")));
    (0..count).fold(root.clone(), below).issue(leaf())
}

#[test]
fn up_to_six_intermediates_lead_to_an_authority() {
    let root = authority();
    let verifier = Verifier::trusting(&root);
    for count in 0..=6 {
        assert!(verifier.verify(&deep(&root, count)).is_ok(), "{count} intermediates");
    }
    assert_eq!(verifier.refuses(&deep(&root, 7)), Reason::SvidChainTooLong);
    assert_eq!(verifier.refuses(&deep(&root, 9)), Reason::SvidChainTooLong);
}

#[test]
fn missing_intermediate_is_refused() {
    let root = authority();
    let verifier = Verifier::trusting(&root);
    let identity = deep(&root, 3);
    for missing in 0..3 {
        let mut rest = identity.intermediates.clone();
        rest.remove(missing);
        let refused = reason(verifier.verify_sent(&identity.leaf, &rest, FIXED_NOW));
        assert_eq!(refused, Reason::SvidUnknownAuthority, "without {missing}");
    }
}

#[test]
fn order_duplicates_and_the_root_among_the_intermediates_do_not_matter() {
    let root = authority();
    let verifier = Verifier::trusting(&root);
    let identity = deep(&root, 2);
    let [lower, upper] = identity.intermediates.as_slice() else {
        panic!("two intermediates")
    };
    for sent in [
        vec![upper, lower],
        vec![lower, upper, &root.certificate],
        vec![&root.certificate, upper, lower],
        vec![
            lower,
            lower,
            lower,
            upper,
            upper,
            upper,
            &root.certificate,
            &root.certificate,
        ],
        vec![&identity.leaf, lower, upper],
    ] {
        let sent: Vec<Vec<u8>> = sent.into_iter().cloned().collect();
        assert!(verifier.verify_sent(&identity.leaf, &sent, FIXED_NOW).is_ok());
    }
}

#[test]
fn rubbish_beside_a_good_chain_does_not_spoil_it() {
    let root = authority();
    let verifier = Verifier::trusting(&root);
    let identity = deep(&root, 1);
    let unrelated = Authority::of("other.example", FIXED_NOW).certificate;
    let sent = [
        vec![b"rubbish".to_vec(), Vec::new(), unrelated],
        identity.intermediates.clone(),
    ]
    .concat();
    assert!(verifier.verify_sent(&identity.leaf, &sent, FIXED_NOW).is_ok());
}

#[test]
fn root_that_a_peer_sends_is_no_authority() {
    let stranger = Authority::of(OURS, FIXED_NOW);
    let identity = stranger.issue(leaf());
    let verifier = Verifier::trusting(&authority());
    let refused = reason(verifier.verify_sent(&identity.leaf, &[stranger.certificate], FIXED_NOW));
    // It bears the name of the good one.
    assert_eq!(refused, Reason::SvidBadSignature);
    let renamed = Authority::root(intermediate("stranger"));
    let identity = renamed.issue(leaf());
    let refused = reason(verifier.verify_sent(&identity.leaf, &[renamed.certificate], FIXED_NOW));
    assert_eq!(refused, Reason::SvidUnknownAuthority);
}

#[test]
fn authority_need_not_sign_itself() {
    let offline = authority();
    let issuer = offline.issue_authority(intermediate("intermediate"));
    let verifier = Verifier::trusting(&issuer);
    let identity = issuer.issue(leaf());
    assert!(verifier.verify(&identity).is_ok());
    assert!(verifier.verify_sent(&identity.leaf, &[], FIXED_NOW).is_ok());
    // What stands above it is then not trusted.
    assert_eq!(verifier.refuses(&offline.issue(leaf())), Reason::SvidUnknownAuthority);
}

#[test]
fn authorities_of_one_name_are_each_tried() {
    let (first, second) = (authority(), authority());
    let stranger = authority();
    for authorities in [[&first, &second], [&second, &first]] {
        let verifier = Verifier::trusting(&first).bundle(OURS, &authorities);
        assert!(verifier.verify(&first.issue(leaf())).is_ok());
        assert!(verifier.verify(&second.issue(leaf())).is_ok());
        assert_eq!(verifier.refuses(&stranger.issue(leaf())), Reason::SvidBadSignature);
    }
}

#[test]
fn authorities_without_key_identifiers_are_enough() {
    let bare = Profile {
        subject_key_id: false,
        authority_key_id: false,
        ..Profile::authority(OURS, FIXED_NOW)
    };
    let root = Authority::root(bare);
    let issuer = root.issue_authority(Profile {
        subject_key_id: false,
        authority_key_id: false,
        ..intermediate("intermediate")
    });
    let identity = issuer.issue(Leaf {
        subject_key_id: false,
        authority_key_id: false,
        ..leaf()
    });
    assert!(Verifier::trusting(&root).verify(&identity).is_ok());
}

#[test]
fn intermediates_of_one_name_are_each_tried() {
    let root = authority();
    let (old, new) = (
        root.issue_authority(intermediate("issuer")),
        root.issue_authority(intermediate("issuer")),
    );
    let verifier = Verifier::trusting(&root);
    for issuer in [&old, &new] {
        let identity = issuer.issue(leaf());
        for sent in [[&old, &new], [&new, &old]] {
            let sent: Vec<_> = sent.iter().map(|issuer| issuer.certificate.clone()).collect();
            assert!(verifier.verify_sent(&identity.leaf, &sent, FIXED_NOW).is_ok());
        }
    }
}

#[test]
fn intermediate_that_is_no_ca_is_refused() {
    let refused = refused_through(|profile| Profile {
        basic_constraints: Some(BasicConstraints {
            ca: false,
            path_len: None,
        }),
        ..profile
    });
    assert_eq!(refused, Reason::SvidSigningCertificate);
    assert_eq!(
        refused_through(|profile| Profile {
            basic_constraints: None,
            ..profile
        }),
        Reason::SvidSigningCertificate
    );
}

#[test]
fn leaf_that_signs_another_leaf_is_refused() {
    let root = authority();
    let signer = root.issue_authority(Leaf {
        common_name: Some("workload".into()),
        ..leaf()
    });
    assert_eq!(
        Verifier::trusting(&root).refuses(&signer.issue(leaf())),
        Reason::SvidSigningCertificate
    );
}

#[test]
fn intermediate_without_key_cert_sign_is_refused() {
    for key_usage in [
        None,
        Some(Vec::new()),
        Some(vec![KeyUsage::CrlSign]),
        Some(vec![KeyUsage::DigitalSignature]),
    ] {
        let refused = refused_through(|profile| Profile {
            key_usage: key_usage.clone(),
            ..profile
        });
        assert_eq!(refused, Reason::SvidSigningCertificate, "{key_usage:?}");
    }
}

#[test]
fn signing_certificates_may_have_further_key_usages() {
    let usages = vec![KeyUsage::DigitalSignature, KeyUsage::KeyCertSign, KeyUsage::CrlSign];
    accepted_through(|profile| Profile {
        key_usage: Some(usages),
        ..profile
    });
}

#[test]
fn authority_without_key_usage_is_accepted_and_one_that_cannot_sign_is_not() {
    let root = Authority::root(Profile {
        key_usage: None,
        ..Profile::authority(OURS, FIXED_NOW)
    });
    assert!(Verifier::trusting(&root).verify(&root.issue(leaf())).is_ok());

    let why = |profile: Profile| {
        let root = Authority::root(profile);
        let bundle = Bundle::from_certificates([root.certificate.clone().into()]);
        let why = bundle
            .skipped()
            .iter()
            .map(|skipped| skipped.why.clone())
            .collect::<Vec<_>>();
        let verifier = Verifier::default()
            .exact_bundle(OURS, bundle)
            .relationship(relationship(OURS));
        assert_eq!(verifier.refuses(&root.issue(leaf())), Reason::FederationBundleEmpty);
        why
    };
    let profile = || Profile::authority(OURS, FIXED_NOW);
    let cannot_sign = vec![SkipReason::NotAuthority(AuthorityError::CannotSign)];
    assert_eq!(
        why(Profile {
            key_usage: Some(vec![KeyUsage::CrlSign]),
            ..profile()
        }),
        cannot_sign
    );
    let not_ca = vec![SkipReason::NotAuthority(AuthorityError::NotCa)];
    assert_eq!(
        why(Profile {
            basic_constraints: None,
            ..profile()
        }),
        not_ca
    );
}

#[test]
fn intermediate_may_have_no_id_or_the_id_of_any_trust_domain_but_no_workloads() {
    let with = |uri: &str| {
        Some(uri.to_owned())
            .into_iter()
            .filter(|uri| !uri.is_empty())
            .collect::<Vec<_>>()
    };
    for uri in [
        "",
        "spiffe://prod.example",
        "spiffe://partner.example",
        "http://ca.example/",
    ] {
        accepted_through(|profile| Profile {
            uri_sans: with(uri),
            ..profile
        });
    }
    for uri in ["spiffe://prod.example/ca", "spiffe://partner.example/ca"] {
        let refused = refused_through(|profile| Profile {
            uri_sans: with(uri),
            ..profile
        });
        assert_eq!(refused, Reason::SvidSigningCertificate, "{uri}");
    }
}

#[test]
fn trust_domain_of_the_authoritys_own_id_does_not_matter() {
    let root = Authority::of(THEIRS, FIXED_NOW);
    assert!(Verifier::trusting(&root).verify(&root.issue(leaf())).is_ok());
}

#[test]
fn path_length_of_an_intermediate_is_enforced() {
    let root = authority();
    let verifier = Verifier::trusting(&root);
    let constrained = |path_len| {
        let constraints = BasicConstraints {
            ca: true,
            path_len: Some(path_len),
        };
        root.issue_authority(Profile {
            basic_constraints: Some(constraints),
            ..intermediate("constrained")
        })
    };
    assert!(verifier.verify(&deep(&constrained(0), 0)).is_ok());
    assert_eq!(
        verifier.refuses(&deep(&constrained(0), 1)),
        Reason::SvidSigningCertificate
    );
    assert!(verifier.verify(&deep(&constrained(1), 1)).is_ok());
    assert_eq!(
        verifier.refuses(&deep(&constrained(1), 2)),
        Reason::SvidSigningCertificate
    );
}

#[test]
fn path_length_of_an_authority_is_enforced() {
    let constrained = |path_len| {
        let constraints = BasicConstraints {
            ca: true,
            path_len: Some(path_len),
        };
        Authority::root(Profile {
            basic_constraints: Some(constraints),
            ..Profile::authority(OURS, FIXED_NOW)
        })
    };
    let (none, one) = (constrained(0), constrained(1));
    assert!(Verifier::trusting(&none).verify(&deep(&none, 0)).is_ok());
    assert_eq!(
        Verifier::trusting(&none).refuses(&deep(&none, 1)),
        Reason::SvidSigningCertificate
    );
    assert!(Verifier::trusting(&one).verify(&deep(&one, 1)).is_ok());
    assert_eq!(
        Verifier::trusting(&one).refuses(&deep(&one, 2)),
        Reason::SvidSigningCertificate
    );
}

#[test]
fn extended_key_usage_of_an_intermediate_must_allow_a_client() {
    use ExtendedKeyUsage::{Any, ClientAuth, CodeSigning, ServerAuth};
    for purposes in [vec![ClientAuth], vec![Any], vec![ServerAuth, ClientAuth]] {
        accepted_through(|profile| Profile {
            extended_key_usage: Some(purposes),
            ..profile
        });
    }
    for purposes in [vec![ServerAuth], vec![CodeSigning], vec![]] {
        let refused = refused_through(|profile| Profile {
            extended_key_usage: Some(purposes.clone()),
            ..profile
        });
        assert_eq!(refused, Reason::SvidKeyUsage, "{purposes:?}");
    }
}

#[test]
fn unknown_critical_extension_of_a_signing_certificate_is_refused() {
    let with = |critical, profile| Profile {
        extensions: vec![Extension::new(NOBODY_KNOWS, critical, der::null())],
        ..profile
    };
    accepted_through(|profile| with(false, profile));
    assert_eq!(
        refused_through(|profile| with(true, profile)),
        Reason::SvidCriticalExtension
    );

    let root = Authority::root(with(false, Profile::authority(OURS, FIXED_NOW)));
    assert!(Verifier::trusting(&root).verify(&root.issue(leaf())).is_ok());
    // Such an authority is none, so its bundle is empty.
    let root = Authority::root(with(true, Profile::authority(OURS, FIXED_NOW)));
    assert_eq!(
        Verifier::trusting(&root).refuses(&root.issue(leaf())),
        Reason::FederationBundleEmpty
    );
}

#[test]
fn intermediate_with_a_duplicate_extension_is_none() {
    let again = Extension::basic_constraints(BasicConstraints {
        ca: true,
        path_len: None,
    });
    let refused = refused_through(|profile| Profile {
        extensions: vec![again],
        ..profile
    });
    assert_eq!(refused, Reason::SvidUnknownAuthority);
}

#[test]
fn intermediate_that_the_relationship_gives_completes_a_chain() {
    let root = authority();
    let issuer = root.issue_authority(intermediate("issuer"));
    let identity = issuer.issue(leaf());
    let without = Verifier::trusting(&root);
    assert_eq!(
        reason(without.verify_sent(&identity.leaf, &[], FIXED_NOW)),
        Reason::SvidUnknownAuthority
    );
    let intermediates = vec![issuer.certificate.clone().into()];
    let with = Verifier::trusting(&root).relationship(Relationship {
        intermediates,
        ..relationship(OURS)
    });
    assert!(with.verify_sent(&identity.leaf, &[], FIXED_NOW).is_ok());
    // Sent as well, it is one certificate all the same.
    assert!(with.verify(&identity).is_ok());
}

#[test]
fn intermediate_that_the_relationship_gives_is_no_authority() {
    let (root, stranger) = (authority(), Authority::root(intermediate("stranger")));
    let hints = [
        stranger.certificate.clone(),
        stranger.issue_authority(intermediate("issuer")).certificate,
    ];
    let intermediates = hints.into_iter().map(Into::into).collect();
    let verifier = Verifier::trusting(&root).relationship(Relationship {
        intermediates,
        ..relationship(OURS)
    });
    assert_eq!(verifier.refuses(&stranger.issue(leaf())), Reason::SvidUnknownAuthority);
    let empty = Verifier::default().bundle(OURS, &[]).relationship(Relationship {
        intermediates: vec![stranger.certificate.clone().into()],
        ..relationship(OURS)
    });
    assert_eq!(empty.refuses(&stranger.issue(leaf())), Reason::FederationBundleEmpty);
}

#[test]
fn bad_signature_anywhere_in_the_chain_is_refused() {
    let root = authority();
    let verifier = Verifier::trusting(&root);
    let identity = deep(&root, 2);
    let broken = |der: &[u8]| {
        let mut der = der.to_vec();
        *der.last_mut().unwrap() ^= 1;
        der
    };
    let refused = reason(verifier.verify_sent(&broken(&identity.leaf), &identity.intermediates, FIXED_NOW));
    assert_eq!(refused, Reason::SvidBadSignature);
    for place in 0..2 {
        let mut sent = identity.intermediates.clone();
        sent[place] = broken(&sent[place]);
        let refused = reason(verifier.verify_sent(&identity.leaf, &sent, FIXED_NOW));
        assert_eq!(refused, Reason::SvidBadSignature, "intermediate {place}");
    }
}

#[test]
fn path_alone_refuses_a_leaf_that_may_sign_or_constrain() {
    let root = authority();
    let bundle = Bundle::from_certificates([root.certificate.clone().into()]);
    let verify = |leaf: Leaf| {
        let leaf = root.issue(leaf).leaf;
        chain::verify(&leaf, &[], &bundle, ALGORITHMS, Purpose::ClientAuth, FIXED_NOW)
    };
    assert!(verify(leaf()).is_ok());
    let signs = Some(vec![KeyUsage::DigitalSignature, KeyUsage::KeyCertSign]);
    let constraints = Extension::name_constraints(&[GeneralName::uri(OURS)], &[]);
    for leaf in [
        Leaf {
            key_usage: signs,
            ..leaf()
        },
        Leaf {
            extensions: vec![constraints],
            ..leaf()
        },
    ] {
        assert_eq!(verify(leaf).unwrap_err().reason(), Reason::SvidSigningCertificate);
    }
}
