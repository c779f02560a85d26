//! Who asks: an id that is taken at its word, or an SVID that is verified as the proxy would.

use std::collections::BTreeMap;

use svidgate_policy::{
    ALGORITHMS, Bundle, ChainMode, Presented, SignedDuration, SpiffeId, SvidError, Timestamp, Trust,
    TrustDomain, analysis::policy::Policy, certificate::pem::read_pem, trust::svid,
};

/// Whoever asks.
#[derive(Clone, Debug)]
pub enum Caller {
    /// An id without a certificate: relationship, scope and revocations are looked at, and no more.
    Id(SpiffeId),
    /// A leaf, and what came with it: all is looked at.
    Svid(Box<Shown>),
}

/// What a peer shows, and the bundles that the document does not have in it.
#[derive(Clone, Debug)]
pub struct Shown {
    certificates: Vec<svidgate_policy::CertificateDer<'static>>,
    bundles: BTreeMap<TrustDomain, Bundle>,
}

impl Shown {
    /// Reads PEM: the leaf first, whatever came with it behind it or in files of their own.
    ///
    /// # Errors
    /// In words, when a file has no certificate in it.
    pub fn read(leaf: &[u8], chain: &[Vec<u8>], bundles: BTreeMap<TrustDomain, Bundle>) -> Result<Self, String> {
        let mut certificates = read_pem(leaf).map_err(|error| error.to_string())?;
        for file in chain {
            certificates.extend(read_pem(file).map_err(|error| error.to_string())?);
        }
        if certificates.is_empty() {
            return Err("has no certificate in PEM".to_owned());
        }
        Ok(Self { certificates, bundles })
    }
}

impl Caller {
    /// Who it is to a document at one moment.
    ///
    /// # Errors
    /// Why it is nobody there.
    pub fn identify(&self, policy: &Policy, now: Timestamp) -> Result<SpiffeId, SvidError> {
        let configuration = policy.configuration();
        let mut bundles = configuration.bundles.clone();
        if let Self::Svid(shown) = self {
            for (trust_domain, bundle) in &shown.bundles {
                bundles.insert(trust_domain.clone(), bundle.clone());
            }
        }
        let revocations = [&*configuration.revoked];
        let trust = Trust {
            relationships: &configuration.relationships,
            bundles: match configuration.chain {
                ChainMode::Verify => Some(&bundles),
                ChainMode::Proxy => None,
            },
            revocations: &revocations,
            // It is for what is under way. Whoever comes anew has none.
            expiry_grace: SignedDuration::ZERO,
        };
        match self {
            Self::Id(id) => svid::vouched(id.clone(), &trust, now).map(|svid| svid.id().clone()),
            Self::Svid(shown) => {
                let (leaf, intermediates) = match shown.certificates.split_first() {
                    Some((leaf, intermediates)) => (leaf.as_ref(), intermediates),
                    None => (&[][..], &[][..]),
                };
                let presented = Presented { leaf, intermediates };
                svid::verify(presented, ALGORITHMS, &trust, now).map(|svid| svid.id().clone())
            }
        }
    }
}
