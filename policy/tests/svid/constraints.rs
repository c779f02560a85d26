//! Name constraints (X509-SVID 4.2, RFC 5280 4.2.1.10), of authorities and of signing certificates below them alike.

use ca::{Authority, Extension, FIXED_NOW, GeneralName, Leaf, Profile, der};
use svidgate_policy::Reason;

use crate::verifier::{OURS, THEIRS, Verifier, authority, leaf, relationship};

const NAME_CONSTRAINTS: &str = "2.5.29.30";

fn uri(name: &str) -> GeneralName {
    GeneralName::uri(name)
}

fn dns(name: &str) -> GeneralName {
    GeneralName::Dns(name.into())
}

fn constrained(permitted: &[GeneralName], excluded: &[GeneralName]) -> Authority {
    with_constraints(Extension::name_constraints(permitted, excluded))
}

fn with_constraints(extension: Extension) -> Authority {
    Authority::root(Profile {
        extensions: vec![extension],
        ..Profile::authority(OURS, FIXED_NOW)
    })
}

#[track_caller]
fn accepted(authority: &Authority, leaf: Leaf) {
    Verifier::trusting(authority).verify(&authority.issue(leaf)).unwrap();
}

#[track_caller]
fn refused(authority: &Authority, leaf: Leaf) {
    assert_eq!(
        Verifier::trusting(authority).refuses(&authority.issue(leaf)),
        Reason::SvidNameConstraint
    );
}

#[test]
fn id_must_lie_inside_what_its_authority_is_permitted() {
    accepted(&constrained(&[uri(OURS)], &[]), leaf());
    accepted(&constrained(&[uri(THEIRS), uri(OURS)], &[]), leaf());
    accepted(&constrained(&[uri(".example")], &[]), leaf());
    accepted(&constrained(&[uri("")], &[]), leaf());
    refused(&constrained(&[uri(THEIRS)], &[]), leaf());
    refused(&constrained(&[uri("example")], &[]), leaf());
    refused(&constrained(&[uri(".prod.example")], &[]), leaf());
    refused(&constrained(&[uri("prod.example.attacker.example")], &[]), leaf());
}

#[test]
fn id_must_lie_outside_what_its_authority_is_forbidden() {
    accepted(&constrained(&[], &[uri(THEIRS)]), leaf());
    refused(&constrained(&[], &[uri(OURS)]), leaf());
    refused(&constrained(&[], &[uri(".example")]), leaf());
    refused(&constrained(&[], &[uri("")]), leaf());
}

#[test]
fn constraint_that_is_no_host_lets_nobody_pass() {
    for base in [
        "spiffe://prod.example",
        "prod.example/",
        "*.prod.example",
        "prod.example:443",
        "prod.ex\u{e4}mple",
    ] {
        for (permitted, excluded) in [(vec![], vec![uri(base)]), (vec![uri(base), uri(OURS)], vec![])] {
            let authority = constrained(&permitted, &excluded);
            assert_eq!(
                Verifier::trusting(&authority).refuses(&authority.issue(leaf())),
                Reason::FederationBundleEmpty,
                "{base}"
            );
        }
    }
}

#[test]
fn excluded_beats_permitted() {
    refused(&constrained(&[uri(OURS)], &[uri(OURS)]), leaf());
    refused(&constrained(&[uri(".example")], &[uri(OURS)]), leaf());
}

#[test]
fn constraint_that_is_not_critical_counts_as_well() {
    let non_critical = Extension {
        critical: false,
        ..Extension::name_constraints(&[uri(THEIRS)], &[])
    };
    refused(&with_constraints(non_critical), leaf());
}

#[test]
fn trust_domain_that_looks_like_an_address_lies_inside_no_constraint() {
    let address = "192.0.2.1";
    let root = constrained(&[uri(address)], &[]);
    let verifier = Verifier::default()
        .bundle(address, &[&root])
        .relationship(relationship(address));
    let leaf = || Leaf::svid("spiffe://192.0.2.1/workload", FIXED_NOW);
    assert_eq!(verifier.refuses(&root.issue(leaf())), Reason::SvidNameConstraint);
    let free = Authority::of(address, FIXED_NOW);
    let verifier = Verifier::default()
        .bundle(address, &[&free])
        .relationship(relationship(address));
    assert!(verifier.verify(&free.issue(leaf())).is_ok());
}

#[test]
fn constraints_on_other_kinds_of_names_count_beside_those_on_uris() {
    let root = constrained(&[uri(OURS), dns("prod.example")], &[dns("secret.prod.example")]);
    let with = |name: &str| Leaf {
        dns_sans: vec![name.to_owned()],
        ..leaf()
    };
    accepted(&root, leaf());
    accepted(&root, with("api.prod.example"));
    refused(&root, with("api.partner.example"));
    refused(&root, with("secret.prod.example"));
    // A wildcard might stand for the forbidden one.
    refused(&root, with("*.prod.example"));
    // DNS names are free under a constraint on URIs alone, and the other way.
    accepted(&constrained(&[uri(OURS)], &[]), with("api.partner.example"));
    accepted(&constrained(&[dns("prod.example")], &[]), leaf());
}

#[test]
fn constraints_on_addresses_count() {
    let network = GeneralName::Ip(vec![192, 0, 2, 0, 255, 255, 255, 0]);
    let root = constrained(&[uri(OURS), network], &[]);
    let with = |address: [u8; 4]| Leaf {
        ip_sans: vec![address.into()],
        ..leaf()
    };
    accepted(&root, with([192, 0, 2, 1]));
    refused(&root, with([192, 0, 3, 1]));
}

#[test]
fn constraint_of_a_kind_that_is_not_processed_refuses_names_of_that_kind() {
    let mail = constrained(&[GeneralName::Email("prod.example".into())], &[]);
    accepted(&mail, leaf());
    refused(
        &mail,
        Leaf {
            email_sans: vec!["api@prod.example".into()],
            ..leaf()
        },
    );
}

/// The constraint that authorities of companies have: names below theirs.
#[test]
fn constraints_on_directory_names_are_processed() {
    let directory = |name: &str| GeneralName::Directory(name.to_owned());
    let named = |name: &str| Leaf {
        common_name: Some(name.to_owned()),
        ..leaf()
    };
    let permitting = constrained(&[directory("workload")], &[]);
    // RFC 5280 4.2.1.10: it applies to a subject that is not empty.
    accepted(&permitting, leaf());
    accepted(&permitting, named("workload"));
    // RFC 5280 7.1: neither case nor spare spaces make another name.
    accepted(&permitting, named(" WorkLoad "));
    refused(&permitting, named("workload2"));
    let excluding = constrained(&[], &[directory("nobody")]);
    accepted(&excluding, leaf());
    accepted(&excluding, named("somebody"));
    refused(&excluding, named("nobody"));
    refused(&excluding, named("NOBODY"));
    // The empty name is the beginning of every name.
    let all = GeneralName::Raw(der::context(4, &der::sequence([])));
    accepted(&constrained(std::slice::from_ref(&all), &[]), named("anybody"));
    refused(&constrained(&[], &[all]), named("anybody"));
    // A directory name among the SANs is held to it, too.
    let san = Extension::subject_alt_name(&[uri("spiffe://prod.example/a"), directory("nobody")], true);
    let leaf = Leaf {
        uri_sans: Vec::new(),
        extensions: vec![san],
        ..leaf()
    };
    refused(&excluding, leaf.clone());
    accepted(&constrained(&[], &[directory("another")]), leaf);
}

/// What a name says in a type of string that is not read here, another reader may take for the name that is excluded.
#[test]
fn directory_name_that_is_not_read_is_outside_nothing_and_inside_nothing() {
    let common_name = |value: Vec<u8>| der::sequence([der::set(der::sequence([der::oid("2.5.4.3"), value]))]);
    let directory = |name: &str| GeneralName::Directory(name.to_owned());
    let excluding = constrained(&[], &[directory("nobody")]);
    let permitting = constrained(&[directory("nobody")], &[]);
    let named = |value: Vec<u8>| Leaf {
        subject: Some(common_name(value)),
        ..leaf()
    };
    // Of a BIT STRING, an OCTET STRING, a GeneralString; of UTF-8 and UTF-16 that are none.
    for value in [
        der::bit_string(b"nobody"),
        der::octet_string(b"nobody"),
        der::element(27, b"nobody"),
        der::element(12, b"nobody\xff"),
        der::element(30, b"\0n\0o\0b\0o\0d\0y\0"),
    ] {
        for authority in [&excluding, &permitting] {
            let refused = Verifier::trusting(authority).refuses(&authority.issue(named(value.clone())));
            let is_expected = matches!(
                refused,
                Reason::SvidNameConstraint | Reason::ConnectionCertificateUnreadable
            );
            assert!(is_expected, "{value:?}: {refused:?}");
        }
    }
    // One that is read, in whichever type.
    for value in [
        der::element(19, b"nobody"),
        der::element(20, b"nobody"),
        der::element(30, b"\0n\0o\0b\0o\0d\0y"),
    ] {
        refused(&excluding, named(value.clone()));
        accepted(&permitting, named(value));
    }
}

/// RFC 5280 4.2.1.10: where no SAN is an e-mail address, one in the subject is held to the constraint.
#[test]
fn email_address_in_a_subject_is_one() {
    let mail = constrained(&[], &[GeneralName::Email("prod.example".into())]);
    let subject = der::sequence([der::set(der::sequence([
        der::oid("1.2.840.113549.1.9.1"),
        der::element(22, b"api@prod.example"),
    ]))]);
    accepted(&mail, leaf());
    refused(
        &mail,
        Leaf {
            subject: Some(subject),
            ..leaf()
        },
    );
}

#[test]
fn constraints_of_an_intermediate_are_processed_like_those_of_an_authority() {
    let root = authority();
    let through = |permitted: &[GeneralName], excluded: &[GeneralName]| {
        let issuer = root.issue_authority(Profile {
            common_name: Some("intermediate".into()),
            extensions: vec![Extension::name_constraints(permitted, excluded)],
            ..Profile::authority(OURS, FIXED_NOW)
        });
        let below = issuer.issue_authority(Profile {
            common_name: Some("lower".into()),
            ..Profile::authority(OURS, FIXED_NOW)
        });
        let verifier = Verifier::trusting(&root);
        let near = verifier.verify(&issuer.issue(leaf())).map_err(|error| error.reason());
        let far = verifier.verify(&below.issue(leaf())).map_err(|error| error.reason());
        assert_eq!(near.is_ok(), far.is_ok());
        near.map(|_| ())
    };
    let directory = |name: &str| GeneralName::Directory(name.to_owned());
    assert_eq!(through(&[uri(OURS)], &[]), Ok(()));
    assert_eq!(through(&[], &[uri(THEIRS)]), Ok(()));
    assert_eq!(through(&[dns("prod.example")], &[]), Ok(()));
    assert_eq!(through(&[], &[directory("nobody")]), Ok(()));
    let violated = Err(Reason::SvidNameConstraint);
    assert_eq!(through(&[uri(THEIRS)], &[]), violated);
    assert_eq!(through(&[], &[uri(OURS)]), violated);
    assert_eq!(through(&[uri(OURS)], &[uri(".example")]), violated);
}

/// NC-3: what one permits, another may take away.
#[test]
fn constraints_of_all_signing_certificates_count() {
    let root = constrained(&[uri(".example")], &[]);
    let issuer = root.issue_authority(Profile {
        common_name: Some("intermediate".into()),
        extensions: vec![Extension::name_constraints(&[uri(".prod.example"), uri(THEIRS)], &[])],
        ..Profile::authority(OURS, FIXED_NOW)
    });
    assert_eq!(
        Verifier::trusting(&root).refuses(&issuer.issue(leaf())),
        Reason::SvidNameConstraint
    );
}

#[test]
fn constrained_intermediate_works_as_an_authority() {
    let offline = authority();
    let constrained = offline.issue_authority(Profile {
        common_name: Some("constrained".into()),
        extensions: vec![Extension::name_constraints(&[uri(OURS)], &[])],
        ..Profile::authority(OURS, FIXED_NOW)
    });
    let leaf_only = constrained.issue(leaf());
    let verifier = Verifier::trusting(&constrained);
    assert!(verifier.verify_sent(&leaf_only.leaf, &[], FIXED_NOW).is_ok());
}

#[test]
fn ids_of_intermediates_lie_under_the_constraints_of_the_authority() {
    let root = constrained(&[uri(OURS)], &[]);
    let through = |trust_domain: &str| {
        let issuer = root.issue_authority(Profile {
            common_name: Some("intermediate".into()),
            ..Profile::authority(trust_domain, FIXED_NOW)
        });
        Verifier::trusting(&root).verify(&issuer.issue(leaf()))
    };
    assert!(through(OURS).is_ok());
    assert_eq!(crate::verifier::reason(through(THEIRS)), Reason::SvidNameConstraint);
}

/// GeneralSubtree with fields that RFC 5280 fixes: `[0]` minimum, `[1]` maximum.
fn subtree(bounds: &[Vec<u8>]) -> Vec<u8> {
    let base = der::context_primitive(6, OURS.as_bytes());
    der::sequence([base].into_iter().chain(bounds.iter().cloned()))
}

#[test]
fn authority_whose_constraints_cannot_be_processed_is_none() {
    let permitted = |subtrees: &[u8]| der::sequence([der::context(0, subtrees)]);
    let many: Vec<u8> = (0..65).flat_map(|_| subtree(&[])).collect();
    for (why, value) in [
        ("minimum", permitted(&subtree(&[der::context_primitive(0, &[1])]))),
        ("maximum", permitted(&subtree(&[der::context_primitive(1, &[5])]))),
        ("nothing at all", der::sequence([])),
        ("no subtree", permitted(&[])),
        ("too many", permitted(&many)),
        ("no sequence", der::null()),
        ("trailing bytes", [permitted(&subtree(&[])), vec![0]].concat()),
    ] {
        let root = with_constraints(Extension::new(NAME_CONSTRAINTS, true, value));
        let refused = Verifier::trusting(&root).refuses(&root.issue(leaf()));
        assert_eq!(refused, Reason::FederationBundleEmpty, "{why}");
    }
}

#[test]
fn intermediate_whose_constraints_say_nothing_is_refused() {
    let root = authority();
    for value in [
        der::sequence([]),
        der::sequence([der::context(0, &[])]),
        der::sequence([der::context(1, &[])]),
    ] {
        let issuer = root.issue_authority(Profile {
            common_name: Some("intermediate".into()),
            extensions: vec![Extension::new(NAME_CONSTRAINTS, true, value)],
            ..Profile::authority(OURS, FIXED_NOW)
        });
        assert_eq!(
            Verifier::trusting(&root).refuses(&issuer.issue(leaf())),
            Reason::SvidNameConstraint
        );
    }
}
