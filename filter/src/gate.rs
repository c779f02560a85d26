//! One document at work: who a peer is, verified once and then remembered.

use std::{cell::RefCell, rc::Rc};

use jiff::Timestamp;
use svidgate_policy::{
    Chain, ChainCheck, Configuration, Mode, SvidError,
    certificate::{Leaf, sha256},
    svid,
};

use crate::{
    host::Host,
    identities::{Identities, Identity, Refusal},
    peer::{self, Presented, Unreadable},
    proxy_signature::{Call, ProxyAlgorithms},
};

/// A compiled document with the identities it has met.
#[derive(Debug)]
pub struct Gate {
    /// What the document says.
    pub configuration: Configuration,
    algorithms: ProxyAlgorithms,
    identities: RefCell<Identities>,
}

impl Gate {
    /// Puts a document to work, verifying signatures by `proxy` where it can.
    pub fn new(configuration: Configuration, proxy: Option<Call>) -> Self {
        Self {
            configuration,
            algorithms: ProxyAlgorithms::new(proxy),
            identities: RefCell::default(),
        }
    }

    /// Whether refusals are carried out.
    pub fn enforces(&self) -> bool {
        match self.configuration.mode {
            Mode::Enforce => true,
            Mode::DryRun => false,
        }
    }

    /// Who the peer of the connection being served is. `now` is the time of the last tick; where a certificate is
    /// looked at for the first time, the clock is read again, for a certificate may be younger than that.
    ///
    /// # Errors
    /// Why it is nobody.
    pub fn identify<H: Host>(
        &self,
        host: &H,
        now: Timestamp,
        xfcc: Option<&[u8]>,
    ) -> Result<Rc<Identity>, Rc<Refusal>> {
        let leaf = peer::digest(host).map_err(|unreadable| Rc::new(unreadable.into()))?;
        let chain = xfcc.map(sha256);
        if let Some(known) = self.identities.borrow_mut().find(&leaf, chain, now) {
            return known;
        }
        let now = host.now().unwrap_or(now);
        // Not remembered where it fails: the next listener with this document may show what this one does not.
        let presented = peer::presented(host, &leaf, xfcc).map_err(|unreadable| Rc::new(unreadable.into()))?;
        let verified = self.verify(&presented, now);
        let mut identities = self.identities.borrow_mut();
        match verified {
            Ok(identity) => {
                let identity = Rc::new(identity);
                identities.keep(leaf, Rc::clone(&identity));
                Ok(identity)
            }
            Err(refusal) => {
                let refusal = Rc::new(refusal);
                identities.keep_refusal(leaf, chain, Rc::clone(&refusal), now);
                Err(refusal)
            }
        }
    }

    fn verify(&self, Presented { leaf, intermediates }: &Presented, now: Timestamp) -> Result<Identity, Refusal> {
        let algorithms = self.algorithms.as_list();
        let check = match self.configuration.chain {
            Chain::Verify => ChainCheck::Verify {
                bundles: &self.configuration.bundles,
                intermediates,
                algorithms: &algorithms,
            },
            Chain::Proxy => ChainCheck::Proxy,
        };
        let verified = svid::verify(leaf, check, &self.configuration.relationships, now);
        let svid = verified.map_err(|error| refusal(leaf, &error))?;
        let grants = self.configuration.rules.specialise(&svid);
        Ok(Identity { svid, grants })
    }
}

fn refusal(leaf: &[u8], error: &SvidError) -> Refusal {
    let claimed = Leaf::parse(leaf).ok().map(|leaf| leaf.id().clone());
    Refusal {
        reason: error.reason(),
        detail: error.to_string(),
        claimed,
    }
}

impl From<Unreadable> for Refusal {
    fn from(unreadable: Unreadable) -> Self {
        Self {
            reason: unreadable.reason,
            detail: unreadable.detail,
            claimed: None,
        }
    }
}
