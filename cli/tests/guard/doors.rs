//! Each way that a control plane was seen to leave a door open, or shut: `tests/peers/seen.md`, docs/listener.md.
//!
//! The configurations have the shape in which Istio's and Envoy Gateway's proxies had them, and as little else as can be.

use serde_json::{Value, json};
use svidgate_cli::guard::remark::{Kind, Verdict};

use crate::shapes::*;

/// What Envoy Gateway calls the filter of an EnvoyExtensionPolicy.
const EXTENSION: &str = "envoy.filters.http.wasm/envoyextensionpolicy/edge/svidgate/wasm/0";
const RENAMED: &str = "envoy.filters.http.wasm/envoyextensionpolicy/edge/other/wasm/0";

/// It stands on the listener, switched off.
fn extension(name: &str, changed: impl FnOnce(&mut Value)) -> Value {
    let mut filter = filter(name, HTTP, plugin("svidgate.request", &document()));
    filter["disabled"] = json!(true);
    changed(&mut filter);
    filter
}

/// A route switches a filter on by its name.
fn switches_on(name: &str) -> Value {
    json!({ name: typed("envoy.config.route.v3.FilterConfig", json!({ "config": {} })) })
}

fn switches_off(name: &str) -> Value {
    json!({ name: typed("envoy.config.route.v3.FilterConfig", json!({ "disabled": true })) })
}

/// A gateway with these HTTP filters, whose one route says this of filters.
fn gateway(filters: &[Value], per_filter: &Value) -> Value {
    let chain = chain("edge/edge/https", &[manager_by_rds(filters, "edge/edge/https")]);
    with_routes(
        dump(&[listener("edge/edge/https", &[chain])]),
        &routes("edge/edge/https", per_filter),
    )
}

/// Envoy Gateway's SecurityPolicy with an expression of CEL, as a route has it.
fn security_policy(expression_in: &str) -> Value {
    let action = |action: Value| json!({ "action": { "name": "x", "typed_config": typed("envoy.config.rbac.v3.Action", action) } });
    let parsed = json!({ "expr": { "id": "2", "call_expr": { "function": "@in", "args": [
        { "id": "1", "const_expr": { "string_value": expression_in } }, { "id": "3", "ident_expr": { "name": "filter_state" } } ] } } });
    let cel = typed(
        "xds.type.matcher.v3.CelMatcher",
        json!({ "expr_match": { "cel_expr_parsed": parsed } }),
    );
    let predicate = json!({ "single_predicate": { "input": { "name": "cel", "typed_config": typed("xds.type.matcher.v3.HttpAttributesCelMatchInput", json!({})) },
        "custom_match": { "name": "cel_matcher", "typed_config": cel } } });
    let rbac = json!({ "matcher": { "matcher_list": { "matchers": [{ "predicate": predicate, "on_match": action(json!({ "name": "allow" })) }] },
        "on_no_match": action(json!({ "name": "DENY", "action": "DENY" })) } });
    typed(
        "envoy.extensions.filters.http.rbac.v3.RBACPerRoute",
        json!({ "rbac": rbac }),
    )
}

fn rbac_of_the_gateway() -> Value {
    filter(
        "envoy.filters.http.rbac",
        "envoy.extensions.filters.http.rbac.v3.RBAC",
        json!({}),
    )
}

#[test]
fn extension_that_each_route_switches_on_is_guarded() {
    let filters = [extension(EXTENSION, |_| ()), router()];
    assert_door(
        &gateway(&filters, &switches_on(EXTENSION)),
        Verdict::Guarded,
        &[Kind::NoConnectionFilter],
    );
}

/// First attached, or renamed, with a document that Envoy refuses: the old listener, and the new routes.
#[test]
fn route_that_switches_on_what_is_not_there_is_open() {
    let first = gateway(&[router()], &switches_on(EXTENSION));
    assert_door(&first, Verdict::Open, &[Kind::NoRequestFilter, Kind::NoSuchFilter]);
    let renamed = gateway(&[extension(EXTENSION, |_| ()), router()], &switches_on(RENAMED));
    assert_door(&renamed, Verdict::Open, &[Kind::NotSwitchedOn, Kind::NoSuchFilter]);
}

/// The locks of `envoy/mesh/envoy-gateway-lock.yaml`: one on the listener, one by the SecurityPolicy of the Gateway.
#[test]
fn door_that_a_refused_listener_leaves_open_is_shut_by_either_lock() {
    let by_patch = gateway(&[lock(), router()], &switches_on(EXTENSION));
    assert_door(&by_patch, Verdict::Shut, &[Kind::ShutByLock]);
    let mut per_filter = switches_on(EXTENSION);
    per_filter["envoy.filters.http.rbac"] = security_policy("wasm.svidgate.passed");
    assert_door(
        &gateway(&[rbac_of_the_gateway(), router()], &per_filter),
        Verdict::Shut,
        &[Kind::ShutByLock],
    );
    per_filter["envoy.filters.http.rbac"] = security_policy("wasm.another");
    assert_door(
        &gateway(&[rbac_of_the_gateway(), router()], &per_filter),
        Verdict::Open,
        &[Kind::NoRequestFilter],
    );
}

/// An empty EnvoyExtensionPolicy on an HTTPRoute: its routes switch nothing on.
#[test]
fn empty_policy_of_a_route_opens_that_route_alone() {
    let mut configuration = gateway(&[extension(EXTENSION, |_| ()), router()], &switches_on(EXTENSION));
    let routes =
        &mut configuration["configs"][1]["dynamic_route_configs"][0]["route_config"]["virtual_hosts"][0]["routes"];
    let mut other = routes[0].clone();
    other.as_object_mut().unwrap().remove("typed_per_filter_config");
    other["name"] = json!("other");
    routes.as_array_mut().unwrap().push(other);
    let door = only(&configuration);
    assert_eq!(door.verdict(), Verdict::Open);
    let remark = door
        .remarks
        .iter()
        .find(|remark| remark.kind == Kind::NotSwitchedOn)
        .unwrap();
    assert_eq!(remark.place, "route `other` of `app`");
}

#[test]
fn extension_that_fails_open_is_open_but_for_a_lock() {
    let fails_open = || {
        extension(EXTENSION, |filter| {
            let config = &mut filter["typed_config"]["config"];
            config.as_object_mut().unwrap().remove("failure_policy");
            config["fail_open"] = json!(true);
        })
    };
    assert_door(
        &gateway(&[fails_open(), router()], &switches_on(EXTENSION)),
        Verdict::Open,
        &[Kind::FailsOpen],
    );
    assert_door(
        &gateway(&[fails_open(), lock(), router()], &switches_on(EXTENSION)),
        Verdict::Guarded,
        &[],
    );
}

/// The same name with a mistake: what ran before goes on, and the dump has what was refused.
#[test]
fn refused_update_is_told_and_what_ran_before_is_judged() {
    let mut configuration = gateway(&[extension(EXTENSION, |_| ()), router()], &switches_on(EXTENSION));
    configuration["configs"][0]["dynamic_listeners"][0]["error_state"] = json!({ "details": "Unable to create Wasm plugin edge", "version_info": "2", "last_update_attempt": "2026-11-29T00:00:00Z" });
    let report = judged(&configuration);
    assert_eq!(report.verdict(), Verdict::Guarded);
    assert_eq!(report.refused[0].what, "listener edge/edge/https");
    assert!(
        report
            .remarks
            .iter()
            .any(|remark| remark.kind == Kind::Refused && remark.text.contains("Unable to create"))
    );
}

/// Both filters by EnvoyPatchPolicy, and the owner of a route takes off what he can.
#[test]
fn route_that_switches_svidgate_off_is_open_but_for_a_lock_that_it_leaves() {
    let filters = [connection(&document())];
    let with_manager = |inner: &[Value], per_filter: &Value| {
        let all = [&filters[..], &[manager(inner, routes("r", per_filter))]].concat();
        dump(&[listener("edge", &[chain("edge", &all)])])
    };
    let ours = [request(&document()), router()];
    assert_door(
        &with_manager(&ours, &Value::Null),
        Verdict::Guarded,
        &[Kind::LockAndMark],
    );
    assert_door(
        &with_manager(&ours, &switches_off("svidgate.request")),
        Verdict::Open,
        &[Kind::SwitchedOff],
    );
    let locked = [request(&document()), lock(), router()];
    assert_door(&with_manager(&locked, &Value::Null), Verdict::Guarded, &[]);
    assert_door(
        &with_manager(&locked, &switches_off("svidgate.request")),
        Verdict::Shut,
        &[Kind::ShutByLock],
    );
    let mut both = switches_off("svidgate.request");
    both["svidgate.lock"] = switches_off("svidgate.lock")["svidgate.lock"].clone();
    assert_door(&with_manager(&locked, &both), Verdict::Open, &[Kind::SwitchedOff]);
    both["svidgate.lock"] = typed("envoy.extensions.filters.http.rbac.v3.RBACPerRoute", json!({}));
    assert_door(&with_manager(&locked, &both), Verdict::Open, &[Kind::SwitchedOff]);
}

/// The nearest counts: a virtual host switches off, its route on again.
#[test]
fn what_stands_nearest_to_the_request_counts() {
    let mut of_host = routes("r", &switches_on("svidgate.request"));
    of_host["virtual_hosts"][0]["typed_per_filter_config"] = switches_off("svidgate.request");
    let judged = |routes: Value| {
        let filters = [
            connection(&document()),
            manager(&[request(&document()), lock(), router()], routes),
        ];
        only(&dump(&[listener("edge", &[chain("edge", &filters)])])).verdict()
    };
    assert_eq!(judged(of_host.clone()), Verdict::Guarded);
    of_host["virtual_hosts"][0]["routes"][0]
        .as_object_mut()
        .unwrap()
        .remove("typed_per_filter_config");
    assert_eq!(judged(of_host.clone()), Verdict::Shut);
    of_host["virtual_hosts"][0]
        .as_object_mut()
        .unwrap()
        .remove("typed_per_filter_config");
    of_host["typed_per_filter_config"] = switches_off("svidgate.request");
    assert_eq!(judged(of_host.clone()), Verdict::Shut);
    // One cluster of a weighted route.
    of_host.as_object_mut().unwrap().remove("typed_per_filter_config");
    of_host["virtual_hosts"][0]["routes"][0]["route"] = json!({ "weighted_clusters": { "clusters": [
        { "name": "app", "weight": 90 }, { "name": "canary", "weight": 10, "typed_per_filter_config": switches_off("svidgate.request") } ] } });
    let filters = [
        connection(&document()),
        manager(&[request(&document()), router()], of_host),
    ];
    let door = only(&dump(&[listener("edge", &[chain("edge", &filters)])]));
    assert_eq!(door.verdict(), Verdict::Open);
    assert!(
        door.remarks
            .iter()
            .any(|remark| remark.place == "route `app` of `app`, cluster `canary`"),
        "{:#?}",
        door.remarks
    );
}

/// A sidecar of Istio: what comes in at 15006, by chains for HTTP and for TCP.
fn sidecar(http: &[Value], tcp: &[Value]) -> Value {
    let to_app = json!({ "name": "inbound|8080||", "virtual_hosts": [{ "name": "inbound|http|80", "domains": ["*"],
        "routes": [{ "name": "default", "match": { "prefix": "/" }, "route": { "cluster": "inbound|8080||" } }] }] });
    let before = |end: Value, filters: &[Value]| {
        [
            filters
                .iter()
                .filter(|one| one["name"] != "svidgate.request")
                .cloned()
                .collect(),
            vec![end],
        ]
        .concat()
    };
    let inner: Vec<Value> = http
        .iter()
        .filter(|one| one["name"] == "svidgate.request")
        .cloned()
        .chain([router()])
        .collect();
    let mut of_http = chain("0.0.0.0_8080", &before(manager(&inner, to_app), http));
    of_http["filter_chain_match"] = json!({ "destination_port": 8080, "transport_protocol": "tls", "application_protocols": ["istio-http/1.1", "istio-h2"] });
    let mut of_tcp = chain("0.0.0.0_8080", &before(tcp_proxy("inbound|8080||"), tcp));
    of_tcp["filter_chain_match"] =
        json!({ "destination_port": 8080, "transport_protocol": "tls", "application_protocols": ["istio"] });
    let mut blackhole = json!({ "name": "virtualInbound-blackhole", "filters": [filter("envoy.filters.network.tcp_proxy",
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", json!({ "stat_prefix": "BlackHoleCluster", "cluster": "BlackHoleCluster" }))] });
    blackhole["filter_chain_match"] = json!({ "destination_port": 15006 });
    let mut inbound = listener("virtualInbound", &[blackhole, of_http, of_tcp]);
    inbound["traffic_direction"] = json!("INBOUND");
    let mut outbound = listener(
        "virtualOutbound",
        &[json!({ "filters": [tcp_proxy("PassthroughCluster")] })],
    );
    outbound["traffic_direction"] = json!("OUTBOUND");
    let clusters = json!({ "dynamic_active_clusters": [{ "cluster": typed("envoy.config.cluster.v3.Cluster", json!({ "name": "BlackHoleCluster", "connect_timeout": "10s" })) }] });
    with(dump(&[inbound, outbound]), "ClustersConfigDump", clusters)
}

fn verdicts(configuration: &Value) -> Vec<(String, Verdict)> {
    judged(configuration)
        .doors
        .iter()
        .map(|door| (door.chain.split(',').next().unwrap().to_owned(), door.verdict()))
        .collect()
}

fn both_filters() -> Vec<Value> {
    vec![connection(&document()), request(&document())]
}

/// `ports` in a match: chains of the other kind are left out.
#[test]
fn tcp_chain_that_a_match_left_out_is_open() {
    let configuration = sidecar(&both_filters(), &[]);
    assert_eq!(
        verdicts(&configuration),
        [
            ("virtualInbound-blackhole".to_owned(), Verdict::Shut),
            ("0.0.0.0_8080".to_owned(), Verdict::Guarded),
            ("0.0.0.0_8080".to_owned(), Verdict::Open),
        ]
    );
    assert_eq!(judged(&configuration).outbound, ["virtualOutbound"]);
}

/// `listener: http` on a TCP chain: the module closes each connection.
#[test]
fn tcp_chain_with_a_document_for_requests_lets_nobody_through() {
    let configuration = sidecar(&both_filters(), &[connection(&document())]);
    assert_eq!(verdicts(&configuration)[2].1, Verdict::Shut);
    assert!(codes(&judged(&configuration).doors[2]).contains(&Kind::ClosesAll));
}

#[test]
fn tcp_chain_with_a_document_for_connections_is_guarded() {
    let configuration = sidecar(&both_filters(), &[connection(&tcp_document()), tcp_lock()]);
    assert_eq!(verdicts(&configuration)[2].1, Verdict::Guarded);
}

/// One of the two plugins deleted, or both.
#[test]
fn chain_with_one_filter_of_two_is_open_where_that_is_the_network_filter() {
    let of = |http: &[Value]| verdicts(&sidecar(http, &[]))[1].1;
    assert_eq!(of(&[connection(&document())]), Verdict::Open);
    assert_eq!(of(&[request(&document())]), Verdict::Guarded);
    assert_eq!(of(&[]), Verdict::Open);
}

/// Deleted, with the lock of `envoy/mesh/istio-lock.yaml` in place.
#[test]
fn chains_without_svidgate_are_shut_by_the_lock() {
    let inner = [lock(), router()];
    let http = chain("http", &[manager(&inner, routes("r", &Value::Null))]);
    let tcp = chain("tcp", &[tcp_lock(), tcp_proxy("app")]);
    let report = judged(&dump(&[listener("virtualInbound", &[http, tcp])]));
    assert!(
        report.doors.iter().all(|door| door.verdict() == Verdict::Shut),
        "{report:#?}"
    );
}

/// Plugins of Istio come by ECDS, and the agent puts a denial where an image does not come.
#[test]
fn filter_by_discovery_is_what_the_dump_has_of_it() {
    let names = [
        "extenstions.istio.io/wasmplugin/shop.svidgate-connection",
        "extenstions.istio.io/wasmplugin/shop.svidgate-request",
    ];
    let filters = [
        discovered(names[0], NETWORK),
        manager(&[discovered(names[1], HTTP), router()], routes("r", &Value::Null)),
    ];
    let bare = dump(&[listener("virtualInbound", &[chain("http", &filters)])]);
    assert_door(&bare, Verdict::NotKnown, &[Kind::FilterNotHere]);
    let ours = |root: &str, kind: &str| typed(kind, plugin(root, &document()));
    let one = with_filter(bare.clone(), names[0], &ours("svidgate.connection", NETWORK));
    assert_door(&one, Verdict::NotKnown, &[Kind::FilterNotHere]);
    let both = with_filter(one.clone(), names[1], &ours("svidgate.request", HTTP));
    assert_door(&both, Verdict::Guarded, &[]);
    let denial = typed("envoy.extensions.filters.http.rbac.v3.RBAC", json!({ "rules": {} }));
    assert_door(
        &with_filter(one, names[1], &denial),
        Verdict::Shut,
        &[Kind::DenyInstead],
    );
    let denial = typed(
        "envoy.extensions.filters.network.rbac.v3.RBAC",
        json!({ "rules": {}, "stat_prefix": "x" }),
    );
    assert_door(
        &with_filter(bare, names[0], &denial),
        Verdict::Shut,
        &[Kind::DenyInstead],
    );
}

/// Envoy asks a network RBAC about what comes from the peer. What the server says first goes past it.
#[test]
fn denial_in_front_of_tcp_shuts_only_what_waits_for_the_client() {
    let denial = filter(
        "envoy.filters.network.rbac",
        "envoy.extensions.filters.network.rbac.v3.RBAC",
        json!({ "rules": {}, "stat_prefix": "x" }),
    );
    let of = |mode: &str| {
        let mut proxy = tcp_proxy("ledger");
        proxy["typed_config"]["upstream_connect_mode"] = json!(mode);
        dump(&[listener("in", &[chain("in", &[denial.clone(), proxy])])])
    };
    assert_door(&of("ON_DOWNSTREAM_DATA"), Verdict::Shut, &[Kind::DenyInstead]);
    for mode in ["IMMEDIATE", "ON_DOWNSTREAM_TLS_HANDSHAKE"] {
        assert_door(&of(mode), Verdict::Open, &[Kind::NoGate]);
    }
}

#[test]
fn default_that_stands_until_discovery_has_come_is_what_is_there() {
    let open = typed(
        "envoy.extensions.filters.http.buffer.v3.Buffer",
        json!({ "max_request_bytes": 1024 }),
    );
    let mut discovered = discovered("svidgate.request", HTTP);
    discovered["config_discovery"]["default_config"] = open;
    let of = |discovered: &Value, locked: bool| {
        let mut inner = vec![discovered.clone(), router()];
        if locked {
            inner.insert(1, lock());
        }
        dump(&[listener(
            "in",
            &[chain(
                "in",
                &[connection(&document()), manager(&inner, routes("r", &Value::Null))],
            )],
        )])
    };
    assert_door(&of(&discovered, false), Verdict::Open, &[Kind::DefaultIsOpen]);
    assert_door(&of(&discovered, true), Verdict::Shut, &[Kind::ShutByLock]);
    let come = with_filter(
        of(&discovered, false),
        "svidgate.request",
        &typed(HTTP, plugin("svidgate.request", &document())),
    );
    assert_door(&come, Verdict::Guarded, &[Kind::DefaultBehind]);
    discovered["config_discovery"]["default_config"] =
        typed("envoy.extensions.filters.http.rbac.v3.RBAC", json!({ "rules": {} }));
    assert_door(&of(&discovered, false), Verdict::Shut, &[Kind::DenyInstead]);
}

/// A waypoint: tunnels end at one listener, and what is in them goes to another.
#[test]
fn waypoint_is_not_known_to_be_guarded() {
    let tunnels = json!({ "name": "default", "virtual_hosts": [{ "name": "connect", "domains": ["*"],
        "routes": [{ "match": { "connect_matcher": {} }, "route": { "cluster": "main_internal" } }] }] });
    let terminate = listener(
        "connect_terminate",
        &[chain("default", &[manager(&[router()], tunnels)])],
    );
    let mut peer = document();
    peer.as_object_mut().unwrap().remove("bundle");
    peer["peer"] = json!({ "filter_state": { "id": "io.istio.peer_principal" } });
    let inner = json!({ "name": "inbound-vip|80|http|orders", "filters": [manager(&[request(&peer), lock(), router()], routes("r", &Value::Null))] });
    let internal = typed(
        "envoy.config.listener.v3.Listener",
        json!({ "name": "main_internal", "internal_listener": {}, "filter_chains": [inner],
        "filter_chain_matcher": { "matcher_tree": {} } }),
    );
    let endpoint =
        json!({ "endpoint": { "address": { "envoy_internal_address": { "server_listener_name": "main_internal" } } } });
    let cluster = typed(
        "envoy.config.cluster.v3.Cluster",
        json!({ "name": "main_internal", "load_assignment": { "endpoints": [{ "lb_endpoints": [endpoint] }] } }),
    );
    let configuration = with(
        dump(&[terminate, internal]),
        "ClustersConfigDump",
        json!({ "static_clusters": [{ "cluster": cluster }] }),
    );
    let report = judged(&configuration);
    assert_eq!(report.verdict(), Verdict::NotKnown);
    assert!(
        codes(&report.doors[0]).contains(&Kind::LeadsInside),
        "{:#?}",
        report.doors[0].remarks
    );
    for code in [Kind::Internal, Kind::ChainMatcher] {
        assert!(
            codes(&report.doors[1]).contains(&code),
            "{:#?}",
            report.doors[1].remarks
        );
    }
}

/// With svidgate NETWORK alone in a waypoint: HTTP within the tunnels is open, which is certain.
#[test]
fn what_is_certainly_open_is_said_to_be_so_where_other_things_are_not_known() {
    let inner = json!({ "name": "http", "filters": [connection(&document()), manager(&[router()], routes("r", &Value::Null))] });
    let internal = typed(
        "envoy.config.listener.v3.Listener",
        json!({ "name": "main_internal", "internal_listener": {}, "filter_chains": [inner] }),
    );
    assert_door(
        &dump(&[internal]),
        Verdict::Open,
        &[Kind::NoRequestFilter, Kind::Internal],
    );
}
