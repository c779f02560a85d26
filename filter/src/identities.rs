//! Who was verified lately, found again by the digest of the leaf. Bounded: peers decide how many digests there are.
//!
//! Good and refused identities are kept apart, so that a flood of bad certificates pushes out no good one.

use std::{num::NonZeroUsize, rc::Rc};

use jiff::{SignedDuration, Timestamp};
use lru::LruCache;
use svidgate_policy::{Grants, Reason, SpiffeId, Svid};

use crate::peer::Digest;

/// Most identities kept for one document on one worker. Our decision: about 1 KiB each.
pub const MAX_IDENTITIES: usize = 4096;
/// Most refusals kept.
pub const MAX_REFUSALS: usize = 1024;
/// How long a refusal stands before the certificate is looked at again. Clocks differ; a certificate that is not yet
/// valid here soon is.
pub const REFUSAL_LIFETIME: SignedDuration = SignedDuration::from_secs(5);

/// A verified identity and all that it may do.
#[derive(Debug)]
pub struct Identity {
    /// Who.
    pub svid: Svid,
    /// What.
    pub grants: Grants,
}

/// A certificate that is no identity here.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The reason code.
    pub reason: Reason,
    /// What is wrong, for the log.
    pub detail: String,
    /// The id that the certificate bears, which nothing vouches for.
    pub claimed: Option<SpiffeId>,
}

/// A refusal holds for the certificates that it was made with.
#[derive(Debug)]
struct Refused {
    refusal: Rc<Refusal>,
    chain: Option<Digest>,
    until: Timestamp,
}

/// The identities of one document on one worker.
#[derive(Debug)]
pub struct Identities {
    known: LruCache<Digest, Rc<Identity>>,
    refused: LruCache<Digest, Refused>,
}

impl Default for Identities {
    fn default() -> Self {
        let bound = |entries| NonZeroUsize::new(entries).unwrap_or(NonZeroUsize::MIN);
        Self {
            known: LruCache::new(bound(MAX_IDENTITIES)),
            refused: LruCache::new(bound(MAX_REFUSALS)),
        }
    }
}

impl Identities {
    /// What is known about a leaf that came with these certificates, now.
    pub fn find(
        &mut self,
        leaf: &Digest,
        chain: Option<Digest>,
        now: Timestamp,
    ) -> Option<Result<Rc<Identity>, Rc<Refusal>>> {
        if let Some(identity) = self.known.get(leaf) {
            if now <= identity.svid.valid_until() {
                return Some(Ok(Rc::clone(identity)));
            }
            self.known.pop(leaf);
        }
        let refused = self.refused.get(leaf)?;
        (refused.chain == chain && now < refused.until).then(|| Err(Rc::clone(&refused.refusal)))
    }

    /// Keeps an identity.
    pub fn keep(&mut self, leaf: Digest, identity: Rc<Identity>) {
        self.refused.pop(&leaf);
        self.known.put(leaf, identity);
    }

    /// Keeps a refusal for a while.
    pub fn keep_refusal(&mut self, leaf: Digest, chain: Option<Digest>, refusal: Rc<Refusal>, now: Timestamp) {
        let until = now.checked_add(REFUSAL_LIFETIME).unwrap_or(now);
        self.refused.put(leaf, Refused { refusal, chain, until });
    }
}
