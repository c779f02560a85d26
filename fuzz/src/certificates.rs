//! Certificates as another library reads them, and signatures that nobody looks at.

use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};
use x509_parser::{
    certificate::X509Certificate,
    extensions::{GeneralName, ParsedExtension},
    prelude::FromDer as _,
};

/// Takes every signature for good.
#[derive(Debug)]
pub(crate) struct AnySignature(pub(crate) &'static dyn SignatureVerificationAlgorithm);

impl SignatureVerificationAlgorithm for AnySignature {
    fn verify_signature(&self, _: &[u8], _: &[u8], _: &[u8]) -> Result<(), InvalidSignature> {
        Ok(())
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.0.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.0.signature_alg_id()
    }
}

/// A certificate in DER without a byte behind it, as far as the other library reads it.
pub(crate) fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    X509Certificate::from_der(der)
        .ok()
        .filter(|(rest, _)| rest.is_empty())
        .map(|(_, certificate)| certificate)
}

/// Whether it may sign: basic constraints say cA, and key usage, where it is there, has keyCertSign. What the other
/// library cannot read (it refuses spare bits in keys and signatures) it has no opinion about, and nothing is said
/// against.
pub(crate) fn may_be_authority(der: &[u8]) -> bool {
    parse(der).is_none_or(|certificate| {
        certificate.is_ca()
            && certificate
                .key_usage()
                .is_ok_and(|usage| usage.is_none_or(|usage| usage.value.key_cert_sign()))
    })
}

/// Panics where a certificate does not keep to the profile of a leaf with this id. Where the other library cannot read
/// it as a whole, it has no opinion.
pub(crate) fn assert_is_leaf(der: &[u8], id: &str) {
    let Some(certificate) = parse(der) else { return };
    let names = certificate
        .subject_alternative_name()
        .expect("at most one list of names");
    let names = &names.expect("a leaf has names").value.general_names;
    let uris: Vec<&str> = names
        .iter()
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        })
        .collect();
    assert_eq!(uris, [id]);
    assert!(!certificate.is_ca());
    let usage = certificate.key_usage().expect("at most one key usage");
    let usage = usage.expect("a leaf has key usage").value;
    assert!(usage.digital_signature() && !usage.key_cert_sign() && !usage.crl_sign());
    if let Some(extended) = certificate.extended_key_usage().expect("at most one") {
        assert!(extended.value.any || extended.value.client_auth);
    }
    assert!(certificate.name_constraints().expect("at most one").is_none());
    for (place, extension) in certificate.extensions().iter().enumerate() {
        let again = certificate.extensions()[..place]
            .iter()
            .any(|earlier| earlier.oid == extension.oid);
        assert!(!again, "{} twice", extension.oid);
        let known = matches!(
            extension.parsed_extension(),
            ParsedExtension::SubjectAlternativeName(_)
                | ParsedExtension::BasicConstraints(_)
                | ParsedExtension::KeyUsage(_)
                | ParsedExtension::ExtendedKeyUsage(_)
        );
        assert!(known || !extension.critical, "{} is critical", extension.oid);
    }
}
