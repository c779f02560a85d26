//! Configurations in the shape in which Envoys and control planes have them, as small as they can be.

use serde_json::{Value, json};
use svidgate_cli::guard::{
    door::Door,
    remark::{Kind, Verdict},
    report::{Report, Scope},
};

/// `type.googleapis.com/` before a type.
pub(crate) fn typed(kind: &str, mut message: Value) -> Value {
    message["@type"] = json!(format!("type.googleapis.com/{kind}"));
    message
}

/// A filter with its configuration.
pub(crate) fn filter(name: &str, kind: &str, message: Value) -> Value {
    json!({ "name": name, "typed_config": typed(kind, message) })
}

/// Which document: with a version, for requests, with a mark for the lock.
pub(crate) fn document() -> Value {
    json!({ "version": "1", "trust_domain": "prod.example", "bundle": { "inline": { "keys": [] } }, "mark_passed": true,
        "rules": [{ "name": "api-reads-orders", "effect": "allow", "from": ["spiffe://prod.example/ns/shop/sa/api"],
            "to": [{ "methods": ["GET"], "paths": ["/orders/**"] }] }] })
}

/// A document for connections alone.
pub(crate) fn tcp_document() -> Value {
    json!({ "version": "1", "trust_domain": "prod.example", "bundle": { "inline": { "keys": [] } }, "listener": "tcp",
        "rules": [{ "name": "api-reaches-the-ledger", "effect": "allow", "from": ["spiffe://prod.example/ns/shop/sa/api"],
            "to": [{ "ports": [9090] }] }] })
}

/// The plugin of one of our filters.
pub(crate) fn plugin(root: &str, document: &Value) -> Value {
    json!({ "config": { "name": root, "root_id": root, "failure_policy": "FAIL_RELOAD",
        "vm_config": { "vm_id": "svidgate", "runtime": "envoy.wasm.runtime.v8", "code": { "local": { "filename": "/svidgate.wasm" } } },
        "configuration": typed("google.protobuf.StringValue", json!({ "value": document.to_string() })) } })
}

pub(crate) const NETWORK: &str = "envoy.extensions.filters.network.wasm.v3.Wasm";
pub(crate) const HTTP: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";

pub(crate) fn connection(document: &Value) -> Value {
    filter("svidgate.connection", NETWORK, plugin("svidgate.connection", document))
}

pub(crate) fn request(document: &Value) -> Value {
    filter("svidgate.request", HTTP, plugin("svidgate.request", document))
}

pub(crate) fn router() -> Value {
    filter(
        "envoy.filters.http.router",
        "envoy.extensions.filters.http.router.v3.Router",
        json!({}),
    )
}

/// Envoy's RBAC, which asks for the mark.
pub(crate) fn lock() -> Value {
    let principal = json!({ "filter_state": { "key": "wasm.svidgate.passed", "string_match": { "safe_regex": { "regex": ".+" } } } });
    let policy = json!({ "permissions": [{ "any": true }], "principals": [principal] });
    filter(
        "svidgate.lock",
        "envoy.extensions.filters.http.rbac.v3.RBAC",
        json!({ "rules": { "policies": { "svidgate-has-decided": policy } } }),
    )
}

/// Envoy's RBAC in front of TCP, which asks for the record.
pub(crate) fn tcp_lock() -> Value {
    let regex = r#".*("decision":"allow"|"dry_run":true).*"#;
    let principal =
        json!({ "filter_state": { "key": "wasm.svidgate", "string_match": { "safe_regex": { "regex": regex } } } });
    let policy = json!({ "permissions": [{ "any": true }], "principals": [principal] });
    filter(
        "svidgate.lock",
        "envoy.extensions.filters.network.rbac.v3.RBAC",
        json!({ "rules": { "policies": { "svidgate-has-decided": policy } } }),
    )
}

/// One route to the application, with what it says of filters.
pub(crate) fn routes(name: &str, per_filter: &Value) -> Value {
    let mut route = json!({ "name": "app", "match": { "prefix": "/" }, "route": { "cluster": "app" } });
    if !per_filter.is_null() {
        route["typed_per_filter_config"] = per_filter.clone();
    }
    json!({ "name": name, "virtual_hosts": [{ "name": "app", "domains": ["*"], "routes": [route] }] })
}

pub(crate) const MANAGER: &str = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

/// A connection manager with its routes in it.
pub(crate) fn manager(filters: &[Value], routes: Value) -> Value {
    filter(
        "envoy.filters.network.http_connection_manager",
        MANAGER,
        json!({ "stat_prefix": "in", "route_config": routes, "http_filters": filters }),
    )
}

/// A connection manager whose routes come by RDS.
pub(crate) fn manager_by_rds(filters: &[Value], name: &str) -> Value {
    let rds = json!({ "route_config_name": name, "config_source": { "ads": {}, "resource_api_version": "V3" } });
    filter(
        "envoy.filters.network.http_connection_manager",
        MANAGER,
        json!({ "stat_prefix": "in", "rds": rds, "http_filters": filters }),
    )
}

/// A TCP proxy that dials with the first bytes.
pub(crate) fn tcp_proxy(cluster: &str) -> Value {
    filter(
        "envoy.filters.network.tcp_proxy",
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        json!({ "stat_prefix": "tcp", "cluster": cluster, "upstream_connect_mode": "ON_DOWNSTREAM_DATA", "max_early_data_bytes": 65536 }),
    )
}

/// TLS that demands a certificate and trusts any.
pub(crate) fn mtls() -> Value {
    filter(
        "envoy.transport_sockets.tls",
        "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        json!({ "require_client_certificate": true,
            "common_tls_context": { "validation_context": { "trust_chain_verification": "ACCEPT_UNTRUSTED" } } }),
    )
}

/// A filter chain with TLS.
pub(crate) fn chain(name: &str, filters: &[Value]) -> Value {
    json!({ "name": name, "filters": filters, "transport_socket": mtls() })
}

pub(crate) fn listener(name: &str, chains: &[Value]) -> Value {
    typed(
        "envoy.config.listener.v3.Listener",
        json!({ "name": name, "filter_chains": chains,
        "address": { "socket_address": { "address": "0.0.0.0", "port_value": 8443 } } }),
    )
}

/// A dump with these listeners, as a control plane's Envoy has it.
pub(crate) fn dump(listeners: &[Value]) -> Value {
    let dynamic: Vec<_> = listeners
        .iter()
        .map(|listener| json!({ "name": listener["name"], "active_state": { "version_info": "1", "listener": listener } }))
        .collect();
    json!({ "configs": [
        typed("envoy.admin.v3.ListenersConfigDump", json!({ "version_info": "1", "dynamic_listeners": dynamic })),
    ] })
}

/// The dump, with one more section.
pub(crate) fn with(mut dump: Value, kind: &str, section: Value) -> Value {
    dump["configs"]
        .as_array_mut()
        .unwrap()
        .push(typed(&format!("envoy.admin.v3.{kind}"), section));
    dump
}

pub(crate) fn with_routes(dump: Value, routes: &Value) -> Value {
    with(
        dump,
        "RoutesConfigDump",
        json!({ "dynamic_route_configs": [{ "version_info": "1", "route_config": routes }] }),
    )
}

/// A filter that discovery has brought.
pub(crate) fn with_filter(dump: Value, name: &str, typed_config: &Value) -> Value {
    let found = typed(
        "envoy.config.core.v3.TypedExtensionConfig",
        json!({ "name": name, "typed_config": typed_config }),
    );
    with(
        dump,
        "EcdsConfigDump",
        json!({ "ecds_filters": [{ "version_info": "1", "ecds_filter": found }] }),
    )
}

/// A filter that comes by discovery.
pub(crate) fn discovered(name: &str, kind: &str) -> Value {
    json!({ "name": name, "config_discovery": { "config_source": { "ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3" },
        "type_urls": [format!("type.googleapis.com/{kind}"), "type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC",
            "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"] } })
}

pub(crate) fn judged(configuration: &Value) -> Report {
    Report::of(configuration, Scope::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// The only door.
pub(crate) fn only(configuration: &Value) -> Door {
    let mut report = judged(configuration);
    assert_eq!(report.doors.len(), 1, "{report:#?}");
    report.doors.remove(0)
}

pub(crate) fn codes(door: &Door) -> Vec<Kind> {
    let mut codes: Vec<_> = door.remarks.iter().map(|remark| remark.kind).collect();
    codes.dedup();
    codes
}

/// The verdict on the only door, and that this is why.
#[track_caller]
pub(crate) fn assert_door(configuration: &Value, verdict: Verdict, because: &[Kind]) {
    let door = only(configuration);
    assert_eq!(door.verdict(), verdict, "{:#?}", door.remarks);
    for code in because {
        assert!(codes(&door).contains(code), "{code:?} is not among {:#?}", door.remarks);
    }
}
