//! One request, or connection, as somebody would make it, and what a gate decides about it.

use std::{fmt, net::IpAddr};

use jiff::Timestamp;

use crate::{
    analysis::{
        claimed::{Claimed, ClaimedGrants, ClaimedWay},
        manner::Form,
    },
    document::configuration::Configuration,
    name::id::SpiffeId,
    reason::Reason,
    rules::{
        effect::Effect,
        header::{Headers, reads_as},
        hop::Assertion,
        request::{HttpRequest, Request},
    },
};

/// Who asks for what, and when. What is `None` is not known, and does not matter where the rules do not look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// On whose behalf.
    pub id: SpiffeId,
    /// Through whom; `None` where who asks connects.
    pub via: Option<Brought>,
    /// A request, a tunnel or a connection.
    pub form: Form,
    /// `:method`.
    pub method: String,
    /// `:authority`.
    pub host: Option<String>,
    /// `:path`, where there is one.
    pub path: Option<String>,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// Names of headers of which it is not known which values they have, as of an open stream that a new document looks
    /// at in another way.
    pub unread: Vec<String>,
    /// The name of the route; empty where it has none.
    pub route: Option<String>,
    /// The local port.
    pub port: Option<u16>,
    /// The server name of the handshake.
    pub sni: Option<String>,
    /// The peer's address.
    pub source_ip: Option<IpAddr>,
    /// When.
    pub now: Timestamp,
}

/// Who brings a request, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brought {
    /// Whose certificate the connection has.
    pub id: SpiffeId,
    /// How it says who the caller is.
    pub assertion: Assertion,
}

/// What a gate decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether it may pass.
    pub effect: Effect,
    /// Why.
    pub reason: Reason,
    /// The rule that decides.
    pub rule: Option<String>,
    /// The entry of `hops` by which it comes, by its name; `None` where it is direct, or no entry brings it.
    pub hop: Option<String>,
    /// Whether it could pass with the rules in a dry run.
    pub would_be: Effect,
    /// Whether to find that out costs too much.
    pub would_be_is_unknown: bool,
}

impl Witness {
    /// Asks what runs.
    pub fn ask(&self, configuration: &Configuration) -> Answer {
        let refused = |reason| Answer {
            effect: Effect::Deny,
            reason,
            rule: None,
            hop: None,
            would_be: Effect::Deny,
            would_be_is_unknown: false,
        };
        let claim = |id: &SpiffeId| Claimed::new(id.clone(), configuration, self.now);
        let hop = self.via.as_ref();
        let hop = hop.map(|via| claim(&via.id).map(|hop| (hop, via.assertion)));
        let way = match (hop.transpose(), claim(&self.id)) {
            (Ok(hop), Ok(caller)) => ClaimedWay { caller, hop },
            (Err(error), _) | (Ok(_), Err(error)) => return refused(error.reason()),
        };
        let grants = ClaimedGrants::of(&configuration.rules, &way);
        let http = HttpRequest {
            method: self.method.as_bytes(),
            authority: self.host.as_deref().unwrap_or_default().as_bytes(),
            path: self.path.as_deref().map(str::as_bytes),
            headers: &self,
        };
        let http = match self.form {
            Form::Request | Form::Tunnel => Some(http),
            Form::Connection => None,
        };
        let request = Request {
            http,
            route: self.route.as_deref().map(str::as_bytes),
            port: self.port,
            sni: self.sni.as_deref().map(str::as_bytes),
            source_ip: self.source_ip,
        };
        let decision = grants.decide(&request, self.now);
        Answer {
            effect: decision.effect,
            reason: decision.reason,
            rule: decision.rule.map(str::to_owned),
            hop: grants.hop().map(|hop| hop.name.to_string()),
            would_be: decision.dry_run.map_or(decision.effect, |dry_run| dry_run.effect),
            would_be_is_unknown: decision.would_be_is_unknown,
        }
    }
}

impl Headers for &Witness {
    fn count(&self) -> usize {
        self.headers.len()
    }

    fn each<'h>(&'h self, show: &mut dyn FnMut(&'h [u8], &'h [u8])) {
        for (name, value) in &self.headers {
            show(name.as_bytes(), value.as_bytes());
        }
    }

    fn is_known(&self, name: &str) -> bool {
        !self
            .unread
            .iter()
            .any(|unread| reads_as(unread.as_bytes(), name.as_bytes()))
    }
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.id)?;
        match self.form {
            Form::Request => write!(f, " asks {} {}", self.method, self.path.as_deref().unwrap_or_default())?,
            Form::Tunnel => write!(f, " opens a tunnel")?,
            Form::Connection => write!(f, " connects")?,
        }
        if let Some(via) = &self.via {
            let by = match via.assertion {
                Assertion::Xfcc | Assertion::ClientCert => "certificate",
                Assertion::JwtSvid => "token",
            };
            write!(f, " through {} by {by}", via.id)?;
        }
        if let Some(host) = &self.host {
            write!(f, " of {host}")?;
        }
        for (name, value) in &self.headers {
            write!(f, ", {name}: {value}")?;
        }
        for name in &self.unread {
            write!(f, ", {name} not known")?;
        }
        match self.route.as_deref() {
            Some("") => f.write_str(", on a route without a name")?,
            Some(route) => write!(f, ", on route {route}")?,
            None => {}
        }
        if let Some(port) = self.port {
            write!(f, ", port {port}")?;
        }
        if let Some(sni) = &self.sni {
            write!(f, ", server name {sni}")?;
        }
        if let Some(address) = self.source_ip {
            write!(f, ", from {address}")?;
        }
        write!(f, ", at {}", self.now)
    }
}
