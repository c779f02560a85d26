//! ECDSA on the curves of NIST.

use p256::ecdsa::signature::hazmat::PrehashSigner;
use p256::elliptic_curve::Generate;
use p256::pkcs8::{EncodePrivateKey, EncodePublicKey};
use serde_json::Value;

use super::{Private, SignatureAlgorithm, jwk};

/// The same for each curve, whose types have no trait in common that says as much.
macro_rules! curve {
    ($curve:ident, $name:literal) => {
        pub(super) fn $curve() -> impl Private {
            $curve::ecdsa::SigningKey::generate()
        }

        impl Private for $curve::ecdsa::SigningKey {
            fn pkcs8(&self) -> Vec<u8> {
                self.to_pkcs8_der().expect("a key encodes").as_bytes().to_vec()
            }

            fn public_key_info(&self) -> Vec<u8> {
                let document = self.verifying_key().to_public_key_der();
                document.expect("a key encodes").as_bytes().to_vec()
            }

            fn jwk(&self) -> Value {
                jwk($name, self.verifying_key().to_sec1_point(false).as_bytes())
            }

            fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Option<Vec<u8>> {
                let digest = algorithm.is_ecdsa().then(|| algorithm.hash().digest(message))?;
                Some(sign(self, &digest, $curve::ecdsa::Signature::to_der))
            }
        }
    };
}

curve!(p256, "P-256");
curve!(p384, "P-384");
curve!(p521, "P-521");

/// Signs a digest of any length: one that is shorter than the curve wants is the same number with zeros in front.
fn sign<S, D: AsRef<[u8]>>(key: &impl PrehashSigner<S>, digest: &[u8], to_der: impl Fn(&S) -> D) -> Vec<u8> {
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
