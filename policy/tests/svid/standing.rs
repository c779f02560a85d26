//! An identity that was verified, held against what has changed since: bundle, revocations, relationship, time.

use ca::{Authority, FIXED_NOW, Identity, Key, KeyKind, Leaf, Profile, der};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use svidgate_policy::digest::sha256;
use svidgate_policy::{
    Bundle, BundleSet, Presented, Reason, Revocations, Svid, Trust,
    trust::relationship::{Relationship, Relationships},
};

use crate::verifier::{ID, OURS, Verifier, authority, leaf, name, relationship};

const SECOND: SignedDuration = SignedDuration::from_secs(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// What an identity is held against.
struct Held {
    bundles: BundleSet,
    relationships: Relationships,
    revocations: Revocations,
    expiry_grace: SignedDuration,
}

impl Held {
    fn against(authorities: &[&Authority]) -> Self {
        let mut held = Self {
            bundles: BundleSet::default(),
            relationships: Relationships::default(),
            revocations: Revocations::default(),
            expiry_grace: SignedDuration::ZERO,
        };
        held.relationships.insert(relationship(OURS));
        let certificates = authorities.iter().map(|authority| authority.certificate.clone().into());
        held.bundles.insert(name(OURS), Bundle::from_certificates(certificates));
        held
    }

    fn revoking(mut self, entry: Value) -> Self {
        let list = json!({ "revoked": [entry] }).to_string();
        self.revocations = Revocations::parse(list.as_bytes()).unwrap();
        self
    }

    fn until(&self, svid: &Svid, now: Timestamp) -> Result<Timestamp, Reason> {
        let trust = Trust {
            relationships: &self.relationships,
            bundles: Some(&self.bundles),
            revocations: &[&self.revocations],
            expiry_grace: self.expiry_grace,
        };
        svid.stands(&trust, now).map_err(|error| error.reason())
    }

    fn reason(&self, svid: &Svid) -> Option<Reason> {
        self.until(svid, FIXED_NOW).err()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A leaf below a signing certificate below the root, and all three.
fn verified() -> (Authority, Authority, Identity, Svid) {
    let root = authority();
    let middle = root.issue_authority(Profile {
        common_name: Some("middle".to_owned()),
        serial: Some(vec![0x00, 0x9a, 0x01]),
        ..Profile::authority(OURS, FIXED_NOW)
    });
    let identity = middle.issue(Leaf {
        serial: Some(vec![0x0a, 0x1b]),
        ..leaf()
    });
    let svid = Verifier::trusting(&root).verify(&identity).unwrap();
    (root, middle, identity, svid)
}

#[test]
fn identity_stands_as_long_as_its_authority_is_in_the_bundle() {
    let (root, _, _, svid) = verified();
    let other = authority();
    assert_eq!(Held::against(&[&root]).until(&svid, FIXED_NOW), Ok(svid.valid_until()));
    assert_eq!(Held::against(&[&other, &root]).reason(&svid), None);
    assert_eq!(
        Held::against(&[&other]).reason(&svid),
        Some(Reason::SvidUnknownAuthority),
        "another of the same name is another"
    );
    assert_eq!(Held::against(&[]).reason(&svid), Some(Reason::FederationBundleEmpty));
    let mut gone = Held::against(&[&root]);
    gone.bundles.remove(&name(OURS));
    assert_eq!(gone.reason(&svid), Some(Reason::FederationBundleMissing));
}

#[test]
fn path_has_what_was_verified_and_nothing_else() {
    let (root, middle, identity, svid) = verified();
    for certificate in [&root.certificate, &middle.certificate, &identity.leaf] {
        assert!(svid.has_in_path(&sha256(certificate)));
    }
    assert!(!svid.has_in_path(&sha256(&authority().certificate)));
}

#[test]
fn leaf_whose_key_has_become_an_authority_does_not_stand() {
    let root = authority();
    let key = Key::generate(KeyKind::P256);
    let identity = root.issue(Leaf {
        key: key.clone(),
        ..leaf()
    });
    let svid = Verifier::trusting(&root).verify(&identity).unwrap();
    let promoted = Authority::root(Profile {
        key,
        ..Profile::authority(OURS, FIXED_NOW)
    });
    assert_eq!(Held::against(&[&root, &promoted]).reason(&svid), Some(Reason::SvidIsCa));
}

#[test]
fn identity_ends_with_its_bundle_becoming_stale() {
    let (root, _, _, svid) = verified();
    let mut held = Held::against(&[&root]);
    let stale_from = FIXED_NOW + SignedDuration::from_mins(10);
    let certificates = [root.certificate.clone().into()];
    held.bundles
        .insert_until(name(OURS), Bundle::from_certificates(certificates), stale_from);
    assert_eq!(held.until(&svid, FIXED_NOW), Ok(stale_from - SECOND));
    assert_eq!(held.until(&svid, stale_from - SECOND), Ok(stale_from - SECOND));
    assert_eq!(held.until(&svid, stale_from), Err(Reason::FederationBundleStale));
}

#[test]
fn stale_bundle_verifies_nobody_and_the_other_trust_domain_goes_on() {
    let (ours, theirs) = (authority(), Authority::of("partner.example", FIXED_NOW));
    let mut bundles = BundleSet::default();
    bundles.insert_until(
        name(OURS),
        Bundle::from_certificates([ours.certificate.clone().into()]),
        FIXED_NOW,
    );
    bundles.insert(
        name("partner.example"),
        Bundle::from_certificates([theirs.certificate.clone().into()]),
    );
    let mut relationships = Relationships::default();
    relationships.insert(relationship(OURS));
    relationships.insert(relationship("partner.example"));
    let verify = |identity: &Identity| {
        let presented = Presented {
            leaf: &identity.leaf,
            intermediates: &[],
        };
        let trust = Trust {
            relationships: &relationships,
            bundles: Some(&bundles),
            revocations: &[],
            expiry_grace: SignedDuration::ZERO,
        };
        let verified = svidgate_policy::trust::svid::verify(presented, svidgate_policy::ALGORITHMS, &trust, FIXED_NOW);
        verified.map(|_| ()).map_err(|error| error.reason())
    };
    assert_eq!(verify(&ours.issue(leaf())), Err(Reason::FederationBundleStale));
    let their_leaf = Leaf::svid("spiffe://partner.example/x", FIXED_NOW);
    assert_eq!(verify(&theirs.issue(their_leaf)), Ok(()));
}

#[test]
fn relationship_is_looked_at_again() {
    let (root, _, _, svid) = verified();
    let with = |change: &dyn Fn(&mut Relationship)| {
        let mut held = Held::against(&[&root]);
        let mut changed = relationship(OURS);
        change(&mut changed);
        held.relationships.insert(changed);
        held.until(&svid, FIXED_NOW)
    };
    let ends = FIXED_NOW + HOUR / 2;
    assert_eq!(
        with(&|relationship| relationship.expires = Some(ends)),
        Ok(ends - SECOND)
    );
    assert_eq!(
        with(&|relationship| relationship.expires = Some(FIXED_NOW)),
        Err(Reason::FederationExpired)
    );
    assert_eq!(
        with(&|relationship| relationship.svid_max_lifetime = Some(HOUR / 2)),
        Err(Reason::SvidLifetimeTooLong)
    );
    let elsewhere = svidgate_policy::IdPattern::parse_scope("/elsewhere/**", &name(OURS)).unwrap();
    assert_eq!(
        with(&|relationship| relationship.scope = Some(vec![elsewhere.clone()])),
        Err(Reason::FederationOutOfScope)
    );
    let mut none = Held::against(&[&root]);
    none.relationships = Relationships::default();
    assert_eq!(none.reason(&svid), Some(Reason::FederationUnknownTrustDomain));
}

#[test]
fn every_kind_of_revocation_refuses_what_it_names_and_nothing_else() {
    let (root, middle, identity, svid) = verified();
    let key = |public_key_info: Vec<u8>| hex(&sha256(&public_key_info));
    let certificate = |der: &[u8]| hex(&sha256(der));
    let refusing = [
        json!({ "id": ID }),
        json!({ "id": "spiffe://prod.example/ns/shop/**" }),
        json!({ "id": "spiffe://*/**" }),
        json!({ "sha256": identity.leaf_sha256() }),
        json!({ "sha256": identity.leaf_sha256().to_uppercase() }),
        json!({ "public_key_sha256": key(identity.key.public_key_info()) }),
        json!({ "serial": "0A:1B", "issuer": "CN=middle" }),
        json!({ "serial": "a1b", "issuer": "CN=middle" }),
        // The signing certificate in between.
        json!({ "sha256": certificate(&middle.certificate) }),
        json!({ "public_key_sha256": key(middle.key.public_key_info()) }),
        json!({ "serial": "9a01", "issuer": "CN=prod.example authority" }),
        // Tools differ in case and spaces.
        json!({ "serial": "9a01", "issuer": "cn=Prod.Example  AUTHORITY" }),
        // The authority itself.
        json!({ "sha256": certificate(&root.certificate) }),
        json!({ "public_key_sha256": key(root.key.public_key_info()) }),
    ];
    for entry in refusing {
        assert_eq!(
            Held::against(&[&root]).revoking(entry.clone()).reason(&svid),
            Some(Reason::SvidRevoked),
            "{entry}"
        );
    }
    let others = [
        json!({ "id": "spiffe://prod.example/ns/shop/sa/api2" }),
        json!({ "id": "spiffe://prod.example/ns/shop/sa" }),
        json!({ "id": "spiffe://partner.example/**" }),
        json!({ "sha256": certificate(&identity.key.public_key_info()) }),
        json!({ "serial": "0A:1B", "issuer": "CN=prod.example authority" }),
        json!({ "serial": "0A:1B:00", "issuer": "CN=middle" }),
        json!({ "id": ID, "until": FIXED_NOW.to_string() }),
    ];
    for entry in others {
        assert_eq!(
            Held::against(&[&root]).revoking(entry.clone()).reason(&svid),
            None,
            "{entry}"
        );
    }
    let until = FIXED_NOW + SECOND;
    let entry = json!({ "id": ID, "until": until.to_string() });
    let held = Held::against(&[&root]).revoking(entry);
    assert_eq!(held.reason(&svid), Some(Reason::SvidRevoked));
    assert_eq!(held.until(&svid, until), Ok(svid.valid_until()));
}

/// The order of each curve's group (SEC 2, version 2).
const P256: (KeyKind, &str) = (
    KeyKind::P256,
    "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
);
const P384: (KeyKind, &str) = (
    KeyKind::P384,
    "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
);
const P521: (KeyKind, &str) = (
    KeyKind::P521,
    "01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c4\
     7aebb6fb71e91386409",
);

/// The same certificate with the other signature that is as good: of (r, s), it is (r, n - s). No key is needed for it.
fn twin(certificate: &[u8], order: &str) -> Vec<u8> {
    let unsigned = |mut digits: &[u8]| -> Vec<u8> {
        while let [0, rest @ ..] = digits {
            digits = rest;
        }
        digits.to_vec()
    };
    let positive = |digits: &[u8]| {
        let digits = unsigned(digits);
        let sign: &[u8] = if digits[0] >= 0x80 { &[0] } else { &[] };
        der::element(2, &[sign, &digits].concat())
    };
    let order: Vec<u8> = (0..order.len() / 2)
        .map(|place| u8::from_str_radix(&order[2 * place..2 * place + 2], 16).unwrap())
        .collect();
    let parts = der::elements(der::content(certificate));
    let [body, algorithm, signature] = parts[..] else {
        panic!("three parts")
    };
    let numbers = der::elements(der::content(&der::content(signature)[1..]));
    let [r, s] = numbers[..] else { panic!("two numbers") };
    let s = unsigned(der::content(s));
    let s = [vec![0; order.len() - s.len()], s].concat();
    let mut borrow = 0;
    let mut other = vec![0; order.len()];
    for place in (0..order.len()).rev() {
        let difference = i16::from(order[place]) - i16::from(s[place]) - borrow;
        borrow = i16::from(difference < 0);
        other[place] = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    let signature = der::sequence([positive(der::content(r)), positive(&other)]);
    der::sequence([body.to_vec(), algorithm.to_vec(), der::bit_string(&signature)])
}

#[test]
fn certificate_that_is_revoked_by_its_digest_does_not_come_back_with_another_signature() {
    for (kind, order) in [P256, P384, P521] {
        let profile = || Profile {
            key: Key::generate(kind),
            ..Profile::authority(OURS, FIXED_NOW)
        };
        let root = Authority::root(profile());
        let middle = root.issue_authority(Profile {
            common_name: Some("middle".to_owned()),
            ..profile()
        });
        let shown = middle.issue(leaf());
        let other_leaf = Identity {
            leaf: twin(&shown.leaf, order),
            ..shown.clone()
        };
        let other_middle = Identity {
            intermediates: vec![twin(&middle.certificate, order)],
            ..shown.clone()
        };
        for (revoked, other) in [(&shown.leaf, other_leaf), (&middle.certificate, other_middle)] {
            let svid = Verifier::trusting(&root).verify(&other).unwrap();
            let entry = json!({ "sha256": hex(&sha256(revoked)) });
            assert!(!other.chain().contains(revoked), "{kind:?}: it is another");
            assert_eq!(
                Held::against(&[&root]).revoking(entry).reason(&svid),
                Some(Reason::SvidRevoked),
                "{kind:?}"
            );
        }
    }
}

#[test]
fn expiry_grace_forgives_the_end_of_certificates_and_nothing_else() {
    let (root, _, _, svid) = verified();
    let end = svid.path_until();
    let held = |grace| Held {
        expiry_grace: grace,
        ..Held::against(&[&root])
    };
    assert_eq!(
        held(SignedDuration::ZERO).until(&svid, end + SECOND),
        Err(Reason::SvidExpired)
    );
    let graceful = held(SECOND * 30);
    assert_eq!(graceful.until(&svid, end + SECOND), Ok(end + SECOND * 30));
    assert_eq!(graceful.until(&svid, end + SECOND * 30), Ok(end + SECOND * 30));
    assert_eq!(graceful.until(&svid, end + SECOND * 31), Err(Reason::SvidExpired));
    let revoked = held(SECOND * 30).revoking(json!({ "id": ID }));
    assert_eq!(revoked.until(&svid, end + SECOND), Err(Reason::SvidRevoked));
}

/// One signing certificate, certified by two authorities: its name and key are the same, issuer and serial are not.
fn cross_certified() -> (Authority, Authority, [Vec<u8>; 2], Identity) {
    let named = |name: &str| Profile {
        common_name: Some(name.to_owned()),
        ..Profile::authority(OURS, FIXED_NOW)
    };
    let (first, second) = (Authority::root(named("first")), Authority::root(named("second")));
    let profile = Profile {
        serial: Some(vec![0x11]),
        ..named("issuer")
    };
    let by_first = first.issue_authority(profile.clone());
    let by_second = second.issue_authority(profile);
    let certificates = [by_first.certificate.clone(), by_second.certificate];
    let identity = Identity {
        intermediates: certificates.to_vec(),
        ..by_first.issue(leaf())
    };
    (first, second, certificates, identity)
}

#[test]
fn revoked_identity_is_never_handed_out() {
    let (root, middle, identity, _) = verified();
    for entry in [
        json!({ "id": ID }),
        json!({ "id": "spiffe://prod.example/ns/shop/**" }),
        json!({ "sha256": identity.leaf_sha256() }),
        json!({ "public_key_sha256": hex(&sha256(&identity.key.public_key_info())) }),
        json!({ "serial": "0A:1B", "issuer": "CN=middle" }),
        json!({ "sha256": hex(&sha256(&middle.certificate)) }),
        json!({ "serial": "9a01", "issuer": "CN=prod.example authority" }),
        json!({ "public_key_sha256": hex(&sha256(&root.key.public_key_info())) }),
    ] {
        let verifier = Verifier::trusting(&root).revoking(&json!([entry]));
        assert_eq!(verifier.refuses(&identity), Reason::SvidRevoked, "{entry}");
    }
    let proxy = Verifier::trusting(&root).revoking(&json!([{ "id": ID }]));
    let refused = proxy.verify_after_proxy(&identity.leaf, FIXED_NOW);
    assert_eq!(refused.unwrap_err().reason(), Reason::SvidRevoked);
}

#[test]
fn revoked_certificate_in_one_path_does_not_refuse_a_leaf_that_has_another() {
    let (first, second, [by_first, by_second], identity) = cross_certified();
    let verifier = || Verifier::trusting(&first).bundle(OURS, &[&first, &second]);
    let revoking = [
        (json!({ "sha256": hex(&sha256(&by_first)) }), &second),
        (json!({ "serial": "11", "issuer": "CN=first" }), &second),
        (json!({ "sha256": hex(&sha256(&first.certificate)) }), &second),
        (
            json!({ "public_key_sha256": hex(&sha256(&first.key.public_key_info())) }),
            &second,
        ),
        (json!({ "sha256": hex(&sha256(&by_second)) }), &first),
        (json!({ "sha256": hex(&sha256(&second.certificate)) }), &first),
    ];
    for (entry, left) in revoking {
        let svid = verifier().revoking(&json!([entry])).verify(&identity).unwrap();
        assert!(svid.has_in_path(&sha256(&left.certificate)), "{entry}");
        // What stands by the other path does not stand under this list, and is found again by verifying.
        let other = if std::ptr::eq(left, &second) { &first } else { &second };
        let by_other = Verifier::trusting(other).verify(&identity).unwrap();
        let held = Held::against(&[&first, &second]).revoking(entry.clone());
        assert_eq!(held.reason(&by_other), Some(Reason::SvidRevoked), "{entry}");
        assert_eq!(held.reason(&svid), None, "{entry}");
    }
    // The key is the same in both.
    let issuer = json!({ "public_key_sha256": hex(&sha256(&cross_key(&by_first))) });
    assert_eq!(
        verifier().revoking(&json!([issuer])).refuses(&identity),
        Reason::SvidRevoked
    );
    let both = json!([{ "sha256": hex(&sha256(&by_first)) }, { "sha256": hex(&sha256(&by_second)) }]);
    assert_eq!(verifier().revoking(&both).refuses(&identity), Reason::SvidRevoked);
}

/// The subject public key info of a certificate.
fn cross_key(certificate: &[u8]) -> Vec<u8> {
    let body = der::elements(der::content(der::elements(der::content(certificate))[0]))[6];
    body.to_vec()
}

/// What a refusal says about when to look again: no later than when time alone may undo it.
#[test]
fn refusal_says_when_time_may_undo_it() {
    let root = authority();
    let changes = |verifier: &Verifier, identity: &Identity| verifier.verify(identity).unwrap_err().changes();
    let (soon, later) = (FIXED_NOW + SECOND * 2, FIXED_NOW + HOUR);
    let verifier = Verifier::trusting(&root);
    let young = root.issue(Leaf {
        not_before: soon,
        ..leaf()
    });
    assert_eq!(changes(&verifier, &young), Some(soon));
    // A signing certificate of the chain, and an authority: the one that signed, or perhaps another of the bundle.
    let begins = |not_before, name: &str| Profile {
        not_before,
        common_name: Some(name.to_owned()),
        ..Profile::authority(OURS, FIXED_NOW)
    };
    let middle = root.issue_authority(begins(soon, "middle"));
    assert_eq!(changes(&verifier, &middle.issue(leaf())), Some(soon));
    let next = Authority::root(begins(soon, "prod.example authority"));
    let last = Authority::root(begins(later, "another"));
    let rotating = Verifier::trusting(&root).bundle(OURS, &[&root, &last, &next]);
    for identity in [next.issue(leaf()), last.issue(leaf())] {
        assert_eq!(changes(&rotating, &identity), Some(soon));
    }
    // A revocation that ends, of the leaf and of what it stands by.
    let until = |entry: Value| {
        let mut entry = entry;
        entry["until"] = json!(soon.to_string());
        Verifier::trusting(&root).revoking(&json!([entry]))
    };
    let good = root.issue(leaf());
    assert_eq!(changes(&until(json!({ "id": ID })), &good), Some(soon));
    let of_root = json!({ "sha256": hex(&sha256(&root.certificate)) });
    assert_eq!(changes(&until(of_root), &good), Some(soon));
    // Nothing of these.
    assert_eq!(changes(&verifier, &authority().issue(leaf())), None);
    let forever = Verifier::trusting(&root).revoking(&json!([{ "id": ID }]));
    assert_eq!(changes(&forever, &good), None);
    let old = root.issue(Leaf {
        not_after: FIXED_NOW - SECOND,
        ..leaf()
    });
    assert_eq!(changes(&verifier, &old), None);
}
