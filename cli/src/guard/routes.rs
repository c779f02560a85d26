//! Which requests does a route configuration tell apart, and what do they switch?
//!
//! What stands nearest to the request counts: the cluster of a weighted route, the route, its virtual host, the whole.

use super::{
    kinds::FILTER_CONFIG,
    message::{Node, Typed, Unread},
    remark::{Kind, Remark},
};

/// What a route says of a filter.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Override<'v> {
    /// Nothing.
    None,
    /// It is off.
    Off,
    /// It is on, as it is.
    On,
    /// It is on, with this.
    With(Typed<'v>),
}

/// A route, or one cluster of it.
#[derive(Clone, Debug)]
pub(crate) struct RouteAt<'v> {
    /// In words.
    pub(crate) place: String,
    /// What it and what it stands in say of filters, the nearest first.
    levels: Vec<Node<'v>>,
}

/// A route configuration, taken apart.
#[derive(Debug, Default)]
pub(crate) struct Routes<'v> {
    pub(crate) all: Vec<RouteAt<'v>>,
    /// What cannot be told of the whole.
    pub(crate) remarks: Vec<Remark>,
}

const CONFIGURATION: [&str; 17] = [
    "name",
    "virtual_hosts",
    "internal_only_headers",
    "response_headers_to_add",
    "response_headers_to_remove",
    "request_headers_to_add",
    "request_headers_to_remove",
    "most_specific_header_mutations_wins",
    "validate_clusters",
    "max_direct_response_body_size_bytes",
    "cluster_specifier_plugins",
    "request_mirror_policies",
    "ignore_port_in_host_matching",
    "vhost_header",
    "ignore_path_parameters_in_path_matching",
    "typed_per_filter_config",
    "metadata",
];
const VIRTUAL_HOST: [&str; 20] = [
    "name",
    "domains",
    "routes",
    "require_tls",
    "virtual_clusters",
    "rate_limits",
    "request_headers_to_add",
    "request_headers_to_remove",
    "response_headers_to_add",
    "response_headers_to_remove",
    "cors",
    "typed_per_filter_config",
    "include_request_attempt_count",
    "include_attempt_count_in_response",
    "retry_policy",
    "hedge_policy",
    "include_is_timeout_retry_header",
    "per_request_buffer_limit_bytes",
    "request_mirror_policies",
    "metadata",
];
const ROUTE: [&str; 17] = [
    "name",
    "match",
    "route",
    "redirect",
    "direct_response",
    "non_forwarding_action",
    "metadata",
    "decorator",
    "typed_per_filter_config",
    "request_headers_to_add",
    "request_headers_to_remove",
    "response_headers_to_add",
    "response_headers_to_remove",
    "tracing",
    "per_request_buffer_limit_bytes",
    "stat_prefix",
    "request_body_buffer_limit",
];
/// Members of virtual hosts that are about retries and buffers alone, and came later.
const LATER: [&str; 2] = ["retry_policy_typed_config", "request_body_buffer_limit"];

impl<'v> Routes<'v> {
    /// Takes a route configuration apart.
    pub(crate) fn read(configuration: Node<'v>) -> Result<Self, Unread> {
        let mut routes = Self::default();
        routes.unknown("the route configuration", configuration, &CONFIGURATION);
        if configuration.member("vhds")?.is_there() {
            let text = "virtual hosts are found while a request is under way (`vhds`)";
            routes.remarks.push(Remark::new(Kind::RoutesOnDemand, text));
        }
        let whole = configuration.member("typed_per_filter_config")?;
        for host in configuration.member("virtual_hosts")?.items()? {
            let name = host.member("name")?.text()?;
            let known: Vec<_> = VIRTUAL_HOST.iter().chain(&LATER).copied().collect();
            routes.unknown(&format!("virtual host `{name}`"), host, &known);
            let of_host = host.member("typed_per_filter_config")?;
            for (index, route) in host.member("routes")?.items()?.into_iter().enumerate() {
                routes.take(name, index, route, [of_host, whole])?;
            }
        }
        Ok(routes)
    }

    fn take(&mut self, host: &str, index: usize, route: Node<'v>, above: [Node<'v>; 2]) -> Result<(), Unread> {
        let name = route.member("name")?.text()?;
        let place = if name.is_empty() {
            format!("route {} of `{host}`", index.saturating_add(1))
        } else {
            format!("route `{name}` of `{host}`")
        };
        self.unknown(&place, route, &ROUTE);
        let of_route = [route.member("typed_per_filter_config")?];
        let levels = |first: &[Node<'v>]| {
            first
                .iter()
                .chain(&above)
                .copied()
                .filter(|node| node.is_there())
                .collect()
        };
        for cluster in route.path(&["route", "weighted_clusters", "clusters"])?.items()? {
            let own = cluster.member("typed_per_filter_config")?;
            if own.is_there() {
                let name = cluster.member("name")?.text()?;
                let [of_route] = of_route;
                self.all.push(RouteAt {
                    place: format!("{place}, cluster `{name}`"),
                    levels: levels(&[own, of_route]),
                });
            }
        }
        self.all.push(RouteAt {
            place,
            levels: levels(&of_route),
        });
        Ok(())
    }

    fn unknown(&mut self, place: &str, node: Node<'v>, known: &[&str]) {
        for name in node.others(known) {
            let text = format!("{place} has `{name}`, which is not understood here");
            let kind = match name {
                "matcher" | "filter_action" | "filterAction" | "route_specifiers" | "routeSpecifiers" => {
                    Kind::FilterAction
                }
                "vhds" => continue,
                _ => Kind::UnknownMember,
            };
            self.remarks.push(Remark::new(kind, text));
        }
    }
}

impl<'v> RouteAt<'v> {
    /// Where no route says anything.
    pub(crate) fn of_nothing(place: &str) -> Self {
        Self {
            place: place.to_owned(),
            levels: Vec::new(),
        }
    }

    /// What it says of the filter of a name. An error where that cannot be read.
    pub(crate) fn of(&self, filter: &str) -> Result<Override<'v>, String> {
        for level in &self.levels {
            let entries = level.entries().map_err(|error| error.to_string())?;
            if let Some((_, found)) = entries.into_iter().find(|(name, _)| *name == filter) {
                return read(found);
            }
        }
        Ok(Override::None)
    }

    /// The filters that it switches on.
    pub(crate) fn switched_on(&self) -> Vec<&'v str> {
        let entries = self.levels.iter().filter_map(|level| level.entries().ok()).flatten();
        entries
            .filter(|(_, found)| matches!(read(*found), Ok(Override::On)))
            .map(|(name, _)| name)
            .collect()
    }
}

fn read(found: Node<'_>) -> Result<Override<'_>, String> {
    let text = |error: Unread| error.to_string();
    let Some(typed) = found.typed().map_err(text)? else {
        return Err("it is empty".to_owned());
    };
    if typed.kind != FILTER_CONFIG {
        return Ok(Override::With(typed));
    }
    if let Some(name) = typed.message.others(&["config", "is_optional", "disabled"]).first() {
        return Err(format!("it has `{name}`, which is not understood here"));
    }
    if typed.message.member("disabled").and_then(Node::is_true).map_err(text)? {
        return Ok(Override::Off);
    }
    let config = typed.message.member("config").map_err(text)?;
    match config.value().and_then(serde_json::Value::as_object) {
        None => Err("it has no `config`".to_owned()),
        Some(members) if members.is_empty() => Ok(Override::On),
        Some(_) => Ok(config.typed().map_err(text)?.map_or(Override::On, Override::With)),
    }
}
