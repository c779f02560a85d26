//! The HTTP filter: each request is decided on, whatever was decided when its connection was made.
//!
//! On the warm path, where the peer is known and the request allowed, the proxy is called three times: for the digest
//! of the peer's leaf, for the headers, and to write the access-log field.

use std::rc::Rc;

use svidgate_policy::{Decision, HttpRequest, Needs, Reason, Request, Xfcc};

use crate::{
    connection::Action,
    gate::Gate,
    host::{HeaderMap, Host},
    identities::{Identity, Refusal},
    peer,
    record::{Circumstances, Entry, Stage},
    root::Root,
};

/// The header that tells the upstream who asks, where the document wants it; a client's own is always removed.
pub const ID_HEADER: &str = "x-svidgate-id";
/// The proxy's own header with the peer's certificates.
pub const XFCC_HEADER: &str = "x-forwarded-client-cert";

const FORBIDDEN: u32 = 403;
const PERMISSION_DENIED: i32 = 7;

/// One HTTP stream.
#[derive(Debug)]
pub struct RequestFilter<H> {
    root: Rc<Root<H>>,
}

impl<H: Host> RequestFilter<H> {
    /// A stream of which nothing has been read.
    pub fn new(root: Rc<Root<H>>) -> Self {
        Self { root }
    }

    /// The whole request head is there.
    pub fn on_request_headers(&self) -> Action {
        let Some(gate) = self.root.gate() else {
            return self.refuse_unread(Reason::ConfigurationNone);
        };
        // Without headers nothing can be decided, and a forged one could not be removed: a dry run denies it, too.
        let Ok(headers) = self.root.host().request_headers() else {
            return self.refuse_unread(Reason::RequestMalformed);
        };
        let identity = gate.identify(self.root.host(), self.root.now(), xfcc(&gate, &headers));
        match &identity {
            Ok(identity) => {
                let decision = self.decide(identity, &headers);
                self.enforce(&gate, &headers, Some(identity), decision, None)
            }
            Err(refusal) => self.enforce(&gate, &headers, None, Decision::refused(refusal.reason), Some(refusal)),
        }
    }

    fn decide<'i>(&self, identity: &'i Identity, headers: &HeaderMap) -> Decision<'i> {
        let host = self.root.host();
        let Needs {
            route,
            port,
            sni,
            source_ip,
        } = identity.grants.needs();
        let route = if route { peer::route(host) } else { None };
        let sni = if sni { peer::sni(host) } else { None };
        let http = HttpRequest {
            method: headers.first(b":method").unwrap_or_default(),
            authority: headers.first(b":authority").unwrap_or_default(),
            path: headers.first(b":path"),
            headers,
        };
        let request = Request {
            http: Some(http),
            route: route.as_deref(),
            port: if port { peer::local_port(host) } else { None },
            sni: sni.as_deref(),
            source_ip: if source_ip {
                peer::noted_address(host).as_deref().and_then(peer::ip)
            } else {
                None
            },
        };
        identity.grants.decide(&request, self.root.now())
    }

    fn enforce(
        &self,
        gate: &Gate,
        headers: &HeaderMap,
        identity: Option<&Identity>,
        decision: Decision<'_>,
        refusal: Option<&Refusal>,
    ) -> Action {
        let id = identity.map(|identity| identity.svid.id());
        let entry = Entry {
            stage: Stage::Request,
            id,
            decision,
            enforced: gate.enforces(),
        };
        let circumstances = || Circumstances {
            peer: peer::noted_address(self.root.host()),
            claimed: refusal.and_then(|refusal| refusal.claimed.clone()),
            target: peer::route(self.root.host()).map(|route| ("route", route)),
            detail: refusal.map(|refusal| refusal.detail.clone()),
        };
        if !decision.is_allowed() && gate.enforces() {
            return self.refuse(&entry, circumstances);
        }
        self.root.record(&entry, true, circumstances);
        match self.forward(gate, headers, identity) {
            Ok(()) => Action::Continue,
            // A header of the client could not be removed, and the upstream would believe it.
            Err(_) => self.respond(Reason::RequestMalformed),
        }
    }

    /// Refuses before anything was read.
    fn refuse_unread(&self, reason: Reason) -> Action {
        let entry = Entry {
            stage: Stage::Request,
            id: None,
            decision: Decision::refused(reason),
            enforced: true,
        };
        self.refuse(&entry, Circumstances::default)
    }

    fn refuse(&self, entry: &Entry<'_>, circumstances: impl FnOnce() -> Circumstances) -> Action {
        self.root.record(entry, true, circumstances);
        self.respond(entry.decision.reason)
    }

    /// The peer sees a bare 403, or to gRPC `PERMISSION_DENIED`; the reason is for the proxy's own log.
    fn respond(&self, reason: Reason) -> Action {
        let _ = self
            .root
            .host()
            .respond(FORBIDDEN, &format!("svidgate_{reason}"), PERMISSION_DENIED);
        Action::Pause
    }

    /// What the upstream gets to see of the identity.
    fn forward(
        &self,
        gate: &Gate,
        headers: &HeaderMap,
        identity: Option<&Identity>,
    ) -> Result<(), crate::host::HostError> {
        let host = self.root.host();
        for (name, _) in headers.pairs().filter(|(name, _)| reads_as_id_header(name)) {
            host.remove_request_header(std::str::from_utf8(name).unwrap_or(ID_HEADER))?;
        }
        let ours = gate.configuration.xfcc == Xfcc::Own && !gate.configuration.forward_xfcc;
        if ours && headers.first(XFCC_HEADER.as_bytes()).is_some() {
            host.remove_request_header(XFCC_HEADER)?;
        }
        match identity {
            Some(identity) if gate.configuration.forward_id => {
                host.add_request_header(ID_HEADER, identity.svid.id().as_str().as_bytes())
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Many upstreams hand headers on as variables, in which `_` and `-` are one (RFC 3875 4.1.18), so a client's
/// `x_svidgate_id` would be read as ours.
fn reads_as_id_header(name: &[u8]) -> bool {
    let folded = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.len() == ID_HEADER.len() && name.iter().map(folded).eq(ID_HEADER.bytes())
}

/// The XFCC header where the document says that this listener writes it. A listener writes one; of several, none is
/// read, and a certificate is then not found.
fn xfcc<'h>(gate: &Gate, headers: &'h HeaderMap) -> Option<&'h [u8]> {
    if gate.configuration.xfcc != Xfcc::Own {
        return None;
    }
    let mut values = headers
        .pairs()
        .filter(|(name, _)| *name == XFCC_HEADER.as_bytes())
        .map(|(_, value)| value);
    let first = values.next();
    first.filter(|_| values.next().is_none())
}
