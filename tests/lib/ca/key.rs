//! Keys of every kind that an X.509-SVID may have, and the ways in which they sign.
//!
//! With the feature `full`. With `ring` alone there is P-256 and no other: what signs with the others, and P-256 where
//! there is no ring, is most of what the demo would have to build.

#[cfg(feature = "full")]
mod ecdsa;
#[cfg(feature = "full")]
mod ed25519;
#[cfg(all(feature = "ring", not(feature = "full")))]
mod ring;
#[cfg(feature = "full")]
mod rsa;

use std::fmt;
use std::sync::Arc;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
#[cfg(feature = "full")]
use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::{der, sha256};

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

/// A private key. Clones share it.
#[derive(Clone)]
pub struct Key {
    kind: KeyKind,
    private: Arc<dyn Private>,
}

/// What a private key of one kind can do.
trait Private: Send + Sync {
    fn pkcs8(&self) -> Vec<u8>;

    fn public_key_info(&self) -> Vec<u8>;

    fn jwk(&self) -> Value;

    /// `None`: such a key does not sign like that.
    fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Option<Vec<u8>>;
}

impl Key {
    /// A new key; for RSA, in turn one of two that are kept as long as the process.
    ///
    /// # Panics
    /// When this kind is not built.
    pub fn generate(kind: KeyKind) -> Key {
        match kind {
            #[cfg(feature = "full")]
            KeyKind::P256 => Key::new(kind, ecdsa::p256()),
            #[cfg(all(feature = "ring", not(feature = "full")))]
            KeyKind::P256 => Key::new(kind, ring::p256()),
            #[cfg(feature = "full")]
            KeyKind::P384 => Key::new(kind, ecdsa::p384()),
            #[cfg(feature = "full")]
            KeyKind::P521 => Key::new(kind, ecdsa::p521()),
            #[cfg(feature = "full")]
            KeyKind::Ed25519 => Key::new(kind, ed25519::new()),
            #[cfg(feature = "full")]
            KeyKind::Rsa1024 | KeyKind::Rsa2048 | KeyKind::Rsa3072 | KeyKind::Rsa4096 | KeyKind::Rsa8192 => {
                rsa::kept(kind)
            }
            #[cfg(not(feature = "full"))]
            _ => panic!("{kind:?} keys are there with the feature `full`"),
        }
    }

    fn new(kind: KeyKind, private: impl Private + 'static) -> Key {
        Key {
            kind,
            private: Arc::new(private),
        }
    }

    /// Its kind.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The algorithm that goes with the key when none is chosen.
    pub fn usual_algorithm(&self) -> SignatureAlgorithm {
        match self.kind {
            KeyKind::P256 => SignatureAlgorithm::EcdsaSha256,
            KeyKind::P384 => SignatureAlgorithm::EcdsaSha384,
            KeyKind::P521 => SignatureAlgorithm::EcdsaSha512,
            KeyKind::Rsa1024 | KeyKind::Rsa2048 | KeyKind::Rsa3072 | KeyKind::Rsa4096 | KeyKind::Rsa8192 => {
                SignatureAlgorithm::RsaPkcs1Sha256
            }
            KeyKind::Ed25519 => SignatureAlgorithm::Ed25519,
        }
    }

    /// The private key, PKCS#8 DER.
    pub fn pkcs8(&self) -> Vec<u8> {
        self.private.pkcs8()
    }

    /// The public key, SubjectPublicKeyInfo DER.
    pub fn public_key_info(&self) -> Vec<u8> {
        self.private.public_key_info()
    }

    /// SHA-256 of the public key, cut to 160 bits (RFC 7093, section 2, method 1, over the whole SubjectPublicKeyInfo):
    /// what certificates name it by.
    pub fn id(&self) -> Vec<u8> {
        sha256(&self.public_key_info())[..20].to_vec()
    }

    /// The public key as the key members of a JWK (RFC 7518, section 6; RFC 8037): `kty` and what goes with it.
    pub fn jwk(&self) -> Value {
        self.private.jwk()
    }

    /// Signs `message`: the content of the signature's BIT STRING.
    ///
    /// # Panics
    /// When the key cannot sign with `algorithm`.
    pub fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Vec<u8> {
        self.private
            .sign(algorithm, message)
            .unwrap_or_else(|| panic!("a {:?} key cannot sign {algorithm:?}", self.kind))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?})", self.kind)
    }
}

/// The members of a JWK for an uncompressed point.
fn jwk(curve: &str, point: &[u8]) -> Value {
    let text = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let (x, y) = point[1..].split_at(point.len() / 2);
    json!({ "kty": "EC", "crv": curve, "x": text(x), "y": text(y) })
}

impl SignatureAlgorithm {
    #[cfg(feature = "full")]
    fn is_ecdsa(self) -> bool {
        matches!(self, Self::EcdsaSha256 | Self::EcdsaSha384 | Self::EcdsaSha512)
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

/// The hash of an algorithm that signs a digest.
#[derive(Clone, Copy)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    #[cfg(feature = "full")]
    fn digest(self, message: &[u8]) -> Vec<u8> {
        match self {
            Hash::Sha256 => Sha256::digest(message).to_vec(),
            Hash::Sha384 => Sha384::digest(message).to_vec(),
            Hash::Sha512 => Sha512::digest(message).to_vec(),
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
