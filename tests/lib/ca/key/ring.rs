//! P-256 with ring, which is there for TLS anyway where certificates are shown to a proxy.

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::Value;

use super::{Private, SignatureAlgorithm, jwk};
use crate::der;

struct P256 {
    pair: EcdsaKeyPair,
    pkcs8: Vec<u8>,
}

pub(super) fn p256() -> impl Private {
    let (algorithm, random) = (&ECDSA_P256_SHA256_ASN1_SIGNING, SystemRandom::new());
    let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("the system has randomness");
    let pkcs8 = document.as_ref().to_vec();
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, &pkcs8, &random).expect("its own key");
    P256 { pair, pkcs8 }
}

impl Private for P256 {
    fn pkcs8(&self) -> Vec<u8> {
        self.pkcs8.clone()
    }

    /// An `id-ecPublicKey` on `secp256r1` (RFC 5480).
    fn public_key_info(&self) -> Vec<u8> {
        let algorithm = der::sequence([der::oid("1.2.840.10045.2.1"), der::oid("1.2.840.10045.3.1.7")]);
        der::sequence([algorithm, der::bit_string(self.pair.public_key().as_ref())])
    }

    fn jwk(&self) -> Value {
        jwk("P-256", self.pair.public_key().as_ref())
    }

    fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Option<Vec<u8>> {
        let signs = algorithm == SignatureAlgorithm::EcdsaSha256;
        let signed = signs.then(|| self.pair.sign(&SystemRandom::new(), message))?;
        Some(signed.expect("the system has randomness").as_ref().to_vec())
    }
}
