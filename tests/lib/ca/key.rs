//! Keys of every kind that an X.509-SVID may have, and the ways in which they sign.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::{collections::HashMap, fmt};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ed25519_dalek::Signer;
use p256::ecdsa::signature::hazmat::PrehashSigner;
use p256::elliptic_curve::Generate;
use p256::pkcs8::{EncodePrivateKey, EncodePublicKey};
use rsa::sha2::{Digest, Sha256, Sha384, Sha512};
use rsa::traits::PublicKeyParts;
use serde_json::{Value, json};

use crate::der;

/// The kinds of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum KeyKind {
    P256,
    P384,
    P521,
    /// Too small to count.
    Rsa1024,
    Rsa2048,
    Rsa3072,
    Rsa4096,
    /// Too large to count.
    Rsa8192,
    Ed25519,
}

impl KeyKind {
    /// All that count.
    pub const ALL: [KeyKind; 7] = [
        KeyKind::P256,
        KeyKind::P384,
        KeyKind::P521,
        KeyKind::Rsa2048,
        KeyKind::Rsa3072,
        KeyKind::Rsa4096,
        KeyKind::Ed25519,
    ];
}

/// The algorithm of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum SignatureAlgorithm {
    EcdsaSha256,
    EcdsaSha384,
    EcdsaSha512,
    RsaPkcs1Sha256,
    RsaPkcs1Sha384,
    RsaPkcs1Sha512,
    RsaPssSha256,
    RsaPssSha384,
    RsaPssSha512,
    Ed25519,
}

#[derive(Clone, Copy)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

/// A private key. Clones share it.
#[derive(Clone)]
pub struct Key(Arc<Private>);

enum Private {
    P256(p256::ecdsa::SigningKey),
    P384(p384::ecdsa::SigningKey),
    P521(p521::ecdsa::SigningKey),
    Rsa(KeyKind, Box<rsa::RsaPrivateKey>),
    Ed25519(ed25519_dalek::SigningKey),
}

/// How many RSA keys of one size are generated in a process: they are slow, and two in a row must differ.
const RSA_KEYS: usize = 2;

type RsaKeys = HashMap<KeyKind, (usize, Vec<Key>)>;

static RSA: LazyLock<Mutex<RsaKeys>> = LazyLock::new(Mutex::default);

impl Key {
    /// A new key; for RSA, in turn one of two that are kept as long as the process.
    pub fn generate(kind: KeyKind) -> Key {
        let private = match kind {
            KeyKind::P256 => Private::P256(p256::ecdsa::SigningKey::generate()),
            KeyKind::P384 => Private::P384(p384::ecdsa::SigningKey::generate()),
            KeyKind::P521 => Private::P521(p521::ecdsa::SigningKey::generate()),
            KeyKind::Ed25519 => {
                let mut seed = [0; 32];
                getrandom::fill(&mut seed).expect("the system has randomness");
                Private::Ed25519(ed25519_dalek::SigningKey::from_bytes(&seed))
            }
            KeyKind::Rsa8192 => return Key::large_rsa(),
            KeyKind::Rsa1024 | KeyKind::Rsa2048 | KeyKind::Rsa3072 | KeyKind::Rsa4096 => return Key::kept_rsa(kind),
        };
        Key(Arc::new(private))
    }

    /// Always the same one: to find its primes takes a minute.
    fn large_rsa() -> Key {
        let primes = include_str!("rsa_8192.hex").split("\n\n").map(|lines| {
            let digits = lines.split_whitespace().collect::<String>();
            rsa::BigUint::parse_bytes(digits.as_bytes(), 16).expect("hexadecimal digits")
        });
        let primes: Vec<_> = primes.collect();
        let key = rsa::RsaPrivateKey::from_primes(primes, rsa::BigUint::from(65_537_u32)).expect("two primes");
        Key(Arc::new(Private::Rsa(KeyKind::Rsa8192, Box::new(key))))
    }

    fn kept_rsa(kind: KeyKind) -> Key {
        let mut keys = RSA.lock().unwrap_or_else(PoisonError::into_inner);
        let (uses, kept) = keys.entry(kind).or_default();
        let turn = *uses % RSA_KEYS;
        *uses += 1;
        if kept.len() <= turn {
            let bits = match kind {
                KeyKind::Rsa1024 => 1024,
                KeyKind::Rsa3072 => 3072,
                KeyKind::Rsa4096 => 4096,
                _ => 2048,
            };
            let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, bits).expect("an RSA key of a usual size");
            kept.push(Key(Arc::new(Private::Rsa(kind, Box::new(key)))));
        }
        kept[turn].clone()
    }

    /// Its kind.
    pub fn kind(&self) -> KeyKind {
        match &*self.0 {
            Private::P256(_) => KeyKind::P256,
            Private::P384(_) => KeyKind::P384,
            Private::P521(_) => KeyKind::P521,
            Private::Rsa(kind, _) => *kind,
            Private::Ed25519(_) => KeyKind::Ed25519,
        }
    }

    /// The algorithm that goes with the key when none is chosen.
    pub fn usual_algorithm(&self) -> SignatureAlgorithm {
        match &*self.0 {
            Private::P256(_) => SignatureAlgorithm::EcdsaSha256,
            Private::P384(_) => SignatureAlgorithm::EcdsaSha384,
            Private::P521(_) => SignatureAlgorithm::EcdsaSha512,
            Private::Rsa(..) => SignatureAlgorithm::RsaPkcs1Sha256,
            Private::Ed25519(_) => SignatureAlgorithm::Ed25519,
        }
    }

    /// The private key, PKCS#8 DER.
    pub fn pkcs8(&self) -> Vec<u8> {
        let document = match &*self.0 {
            Private::P256(key) => key.to_pkcs8_der(),
            Private::P384(key) => key.to_pkcs8_der(),
            Private::P521(key) => key.to_pkcs8_der(),
            // Version 1, without the public key: what every reader of keys understands.
            Private::Ed25519(key) => {
                let seed = der::octet_string(&der::octet_string(key.as_bytes()));
                return der::sequence([der::integer(&[0]), SignatureAlgorithm::Ed25519.identifier(), seed]);
            }
            Private::Rsa(_, key) => {
                let document = rsa::pkcs8::EncodePrivateKey::to_pkcs8_der(&**key);
                return document.expect("an RSA key encodes").as_bytes().to_vec();
            }
        };
        document.expect("a key encodes").as_bytes().to_vec()
    }

    /// The public key, SubjectPublicKeyInfo DER.
    pub fn public_key_info(&self) -> Vec<u8> {
        let document = match &*self.0 {
            Private::P256(key) => key.verifying_key().to_public_key_der(),
            Private::P384(key) => key.verifying_key().to_public_key_der(),
            Private::P521(key) => key.verifying_key().to_public_key_der(),
            Private::Ed25519(key) => key.verifying_key().to_public_key_der(),
            Private::Rsa(_, key) => {
                let document = rsa::pkcs8::EncodePublicKey::to_public_key_der(&key.to_public_key());
                return document.expect("an RSA key encodes").as_bytes().to_vec();
            }
        };
        document.expect("a key encodes").as_bytes().to_vec()
    }

    /// SHA-256 of the public key, cut to 160 bits (RFC 7093, section 2, method 1, over the whole SubjectPublicKeyInfo): what
    /// certificates name it by.
    pub fn id(&self) -> Vec<u8> {
        Sha256::digest(self.public_key_info())[..20].to_vec()
    }

    /// The public key as the key members of a JWK (RFC 7518, section 6; RFC 8037): `kty` and what goes with it.
    pub fn jwk(&self) -> Value {
        let text = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let curve = |name: &str, point: &[u8]| {
            let (x, y) = point[1..].split_at(point.len() / 2);
            json!({ "kty": "EC", "crv": name, "x": text(x), "y": text(y) })
        };
        match &*self.0 {
            Private::P256(key) => curve("P-256", key.verifying_key().to_sec1_point(false).as_bytes()),
            Private::P384(key) => curve("P-384", key.verifying_key().to_sec1_point(false).as_bytes()),
            Private::P521(key) => curve("P-521", key.verifying_key().to_sec1_point(false).as_bytes()),
            Private::Rsa(_, key) => {
                json!({ "kty": "RSA", "n": text(&key.n().to_bytes_be()), "e": text(&key.e().to_bytes_be()) })
            }
            Private::Ed25519(key) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": text(key.verifying_key().as_bytes()) })
            }
        }
    }

    /// Signs `message`: the content of the signature's BIT STRING.
    ///
    /// # Panics
    /// When the key cannot sign with `algorithm`.
    pub fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Vec<u8> {
        if let Private::Ed25519(key) = &*self.0 {
            assert_eq!(
                algorithm,
                SignatureAlgorithm::Ed25519,
                "an Ed25519 key signs Ed25519 only"
            );
            return key.sign(message).to_bytes().to_vec();
        }
        let hash = algorithm.hash();
        let digest = hash.digest(message);
        match (&*self.0, algorithm.is_ecdsa()) {
            (Private::P256(key), true) => ecdsa(key, &digest, p256::ecdsa::Signature::to_der),
            (Private::P384(key), true) => ecdsa(key, &digest, p384::ecdsa::Signature::to_der),
            (Private::P521(key), true) => ecdsa(key, &digest, p521::ecdsa::Signature::to_der),
            (Private::Rsa(_, key), false) if algorithm.is_pss() => key
                .sign_with_rng(&mut rsa::rand_core::OsRng, hash.pss(), &digest)
                .expect("an RSA key signs"),
            (Private::Rsa(_, key), false) => key.sign(hash.pkcs1(), &digest).expect("an RSA key signs"),
            _ => panic!("a {:?} key cannot sign {algorithm:?}", self.kind()),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?})", self.kind())
    }
}

/// Signs a digest of any length: one that is shorter than the curve wants is the same number with zeros in front.
fn ecdsa<S, D: AsRef<[u8]>>(key: &impl PrehashSigner<S>, digest: &[u8], to_der: impl Fn(&S) -> D) -> Vec<u8> {
    const LONGEST_FIELD: usize = 66;
    let padded = [&[0; LONGEST_FIELD / 2 + 1 - 32][..], digest].concat();
    let digest = if digest.len() == 32 && key.sign_prehash(digest).is_err() {
        &padded
    } else {
        digest
    };
    let signature = key.sign_prehash(digest).expect("an ECDSA key signs");
    to_der(&signature).as_ref().to_vec()
}

impl SignatureAlgorithm {
    fn is_ecdsa(self) -> bool {
        matches!(self, Self::EcdsaSha256 | Self::EcdsaSha384 | Self::EcdsaSha512)
    }

    fn is_pss(self) -> bool {
        matches!(self, Self::RsaPssSha256 | Self::RsaPssSha384 | Self::RsaPssSha512)
    }

    fn hash(self) -> Hash {
        match self {
            Self::EcdsaSha256 | Self::RsaPkcs1Sha256 | Self::RsaPssSha256 => Hash::Sha256,
            Self::EcdsaSha384 | Self::RsaPkcs1Sha384 | Self::RsaPssSha384 => Hash::Sha384,
            Self::EcdsaSha512 | Self::RsaPkcs1Sha512 | Self::RsaPssSha512 => Hash::Sha512,
            Self::Ed25519 => panic!("Ed25519 signs the message itself"),
        }
    }

    /// The AlgorithmIdentifier (RFC 5758, RFC 4055, RFC 8410).
    pub fn identifier(self) -> Vec<u8> {
        let bare = |oid| der::sequence([der::oid(oid)]);
        let with_null = |oid| der::sequence([der::oid(oid), der::null()]);
        match self {
            Self::EcdsaSha256 => bare("1.2.840.10045.4.3.2"),
            Self::EcdsaSha384 => bare("1.2.840.10045.4.3.3"),
            Self::EcdsaSha512 => bare("1.2.840.10045.4.3.4"),
            Self::RsaPkcs1Sha256 => with_null("1.2.840.113549.1.1.11"),
            Self::RsaPkcs1Sha384 => with_null("1.2.840.113549.1.1.12"),
            Self::RsaPkcs1Sha512 => with_null("1.2.840.113549.1.1.13"),
            Self::RsaPssSha256 | Self::RsaPssSha384 | Self::RsaPssSha512 => self.hash().pss_identifier(),
            Self::Ed25519 => bare("1.3.101.112"),
        }
    }
}

impl Hash {
    fn digest(self, message: &[u8]) -> Vec<u8> {
        match self {
            Hash::Sha256 => Sha256::digest(message).to_vec(),
            Hash::Sha384 => Sha384::digest(message).to_vec(),
            Hash::Sha512 => Sha512::digest(message).to_vec(),
        }
    }

    fn pkcs1(self) -> rsa::Pkcs1v15Sign {
        match self {
            Hash::Sha256 => rsa::Pkcs1v15Sign::new::<Sha256>(),
            Hash::Sha384 => rsa::Pkcs1v15Sign::new::<Sha384>(),
            Hash::Sha512 => rsa::Pkcs1v15Sign::new::<Sha512>(),
        }
    }

    fn pss(self) -> rsa::Pss {
        match self {
            Hash::Sha256 => rsa::Pss::new::<Sha256>(),
            Hash::Sha384 => rsa::Pss::new::<Sha384>(),
            Hash::Sha512 => rsa::Pss::new::<Sha512>(),
        }
    }

    /// RSASSA-PSS with this hash, MGF1 with the same, and a salt as long as the digest (RFC 4055, section 3.1).
    fn pss_identifier(self) -> Vec<u8> {
        let (oid, salt_length) = match self {
            Hash::Sha256 => ("2.16.840.1.101.3.4.2.1", 32),
            Hash::Sha384 => ("2.16.840.1.101.3.4.2.2", 48),
            Hash::Sha512 => ("2.16.840.1.101.3.4.2.3", 64),
        };
        let hash = der::sequence([der::oid(oid), der::null()]);
        let mgf1 = der::sequence([der::oid("1.2.840.113549.1.1.8"), hash.clone()]);
        der::sequence([
            der::oid("1.2.840.113549.1.1.10"),
            der::sequence([
                der::context(0, &hash),
                der::context(1, &mgf1),
                der::context(2, &der::integer(&[salt_length])),
            ]),
        ])
    }
}
