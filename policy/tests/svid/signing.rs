//! Signing certificates, in bundles and between them and the leaf: X509-SVID 3.2 and 4.

use ca::{Authority, BasicConstraints, ExtendedKeyUsage, Extension, FIXED_NOW, Identity, KeyUsage, Leaf, Profile, der};
use svidgate_policy::Reason;
use svidgate_policy::certificate::signer::SigningError;
use svidgate_policy::trust::{authority::AuthorityError, bundle::Bundle, bundle_error::SkipReason};

use crate::chain::{deep, intermediate};
use crate::encoding::NOBODY_KNOWS;
use crate::verifier::{OURS, THEIRS, Verifier, authority, leaf, relationship};

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
    let cannot_sign = vec![SkipReason::Certificate(AuthorityError::Signer(
        SigningError::CannotSign,
    ))];
    assert_eq!(
        why(Profile {
            key_usage: Some(vec![KeyUsage::CrlSign]),
            ..profile()
        }),
        cannot_sign
    );
    let not_ca = vec![SkipReason::Certificate(AuthorityError::Signer(SigningError::NotCa))];
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

/// RFC 5280 6.1.4 (l): a certificate that an authority issued for its own next key does not count. DEVIATION: of
/// several in a row one does not, so that a path length means something where every authority bears one name (SPIRE
/// before 1.8.4).
#[test]
fn rollover_certificate_does_not_count_for_the_path_length_and_a_second_in_a_row_does() {
    let constrained = |path_len| Profile {
        basic_constraints: Some(BasicConstraints {
            ca: true,
            path_len: Some(path_len),
        }),
        ..Profile::authority(OURS, FIXED_NOW)
    };
    let rollover = |issuer: &Authority| issuer.issue_authority(Profile::authority(OURS, FIXED_NOW));
    let root = Authority::root(constrained(0));
    let verifier = Verifier::trusting(&root);
    let once = rollover(&root);
    assert!(verifier.verify(&once.issue(leaf())).is_ok());
    assert_eq!(
        verifier.refuses(&rollover(&once).issue(leaf())),
        Reason::SvidSigningCertificate
    );
    assert_eq!(verifier.refuses(&deep(&once, 1)), Reason::SvidSigningCertificate);
    // The same below a signing certificate that is constrained.
    let open = Authority::root(intermediate("root"));
    let verifier = Verifier::trusting(&open);
    let issuer = open.issue_authority(constrained(0));
    let once = rollover(&issuer);
    assert!(verifier.verify(&once.issue(leaf())).is_ok());
    assert_eq!(
        verifier.refuses(&rollover(&once).issue(leaf())),
        Reason::SvidSigningCertificate
    );
    let issuer = open.issue_authority(constrained(1));
    assert!(verifier.verify(&rollover(&rollover(&issuer)).issue(leaf())).is_ok());
}

#[test]
fn path_length_of_any_size_is_read() {
    let large = |bytes: &[u8]| {
        let value = der::sequence([der::boolean(true), der::integer(bytes)]);
        Profile {
            basic_constraints: None,
            extensions: vec![Extension::new("2.5.29.19", true, value)],
            ..Profile::authority(OURS, FIXED_NOW)
        }
    };
    for bytes in [&[1, 0][..], &[0x7f, 0xff, 0xff, 0xff], &[0x7f; 20]] {
        let root = Authority::root(large(bytes));
        assert!(Verifier::trusting(&root).verify(&deep(&root, 2)).is_ok(), "{bytes:?}");
        accepted_through(|profile| Profile {
            common_name: profile.common_name,
            ..large(bytes)
        });
    }
    // A negative one is none.
    let root = Authority::root(large(&[0xff]));
    assert_eq!(
        Verifier::trusting(&root).refuses(&root.issue(leaf())),
        Reason::FederationBundleEmpty
    );
}

#[test]
fn policies_of_an_authority_may_be_critical_and_what_constrains_policies_may_not() {
    let policies = der::sequence([der::sequence([der::oid("2.5.29.32.0")])]);
    let critical = |oid: &str, value: Vec<u8>| Profile {
        extensions: vec![Extension::new(oid, true, value)],
        ..Profile::authority(OURS, FIXED_NOW)
    };
    let root = Authority::root(critical("2.5.29.32", policies.clone()));
    assert!(Verifier::trusting(&root).verify(&root.issue(leaf())).is_ok());
    for (oid, value) in [
        ("2.5.29.36", der::sequence([der::context_primitive(0, &[0])])),
        ("2.5.29.33", policies.clone()),
        ("2.5.29.54", der::integer(&[0])),
    ] {
        let root = Authority::root(critical(oid, value));
        assert_eq!(
            Verifier::trusting(&root).refuses(&root.issue(leaf())),
            Reason::FederationBundleEmpty,
            "{oid}"
        );
    }
    // RFC 5280 4.2.1.4: whoever cannot interpret a critical one below an authority must refuse.
    let refused = refused_through(|profile| Profile {
        common_name: profile.common_name,
        ..critical("2.5.29.32", policies)
    });
    assert_eq!(refused, Reason::SvidCriticalExtension);
}

/// CA-5, CA-9: what a signing certificate must not be, an authority must not be either.
#[test]
fn authority_with_a_workloads_id_or_without_the_purpose_is_none() {
    let refused = |profile: Profile| {
        let root = Authority::root(profile);
        Verifier::trusting(&root).refuses(&root.issue(leaf()))
    };
    let profile = || Profile::authority(OURS, FIXED_NOW);
    for purposes in [
        vec![ExtendedKeyUsage::ServerAuth],
        vec![ExtendedKeyUsage::CodeSigning],
        vec![],
    ] {
        let extended_key_usage = Some(purposes);
        assert_eq!(
            refused(Profile {
                extended_key_usage,
                ..profile()
            }),
            Reason::FederationBundleEmpty
        );
    }
    for uri in ["spiffe://prod.example/ca", "spiffe://partner.example/ca"] {
        let uri_sans = vec![uri.to_owned()];
        assert_eq!(
            refused(Profile { uri_sans, ..profile() }),
            Reason::FederationBundleEmpty,
            "{uri}"
        );
    }
    for purposes in [
        vec![ExtendedKeyUsage::ClientAuth],
        vec![ExtendedKeyUsage::Any],
        vec![ExtendedKeyUsage::ServerAuth, ExtendedKeyUsage::ClientAuth],
    ] {
        let root = Authority::root(Profile {
            extended_key_usage: Some(purposes),
            uri_sans: Vec::new(),
            ..profile()
        });
        assert!(Verifier::trusting(&root).verify(&root.issue(leaf())).is_ok());
    }
}

/// LF-17, CA-7: whoever signs others is no workload.
#[test]
fn leaf_with_the_key_of_a_signing_certificate_of_its_own_chain_is_refused() {
    let root = authority();
    let upper = root.issue_authority(intermediate("upper"));
    let lower = upper.issue_authority(intermediate("lower"));
    let verifier = Verifier::trusting(&root);
    for key in [&upper.key, &lower.key] {
        let identity = lower.issue(Leaf {
            key: key.clone(),
            ..leaf()
        });
        assert_eq!(verifier.refuses(&identity), Reason::SvidIsCa);
    }
    // Beside its chain a certificate says nothing about it.
    let stranger = Authority::root(intermediate("stranger"));
    let mut identity = lower.issue(Leaf {
        key: stranger.key.clone(),
        ..leaf()
    });
    identity.intermediates.push(stranger.certificate);
    assert!(verifier.verify(&identity).is_ok());
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
