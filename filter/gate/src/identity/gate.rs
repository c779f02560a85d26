//! One document at work: who a peer is, verified once, remembered, and looked at again when anything has changed.
//!
//! *One moment, one truth*: whatever can end an identity is folded into two numbers that stand with it, the generation
//! of what it was held against (bundles, revocations) and the last second that it is good for. Whoever meets it
//! compares these two; only where one of them has moved is it held against everything again, and only where its
//! authority is gone are signatures checked again.

use std::{
    cell::{Cell, Ref, RefCell},
    collections::BTreeSet,
    rc::Rc,
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use rustls_pki_types::CertificateDer;
use svidgate_policy::{
    AccessLog, Assertion, ChainMode, Configuration, Decision, Mode, PeerOrigin, Reason, SpiffeId, Svid, SvidError,
    Trust, TrustDomain, XfccMode,
    certificate::leaf::Leaf,
    digest::sha256,
    trust::{jwt_svid::JwtSvid, svid, token_error::TokenError},
};

use crate::{
    clock::whole_seconds,
    header_map::HeaderNames,
    identity::{
        algorithms::{ProxyAlgorithms, Verify},
        asserted::Asserted,
        cache::Identities,
        hints::Hints,
        identity::Identity,
        peer::Anonymous,
        remembered::Remembered,
    },
    ledger::Ledger,
    peer::{
        presented::{self, Digest, Evidence, Presented, Unreadable},
        said::Lines,
        surroundings,
        xfcc::{self, Element},
    },
    proxy::Proxy,
    record::{document_version, verification_time::Verifications},
    refusal::Refusal,
    sources::{
        feeds::Feeds,
        trusted::{Change, Missing, Trusted},
    },
};

/// Most trust domains with gauges, and most rules, of one document: those that end first. Our decision: a metric has a
/// name for each.
pub const MOST_NAMES: usize = 1_000;

/// A compiled document can be handed to any thread of a host that has several; each has a gate of its own for it.
const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<Configuration>();
};

/// A compiled document with the identities it has met.
#[derive(Debug)]
pub struct Gate {
    /// What the document says.
    pub configuration: Arc<Configuration>,
    algorithms: ProxyAlgorithms,
    identities: RefCell<Identities>,
    /// Those whom hops have brought, so that no hop pushes out who connects.
    pub(super) callers: RefCell<Identities>,
    pub(super) assertions: RefCell<Remembered<Asserted>>,
    /// The digests of tokens, by the headers that they stand in.
    pub(super) tokens: RefCell<Remembered<Digest>>,
    trusted: RefCell<Trusted>,
    generation: Cell<u64>,
    /// What there is for those who show no certificate, where hops may be such.
    anonymous: Option<Rc<Anonymous>>,
    /// In which ways hops say whom they bring.
    hops_by: BTreeSet<Assertion>,
    ending_rules: Vec<(Timestamp, Box<str>)>,
    version: Box<str>,
    verifications: Verifications,
    header_names: HeaderNames,
    ledger: Ledger,
    hints: Hints,
}

impl Gate {
    /// Puts a document to work, verifying signatures by `verify` where it can.
    /// What peers make it keep stands in `ledger`, what paths are built with beside what peers send in `hints`.
    pub fn new(configuration: Arc<Configuration>, verify: Option<Verify>, ledger: Ledger, hints: Hints) -> Self {
        let mut ending_rules: Vec<(Timestamp, Box<str>)> = configuration
            .rules
            .expiries()
            .map(|(name, at)| (at, name.into()))
            .collect();
        ending_rules.sort_unstable();
        ending_rules.truncate(MOST_NAMES);
        ending_rules.shrink_to_fit();
        Self {
            anonymous: configuration.rules.anonymous().map(Anonymous::new).map(Rc::new),
            hops_by: configuration.rules.hops().map(|hop| hop.assertion).collect(),
            ending_rules,
            version: document_version::shown(&configuration.version),
            verifications: Verifications::default(),
            header_names: configuration.rules.header_names().into_iter().collect(),
            ledger,
            hints,
            trusted: RefCell::new(Trusted::of(&configuration)),
            configuration,
            algorithms: ProxyAlgorithms::new(verify),
            identities: RefCell::default(),
            callers: RefCell::default(),
            assertions: RefCell::default(),
            tokens: RefCell::default(),
            generation: Cell::default(),
        }
    }

    /// The version of the document, as records show it; empty where it has none.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The names of all headers that its rules in force look at.
    pub fn header_names(&self) -> HeaderNames {
        Rc::clone(&self.header_names)
    }

    /// What there is for one who has shown no certificate; nothing, where no hop may be such a one.
    pub(super) fn anonymous(&self) -> Option<Rc<Anonymous>> {
        self.anonymous.clone()
    }

    /// Whether any hop says by this whom it brings.
    pub fn has_hops_by(&self, assertion: Assertion) -> bool {
        self.hops_by.contains(&assertion)
    }

    /// Whether refusals are carried out.
    pub fn enforces(&self) -> bool {
        match self.configuration.mode {
            Mode::Enforce => true,
            Mode::DryRun => false,
        }
    }

    /// Whether somebody who is refused, for want of an issuer and nothing else, may be left to the first request. The
    /// HTTP filter reads the chain, and a lock behind it lets nothing through that it has not marked; without the lock
    /// nothing would tell that the filter is there.
    pub fn leaves_to_requests(&self, refusal: &Refusal) -> bool {
        let Configuration {
            chain,
            xfcc,
            mark_passed,
            ..
        } = &*self.configuration;
        let is_certain = *chain == ChainMode::Verify && *xfcc == XfccMode::Own && *mark_passed;
        is_certain && refusal.for_want_of_issuer.is_some()
    }

    /// Whether a decision gets an access-log field.
    pub fn shows(&self, decision: &Decision<'_>) -> bool {
        match self.configuration.access_log {
            AccessLog::All => true,
            AccessLog::Refusals => !decision.is_allowed() || decision.dry_run.is_some() || decision.would_be_is_unknown,
        }
    }

    /// Takes in what the sources have brought since the last look.
    pub fn update(&self, feeds: &Feeds) {
        let change = self.trusted.borrow_mut().update(&self.configuration, feeds);
        let (mut identities, mut callers) = (self.identities.borrow_mut(), self.callers.borrow_mut());
        let both = [&mut *identities, &mut *callers];
        match change {
            Change::None => {}
            Change::Age => both.into_iter().for_each(Identities::forget_stale_refusals),
            Change::Content => {
                self.generation.set(self.generation.get().saturating_add(1));
                both.into_iter().for_each(Identities::forget_refusals);
            }
        }
    }

    /// The rules that end, soonest first, as many as are watched.
    pub fn ending_rules(&self) -> &[(Timestamp, Box<str>)] {
        &self.ending_rules
    }

    /// Counts the changes of what identities are held against.
    pub fn generation(&self) -> u64 {
        self.generation.get()
    }

    /// What identities are held against now.
    pub fn trusted(&self) -> Ref<'_, Trusted> {
        self.trusted.borrow()
    }

    /// Who the peer of the connection being served is. `now` is the time of the last tick; where a certificate is
    /// looked at for the first time, the clock is read again, for a certificate may be younger than that.
    ///
    /// # Errors
    /// Why it is nobody.
    pub fn identify<P: Proxy>(&self, proxy: &P, now: Timestamp, xfcc: Lines<'_>) -> Result<Rc<Identity>, Rc<Refusal>> {
        let evidence = presented::evidence(proxy, &self.configuration.peer).map_err(unreadable)?;
        let xfcc = self.own_xfcc(xfcc);
        let chain = || came_with(xfcc, presented::handed_on(proxy).as_deref());
        let clock = || proxy.now().map_or(now, whole_seconds);
        if let Some(known) = self.recall(&evidence, chain, clock, now) {
            return self.not_too_old(proxy, now, known?);
        }
        let exact = proxy.now();
        let now = exact.map_or(now, whole_seconds);
        // Not remembered where it fails: the next listener with this document may show what this one does not.
        let shown = match &evidence {
            Evidence::Handshake(leaf) => self
                .own_element(xfcc)
                .and_then(|element| presented::presented(proxy, leaf, element))
                .map(Some),
            Evidence::Shared(leaf) => presented::presented_elsewhere(proxy, leaf, &self.configuration.peer).map(Some),
            Evidence::Vouched(_) | Evidence::Brought(_) | Evidence::Named(_) | Evidence::Token(_) => Ok(None),
        };
        let met = self.verify_and_keep(evidence, chain, shown.map_err(unreadable)?, now);
        self.verifications.measure(proxy, exact);
        self.not_too_old(proxy, now, met?)
    }

    /// The header where this listener has a part in it; where it has none, no certificate of the peer is found there.
    fn own_xfcc<'h>(&self, xfcc: Lines<'h>) -> Option<&'h [u8]> {
        match (self.configuration.xfcc, xfcc) {
            (XfccMode::Own | XfccMode::HopAppended, Lines::One(header)) => Some(header),
            (XfccMode::Own | XfccMode::HopAppended, Lines::Absent | Lines::Several)
            | (XfccMode::Ignore | XfccMode::Hop, _) => None,
        }
    }

    /// What this listener says there of the peer. What stands before it where it appends is the peer's own, and may
    /// leave nothing to be read.
    fn own_element<'h>(&self, xfcc: Option<&'h [u8]>) -> Result<Element<'h>, Unreadable> {
        let Some(header) = xfcc else {
            return Ok(Element::default());
        };
        match (xfcc::last_element(header), self.configuration.xfcc) {
            (Some(element), _) => Ok(element),
            (None, XfccMode::HopAppended) => Ok(Element::default()),
            (None, XfccMode::Own | XfccMode::Hop | XfccMode::Ignore) => Err(Unreadable::not_well_formed()),
        }
    }

    /// When a connection has been open for as long as it may; `None` where its peer has a certificate, which ends.
    pub fn end_of_connection<P: Proxy>(&self, proxy: &P, identity: &Identity, now: Timestamp) -> Option<Timestamp> {
        match (&identity.evidence, &self.configuration.peer) {
            (Evidence::Vouched(_), PeerOrigin::Id { max_connection_age, .. }) => {
                // One that cannot be noted has no time at all.
                let since = surroundings::since(proxy, now).unwrap_or(Timestamp::MIN);
                Some(since.checked_add(*max_connection_age).unwrap_or(Timestamp::MAX))
            }
            (
                Evidence::Handshake(_)
                | Evidence::Shared(_)
                | Evidence::Vouched(_)
                | Evidence::Brought(_)
                | Evidence::Named(_)
                | Evidence::Token(_),
                _,
            ) => None,
        }
    }

    fn not_too_old<P: Proxy>(
        &self,
        proxy: &P,
        now: Timestamp,
        identity: Rc<Identity>,
    ) -> Result<Rc<Identity>, Rc<Refusal>> {
        match self.end_of_connection(proxy, &identity, now) {
            Some(end) if now >= end => Err(Rc::new(Refusal {
                reason: Reason::ConnectionTooOld,
                detail: TOO_OLD.to_owned(),
                claimed: Some(identity.svid.id().clone()),
                changes: None,
                for_want_of_issuer: None,
                brought: None,
            })),
            Some(_) | None => Ok(identity),
        }
    }

    /// Whether someone who was let in, perhaps under another document, still is who it was. `expiry_grace` keeps it
    /// after the end of its certificates.
    ///
    /// # Errors
    /// Why it is nobody any more.
    pub fn identify_again<P: Proxy>(
        &self,
        proxy: &P,
        identity: &Rc<Identity>,
        now: Timestamp,
    ) -> Result<Rc<Identity>, Rc<Refusal>> {
        match &identity.evidence {
            Evidence::Handshake(_) | Evidence::Brought(_) | Evidence::Named(_) | Evidence::Token(_) => {}
            // Whether what another listener shares is taken, and from where, is this document's to say.
            Evidence::Shared(_) | Evidence::Vouched(_) => {
                let evidence = presented::evidence(proxy, &self.configuration.peer).map_err(unreadable)?;
                if evidence != identity.evidence {
                    return self.identify(proxy, now, Lines::Absent);
                }
            }
        }
        if let Some(Ok(known)) = self.recall(&identity.evidence, || None, || now, now) {
            return self.not_too_old(proxy, now, known);
        }
        // It was verified for the audiences of a document that need not be this one.
        if let Some(token) = identity.svid.token() {
            self.check_is_expected(token)?;
        }
        match self.still_stands(identity, self.grace(&identity.evidence), now) {
            Ok(until) => {
                let (svid, evidence) = (identity.svid.clone(), identity.evidence.clone());
                let identity = Rc::new(self.specialised(svid, evidence, identity.presented.clone())?);
                identity.good.set((self.generation(), until));
                return self.not_too_old(proxy, now, identity);
            }
            // A token is not kept, so there is no other way in which it could be good.
            Err(refusal) if matches!(identity.evidence, Evidence::Token(_)) => return Err(Rc::new(refusal)),
            Err(_) => {}
        }
        let met = self.verify_and_keep(identity.evidence.clone(), || None, identity.presented.clone(), now);
        self.not_too_old(proxy, now, met?)
    }

    fn check_is_expected(&self, token: &JwtSvid) -> Result<(), Rc<Refusal>> {
        let checked = match &self.configuration.tokens {
            Some(tokens) => token.check_is_expected(&tokens.expected),
            None => Err(TokenError::WrongAudience),
        };
        checked.map_err(|error| Rc::new(token_refused(&error)))
    }

    /// For how long after its end what was shown is good enough for what is under way.
    fn grace(&self, evidence: &Evidence) -> SignedDuration {
        match evidence {
            Evidence::Handshake(_)
            | Evidence::Shared(_)
            | Evidence::Vouched(_)
            | Evidence::Brought(_)
            | Evidence::Named(_) => self.configuration.expiry_grace,
            Evidence::Token(_) => {
                let tokens = self.configuration.tokens.as_ref();
                tokens.map_or(SignedDuration::ZERO, |tokens| tokens.max_stream)
            }
        }
    }

    /// Where it is remembered who shows this.
    fn remembered(&self, evidence: &Evidence) -> &RefCell<Identities> {
        match evidence {
            Evidence::Handshake(_) | Evidence::Shared(_) | Evidence::Vouched(_) => &self.identities,
            Evidence::Brought(_) | Evidence::Named(_) | Evidence::Token(_) => &self.callers,
        }
    }

    /// What is remembered of a peer, held against everything again where something has changed.
    pub(super) fn recall(
        &self,
        evidence: &Evidence,
        chain: impl FnOnce() -> Option<Digest>,
        clock: impl FnOnce() -> Timestamp,
        now: Timestamp,
    ) -> Option<Result<Rc<Identity>, Rc<Refusal>>> {
        let known = self.remembered(evidence).borrow_mut().recall(evidence, chain, clock)?;
        let identity = match known {
            Err(refusal) if self.is_to_be_looked_at_again(&refusal) => return None,
            Err(refusal) => return Some(Err(refusal)),
            Ok(identity) => identity,
        };
        let (generation, until) = identity.good.get();
        if generation == self.generation() && now <= until {
            return Some(Ok(identity));
        }
        if let Ok(until) = self.still_stands(&identity, SignedDuration::ZERO, now) {
            identity.good.set((self.generation(), until));
            return Some(Ok(identity));
        }
        // Its authority may have been replaced by another that vouches for it, too. Where none does, what the peer
        // shows now may have another path.
        let renewed = self.verify(evidence.clone(), identity.presented.clone(), now);
        let renewed = renewed.ok().map(Rc::new);
        let mut identities = self.remembered(evidence).borrow_mut();
        match renewed {
            Some(renewed) => {
                identities.keep(Rc::clone(&renewed));
                Some(Ok(renewed))
            }
            None => {
                identities.forget(evidence);
                None
            }
        }
    }

    /// Whether something was learned of issuers of its trust domain since.
    fn is_to_be_looked_at_again(&self, refusal: &Refusal) -> bool {
        let (Some(learned), Some(claimed)) = (refusal.for_want_of_issuer, &refusal.claimed) else {
            return false;
        };
        learned != self.hints.learned(claimed.trust_domain())
    }

    fn still_stands(
        &self,
        identity: &Identity,
        expiry_grace: SignedDuration,
        now: Timestamp,
    ) -> Result<Timestamp, Refusal> {
        let ask = |trust: &Trust<'_>| Ok(((), identity.svid.stands(trust, now)?));
        let ((), until) = self.hold_against(claimed(identity), expiry_grace, now, ask)?;
        Ok(until)
    }

    /// Asks something of all that an identity is held against now, and until when the answer holds.
    fn hold_against<T>(
        &self,
        claimed: impl FnOnce() -> Option<SpiffeId>,
        expiry_grace: SignedDuration,
        now: Timestamp,
        ask: impl FnOnce(&Trust<'_>) -> Result<(T, Timestamp), SvidError>,
    ) -> Result<(T, Timestamp), Refusal> {
        let trusted = self.trusted.borrow();
        // First: without the list nobody can be accepted, and a signature need not be looked at to say so.
        let until = trusted.check_revocations_are_known(now)?;
        let revocations = trusted.revocations();
        let trust = Trust {
            relationships: &self.configuration.relationships,
            bundles: match self.configuration.chain {
                ChainMode::Verify => Some(trusted.bundles()),
                ChainMode::Proxy => None,
            },
            revocations: &revocations,
            expiry_grace,
        };
        let (answer, stands) = ask(&trust).map_err(|error| self.refusal(claimed(), &error, &trusted))?;
        Ok((answer, stands.min(until)))
    }

    /// Verifies whoever shows these certificates, or has none, and remembers what came of it.
    pub(super) fn verify_and_keep(
        &self,
        evidence: Evidence,
        chain: impl FnOnce() -> Option<Digest>,
        presented: Option<Presented>,
        now: Timestamp,
    ) -> Result<Rc<Identity>, Rc<Refusal>> {
        let verified = self.verify(evidence.clone(), presented, now);
        self.keep(evidence, chain, verified, now)
    }

    /// Remembers what came of somebody.
    fn keep(
        &self,
        evidence: Evidence,
        chain: impl FnOnce() -> Option<Digest>,
        verified: Result<Identity, Refusal>,
        now: Timestamp,
    ) -> Result<Rc<Identity>, Rc<Refusal>> {
        let mut identities = self.remembered(&evidence).borrow_mut();
        match verified {
            Ok(identity) => {
                let identity = Rc::new(identity);
                identities.keep(Rc::clone(&identity));
                Ok(identity)
            }
            Err(refusal) => {
                let refusal = Rc::new(refusal);
                // It says nothing about the certificate, and is over when something is given back.
                if refusal.reason != Reason::WorkerFull {
                    identities.keep_refusal(evidence, chain(), Rc::clone(&refusal), now);
                }
                Err(refusal)
            }
        }
    }

    fn verify(&self, evidence: Evidence, presented: Option<Presented>, now: Timestamp) -> Result<Identity, Refusal> {
        let (svid, presented, until) = match (&evidence, presented) {
            (Evidence::Handshake(_) | Evidence::Shared(_) | Evidence::Brought(_), Some(presented)) => {
                let (svid, presented, until) = self.verify_certificate(presented, now)?;
                (svid, Some(presented), until)
            }
            (Evidence::Vouched(id) | Evidence::Named(id), _) => {
                let (svid, until) = self.vouch(id, now)?;
                (svid, None, until)
            }
            (Evidence::Handshake(_) | Evidence::Shared(_) | Evidence::Brought(_), None) | (Evidence::Token(_), _) => {
                return Err(Unreadable::nowhere().into());
            }
        };
        let identity = self
            .specialised(svid, evidence, presented)
            .map_err(Rc::unwrap_or_clone)?;
        identity.good.set((self.generation(), until));
        Ok(identity)
    }

    /// Verifies a token and remembers what came of it.
    pub(super) fn verify_token_and_keep(
        &self,
        evidence: Evidence,
        token: &[u8],
        now: Timestamp,
    ) -> Result<Rc<Identity>, Rc<Refusal>> {
        let verified = self.verify_token(evidence.clone(), token, now);
        self.keep(evidence, || None, verified, now)
    }

    fn verify_token(&self, evidence: Evidence, token: &[u8], now: Timestamp) -> Result<Identity, Refusal> {
        let Some(tokens) = &self.configuration.tokens else {
            // No hop brings any, or the document was refused.
            return Err(token_refused(&TokenError::WrongAudience));
        };
        let algorithms = self.algorithms.as_list();
        let ask = |trust: &Trust<'_>| match svid::verify_token(token, &tokens.expected, &algorithms, trust, now) {
            Ok(svid) => {
                let until = svid.valid_until();
                Ok((Ok(svid), until))
            }
            Err(TokenError::Identity(error)) => Err(error),
            Err(error) => Ok((Err(error), now)),
        };
        let (verified, until) = self.hold_against(|| None, SignedDuration::ZERO, now, ask)?;
        let svid = verified.map_err(|error| token_refused(&error))?;
        let identity = self.specialised(svid, evidence, None).map_err(Rc::unwrap_or_clone)?;
        identity.good.set((self.generation(), until));
        Ok(identity)
    }

    fn vouch(&self, id: &SpiffeId, now: Timestamp) -> Result<(Svid, Timestamp), Refusal> {
        let ask = |trust: &Trust<'_>| {
            let svid = svid::vouched(id.clone(), trust, now)?;
            let until = svid.valid_until();
            Ok((svid, until))
        };
        self.hold_against(|| Some(id.clone()), SignedDuration::ZERO, now, ask)
    }

    fn verify_certificate(
        &self,
        mut presented: Presented,
        now: Timestamp,
    ) -> Result<(Svid, Presented, Timestamp), Refusal> {
        let leaf = Leaf::parse(&presented.leaf);
        let id = leaf.as_ref().ok().map(|leaf| leaf.id().clone());
        let ask = |trust: &Trust<'_>| {
            let svid = self.find_path(leaf?, &presented.intermediates, trust, now)?;
            let until = svid.valid_until();
            Ok((svid, until))
        };
        let (svid, until) = self.hold_against(|| id, SignedDuration::ZERO, now, ask)?;
        self.learn(&svid, &presented, now);
        // What a peer sends that leads nowhere is its own affair; it is not remembered.
        presented
            .intermediates
            .retain(|certificate| svid.may_need(&sha256(certificate)));
        Ok((svid, presented, until))
    }

    /// By what the peer sends and the document has; where that has no issuer, with hints.
    fn find_path(
        &self,
        leaf: Leaf<'_>,
        sent: &[CertificateDer<'_>],
        trust: &Trust<'_>,
        now: Timestamp,
    ) -> Result<Svid, SvidError> {
        let mut tried = Vec::new();
        let hints = |trust_domain: &TrustDomain| {
            tried = self.hints.of(trust_domain, now);
            tried.clone()
        };
        let svid = svid::verify_with(leaf, sent, hints, &self.algorithms.as_list(), trust, now)?;
        let used = tried.into_iter().filter(|hint| svid.has_between(&sha256(hint)));
        self.hints.learn(svid.id().trust_domain(), used, now);
        Ok(svid)
    }

    /// What the peer sent and the path needed helps others. What the document brings need not be learned.
    fn learn(&self, svid: &Svid, presented: &Presented, now: Timestamp) {
        let sent = presented.intermediates.iter();
        let needed = sent.filter(|certificate| svid.has_between(&sha256(certificate)));
        self.hints.learn(svid.id().trust_domain(), needed.cloned(), now);
    }

    fn specialised(
        &self,
        svid: Svid,
        evidence: Evidence,
        presented: Option<Presented>,
    ) -> Result<Identity, Rc<Refusal>> {
        let grants = self.configuration.rules.specialise(&svid);
        let identity = Identity::new(svid, grants, evidence, presented);
        let id = identity.svid.id().clone();
        identity.held_by(&self.ledger).map_err(|reason| {
            Rc::new(Refusal {
                reason,
                detail: "what is known of identities and open streams fills the worker".to_owned(),
                claimed: Some(id),
                changes: None,
                for_want_of_issuer: None,
                brought: None,
            })
        })
    }

    fn refusal(&self, claimed: Option<SpiffeId>, error: &SvidError, trusted: &Trusted) -> Refusal {
        let (mut reason, mut detail) = (error.reason(), error.to_string());
        if let SvidError::BundleMissing(name) = error
            && let Some(missing) = trusted.missing(name)
        {
            detail = format!("{detail} ({missing})");
            if missing == Missing::Revocations {
                reason = Reason::RevocationsMissing;
            }
        }
        let lacking = claimed.as_ref().filter(|_| error.is_for_want_of_issuer());
        Refusal {
            reason,
            detail,
            changes: error.changes(),
            for_want_of_issuer: lacking.map(|id| self.hints.learned(id.trust_domain())),
            brought: None,
            claimed,
        }
    }
}

const TOO_OLD: &str = "the connection has been open for longer than `max_connection_age`; its peer has no certificate \
                       here that ends, so it must connect again";

/// Who a peer says it is, for a refusal.
fn claimed(identity: &Identity) -> impl FnOnce() -> Option<SpiffeId> {
    || Some(identity.svid.id().clone())
}

fn token_refused(error: &TokenError) -> Refusal {
    Refusal {
        reason: error.reason(),
        detail: error.to_string(),
        claimed: None,
        changes: None,
        for_want_of_issuer: None,
        brought: None,
    }
}

fn unreadable(unreadable: Unreadable) -> Rc<Refusal> {
    Rc::new(unreadable.into())
}

impl From<Unreadable> for Refusal {
    fn from(unreadable: Unreadable) -> Self {
        Self {
            reason: unreadable.reason,
            detail: unreadable.detail,
            claimed: None,
            changes: None,
            for_want_of_issuer: None,
            brought: None,
        }
    }
}

/// The digest of what came with a leaf, wherever it is shown.
fn came_with(xfcc: Option<&[u8]>, handed_on: Option<&[u8]>) -> Option<Digest> {
    match (xfcc, handed_on) {
        (None, None) => None,
        (Some(one), None) | (None, Some(one)) => Some(sha256(one)),
        (Some(xfcc), Some(handed_on)) => Some(sha256(&[xfcc, handed_on].concat())),
    }
}
