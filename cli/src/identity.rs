//! Who asks: an id that is taken at its word, or an SVID that is verified as the proxy would. And through whom.

use std::{collections::BTreeMap, sync::Arc};

use rustls_pki_types::CertificateDer;
use svidgate_policy::{
    ALGORITHMS, Bundle, BundleSet, ChainMode, Presented, SignedDuration, SpiffeId, SvidError, Timestamp, Trust,
    TrustDomain,
    analysis::{Claimed, ClaimedGrants, ClaimedWay, Policy},
    certificate::pem::read_pem,
    trust::svid,
};

use crate::via::{Peer, Via, peer};

/// Whoever asks, and through whom.
#[derive(Clone, Debug)]
pub struct Coming {
    /// On whose behalf.
    pub caller: Caller,
    /// Through which hops.
    pub via: Vec<Via>,
}

/// Why somebody does not come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nobody {
    /// The caller is refused.
    Caller(SvidError),
    /// The hop is.
    Hop(SvidError),
    /// It is no way of this policy, in words.
    NoWay(String),
}

impl Coming {
    /// Who that is to a document at one moment.
    ///
    /// # Errors
    /// Why it is nobody there.
    pub fn identify(&self, policy: &Policy, now: Timestamp) -> Result<ClaimedWay, Nobody> {
        let hop = match peer(&self.via, policy).map_err(Nobody::NoWay)? {
            Some(Peer { id, assertion }) => {
                let hop = Claimed::new(id, policy.configuration(), now).map_err(Nobody::Hop)?;
                Some((hop, assertion))
            }
            None => None,
        };
        let caller = self.caller.identify(policy, now).map_err(Nobody::Caller)?;
        let way = ClaimedWay { caller, hop };
        let grants = ClaimedGrants::of(&policy.configuration().rules, &way);
        match (grants.hop(), self.via.first()) {
            (Some(taken), Some(written)) if *taken.name != *written.name => {
                let (caller, taken, written) = (way.caller.id(), &taken.name, &written.name);
                Err(Nobody::NoWay(format!(
                    "it is hop `{taken}` by which that peer brings {caller}, and not `{written}`"
                )))
            }
            _ => Ok(way),
        }
    }
}

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
    certificates: Vec<CertificateDer<'static>>,
    bundles: BTreeMap<TrustDomain, Arc<Bundle>>,
}

impl Shown {
    /// Reads PEM: the leaf first, whatever came with it behind it or in files of their own.
    ///
    /// # Errors
    /// In words, when a file has no certificate in it.
    pub fn read(leaf: &[u8], chain: &[Vec<u8>], bundles: BTreeMap<TrustDomain, Arc<Bundle>>) -> Result<Self, String> {
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
    pub fn identify(&self, policy: &Policy, now: Timestamp) -> Result<Claimed, SvidError> {
        let configuration = policy.configuration();
        let shown = match self {
            Self::Id(id) => return Claimed::new(id.clone(), configuration, now),
            Self::Svid(shown) => shown,
        };
        let mut bundles = BundleSet::default();
        for (trust_domain, _) in configuration.bundles.iter() {
            if let Some(bundle) = configuration.bundles.bundle(trust_domain) {
                bundles.insert(trust_domain.clone(), Arc::clone(bundle));
            }
        }
        for (trust_domain, bundle) in &shown.bundles {
            bundles.insert(trust_domain.clone(), Arc::clone(bundle));
        }
        let trust = Trust {
            relationships: &configuration.relationships,
            bundles: match configuration.chain {
                ChainMode::Verify => Some(&bundles),
                ChainMode::Proxy => None,
            },
            revocations: &[&configuration.revoked],
            // It is for what is under way. Whoever comes anew has none.
            expiry_grace: SignedDuration::ZERO,
        };
        let (leaf, intermediates) = match shown.certificates.split_first() {
            Some((leaf, intermediates)) => (leaf.as_ref(), intermediates),
            None => (&[][..], &[][..]),
        };
        let svid = svid::verify(Presented { leaf, intermediates }, ALGORITHMS, &trust, now)?;
        Claimed::new(svid.id().clone(), configuration, now)
    }
}
