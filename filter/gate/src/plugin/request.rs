//! The HTTP filter: each request is decided on, whatever was decided when its connection was made.
//!
//! On the warm path, where the peer is known and the request allowed, the proxy is called three times: for the digest
//! of the peer's leaf, for the headers, and to write the access-log field.

use std::{cell::RefCell, rc::Rc};

use jiff::Timestamp;
use svidgate_policy::{
    Assertion, Configuration, Decision, HttpRequest, ID_HEADER, Needs, PeerOrigin, Reason, Request, VIA_HEADER,
    XfccMode,
};

use crate::{
    header_map::HeaderNames,
    identity::{
        gate::Gate,
        identity::{Identity, drained_from},
        party::Party,
    },
    ledger::{Held, MAX_STREAM_BYTES, Owner},
    peer::{
        presented::{self, Evidence},
        said::Said,
        surroundings,
    },
    plugin::{
        action::Action,
        connection,
        head::{self, AUTHORIZATION_HEADER, Head, KeptHead, XFCC_HEADER},
        judgement::{self, Again, Judged},
        plugin::Plugin,
    },
    proxy::{Proxy, ProxyError},
    record::decision::{Circumstances, Record},
    refusal::Refusal,
    stage::Stage,
    worker::{
        cut::{self, Ending},
        grounds::{Grounds, Judges},
        sweep::UnderWay,
    },
};

/// The name of the filter state that says that the connection is to be drained: `wasm.svidgate.drain`. The network
/// filter never sets it, for every stream would see that.
pub const DRAIN_STATE: &str = "svidgate.drain";

/// The filter state of a request that was let through: `wasm.` and this, with the version of the document that let it
/// through. Only this filter writes it, and for one stream: what the network filter writes each stream of its
/// connection sees.
pub const PASSED_STATE: &str = "svidgate.passed";
/// What it says where the document has no version.
const NO_VERSION: &str = "-";

/// One HTTP stream.
#[derive(Debug)]
pub struct RequestFilter<P> {
    plugin: Rc<Plugin<P>>,
    context: u32,
    /// What was let through, and why.
    passed: RefCell<Option<Passed>>,
}

/// A request that was let through.
#[derive(Clone, Debug)]
struct Passed {
    grounds: Grounds,
    /// What rules may ask again, as it came: what the proxy has of it later may have been rewritten for the upstream.
    head: Rc<KeptHead>,
    _held: Rc<Held>,
}

impl<P: Proxy> RequestFilter<P> {
    /// A stream of which nothing has been read.
    pub fn new(plugin: Rc<Plugin<P>>, context: u32) -> Rc<Self> {
        Rc::new(Self {
            plugin,
            context,
            passed: RefCell::default(),
        })
    }

    /// The stream is gone.
    pub fn on_close(&self) {
        self.plugin.end(self.context);
    }

    /// The whole request head is there.
    pub fn on_request_headers(self: &Rc<Self>) -> Action {
        let Some(judges) = self.plugin.judges() else {
            return self.refuse_unread(self.plugin.no_judges());
        };
        // Without headers nothing can be decided, and a forged one could not be removed: a dry run denies it, too.
        let Ok(head) = self.plugin.proxy().request_headers().map(Head::new) else {
            return self.refuse_unread(Reason::RequestMalformed);
        };
        let stream = Stream::new(self, head.request(), head.said());
        let gate = judgement::spokesman(&stream, &judges);
        let party = stream.identify(&gate, self.plugin.now());
        let (decision, refusal) = judgement::decide(&stream, &party);
        let known = party.as_ref().ok();
        let peer = known.and_then(Party::connected);
        let ends = judges.end_of_connection(self.plugin.proxy(), peer, self.plugin.now());
        // Where it is about whom a hop brings, it is not about the connection.
        let is_over = refusal.is_some_and(|refusal| refusal.brought.is_none() && is_over(refusal.reason));
        self.mark_end(&gate, peer, is_over, ends);
        let passes = decision.is_allowed() || !gate.enforces();
        let kept = passes.then(|| self.keep(&judges, &head, known));
        let decision = match &kept {
            Some(Err(reason)) if gate.enforces() => Decision::refused(*reason),
            Some(_) | None => decision,
        };
        let goes_on = decision.is_allowed() || !gate.enforces();
        if goes_on && !self.is_proven(peer, decision.is_allowed()) {
            return self.refuse_unproven(&gate, known, refusal);
        }
        let action = self.enforce(&gate, &head, known, decision, refusal);
        // What a dry run has no room for passes, and is not looked at again.
        if let (Action::Continue, Some(Ok((kept, held)))) = (action, kept) {
            let grounds = judgement::grounds(&stream, judges, known.cloned(), &decision, ends);
            self.passed.replace(Some(Passed {
                grounds,
                head: Rc::new(kept),
                _held: Rc::new(held),
            }));
            let one: Rc<dyn UnderWay> = Rc::<Self>::clone(self);
            self.plugin.begin(self.context, one);
        }
        action
    }

    /// The trailers of a request that was let through are there; the proxy says so only where there are any. None may
    /// pass that would be another answer, were it a header.
    pub fn on_request_trailers(&self) -> Action {
        if self.remove_trailers().is_ok() {
            return Action::Continue;
        }
        let gate = self.plugin.gate();
        let party = {
            let passed = self.passed.borrow();
            passed.as_ref().and_then(|passed| passed.grounds.party.clone())
        };
        // As with a header that cannot be removed, a dry run ends it, too.
        let version = gate.as_ref().map_or("", |gate| gate.version());
        let record = Record::new(Stage::Request, Decision::refused(Reason::RequestMalformed), version)
            .about(party.as_ref().and_then(Party::who))
            .live(true);
        self.plugin.end(self.context);
        self.refuse(&record, || self.circumstances(None))
    }

    fn remove_trailers(&self) -> Result<(), ProxyError> {
        let proxy = self.plugin.proxy();
        let trailers = proxy.request_trailers()?;
        head::trailers_to_remove(&trailers, &self.names_decided_on(), |assertion| {
            self.has_read(assertion)
        })
        .try_for_each(|name| proxy.remove_request_trailer(name))
    }

    /// Whether what may say so of who acts in this stream was read, or removed unread.
    fn has_read(&self, assertion: Assertion) -> bool {
        let passed = self.passed.borrow();
        let Some(Passed { grounds, .. }) = &*passed else {
            return false;
        };
        let by = grounds.party.as_ref().and_then(Party::assertion);
        match assertion {
            Assertion::Xfcc | Assertion::JwtSvid => by == Some(assertion),
            Assertion::ClientCert => grounds.judges().all().any(|gate| gate.has_hops_by(assertion)),
        }
    }

    /// The names of headers that this stream was judged by. What only a dry run looks at may be in trailers.
    fn names_decided_on(&self) -> Vec<HeaderNames> {
        let passed = self.passed.borrow();
        let judges = passed.iter().flat_map(|passed| passed.grounds.judges().all());
        judges
            .filter(|gate| gate.enforces())
            .map(|gate| gate.header_names())
            .collect()
    }

    /// Leaves a mark where the certificates of the peer, or the time that its connection may be open, end soon or have
    /// ended, for a filter behind this one that can have the proxy drain the connection when the request is through.
    fn mark_end(&self, gate: &Gate, identity: Option<&Identity>, is_over: bool, ends: Timestamp) {
        let of_connection = match gate.configuration.peer {
            PeerOrigin::Id { max_connection_age, .. } => drained_from(ends, max_connection_age),
            PeerOrigin::Handshake | PeerOrigin::Certificate { .. } => ends,
        };
        let drains_from = identity.map(|identity| identity.drains_from().min(of_connection));
        let is_ending = drains_from.is_some_and(|from| self.plugin.now() >= from);
        if is_ending || is_over {
            // Without it the connection is closed by the tick, or cut.
            let _ = self.plugin.proxy().note(DRAIN_STATE, b"1");
        }
    }

    /// Keeps of a head what its judges can ask again.
    fn keep(&self, judges: &Judges, head: &Head, party: Option<&Party>) -> Result<(KeptHead, Held), Reason> {
        let names = judges.all().map(|gate| gate.header_names());
        let kept = KeptHead::new(head, names, party.is_none());
        if kept.bytes() > MAX_STREAM_BYTES {
            return Err(Reason::RequestHeadTooLarge);
        }
        let owner = party.map_or(Owner::direct(0), Party::owner);
        let connection = || surroundings::connection_id(self.plugin.proxy());
        let held = self.plugin.ledger().hold(owner, kept.bytes(), connection)?;
        Ok((kept, held))
    }

    fn enforce(
        &self,
        gate: &Gate,
        head: &Head,
        party: Option<&Party>,
        decision: Decision<'_>,
        refusal: Option<&Refusal>,
    ) -> Action {
        let record = Record::new(Stage::Request, decision, gate.version())
            .about(party.and_then(Party::who))
            .refusing(refusal)
            .enforced(gate.enforces());
        let circumstances = || self.circumstances(refusal);
        if !decision.is_allowed() && gate.enforces() {
            return self.refuse(&record, circumstances);
        }
        if self.forward(gate, head, party).is_err() {
            // A header of the client could not be removed, and the upstream would believe it: a dry run denies it, too.
            let malformed = Decision::refused(Reason::RequestMalformed);
            let record = Record::new(Stage::Request, malformed, gate.version()).about(record.who);
            return self.refuse(&record, circumstances);
        }
        self.plugin.record(&record, gate.shows(&decision), circumstances);
        if gate.configuration.mark_passed {
            // Without it the second lock refuses.
            let version = if gate.version().is_empty() {
                NO_VERSION
            } else {
                gate.version()
            };
            let _ = self.plugin.proxy().note(PASSED_STATE, version.as_bytes());
        }
        Action::Continue
    }

    fn circumstances(&self, refusal: Option<&Refusal>) -> Circumstances {
        Circumstances {
            peer: surroundings::noted_address(self.plugin.proxy()),
            connection_id: surroundings::connection_id(self.plugin.proxy()),
            claimed: refusal.and_then(|refusal| refusal.claimed.clone()),
            target: surroundings::route(self.plugin.proxy()).map(|route| ("route", route)),
            detail: refusal.map(|refusal| refusal.detail.clone()),
        }
    }

    /// Refuses before anything was read.
    fn refuse_unread(&self, reason: Reason) -> Action {
        let record = Record::new(Stage::Request, Decision::refused(reason), "");
        self.refuse(&record, || self.circumstances(None))
    }

    fn refuse(&self, record: &Record<'_>, circumstances: impl FnOnce() -> Circumstances) -> Action {
        self.plugin.record(record, true, circumstances);
        // What is paused goes nowhere, whether or not the proxy answers it.
        let _ = cut::answer(self.plugin.proxy(), record.decision.reason);
        Action::Pause
    }

    /// Whether its connection waits for no proof, or has one in this request.
    fn is_proven(&self, identity: Option<&Identity>, is_allowed: bool) -> bool {
        let unproven = self.plugin.unproven();
        if unproven.is_empty() {
            return true;
        }
        let leaf = match identity.map(|identity| &identity.evidence) {
            Some(Evidence::Handshake(leaf)) => Some(*leaf),
            Some(
                Evidence::Shared(_)
                | Evidence::Vouched(_)
                | Evidence::Brought(_)
                | Evidence::Named(_)
                | Evidence::Token(_),
            ) => None,
            None => presented::handshake(self.plugin.proxy()),
        };
        let connection = || surroundings::connection_id(self.plugin.proxy());
        leaf.is_none_or(|leaf| unproven.let_pass(&leaf, is_allowed, connection))
    }

    /// The network filter has left its connection to its requests, and enforces: so a dry run denies it, too.
    fn refuse_unproven(&self, gate: &Gate, party: Option<&Party>, refusal: Option<&Refusal>) -> Action {
        let decision = Decision::refused(Reason::ConnectionUnproven);
        let record = Record::new(Stage::Request, decision, gate.version());
        let record = record.about(party.and_then(Party::who)).refusing(refusal);
        self.refuse(&record, || Circumstances {
            detail: Some(match refusal {
                Some(refusal) => format!("{UNPROVEN}: {}", refusal.detail),
                None => UNPROVEN.to_owned(),
            }),
            ..self.circumstances(refusal)
        })
    }

    /// What the upstream gets to see of who acts. The word of a hop goes no further unless it was read; where the peer
    /// is none, it was not.
    fn forward(&self, gate: &Gate, head: &Head, party: Option<&Party>) -> Result<(), ProxyError> {
        let proxy = self.plugin.proxy();
        for name in head.forged() {
            proxy.remove_request_header(name)?;
        }
        let Configuration {
            xfcc,
            forward_xfcc,
            forward_id,
            forward_via,
            tokens,
            ..
        } = &*gate.configuration;
        let assertion = party.and_then(Party::assertion);
        let is_removed = match xfcc {
            XfccMode::Ignore => false,
            XfccMode::Own => !forward_xfcc,
            XfccMode::Hop | XfccMode::HopAppended => !forward_xfcc || assertion != Some(Assertion::Xfcc),
        };
        if is_removed && head.has_xfcc() {
            proxy.remove_request_header(XFCC_HEADER.as_bytes())?;
        }
        let forwards_token = tokens.as_ref().is_some_and(|tokens| tokens.forward);
        if gate.has_hops_by(Assertion::ClientCert) {
            head.client_certs()
                .try_for_each(|name| proxy.remove_request_header(name))?;
        }
        if assertion == Some(Assertion::JwtSvid) && !forwards_token {
            proxy.remove_request_header(AUTHORIZATION_HEADER.as_bytes())?;
        }
        if let Some(acting) = party.filter(|_| *forward_id).and_then(Party::acting) {
            proxy.add_request_header(ID_HEADER, acting.svid.id().as_str().as_bytes())?;
        }
        match party.filter(|_| *forward_via).and_then(Party::via) {
            Some(via) => proxy.add_request_header(VIA_HEADER, via.as_bytes()),
            None => Ok(()),
        }
    }
}

/// Whether a refusal is the end of its connection.
fn is_over(reason: Reason) -> bool {
    matches!(reason, Reason::SvidExpired | Reason::ConnectionTooOld)
}

/// A stream with its head, as it came or as far as it was kept.
struct Stream<'s, P> {
    filter: &'s RequestFilter<P>,
    http: HttpRequest<'s>,
    said: Said<'s>,
}

impl<'s, P: Proxy> Stream<'s, P> {
    fn new(filter: &'s RequestFilter<P>, http: HttpRequest<'s>, said: Said<'s>) -> Self {
        Self { filter, http, said }
    }
}

impl<P: Proxy> Judged<P> for Stream<'_, P> {
    fn stage(&self) -> Stage {
        Stage::Request
    }

    fn plugin(&self) -> &Plugin<P> {
        &self.filter.plugin
    }

    fn identify(&self, gate: &Gate, now: Timestamp) -> Result<Party, Rc<Refusal>> {
        gate.party(self.filter.plugin.proxy(), now, self.said)
    }

    fn decide<'i>(&self, party: &'i Party) -> Decision<'i> {
        let (proxy, way) = (self.filter.plugin.proxy(), party.way());
        let Needs {
            route,
            port,
            sni,
            source_ip,
        } = way.needs();
        let route = if route { surroundings::route(proxy) } else { None };
        let sni = if sni { surroundings::sni(proxy) } else { None };
        let request = Request {
            http: Some(self.http),
            route: route.as_deref(),
            port: if port { surroundings::local_port(proxy) } else { None },
            sni: sni.as_deref(),
            source_ip: if source_ip {
                surroundings::noted_address(proxy).as_deref().and_then(surroundings::ip)
            } else {
                None
            },
        };
        way.decide(&request, self.filter.plugin.now())
    }

    fn excuses(&self, _gate: &Gate, _refusal: &Refusal) -> bool {
        false
    }

    fn shows(&self, _enforced: bool) -> bool {
        true
    }

    fn circumstances(&self, refusal: Option<&Refusal>) -> Circumstances {
        self.filter.circumstances(refusal)
    }
}

impl<P: Proxy> UnderWay for RequestFilter<P> {
    fn stage(&self) -> Stage {
        Stage::Request
    }

    fn is_due(&self, now: Timestamp) -> bool {
        let passed = self.passed.borrow();
        passed
            .as_ref()
            .is_some_and(|passed| self.plugin.have_moved(&passed.grounds, now))
    }

    fn peer(&self) -> Option<Evidence> {
        connection::whose(self.passed.borrow().as_ref().map(|passed| &passed.grounds))
    }

    fn drains(&self, _now: Timestamp) -> bool {
        false
    }

    fn judge(&self, now: Timestamp) -> Option<Ending> {
        let Passed { grounds, head, .. } = self.passed.borrow().clone()?;
        let stream = Stream::new(self, head.request(), head.said());
        match judgement::decide_again(&stream, &grounds, now) {
            Again::GoesOn(grounds) => {
                if let Some(passed) = &mut *self.passed.borrow_mut() {
                    passed.grounds = grounds;
                }
                None
            }
            // One without an answer gets the 403; one in mid-answer is reset.
            Again::Ends(reason) => Some(Ending::Answer(reason)),
        }
    }
}

const UNPROVEN: &str = "the network filter has left this connection to its first request, and this one proves nothing \
                        to the documents that it has (a dry run, or a document with other bundles, stands behind it)";
