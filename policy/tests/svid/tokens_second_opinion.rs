//! Tokens that are changed at random, read by us and by another library: what we take as signed, it takes, too.

use std::sync::LazyLock;

use ca::{Key, KeyKind, token_of};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::Jwk};
use proptest::{collection::vec, prelude::*, sample::Index};
use serde_json::{Value, json};
use svidgate_policy::{
    ALGORITHMS,
    trust::{jwt_key::JwtKeys, jwt_svid::verify_signature},
};

use crate::tokens::claims;

/// The algorithms that both know.
const ALGS: [&str; 8] = ["ES256", "ES384", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];

/// A key of each kind, and a token of each algorithm.
static KEYS: LazyLock<[Key; 3]> = LazyLock::new(|| [KeyKind::P256, KeyKind::P384, KeyKind::Rsa2048].map(Key::generate));
static TOKENS: LazyLock<Vec<String>> = LazyLock::new(|| {
    ALGS.iter()
        .map(|alg| {
            let header = json!({ "alg": alg, "kid": "k" }).to_string();
            token_of(key_of(alg), alg, header, claims().to_string())
        })
        .collect()
});

fn key_of(alg: &str) -> &'static Key {
    &KEYS[match alg {
        "ES256" => 0,
        "ES384" => 1,
        _ => 2,
    }]
}

fn jwk_of(alg: &str) -> Value {
    let mut jwk = key_of(alg).jwk();
    jwk["kid"] = json!("k");
    jwk
}

fn ours(token: &[u8], alg: &str) -> bool {
    let set = json!({ "keys": [jwk_of(alg)] }).to_string();
    let keys = JwtKeys::parse_workload_api(set.as_bytes()).unwrap();
    verify_signature(token, &keys, ALGORITHMS).is_ok()
}

fn theirs(token: &[u8], alg: &str) -> bool {
    let jwk: Jwk = serde_json::from_value(jwk_of(alg)).unwrap();
    let mut validation = Validation::new(alg.parse::<Algorithm>().unwrap());
    // Of an RSA key the token may choose, as ours may.
    if alg.starts_with(['R', 'P']) {
        validation.algorithms = ALGS[2..].iter().map(|alg| alg.parse().unwrap()).collect();
    }
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    jsonwebtoken::decode::<Value>(token, &DecodingKey::from_jwk(&jwk).unwrap(), &validation).is_ok()
}

/// One change of a token.
#[derive(Clone, Debug)]
enum Change {
    Byte(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    /// A part of another token in place of its own.
    Part(Index, Index),
}

impl Change {
    fn of(&self, token: Vec<u8>) -> Vec<u8> {
        let mut token = token;
        if token.is_empty() {
            return token;
        }
        match self {
            Self::Byte(at, byte) => *at.get_mut(&mut token) = *byte,
            Self::Insert(at, byte) => token.insert(at.index(token.len()), *byte),
            Self::Remove(at) => {
                token.remove(at.index(token.len()));
            }
            Self::Part(of, part) => {
                let mut parts: Vec<Vec<u8>> = token.split(|byte| *byte == b'.').map(<[u8]>::to_vec).collect();
                let other: Vec<Vec<u8>> = of
                    .get(&TOKENS)
                    .split('.')
                    .map(|part| part.as_bytes().to_vec())
                    .collect();
                let place = part.index(parts.len().min(other.len()));
                parts[place].clone_from(&other[place]);
                token = parts.join(&b'.');
            }
        }
        token
    }
}

fn change() -> impl Strategy<Value = Change> {
    let letter = || prop::sample::select(b"ABQgwxyz019-_=.+/ ".to_vec());
    prop_oneof![
        (any::<Index>(), letter()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        (any::<Index>(), letter()).prop_map(|(at, byte)| Change::Insert(at, byte)),
        any::<Index>().prop_map(Change::Remove),
        (any::<Index>(), any::<Index>()).prop_map(|(of, part)| Change::Part(of, part)),
    ]
}

#[test]
fn both_take_what_was_not_changed() {
    for (alg, token) in ALGS.iter().zip(TOKENS.iter()) {
        assert!(ours(token.as_bytes(), alg), "{alg}");
        assert!(theirs(token.as_bytes(), alg), "{alg}");
    }
}

proptest! {
    #[test]
    fn what_we_take_the_other_library_takes(of in 0..ALGS.len(), changes in vec(change(), 1..4)) {
        let token = changes.iter().fold(TOKENS[of].clone().into_bytes(), |token, change| change.of(token));
        let (ours, theirs) = (ours(&token, ALGS[of]), theirs(&token, ALGS[of]));
        prop_assert!(!ours || theirs, "{}", String::from_utf8_lossy(&token));
        // What was changed was signed by nobody, unless it was changed back.
        prop_assert!(!ours || TOKENS.contains(&String::from_utf8_lossy(&token).into_owned()));
    }
}
