//! Which doors does a listener have, and what stands in the way of telling?

use super::{
    chain,
    door::Door,
    message::{Node, Unread},
    remark::{Kind, Remark},
    snapshot::{Listening, Snapshot, State},
};

/// What has no influence on which chain a connection takes, or is looked at.
const MEMBERS: [&str; 36] = [
    "name",
    "address",
    "additional_addresses",
    "stat_prefix",
    "stats_matcher",
    "filter_chains",
    "filter_chain_matcher",
    "use_original_dst",
    "default_filter_chain",
    "per_connection_buffer_limit_bytes",
    "per_connection_buffer_high_watermark_timeout",
    "metadata",
    "deprecated_v1",
    "drain_type",
    "listener_filters",
    "listener_filters_timeout",
    "continue_on_listener_filters_timeout",
    "transparent",
    "freebind",
    "socket_options",
    "tcp_fast_open_queue_length",
    "traffic_direction",
    "udp_listener_config",
    "api_listener",
    "connection_balance_config",
    "reuse_port",
    "enable_reuse_port",
    "access_log",
    "tcp_backlog_size",
    "max_connections_to_accept_per_socket_event",
    "bind_to_port",
    "internal_listener",
    "enable_mptcp",
    "ignore_global_conn_limit",
    "bypass_overload_manager",
    "tcp_keepalive",
];
const DIRECTIONS: [&str; 3] = ["UNSPECIFIED", "INBOUND", "OUTBOUND"];

/// Whether a listener is for what goes out, as whoever wrote it says.
pub(crate) fn is_outbound(listener: Node<'_>) -> Result<bool, Unread> {
    Ok(listener.member("traffic_direction")?.choice(&DIRECTIONS)? == "OUTBOUND")
}

/// All doors of a listener: one for each chain, and one for the default.
pub(crate) fn doors(listening: Listening<'_>, snapshot: &Snapshot<'_>) -> Vec<Door> {
    let blank = Door {
        listener: listening.name.to_owned(),
        ..Door::default()
    };
    match read(listening, snapshot, &blank) {
        Ok(doors) => doors,
        Err(error) => {
            let mut door = blank;
            door.note(Kind::Unreadable, format!("the listener cannot be read: {error}"));
            vec![door]
        }
    }
}

fn read(listening: Listening<'_>, snapshot: &Snapshot<'_>, blank: &Door) -> Result<Vec<Door>, Unread> {
    let listener = listening.listener;
    let inside = listener.member("internal_listener")?.is_there();
    let mut blank = blank.clone();
    blank.address = address(listener)?;
    blank.remarks = of_the_whole(listening)?;
    let mut chains = Vec::new();
    for (index, chain) in listener.member("filter_chains")?.items()?.into_iter().enumerate() {
        let name = chain.member("name")?.text()?;
        chains.push((label(name, index.saturating_add(1), chain)?, chain));
    }
    let default = listener.member("default_filter_chain")?;
    if default.is_there() {
        chains.push(("the default chain".to_owned(), default));
    }
    if chains.is_empty() {
        blank.chain = "no chain".to_owned();
        if !blank
            .remarks
            .iter()
            .any(|remark| [Kind::Udp, Kind::Api].contains(&remark.kind))
        {
            blank.note(
                Kind::NothingBehind,
                "it has no filter chain: Envoy closes each connection",
            );
        }
        return Ok(vec![blank]);
    }
    Ok(chains
        .into_iter()
        .map(|(label, chain)| {
            let mut door = Door {
                chain: label,
                ..blank.clone()
            };
            if let Err(error) = chain::judge(chain, inside, snapshot, &mut door) {
                door.note(Kind::Unreadable, format!("the chain cannot be read: {error}"));
            }
            door
        })
        .collect())
}

/// What holds for all of its chains.
fn of_the_whole(listening: Listening<'_>) -> Result<Vec<Remark>, Unread> {
    let listener = listening.listener;
    let mut remarks = Vec::new();
    for name in listener.others(&MEMBERS) {
        remarks.push(Remark::new(
            Kind::UnknownMember,
            format!("the listener has `{name}`, which is not understood here"),
        ));
    }
    let protocol = listener
        .path(&["address", "socket_address", "protocol"])?
        .choice(&["TCP", "UDP"])?;
    let of_presence = [
        (
            "internal_listener",
            Kind::Internal,
            "it is within this Envoy: another listener leads to it",
        ),
        (
            "api_listener",
            Kind::Api,
            "it is an `api_listener`, which the program around Envoy uses",
        ),
        ("udp_listener_config", Kind::Udp, "it takes datagrams"),
        (
            "filter_chain_matcher",
            Kind::ChainMatcher,
            "its chains are chosen by a matcher (`filter_chain_matcher`)",
        ),
    ];
    for (member, kind, text) in of_presence {
        if listener.member(member)?.is_there() {
            remarks.push(Remark::new(kind, text));
        }
    }
    if protocol == "UDP" && !listener.member("udp_listener_config")?.is_there() {
        remarks.push(Remark::new(Kind::Udp, "it takes datagrams"));
    }
    match listening.state {
        State::Active => {}
        State::Warming => remarks.push(Remark::new(
            Kind::OtherState,
            "this version of it warms: it does not listen yet",
        )),
        State::Draining => remarks.push(Remark::new(
            Kind::OtherState,
            "this version of it drains: what is open goes on",
        )),
    }
    Ok(remarks)
}

/// A chain's name, or its number, with what it is for.
fn label(name: &str, number: usize, chain: Node<'_>) -> Result<String, Unread> {
    let matches = chain.member("filter_chain_match")?;
    let mut parts = vec![if name.is_empty() {
        format!("chain {number}")
    } else {
        name.to_owned()
    }];
    if let Some(port) = matches.member("destination_port")?.number()? {
        parts.push(format!("port {port}"));
    }
    for (member, word) in [("server_names", "sni"), ("application_protocols", "alpn")] {
        let names: Vec<_> = matches
            .member(member)?
            .items()?
            .into_iter()
            .map(Node::text)
            .collect::<Result<_, _>>()?;
        if !names.is_empty() {
            parts.push(format!("{word} {}", names.join(" ")));
        }
    }
    let transport = matches.member("transport_protocol")?.text()?;
    if !transport.is_empty() {
        parts.push(transport.to_owned());
    }
    Ok(parts.join(", "))
}

fn address(listener: Node<'_>) -> Result<String, Unread> {
    if listener.member("internal_listener")?.is_there() {
        return Ok("within this Envoy".to_owned());
    }
    written(listener.member("address")?)
}

/// An address as people write it.
pub(crate) fn written(address: Node<'_>) -> Result<String, Unread> {
    let pipe = address.path(&["pipe", "path"])?.text()?;
    if !pipe.is_empty() {
        return Ok(pipe.to_owned());
    }
    let socket = address.member("socket_address")?;
    let host = socket.member("address")?.text()?;
    let port = socket.member("port_value")?.number()?.unwrap_or(0);
    Ok(if host.is_empty() {
        String::new()
    } else if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    })
}
