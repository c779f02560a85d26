//! Who was verified lately, found again by the digest of the leaf, or by the id that the proxy vouches for. Bounded: peers decide
//! how many there are.
//!
//! Good and refused identities are kept apart, so that a flood of bad certificates pushes out no good one.

use std::{cell::Cell, num::NonZeroUsize, rc::Rc};

use jiff::{SignedDuration, Timestamp};
use lru::LruCache;
use svidgate_policy::{Grants, Reason, SpiffeId, Svid, digest::sha256};

use crate::{
    decision::Who,
    ledger::{Account, Held, Ledger},
    peer::{Digest, Evidence, Presented},
};

/// Most identities kept for one document on one worker. An ordinary one takes about 2 KiB, one with long certificates and
/// thousands of rules about 90 KiB.
pub const MAX_IDENTITIES: usize = 4096;
/// Most bytes of them. Our decision: all that are ordinary have room four times over.
pub const MAX_IDENTITY_BYTES: usize = 32 * 1024 * 1024;
/// Most refusals kept.
pub const MAX_REFUSALS: usize = 1024;
/// How long a refusal stands at most before the certificate is looked at again; where time alone ends it sooner, until then.
pub const REFUSAL_LIFETIME: SignedDuration = SignedDuration::from_secs(5);

/// How long before the end of its certificates a peer's connections are drained. Our decision: a few ticks.
pub const DRAINED_BEFORE: SignedDuration = SignedDuration::from_secs(5);
/// And no longer than this share of their life.
const DRAINED_SHARE: i32 = 8;

/// From when on what ends then, after so long a life, is drained.
pub fn drained_from(end: Timestamp, life: SignedDuration) -> Timestamp {
    let lead = life.checked_div(DRAINED_SHARE).unwrap_or_default().min(DRAINED_BEFORE);
    end.checked_sub(lead).unwrap_or(end)
}

/// A verified identity and all that it may do.
#[derive(Debug)]
pub struct Identity {
    /// Who.
    pub svid: Svid,
    /// What.
    pub grants: Grants,
    /// What told who it is.
    pub evidence: Evidence,
    /// What it showed: should its authority go, another may stand behind it. `None` where the proxy vouches for it.
    pub presented: Option<Presented>,
    /// The generation that it was last held against, and the last second that it is good for under that.
    pub good: Cell<(u64, Timestamp)>,
    /// Between which two moments time changes nothing about the grants. There may be thousands of rules with times.
    steady: Cell<Option<(Timestamp, Timestamp)>>,
    /// Under which what its peer holds is counted.
    account: Account,
    _held: Option<Held>,
}

impl Identity {
    /// An identity that was not yet held against anything.
    pub fn new(svid: Svid, grants: Grants, evidence: Evidence, presented: Option<Presented>) -> Self {
        let digest = sha256(svid.id().as_str().as_bytes());
        let account = digest.first_chunk().copied().map(u64::from_le_bytes);
        Self {
            account: account.unwrap_or_default(),
            svid,
            grants,
            evidence,
            presented,
            good: Cell::default(),
            steady: Cell::default(),
            _held: None,
        }
    }

    /// The same, its bytes counted until it is dropped.
    ///
    /// # Errors
    /// The bound that this would break.
    pub fn held_by(self, ledger: &Ledger) -> Result<Self, Reason> {
        let held = ledger.hold(self.account, self.bytes(), || None)?;
        Ok(Self {
            _held: Some(held),
            ..self
        })
    }

    /// Who it is, as records show it.
    pub fn who(&self) -> Who<'_> {
        Who {
            id: self.svid.id(),
            is_vouched: self.svid.is_vouched(),
        }
    }

    /// Under which what its peer holds is counted.
    pub fn account(&self) -> Account {
        self.account
    }

    /// About how many bytes it takes: its certificates, as they came and as the verifier keeps of them, and its grants.
    pub fn bytes(&self) -> usize {
        let presented = self.presented.iter();
        let certificates = presented
            .flat_map(|presented| presented.intermediates.iter().chain([&presented.leaf]))
            .fold(0_usize, |sum, certificate| sum.saturating_add(certificate.len()));
        let fixed = size_of::<Self>().saturating_add(self.svid.id().as_str().len());
        certificates
            .saturating_mul(2)
            .saturating_add(self.grants.bytes())
            .saturating_add(fixed)
    }

    /// From when on its connections are drained: some seconds before its certificates end, so that a client which holds the next
    /// ones comes with them before a request of its is refused.
    pub fn drains_from(&self) -> Timestamp {
        let end = self.svid.path_until();
        drained_from(end, end.duration_since(self.svid.not_before()))
    }

    /// The first moment after `now` at which time alone may change what it may do.
    pub fn next_change(&self, now: Timestamp) -> Timestamp {
        if let Some((since, until)) = self.steady.get()
            && since <= now
            && now < until
        {
            return until;
        }
        let until = self.grants.next_change(now).unwrap_or(Timestamp::MAX);
        self.steady.set(Some((now, until)));
        until
    }
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
    /// The first moment at which it may hold no longer, although nothing but time has changed.
    pub changes: Option<Timestamp>,
    /// Where nothing is wrong but that its issuer is not at hand: how much had been learned of issuers then
    /// ([`crate::hints::Hints::learned`]).
    pub for_want_of_issuer: Option<u64>,
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
    /// looks at what it was held against. The rest is asked for only where the leaf was refused: `chain` costs a digest of
    /// all that the peer sent, which is more than a decision does, and `clock` a look at the clock, for a refusal ends in its
    /// second and not with a tick.
    pub fn find(
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
