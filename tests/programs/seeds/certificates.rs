//! Seeds that hold certificates: chains, PEM, bundles, messages of a Workload API.

use jiff::SignedDuration;
use prost::Message as _;
use serde_json::{Value, json};
use support::ca::{
    Authority, BasicConstraints, ExtendedKeyUsage, Extension, FIXED_NOW, GeneralName, Identity, Key, KeyKind, KeyUsage,
    Leaf, Profile, bundle_json, pem,
};

use crate::Seeds;

const ID: &str = "spiffe://prod.example/ns/shop/sa/api";

pub(crate) fn write(seeds: &Seeds) {
    let root = Authority::of("prod.example", FIXED_NOW);
    let below = root.issue_authority(Profile::authority("prod.example below", FIXED_NOW));
    let partner = Authority::of("partner.example", FIXED_NOW);
    let constrained = Authority::root(Profile {
        extensions: vec![Extension::name_constraints(
            &[GeneralName::uri("prod.example")],
            &[GeneralName::uri(".other.example")],
        )],
        ..Profile::authority("prod.example", FIXED_NOW)
    });
    for leaf in leaves() {
        let identities = [
            root.issue(leaf.clone()),
            below.issue(leaf.clone()),
            constrained.issue(leaf),
        ];
        for (identity, authority) in identities.iter().zip([&root, &root, &constrained]) {
            seeds.add(
                "leaf",
                [[1].as_slice(), &identity.chain().concat(), &authority.certificate].concat(),
            );
        }
    }
    for kind in [KeyKind::P384, KeyKind::P521, KeyKind::Rsa2048, KeyKind::Ed25519] {
        let key = Key::generate(kind);
        let authority = Authority::root(Profile {
            key: key.clone(),
            ..Profile::authority("prod.example", FIXED_NOW)
        });
        let leaf = authority
            .issue(Leaf {
                key,
                ..Leaf::svid(ID, FIXED_NOW)
            })
            .leaf;
        seeds.add("leaf", [[1].as_slice(), &leaf, &authority.certificate].concat());
        seeds.add("bundle", bundle_json(&[&authority]).to_string());
    }
    armoured(seeds, &below.issue(Leaf::svid(ID, FIXED_NOW)), &root);
    bundles(seeds, &root, &below);
    messages(seeds, &root, &partner);
}

/// A good leaf, and those that are wrong in one way each.
fn leaves() -> Vec<Leaf> {
    let good = || Leaf::svid(ID, FIXED_NOW);
    let two = vec![ID.to_owned(), "spiffe://prod.example/ns/shop/sa/other".to_owned()];
    vec![
        good(),
        Leaf {
            uri_sans: two,
            ..good()
        },
        Leaf {
            dns_sans: vec!["api.prod.example".into()],
            common_name: Some("api".into()),
            ..good()
        },
        Leaf {
            key_usage: Some(vec![KeyUsage::DigitalSignature, KeyUsage::KeyCertSign]),
            ..good()
        },
        Leaf {
            extended_key_usage: Some(vec![ExtendedKeyUsage::Any]),
            ..good()
        },
        Leaf {
            extended_key_usage: None,
            basic_constraints: None,
            ..good()
        },
        Leaf {
            basic_constraints: Some(BasicConstraints {
                ca: true,
                path_len: Some(0),
            }),
            ..good()
        },
        Leaf {
            not_after: FIXED_NOW - SignedDuration::from_secs(1),
            ..good()
        },
        Leaf {
            extensions: vec![Extension::new("1.2.3.4", true, vec![5, 0])],
            ..good()
        },
    ]
}

fn armoured(seeds: &Seeds, identity: &Identity, root: &Authority) {
    let escaped = |text: &str| {
        text.replace(' ', "%20")
            .replace('\n', "%0A")
            .replace('+', "%2B")
            .replace('=', "%3D")
    };
    for text in [identity.leaf_pem(), identity.chain_pem(), root.pem()] {
        seeds.add("pem", escaped(&text));
        seeds.add("pem", text.replace('\n', "\r\n"));
        seeds.add("pem", text);
    }
    let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    seeds.add("pem", [key, &root.pem()].concat());
    seeds.add("pem", pem("CERTIFICATE", b"x"));
}

fn bundles(seeds: &Seeds, root: &Authority, below: &Authority) {
    let mut bundle = bundle_json(&[root, below]);
    let more = |name: &str, value: Value, bundle: &mut Value| bundle[name] = value;
    more("spiffe_sequence", json!(u64::MAX), &mut bundle);
    more("spiffe_refresh_hint", json!(300), &mut bundle);
    seeds.add("bundle", bundle.to_string());
    let keys = json!([
        { "kty": "EC", "use": "jwt-svid", "kid": "a", "crv": "P-256", "x": "AA", "y": "AA" },
        { "kty": "new", "use": "x509-svid" }, { "kty": "EC", "use": "x509-svid", "x5c": [] },
        { "kty": "RSA", "use": "x509-svid", "x5c": bundle["keys"][0]["x5c"] },
    ]);
    more("keys", keys, &mut bundle);
    seeds.add("bundle", bundle.to_string());
    seeds.add("bundle", r#"{"keys": []}"#);
}

/// `X509BundlesResponse`, its map as a list.
#[derive(Clone, PartialEq, prost::Message)]
struct Response {
    #[prost(bytes = "vec", repeated, tag = "1")]
    crl: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "2")]
    bundles: Vec<Entry>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Entry {
    #[prost(string, tag = "1")]
    trust_domain: String,
    #[prost(bytes = "vec", tag = "2")]
    certificates: Vec<u8>,
}

fn messages(seeds: &Seeds, root: &Authority, partner: &Authority) {
    let identity = root.issue(Leaf::svid(ID, FIXED_NOW));
    let crl = root.crl(&[&identity.serial(), &[1]], FIXED_NOW);
    let entry = |name: &str, certificates: &[&Authority]| Entry {
        trust_domain: name.to_owned(),
        certificates: certificates
            .iter()
            .flat_map(|authority| authority.certificate.clone())
            .collect(),
    };
    let all = vec![
        entry("spiffe://prod.example", &[root, partner]),
        entry("partner.example", &[partner]),
    ];
    let message = |crl: &[Vec<u8>], bundles: &[Entry]| Response {
        crl: crl.to_vec(),
        bundles: bundles.to_vec(),
    };
    for message in [
        message(&[], &all),
        message(&[crl.clone(), root.crl(&[], FIXED_NOW)], &all),
        message(&[crl], &[]),
        message(&[], &[all[0].clone(), entry("prod.example", &[])]),
        message(&[], &[entry("empty.example", &[])]),
    ] {
        seeds.add("workload_api", message.encode_to_vec());
    }
}
