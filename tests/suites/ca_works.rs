//! The test CA writes what it says. OpenSSL is the judge, so that no code of ours judges our own.

use std::fs;
use std::path::Path;
use std::process::Command;

use support::ca::{
    Authority, BasicConstraints, Extension, FIXED_NOW, GeneralName, Identity, Key, KeyKind, Leaf, Profile,
    SignatureAlgorithm, bundle_json, der, pem,
};
use tempfile::TempDir;

const ID: &str = "spiffe://prod.example/ns/shop/sa/api";

/// Runs OpenSSL on files in `home`, and returns whether it succeeded and what it printed.
fn openssl(home: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(home)
        .output()
        .expect("the openssl command is installed (Debian: apt-get install openssl)");
    (
        output.status.success(),
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
    )
}

/// Whether OpenSSL, in its strict mode, finds a way from the leaf to the root at [`FIXED_NOW`].
fn openssl_verifies(root: &Authority, identity: &Identity) -> (bool, String) {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("root.pem"), root.pem()).unwrap();
    fs::write(home.path().join("chain.pem"), identity.chain_pem()).unwrap();
    let now = FIXED_NOW.as_second().to_string();
    let files = ["-CAfile", "root.pem", "-untrusted", "chain.pem", "chain.pem"];
    openssl(
        home.path(),
        &[&["verify", "-x509_strict", "-attime", &now][..], &files].concat(),
    )
}

/// What OpenSSL reads in the leaf.
fn openssl_reads(identity: &Identity) -> String {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("leaf.pem"), identity.leaf_pem()).unwrap();
    openssl(home.path(), &["x509", "-in", "leaf.pem", "-noout", "-text"]).1
}

fn root_and_intermediate(kind: KeyKind, algorithm: Option<SignatureAlgorithm>) -> (Authority, Authority) {
    let profile = |name: &str| Profile {
        common_name: Some(name.to_owned()),
        key: Key::generate(kind),
        signature_algorithm: algorithm,
        ..Profile::authority("prod.example", FIXED_NOW)
    };
    let root = Authority::root(profile("root"));
    let intermediate = root.issue_authority(profile("intermediate"));
    (root, intermediate)
}

#[test]
fn chains_of_every_kind_of_key_are_good() {
    for kind in KeyKind::ALL {
        let (root, intermediate) = root_and_intermediate(kind, None);
        let identity = intermediate.issue(Leaf {
            key: Key::generate(kind),
            ..Leaf::svid(ID, FIXED_NOW)
        });
        let (good, said) = openssl_verifies(&root, &identity);
        assert!(good, "{kind:?}: {said}");
    }
}

#[test]
fn chains_of_every_algorithm_are_good() {
    use SignatureAlgorithm::*;
    let pairs = [
        (KeyKind::P256, EcdsaSha384),
        (KeyKind::P384, EcdsaSha256),
        (KeyKind::P521, EcdsaSha256),
        (KeyKind::Rsa2048, RsaPkcs1Sha384),
        (KeyKind::Rsa2048, RsaPkcs1Sha512),
        (KeyKind::Rsa2048, RsaPssSha256),
        (KeyKind::Rsa2048, RsaPssSha384),
        (KeyKind::Rsa2048, RsaPssSha512),
    ];
    for (kind, algorithm) in pairs {
        let (root, intermediate) = root_and_intermediate(kind, Some(algorithm));
        let leaf = Leaf {
            signature_algorithm: Some(algorithm),
            ..Leaf::svid(ID, FIXED_NOW)
        };
        let (good, said) = openssl_verifies(&root, &intermediate.issue(leaf));
        assert!(good, "{kind:?} {algorithm:?}: {said}");
    }
}

#[test]
fn key_belongs_to_its_leaf() {
    for kind in KeyKind::ALL {
        let home = TempDir::new().unwrap();
        let identity = Identity::self_signed(Leaf {
            key: Key::generate(kind),
            ..Leaf::svid(ID, FIXED_NOW)
        });
        fs::write(home.path().join("key.pem"), identity.key_pem()).unwrap();
        fs::write(home.path().join("leaf.pem"), identity.leaf_pem()).unwrap();
        let of_key = openssl(home.path(), &["pkey", "-in", "key.pem", "-pubout"]);
        let of_leaf = openssl(home.path(), &["x509", "-in", "leaf.pem", "-noout", "-pubkey"]);
        assert!(of_key.0, "{kind:?}: {}", of_key.1);
        assert_eq!(of_key, of_leaf, "{kind:?}");
    }
}

#[test]
fn another_authority_of_the_same_name_is_not_accepted() {
    let (root, _) = root_and_intermediate(KeyKind::P256, None);
    let (_, impostor) = root_and_intermediate(KeyKind::P256, None);
    assert!(!openssl_verifies(&root, &impostor.issue(Leaf::svid(ID, FIXED_NOW))).0);
}

#[test]
fn leaf_is_accepted_only_in_its_time() {
    let (root, _) = root_and_intermediate(KeyKind::P256, None);
    let seconds = jiff::SignedDuration::from_secs;
    for (from, to, complaint) in [(-1, 1, None), (1, 2, Some("not yet valid")), (-2, -1, Some("expired"))] {
        let (not_before, not_after) = (FIXED_NOW + seconds(from), FIXED_NOW + seconds(to));
        let leaf = Leaf {
            not_before,
            not_after,
            ..Leaf::svid(ID, FIXED_NOW)
        };
        let (good, said) = openssl_verifies(&root, &root.issue(leaf));
        assert_eq!(good, complaint.is_none(), "{said}");
        assert!(said.contains(complaint.unwrap_or("OK")), "{said}");
    }
}

#[test]
fn every_field_is_written() {
    let (root, _) = root_and_intermediate(KeyKind::P256, None);
    let identity = root.issue(Leaf {
        common_name: Some("api".to_owned()),
        uri_sans: vec![ID.to_owned(), "https://a.example/".to_owned()],
        dns_sans: vec!["api.example".to_owned()],
        ip_sans: vec!["::1".parse().unwrap()],
        email_sans: vec!["api@example.org".to_owned()],
        serial: Some(vec![0x12, 0x34]),
        not_after: "2050-01-01T00:00:00Z".parse().unwrap(),
        basic_constraints: Some(BasicConstraints {
            ca: true,
            path_len: Some(3),
        }),
        extensions: vec![
            Extension::subject_alt_name(&[GeneralName::Dns(b"again.example".to_vec())], false),
            Extension::new("1.3.6.1.4.1.55555.1", true, der::null()),
            Extension::name_constraints(
                &[GeneralName::uri("prod.example")],
                &[GeneralName::Ip(vec![10, 0, 0, 0, 255, 0, 0, 0])],
            ),
        ],
        ..Leaf::svid(ID, FIXED_NOW)
    });
    let text = openssl_reads(&identity);
    for said in [
        "Subject: CN = api",
        "Issuer: CN = root",
        "Serial Number: 4660 (0x1234)",
        "Not After : Jan  1 00:00:00 2050 GMT",
        "CA:TRUE, pathlen:3",
        "Digital Signature",
        "TLS Web Server Authentication, TLS Web Client Authentication",
        "URI:spiffe://prod.example/ns/shop/sa/api, URI:https://a.example/",
        "DNS:api.example, IP Address:0:0:0:0:0:0:0:1, email:api@example.org",
        "DNS:again.example",
        "1.3.6.1.4.1.55555.1: critical",
        "URI:prod.example",
        "IP:10.0.0.0/255.0.0.0",
        "X509v3 Authority Key Identifier",
        "X509v3 Subject Key Identifier",
    ] {
        assert!(text.contains(said), "`{said}` is not in\n{text}");
    }
}

#[test]
fn nul_in_a_uri_is_written_as_it_is() {
    let identity = Identity::self_signed(Leaf::svid("spiffe://prod.example/a\0b", FIXED_NOW));
    let written = b"spiffe://prod.example/a\0b";
    assert!(identity.leaf.windows(written.len()).any(|window| window == written));
}

#[test]
fn absent_extensions_are_absent() {
    let (root, _) = root_and_intermediate(KeyKind::P256, None);
    let identity = root.issue(Leaf {
        uri_sans: Vec::new(),
        key_usage: None,
        extended_key_usage: None,
        basic_constraints: None,
        subject_key_id: false,
        authority_key_id: false,
        ..Leaf::svid(ID, FIXED_NOW)
    });
    let text = openssl_reads(&identity);
    assert!(!text.contains("X509v3"), "{text}");
}

#[test]
fn bundle_carries_key_and_certificate() {
    let roots: Vec<Authority> = KeyKind::ALL.map(|kind| root_and_intermediate(kind, None).0).into();
    let bundle = bundle_json(&roots.iter().collect::<Vec<_>>());
    let members: Vec<(&str, &str)> = bundle["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| (key["kty"].as_str().unwrap(), key["use"].as_str().unwrap()))
        .collect();
    let expected = ["EC", "EC", "EC", "RSA", "RSA", "RSA", "OKP"].map(|kty| (kty, "x509-svid"));
    assert_eq!(members, expected);
    assert!(
        roots[0]
            .pem()
            .contains(&bundle["keys"][0]["x5c"][0].as_str().unwrap()[..64])
    );
    // 32 bytes are 43 characters of base64 without padding.
    assert_eq!(bundle["keys"][0]["x"].as_str().unwrap().len(), 43);
}

/// Whether OpenSSL accepts the leaf at [`FIXED_NOW`] in the light of a revocation list, which it also reads.
fn openssl_checks_revocation(root: &Authority, identity: &Identity, crl: &[u8]) -> (bool, String) {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("root.pem"), root.pem()).unwrap();
    fs::write(home.path().join("leaf.pem"), identity.leaf_pem()).unwrap();
    fs::write(home.path().join("crl.pem"), pem("X509 CRL", crl)).unwrap();
    let now = FIXED_NOW.as_second().to_string();
    let verify = [
        "verify",
        "-x509_strict",
        "-attime",
        &now,
        "-crl_check",
        "-CRLfile",
        "crl.pem",
    ];
    let (good, said) = openssl(
        home.path(),
        &[&verify[..], &["-CAfile", "root.pem", "leaf.pem"]].concat(),
    );
    let read = openssl(home.path(), &["crl", "-in", "crl.pem", "-noout", "-text"]).1;
    (good, said + &read)
}

#[test]
fn revocation_list_revokes_what_it_lists() {
    for kind in [KeyKind::P256, KeyKind::Rsa2048, KeyKind::Ed25519] {
        let (root, intermediate) = root_and_intermediate(kind, None);
        let (bad, good) = (
            root.issue(Leaf::svid(ID, FIXED_NOW)),
            root.issue(Leaf::svid(ID, FIXED_NOW)),
        );
        let crl = root.crl(&[&[0x12, 0x34], &bad.serial()], FIXED_NOW);
        let (accepted, said) = openssl_checks_revocation(&root, &bad, &crl);
        assert!(!accepted && said.contains("certificate revoked"), "{kind:?}: {said}");
        for words in [
            "Version 2",
            "Serial Number: 1234",
            "Last Update: Jun 15 11:59:00 2026 GMT",
            "Next Update: Jun 15 13:00:00 2026 GMT",
            "X509v3 CRL Number",
        ] {
            assert!(said.contains(words), "`{words}` is not in\n{said}");
        }
        for crl in [&crl, &root.crl(&[], FIXED_NOW)] {
            let (accepted, said) = openssl_checks_revocation(&root, &good, crl);
            assert!(accepted, "{kind:?}: {said}");
        }
        assert!(!openssl_checks_revocation(&root, &good, &intermediate.crl(&[], FIXED_NOW)).0);
    }
}

#[test]
fn serial_and_issuer_are_those_of_the_leaf() {
    let root = Authority::root(Profile {
        common_name: Some("a, \"b\" + c".to_owned()),
        ..Profile::authority("prod.example", FIXED_NOW)
    });
    for serial in [vec![0x12, 0x34], vec![0, 0x80], vec![0, 0, 1], vec![7; 200]] {
        let identity = root.issue(Leaf {
            serial: Some(serial.clone()),
            ..Leaf::svid(ID, FIXED_NOW)
        });
        assert_eq!(identity.serial(), serial);
    }
    let identity = root.issue(Leaf::svid(ID, FIXED_NOW));
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("leaf.pem"), identity.leaf_pem()).unwrap();
    let asked = [
        "x509", "-in", "leaf.pem", "-noout", "-issuer", "-nameopt", "RFC2253", "-serial",
    ];
    let read = openssl(home.path(), &asked).1;
    let serial: String = identity.serial().iter().map(|byte| format!("{byte:02X}")).collect();
    assert_eq!(read, format!("issuer={}\nserial={serial}\n", identity.issuer()));
}
