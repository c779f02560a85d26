//! A leaf, certificates that came with it, and a bundle: what is accepted keeps to the profile, and goes through the
//! bundle of its own trust domain.

use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use svidgate_policy::{
    ALGORITHMS, Bundle, BundleSet, Relationship, Relationships, SignedDuration, Svid, SvidError, Timestamp,
    TrustDomain,
    certificate::{leaf::Leaf, pem::split_der},
    digest::sha256,
    trust::svid::{Presented, Trust, verify},
};

use crate::certificates::{AnySignature, assert_is_leaf, may_be_authority, parse};

/// 2026-06-15T12:00:00Z, the moment of the test CA that the seeds are made by.
const NOW: Timestamp = Timestamp::constant(1_781_524_800, 0);
const MAX_CERTIFICATES: usize = 12;

/// The input is a byte, and certificates in DER, one behind the other: the leaf, what came with it, and at the end as
/// many authorities as the byte says. Each is verified twice, with signatures that are looked at and with signatures
/// that all are good: a fuzzer cannot sign, and what lies behind the signature must hold as well.
pub fn holds(data: &[u8]) {
    let Some((&authorities, certificates)) = data.split_first() else {
        return;
    };
    let certificates = split_der(certificates, MAX_CERTIFICATES).unwrap_or_else(|_| vec![certificates]);
    let Some((leaf, others)) = certificates.split_first() else {
        return;
    };
    let Ok(read) = Leaf::parse(leaf) else {
        let mut relationships = Relationships::default();
        relationships.insert(Relationship::unlimited(trust_domain("prod.example")));
        let presented = Presented {
            leaf,
            intermediates: &[],
        };
        assert!(verify(presented, &[], &trust(&relationships, None), NOW).is_err());
        return;
    };
    assert_is_leaf(leaf, read.id().as_str());

    let behind = others.len().saturating_sub(usize::from(authorities));
    let (intermediates, authorities) = others.split_at(behind);
    let case = Case {
        leaf,
        intermediates: intermediates.iter().map(|der| CertificateDer::from(*der)).collect(),
        authorities,
        trust_domain: read.id().trust_domain().clone(),
    };
    let trusting: Vec<AnySignature> = ALGORITHMS.iter().map(|algorithm| AnySignature(*algorithm)).collect();
    let trusting: Vec<&dyn SignatureVerificationAlgorithm> = trusting.iter().map(|any| any as _).collect();
    let (strict, lax) = (case.verify(ALGORITHMS), case.verify(&trusting));
    for accepted in [&strict, &lax].into_iter().flatten() {
        case.assert_is_good(accepted);
    }
    if let (Ok(_), Err(error)) = (&strict, &lax) {
        // More paths look good, so the bound on work may be met first.
        assert_eq!(error.reason().code(), "svid.chain_too_long", "{error}");
    }
    case.assert_no_other_bundle_would_do(&trusting);
}

struct Case<'a> {
    leaf: &'a [u8],
    intermediates: Vec<CertificateDer<'a>>,
    authorities: &'a [&'a [u8]],
    trust_domain: TrustDomain,
}

impl Case<'_> {
    fn bundle(&self) -> Bundle {
        Bundle::from_certificates(self.authorities.iter().map(|der| der.to_vec().into()))
    }

    fn verify(&self, algorithms: &[&dyn SignatureVerificationAlgorithm]) -> Result<Svid, SvidError> {
        let mut bundles = BundleSet::default();
        bundles.insert(self.trust_domain.clone(), self.bundle());
        self.verify_with(&bundles, algorithms)
    }

    fn verify_with(
        &self,
        bundles: &BundleSet,
        algorithms: &[&dyn SignatureVerificationAlgorithm],
    ) -> Result<Svid, SvidError> {
        let mut relationships = Relationships::default();
        relationships.insert(Relationship::unlimited(self.trust_domain.clone()));
        let presented = Presented {
            leaf: self.leaf,
            intermediates: &self.intermediates,
        };
        verify(presented, algorithms, &trust(&relationships, Some(bundles)), NOW)
    }

    fn assert_is_good(&self, svid: &Svid) {
        assert_eq!(svid.id().trust_domain(), &self.trust_domain);
        assert_eq!(svid.sha256(), Some(&sha256(self.leaf)));
        assert!(
            svid.valid_until() >= Timestamp::constant(NOW.as_second(), 0) && svid.path_until() >= svid.valid_until()
        );
        let in_path = |der: &[u8]| svid.has_in_path(&sha256(der));
        assert!(in_path(self.leaf));
        assert!(self.authorities.iter().any(|der| in_path(der) && may_be_authority(der)));
        let Some(leaf) = parse(self.leaf) else { return };
        let validity = leaf.validity();
        assert!((validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&NOW.as_second()));
        // Whoever issued it is in the path, and may issue.
        let issuers = self
            .intermediates
            .iter()
            .map(AsRef::as_ref)
            .chain(self.authorities.iter().copied());
        let issued = issuers
            .filter(|der| in_path(der) && may_be_authority(der))
            .any(|der| parse(der).is_none_or(|issuer| issuer.subject().as_raw() == leaf.issuer().as_raw()));
        assert!(issued, "its issuer is not in the path");
    }

    fn assert_no_other_bundle_would_do(&self, algorithms: &[&dyn SignatureVerificationAlgorithm]) {
        let other = trust_domain(if self.trust_domain.as_str() == "a" { "b" } else { "a" });
        let mut bundles = BundleSet::default();
        bundles.insert(other, self.bundle());
        assert!(self.verify_with(&bundles, algorithms).is_err());
        bundles.insert(self.trust_domain.clone(), Bundle::default());
        assert!(self.verify_with(&bundles, algorithms).is_err());
    }
}

fn trust<'a>(relationships: &'a Relationships, bundles: Option<&'a BundleSet>) -> Trust<'a> {
    Trust {
        relationships,
        bundles,
        revocations: &[],
        expiry_grace: SignedDuration::ZERO,
    }
}

fn trust_domain(name: &str) -> TrustDomain {
    TrustDomain::parse(name).expect("it is one")
}
