//! Which keys and signatures count (PV-13).

use ca::{Authority, FIXED_NOW, Key, KeyKind, Leaf, Profile, SignatureAlgorithm, der};
use svidgate_policy::Reason;

use crate::verifier::{OURS, Verifier, authority, leaf, reason};

fn authority_with(kind: KeyKind) -> Authority {
    Authority::root(Profile {
        key: Key::generate(kind),
        ..Profile::authority(OURS, FIXED_NOW)
    })
}

#[track_caller]
fn accepted(kind: KeyKind, algorithm: SignatureAlgorithm) {
    let root = authority_with(kind);
    let issuer = root.issue_authority(Profile {
        common_name: Some("intermediate".into()),
        key: Key::generate(kind),
        signature_algorithm: Some(algorithm),
        ..Profile::authority(OURS, FIXED_NOW)
    });
    let verifier = Verifier::trusting(&root);
    // RSA keys are few, and a leaf with the key of its root would be refused for that.
    let identity = issuer.issue(Leaf {
        signature_algorithm: Some(algorithm),
        ..leaf()
    });
    assert!(verifier.verify(&identity).is_ok(), "{kind:?} {algorithm:?}");

    let mut broken = identity.leaf.clone();
    *broken.last_mut().unwrap() ^= 1;
    let refused = reason(verifier.verify_sent(&broken, &identity.intermediates, FIXED_NOW));
    assert_eq!(refused, Reason::SvidBadSignature, "{kind:?} {algorithm:?}");
}

#[test]
fn ecdsa_chains_are_accepted_on_each_curve_with_each_hash() {
    use SignatureAlgorithm::{EcdsaSha256, EcdsaSha384, EcdsaSha512};
    for kind in [KeyKind::P256, KeyKind::P384, KeyKind::P521] {
        for algorithm in [EcdsaSha256, EcdsaSha384, EcdsaSha512] {
            accepted(kind, algorithm);
        }
    }
}

#[test]
fn ed25519_chain_is_accepted() {
    accepted(KeyKind::Ed25519, SignatureAlgorithm::Ed25519);
}

#[test]
fn rsa_chains_are_accepted_with_each_padding_and_hash() {
    use SignatureAlgorithm::{
        RsaPkcs1Sha256, RsaPkcs1Sha384, RsaPkcs1Sha512, RsaPssSha256, RsaPssSha384, RsaPssSha512,
    };
    let all = [
        RsaPkcs1Sha256,
        RsaPkcs1Sha384,
        RsaPkcs1Sha512,
        RsaPssSha256,
        RsaPssSha384,
        RsaPssSha512,
    ];
    for algorithm in all {
        accepted(KeyKind::Rsa2048, algorithm);
    }
    for kind in [KeyKind::Rsa3072, KeyKind::Rsa4096] {
        accepted(kind, RsaPkcs1Sha256);
        accepted(kind, RsaPssSha512);
    }
}

#[test]
fn keys_of_several_kinds_may_stand_in_one_chain() {
    let root = authority_with(KeyKind::Rsa2048);
    let issuer = root.issue_authority(Profile {
        common_name: Some("intermediate".into()),
        key: Key::generate(KeyKind::P384),
        ..Profile::authority(OURS, FIXED_NOW)
    });
    let identity = issuer.issue(Leaf {
        key: Key::generate(KeyKind::Ed25519),
        ..leaf()
    });
    assert!(Verifier::trusting(&root).verify(&identity).is_ok());
}

#[test]
fn authority_with_a_small_rsa_key_is_refused() {
    let root = authority_with(KeyKind::Rsa1024);
    assert_eq!(
        Verifier::trusting(&root).refuses(&root.issue(leaf())),
        Reason::SvidBadSignature
    );
}

#[test]
fn authority_with_an_rsa_key_of_8192_bits_is_refused() {
    let root = authority_with(KeyKind::Rsa8192);
    assert_eq!(
        Verifier::trusting(&root).refuses(&root.issue(leaf())),
        Reason::SvidBadSignature
    );
}

#[test]
fn leaf_with_an_rsa_key_of_8192_bits_is_refused() {
    let root = authority();
    let large = Leaf {
        key: Key::generate(KeyKind::Rsa8192),
        ..leaf()
    };
    assert_eq!(
        Verifier::trusting(&root).refuses(&root.issue(large)),
        Reason::SvidUnsupportedAlgorithm
    );
}

#[test]
fn sha_1_is_not_on_the_list() {
    for (kind, identifier) in [
        (KeyKind::P256, der::sequence([der::oid("1.2.840.10045.4.1")])),
        (
            KeyKind::Rsa2048,
            der::sequence([der::oid("1.2.840.113549.1.1.5"), der::null()]),
        ),
    ] {
        let root = authority_with(kind);
        let refused = Verifier::trusting(&root).refuses(&root.issue(Leaf {
            signature_identifier: Some(identifier),
            ..leaf()
        }));
        assert_eq!(refused, Reason::SvidUnsupportedAlgorithm, "{kind:?}");
    }
}

#[test]
fn pss_with_other_parameters_is_not_on_the_list() {
    // SHA-256 with a salt of 20 bytes, the default of RFC 4055.
    let sha256 = der::sequence([der::oid("2.16.840.1.101.3.4.2.1"), der::null()]);
    let parameters = der::sequence([der::context(0, &sha256)]);
    let identifier = der::sequence([der::oid("1.2.840.113549.1.1.10"), parameters]);
    let root = authority_with(KeyKind::Rsa2048);
    let identity = root.issue(Leaf {
        signature_algorithm: Some(SignatureAlgorithm::RsaPssSha256),
        signature_identifier: Some(identifier),
        ..leaf()
    });
    assert_eq!(
        Verifier::trusting(&root).refuses(&identity),
        Reason::SvidUnsupportedAlgorithm
    );
}

#[test]
fn signature_algorithm_that_does_not_go_with_the_key_is_refused() {
    let root = authority();
    let rsa = SignatureAlgorithm::RsaPkcs1Sha256.identifier();
    let identity = root.issue(Leaf {
        signature_identifier: Some(rsa),
        ..leaf()
    });
    assert_eq!(
        Verifier::trusting(&root).refuses(&identity),
        Reason::SvidUnsupportedAlgorithm
    );
    let sha512 = SignatureAlgorithm::EcdsaSha512.identifier();
    let identity = root.issue(Leaf {
        signature_identifier: Some(sha512),
        ..leaf()
    });
    assert_eq!(Verifier::trusting(&root).refuses(&identity), Reason::SvidBadSignature);
}

#[test]
fn signature_algorithm_must_stand_the_same_in_both_places() {
    let root = authority();
    let identity = root.issue(leaf());
    // The outer one is the last occurrence; the signature does not cover it.
    let inner = SignatureAlgorithm::EcdsaSha256.identifier();
    let place = identity
        .leaf
        .windows(inner.len())
        .rposition(|window| window == inner)
        .unwrap();
    let mut changed = identity.leaf.clone();
    changed[place..place + inner.len()].copy_from_slice(&SignatureAlgorithm::EcdsaSha384.identifier());
    assert!(Verifier::trusting(&root).verify_sent(&changed, &[], FIXED_NOW).is_err());
}

#[test]
fn leaf_whose_own_key_is_too_small_is_refused() {
    let root = authority();
    let weak = Leaf {
        key: Key::generate(KeyKind::Rsa1024),
        ..leaf()
    };
    let refused = Verifier::trusting(&root).verify(&root.issue(weak));
    assert_eq!(reason(refused), Reason::SvidUnsupportedAlgorithm);
}
