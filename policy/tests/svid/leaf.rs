//! The leaf alone: X509-SVID, sections 2 to 5.

use ca::{
    Authority, BasicConstraints, ExtendedKeyUsage, Extension, FIXED_NOW, GeneralName, Identity, KeyUsage, Leaf,
    Profile, der,
};
use svidgate_policy::Reason;

use crate::encoding::{NOBODY_KNOWS, good_extensions, with_extensions};
use crate::verifier::{ID, OURS, Verifier, authority, leaf, reason, refused, verify};

fn with_uris(uris: &[&str]) -> Leaf {
    Leaf {
        uri_sans: uris.iter().map(|&uri| uri.to_owned()).collect(),
        ..leaf()
    }
}

/// A leaf whose SAN extension is exactly this.
fn with_sans(names: &[GeneralName]) -> Leaf {
    Leaf {
        uri_sans: Vec::new(),
        extensions: vec![Extension::subject_alt_name(names, true)],
        ..leaf()
    }
}

#[test]
fn good_leaf_is_accepted_with_its_id_and_digest() {
    let authority = authority();
    let identity = authority.issue(leaf());
    let svid = Verifier::trusting(&authority).verify(&identity).unwrap();
    assert_eq!(svid.id().as_str(), ID);
    let digest: String = svid
        .sha256()
        .expect("a leaf")
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(digest, identity.leaf_sha256());
    assert!(verify(with_extensions(good_extensions())).is_ok());
}

#[test]
fn leaf_without_uri_san_is_refused() {
    assert_eq!(refused(with_uris(&[])), Reason::SvidNoUriSan);
    assert_eq!(
        refused(Leaf {
            dns_sans: vec!["prod.example".into()],
            ..with_uris(&[])
        }),
        Reason::SvidNoUriSan
    );
    // The ID in another kind of name is none.
    assert_eq!(refused(with_sans(&[GeneralName::Dns(ID.into())])), Reason::SvidNoUriSan);
}

#[test]
fn leaf_with_two_uri_sans_is_refused_in_any_order_and_scheme() {
    let other = "spiffe://prod.example/ns/shop/sa/other";
    for uris in [
        [ID, other],
        [other, ID],
        [ID, "http://prod.example/"],
        ["http://prod.example/", ID],
        [ID, ID],
        [ID, ""],
        ["", ID],
        [ID, "not a uri"],
    ] {
        assert_eq!(refused(with_uris(&uris)), Reason::SvidMultipleUriSans, "{uris:?}");
    }
}

#[test]
fn uri_sans_are_counted_between_names_of_other_kinds() {
    let dns = || GeneralName::Dns(b"api.prod.example".to_vec());
    let names = [
        dns(),
        GeneralName::uri(ID),
        dns(),
        GeneralName::uri("https://prod.example"),
        dns(),
    ];
    assert_eq!(refused(with_sans(&names)), Reason::SvidMultipleUriSans);
}

#[test]
fn leaf_may_have_names_of_other_kinds_beside_its_id() {
    let other_name = der::sequence([der::oid(NOBODY_KNOWS), der::context(0, &der::utf8_string(ID))]);
    // [0] IMPLICIT of a sequence keeps the constructed bit.
    let other_name = der::context(0, &other_name[2..]);
    let names = [
        GeneralName::Raw(other_name),
        GeneralName::Dns(b"*.prod.example".to_vec()),
        GeneralName::Email(b"api@prod.example".to_vec()),
        GeneralName::Ip(vec![192, 0, 2, 1]),
        GeneralName::Directory("api".into()),
        GeneralName::uri(ID),
    ];
    assert_eq!(verify(with_sans(&names)).unwrap().id().as_str(), ID);
}

#[test]
fn uri_san_that_is_no_spiffe_id_is_refused() {
    for uri in [
        "http://prod.example/ns/shop/sa/api",
        "prod.example/ns/shop",
        "SPIFFE://prod.example/a",
        "spiffe://Prod.example/a",
        "spiffe://prod.example:443/a",
        "spiffe://user@prod.example/a",
        "spiffe:///a",
        "spiffe://prod.example/",
        "spiffe://prod.example/a/",
        "spiffe://prod.example//a",
        "spiffe://prod.example/../a",
        "spiffe://prod.example/a?b",
        "spiffe://prod.example/a#b",
        "spiffe://prod.example/%61",
        "spiffe://prod.example/a b",
        "",
    ] {
        assert_eq!(refused(with_uris(&[uri])), Reason::SvidInvalidId, "{uri}");
    }
}

#[test]
fn nul_and_non_ascii_bytes_in_the_uri_are_refused() {
    let uri = |bytes: &[u8]| refused(with_sans(&[GeneralName::Uri([ID.as_bytes(), bytes].concat())]));
    assert_eq!(uri(b"\0"), Reason::SvidInvalidId);
    assert_eq!(uri(b"\0.attacker.example"), Reason::SvidInvalidId);
    assert_eq!(uri(b"\n"), Reason::SvidInvalidId);
    // No IA5String, so the extension itself does not parse.
    assert_eq!(uri(b"\xc3\xa9"), Reason::ConnectionCertificateUnreadable);
}

#[test]
fn leaf_with_the_id_of_its_trust_domain_is_refused() {
    assert_eq!(refused(with_uris(&["spiffe://prod.example"])), Reason::SvidRootPath);
}

#[test]
fn ids_count_up_to_2048_bytes() {
    let id = |bytes: usize| format!("spiffe://{OURS}/{}", "a".repeat(bytes - "spiffe://prod.example/".len()));
    assert_eq!(verify(with_uris(&[&id(2048)])).unwrap().id().as_str(), id(2048));
    assert_eq!(refused(with_uris(&[&id(2049)])), Reason::SvidInvalidId);
}

#[test]
fn signing_certificate_as_leaf_is_refused() {
    let is_ca = Leaf {
        basic_constraints: Some(BasicConstraints {
            ca: true,
            path_len: None,
        }),
        ..leaf()
    };
    assert_eq!(refused(is_ca), Reason::SvidIsCa);
    for usage in [KeyUsage::KeyCertSign, KeyUsage::CrlSign] {
        let signs = Leaf {
            key_usage: Some(vec![KeyUsage::DigitalSignature, usage]),
            ..leaf()
        };
        assert_eq!(refused(signs), Reason::SvidIsCa, "{usage:?}");
    }
    // RFC 5280 4.2.1.10: only signing certificates constrain others.
    let constraints = Extension::name_constraints(&[GeneralName::uri(OURS)], &[]);
    assert_eq!(
        refused(Leaf {
            extensions: vec![constraints],
            ..leaf()
        }),
        Reason::SvidIsCa
    );
}

#[test]
fn leaf_without_basic_constraints_is_no_ca() {
    assert!(
        verify(Leaf {
            basic_constraints: None,
            ..leaf()
        })
        .is_ok()
    );
}

#[test]
fn leaf_without_digital_signature_is_refused() {
    assert_eq!(
        refused(Leaf {
            key_usage: None,
            ..leaf()
        }),
        Reason::SvidKeyUsage
    );
    assert_eq!(
        refused(Leaf {
            key_usage: Some(Vec::new()),
            ..leaf()
        }),
        Reason::SvidKeyUsage
    );
    let encipherment = Some(vec![KeyUsage::KeyEncipherment, KeyUsage::KeyAgreement]);
    assert_eq!(
        refused(Leaf {
            key_usage: encipherment,
            ..leaf()
        }),
        Reason::SvidKeyUsage
    );
}

#[test]
fn other_key_usages_and_a_non_critical_extension_are_allowed() {
    let usages = [
        KeyUsage::DigitalSignature,
        KeyUsage::KeyEncipherment,
        KeyUsage::KeyAgreement,
    ];
    assert!(
        verify(Leaf {
            key_usage: Some(usages.into()),
            ..leaf()
        })
        .is_ok()
    );
    let non_critical = Extension {
        critical: false,
        ..Extension::key_usage(&usages)
    };
    assert!(
        verify(Leaf {
            key_usage: None,
            extensions: vec![non_critical],
            ..leaf()
        })
        .is_ok()
    );
}

#[test]
fn extended_key_usage_where_present_must_allow_a_client() {
    use ExtendedKeyUsage::{Any, ClientAuth, CodeSigning, ServerAuth};
    let with = |purposes| Leaf {
        extended_key_usage: purposes,
        ..leaf()
    };
    for purposes in [
        None,
        Some(vec![ClientAuth]),
        Some(vec![Any]),
        Some(vec![ServerAuth, CodeSigning, ClientAuth]),
    ] {
        assert!(verify(with(purposes.clone())).is_ok(), "{purposes:?}");
    }
    for purposes in [
        vec![ServerAuth],
        vec![CodeSigning],
        vec![ExtendedKeyUsage::Other(NOBODY_KNOWS.into())],
        vec![],
    ] {
        assert_eq!(
            refused(with(Some(purposes.clone()))),
            Reason::SvidKeyUsage,
            "{purposes:?}"
        );
    }
    let critical = Extension {
        critical: true,
        ..Extension::extended_key_usage(&[ClientAuth])
    };
    assert!(
        verify(Leaf {
            extensions: vec![critical],
            ..with(None)
        })
        .is_ok()
    );
}

#[test]
fn empty_subject_with_a_non_critical_san_is_allowed() {
    let san = Extension::subject_alt_name(&[GeneralName::uri(ID)], false);
    assert!(
        verify(Leaf {
            common_name: None,
            extensions: vec![san],
            ..with_uris(&[])
        })
        .is_ok()
    );
}

#[test]
fn leaf_that_signs_itself_with_an_authoritys_key_is_refused() {
    let authority = authority();
    let verifier = Verifier::trusting(&authority);
    let twin = Leaf {
        common_name: Some(format!("{OURS} authority")),
        key: authority.key.clone(),
        ..leaf()
    };
    assert_eq!(verifier.refuses(&Identity::self_signed(twin.clone())), Reason::SvidIsCa);
    // The same key under another name, signed by the authority as any leaf.
    let renamed = Leaf {
        common_name: Some("workload".into()),
        ..twin
    };
    assert_eq!(verifier.refuses(&authority.issue(renamed)), Reason::SvidIsCa);
}

#[test]
fn leaf_that_signs_itself_with_its_own_key_is_refused() {
    let verifier = Verifier::trusting(&authority());
    let alone = Identity::self_signed(Leaf {
        common_name: Some("workload".into()),
        ..leaf()
    });
    assert_eq!(verifier.refuses(&alone), Reason::SvidUnknownAuthority);
    let namesake = Identity::self_signed(Leaf {
        common_name: Some(format!("{OURS} authority")),
        ..leaf()
    });
    assert_eq!(verifier.refuses(&namesake), Reason::SvidBadSignature);
}

#[test]
fn certificate_of_the_bundle_as_leaf_is_refused() {
    let usual = authority();
    assert_eq!(
        reason(Verifier::trusting(&usual).verify_sent(&usual.certificate, &[], FIXED_NOW)),
        Reason::SvidRootPath
    );
    // Even one that looks like a leaf in every way but the one that makes it an authority.
    let pathed = Authority::root(Profile {
        uri_sans: vec![ID.to_owned()],
        key_usage: Some(vec![KeyUsage::DigitalSignature, KeyUsage::KeyCertSign]),
        ..Profile::authority(OURS, FIXED_NOW)
    });
    assert_eq!(
        reason(Verifier::trusting(&pathed).verify_sent(&pathed.certificate, &[], FIXED_NOW)),
        Reason::SvidIsCa
    );
}

#[test]
fn leaf_that_the_bundle_lists_by_mistake_is_refused() {
    let authority = authority();
    let identity = authority.issue(leaf());
    // As an entry it is skipped, for it is no CA; as a leaf it then has no authority.
    let mut listed = authority;
    listed.certificate = identity.leaf.clone();
    assert_eq!(
        Verifier::trusting(&listed).refuses(&identity),
        Reason::FederationBundleEmpty
    );
}
