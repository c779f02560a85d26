//! The question that a gate is there for: whose identity is this chain, at this time, with these bundles? The library
//! answers it here; the module that ships is asked the same by [`crate::module`].

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use rustls_pki_types::CertificateDer;
use svidgate_policy::certificate::signature::ALGORITHMS;
use svidgate_policy::trust::relationship::{Relationship, Relationships};
use svidgate_policy::trust::{bundle::Bundle, bundle_set::BundleSet};
use svidgate_policy::{Presented, Reason, Trust, TrustDomain, trust::svid};

use crate::results::Answer;

/// What is asked.
pub(crate) struct Question {
    /// As the peer presented it, leaf first.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// The authorities of each trust domain that there is a relationship with. None of them has limits.
    pub(crate) bundles: BTreeMap<TrustDomain, Vec<CertificateDer<'static>>>,
    /// When.
    pub(crate) at: Timestamp,
}

impl Question {
    /// What the library answers.
    pub(crate) fn answer(&self) -> Answer {
        let Some((leaf, intermediates)) = self.chain.split_first() else {
            return Answer::refuse().because("no certificate");
        };
        let mut bundles = BundleSet::default();
        let mut relationships = Relationships::default();
        for (trust_domain, authorities) in &self.bundles {
            bundles.insert(
                trust_domain.clone(),
                Bundle::from_certificates(authorities.iter().cloned()),
            );
            relationships.insert(Relationship::unlimited(trust_domain.clone()));
        }
        let trust = Trust {
            relationships: &relationships,
            bundles: Some(&bundles),
            revocations: &[],
            expiry_grace: SignedDuration::ZERO,
        };
        match svid::verify(Presented { leaf, intermediates }, ALGORITHMS, &trust, self.at) {
            Ok(_) => Answer::accept().because(Reason::RuleAllowed),
            Err(error) => Answer::refuse().because(error.reason()),
        }
    }
}
