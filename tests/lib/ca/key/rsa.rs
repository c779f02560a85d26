//! RSA, with PKCS#1 v1.5 and PSS.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rsa::pkcs8::{EncodePrivateKey, EncodePublicKey};
use rsa::rand_core::OsRng;
use rsa::sha2::{Sha256, Sha384, Sha512};
use rsa::traits::PublicKeyParts;
use rsa::{BigUint, Pkcs1v15Sign, Pss, RsaPrivateKey};
use serde_json::{Value, json};

use super::{Hash, Key, KeyKind, Private, SignatureAlgorithm};

/// How many keys of one size are generated in a process: they are slow, and two in a row must differ.
const KEPT: usize = 2;

type Kept = HashMap<KeyKind, (usize, Vec<Key>)>;

static KEYS: LazyLock<Mutex<Kept>> = LazyLock::new(Mutex::default);

/// In turn one of those that are kept.
pub(super) fn kept(kind: KeyKind) -> Key {
    let bits = match kind {
        KeyKind::Rsa1024 => 1024,
        KeyKind::Rsa3072 => 3072,
        KeyKind::Rsa4096 => 4096,
        KeyKind::Rsa8192 => return Key::new(kind, large()),
        _ => 2048,
    };
    let mut keys = KEYS.lock().unwrap_or_else(PoisonError::into_inner);
    let (uses, kept) = keys.entry(kind).or_default();
    let turn = *uses % KEPT;
    *uses += 1;
    if kept.len() <= turn {
        let key = RsaPrivateKey::new(&mut OsRng, bits).expect("an RSA key of a usual size");
        kept.push(Key::new(kind, key));
    }
    kept[turn].clone()
}

/// Always the same one: to find its primes takes a minute.
fn large() -> RsaPrivateKey {
    let primes = include_str!("../rsa_8192.hex").split("\n\n").map(|lines| {
        let digits = lines.split_whitespace().collect::<String>();
        BigUint::parse_bytes(digits.as_bytes(), 16).expect("hexadecimal digits")
    });
    RsaPrivateKey::from_primes(primes.collect(), BigUint::from(65_537_u32)).expect("two primes")
}

impl Private for RsaPrivateKey {
    fn pkcs8(&self) -> Vec<u8> {
        let document = self.to_pkcs8_der();
        document.expect("an RSA key encodes").as_bytes().to_vec()
    }

    fn public_key_info(&self) -> Vec<u8> {
        let document = self.to_public_key().to_public_key_der();
        document.expect("an RSA key encodes").as_bytes().to_vec()
    }

    fn jwk(&self) -> Value {
        let text = |number: &BigUint| BASE64_URL_SAFE_NO_PAD.encode(number.to_bytes_be());
        json!({ "kty": "RSA", "n": text(self.n()), "e": text(self.e()) })
    }

    fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Option<Vec<u8>> {
        let (hash, is_pss) = match algorithm {
            SignatureAlgorithm::RsaPkcs1Sha256
            | SignatureAlgorithm::RsaPkcs1Sha384
            | SignatureAlgorithm::RsaPkcs1Sha512 => (algorithm.hash(), false),
            SignatureAlgorithm::RsaPssSha256 | SignatureAlgorithm::RsaPssSha384 | SignatureAlgorithm::RsaPssSha512 => {
                (algorithm.hash(), true)
            }
            _ => return None,
        };
        let digest = hash.digest(message);
        let signature = if is_pss {
            self.sign_with_rng(&mut OsRng, pss(hash), &digest)
        } else {
            RsaPrivateKey::sign(self, pkcs1(hash), &digest)
        };
        Some(signature.expect("an RSA key signs"))
    }
}

fn pkcs1(hash: Hash) -> Pkcs1v15Sign {
    match hash {
        Hash::Sha256 => Pkcs1v15Sign::new::<Sha256>(),
        Hash::Sha384 => Pkcs1v15Sign::new::<Sha384>(),
        Hash::Sha512 => Pkcs1v15Sign::new::<Sha512>(),
    }
}

fn pss(hash: Hash) -> Pss {
    match hash {
        Hash::Sha256 => Pss::new::<Sha256>(),
        Hash::Sha384 => Pss::new::<Sha384>(),
        Hash::Sha512 => Pss::new::<Sha512>(),
    }
}
