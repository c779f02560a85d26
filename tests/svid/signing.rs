//! Signing certificates, in bundles and between them and the leaf: X509-SVID 3.2 and 4.

use support::ca::{
    Authority, BasicConstraints, ExtendedKeyUsage, Extension, FIXED_NOW, Identity, KeyUsage, Leaf, Profile, der,
};
use svidgate_policy::Reason;
use svidgate_policy::bundle::{AuthorityError, Bundle, SkipReason};

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

/// RFC 5280 6.1.4 (l) would not count it. DEVIATION: the path builder does, which refuses more than it must.
#[test]
fn self_issued_intermediate_counts_for_the_path_length() {
    let root = |path_len| {
        Authority::root(Profile {
            basic_constraints: Some(BasicConstraints { ca: true, path_len }),
            ..Profile::authority(OURS, FIXED_NOW)
        })
    };
    let below = |root: &Authority| root.issue_authority(Profile::authority(OURS, FIXED_NOW)).issue(leaf());
    let (open, none) = (root(None), root(Some(0)));
    assert!(Verifier::trusting(&open).verify(&below(&open)).is_ok());
    // The reason is that of the last path that was tried, which is not told apart further.
    assert!(Verifier::trusting(&none).verify(&below(&none)).is_err());
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
