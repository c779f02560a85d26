//! From the leaf to an authority: X509-SVID 3.2, 4 and 5.1, RFC 5280 section 6.

use std::collections::BTreeSet;

use ca::{Authority, Extension, FIXED_NOW, GeneralName, Identity, KeyUsage, Leaf, Profile};
use svidgate_policy::Reason;
use svidgate_policy::certificate::name_constraints::{Breach, ConstraintsError};
use svidgate_policy::certificate::signature::ALGORITHMS;
use svidgate_policy::certificate::signer::SigningError;
use svidgate_policy::trust::bundle::Bundle;
use svidgate_policy::trust::chain::{self, ChainError, Purpose};
use svidgate_policy::trust::relationship::Relationship;

use crate::verifier::{OURS, Verifier, authority, leaf, reason, relationship};

/// A good intermediate of our trust domain.
pub(crate) fn intermediate(name: &str) -> Profile {
    Profile {
        common_name: Some(name.to_owned()),
        ..Profile::authority(OURS, FIXED_NOW)
    }
}

/// Root, `count` intermediates, leaf.
pub(crate) fn deep(root: &Authority, count: usize) -> Identity {
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

#[test]
fn every_refusal_says_something_of_its_own() {
    let all = [
        ChainError::AuthorityGone,
        ChainError::BadSignature {
            namesakes: 2,
            is_meant: false,
        },
        ChainError::BadSignature {
            namesakes: 2,
            is_meant: true,
        },
        ChainError::Expired { not_after: FIXED_NOW },
        ChainError::NotYetValid { not_before: FIXED_NOW },
        ChainError::Signer(SigningError::NotCa),
        ChainError::Signer(SigningError::NoKeyUsage),
        ChainError::Signer(SigningError::CannotSign),
        ChainError::Signer(SigningError::Purpose(Purpose::ClientAuth)),
        ChainError::Signer(SigningError::WorkloadId),
        ChainError::Signer(SigningError::NameConstraints(ConstraintsError::Empty)),
        ChainError::PathLength,
        ChainError::LeafKey,
        ChainError::LeafSigns,
        ChainError::NameConstraint(Breach::TooMuchWork),
        ChainError::Revoked { reason: None },
        ChainError::UnsupportedAlgorithm,
        ChainError::TooDeep,
        ChainError::TooMany,
        ChainError::TooLarge { bytes: 20_000 },
        ChainError::TooMuchWork,
        ChainError::Unreadable,
    ];
    let said: BTreeSet<String> = all.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), all.len());
    assert!(said.iter().all(|text| text.len() > 20), "{said:?}");
}
