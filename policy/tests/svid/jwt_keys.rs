//! The keys that JWT-SVIDs are signed by, as bundle endpoints and Workload APIs bring them.

use ca::{Key, KeyKind, SignatureAlgorithm};
use serde_json::{Value, json};
use svidgate_policy::{
    ALGORITHMS,
    trust::{
        bundle::Bundle,
        jwt_key::{JwtKey, JwtKeys, MAX_KID_BYTES},
    },
};

fn jwk(key: &Key, kid: &str) -> Value {
    let mut jwk = key.jwk();
    jwk["kid"] = json!(kid);
    jwk
}

/// As SPIRE's bundle endpoint serves them: beside X.509 authorities, with `use`, without `alg`.
fn of_an_endpoint(keys: &[Value]) -> Bundle {
    let keys: Vec<Value> = keys
        .iter()
        .map(|key| {
            let mut key = key.clone();
            key["use"] = json!("jwt-svid");
            key
        })
        .collect();
    Bundle::parse(json!({ "keys": keys }).to_string().as_bytes()).expect("a bundle")
}

fn of_a_workload_api(keys: &[Value]) -> JwtKeys {
    JwtKeys::parse_workload_api(json!({ "keys": keys }).to_string().as_bytes()).expect("a set of keys")
}

/// Whether a key verifies what the other signs, by one algorithm of the list.
fn verifies(key: &JwtKey, signer: &Key) -> bool {
    let message = b"header.payload";
    let signature = signer.sign(signer.usual_algorithm(), message);
    let mut of_kind = ALGORITHMS
        .iter()
        .filter(|algorithm| algorithm.public_key_alg_id() == key.kind());
    of_kind.any(|algorithm| {
        algorithm
            .verify_signature(key.public_key(), message, &signature)
            .is_ok()
    })
}

#[test]
fn keys_of_an_endpoint_and_of_a_workload_api_are_the_same_and_verify() {
    let kinds = [KeyKind::P256, KeyKind::P384, KeyKind::P521, KeyKind::Rsa2048];
    let keys: Vec<(String, Key)> = kinds
        .iter()
        .map(|kind| (format!("{kind:?}"), Key::generate(*kind)))
        .collect();
    let jwks: Vec<Value> = keys.iter().map(|(kid, key)| jwk(key, kid)).collect();
    let (bundle, set) = (of_an_endpoint(&jwks), of_a_workload_api(&jwks));
    assert_eq!(bundle.skipped(), []);
    assert_eq!(*bundle.jwt_keys(), set);
    assert_eq!(bundle.authority_count(), 0);
    for (kid, key) in &keys {
        let known = set.key(kid).expect("it is there");
        assert!(verifies(known, key), "{kid}");
        // RSA keys are few.
        if key.kind() != KeyKind::Rsa2048 {
            assert!(!verifies(known, &Key::generate(key.kind())), "{kid}");
        }
    }
    assert_eq!(set.key("another"), None);
}

/// The key decides which algorithm counts, never the token.
#[test]
fn key_says_what_it_may_sign_with() {
    let all = [
        "ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
    ];
    let may = |key: Value| {
        let set = of_a_workload_api(&[key]);
        let key = set.iter().next().expect("a key");
        let allowed: Vec<&str> = all.into_iter().filter(|alg| key.may_sign(alg)).collect();
        for none in ["none", "HS256", "EdDSA", "", "es256"] {
            assert!(!key.may_sign(none), "{none}");
        }
        allowed
    };
    let (p256, rsa) = (Key::generate(KeyKind::P256), Key::generate(KeyKind::Rsa2048));
    assert_eq!(may(jwk(&p256, "a")), ["ES256"]);
    assert_eq!(may(jwk(&Key::generate(KeyKind::P384), "a")), ["ES384"]);
    assert_eq!(may(jwk(&Key::generate(KeyKind::P521), "a")), ["ES512"]);
    assert_eq!(may(jwk(&rsa, "a")), all[3..]);
    let mut named = jwk(&rsa, "a");
    named["alg"] = json!("PS384");
    assert_eq!(may(named), ["PS384"]);
}

#[test]
fn what_cannot_be_used_is_passed_over_and_told() {
    let good = jwk(&Key::generate(KeyKind::P256), "good");
    let p256 = || jwk(&Key::generate(KeyKind::P256), "bad");
    let changed = |member: &str, value: Value| {
        let mut key = p256();
        key[member] = value;
        key
    };
    let without = |member: &str| {
        let mut key = p256();
        key.as_object_mut().unwrap().remove(member);
        key
    };
    let short = |key: &Value| key["x"].as_str().unwrap()[..42].to_owned();
    let (small, large) = (Key::generate(KeyKind::Rsa1024), Key::generate(KeyKind::Rsa8192));
    let cases = [
        (without("kid"), "`kid` is missing"),
        (changed("kid", json!("")), "`kid` is missing"),
        (
            changed("kid", json!("k".repeat(MAX_KID_BYTES + 1))),
            "longer than 256 bytes",
        ),
        (changed("kty", json!("oct")), "only EC and RSA keys"),
        (jwk(&Key::generate(KeyKind::Ed25519), "ed"), "only EC and RSA keys"),
        (changed("crv", json!("secp256k1")), "`crv` is not"),
        (changed("crv", json!("P-384")), "coordinates of the curve's size"),
        (changed("x", json!("")), "coordinates of the curve's size"),
        (changed("x", json!(short(&good))), "coordinates of the curve's size"),
        (changed("x", json!(7)), "coordinates of the curve's size"),
        (changed("x", good["y"].clone()), "not on the curve"),
        (changed("alg", json!("RS256")), "`alg` does not go with the key"),
        (changed("alg", json!("none")), "`alg` does not go with the key"),
        (changed("alg", json!(1)), "`alg` does not go with the key"),
        (jwk(&small, "small"), "size of the key"),
        (jwk(&large, "large"), "at most 1,024 characters"),
        (
            json!({ "kty": "RSA", "kid": "r", "n": "AA", "e": "AQAB" }),
            "no RSA key",
        ),
        (
            json!({ "kty": "RSA", "kid": "r", "n": "+/==", "e": "AQAB" }),
            "base64url",
        ),
    ];
    for (bad, expected) in cases {
        let set = of_a_workload_api(&[bad.clone(), good.clone()]);
        assert_eq!(set.iter().map(JwtKey::kid).collect::<Vec<_>>(), ["good"], "{bad}");
        let told: Vec<String> = set.skipped().iter().map(ToString::to_string).collect();
        assert!(
            told.len() == 1 && told[0].starts_with("keys[0]: ") && told[0].contains(expected),
            "{bad}: {told:?}"
        );
    }
    // A private key is none of ours to read, and does no harm.
    let mut private = p256();
    private["d"] = json!("AAAA");
    assert_eq!(of_a_workload_api(&[private]).len(), 1);
}

#[test]
fn name_that_two_keys_have_names_neither() {
    let keys = ["a", "b", "a", "c", "b"].map(|kid| jwk(&Key::generate(KeyKind::P256), kid));
    for (kids, skipped) in [
        (of_a_workload_api(&keys), of_a_workload_api(&keys).skipped().to_vec()),
        (
            of_an_endpoint(&keys).jwt_keys().clone(),
            of_an_endpoint(&keys).skipped().to_vec(),
        ),
    ] {
        assert_eq!(kids.iter().map(JwtKey::kid).collect::<Vec<_>>(), ["c"]);
        assert_eq!(skipped.iter().map(|one| one.index).collect::<Vec<_>>(), [0, 1, 2, 4]);
        assert!(skipped[0].to_string().contains("another key has its `kid`"));
    }
}

/// An endpoint says what each key is for; a Workload API need not, and what is for something else is none of ours
/// there.
#[test]
fn use_of_a_key_counts() {
    let with_use = |meant: Value| {
        let mut key = jwk(&Key::generate(KeyKind::P256), "k");
        key["use"] = meant;
        key
    };
    let key = jwk(&Key::generate(KeyKind::P256), "k");
    assert_eq!(of_a_workload_api(std::slice::from_ref(&key)).len(), 1);
    assert_eq!(of_a_workload_api(&[with_use(json!("jwt-svid"))]).len(), 1);
    for other in ["x509-svid", "wit-svid", "sig", "JWT-SVID", ""] {
        let set = of_a_workload_api(&[with_use(json!(other))]);
        assert_eq!((set.len(), set.skipped().len()), (0, 0), "{other}");
    }
    assert_eq!(of_a_workload_api(&[with_use(Value::Null)]).len(), 0);
    let bundle = Bundle::parse(json!({ "keys": [key] }).to_string().as_bytes()).unwrap();
    assert_eq!((bundle.jwt_keys().len(), bundle.skipped().len()), (0, 1));
}

#[test]
fn what_is_no_set_of_keys_is_refused() {
    for text in [
        "",
        "[]",
        "{}",
        r#"{"keys": {}}"#,
        r#"{"keys": [], "keys": []}"#,
        r#"{"keys": [{"kid": "a", "kid": "b"}]}"#,
    ] {
        assert!(JwtKeys::parse_workload_api(text.as_bytes()).is_err(), "{text}");
    }
    let many = vec![json!({ "kty": "EC" }); svidgate_policy::trust::bundle_error::MAX_BUNDLE_KEYS + 1];
    let text = json!({ "keys": many }).to_string();
    assert!(JwtKeys::parse_workload_api(text.as_bytes()).is_err());
    assert!(JwtKeys::parse_workload_api(br#"{"keys": []}"#).unwrap().is_empty());
}

#[test]
fn rsa_key_verifies_both_paddings() {
    let key = Key::generate(KeyKind::Rsa2048);
    let set = of_a_workload_api(&[jwk(&key, "r")]);
    let known = set.key("r").unwrap();
    for algorithm in [SignatureAlgorithm::RsaPkcs1Sha256, SignatureAlgorithm::RsaPssSha256] {
        let signature = key.sign(algorithm, b"m");
        let of_kind = ALGORITHMS.iter().filter(|one| one.public_key_alg_id() == known.kind());
        let good = of_kind.filter(|one| one.verify_signature(known.public_key(), b"m", &signature).is_ok());
        assert_eq!(good.count(), 1);
    }
}
