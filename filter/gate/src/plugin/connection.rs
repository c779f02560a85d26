//! The network filter: hold, decide on the first bytes, let through or close.
//!
//! What may be done depends on the filter behind ours, which is what `listener` in the document says. In front of HTTP
//! and of clients that speak first, the connection is held until bytes come, and nothing is dialled before. In front of
//! servers that speak first it cannot be held; the proxy dials after the handshake, and the first bytes of either side
//! wait for the decision. The upstream side is never paused: the proxy cannot resume it.
//!
//! A leaf of an issuer that is not at hand may be left to the first request: `left_to_requests`.

mod left_to_requests;

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
};

use jiff::{SignedDuration, Timestamp};
use svidgate_policy::{Decision, Listener, PeerOrigin, Reason, Request};

use crate::{
    clock::is_over,
    identity::{gate::Gate, party::Party},
    peer::{
        presented::{self, Evidence},
        said::Lines,
        surroundings,
    },
    plugin::{
        action::Action,
        behind::Behind,
        judgement::{self, Again, Judged},
        plugin::Plugin,
    },
    proxy::Proxy,
    record::decision::{Circumstances, Record},
    refusal::Refusal,
    stage::Stage,
    worker::{
        cut::Ending,
        grounds::{Grounds, Judges},
        sweep::UnderWay,
        unproven::Slot,
    },
};

/// One downstream connection.
#[derive(Debug)]
pub struct ConnectionFilter<P> {
    plugin: Rc<Plugin<P>>,
    context: u32,
    decided: Cell<Option<Action>>,
    /// How long it is held, counted from when the connection was accepted. A client that stays silent, before the
    /// handshake is done or after it, would otherwise be kept for ever.
    held: Cell<Option<Wait>>,
    /// Why it was let through.
    grounds: RefCell<Option<Grounds>>,
    /// Of one in front of HTTP, whether it is known what reads it.
    behind: Cell<Seen>,
    /// Of one that was left to its first request, until one is allowed.
    unproven: RefCell<Option<(Wait, Slot)>>,
    this: Weak<Self>,
}

/// The time that is left to a peer.
#[derive(Clone, Copy, Debug)]
struct Wait {
    since: Timestamp,
    span: SignedDuration,
}

impl Wait {
    fn is_over(self, now: Timestamp) -> bool {
        is_over(self.span, self.since, now)
    }
}

/// What has been seen of what reads a connection in front of HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Seen {
    /// Nothing yet, and it is looked for on the next tick.
    #[default]
    Nothing,
    /// Nothing, on a tick after bytes had been passed. It is looked for when bytes come.
    NothingOnTick,
    /// The HTTP connection manager.
    Http,
    /// `tcp_proxy`: nothing more is passed, and it ends on the next tick.
    Tcp,
}

impl<P: Proxy> ConnectionFilter<P> {
    /// A connection that has just been accepted, the handshake not done.
    pub fn new(plugin: Rc<Plugin<P>>, context: u32) -> Rc<Self> {
        Rc::new_cyclic(|this| Self {
            plugin,
            context,
            decided: Cell::default(),
            held: Cell::default(),
            grounds: RefCell::default(),
            behind: Cell::default(),
            unproven: RefCell::default(),
            this: this.clone(),
        })
    }

    /// Before the handshake, unless a filter in front has waited for it.
    pub fn on_new_connection(self: &Rc<Self>) -> Action {
        let Some(gate) = self.plugin.gate() else {
            return self.refuse_unjudged();
        };
        if gate.enforces() && surroundings::is_http3(self.plugin.proxy()) {
            return self.refuse_at_once(Reason::ConnectionUndecidable, gate.version(), HTTP3);
        }
        let one: Rc<dyn UnderWay> = Rc::<Self>::clone(self);
        self.plugin.begin(self.context, one);
        match self.plugin.listener() {
            // A dry run changes nothing, and what stands behind may not bear being held.
            Listener::Http | Listener::Tcp if !gate.enforces() => Action::Continue,
            // The handshake is done: another filter in front, a second svidgate perhaps, has held the connection until
            // its first bytes. These come next, but not to one who pauses now. All there is to know is known.
            Listener::Http | Listener::Tcp if presented::handshake(self.plugin.proxy()).is_some() => {
                self.decide_first(false)
            }
            Listener::Http | Listener::Tcp => {
                self.held.set(Some(self.wait(&gate)));
                // The same behind a hold, where the peer has no certificate, and where its peer may stand elsewhere, so
                // that no handshake tells of a filter in front. The HTTP connection manager does nothing before it has
                // bytes, so where there are none yet, this is as good.
                let may_be_late = self.plugin.is_behind_hold() || gate.configuration.peer != PeerOrigin::Handshake;
                if may_be_late && self.plugin.listener().has_requests() {
                    Action::Continue
                } else {
                    Action::Pause
                }
            }
            Listener::TcpServerFirst => Action::Continue,
        }
    }

    /// Whether the handshake is done, and the peer has a certificate. Never asked over HTTP/3
    /// ([`surroundings::is_http3`]).
    pub(crate) fn is_past_handshake(&self) -> bool {
        !surroundings::is_http3(self.plugin.proxy()) && presented::handshake(self.plugin.proxy()).is_some()
    }

    /// Bytes of the client, decrypted; none at the end of its stream.
    pub fn on_downstream_data(&self, bytes: usize) -> Action {
        self.on_first_bytes(bytes, || self.decide_first(false))
    }

    /// The same, where another filter decides: the hold is over with the first bytes.
    pub fn release(&self, bytes: usize) -> Action {
        self.on_first_bytes(bytes, || {
            self.held.set(None);
            self.decided.set(Some(Action::Continue));
            self.plugin.end(self.context);
            Action::Continue
        })
    }

    fn on_first_bytes(&self, bytes: usize, act: impl FnOnce() -> Action) -> Action {
        match self.decided.get() {
            Some(action) => self.passed_on(action),
            // The end of a stream may come before the handshake; it tells nothing and carries nothing.
            None if bytes == 0 && self.enforces() => Action::Pause,
            None if bytes == 0 => Action::Continue,
            None => act(),
        }
    }

    /// Bytes of the server.
    pub fn on_upstream_data(&self) -> Action {
        match self.decided.get() {
            Some(action) => self.passed_on(action),
            // A dry run can wait for the handshake, which tells more.
            None if !self.enforces() && !self.is_known() => Action::Continue,
            None => self.decide_first(true),
        }
    }

    /// Bytes of a connection that has been decided on. Those of one that turns out not to be read as HTTP are kept.
    fn passed_on(&self, action: Action) -> Action {
        if action == Action::Continue && self.behind.get() != Seen::Http && self.is_for_http() {
            self.look_behind();
        }
        self.decided.get().unwrap_or(action)
    }

    /// Whether it was let through because each request will be decided on.
    fn is_for_http(&self) -> bool {
        self.plugin.listener().has_requests() && self.grounds.borrow().is_some() && self.enforces()
    }

    fn look_behind(&self) {
        match Behind::look(self.plugin.proxy()) {
            Some(Behind::Http) => self.behind.set(Seen::Http),
            Some(Behind::Tcp) => {
                self.behind.set(Seen::Tcp);
                self.decided.set(Some(Action::Pause));
            }
            None => {}
        }
    }

    /// Whether there is anything yet that tells who the peer is.
    fn is_known(&self) -> bool {
        let gate = self.plugin.gate();
        gate.is_some_and(|gate| presented::evidence(self.plugin.proxy(), &gate.configuration.peer).is_ok())
    }

    /// Whether it is certain that each of its requests is judged: in front of HTTP, where it is held until it is known
    /// what reads it, and the HTTP filter is configured on this worker with the same document.
    fn is_left_to_requests(&self) -> bool {
        let gate = self.plugin.gate();
        let is_judged = |gate| self.plugin.decides_on_requests(&gate);
        self.plugin.listener().has_requests() && self.enforces() && gate.is_some_and(is_judged)
    }

    fn enforces(&self) -> bool {
        self.plugin.gate().is_none_or(|gate| gate.enforces())
    }

    /// The connection is gone.
    pub fn on_close(&self) {
        self.unproven.take();
        self.plugin.end(self.context);
    }

    fn decide_first(&self, server_spoke: bool) -> Action {
        let Some(judges) = self.plugin.judges() else {
            return self.refuse_unjudged();
        };
        self.held.set(None);
        let is_for_http = self.plugin.listener().has_requests() && self.enforces();
        if is_for_http && Behind::look(self.plugin.proxy()) == Some(Behind::Tcp) {
            return self.refuse_at_once(Reason::ConnectionNotHttp, judges.own().version(), NOT_HTTP);
        }
        let gate = judgement::spokesman(self, &judges);
        let party = self.identify(&gate, self.plugin.now());
        if let Err(refusal) = &party
            && let Some(own) = self.left_to_requests(&gate, refusal, &judges)
        {
            return self.leave_to_requests(&gate, refusal, judges, own);
        }
        let party = party.map_err(|refusal| undecided(refusal, server_spoke));
        let (decision, refusal) = judgement::decide(self, &party);
        let action = self.enforce(&gate, judges, party.as_ref().ok(), decision, refusal);
        self.decided.set(Some(action));
        action
    }

    fn wait(&self, gate: &Gate) -> Wait {
        Wait {
            since: self.plugin.now(),
            span: gate.configuration.first_bytes_timeout,
        }
    }

    fn enforce(
        &self,
        gate: &Gate,
        judges: Judges,
        party: Option<&Party>,
        decision: Decision<'_>,
        refusal: Option<&Refusal>,
    ) -> Action {
        let who = party.and_then(Party::who);
        let enforced = gate.enforces();
        let record = Record::new(Stage::Connection, decision, gate.version())
            .about(who)
            .enforced(enforced);
        // In front of HTTP an admission is not the last word, and one connection's filter state is shared by all of
        // its streams: each request writes its own.
        let passes = decision.is_allowed() || !enforced;
        let has_requests = self.plugin.listener().has_requests();
        let shown = (!passes || !has_requests) && gate.shows(&decision);
        self.plugin.record(&record, shown, || self.circumstances(refusal));
        if !passes {
            return self.close();
        }
        let (proxy, now) = (self.plugin.proxy(), self.plugin.now());
        let ends = judges.end_of_connection(proxy, party.and_then(Party::connected), now);
        let grounds = judgement::grounds(self, judges, party.cloned(), &decision, ends);
        self.grounds.replace(Some(grounds));
        if has_requests {
            surroundings::note_address(self.plugin.proxy());
        }
        Action::Continue
    }

    /// There is no document, or another thread has a newer one.
    fn refuse_unjudged(&self) -> Action {
        self.refuse_at_once(self.plugin.no_judges(), "", "")
    }

    /// Refuses before anybody was asked who it is.
    fn refuse_at_once(&self, reason: Reason, version: &str, detail: &str) -> Action {
        let record = Record::new(Stage::Connection, Decision::refused(reason), version);
        let circumstances = || Circumstances {
            detail: (!detail.is_empty()).then(|| detail.to_owned()),
            ..self.circumstances(None)
        };
        self.plugin.record(&record, true, circumstances);
        self.decided.set(Some(Action::Pause));
        self.close()
    }

    /// Paused bytes go nowhere, whether or not the proxy carries the close out.
    fn close(&self) -> Action {
        self.plugin.end(self.context);
        #[expect(clippy::disallowed_methods, reason = "this connection is being served")]
        let _ = self.plugin.proxy().close_connection();
        Action::Pause
    }

    fn end_silent(&self) -> Ending {
        self.end_for(Reason::ConnectionSilent, None, SILENT.to_owned())
    }

    fn end_not_http(&self) -> Ending {
        self.end_for(Reason::ConnectionNotHttp, None, NOT_HTTP.to_owned())
    }

    /// Ends it for a reason that has nothing to do with what it may do.
    fn end_for(&self, reason: Reason, refusal: Option<&Refusal>, detail: String) -> Ending {
        let gate = self.plugin.gate();
        let version = gate.as_ref().map_or("", |gate| gate.version());
        let record = Record::new(Stage::Connection, Decision::refused(reason), version);
        let record = record.live(self.grounds.borrow().is_some());
        self.plugin.record(&record, true, || Circumstances {
            detail: Some(detail),
            ..self.circumstances(refusal)
        });
        self.decided.set(Some(Action::Pause));
        Ending::Close
    }

    /// Decides again on what was let through.
    fn decide_again(&self, grounds: &Grounds, now: Timestamp) -> Option<Ending> {
        match judgement::decide_again(self, grounds, now) {
            Again::GoesOn(grounds) => {
                self.grounds.replace(Some(grounds));
                None
            }
            Again::Ends(_) => {
                self.decided.set(Some(Action::Pause));
                Some(Ending::Close)
            }
        }
    }
}

impl<P: Proxy> Judged<P> for ConnectionFilter<P> {
    fn stage(&self) -> Stage {
        Stage::Connection
    }

    fn plugin(&self) -> &Plugin<P> {
        &self.plugin
    }

    /// Nobody is brought to a connection. One who has shown no certificate brings requests, or nothing.
    fn identify(&self, gate: &Gate, now: Timestamp) -> Result<Party, Rc<Refusal>> {
        let peer = gate.connected(self.plugin.proxy(), now, Lines::Absent, || self.is_left_to_requests());
        peer.map(Party::direct)
    }

    fn decide<'i>(&self, party: &'i Party) -> Decision<'i> {
        let (grants, now, proxy) = (party.peer.grants(), self.plugin.now(), self.plugin.proxy());
        if self.plugin.listener().has_requests() {
            return grants.admit(now);
        }
        let needs = grants.needs();
        let sni = if needs.sni { surroundings::sni(proxy) } else { None };
        let request = Request {
            http: None,
            route: None,
            port: if needs.port {
                surroundings::local_port(proxy)
            } else {
                None
            },
            sni: sni.as_deref(),
            source_ip: if needs.source_ip {
                surroundings::source_address(proxy)
                    .as_deref()
                    .and_then(surroundings::ip)
            } else {
                None
            },
        };
        grants.decide(&request, now)
    }

    fn excuses(&self, gate: &Gate, refusal: &Refusal) -> bool {
        self.unproven.borrow().is_some() && gate.leaves_to_requests(refusal)
    }

    /// Of a connection that goes on in front of HTTP, the field would be read as the word on each of its streams.
    fn shows(&self, enforced: bool) -> bool {
        enforced || !self.plugin.listener().has_requests()
    }

    fn circumstances(&self, refusal: Option<&Refusal>) -> Circumstances {
        let proxy = self.plugin.proxy();
        Circumstances {
            peer: surroundings::source_address(proxy),
            connection_id: surroundings::connection_id(proxy),
            target: surroundings::sni(proxy).map(|sni| ("sni", sni)),
            claimed: refusal.and_then(|refusal| refusal.claimed.clone()),
            detail: refusal.map(|refusal| refusal.detail.clone()),
        }
    }
}

impl<P: Proxy> UnderWay for ConnectionFilter<P> {
    fn stage(&self) -> Stage {
        Stage::Connection
    }

    fn is_due(&self, now: Timestamp) -> bool {
        if let Some(held) = self.held.get() {
            return held.is_over(now);
        }
        if self.is_past_proof(now) {
            return true;
        }
        match self.behind.get() {
            Seen::Tcp => return true,
            // The proxy may have dialled since the first bytes were passed, and nothing comes back.
            Seen::Nothing if self.is_for_http() => return true,
            Seen::Nothing | Seen::NothingOnTick | Seen::Http => {}
        }
        let grounds = self.grounds.borrow();
        grounds
            .as_ref()
            .is_some_and(|grounds| self.plugin.have_moved(grounds, now))
    }

    fn peer(&self) -> Option<Evidence> {
        whose(self.grounds.borrow().as_ref())
    }

    /// In front of HTTP, from the last second of its certificates on. What asks before that is drained by its mark; to
    /// close an idle connection sooner would lose what its peer is just sending.
    fn drains(&self, now: Timestamp) -> bool {
        let grounds = self.grounds.borrow();
        let Some((grounds, identity)) = grounds
            .as_ref()
            .and_then(|grounds| Some((grounds, grounds.party.as_ref()?.connected()?)))
        else {
            return false;
        };
        let is_ours_to_close =
            self.plugin.listener().has_requests() && self.plugin.gate().is_some_and(|gate| gate.enforces());
        now >= identity.svid.path_until().min(grounds.last_second()) && is_ours_to_close
    }

    fn judge(&self, now: Timestamp) -> Option<Ending> {
        if self.behind.get() == Seen::Nothing && self.is_for_http() {
            self.behind.set(Seen::NothingOnTick);
            self.look_behind();
        }
        if self.behind.get() == Seen::Tcp {
            return Some(self.end_not_http());
        }
        if self.is_past_proof(now) {
            return Some(self.end_unproven());
        }
        let grounds = self.grounds.borrow().clone();
        match &grounds {
            // It was only looked at what stands behind.
            Some(grounds) if !self.plugin.have_moved(grounds, now) => None,
            Some(grounds) => self.decide_again(grounds, now),
            None => Some(self.end_silent()),
        }
    }
}

/// Whose something is that was let through on these grounds.
pub(crate) fn whose(grounds: Option<&Grounds>) -> Option<Evidence> {
    Some(grounds?.party.as_ref()?.connected()?.evidence.clone())
}

/// Before the handshake is done there is no certificate either, and the proxy has nothing that tells the two apart. The
/// server's bytes cannot be kept until it is.
fn undecided(refusal: Rc<Refusal>, server_spoke: bool) -> Rc<Refusal> {
    if server_spoke && refusal.reason == Reason::ConnectionNoCertificate {
        Rc::new(Refusal {
            reason: Reason::ConnectionUndecidable,
            detail: NO_CERTIFICATE_YET.to_owned(),
            ..Rc::unwrap_or_clone(refusal)
        })
    } else {
        refusal
    }
}

const SILENT: &str = "no byte came within `first_bytes_timeout` of accepting the connection, the handshake included \
                      (before tcp_proxy, `upstream_connect_mode: ON_DOWNSTREAM_DATA` may be missing)";

const NOT_HTTP: &str = "tcp_proxy reads this connection, so no request will ever be decided on, and the document is \
                        for `listener: http` (this filter chain needs a document for `tcp`, or the HTTP connection \
                        manager with `svidgate.request` in it)";

const HTTP3: &str = "HTTP/3 shows a network filter no bytes, so it cannot decide: give this listener the HTTP filter \
                     alone, which decides on each request";

const NO_CERTIFICATE_YET: &str = "the server spoke and there is no client certificate: none was presented, or the \
                                  handshake was not done (tcp_proxy needs `upstream_connect_mode: \
                                  ON_DOWNSTREAM_TLS_HANDSHAKE`)";
