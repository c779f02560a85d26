//! Identities and authorities: real certificates, because an [`Svid`] can only be had by verification.

use std::sync::OnceLock;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use p256::ecdsa::{Signature, SigningKey, signature::Signer as _};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SignatureAlgorithm, date_time_ymd,
};
use serde_json::{Value, json};
use svidgate_policy::{
    Relationship, Relationships, SignedDuration, SpiffeId, Svid, Timestamp,
    trust::svid::{self, Presented, Trust, verify},
};

/// 2026-11-23T12:00:00Z, a Monday: the moment of every decision that does not choose another.
pub const NOW: Timestamp = Timestamp::constant(1_795_435_200, 0);

/// The identity that a proxy, which has verified the chain, hands over.
pub fn svid(id: &str) -> Svid {
    let mut leaf = CertificateParams::default();
    leaf.subject_alt_names = vec![SanType::URI(id.try_into().unwrap())];
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let leaf = sign(leaf);
    let presented = Presented {
        leaf: leaf.der(),
        intermediates: &[],
    };
    trusting(id, |trust| verify(presented, &[], trust, NOW).unwrap())
}

/// The identity of which a proxy hands over nothing but the id.
pub fn vouched(id: &str) -> Svid {
    let id = SpiffeId::parse(id).unwrap();
    trusting(id.clone().as_str(), |trust| svid::vouched(id, trust, NOW).unwrap())
}

/// With a relationship with the id's trust domain that limits nothing.
fn trusting(id: &str, verified: impl FnOnce(&Trust<'_>) -> Svid) -> Svid {
    let mut relationships = Relationships::default();
    let trust_domain = SpiffeId::parse(id).unwrap().trust_domain().clone();
    relationships.insert(Relationship::unlimited(trust_domain));
    verified(&Trust {
        relationships: &relationships,
        bundles: None,
        revocations: &[],
        expiry_grace: SignedDuration::ZERO,
    })
}

/// A bundle with one authority, as a document has it.
pub fn bundle(trust_domain: &str) -> Value {
    let x5c = BASE64_STANDARD.encode(authority(trust_domain).der());
    json!({ "keys": [{ "use": "x509-svid", "kty": "EC", "x5c": [x5c] }] })
}

/// A signing certificate.
pub fn authority(trust_domain: &str) -> Certificate {
    let mut authority = CertificateParams::default();
    let id = format!("spiffe://{trust_domain}");
    authority.subject_alt_names = vec![SanType::URI(id.try_into().unwrap())];
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    sign(authority)
}

/// One key for all, always the same. It signs with the library that ships, which is Rust alone and needs no randomness:
/// so there are certificates on every target, also where there is neither a C compiler nor an operating system.
struct Key {
    private: SigningKey,
    public: Vec<u8>,
}

impl Key {
    fn new() -> Self {
        let private = SigningKey::from_slice(&[7; 32]).unwrap();
        let public = private.verifying_key().to_sec1_point(false).as_bytes().to_vec();
        Self { private, public }
    }
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature: Signature = self.private.sign(message);
        Ok(signature.to_der().as_bytes().to_vec())
    }
}

fn sign(mut certificate: CertificateParams) -> Certificate {
    static KEY: OnceLock<Key> = OnceLock::new();
    certificate.not_before = date_time_ymd(2026, 1, 1);
    certificate.not_after = date_time_ymd(2027, 1, 1);
    certificate.serial_number = Some(1.into());
    certificate.key_identifier_method = rcgen::KeyIdMethod::PreSpecified(vec![1]);
    certificate.self_signed(KEY.get_or_init(Key::new)).unwrap()
}
