//! Ed25519, which signs the message itself.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer, SigningKey, pkcs8::EncodePublicKey};
use serde_json::{Value, json};

use super::{Private, SignatureAlgorithm};
use crate::der;

pub(super) fn new() -> impl Private {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).expect("the system has randomness");
    SigningKey::from_bytes(&seed)
}

impl Private for SigningKey {
    /// Version 1, without the public key: what every reader of keys understands.
    fn pkcs8(&self) -> Vec<u8> {
        let seed = der::octet_string(&der::octet_string(self.as_bytes()));
        der::sequence([der::integer(&[0]), SignatureAlgorithm::Ed25519.identifier(), seed])
    }

    fn public_key_info(&self) -> Vec<u8> {
        let document = self.verifying_key().to_public_key_der();
        document.expect("a key encodes").as_bytes().to_vec()
    }

    fn jwk(&self) -> Value {
        let x = BASE64_URL_SAFE_NO_PAD.encode(self.verifying_key().as_bytes());
        json!({ "kty": "OKP", "crv": "Ed25519", "x": x })
    }

    fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Option<Vec<u8>> {
        let signs = algorithm == SignatureAlgorithm::Ed25519;
        signs.then(|| Signer::sign(self, message).to_bytes().to_vec())
    }
}
