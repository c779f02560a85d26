//! The network filter: hold, decide on the first bytes, let through or close.
//!
//! What may be done depends on the filter behind ours, which is what `listener` in the document says. In front of HTTP
//! and of clients that speak first, the connection is held until bytes come, and nothing is dialled before. In front of
//! servers that speak first it cannot be held; the proxy dials after the handshake, and the first bytes of either side
//! wait for the decision. The upstream side is never paused: the host cannot resume it.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use jiff::Timestamp;
use svidgate_policy::{Decision, Listener, Reason, Request};

use crate::{
    gate::Gate,
    host::Host,
    identities::{Identity, Refusal},
    live::{Grounds, Thing},
    peer,
    record::{Circumstances, Entry, Stage},
    root::Root,
};

/// What the proxy is to do with the bytes at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Pass them on.
    Continue,
    /// Keep them.
    Pause,
}

/// One downstream connection.
#[derive(Debug)]
pub struct ConnectionFilter<H> {
    root: Rc<Root<H>>,
    context: u32,
    decided: Cell<Option<Action>>,
    /// When a hold is over. A client that finishes the handshake and stays silent would otherwise be kept for ever.
    held_until: Cell<Option<Timestamp>>,
    /// Why it was let through.
    grounds: RefCell<Option<Grounds>>,
}

impl<H: Host> ConnectionFilter<H> {
    /// A connection that has just been accepted, the handshake not done.
    pub fn new(root: Rc<Root<H>>, context: u32) -> Rc<Self> {
        Rc::new(Self {
            root,
            context,
            decided: Cell::default(),
            held_until: Cell::default(),
            grounds: RefCell::default(),
        })
    }

    /// Before the handshake.
    pub fn on_new_connection(self: &Rc<Self>) -> Action {
        let Some(gate) = self.root.gate() else {
            return self.refuse_unconfigured();
        };
        let thing: Rc<dyn Thing> = Rc::<Self>::clone(self);
        self.root.begin(self.context, thing);
        match gate.configuration.listener {
            // A dry run changes nothing, and what stands behind may not bear being held.
            Listener::Http | Listener::Tcp if !gate.enforces() => Action::Continue,
            Listener::Http | Listener::Tcp => {
                let until = self.root.now().checked_add(gate.configuration.first_bytes_timeout);
                self.held_until.set(until.ok());
                // Bytes that are at hand already come next, but not to one who pauses now. The HTTP connection manager
                // does nothing before it has bytes, so where there are none yet, this is as good.
                if self.root.is_behind_hold() && gate.configuration.listener.has_requests() {
                    Action::Continue
                } else {
                    Action::Pause
                }
            }
            Listener::TcpServerFirst => Action::Continue,
        }
    }

    /// Bytes of the client, decrypted; none at the end of its stream.
    pub fn on_downstream_data(&self, bytes: usize) -> Action {
        self.on_first_bytes(bytes, || self.decide(false))
    }

    /// The same, where another filter decides: the hold is over with the first bytes.
    pub fn release(&self, bytes: usize) -> Action {
        self.on_first_bytes(bytes, || {
            self.held_until.set(None);
            self.decided.set(Some(Action::Continue));
            self.root.end(self.context);
            Action::Continue
        })
    }

    fn on_first_bytes(&self, bytes: usize, act: impl FnOnce() -> Action) -> Action {
        match self.decided.get() {
            Some(action) => action,
            // The end of a stream may come before the handshake; it tells nothing and carries nothing.
            None if bytes == 0 && self.enforces() => Action::Pause,
            None if bytes == 0 => Action::Continue,
            None => act(),
        }
    }

    /// Bytes of the server.
    pub fn on_upstream_data(&self) -> Action {
        match self.decided.get() {
            Some(action) => action,
            // A dry run can wait for the handshake, which tells more.
            None if !self.enforces() && peer::digest(self.root.host()).is_err() => Action::Continue,
            None => self.decide(true),
        }
    }

    fn enforces(&self) -> bool {
        self.root.gate().is_none_or(|gate| gate.enforces())
    }

    /// The connection is gone.
    pub fn on_close(&self) {
        self.root.end(self.context);
    }

    fn decide(&self, server_spoke: bool) -> Action {
        let Some(gate) = self.root.gate() else {
            return self.refuse_unconfigured();
        };
        self.held_until.set(None);
        let gate = match self.root.successor() {
            Some(successor) if self.is_refused(&successor) => successor,
            Some(_) | None => gate,
        };
        let identity = gate.identify(self.root.host(), self.root.now(), None);
        let (decision, circumstances) = match &identity {
            Ok(identity) => (self.decide_identity(&gate, identity), Circumstances::default()),
            Err(refusal) => refused(refusal, server_spoke),
        };
        let action = self.enforce(&gate, identity.as_ref().ok(), decision, circumstances);
        self.decided.set(Some(action));
        action
    }

    fn is_refused(&self, gate: &Gate) -> bool {
        let identity = gate.identify(self.root.host(), self.root.now(), None);
        gate.enforces() && !identity.is_ok_and(|identity| self.decide_identity(gate, &identity).is_allowed())
    }

    fn decide_identity<'i>(&self, gate: &Gate, identity: &'i Identity) -> Decision<'i> {
        let (grants, now, host) = (&identity.grants, self.root.now(), self.root.host());
        if gate.configuration.listener.has_requests() {
            return grants.admit(now);
        }
        let needs = grants.needs();
        let sni = if needs.sni { peer::sni(host) } else { None };
        let request = Request {
            http: None,
            route: None,
            port: if needs.port { peer::local_port(host) } else { None },
            sni: sni.as_deref(),
            source_ip: if needs.source_ip {
                peer::source_address(host).as_deref().and_then(peer::ip)
            } else {
                None
            },
        };
        grants.decide(&request, now)
    }

    fn enforce(
        &self,
        gate: &Rc<Gate>,
        identity: Option<&Rc<Identity>>,
        decision: Decision<'_>,
        circumstances: Circumstances,
    ) -> Action {
        let id = identity.map(|identity| identity.svid.id());
        let enforced = gate.enforces();
        let entry = Entry {
            stage: Stage::Connection,
            id,
            decision,
            enforced,
            live: false,
            version: gate.version(),
        };
        // In front of HTTP an admission is not the last word, and one connection's filter state is shared by all of
        // its streams: each request writes its own.
        let passes = decision.is_allowed() || !enforced;
        let has_requests = gate.configuration.listener.has_requests();
        let shown = (!passes || !has_requests) && gate.shows(&decision);
        self.root.record(&entry, shown, || self.completed(circumstances));
        if !passes {
            return self.close();
        }
        let would_refuse = (!decision.is_allowed()).then_some(decision.reason);
        let grounds = Grounds::new(gate, identity.cloned(), would_refuse, self.root.now());
        self.grounds.replace(Some(grounds));
        if has_requests {
            peer::note_address(self.root.host());
        }
        Action::Continue
    }

    fn refuse_unconfigured(&self) -> Action {
        let decision = Decision::refused(Reason::ConfigurationNone);
        let entry = Entry {
            stage: Stage::Connection,
            id: None,
            decision,
            enforced: true,
            live: false,
            version: "",
        };
        self.root.record(&entry, true, || self.root.connection_circumstances());
        self.decided.set(Some(Action::Pause));
        self.close()
    }

    /// Paused bytes go nowhere, whether or not the proxy carries the close out.
    fn close(&self) -> Action {
        self.root.end(self.context);
        let _ = self.root.host().close_downstream();
        Action::Pause
    }

    fn completed(&self, circumstances: Circumstances) -> Circumstances {
        let known = self.root.connection_circumstances();
        Circumstances {
            peer: known.peer,
            connection_id: known.connection_id,
            target: known.target,
            ..circumstances
        }
    }

    fn close_silent(&self) {
        let gate = self.root.gate();
        let entry = Entry {
            stage: Stage::Connection,
            id: None,
            decision: Decision::refused(Reason::ConnectionSilent),
            enforced: true,
            live: false,
            version: gate.as_ref().map_or("", |gate| gate.version()),
        };
        let circumstances = Circumstances {
            detail: Some(SILENT.to_owned()),
            ..Circumstances::default()
        };
        self.root.record(&entry, true, || self.completed(circumstances));
        self.decided.set(Some(Action::Pause));
        self.close();
    }

    /// Decides again on what was let through.
    fn decide_again(&self, grounds: &Grounds, now: Timestamp) {
        let Some(gate) = self.root.newest_gate() else { return };
        let identity = match &grounds.identity {
            Some(identity) => gate.identify_again(identity, now),
            None => gate.identify(self.root.host(), now, None),
        };
        let (decision, circumstances) = match &identity {
            Ok(identity) => (self.decide_identity(&gate, identity), Circumstances::default()),
            Err(refusal) => refused(refusal, false),
        };
        let (id, enforced) = (identity.as_ref().ok(), gate.enforces());
        let would_refuse = (!decision.is_allowed()).then_some(decision.reason);
        // What a dry run would cut is told once, not on every tick.
        if !decision.is_allowed() && (enforced || would_refuse != grounds.would_refuse) {
            let known = grounds.identity.as_ref();
            let entry = Entry {
                stage: Stage::Connection,
                id: id.or(known).map(|identity| identity.svid.id()),
                decision,
                enforced,
                live: true,
                version: gate.version(),
            };
            self.root.record(&entry, true, || self.completed(circumstances));
        }
        if decision.is_allowed() || !enforced {
            let grounds = Grounds::new(&gate, identity.ok(), would_refuse, now);
            self.grounds.replace(Some(grounds));
        } else {
            self.decided.set(Some(Action::Pause));
            self.close();
        }
    }
}

impl<H: Host> Thing for ConnectionFilter<H> {
    fn stage(&self) -> Stage {
        Stage::Connection
    }

    fn is_due(&self, now: Timestamp) -> bool {
        if let Some(until) = self.held_until.get() {
            return now >= until;
        }
        match (&*self.grounds.borrow(), self.root.newest_gate()) {
            (Some(grounds), Some(gate)) => grounds.have_moved(&gate, now),
            (None, _) | (_, None) => false,
        }
    }

    fn look_again(&self, now: Timestamp) {
        let grounds = self.grounds.borrow().clone();
        let looked = self.root.within(self.context, || match &grounds {
            Some(grounds) => self.decide_again(grounds, now),
            None => self.close_silent(),
        });
        if looked.is_none() {
            self.root.end(self.context);
        }
    }
}

fn refused(refusal: &Refusal, server_spoke: bool) -> (Decision<'static>, Circumstances) {
    // Before the handshake is done there is no certificate either, and the proxy has no property that tells the two
    // apart. The server's bytes cannot be kept until it is.
    let (reason, detail) = if server_spoke && refusal.reason == Reason::ConnectionNoCertificate {
        (Reason::ConnectionUndecidable, NO_CERTIFICATE_YET.to_owned())
    } else {
        (refusal.reason, refusal.detail.clone())
    };
    let circumstances = Circumstances {
        claimed: refusal.claimed.clone(),
        detail: Some(detail),
        ..Circumstances::default()
    };
    (Decision::refused(reason), circumstances)
}

const SILENT: &str = "no byte came after the handshake (in front of tcp_proxy this is also what a missing \
                      `upstream_connect_mode: ON_DOWNSTREAM_DATA` looks like)";

const NO_CERTIFICATE_YET: &str = "the server spoke and there is no client certificate: none was presented, or the \
                                  handshake was not done (tcp_proxy needs `upstream_connect_mode: \
                                  ON_DOWNSTREAM_TLS_HANDSHAKE`)";
