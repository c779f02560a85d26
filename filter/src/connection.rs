//! The network filter: hold, decide on the first bytes, let through or close.
//!
//! What may be done depends on the filter behind ours, which is what `listener` in the document says. In front of HTTP
//! and of clients that speak first, the connection is held until bytes come, and nothing is dialled before. In front of
//! servers that speak first it cannot be held; the proxy dials after the handshake, and the first bytes of either side
//! wait for the decision. The upstream side is never paused: the host cannot resume it.

use std::{cell::Cell, rc::Rc};

use svidgate_policy::{Decision, Listener, Reason, Request};

use crate::{
    gate::Gate,
    host::Host,
    identities::{Identity, Refusal},
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
}

impl<H: Host> ConnectionFilter<H> {
    /// A connection that has just been accepted, the handshake not done.
    pub fn new(root: Rc<Root<H>>, context: u32) -> Self {
        Self {
            root,
            context,
            decided: Cell::new(None),
        }
    }

    /// Before the handshake.
    pub fn on_new_connection(&self) -> Action {
        let Some(gate) = self.root.gate() else {
            return self.refuse_unconfigured();
        };
        match gate.configuration.listener {
            // A dry run changes nothing, and what stands behind may not bear being held.
            Listener::Http | Listener::Tcp if !gate.enforces() => Action::Continue,
            Listener::Http | Listener::Tcp => {
                let limit = gate.configuration.first_bytes_timeout;
                self.root
                    .held()
                    .borrow_mut()
                    .begin(self.context, self.root.now(), limit);
                Action::Pause
            }
            Listener::TcpServerFirst => Action::Continue,
        }
    }

    /// Bytes of the client, decrypted; none at the end of its stream.
    pub fn on_downstream_data(&self, bytes: usize) -> Action {
        if let Some(action) = self.decided.get() {
            return action;
        }
        // The end of a stream may come before the handshake; it tells nothing and carries nothing.
        if bytes == 0 {
            return if self.enforces() {
                Action::Pause
            } else {
                Action::Continue
            };
        }
        self.decide(false)
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
        self.root.held().borrow_mut().end(self.context);
    }

    fn decide(&self, server_spoke: bool) -> Action {
        let Some(gate) = self.root.gate() else {
            return self.refuse_unconfigured();
        };
        self.root.held().borrow_mut().end(self.context);
        let identity = gate.identify(self.root.host(), self.root.now(), None);
        let action = match &identity {
            Ok(identity) => self.decide_identity(&gate, identity),
            Err(refusal) => self.refuse_peer(&gate, refusal, server_spoke),
        };
        self.decided.set(Some(action));
        action
    }

    fn decide_identity(&self, gate: &Gate, identity: &Identity) -> Action {
        let (grants, now, host) = (&identity.grants, self.root.now(), self.root.host());
        if gate.configuration.listener.has_requests() {
            return self.enforce(gate, Some(identity), grants.admit(now), Circumstances::default());
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
        self.enforce(
            gate,
            Some(identity),
            grants.decide(&request, now),
            Circumstances::default(),
        )
    }

    fn refuse_peer(&self, gate: &Gate, refusal: &Refusal, server_spoke: bool) -> Action {
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
        self.enforce(gate, None, Decision::refused(reason), circumstances)
    }

    fn enforce(
        &self,
        gate: &Gate,
        identity: Option<&Identity>,
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
        };
        // In front of HTTP an admission is not the last word, and one connection's filter state is shared by all of
        // its streams: each request writes its own.
        let passes = decision.is_allowed() || !enforced;
        let has_requests = gate.configuration.listener.has_requests();
        let shown = !passes || !has_requests;
        self.root.record(&entry, shown, || {
            let known = self.root.connection_circumstances();
            Circumstances {
                peer: known.peer,
                target: known.target,
                ..circumstances
            }
        });
        if !passes {
            return self.close();
        }
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
        };
        self.root.record(&entry, true, || self.root.connection_circumstances());
        self.decided.set(Some(Action::Pause));
        self.close()
    }

    /// Paused bytes go nowhere, whether or not the proxy carries the close out.
    fn close(&self) -> Action {
        let _ = self.root.host().close_downstream();
        Action::Pause
    }
}

const NO_CERTIFICATE_YET: &str = "the server spoke and there is no client certificate: none was presented, or the \
                                  handshake was not done (tcp_proxy needs `upstream_connect_mode: \
                                  ON_DOWNSTREAM_TLS_HANDSHAKE`)";
