//! What is remembered of a verified identity?

use std::cell::Cell;

use jiff::{SignedDuration, Timestamp};
use svidgate_policy::{Grants, Reason, Svid, digest::sha256};

use crate::{
    identity::steady::Steady,
    ledger::{Account, Held, Ledger, Owner},
    peer::presented::{Evidence, Presented},
    record::decision::Who,
};

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
    steady: Steady,
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
            steady: Steady::default(),
            _held: None,
        }
    }

    /// The same, its bytes counted until it is dropped.
    ///
    /// # Errors
    /// The bound that this would break.
    pub fn held_by(self, ledger: &Ledger) -> Result<Self, Reason> {
        let held = ledger.hold(Owner::direct(self.account), self.bytes(), || None)?;
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
            is_by_token: self.svid.token().is_some(),
            via: None,
            hop: None,
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

    /// From when on its connections are drained: some seconds before its certificates end, so that a client which holds
    /// the next ones comes with them before a request of its is refused.
    pub fn drains_from(&self) -> Timestamp {
        let end = self.svid.path_until();
        drained_from(end, end.duration_since(self.svid.not_before()))
    }

    /// The first moment after `now` at which time alone may change what it may do.
    pub fn next_change(&self, now: Timestamp) -> Timestamp {
        self.steady.next_change(&self.grants, now)
    }
}
