//! The test CA writes what it says: checked with OpenSSL, so that no code of ours judges our own.
use support::ca::*;

#[test]
fn probe() {
    for kind in KeyKind::ALL {
        let root = Authority::root(Profile { key: Key::generate(kind), ..Profile::authority("prod.example", FIXED_NOW) });
        let mid = root.issue_authority(Profile { common_name: Some("mid".into()), ..Profile::authority("prod.example", FIXED_NOW) });
        let id = mid.issue(Leaf { key: Key::generate(kind), ..Leaf::svid("spiffe://prod.example/a", FIXED_NOW)});
        let d = format!("/tmp/pki-{kind:?}");
        std::fs::create_dir_all(&d).unwrap();
        std::fs::write(format!("{d}/root.pem"), root.pem()).unwrap();
        std::fs::write(format!("{d}/mid.pem"), mid.pem()).unwrap();
        std::fs::write(format!("{d}/leaf.pem"), id.leaf_pem()).unwrap();
        std::fs::write(format!("{d}/key.pem"), id.key_pem()).unwrap();
        println!("{}", bundle_json(&[&root]));
    }
    for (n, a) in [SignatureAlgorithm::RsaPssSha256, SignatureAlgorithm::RsaPssSha384, SignatureAlgorithm::RsaPssSha512].into_iter().enumerate() {
        let root = Authority::root(Profile { key: Key::generate(KeyKind::Rsa2048), signature_algorithm: Some(a), ..Profile::authority("prod.example", FIXED_NOW) });
        let id = root.issue(Leaf { signature_algorithm: Some(a), ..Leaf::svid("spiffe://prod.example/a", FIXED_NOW)});
        let d = format!("/tmp/pki-pss{n}");
        std::fs::create_dir_all(&d).unwrap();
        std::fs::write(format!("{d}/root.pem"), root.pem()).unwrap();
        std::fs::write(format!("{d}/mid.pem"), root.pem()).unwrap();
        std::fs::write(format!("{d}/leaf.pem"), id.leaf_pem()).unwrap();
        std::fs::write(format!("{d}/key.pem"), id.key_pem()).unwrap();
    }
    assert_eq!(FIXED_NOW.to_string(), "2026-06-15T12:00:00Z");
    let p521 = Authority::root(Profile { key: Key::generate(KeyKind::P521), ..Profile::authority("x", FIXED_NOW)});
    for a in [SignatureAlgorithm::EcdsaSha256, SignatureAlgorithm::EcdsaSha384] {
       p521.issue(Leaf { signature_algorithm: Some(a), ..Leaf::svid("spiffe://x/y", FIXED_NOW)});
    }
}
