//! Bundles and relationships to verify against, and how to say what came of it.

use ca::{Authority, FIXED_NOW, Identity, Leaf};
use jiff::{SignedDuration, Timestamp};
use rustls_pki_types::SignatureVerificationAlgorithm;
use svidgate_policy::Reason;
use svidgate_policy::Revocations;
use svidgate_policy::TrustDomain;
use svidgate_policy::certificate::leaf;
use svidgate_policy::certificate::signature::ALGORITHMS;
use svidgate_policy::trust::relationship::{Relationship, Relationships};
use svidgate_policy::trust::{bundle::Bundle, bundle_set::BundleSet};
use svidgate_policy::trust::{
    svid::{self, Presented, Svid, Trust},
    svid_error::SvidError,
};

pub(crate) const OURS: &str = "prod.example";
pub(crate) const THEIRS: &str = "partner.example";
pub(crate) const ID: &str = "spiffe://prod.example/ns/shop/sa/api";
pub(crate) const THEIR_ID: &str = "spiffe://partner.example/ns/billing/sa/reader";

/// What the gate knows when a peer connects.
#[derive(Default)]
pub(crate) struct Verifier {
    bundles: BundleSet,
    relationships: Relationships,
    revocations: Revocations,
}

impl Verifier {
    /// Our own trust domain with one authority, and no other.
    pub(crate) fn trusting(authority: &Authority) -> Self {
        Self::default()
            .bundle(OURS, &[authority])
            .relationship(relationship(OURS))
    }

    /// The authorities of a trust domain, first one first.
    pub(crate) fn bundle(self, trust_domain: &str, authorities: &[&Authority]) -> Self {
        let certificates = authorities.iter().map(|authority| authority.certificate.clone().into());
        self.exact_bundle(trust_domain, Bundle::from_certificates(certificates))
    }

    pub(crate) fn exact_bundle(mut self, trust_domain: &str, bundle: Bundle) -> Self {
        self.bundles.insert(name(trust_domain), bundle);
        self
    }

    pub(crate) fn relationship(mut self, relationship: Relationship) -> Self {
        self.relationships.insert(relationship);
        self
    }

    /// Entries of a list of revocations.
    pub(crate) fn revoking(mut self, entries: &serde_json::Value) -> Self {
        let list = serde_json::json!({ "revoked": entries }).to_string();
        self.revocations = Revocations::parse(list.as_bytes()).unwrap();
        self
    }

    /// All lists of revocations.
    pub(crate) fn lists(&self) -> [&Revocations; 1] {
        [&self.revocations]
    }

    pub(crate) fn trust<'a>(&'a self, revocations: &'a [&'a Revocations]) -> Trust<'a> {
        Trust {
            relationships: &self.relationships,
            bundles: Some(&self.bundles),
            revocations,
            expiry_grace: SignedDuration::ZERO,
        }
    }

    /// Verifies what a client sends.
    pub(crate) fn verify(&self, identity: &Identity) -> Result<Svid, SvidError> {
        self.verify_at(identity, FIXED_NOW)
    }

    pub(crate) fn verify_at(&self, identity: &Identity, now: Timestamp) -> Result<Svid, SvidError> {
        self.verify_sent(&identity.leaf, &identity.intermediates, now)
    }

    /// Verifies a leaf with the certificates that came with it.
    pub(crate) fn verify_sent(&self, leaf: &[u8], beside: &[Vec<u8>], now: Timestamp) -> Result<Svid, SvidError> {
        let intermediates: Vec<_> = beside.iter().map(|der| der.as_slice().into()).collect();
        let presented = Presented {
            leaf,
            intermediates: &intermediates,
        };
        svid::verify(presented, ALGORITHMS, &self.trust(&[&self.revocations]), now)
    }

    /// Verifies what a client sends, with these algorithms.
    pub(crate) fn verify_by(
        &self,
        identity: &Identity,
        algorithms: &[&dyn SignatureVerificationAlgorithm],
    ) -> Result<Svid, SvidError> {
        self.verify_remembering(&[], identity, algorithms)
    }

    /// The same, where certificates of earlier paths are remembered.
    pub(crate) fn verify_remembering(
        &self,
        hints: &[&Authority],
        identity: &Identity,
        algorithms: &[&dyn SignatureVerificationAlgorithm],
    ) -> Result<Svid, SvidError> {
        let intermediates: Vec<_> = identity.intermediates.iter().map(|der| der.as_slice().into()).collect();
        let hints = |_: &TrustDomain| hints.iter().map(|hint| hint.certificate.clone().into()).collect();
        svid::verify_with(
            leaf::Leaf::parse(&identity.leaf)?,
            &intermediates,
            hints,
            algorithms,
            &self.trust(&[]),
            FIXED_NOW,
        )
    }

    /// Verifies a leaf whose chain the proxy has verified.
    pub(crate) fn verify_after_proxy(&self, leaf: &[u8], now: Timestamp) -> Result<Svid, SvidError> {
        let presented = Presented {
            leaf,
            intermediates: &[],
        };
        let revocations = [&self.revocations];
        let trust = Trust {
            bundles: None,
            ..self.trust(&revocations)
        };
        svid::verify(presented, ALGORITHMS, &trust, now)
    }

    /// The reason for refusing what a client sends.
    #[track_caller]
    pub(crate) fn refuses(&self, identity: &Identity) -> Reason {
        reason(self.verify(identity))
    }
}

/// The reason of a refusal.
#[track_caller]
pub(crate) fn reason(result: Result<Svid, SvidError>) -> Reason {
    match result {
        Ok(svid) => panic!("{} was accepted", svid.id()),
        Err(error) => error.reason(),
    }
}

pub(crate) fn name(trust_domain: &str) -> TrustDomain {
    TrustDomain::parse(trust_domain).unwrap()
}

pub(crate) fn relationship(trust_domain: &str) -> Relationship {
    Relationship::unlimited(name(trust_domain))
}

/// A good authority of our trust domain.
pub(crate) fn authority() -> Authority {
    Authority::of(OURS, FIXED_NOW)
}

/// A good leaf of our trust domain.
pub(crate) fn leaf() -> Leaf {
    Leaf::svid(ID, FIXED_NOW)
}

/// What comes of a leaf that our one good authority has signed.
pub(crate) fn verify(leaf: Leaf) -> Result<Svid, SvidError> {
    let authority = authority();
    Verifier::trusting(&authority).verify(&authority.issue(leaf))
}

/// Why a leaf that our one good authority has signed is refused.
#[track_caller]
pub(crate) fn refused(leaf: Leaf) -> Reason {
    reason(verify(leaf))
}
