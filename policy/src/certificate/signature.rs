//! Which signatures count: the fixed list of algorithms, each verified by a RustCrypto crate.
//!
//! The list is code, not configuration (PV-13). ECDSA on P-256, P-384 and P-521 with uncompressed points and any of
//! SHA-256, SHA-384, SHA-512; RSA of 2,048 to 4,096 bits with those hashes, PKCS#1 v1.5 or PSS with the parameters of
//! RFC 4055 that everyone uses (MGF1 with the same hash, salt as long as the hash); Ed25519. No SHA-1, no explicit
//! curve parameters. Callers hand the list in, so that a proxy's own verification can stand in front of it.

use std::ops::Neg as _;

use rsa::{RsaPublicKey, pkcs1::DecodeRsaPublicKey as _, signature::Verifier as _, traits::PublicKeyParts as _};
use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};
use sha2::{Digest, Sha256, Sha384, Sha512};
use x509_cert::{
    der::{Decode as _, Encode as _},
    spki::SubjectPublicKeyInfoRef,
};

/// Most signatures checked for one leaf. Our decision: what a peer with a forged leaf may cost a worker, 20 to 30 ms at
/// worst (`make abuse`); those that are dear count as more than one. With key identifiers a good leaf needs one for
/// each certificate of its path; without them, as many authorities of one name can be told apart.
pub const MAX_SIGNATURE_CHECKS: u32 = 24;

/// Smallest RSA modulus, in bits.
pub const MIN_RSA_BITS: usize = 2048;

/// Every algorithm on the list.
pub static ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    &Algorithm {
        key: alg_id::ECDSA_P256,
        signature: alg_id::ECDSA_SHA256,
        verify: p256::<Sha256>,
    },
    &Algorithm {
        key: alg_id::ECDSA_P256,
        signature: alg_id::ECDSA_SHA384,
        verify: p256::<Sha384>,
    },
    &Algorithm {
        key: alg_id::ECDSA_P256,
        signature: alg_id::ECDSA_SHA512,
        verify: p256::<Sha512>,
    },
    &Algorithm {
        key: alg_id::ECDSA_P384,
        signature: alg_id::ECDSA_SHA256,
        verify: p384::<Sha256>,
    },
    &Algorithm {
        key: alg_id::ECDSA_P384,
        signature: alg_id::ECDSA_SHA384,
        verify: p384::<Sha384>,
    },
    &Algorithm {
        key: alg_id::ECDSA_P384,
        signature: alg_id::ECDSA_SHA512,
        verify: p384::<Sha512>,
    },
    &Algorithm {
        key: alg_id::ECDSA_P521,
        signature: alg_id::ECDSA_SHA256,
        verify: p521::<Sha256>,
    },
    &Algorithm {
        key: alg_id::ECDSA_P521,
        signature: alg_id::ECDSA_SHA384,
        verify: p521::<Sha384>,
    },
    &Algorithm {
        key: alg_id::ECDSA_P521,
        signature: alg_id::ECDSA_SHA512,
        verify: p521::<Sha512>,
    },
    &Algorithm {
        key: alg_id::RSA_ENCRYPTION,
        signature: alg_id::RSA_PKCS1_SHA256,
        verify: pkcs1::<rsa::sha2::Sha256>,
    },
    &Algorithm {
        key: alg_id::RSA_ENCRYPTION,
        signature: alg_id::RSA_PKCS1_SHA384,
        verify: pkcs1::<rsa::sha2::Sha384>,
    },
    &Algorithm {
        key: alg_id::RSA_ENCRYPTION,
        signature: alg_id::RSA_PKCS1_SHA512,
        verify: pkcs1::<rsa::sha2::Sha512>,
    },
    &Algorithm {
        key: alg_id::RSA_ENCRYPTION,
        signature: alg_id::RSA_PSS_SHA256,
        verify: pss::<rsa::sha2::Sha256>,
    },
    &Algorithm {
        key: alg_id::RSA_ENCRYPTION,
        signature: alg_id::RSA_PSS_SHA384,
        verify: pss::<rsa::sha2::Sha384>,
    },
    &Algorithm {
        key: alg_id::RSA_ENCRYPTION,
        signature: alg_id::RSA_PSS_SHA512,
        verify: pss::<rsa::sha2::Sha512>,
    },
    &Algorithm {
        key: alg_id::ED25519,
        signature: alg_id::ED25519,
        verify: ed25519,
    },
];

/// Public key, message, signature.
type Verify = fn(&[u8], &[u8], &[u8]) -> Option<()>;

/// Whether a key is of a size and encoding that counts. Every verification here asks this itself; one that is delegated
/// to a proxy asks it first, so that it accepts no more than this list.
pub fn is_on_the_list(algorithm: AlgorithmIdentifier, public_key: &[u8]) -> bool {
    match algorithm {
        alg_id::RSA_ENCRYPTION => rsa_key(public_key).is_some(),
        alg_id::ECDSA_P256 | alg_id::ECDSA_P384 | alg_id::ECDSA_P521 => uncompressed(public_key).is_some(),
        alg_id::ED25519 => public_key.len() == ed25519_dalek::PUBLIC_KEY_LENGTH,
        _ => false,
    }
}

/// The same for a whole subject public key info in DER, whatever it is going to sign.
pub(crate) fn is_key_on_the_list(public_key_info: &[u8]) -> bool {
    let Ok(info) = SubjectPublicKeyInfoRef::from_der(public_key_info) else {
        return false;
    };
    let Ok(algorithm) = info.algorithm.to_der() else {
        return false;
    };
    let Some(key) = info.subject_public_key.as_bytes() else {
        return false;
    };
    let listed = |known: &&dyn SignatureVerificationAlgorithm| {
        let known = known.public_key_alg_id();
        algorithm.get(HEADER..) == Some(known.as_ref()) && is_on_the_list(known, key)
    };
    ALGORITHMS.iter().any(listed)
}

/// Bytes before the inside of a short DER sequence. The library has algorithm identifiers without them.
const HEADER: usize = 2;

/// What a certificate's signature is over, and the signature.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signed<'a> {
    pub(crate) message: &'a [u8],
    /// The algorithm identifier, in DER.
    pub(crate) algorithm: &'a [u8],
    pub(crate) signature: &'a [u8],
}

/// Which of `algorithms` goes with a signature and with the key, a subject public key info in DER, that may have made
/// it.
///
/// # Errors
/// What is missing.
pub(crate) fn algorithm<'a>(
    algorithms: &[&'a dyn SignatureVerificationAlgorithm],
    signed: &Signed<'_>,
    key: &SubjectPublicKeyInfoRef<'_>,
) -> Result<&'a dyn SignatureVerificationAlgorithm, Mismatch> {
    let identifier = signed.algorithm.get(HEADER..);
    let of_signature =
        |known: &&&dyn SignatureVerificationAlgorithm| identifier == Some(known.signature_alg_id().as_ref());
    if !algorithms.iter().any(|known| of_signature(&known)) {
        return Err(Mismatch::NotListed);
    }
    let key = key.algorithm.to_der().unwrap_or_default();
    let of_key =
        |known: &&&dyn SignatureVerificationAlgorithm| key.get(HEADER..) == Some(known.public_key_alg_id().as_ref());
    algorithms
        .iter()
        .filter(of_signature)
        .find(of_key)
        .copied()
        .ok_or(Mismatch::OtherKey)
}

/// Why no algorithm goes with a signature and a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mismatch {
    /// The signature's algorithm is not on the list.
    NotListed,
    /// It is, and no key of this kind makes such signatures.
    OtherKey,
}

/// How many checks a signature by a key, a subject public key info in DER, counts as at least.
pub(crate) fn least_cost(public_key_info: &[u8]) -> u32 {
    let key = SubjectPublicKeyInfoRef::from_der(public_key_info).and_then(|info| info.algorithm.to_der());
    let key = key.unwrap_or_default();
    let of_key = ALGORITHMS
        .iter()
        .filter(|known| key.get(HEADER..) == Some(known.public_key_alg_id().as_ref()));
    of_key.map(|algorithm| cost(*algorithm)).min().unwrap_or(1)
}

/// How many checks a signature counts as. Measured in Envoy: 60 to 100 us for most; 850 us for P-521; PSS, which no
/// proxy checks for us, 3.5 ms with 4,096 bits.
pub(crate) fn cost(algorithm: &dyn SignatureVerificationAlgorithm) -> u32 {
    match algorithm.signature_alg_id() {
        alg_id::RSA_PSS_SHA256 | alg_id::RSA_PSS_SHA384 | alg_id::RSA_PSS_SHA512 => 4,
        _ if algorithm.public_key_alg_id() == alg_id::ECDSA_P521 => 2,
        _ => 1,
    }
}

/// One pair of key and signature algorithm.
#[derive(Debug)]
struct Algorithm {
    key: AlgorithmIdentifier,
    signature: AlgorithmIdentifier,
    verify: Verify,
}

impl SignatureVerificationAlgorithm for Algorithm {
    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        (self.verify)(public_key, message, signature).ok_or(InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.key
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature
    }
}

/// The curve crates share their shapes but not their types, so one body serves all three.
macro_rules! ecdsa {
    ($name:ident, $twin:ident, $der:ident, $field_bytes:expr) => {
        fn $der(signature: &[u8]) -> Option<Vec<u8>> {
            let signature = ::$name::ecdsa::Signature::from_slice(signature).ok()?;
            Some(signature.to_der().as_bytes().to_vec())
        }

        fn $twin(signature: &[u8]) -> Option<Vec<u8>> {
            use ::$name::ecdsa::Signature;

            let signature = Signature::from_der(signature).ok()?;
            let twin = Signature::from_scalars(signature.r(), signature.s().neg()).ok()?;
            Some(twin.to_der().as_bytes().to_vec())
        }

        fn $name<D: Digest>(public_key: &[u8], message: &[u8], signature: &[u8]) -> Option<()> {
            use ::$name::ecdsa::{Signature, VerifyingKey, signature::hazmat::PrehashVerifier as _};

            let key = uncompressed(public_key).and_then(|point| VerifyingKey::from_sec1_bytes(point).ok())?;
            let signature = Signature::from_der(signature).ok()?;
            key.verify_prehash(&left_padded::<D, { $field_bytes }>(message), &signature)
                .ok()
        }
    };
}

ecdsa!(p256, p256_twin, p256_der, 32);
ecdsa!(p384, p384_twin, p384_der, 48);
ecdsa!(p521, p521_twin, p521_der, 66);

/// An ECDSA signature as certificates have it, in DER, of one as JOSE has it: both numbers one after the other, each with all
/// bytes of the curve's field (RFC 7518 3.4). Nothing where one of them is zero, or not below the order of the curve.
pub(crate) fn ecdsa_der(curve: AlgorithmIdentifier, signature: &[u8]) -> Option<Vec<u8>> {
    match curve {
        alg_id::ECDSA_P256 => p256_der(signature),
        alg_id::ECDSA_P384 => p384_der(signature),
        alg_id::ECDSA_P521 => p521_der(signature),
        _ => None,
    }
}

/// The other ECDSA signature that is as good, in DER: of (r, s), it is (r, n - s), and anyone can make one of the
/// other. Nothing where this is no ECDSA signature. Whose curve it is of is not known here; the first that it fits is,
/// but for one signature in 2^128.
pub(crate) fn ecdsa_twin(signature: &[u8]) -> Option<Vec<u8>> {
    [p256_twin, p384_twin, p521_twin]
        .iter()
        .find_map(|twin| twin(signature))
}

/// Whether an uncompressed point is on the curve of its kind of key.
pub(crate) fn is_point(kind: AlgorithmIdentifier, point: &[u8]) -> bool {
    match kind {
        alg_id::ECDSA_P256 => ::p256::ecdsa::VerifyingKey::from_sec1_bytes(point).is_ok(),
        alg_id::ECDSA_P384 => ::p384::ecdsa::VerifyingKey::from_sec1_bytes(point).is_ok(),
        alg_id::ECDSA_P521 => ::p521::ecdsa::VerifyingKey::from_sec1_bytes(point).is_ok(),
        _ => false,
    }
}

/// RFC 5480 leaves compressed points to the implementation; no issuer of SVIDs writes them.
fn uncompressed(point: &[u8]) -> Option<&[u8]> {
    (point.first() == Some(&0x04)).then_some(point)
}

/// The hash as an integer of the curve's size. The crates refuse a hash of less than half that size, which P-521 with
/// SHA-256 falls under; leading zeros change no integer (FIPS 186-5, 6.4.2).
fn left_padded<D: Digest, const FIELD_BYTES: usize>(message: &[u8]) -> Vec<u8> {
    let hash = D::digest(message);
    let mut padded = vec![0; FIELD_BYTES.saturating_sub(hash.len())];
    padded.extend_from_slice(&hash);
    padded
}

/// The crate itself refuses more than 4,096 bits and exponents above 2^33 - 1.
fn rsa_key(public_key: &[u8]) -> Option<RsaPublicKey> {
    RsaPublicKey::from_pkcs1_der(public_key)
        .ok()
        .filter(|key| key.n().bits() >= MIN_RSA_BITS)
}

fn pkcs1<D>(public_key: &[u8], message: &[u8], signature: &[u8]) -> Option<()>
where
    D: rsa::sha2::Digest + rsa::pkcs8::AssociatedOid,
{
    let signature = rsa::pkcs1v15::Signature::try_from(signature).ok()?;
    rsa::pkcs1v15::VerifyingKey::<D>::new(rsa_key(public_key)?)
        .verify(message, &signature)
        .ok()
}

fn pss<D>(public_key: &[u8], message: &[u8], signature: &[u8]) -> Option<()>
where
    D: rsa::sha2::Digest + rsa::sha2::digest::FixedOutputReset,
{
    let signature = rsa::pss::Signature::try_from(signature).ok()?;
    rsa::pss::VerifyingKey::<D>::new(rsa_key(public_key)?)
        .verify(message, &signature)
        .ok()
}

fn ed25519(public_key: &[u8], message: &[u8], signature: &[u8]) -> Option<()> {
    let key = ed25519_dalek::VerifyingKey::from_bytes(public_key.try_into().ok()?).ok()?;
    key.verify_strict(message, &ed25519_dalek::Signature::from_slice(signature).ok()?)
        .ok()
}

#[cfg(test)]
mod tests {
    use super::{is_key_on_the_list, is_on_the_list};
    use rustls_pki_types::alg_id;

    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn key_that_is_no_whole_number_of_bytes_is_not_on_the_list() {
        // Ed25519. Read without its last bit, the key may be another.
        let info = |unused: u8| {
            let inside = [&[0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 33, unused][..], &[0; 32]].concat();
            [&[0x30, 42][..], &inside].concat()
        };
        assert!(is_key_on_the_list(&info(0)));
        assert!(!is_key_on_the_list(&info(1)));
    }

    #[test]
    fn rsa_key_with_an_exponent_that_is_none_is_not_on_the_list() {
        let key = |exponent: u8| {
            let modulus = [&[2, 0x82, 1, 1, 0][..], &[0xff; 256]].concat();
            let inside = [&modulus[..], &[2, 1, exponent]].concat();
            [&[0x30, 0x82, 1, 8][..], &inside].concat()
        };
        for (exponent, expected) in [(0, false), (1, false), (2, false), (3, true), (4, false), (17, true)] {
            let found = is_on_the_list(alg_id::RSA_ENCRYPTION, &key(exponent));
            assert_eq!(found, expected, "{exponent}");
        }
    }
}
