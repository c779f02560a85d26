//! Chains that are made to be expensive (PV-12): each is refused, and soon.

use std::time::{Duration, Instant};

use ca::{Authority, Extension, FIXED_NOW, GeneralName, Identity, Key, KeyKind, Profile, SignatureAlgorithm, der};
use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};
use svidgate_policy::Reason;
use svidgate_policy::certificate::bounds::{MAX_CERTIFICATE_BYTES, MAX_INTERMEDIATES};
use svidgate_policy::certificate::signature::ALGORITHMS;
use svidgate_policy::trust::bundle::Bundle;
use svidgate_policy::trust::chain::{self, ChainError, Purpose};
use svidgate_policy::trust::relationship::Relationship;

use crate::one_name::counted;
use crate::verifier::{OURS, Verifier, authority, leaf, reason, relationship};

/// Far more than any of these takes, far less than without the bound on names.
const SOON: Duration = Duration::from_millis(20);

/// Runs something a few times, for a machine may be busy, and says how long it takes when it is not.
fn quickest(mut run: impl FnMut()) -> Duration {
    let timed = (0..5).map(|_| {
        let start = Instant::now();
        run();
        start.elapsed()
    });
    timed.min().unwrap()
}

fn named(name: &str) -> Profile {
    Profile {
        common_name: Some(name.to_owned()),
        ..Profile::authority(OURS, FIXED_NOW)
    }
}

/// Signing certificates that all bear one name and sign one another in a ring.
fn ring(name: &str, count: usize) -> Vec<Authority> {
    let mut ring = vec![Authority::root(named(name))];
    for _ in 1..count {
        ring.push(ring[ring.len() - 1].issue_authority(named(name)));
    }
    ring
}

fn certificates(ring: &[Authority]) -> Vec<Vec<u8>> {
    ring.iter().map(|authority| authority.certificate.clone()).collect()
}

#[test]
fn eight_intermediates_of_one_name_that_lead_nowhere_are_refused_soon() {
    let ring = ring("one name", 8);
    let identity = Identity {
        intermediates: certificates(&ring),
        ..ring[7].issue(leaf())
    };
    let verifier = Verifier::trusting(&authority());
    let (refused, signatures) = counted(&verifier, &identity);
    assert_eq!(refused, Some(Reason::SvidChainTooLong));
    assert!(signatures <= 24, "{signatures}");
    // Were each of them signed by each other: one cannot make that, but something near it.
    let took = quickest(|| {
        let all_good: Vec<AllGood> = ALGORITHMS.iter().map(|algorithm| AllGood(*algorithm)).collect();
        let algorithms: Vec<&dyn SignatureVerificationAlgorithm> = all_good.iter().map(|one| one as _).collect();
        let refused = verifier.verify_by(&identity, &algorithms);
        assert_eq!(reason(refused), Reason::SvidChainTooLong);
    });
    assert!(took < SOON, "{took:?}");
}

/// Takes every signature for good.
#[derive(Debug)]
struct AllGood(&'static dyn SignatureVerificationAlgorithm);

impl SignatureVerificationAlgorithm for AllGood {
    fn verify_signature(&self, _: &[u8], _: &[u8], _: &[u8]) -> Result<(), InvalidSignature> {
        Ok(())
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.0.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.0.signature_alg_id()
    }
}

#[test]
fn comparisons_of_names_are_bounded_whatever_a_peer_sends() {
    // A chain of six, each with as many constraints as may be, above a leaf with as many names.
    let bases: Vec<GeneralName> = (0..64)
        .map(|number| GeneralName::Dns(format!("{number}.example").into()))
        .collect();
    let constrained = |number: usize| Profile {
        extensions: vec![Extension::name_constraints(&[], &bases)],
        ..named(&format!("intermediate {number}"))
    };
    let root = authority();
    let lowest = (0..6).fold(root.clone(), |issuer, number| {
        issuer.issue_authority(constrained(number))
    });
    let names = |count: usize| Profile {
        dns_sans: (0..count).map(|number| format!("{number}.prod.example")).collect(),
        ..leaf()
    };
    let verifier = Verifier::trusting(&root);
    assert!(verifier.verify(&lowest.issue(names(20))).is_ok());
    let identity = lowest.issue(names(127));
    let all_good: Vec<AllGood> = ALGORITHMS.iter().map(|algorithm| AllGood(*algorithm)).collect();
    let algorithms: Vec<&dyn SignatureVerificationAlgorithm> = all_good.iter().map(|one| one as _).collect();
    let took = quickest(|| {
        let refused = verifier.verify_by(&identity, &algorithms).unwrap_err();
        assert_eq!(refused.reason(), Reason::SvidNameConstraint);
        assert!(refused.to_string().contains("more than 16384 comparisons"), "{refused}");
    });
    // Without optimisation; all of them would take six times that.
    assert!(took < 4 * SOON, "{took:?}");
}

#[test]
fn eight_intermediates_with_the_name_of_the_authority_are_refused_soon() {
    let ring = ring(&format!("{OURS} authority"), 8);
    let identity = Identity {
        intermediates: certificates(&ring),
        ..ring[7].issue(leaf())
    };
    let (refused, signatures) = counted(&Verifier::trusting(&authority()), &identity);
    assert!(refused.is_some());
    assert!(signatures <= 24, "{signatures}");
}

#[test]
fn four_rings_of_two_that_lead_nowhere_are_refused_soon() {
    // Two certificates under each of four names, each name's issuer the next: as many paths as the bounds allow.
    let names = ["a", "b", "c", "d"];
    let keys: Vec<Authority> = names.iter().map(|name| Authority::root(named(name))).collect();
    let mut sent = Vec::new();
    for (place, name) in names.iter().enumerate() {
        let issuer = &keys[(place + 1) % names.len()];
        for _ in 0..2 {
            sent.push(issuer.issue(named(name)).leaf);
        }
    }
    let identity = keys[0].issue(leaf());
    let verifier = Verifier::trusting(&authority());
    let took = quickest(|| {
        assert!(verifier.verify_sent(&identity.leaf, &sent, FIXED_NOW).is_err());
    });
    assert!(took < SOON, "{took:?}");
}

#[test]
fn dear_signatures_count_as_more_than_one() {
    let keys = |kind| [Key::generate(kind), Key::generate(kind)];
    // One key for all authorities of a case: that it is the same each time is not noticed.
    let refused = |[theirs, strange]: &[Key; 2], algorithm: Option<SignatureAlgorithm>, count: usize| {
        let authority = |key: &Key| {
            Authority::root(Profile {
                key: key.clone(),
                ..Profile::authority(OURS, FIXED_NOW)
            })
        };
        let authorities: Vec<Authority> = (0..count).map(|_| authority(theirs)).collect();
        let bundle: Vec<&Authority> = authorities.iter().collect();
        let verifier = Verifier::trusting(&authorities[0]).bundle(OURS, &bundle);
        verifier.refuses(&authority(strange).issue(Profile {
            signature_algorithm: algorithm,
            ..leaf()
        }))
    };
    assert_eq!(refused(&keys(KeyKind::P256), None, 13), Reason::SvidBadSignature);
    let p521 = keys(KeyKind::P521);
    assert_eq!(refused(&p521, None, 11), Reason::SvidBadSignature);
    assert_eq!(refused(&p521, None, 13), Reason::SvidChainTooLong);
    let rsa = keys(KeyKind::Rsa2048);
    for pss in [
        SignatureAlgorithm::RsaPssSha256,
        SignatureAlgorithm::RsaPssSha384,
        SignatureAlgorithm::RsaPssSha512,
    ] {
        assert_eq!(refused(&rsa, Some(pss), 5), Reason::SvidBadSignature);
        assert_eq!(refused(&rsa, Some(pss), 7), Reason::SvidChainTooLong);
    }
}

#[test]
fn leaf_that_would_cost_too_many_signatures_is_refused() {
    // Every authority of the bundle bears the issuer's name, and none has signed.
    let authorities: Vec<Authority> = (0..64).map(|_| authority()).collect();
    let bundle: Vec<&Authority> = authorities.iter().collect();
    let verifier = Verifier::trusting(&authorities[0]).bundle(OURS, &bundle);
    let stranger = authority();
    assert_eq!(verifier.refuses(&stranger.issue(leaf())), Reason::SvidChainTooLong);
    // One within the budget is found.
    assert!(verifier.verify(&authorities[20].issue(leaf())).is_ok());
}

#[test]
fn more_certificates_than_the_bound_are_refused() {
    let root = authority();
    let verifier = Verifier::trusting(&root);
    let identity = root.issue(leaf());
    let beside = |count: usize| {
        let more: Vec<_> = (0..count)
            .map(|number| Authority::root(named(&number.to_string())).certificate)
            .collect();
        verifier.verify_sent(&identity.leaf, &more, FIXED_NOW)
    };
    assert!(beside(8).is_ok());
    assert_eq!(reason(beside(9)), Reason::SvidChainTooLong);
}

#[test]
fn intermediate_of_more_than_16_kib_is_refused() {
    let root = authority();
    let padding = |bytes| Extension::new("1.3.6.1.4.1.55555.1", false, der::octet_string(&vec![0; bytes]));
    let through = |bytes| {
        let issuer = root.issue_authority(Profile {
            extensions: vec![padding(bytes)],
            ..named("issuer")
        });
        Verifier::trusting(&root).verify(&issuer.issue(leaf()))
    };
    assert!(through(15 * 1024).is_ok());
    assert_eq!(reason(through(16 * 1024)), Reason::SvidChainTooLong);
}

#[test]
fn bounds_on_what_stands_beside_a_leaf_are_exact() {
    let root = authority();
    let bundle = Bundle::from_certificates([root.certificate.clone().into()]);
    let leaf = root.issue(leaf()).leaf;
    // No certificates, so nothing is made of them; only their number and length count.
    let beside = |count: usize, bytes: usize| {
        let more: Vec<_> = (0..count).map(|_| vec![0; bytes].into()).collect();
        chain::verify(&leaf, &more, &bundle, ALGORITHMS, Purpose::ClientAuth, FIXED_NOW).map(|_| ())
    };
    assert_eq!(beside(1, MAX_CERTIFICATE_BYTES), Ok(()));
    assert_eq!(
        beside(1, MAX_CERTIFICATE_BYTES + 1),
        Err(ChainError::TooLarge {
            bytes: MAX_CERTIFICATE_BYTES + 1
        })
    );
    // Those of the peer and those of the relationship.
    assert_eq!(beside(2 * MAX_INTERMEDIATES, 1), Ok(()));
    assert_eq!(beside(2 * MAX_INTERMEDIATES + 1, 1), Err(ChainError::TooMany));
}

#[test]
fn hints_of_the_relationship_never_make_a_good_chain_bad() {
    // A rotated intermediate: the peer sends the third of its name, the operator has named the first two.
    let root = authority();
    let generations: Vec<Authority> = (0..3).map(|_| root.issue_authority(named("issuer"))).collect();
    let intermediates = certificates(&generations[..2]).into_iter().map(Into::into).collect();
    let verifier = Verifier::trusting(&root).relationship(Relationship {
        intermediates,
        ..relationship(OURS)
    });
    assert!(verifier.verify(&generations[2].issue(leaf())).is_ok());
}

/// A directory name of as many attributes of a type as fit into so many bytes.
fn long_name(oid: &str, bytes: usize) -> GeneralName {
    let attribute = der::set(der::sequence([der::oid(oid), der::utf8_string("")]));
    let count = bytes / attribute.len();
    GeneralName::Raw(der::context(4, &der::sequence(vec![attribute; count])))
}

/// How many times as long it takes to refuse one as the other; of the same bytes, whatever else the machine does.
fn times(verifier: &Verifier, one: &Identity, other: &Identity) -> u128 {
    let [one, other] = [one, other].map(|identity| {
        let took = quickest(|| assert!(verifier.verify(identity).is_err()));
        took.as_micros()
    });
    one / other.max(1)
}

#[test]
fn long_names_are_read_once_however_many_paths_lead_through_them() {
    // Two of one key under each of four names, so thirty ways up from the leaf; under each constraint many long names.
    let names = ["a", "b", "c", "d"];
    let keys = names.map(|name| Authority::root(named(name)));
    // What takes long to spell is the type.
    let oid = format!("1.2{}", ".3".repeat(36));
    let extensions = vec![
        Extension::name_constraints(&[], &[GeneralName::Directory("x".to_owned())]),
        Extension::subject_alt_name(&[long_name(&oid, 14_000)], false),
    ];
    let issuers = keys.iter().cycle().skip(1);
    let sent: Vec<Vec<u8>> = keys
        .iter()
        .zip(issuers)
        .zip(names)
        .flat_map(|((own, issuer), name)| [(own, issuer, name); 2])
        .map(|(own, issuer, name)| {
            let profile = Profile {
                key: own.key.clone(),
                uri_sans: Vec::new(),
                extensions: extensions.clone(),
                ..named(name)
            };
            issuer.issue(profile).leaf
        })
        .collect();
    let beside = |identity: Identity| Identity {
        intermediates: sent.clone(),
        ..identity
    };
    let of_nobody = Authority::root(named("nobody")).issue(leaf());
    let times = times(
        &Verifier::trusting(&authority()),
        &beside(keys[0].issue(leaf())),
        &beside(of_nobody),
    );
    assert!(times < 4, "{times}");
}

#[test]
fn names_in_constraints_that_nobody_asks_for_are_not_written_out() {
    let stranger = Authority::root(named("stranger"));
    let with = |extension: Extension| {
        let issue = |number: usize| Profile {
            uri_sans: Vec::new(),
            extensions: vec![extension.clone()],
            ..named(&number.to_string())
        };
        Identity {
            intermediates: (0..8).map(|number| stranger.issue(issue(number)).leaf).collect(),
            ..stranger.issue(leaf())
        }
    };
    let constrains = with(Extension::name_constraints(&[], &[long_name("2.5.4.3", 15_000)]));
    let bears = with(Extension::subject_alt_name(&[long_name("2.5.4.3", 15_000)], false));
    let times = times(&Verifier::trusting(&authority()), &constrains, &bears);
    assert!(times < 4, "{times}");
}
