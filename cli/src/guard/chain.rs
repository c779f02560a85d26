//! Is what comes in by one filter chain decided on?

use svidgate_policy::{Listener, Listeners};

use super::{
    door::{Behind, Door},
    filter::{Filter, Layer, Role},
    http,
    kinds::Conduct,
    leads::{Leads, leads_to, tcp_leads_to},
    lock::Lock,
    message::{Node, Unread},
    plugin::{Failure, Gate, Part},
    remark::Kind,
    snapshot::Snapshot,
    stands_on,
    tls::Transport,
};

const MEMBERS: [&str; 7] = [
    "filter_chain_match",
    "filters",
    "use_proxy_proto",
    "metadata",
    "transport_socket",
    "transport_socket_connect_timeout",
    "name",
];
const FILTER: [&str; 3] = ["name", "typed_config", "config_discovery"];
const CONNECT_MODES: [&str; 3] = ["IMMEDIATE", "ON_DOWNSTREAM_DATA", "ON_DOWNSTREAM_TLS_HANDSHAKE"];

/// Looks at a chain. `inside` says that its listener is within this Envoy.
pub(crate) fn judge(chain: Node<'_>, inside: bool, snapshot: &Snapshot<'_>, door: &mut Door) -> Result<(), Unread> {
    for name in chain.others(&MEMBERS) {
        door.note(
            Kind::UnknownMember,
            format!("the filter chain has `{name}`, which is not understood here"),
        );
    }
    let transport = Transport::read(chain, snapshot)?;
    let mut front = Front::default();
    let mut behind = None;
    for entry in chain.member("filters")?.items()? {
        for name in entry.others(&FILTER) {
            door.note(
                Kind::UnknownMember,
                format!("a network filter has `{name}`, which is not understood here"),
            );
        }
        let filter = Filter::read(entry, Layer::Network, snapshot)?;
        if let Some(end) = front.step(filter, door) {
            behind = Some(end);
            break;
        }
    }
    if let Transport::Quic = transport {
        door.note(Kind::Udp, "it is of QUIC");
    }
    let placed = front.placed();
    end(behind, &front, placed, snapshot, door)?;
    door.connection = front.gate;
    stands_on::judge(&transport, inside, front.sets_certificate, snapshot, door);
    Ok(())
}

/// What stands in front of the end of a chain.
#[derive(Default)]
struct Front {
    /// The filter of ours that decides.
    gate: Option<Gate>,
    /// Others before it, and what they answer where that is known.
    before: Vec<(String, Option<&'static str>)>,
    /// Something that may be ours.
    unknown: Option<(Kind, String)>,
    /// What stands where discovery has not brought a filter yet.
    default: Option<String>,
    locked: bool,
    denied: bool,
    sets_certificate: bool,
    /// How many filters there are.
    count: usize,
}

/// The end of a chain.
enum End<'v> {
    Manager(Node<'v>),
    Tcp(Node<'v>),
    Other(&'v str),
}

impl Front {
    fn placed(&self) -> Option<Placed> {
        self.gate.as_ref().and_then(Placed::of)
    }

    /// One filter; gives the end where it is one.
    fn step<'v>(&mut self, filter: Filter<'v>, door: &mut Door) -> Option<End<'v>> {
        self.count = self.count.saturating_add(1);
        if let Some(kind) = filter.open_default {
            let name = filter.name;
            if filter.is_default && self.gate.is_none() {
                self.default = Some(format!("until discovery brings `{name}`, a `{kind}` stands there"));
            } else if matches!(filter.role, Role::Gate(_)) {
                let text = format!("were `{name}` taken back by discovery, a `{kind}` would stand there");
                door.note(Kind::DefaultBehind, text);
            }
        }
        let decided = self.gate.is_some();
        match filter.role {
            Role::ConnectionManager(manager) => return Some(End::Manager(manager)),
            Role::TcpProxy(proxy) => return Some(End::Tcp(proxy)),
            Role::Gate(gate) => self.gate(gate, filter.matched, door),
            // What may be skipped holds nobody.
            Role::Rbac(Lock::DemandsMark) if !filter.matched => self.locked = true,
            Role::Rbac(Lock::DeniesAll) if !filter.matched => self.denied = true,
            Role::Rbac(_) => {}
            Role::SetsState(keys) => {
                self.sets_certificate |= keys.contains(&"svidgate.peer_certificate");
                if keys.iter().any(|key| key.starts_with("wasm.svidgate")) {
                    let text = format!("`{}` writes filter state that svidgate alone may write", filter.name);
                    door.note(Kind::Forged, text);
                }
            }
            Role::NotHere if !decided => {
                self.doubt(filter.name, Kind::FilterNotHere, "comes by discovery and is not here");
            }
            Role::Native(true) if !decided => self.doubt(filter.name, Kind::Native, "is a native svidgate"),
            Role::Other(_, Conduct::Answers(what)) if !decided => {
                self.before.push((filter.name.to_owned(), Some(what)))
            }
            Role::Other(kind, Conduct::Unknown) if is_end(kind) => return Some(End::Other(kind)),
            Role::Other(_, Conduct::Unknown) | Role::Native(false) if !decided => {
                self.before.push((filter.name.to_owned(), None));
            }
            Role::Other(..) | Role::NotHere | Role::Native(_) | Role::Router | Role::Composite | Role::OnDemand => {}
        }
        None
    }

    /// Something that may be ours, and may answer by itself.
    fn doubt(&mut self, name: &str, kind: Kind, what: &str) {
        self.unknown = Some((kind, format!("`{name}` {what}")));
        self.before.push((name.to_owned(), None));
    }

    fn gate(&mut self, gate: Gate, matched: bool, door: &mut Door) {
        match gate.part {
            Part::Hold => return,
            Part::Request | Part::Stray => {
                let text = format!("`{}` has a `root_id` that decides on no connection", gate.filter);
                return door.note(Kind::Misplaced, text);
            }
            Part::Connection(_) => {}
        }
        if self.gate.is_some() {
            return;
        }
        for (name, what) in self.before.drain(..) {
            match what {
                Some(what) => door.note(
                    Kind::AnswersBefore,
                    format!("`{name}` stands before svidgate and {what}"),
                ),
                None => door.note(
                    Kind::UnknownBefore,
                    format!("`{name}` stands before svidgate and may answer by itself"),
                ),
            }
        }
        if matched {
            door.note(Kind::FilterMatcher, format!("a matcher may skip `{}`", gate.filter));
        }
        self.gate = Some(gate);
    }
}

/// Filters that end a chain, by the beginnings of their types.
fn is_end(kind: &str) -> bool {
    const ENDS: [&str; 7] = [
        "direct_response.",
        "echo.",
        "redis_proxy.",
        "thrift_proxy.",
        "dubbo_proxy.",
        "generic_proxy.",
        "meta_protocol_proxy.",
    ];
    let rest = kind.strip_prefix("envoy.extensions.filters.network.").unwrap_or(kind);
    ENDS.iter().any(|end| rest.starts_with(end))
}

/// In front of what a document and the plugin's `root_id` say that it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Placed {
    At(Listener),
    /// They contradict one another, or say nothing: the module refuses that.
    Nowhere,
}

impl Placed {
    /// `None` where the document cannot be read.
    fn of(gate: &Gate) -> Option<Self> {
        let document = gate.document.as_ref().ok()?;
        let Part::Connection(said) = gate.part else { return None };
        Some(match (document.listener, said) {
            (Listeners::Only(listener), None) | (Listeners::Shared, Some(listener)) => Self::At(listener),
            (Listeners::Only(listener), Some(said)) if listener == said => Self::At(listener),
            (Listeners::Only(_), Some(_)) | (Listeners::Shared, None) => Self::Nowhere,
        })
    }
}

/// What stands at the end, with what stands in front of it.
fn end(
    behind: Option<End<'_>>,
    front: &Front,
    placed: Option<Placed>,
    snapshot: &Snapshot<'_>,
    door: &mut Door,
) -> Result<(), Unread> {
    match behind {
        None if front.count == 0 => {
            door.note(Kind::NothingBehind, "it has no filters: Envoy closes each connection");
        }
        None => without_end(front, placed, door),
        Some(End::Manager(manager)) => {
            let decided = matches!(placed, Some(Placed::At(Listener::Tcp | Listener::TcpServerFirst)));
            if front.gate.is_none() && (front.denied || front.locked) {
                door.behind = Behind::Http;
                shut(front, door);
                return Ok(());
            }
            if decided {
                bytes(front, placed, door);
            }
            http::judge(manager, decided, snapshot, door)?;
            if front.gate.is_none() {
                no_connection_filter(manager, front, snapshot, door)?;
            }
        }
        Some(End::Tcp(proxy)) => {
            door.behind = Behind::Tcp;
            tcp(proxy, front, placed, snapshot, door)?;
        }
        Some(End::Other(kind)) => {
            door.behind = Behind::Other(kind.to_owned());
            bytes(front, placed, door);
            if front.gate.is_some() && placed == Some(Placed::At(Listener::Http)) {
                let text = "the document is for requests, and there are none: whoever has any rule may do anything";
                door.note(Kind::NoRequestsBehind, text);
            }
        }
    }
    if placed == Some(Placed::Nowhere) {
        door.note(
            Kind::BadDocument,
            "`listener` of the document and `root_id` do not agree: Envoy refuses the filter",
        );
    }
    Ok(())
}

/// The last filter is one whose end is not known.
fn without_end(front: &Front, placed: Option<Placed>, door: &mut Door) {
    bytes(front, placed, door);
    if placed == Some(Placed::At(Listener::Http)) {
        door.note(
            Kind::UnknownBefore,
            "what ends the chain is not known here, and the document is for requests",
        );
    }
}

fn shut(front: &Front, door: &mut Door) {
    if front.denied {
        door.note(
            Kind::DenyInstead,
            "nobody gets through: RBAC without a policy stands there",
        );
    } else {
        door.note(
            Kind::ShutByLock,
            "svidgate does not stand here, and the lock lets nobody through",
        );
    }
}

fn no_gate(front: &Front, door: &mut Door) {
    if let Some(text) = &front.default {
        return door.note(Kind::DefaultIsOpen, text.clone());
    }
    match &front.unknown {
        Some((kind, text)) => door.note(*kind, text.clone()),
        None => door.note(Kind::NoGate, "no filter of svidgate stands in the chain"),
    }
}

/// Requests come in on connections that no filter of ours has looked at.
fn no_connection_filter(
    manager: Node<'_>,
    front: &Front,
    snapshot: &Snapshot<'_>,
    door: &mut Door,
) -> Result<(), Unread> {
    if door.requests.is_empty() {
        // It may be no door by itself, but the way to one.
        if let Some(text) = leads_to(manager, snapshot)? {
            door.remarks.retain(|remark| remark.kind != Kind::NoRequestFilter);
            door.note(Kind::LeadsInside, text);
        } else if let Some((kind, text)) = &front.unknown {
            door.note(*kind, text.clone());
        }
        return Ok(());
    }
    match &front.unknown {
        Some((kind, text)) => door.note(*kind, text.clone()),
        None => door.note(Kind::NoConnectionFilter, "no `svidgate.connection` stands in the chain"),
    }
    Ok(())
}

/// A chain of bytes: the network filter decides, or nobody.
fn bytes(front: &Front, placed: Option<Placed>, door: &mut Door) {
    door.lock = front.locked;
    let Some(gate) = &front.gate else {
        if front.denied || front.locked {
            return shut(front, door);
        }
        return no_gate(front, door);
    };
    if gate.failure == Failure::Open && !front.locked {
        door.note(
            Kind::FailsOpen,
            "without its VM or its code, everybody passes (`FAIL_OPEN`)",
        );
    }
    let Ok(document) = &gate.document else { return };
    if document.dry_run {
        door.note(Kind::DryRun, "the document blocks nothing (`mode: dry_run`)");
    }
    if front.locked && !document.records_all {
        door.note(
            Kind::LockAndMark,
            "the lock asks for a record, and the document leaves none of what it allows: nobody gets through",
        );
    }
    if let Some(Placed::At(listener)) = placed
        && front.locked
        && listener == Listener::TcpServerFirst
    {
        door.note(Kind::LockAndMark, "the lock does not see what a server says first");
    }
}

fn tcp(
    proxy: Node<'_>,
    front: &Front,
    placed: Option<Placed>,
    snapshot: &Snapshot<'_>,
    door: &mut Door,
) -> Result<(), Unread> {
    let bare = front.gate.is_none() && front.unknown.is_none() && front.default.is_none();
    if bare
        && !front.locked
        && !front.denied
        && let Some(found) = tcp_leads_to(proxy, snapshot)?
    {
        match found {
            Leads::Nowhere(text) => door.note(Kind::NothingBehind, text),
            Leads::Inside(text) => door.note(Kind::LeadsInside, text),
        }
        return Ok(());
    }
    let mode = proxy.member("upstream_connect_mode")?.choice(&CONNECT_MODES)?;
    if front.gate.is_none() && (front.denied || front.locked) && mode != "ON_DOWNSTREAM_DATA" {
        // RBAC is asked about what the peer sends, and a server that speaks first is dialled before.
        let text = format!(
            "no filter of svidgate stands in the chain, and RBAC does not see what a server says first ({mode})"
        );
        door.note(Kind::NoGate, text);
        return Ok(());
    }
    bytes(front, placed, door);
    match placed {
        Some(Placed::At(Listener::Http)) => {
            door.note(
                Kind::ClosesAll,
                "the document is for HTTP, and a TCP proxy stands behind: each connection is closed",
            );
        }
        Some(Placed::At(Listener::Tcp)) if mode != "ON_DOWNSTREAM_DATA" => {
            door.note(
                Kind::DialsEarly,
                format!("the TCP proxy dials in the mode {mode}: nobody gets through"),
            );
        }
        Some(Placed::At(Listener::TcpServerFirst)) if mode != "ON_DOWNSTREAM_TLS_HANDSHAKE" => {
            door.note(
                Kind::DialsEarly,
                format!("the TCP proxy dials in the mode {mode}: nobody gets through"),
            );
        }
        Some(Placed::At(Listener::Tcp | Listener::TcpServerFirst) | Placed::Nowhere) | None => {}
    }
    Ok(())
}
