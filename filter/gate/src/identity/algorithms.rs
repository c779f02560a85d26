//! Signatures verified by the proxy's own library, where it can: about a tenth of what the same costs in a module.
//!
//! A proxy covers ECDSA and RSA PKCS#1 at most. What our list demands of a key (size, encoding) is checked here first,
//! so that which implementation verifies never changes what is accepted. Where the proxy cannot be asked, our own does
//! it.

use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};
use svidgate_policy::{ALGORITHMS, certificate::signature::is_on_the_list};

/// Has the proxy verify a signature: by a hash of this name, with a `SubjectPublicKeyInfo` in DER, over a message.
/// `None` where it could not be asked.
pub type Verify = fn(Question<'_>) -> Option<bool>;

/// What a proxy is asked about one signature.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// `sha256`, `sha384` or `sha512`.
    pub hash: &'static str,
    /// `SubjectPublicKeyInfo` in DER.
    pub public_key: &'a [u8],
    /// The signature.
    pub signature: &'a [u8],
    /// What was signed.
    pub message: &'a [u8],
}

/// The whole list of algorithms, those that the proxy covers verified by it.
#[derive(Debug)]
pub struct ProxyAlgorithms(Vec<Delegated>);

impl ProxyAlgorithms {
    /// With or without a proxy to ask.
    pub fn new(verify: Option<Verify>) -> Self {
        let delegated = |algorithm: &&'static dyn SignatureVerificationAlgorithm| Delegated {
            algorithm: *algorithm,
            proxy: verify.zip(covered_hash(algorithm.signature_alg_id())),
        };
        Self(ALGORITHMS.iter().map(delegated).collect())
    }

    /// As `verify` wants them.
    pub fn as_list(&self) -> Vec<&dyn SignatureVerificationAlgorithm> {
        let mut list: Vec<&dyn SignatureVerificationAlgorithm> = Vec::with_capacity(self.0.len());
        self.0.iter().for_each(|algorithm| list.push(algorithm));
        list
    }
}

/// The name by which the proxy knows the hash of a signature algorithm that it covers.
fn covered_hash(signature: AlgorithmIdentifier) -> Option<&'static str> {
    match signature {
        alg_id::ECDSA_SHA256 | alg_id::RSA_PKCS1_SHA256 => Some("sha256"),
        alg_id::ECDSA_SHA384 | alg_id::RSA_PKCS1_SHA384 => Some("sha384"),
        alg_id::ECDSA_SHA512 | alg_id::RSA_PKCS1_SHA512 => Some("sha512"),
        _ => None,
    }
}

struct Delegated {
    algorithm: &'static dyn SignatureVerificationAlgorithm,
    proxy: Option<(Verify, &'static str)>,
}

impl std::fmt::Debug for Delegated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delegated")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl SignatureVerificationAlgorithm for Delegated {
    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        if !is_on_the_list(self.public_key_alg_id(), public_key) {
            return Err(InvalidSignature);
        }
        match self
            .proxy
            .and_then(|(verify, hash)| self.ask(verify, hash, public_key, message, signature))
        {
            Some(true) => Ok(()),
            Some(false) => Err(InvalidSignature),
            None => self.algorithm.verify_signature(public_key, message, signature),
        }
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.signature_alg_id()
    }
}

impl Delegated {
    fn ask(
        &self,
        verify: Verify,
        hash: &'static str,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Option<bool> {
        verify(Question {
            hash,
            public_key: &public_key_info(self.public_key_alg_id(), public_key)?,
            signature,
            message,
        })
    }
}

/// `SubjectPublicKeyInfo` in DER, put together again: the trait hands over its parts.
fn public_key_info(algorithm: AlgorithmIdentifier, public_key: &[u8]) -> Option<Vec<u8>> {
    const SEQUENCE: u8 = 0x30;
    const BIT_STRING: u8 = 0x03;
    // A key is whole bytes: no unused bits.
    let bits = [&[0], public_key].concat();
    let inside = [tagged(SEQUENCE, algorithm.as_ref())?, tagged(BIT_STRING, &bits)?].concat();
    tagged(SEQUENCE, &inside)
}

/// One value of DER (X.690 8.1.3), up to 65,535 bytes.
fn tagged(tag: u8, value: &[u8]) -> Option<Vec<u8>> {
    let [high, low] = u16::try_from(value.len()).ok()?.to_be_bytes();
    let header = match (high, low) {
        (0, 0..=0x7f) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    Some([header.as_slice(), value].concat())
}

#[cfg(test)]
mod tests {
    use super::{ProxyAlgorithms, public_key_info, tagged};
    use rustls_pki_types::alg_id;

    #[test]
    fn lengths_are_der() {
        assert_eq!(tagged(4, &[0; 127]).unwrap()[..2], [4, 127]);
        assert_eq!(tagged(4, &[0; 128]).unwrap()[..3], [4, 0x81, 128]);
        assert_eq!(tagged(4, &[0; 256]).unwrap()[..4], [4, 0x82, 1, 0]);
        assert!(tagged(4, &[0; 65_536]).is_none());
        assert!(
            public_key_info(alg_id::ECDSA_P256, &[4; 65])
                .unwrap()
                .starts_with(&[0x30, 89, 0x30, 19])
        );
    }

    #[test]
    fn keys_off_the_list_never_reach_the_proxy() {
        let algorithms = ProxyAlgorithms::new(Some(|_| Some(true)));
        for algorithm in algorithms.as_list() {
            assert!(algorithm.verify_signature(&[2; 33], b"", b"").is_err(), "{algorithm:?}");
            assert!(algorithm.verify_signature(&[], b"", b"").is_err(), "{algorithm:?}");
        }
    }
}
