//! Who was verified lately, found again by the digest of the leaf, or by the id that the proxy vouches for. Bounded:
//! peers decide how many there are.
//!
//! Good and refused identities are kept apart, so that a flood of bad certificates pushes out no good one.

use std::{num::NonZeroUsize, rc::Rc};

use jiff::{SignedDuration, Timestamp};
use lru::LruCache;
use svidgate_policy::Reason;

use crate::{
    identity::identity::Identity,
    peer::presented::{Digest, Evidence},
    refusal::Refusal,
};

/// Most identities kept for one document on one worker. An ordinary one takes about 2 KiB, one with long certificates
/// and thousands of rules about 90 KiB.
pub const MAX_IDENTITIES: usize = 4096;
/// Most bytes of them. Our decision: all that are ordinary have room four times over.
pub const MAX_IDENTITY_BYTES: usize = 32 * 1024 * 1024;
/// Most refusals kept.
pub const MAX_REFUSALS: usize = 1024;
/// How long a refusal stands at most before the certificate is looked at again; where time alone ends it sooner, until
/// then.
pub const REFUSAL_LIFETIME: SignedDuration = SignedDuration::from_secs(5);

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
    known: LruCache<Evidence, Rc<Identity>>,
    /// Of all that are known.
    bytes: usize,
    refused: LruCache<Evidence, Refused>,
}

impl Default for Identities {
    fn default() -> Self {
        let bound = |entries| NonZeroUsize::new(entries).unwrap_or(NonZeroUsize::MIN);
        Self {
            known: LruCache::new(bound(MAX_IDENTITIES)),
            bytes: 0,
            refused: LruCache::new(bound(MAX_REFUSALS)),
        }
    }
}

impl Identities {
    /// What is known about a peer that came with these certificates. An identity may have come to its end; whoever asks
    /// looks at what it was held against. The rest is asked for only where the leaf was refused: `chain` costs a digest
    /// of all that the peer sent, which is more than a decision does, and `clock` a look at the clock, for a refusal
    /// ends in its second and not with a tick.
    pub fn recall(
        &mut self,
        peer: &Evidence,
        chain: impl FnOnce() -> Option<Digest>,
        clock: impl FnOnce() -> Timestamp,
    ) -> Option<Result<Rc<Identity>, Rc<Refusal>>> {
        if let Some(identity) = self.known.get(peer) {
            return Some(Ok(Rc::clone(identity)));
        }
        let refused = self.refused.get(peer)?;
        (clock() < refused.until && refused.chain == chain()).then(|| Err(Rc::clone(&refused.refusal)))
    }

    /// Forgets an identity.
    pub fn forget(&mut self, peer: &Evidence) {
        if let Some(gone) = self.known.pop(peer) {
            self.bytes = self.bytes.saturating_sub(gone.bytes());
        }
    }

    /// Keeps an identity.
    pub fn keep(&mut self, identity: Rc<Identity>) {
        self.refused.pop(&identity.evidence);
        self.forget(&identity.evidence);
        self.bytes = self.bytes.saturating_add(identity.bytes());
        if let Some((_, gone)) = self.known.push(identity.evidence.clone(), identity) {
            self.bytes = self.bytes.saturating_sub(gone.bytes());
        }
        while self.bytes > MAX_IDENTITY_BYTES {
            let Some((_, gone)) = self.known.pop_lru() else { break };
            self.bytes = self.bytes.saturating_sub(gone.bytes());
        }
    }

    /// Forgets all refusals: what they were refused for may have changed.
    pub fn forget_refusals(&mut self) {
        self.refused.clear();
    }

    /// Forgets what was refused because a source had been silent.
    pub fn forget_stale_refusals(&mut self) {
        let is_stale = |refused: &Refused| {
            matches!(
                refused.refusal.reason,
                Reason::FederationBundleStale | Reason::RevocationsStale
            )
        };
        let stale: Vec<Evidence> = self
            .refused
            .iter()
            .filter(|(_, refused)| is_stale(refused))
            .map(|(peer, _)| peer.clone())
            .collect();
        for peer in stale {
            self.refused.pop(&peer);
        }
    }

    /// Keeps a refusal for a while.
    pub fn keep_refusal(&mut self, peer: Evidence, chain: Option<Digest>, refusal: Rc<Refusal>, now: Timestamp) {
        let until = now.checked_add(REFUSAL_LIFETIME).unwrap_or(now);
        let until = refusal.changes.map_or(until, |changes| until.min(changes));
        self.forget(&peer);
        self.refused.put(peer, Refused { refusal, chain, until });
    }
}
