//! Identities and authorities: real certificates, because an [`Svid`] can only be had by verification.

use std::sync::OnceLock;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType,
    date_time_ymd,
};
use serde_json::{Value, json};
use svidgate_policy::{
    Relationship, Relationships, SpiffeId, Svid, Timestamp,
    svid::{ChainCheck, verify},
};

/// 2026-11-23T12:00:00Z, a Monday: the moment of every decision that does not choose another.
pub(crate) const NOW: Timestamp = Timestamp::constant(1_795_435_200, 0);

/// The identity that a proxy, which has verified the chain, hands over.
pub(crate) fn svid(id: &str) -> Svid {
    let mut leaf = CertificateParams::default();
    leaf.subject_alt_names = vec![SanType::URI(id.try_into().unwrap())];
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let mut relationships = Relationships::default();
    let trust_domain = SpiffeId::parse(id).unwrap().trust_domain().clone();
    relationships.insert(Relationship::unlimited(trust_domain));
    let leaf = sign(leaf);
    verify(leaf.der(), ChainCheck::Proxy, &relationships, NOW).unwrap()
}

/// A bundle with one authority, as a document has it.
pub(crate) fn bundle(trust_domain: &str) -> Value {
    let x5c = BASE64_STANDARD.encode(authority(trust_domain).der());
    json!({ "keys": [{ "use": "x509-svid", "kty": "EC", "x5c": [x5c] }] })
}

/// A signing certificate.
pub(crate) fn authority(trust_domain: &str) -> Certificate {
    let mut authority = CertificateParams::default();
    let id = format!("spiffe://{trust_domain}");
    authority.subject_alt_names = vec![SanType::URI(id.try_into().unwrap())];
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    sign(authority)
}

fn sign(mut certificate: CertificateParams) -> Certificate {
    static KEY: OnceLock<KeyPair> = OnceLock::new();
    certificate.not_before = date_time_ymd(2026, 1, 1);
    certificate.not_after = date_time_ymd(2027, 1, 1);
    certificate
        .self_signed(KEY.get_or_init(|| KeyPair::generate().unwrap()))
        .unwrap()
}
