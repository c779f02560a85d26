//! Authorities and signing certificates that all bear one name, as those of SPIRE before 1.8.4 do (CA-10): key
//! identifiers say which of them to try first, and nothing about whom to trust.

use std::sync::atomic::{AtomicU32, Ordering};

use ca::{
    Authority, BasicConstraints, ExtendedKeyUsage, Extension, FIXED_NOW, Identity, Key, KeyKind, KeyUsage, Leaf,
    Profile, SignatureAlgorithm, der,
};
use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};
use svidgate_policy::Reason;
use svidgate_policy::certificate::signature::ALGORITHMS;
use svidgate_policy::trust::relationship::Relationship;
use svidgate_policy::{certificate::signature::MAX_SIGNATURE_CHECKS, trust::chain::MAX_HINTS};

use crate::encoding::NOBODY_KNOWS;
use crate::verifier::{OURS, Verifier, authority, leaf, reason, relationship};

/// Counts the signatures that are looked at.
#[derive(Debug)]
struct Counting<'a> {
    algorithm: &'static dyn SignatureVerificationAlgorithm,
    count: &'a AtomicU32,
}

impl SignatureVerificationAlgorithm for Counting<'_> {
    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.algorithm.verify_signature(public_key, message, signature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.signature_alg_id()
    }
}

/// What comes of it, and how many signatures were looked at.
pub(crate) fn counted(verifier: &Verifier, identity: &Identity) -> (Option<Reason>, u32) {
    counted_remembering(&[], verifier, identity)
}

/// The same, where certificates of earlier paths are remembered.
fn counted_remembering(hints: &[&Authority], verifier: &Verifier, identity: &Identity) -> (Option<Reason>, u32) {
    let count = AtomicU32::new(0);
    let counting: Vec<Counting<'_>> = ALGORITHMS
        .iter()
        .map(|algorithm| Counting {
            algorithm: *algorithm,
            count: &count,
        })
        .collect();
    let algorithms: Vec<&dyn SignatureVerificationAlgorithm> = counting.iter().map(|one| one as _).collect();
    let refused = verifier.verify_remembering(hints, identity, &algorithms).err();
    let refused = refused.map(|error| error.reason());
    (refused, count.load(Ordering::Relaxed))
}

fn many(count: usize, profile: impl Fn() -> Profile) -> (Verifier, Vec<Authority>) {
    let authorities: Vec<Authority> = (0..count).map(|_| Authority::root(profile())).collect();
    let bundle: Vec<&Authority> = authorities.iter().collect();
    let verifier = Verifier::trusting(&authorities[0]).bundle(OURS, &bundle);
    (verifier, authorities)
}

fn profile() -> Profile {
    Profile::authority(OURS, FIXED_NOW)
}

#[test]
fn good_leaf_costs_one_signature_however_many_authorities_bear_its_issuers_name() {
    let (verifier, authorities) = many(256, profile);
    for place in [0, 24, 255] {
        let identity = authorities[place].issue(leaf());
        assert_eq!(counted(&verifier, &identity), (None, 1), "authority {place}");
        // The signing certificate in between bears their name, too.
        let below = authorities[place].issue_authority(profile()).issue(leaf());
        assert_eq!(counted(&verifier, &below), (None, 2), "below authority {place}");
    }
}

#[test]
fn good_leaf_of_dear_authorities_of_one_name_is_accepted() {
    let p521 = || Profile {
        key: Key::generate(KeyKind::P521),
        ..profile()
    };
    let (verifier, authorities) = many(14, p521);
    assert_eq!(counted(&verifier, &authorities[13].issue(leaf())), (None, 1));

    let keys = [Key::generate(KeyKind::Rsa2048), Key::generate(KeyKind::Rsa2048)];
    let root = |key: &Key| {
        Authority::root(Profile {
            key: key.clone(),
            ..profile()
        })
    };
    let (strange, signer) = (root(&keys[0]), root(&keys[1]));
    let mut bundle = vec![&strange; 8];
    bundle.push(&signer);
    let verifier = Verifier::trusting(&signer).bundle(OURS, &bundle);
    let identity = signer.issue(Leaf {
        signature_algorithm: Some(SignatureAlgorithm::RsaPssSha256),
        ..leaf()
    });
    assert_eq!(counted(&verifier, &identity), (None, 1));
}

#[test]
fn without_key_identifiers_as_many_are_tried_as_the_bound_allows_and_no_more() {
    let (verifier, authorities) = many(25, || Profile {
        subject_key_id: false,
        authority_key_id: false,
        ..profile()
    });
    let signed_by = |place: usize| {
        authorities[place].issue(Leaf {
            authority_key_id: false,
            ..leaf()
        })
    };
    assert_eq!(counted(&verifier, &signed_by(23)), (None, 24));
    assert_eq!(counted(&verifier, &signed_by(24)), (Some(Reason::SvidChainTooLong), 24));
    let (verifier, _) = many(24, profile);
    // Each of them was tried, and none more was there: that is a wrong signature, not too much work.
    assert_eq!(
        counted(&verifier, &authority().issue(leaf())),
        (Some(Reason::SvidBadSignature), 24)
    );
}

/// What a forged leaf may cost is bounded once, not once for what was sent and once for what is remembered.
#[test]
fn remembered_certificates_are_tried_with_what_is_left_of_a_leafs_signatures() {
    let forger = authority();
    let forged = forger.issue(leaf());
    for count in [1, 4, 8, 12, 16, 23] {
        let (verifier, authorities) = many(count, profile);
        let hints: Vec<Authority> = (0..MAX_HINTS)
            .map(|_| authorities[0].issue_authority(profile()))
            .collect();
        let hints: Vec<&Authority> = hints.iter().collect();
        let alone = u32::try_from(count).unwrap();
        assert_eq!(counted(&verifier, &forged), (Some(Reason::SvidBadSignature), alone));
        // Authorities are looked at again with the hints, so with 8 of them and 16 hints there is more to try than is
        // left.
        let all = (2 * alone + u32::try_from(MAX_HINTS).unwrap()).min(MAX_SIGNATURE_CHECKS);
        assert_eq!(
            counted_remembering(&hints, &verifier, &forged),
            (Some(Reason::SvidBadSignature), all),
            "{count} authorities"
        );
    }
    // As many as fit beside the hints are sent, and named in the relationship.
    let (verifier, authorities) = many(1, profile);
    let below =
        |count: usize| -> Vec<Authority> { (0..count).map(|_| authorities[0].issue_authority(profile())).collect() };
    let (hints, sent) = (below(MAX_HINTS), below(8));
    let verifier = verifier.relationship(Relationship {
        intermediates: below(8).into_iter().map(|one| one.certificate.into()).collect(),
        ..relationship(OURS)
    });
    let forged = Identity {
        intermediates: sent.into_iter().map(|one| one.certificate).collect(),
        ..forged
    };
    assert_eq!(counted(&verifier, &forged), (Some(Reason::SvidBadSignature), 17));
    let hints: Vec<&Authority> = hints.iter().collect();
    assert_eq!(
        counted_remembering(&hints, &verifier, &forged),
        (Some(Reason::SvidBadSignature), MAX_SIGNATURE_CHECKS)
    );
}

/// What an RSA-PSS or P-521 signature costs more than another is taken from the same budget.
#[test]
fn dear_remembered_certificates_are_tried_with_what_is_left_as_well() {
    let p521 = || Profile {
        key: Key::generate(KeyKind::P521),
        ..profile()
    };
    let (verifier, authorities) = many(5, p521);
    let hints: Vec<Authority> = (0..MAX_HINTS).map(|_| authorities[0].issue_authority(p521())).collect();
    let hints: Vec<&Authority> = hints.iter().collect();
    let forged = Authority::root(p521()).issue(leaf());
    assert_eq!(counted(&verifier, &forged), (Some(Reason::SvidBadSignature), 5));
    // Each counts as 2.
    assert_eq!(
        counted_remembering(&hints, &verifier, &forged),
        (Some(Reason::SvidBadSignature), MAX_SIGNATURE_CHECKS / 2)
    );
}

#[test]
fn good_leaf_of_a_remembered_issuer_costs_what_its_path_does() {
    let (verifier, authorities) = many(8, profile);
    let hints: Vec<Authority> = (0..MAX_HINTS)
        .map(|place| authorities[place % 8].issue_authority(profile()))
        .collect();
    let all: Vec<&Authority> = hints.iter().collect();
    for issuer in &hints {
        let identity = Identity {
            intermediates: Vec::new(),
            ..issuer.issue(leaf())
        };
        assert_eq!(counted(&verifier, &identity), (Some(Reason::SvidBadSignature), 8));
        // What is sent is tried in vain first.
        assert_eq!(counted_remembering(&all, &verifier, &identity), (None, 8 + 2));
    }
}

#[test]
fn key_identifier_of_another_authority_is_an_order_and_nothing_more() {
    let (verifier, authorities) = many(3, profile);
    let claiming = |issuer: &Authority, other: &Authority| {
        let key_id = Extension::authority_key_id(&other.key.id());
        issuer.issue(Leaf {
            authority_key_id: false,
            extensions: vec![key_id],
            ..leaf()
        })
    };
    // The true one is found as well, at the cost of the one that is named.
    assert_eq!(
        counted(&verifier, &claiming(&authorities[2], &authorities[0])),
        (None, 3)
    );
    // Whoever names a good authority's key does not have it.
    assert_eq!(
        counted(&verifier, &claiming(&authority(), &authorities[1])),
        (Some(Reason::SvidBadSignature), 3)
    );
    // The name counts, whatever the identifier says.
    let renamed = Authority::root(Profile {
        common_name: Some("another".to_owned()),
        key: authorities[1].key.clone(),
        ..profile()
    });
    assert_eq!(
        counted(&verifier, &renamed.issue(leaf())),
        (Some(Reason::SvidUnknownAuthority), 0)
    );
}

#[test]
fn more_than_three_signing_certificates_of_one_name_do_not_refuse_a_leaf() {
    let (verifier, authorities) = many(30, profile);
    let generations: Vec<Authority> = (0..8)
        .map(|place| authorities[place].issue_authority(profile()))
        .collect();
    let beside: Vec<Vec<u8>> = generations.iter().map(|issuer| issuer.certificate.clone()).collect();
    for issuer in &generations {
        let identity = Identity {
            intermediates: beside.clone(),
            ..issuer.issue(leaf())
        };
        assert_eq!(counted(&verifier, &identity), (None, 2));
    }
}

/// Where all bear one name, an authority of that name has not made the signature either; that is not what is wrong.
#[test]
fn what_is_wrong_with_the_signing_certificate_that_is_meant_is_told() {
    let (verifier, authorities) = many(3, profile);
    let through = |changed: Profile| reason(verifier.verify(&authorities[1].issue_authority(changed).issue(leaf())));
    let path_len = |path_len| {
        Some(BasicConstraints {
            ca: true,
            path_len: Some(path_len),
        })
    };
    for key_usage in [None, Some(vec![KeyUsage::CrlSign])] {
        assert_eq!(
            through(Profile { key_usage, ..profile() }),
            Reason::SvidSigningCertificate
        );
    }
    let extended_key_usage = Some(vec![ExtendedKeyUsage::ServerAuth]);
    assert_eq!(
        through(Profile {
            extended_key_usage,
            ..profile()
        }),
        Reason::SvidKeyUsage
    );
    let extensions = vec![Extension::new(NOBODY_KNOWS, true, der::null())];
    assert_eq!(
        through(Profile {
            extensions,
            ..profile()
        }),
        Reason::SvidCriticalExtension
    );
    assert_eq!(
        through(Profile {
            not_after: FIXED_NOW - jiff::SignedDuration::from_secs(1),
            ..profile()
        }),
        Reason::SvidExpired
    );
    let limited = authorities[1].issue_authority(Profile {
        basic_constraints: path_len(0),
        ..profile()
    });
    let named = limited.issue_authority(Profile {
        common_name: Some("another".to_owned()),
        ..profile()
    });
    assert_eq!(verifier.refuses(&named.issue(leaf())), Reason::SvidSigningCertificate);
}
