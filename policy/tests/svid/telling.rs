//! What a refusal says: whoever has only the line knows what is wrong and what to do.

use ca::{Authority, BasicConstraints, Extension, FIXED_NOW, GeneralName, Identity, Leaf, Profile, der};
use svidgate_policy::certificate::{error::CertificateError, pem::read_pem};

use crate::verifier::{OURS, THEIRS, Verifier, authority, leaf};

fn named(name: &str) -> Profile {
    Profile {
        common_name: Some(name.to_owned()),
        ..Profile::authority(OURS, FIXED_NOW)
    }
}

fn said(verifier: &Verifier, identity: &Identity) -> String {
    verifier.verify(identity).unwrap_err().to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn unknown_authority_is_told_with_what_the_leaf_claims_and_how_many_authorities_there_are() {
    let root = authority();
    let stranger = Authority::root(named("stranger"));
    let old = Authority::root(Profile {
        not_after: FIXED_NOW - jiff::SignedDuration::from_secs(1),
        ..named("old")
    });
    let key_id = hex(&stranger.key.id());
    let verifier = Verifier::trusting(&root);
    assert_eq!(
        said(&verifier, &stranger.issue(leaf())),
        format!("none of 1 authorities issued it; the leaf claims issuer `CN=stranger`, key id {key_id}")
    );
    let rotated = Verifier::trusting(&root).bundle(OURS, &[&root, &old]);
    let bare = Leaf {
        authority_key_id: false,
        ..leaf()
    };
    assert_eq!(
        said(&rotated, &old.issue(bare)),
        "none of 2 authorities issued it (1 of them outside their validity); the leaf claims issuer `CN=old`, no key id"
    );
    // What is missing stands higher up.
    let below = stranger.issue_authority(named("issuer"));
    assert_eq!(
        said(&verifier, &below.issue(leaf())),
        format!(
            "none of 1 authorities issued it; certificate 1 above the leaf claims issuer `CN=stranger`, key id {key_id}"
        )
    );
}

#[test]
fn what_a_leaf_claims_is_escaped_and_cut() {
    let verifier = Verifier::trusting(&authority());
    let claiming = |name: &str| said(&verifier, &Authority::root(named(name)).issue(leaf()));
    let forged = claiming("a`\"\n{\"decision\":\"allow\"}\u{202e}");
    assert!(!forged.contains(['"', '\n', '\u{202e}']), "{forged}");
    assert_eq!(forged.matches('`').count(), 2, "{forged}");
    let long = claiming(&"x".repeat(5_000));
    assert!(long.len() < 200, "{long}");
    // Where it claims a key id of any length, that is cut as well.
    let key_id = Extension::authority_key_id(&[0xab; 2_000]);
    let identity = Authority::root(named("x")).issue(Leaf {
        authority_key_id: false,
        extensions: vec![key_id],
        ..leaf()
    });
    assert!(said(&verifier, &identity).len() < 200);
}

#[test]
fn wrong_signature_is_told_with_who_might_have_made_it() {
    let (root, namesake) = (authority(), authority());
    let verifier = Verifier::trusting(&root).bundle(OURS, &[&root, &authority()]);
    assert_eq!(
        said(&verifier, &namesake.issue(leaf())),
        "2 certificates have the issuer's name, none the key that signed"
    );
    assert_eq!(
        said(&verifier, &root.issue(leaf()).forged(1)),
        "2 certificates have the issuer's name, none the key that signed (one has its key id: the signature is wrong)"
    );
}

#[test]
fn what_is_too_long_is_told_by_its_kind() {
    let root = authority();
    let verifier = Verifier::trusting(&root);
    let chain = |count: usize| {
        let below = |issuer: Authority, number: usize| issuer.issue_authority(named(&format!("issuer {number}")));
        (0..count).fold(root.clone(), below)
    };
    assert_eq!(
        said(&verifier, &chain(7).issue(leaf())),
        "more than 6 signing certificates below an authority"
    );
    assert_eq!(
        said(&verifier, &chain(9).issue(leaf())),
        "more than 8 certificates beside the leaf, from the peer or in `intermediates`"
    );
    let padded = root.issue_authority(Profile {
        extensions: vec![Extension::new(
            "1.3.6.1.4.1.55555.1",
            false,
            der::octet_string(&[0; 16 * 1024]),
        )],
        ..named("large")
    });
    let large = said(&verifier, &padded.issue(leaf()));
    assert!(large.starts_with("a certificate beside the leaf has 1"), "{large}");
    assert!(large.ends_with("bytes (at most 16384)"), "{large}");
    // The same of a PEM text.
    let text = |identity: &Identity| read_pem(identity.chain_pem().as_bytes()).unwrap_err();
    assert_eq!(text(&chain(9).issue(leaf())), CertificateError::TooMany);
    assert!(matches!(text(&padded.issue(leaf())), CertificateError::TooLarge { .. }));
}

#[test]
fn too_much_work_is_told_only_where_it_was() {
    let bare = || Profile {
        subject_key_id: false,
        ..Profile::authority(OURS, FIXED_NOW)
    };
    let authorities: Vec<Authority> = (0..25).map(|_| Authority::root(bare())).collect();
    let verify = |count: usize| {
        let bundle: Vec<&Authority> = authorities.iter().take(count).collect();
        said(
            &Verifier::trusting(&authorities[0]).bundle(OURS, &bundle),
            &authority().issue(leaf()),
        )
    };
    assert!(
        verify(24).starts_with("24 certificates have the issuer's name"),
        "{}",
        verify(24)
    );
    assert!(
        verify(25).starts_with("more than 24 signatures would have to be checked"),
        "{}",
        verify(25)
    );
}

#[test]
fn what_is_wrong_with_a_signing_certificate_is_told() {
    let root = authority();
    let verifier = Verifier::trusting(&root);
    let through = |profile: Profile| said(&verifier, &root.issue_authority(profile).issue(leaf()));
    let signing = "a signing certificate of the chain: ";
    assert_eq!(
        through(Profile {
            key_usage: None,
            ..named("issuer")
        }),
        format!("{signing}certificate cannot sign (key usage is missing)")
    );
    let extensions = vec![Extension::new("1.3.6.1.4.1.55555.1", true, der::null())];
    assert_eq!(
        through(Profile {
            extensions,
            ..named("issuer")
        }),
        format!("{signing}critical extension 1.3.6.1.4.1.55555.1 is not known")
    );
    let limited = root.issue_authority(Profile {
        basic_constraints: Some(BasicConstraints {
            ca: true,
            path_len: Some(0),
        }),
        ..named("upper")
    });
    assert_eq!(
        said(&verifier, &limited.issue_authority(named("lower")).issue(leaf())),
        "more signing certificates stand below one of the chain than its path length allows"
    );
    let constrained = |permitted: &[GeneralName], excluded: &[GeneralName]| {
        let extensions = vec![Extension::name_constraints(permitted, excluded)];
        let root = Authority::root(Profile {
            extensions,
            ..Profile::authority(OURS, FIXED_NOW)
        });
        said(&Verifier::trusting(&root), &root.issue(leaf()))
    };
    assert_eq!(
        constrained(&[GeneralName::uri(THEIRS)], &[]),
        "a name constraint of the chain: a URI below it is not inside `partner.example`, which is permitted"
    );
    assert_eq!(
        constrained(&[], &[GeneralName::uri(".example")]),
        "a name constraint of the chain: a URI below it is excluded by `.example`"
    );
}

#[test]
fn serial_number_that_is_too_long_is_named() {
    let root = authority();
    let verifier = Verifier::trusting(&root);
    let with = |serial: &[u8]| {
        root.issue(Leaf {
            serial: Some(serial.to_vec()),
            ..leaf()
        })
    };
    assert!(verifier.verify(&with(&[0x7f; 20])).is_ok());
    assert_eq!(
        said(&verifier, &with(&[0x7f; 22])),
        "serial number has 22 bytes (at most 20, RFC 5280 4.1.2.2)"
    );
    // What is no certificate has no serial number.
    let mut broken = with(&[1]);
    broken.leaf.push(0);
    assert_eq!(said(&verifier, &broken), "not one X.509 certificate in DER");
}
