//! What a plain Envoy loads: a whole configuration, or its two filters as discovery brings them.

use std::net::SocketAddr;

use svidgate_policy::{Listener, Listeners};

use super::{fill::Filling, policy::Policy};

/// Where it goes.
#[derive(Clone, Debug)]
pub struct Place {
    /// The listener, which the plugins' names begin with.
    pub name: String,
    /// The module, as a file.
    pub module: String,
    /// Where it listens.
    pub listen: SocketAddr,
    /// What is behind.
    pub upstream: SocketAddr,
    /// The socket of the SPIFFE agent.
    pub agent: String,
    /// The port of the admin interface.
    pub admin_port: u16,
}

/// A filter of ours, for Envoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The network filter.
    Connection,
    /// The HTTP filter.
    Request,
}

impl Part {
    /// Its `root_id`, and the name by which a listener asks for it.
    pub const fn root_id(self) -> &'static str {
        match self {
            Self::Connection => "svidgate.connection",
            Self::Request => "svidgate.request",
        }
    }

    const fn kind(self) -> &'static str {
        match self {
            Self::Connection => "type.googleapis.com/envoy.extensions.filters.network.wasm.v3.Wasm",
            Self::Request => "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        }
    }
}

/// Looks at whether the document is one for these forms.
fn check(policy: &Policy) -> Result<(), String> {
    policy.leaves_a_mark()?;
    if policy.listener == Listeners::Only(Listener::Http) && !policy.takes_shared_peer {
        return Ok(());
    }
    Err("these are for a listener of HTTP with TLS of its own: write `listener: http`, and no `peer` (other listeners: envoy/demo, envoy/inner-listener.yaml)".to_owned())
}

/// A whole configuration.
///
/// # Errors
/// With why this document is none for it, and what would be right.
pub fn bootstrap(policy: &Policy, place: &Place) -> Result<String, String> {
    check(policy)?;
    let address = |address: SocketAddr| address.ip().to_string();
    Ok(Filling::default()
        .text("NAME", &place.name)
        .text("LISTEN_ADDRESS", &address(place.listen))
        .plain("LISTEN_PORT", &place.listen.port().to_string())
        .text("UPSTREAM_ADDRESS", &address(place.upstream))
        .plain("UPSTREAM_PORT", &place.upstream.port().to_string())
        .plain("ADMIN_PORT", &place.admin_port.to_string())
        .text("AGENT_SOCKET", &place.agent)
        .block("CONNECTION", &plugin(policy, place, Part::Connection))
        .block("REQUEST", &plugin(policy, place, Part::Request))
        .fill(include_str!("templates/envoy-bootstrap.yaml")))
}

/// What a control plane sends (xDS): both resources.
///
/// # Errors
/// With why this document is none for it, and what would be right.
pub fn resources(policy: &Policy, place: &Place) -> Result<String, String> {
    check(policy)?;
    let both = [Part::Connection, Part::Request].map(|part| as_item(&resource(policy, place, part)));
    Ok(format!(
        "{}{}",
        include_str!("templates/envoy-lock.yaml"),
        both.concat()
    ))
}

/// A file that Envoy watches (ECDS), for one of the filters.
///
/// # Errors
/// With why this document is none for it, and what would be right.
pub fn watched(policy: &Policy, place: &Place, part: Part) -> Result<String, String> {
    check(policy)?;
    let item = as_item(&resource(policy, place, part));
    let lines: String = item.lines().map(|line| format!("  {line}\n")).collect();
    Ok(format!(
        "{}resources:\n{lines}",
        include_str!("templates/envoy-lock.yaml")
    ))
}

fn plugin(policy: &Policy, place: &Place, part: Part) -> Vec<String> {
    // `web.connection`, `web.request`: of its own for each listener.
    let role = part.root_id().trim_start_matches("svidgate.");
    let filled = Filling::default()
        .text("PLUGIN", &format!("{}.{role}", place.name))
        .text("ROOT_ID", part.root_id())
        .text("MODULE", &place.module)
        .block("DOCUMENT", &policy.block())
        .fill(include_str!("templates/envoy-plugin.yaml"));
    filled.lines().map(str::to_owned).collect()
}

fn resource(policy: &Policy, place: &Place, part: Part) -> String {
    Filling::default()
        .text("ROOT_ID", part.root_id())
        .text("KIND", part.kind())
        .block("PLUGIN", &plugin(policy, place, part))
        .fill(include_str!("templates/envoy-resource.yaml"))
}

/// Lines as an item of a list.
fn as_item(text: &str) -> String {
    text.lines()
        .enumerate()
        .map(|(index, line)| format!("{}{line}\n", if index == 0 { "- " } else { "  " }))
        .collect()
}
