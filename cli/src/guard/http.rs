//! Is each request that a connection manager takes decided on?
//!
//! For each list of filters that a request may go through (that of the connection manager, those of upgrades with a list of
//! their own) and each route, what is switched on there is looked at from the front to the router.

use super::{
    door::{Behind, Door, Reading},
    filter::{Filter, Layer, Role},
    message::{Node, Unread},
    plugin::{Gate, Part},
    remark::Kind,
    requests::Findings,
    routes::{RouteAt, Routes},
    snapshot::Snapshot,
};

/// What has no influence on which filters a request goes through, or is looked at.
const MEMBERS: [&str; 54] = [
    "codec_type",
    "stat_prefix",
    "rds",
    "route_config",
    "scoped_routes",
    "http_filters",
    "add_user_agent",
    "tracing",
    "common_http_protocol_options",
    "http1_safe_max_connection_duration",
    "http_protocol_options",
    "http2_protocol_options",
    "http3_protocol_options",
    "server_name",
    "server_header_transformation",
    "scheme_header_transformation",
    "max_request_headers_kb",
    "stream_idle_timeout",
    "stream_flush_timeout",
    "request_timeout",
    "request_headers_timeout",
    "drain_timeout",
    "drain_timeout_jitter",
    "delayed_close_timeout",
    "access_log",
    "access_log_flush_interval",
    "flush_access_log_on_new_request",
    "access_log_options",
    "use_remote_address",
    "xff_num_trusted_hops",
    "original_ip_detection_extensions",
    "internal_address_config",
    "skip_xff_append",
    "via",
    "generate_request_id",
    "preserve_external_request_id",
    "always_set_request_id_in_response",
    "forward_client_cert_details",
    "set_current_client_cert_details",
    "proxy_100_continue",
    "represent_ipv4_remote_address_as_ipv4_mapped_ipv6",
    "upgrade_configs",
    "normalize_path",
    "merge_slashes",
    "path_with_escaped_slashes_action",
    "request_id_extension",
    "local_reply_config",
    "strip_matching_host_port",
    "strip_any_host_port",
    "stream_error_on_invalid_http_message",
    "path_normalization_options",
    "strip_trailing_host_dot",
    "proxy_status_config",
    "append_x_forwarded_port",
];
/// Members that came later, and are about headers towards the upstream or about what is malformed.
const LATER: [&str; 6] = [
    "early_header_mutation_extensions",
    "typed_header_validation_config",
    "append_local_overload",
    "add_proxy_protocol_connection_state",
    "forward_proto_config",
    "forward_client_cert_matcher",
];

const XFCC: [&str; 5] = [
    "SANITIZE",
    "FORWARD_ONLY",
    "APPEND_FORWARD",
    "SANITIZE_SET",
    "ALWAYS_FORWARD_ONLY",
];
const ESCAPED_SLASHES: [&str; 5] = [
    "IMPLEMENTATION_SPECIFIC_DEFAULT",
    "KEEP_UNCHANGED",
    "REJECT_REQUEST",
    "UNESCAPE_AND_REDIRECT",
    "UNESCAPE_AND_FORWARD",
];

/// Looks at a connection manager. `decided` says that the network filter has decided, and no request is to be.
pub(crate) fn judge(manager: Node<'_>, decided: bool, snapshot: &Snapshot<'_>, door: &mut Door) -> Result<(), Unread> {
    door.behind = Behind::Http;
    let known: Vec<_> = MEMBERS.iter().chain(&LATER).copied().collect();
    for name in manager.others(&known) {
        door.note(
            Kind::UnknownMember,
            format!("the connection manager has `{name}`, which is not understood here"),
        );
    }
    door.reading = Some(Reading {
        xfcc: manager.member("forward_client_cert_details")?.choice(&XFCC)?,
        normalize_path: manager.member("normalize_path")?.yes()?,
        merge_slashes: manager.member("merge_slashes")?.is_true()?,
        escaped_slashes: manager
            .member("path_with_escaped_slashes_action")?
            .choice(&ESCAPED_SLASHES)?,
    });
    let routes = routes(manager, snapshot, door)?;
    let filters = filters(manager.member("http_filters")?, snapshot)?;
    door.requests = filters.iter().filter_map(gate).cloned().collect();
    let mut findings = Findings::default();
    findings.judge("", &filters, routes.as_deref(), decided);
    for upgrade in manager.member("upgrade_configs")?.items()? {
        let own = self::filters(upgrade.member("filters")?, snapshot)?;
        if !own.is_empty() {
            let place = format!("upgrade to `{}`", upgrade.member("upgrade_type")?.text()?);
            findings.judge(&place, &own, routes.as_deref(), decided);
        }
    }
    findings.tell(door);
    Ok(())
}

fn gate<'f>(filter: &'f Filter<'_>) -> Option<&'f Gate> {
    let Role::Gate(gate) = &filter.role else { return None };
    (gate.part == Part::Request).then_some(gate)
}

fn filters<'v>(list: Node<'v>, snapshot: &Snapshot<'v>) -> Result<Vec<Filter<'v>>, Unread> {
    list.items()?
        .into_iter()
        .map(|filter| Filter::read(filter, Layer::Http, snapshot))
        .collect()
}

/// All routes; `None` where they cannot be had, which is said.
fn routes<'v>(manager: Node<'v>, snapshot: &Snapshot<'v>, door: &mut Door) -> Result<Option<Vec<RouteAt<'v>>>, Unread> {
    let rds = manager.member("rds")?;
    let found = if rds.is_there() {
        let name = rds.member("route_config_name")?.text()?;
        let found = snapshot.route_configurations(name)?;
        if found.is_empty() {
            door.note(
                Kind::RoutesNotHere,
                format!("its routes `{name}` come by discovery (RDS) and are not here"),
            );
            return Ok(None);
        }
        found
    } else if manager.member("scoped_routes")?.is_there() {
        door.note(
            Kind::RoutesOnDemand,
            "its routes are scoped: each request chooses its own (`scoped_routes`)",
        );
        return Ok(None);
    } else {
        vec![manager.member("route_config")?]
    };
    let mut all = Vec::new();
    for configuration in found {
        let routes = Routes::read(configuration)?;
        door.remarks.extend(routes.remarks);
        all.extend(routes.all);
    }
    door.routes = Some(all.len());
    Ok(Some(all))
}
