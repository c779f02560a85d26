//! Signing certificates of verified paths, remembered to build the next paths with.
//!
//! An issuer below an upstream authority signs with a new intermediate every few hours and publishes it nowhere: only
//! the chain of a peer has it, and a network filter sees no chain. Where one filter has verified a path, its
//! intermediates help the others. They are hints, never trusted: whoever uses one verifies it again, up to an authority
//! of the bundle of the leaf's trust domain, so it matters to nobody where it came from. Each trust domain has its own,
//! which are tried after all else and for its leaves alone: what one partner makes us remember costs nobody else's
//! leaves anything.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use jiff::Timestamp;
use prost::Message as _;
use rustls_pki_types::CertificateDer;
use svidgate_policy::{
    TrustDomain,
    certificate::{bounds::MAX_CERTIFICATE_BYTES, leaf::not_after},
    digest::sha256,
    trust::chain::MAX_HINTS,
};

use crate::{
    board::Board,
    peer::presented::Digest,
    proxy::Proxy,
    sources::{
        index::{Content, Index, Published},
        key::SourceKey,
        lease::LeaseRequest,
    },
};

/// Most bytes of the hints of one trust domain. Our decision: [`MAX_HINTS`] of 2 KiB, which hold an RSA key of 4,096
/// bits.
pub const MAX_BYTES: usize = 32 * 1024;
/// Most trust domains with hints; the one that has learned nothing for longest goes. Our decision: with the bound of
/// each, at most 32 MiB a worker.
pub const MAX_TRUST_DOMAINS: usize = 1024;

/// What all documents of a worker share. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Hints(Rc<RefCell<Shelves>>);

#[derive(Debug, Default)]
struct Shelves {
    by_trust_domain: BTreeMap<TrustDomain, Shelf>,
    /// Counts what was learned.
    learned: u64,
    /// The number of what all workers share, as far as it is known here; 0 for nothing.
    shared: u64,
    /// Whether something was learned here that is not shared yet.
    is_news: bool,
}

/// The hints of one trust domain.
#[derive(Debug, Default)]
struct Shelf {
    /// The one that stood in a verified path last is last.
    hints: Vec<Hint>,
    /// How much had been learned when this learned last.
    learned: u64,
}

#[derive(Debug)]
struct Hint {
    certificate: CertificateDer<'static>,
    sha256: Digest,
    not_after: Timestamp,
}

impl Hint {
    fn read(certificate: CertificateDer<'static>) -> Option<Self> {
        if certificate.len() > MAX_CERTIFICATE_BYTES.min(MAX_BYTES) {
            return None;
        }
        Some(Self {
            sha256: sha256(&certificate),
            not_after: not_after(&certificate)?,
            certificate,
        })
    }
}

impl Shelf {
    /// Gives whether it was not there yet.
    fn put(&mut self, hint: Hint) -> bool {
        let place = self.hints.iter().position(|known| known.sha256 == hint.sha256);
        let known = place.map(|place| self.hints.remove(place));
        self.hints.push(hint);
        while self.hints.len() > MAX_HINTS || self.bytes() > MAX_BYTES {
            self.hints.remove(0);
        }
        known.is_none()
    }

    fn bytes(&self) -> usize {
        let bytes = self.hints.iter().map(|hint| hint.certificate.len());
        bytes.fold(0, usize::saturating_add)
    }

    fn drop_ended(&mut self, now: Timestamp) {
        self.hints.retain(|hint| hint.not_after >= now);
    }
}

impl Shelves {
    /// Gives whether something was not there yet.
    fn put(&mut self, trust_domain: &TrustDomain, hints: impl Iterator<Item = Hint>, now: Timestamp) -> bool {
        let shelf = self.by_trust_domain.entry(trust_domain.clone()).or_default();
        shelf.drop_ended(now);
        let current = hints.filter(|hint| hint.not_after >= now);
        // Each is put, whether or not one before was news.
        let new = current.filter_map(|hint| shelf.put(hint).then_some(())).count();
        let is_news = new > 0;
        if is_news {
            self.learned = self.learned.saturating_add(1);
            shelf.learned = self.learned;
        }
        if self.by_trust_domain.len() > MAX_TRUST_DOMAINS {
            let by_age = |(_, shelf): &(&TrustDomain, &Shelf)| shelf.learned;
            let oldest = self.by_trust_domain.iter().min_by_key(by_age);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                self.by_trust_domain.remove(&oldest);
            }
        }
        is_news
    }
}

impl Hints {
    /// Those of a trust domain that have not ended, the one that stood in a verified path last first.
    pub fn of(&self, trust_domain: &TrustDomain, now: Timestamp) -> Vec<CertificateDer<'static>> {
        let shelves = self.0.borrow();
        let shelf = shelves.by_trust_domain.get(trust_domain);
        let hints = shelf.iter().flat_map(|shelf| shelf.hints.iter().rev());
        let current = hints.filter(|hint| hint.not_after >= now);
        current.map(|hint| hint.certificate.clone()).collect()
    }

    /// These certificates stood in a path that was verified for a leaf of the trust domain.
    pub fn learn(
        &self,
        trust_domain: &TrustDomain,
        certificates: impl Iterator<Item = CertificateDer<'static>>,
        now: Timestamp,
    ) {
        let mut hints = certificates.filter_map(Hint::read).peekable();
        if hints.peek().is_none() {
            return;
        }
        let mut shelves = self.0.borrow_mut();
        if shelves.put(trust_domain, hints, now) {
            shelves.is_news = true;
        }
    }

    /// A number that changes when a trust domain has learned something: what was refused before for want of an issuer
    /// may have one now.
    pub fn learned(&self, trust_domain: &TrustDomain) -> u64 {
        let shelves = self.0.borrow();
        shelves
            .by_trust_domain
            .get(trust_domain)
            .map_or(0, |shelf| shelf.learned)
    }

    /// Forgets trust domains that no document has a relationship with any more.
    pub fn keep_only(&self, has_relationship: impl Fn(&TrustDomain) -> bool) {
        let mut shelves = self.0.borrow_mut();
        shelves.by_trust_domain.retain(|name, _| has_relationship(name));
    }

    /// What was shared under one secret is not there under another: it is shared anew, and what is there is taken in.
    pub fn share_anew(&self) {
        let mut shelves = self.0.borrow_mut();
        shelves.shared = 0;
        shelves.is_news = !shelves.by_trust_domain.is_empty();
    }

    /// What a worker tells the others that it has of what all share.
    pub fn request(&self, now: Timestamp) -> LeaseRequest {
        LeaseRequest {
            key: SourceKey::of_hints(),
            epoch: 0,
            content: self.0.borrow().shared,
            as_of: now,
        }
    }

    /// Takes in what other workers have shared, and shares what was learned here. `index` is what was read on this
    /// tick.
    pub fn exchange<P: Proxy>(
        &self,
        board: &Board<'_, P>,
        index: &Index,
        has_relationship: impl Fn(&TrustDomain) -> bool,
        now: Timestamp,
    ) {
        let key = SourceKey::of_hints();
        let Some(entry) = index.entries.iter().find(|entry| entry.key() == Some(key)) else {
            return;
        };
        if entry.content > self.0.borrow().shared {
            let Some(content) = Content::read(board, key).filter(|content| content.number >= entry.content) else {
                return;
            };
            self.accept(&content, has_relationship, now);
        }
        let mut shelves = self.0.borrow_mut();
        if !shelves.is_news {
            return;
        }
        let content = Content {
            number: entry.content.saturating_add(1),
            bytes: shelves.to_message(now).encode_to_vec(),
            ..Content::default()
        };
        match content.publish(board, key, now) {
            Published::Shared => (shelves.shared, shelves.is_news) = (content.number, false),
            // Tried again on the next tick, with what the other one has.
            Published::Overtaken | Published::Unshared => {}
        }
    }

    fn accept(&self, content: &Content, has_relationship: impl Fn(&TrustDomain) -> bool, now: Timestamp) {
        let mut shelves = self.0.borrow_mut();
        shelves.shared = content.number;
        let Ok(message) = SharedHints::decode(content.bytes.as_slice()) else {
            return;
        };
        for shelf in message.shelves.into_iter().take(MAX_TRUST_DOMAINS) {
            let Some(name) = TrustDomain::parse(&shelf.trust_domain)
                .ok()
                .filter(|name| has_relationship(name))
            else {
                continue;
            };
            let certificates = shelf.certificates.into_iter().take(MAX_HINTS).map(CertificateDer::from);
            shelves.put(&name, certificates.filter_map(Hint::read), now);
        }
    }
}

impl Shelves {
    fn to_message(&self, now: Timestamp) -> SharedHints {
        let shelf = |(name, shelf): (&TrustDomain, &Shelf)| SharedShelf {
            trust_domain: name.to_string(),
            certificates: shelf
                .hints
                .iter()
                .filter(|hint| hint.not_after >= now)
                .map(|hint| hint.certificate.to_vec())
                .collect(),
        };
        SharedHints {
            shelves: self.by_trust_domain.iter().map(shelf).collect(),
        }
    }
}

/// What workers share of it.
#[derive(Clone, PartialEq, prost::Message)]
struct SharedHints {
    #[prost(message, repeated, tag = "1")]
    shelves: Vec<SharedShelf>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SharedShelf {
    #[prost(string, tag = "1")]
    trust_domain: String,
    /// In the order of [`Shelf::hints`].
    #[prost(bytes = "vec", repeated, tag = "2")]
    certificates: Vec<Vec<u8>>,
}
