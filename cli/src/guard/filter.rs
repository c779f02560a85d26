//! What stands in a chain of filters?

use super::{
    kinds::{
        COMPOSITE, CONNECTION_MANAGER, Conduct, DYNAMIC_MODULES, HTTP_RBAC, HTTP_SET_FILTER_STATE, HTTP_WASM,
        NETWORK_RBAC, NETWORK_SET_FILTER_STATE, NETWORK_WASM, ON_DEMAND, ROUTER, TCP_PROXY, WITH_MATCHER, http,
        network,
    },
    lock::Lock,
    message::{Node, Typed, Unread},
    plugin::Gate,
    snapshot::Snapshot,
};

/// A filter at its place.
#[derive(Debug)]
pub(crate) struct Filter<'v> {
    pub(crate) name: &'v str,
    pub(crate) role: Role<'v>,
    /// What stands there until discovery has brought the filter: something else than svidgate or a denial.
    pub(crate) open_default: Option<&'v str>,
    /// Whether that is what is known to stand there now.
    pub(crate) is_default: bool,
    /// It is off unless a route says otherwise.
    pub(crate) disabled: bool,
    /// A build of Envoy that does not have it leaves it out.
    pub(crate) optional: bool,
    /// A matcher may skip it.
    pub(crate) matched: bool,
}

/// What it does there.
#[derive(Debug)]
pub(crate) enum Role<'v> {
    /// One of ours.
    Gate(Gate),
    /// RBAC, which may be a lock.
    Rbac(Lock),
    /// The HTTP connection manager.
    ConnectionManager(Node<'v>),
    /// A proxy of bytes.
    TcpProxy(Node<'v>),
    /// The end of a chain of HTTP filters.
    Router,
    /// It writes filter state, under these keys.
    SetsState(Vec<&'v str>),
    /// It comes by discovery and is not here.
    NotHere,
    /// It runs other filters.
    Composite,
    /// It looks for routes while a request is under way.
    OnDemand,
    /// A native module.
    Native(bool),
    /// One of Envoy's or another's.
    Other(&'v str, Conduct),
}

/// Whether the chain is one of connections or of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    Network,
    Http,
}

impl Layer {
    fn wasm(self) -> &'static str {
        match self {
            Self::Network => NETWORK_WASM,
            Self::Http => HTTP_WASM,
        }
    }

    fn denial(self) -> &'static str {
        match self {
            Self::Network => NETWORK_RBAC,
            Self::Http => HTTP_RBAC,
        }
    }
}

impl<'v> Filter<'v> {
    /// Reads a filter of a chain.
    pub(crate) fn read(filter: Node<'v>, layer: Layer, snapshot: &Snapshot<'v>) -> Result<Self, Unread> {
        let name = filter.member("name")?.text()?;
        let discovery = filter.member("config_discovery")?;
        let mut found = filter.member("typed_config")?.typed()?;
        let (mut open_default, mut is_default) = (None, false);
        if discovery.is_there() {
            let kinds = type_urls(discovery)?;
            found = snapshot.filter(name, &kinds);
            if let Some(default) = discovery.member("default_config")?.typed()? {
                open_default = (!holds(name, default, layer)?).then_some(default.kind);
                is_default = found.is_none();
                found = found.or(Some(default));
            }
        }
        let (found, matched) = without_matcher(found)?;
        let role = match found {
            None if discovery.is_there() => Role::NotHere,
            None => Role::Other("", Conduct::Unknown),
            Some(typed) => role(name, typed, layer)?,
        };
        Ok(Self {
            name,
            role,
            open_default,
            is_default,
            disabled: filter.member("disabled")?.is_true()?,
            optional: filter.member("is_optional")?.is_true()?,
            matched,
        })
    }
}

fn type_urls(discovery: Node<'_>) -> Result<Vec<&str>, Unread> {
    let mut kinds = Vec::new();
    for url in discovery.member("type_urls")?.items()? {
        let url = url.text()?;
        kinds.push(url.rsplit_once('/').map_or(url, |(_, kind)| kind));
    }
    Ok(kinds)
}

fn without_matcher(found: Option<Typed<'_>>) -> Result<(Option<Typed<'_>>, bool), Unread> {
    match found {
        Some(typed) if typed.kind == WITH_MATCHER => Ok((
            typed.message.path(&["extension_config", "typed_config"])?.typed()?,
            true,
        )),
        found => Ok((found, false)),
    }
}

/// Whether a default lets nobody through whom svidgate did not.
fn holds(name: &str, default: Typed<'_>, layer: Layer) -> Result<bool, Unread> {
    let role = role(name, default, layer)?;
    Ok(matches!(
        role,
        Role::Gate(_) | Role::Rbac(Lock::DemandsMark | Lock::DeniesAll)
    ))
}

fn role<'v>(name: &str, typed: Typed<'v>, layer: Layer) -> Result<Role<'v>, Unread> {
    let Typed { kind, message } = typed;
    if kind == layer.wasm() {
        return Ok(Gate::read(name, message)?.map_or(Role::Other(kind, Conduct::Unknown), Role::Gate));
    }
    if kind == layer.denial() {
        return Ok(Role::Rbac(match layer {
            Layer::Network => Lock::of_connections(message)?,
            Layer::Http => Lock::of_requests(message)?,
        }));
    }
    if DYNAMIC_MODULES.iter().any(|beginning| kind.starts_with(beginning)) {
        return Ok(Role::Native(
            message
                .value()
                .is_some_and(|value| value.to_string().contains("svidgate")),
        ));
    }
    Ok(match (layer, kind) {
        (Layer::Network, CONNECTION_MANAGER) => Role::ConnectionManager(message),
        (Layer::Network, TCP_PROXY) => Role::TcpProxy(message),
        (Layer::Network, NETWORK_SET_FILTER_STATE) => Role::SetsState(keys(
            message,
            &["on_new_connection", "on_downstream_tls_handshake", "on_downstream_data"],
        )?),
        (Layer::Http, HTTP_SET_FILTER_STATE) => Role::SetsState(keys(message, &["on_request_headers"])?),
        (Layer::Http, ROUTER) => Role::Router,
        (Layer::Http, COMPOSITE) => Role::Composite,
        (Layer::Http, ON_DEMAND) => Role::OnDemand,
        (Layer::Network, _) => Role::Other(kind, network(kind)),
        (Layer::Http, _) => Role::Other(kind, http(kind)),
    })
}

/// The keys that a filter writes, as filter state has them.
pub(crate) fn keys<'v>(message: Node<'v>, lists: &[&'static str]) -> Result<Vec<&'v str>, Unread> {
    let mut keys = Vec::new();
    for list in lists {
        for item in message.member(list)?.items()? {
            keys.push(item.member("object_key")?.text()?);
        }
    }
    Ok(keys)
}
