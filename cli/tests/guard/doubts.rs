//! What is not understood is not known to be guarded.

use serde_json::{Value, json};
use svidgate_cli::guard::{
    remark::{Kind, Verdict},
    report::{Report, Scope},
};

use crate::shapes::*;

/// A door with both filters and the lock.
fn good() -> Value {
    let filters = [
        connection(&document()),
        manager(&[request(&document()), lock(), router()], routes("r", &Value::Null)),
    ];
    dump(&[listener("in", &[chain("in", &filters)])])
}

/// The good one, changed where a JSON pointer leads within its listener.
fn changed(change: impl FnOnce(&mut Value)) -> Value {
    let mut configuration = good();
    change(&mut configuration["configs"][0]["dynamic_listeners"][0]["active_state"]["listener"]);
    configuration
}

fn manager_of(listener: &mut Value) -> &mut Value {
    &mut listener["filter_chains"][0]["filters"][1]["typed_config"]
}

#[track_caller]
fn assert_changed(change: impl FnOnce(&mut Value), verdict: Verdict, because: Kind) {
    assert_door(&changed(change), verdict, &[because]);
}

#[test]
fn door_with_everything_in_its_place_is_guarded_without_a_word() {
    let door = only(&good());
    assert_eq!((door.verdict(), codes(&door)), (Verdict::Guarded, vec![]));
}

#[test]
fn listeners_of_kinds_that_are_not_understood_are_not_known() {
    use Verdict::NotKnown;
    assert_changed(
        |listener| listener["filter_chain_matcher"] = json!({ "matcher_tree": {} }),
        NotKnown,
        Kind::ChainMatcher,
    );
    assert_changed(
        |listener| listener["internal_listener"] = json!({}),
        NotKnown,
        Kind::Internal,
    );
    assert_changed(
        |listener| listener["api_listener"] = json!({ "api_listener": {} }),
        NotKnown,
        Kind::Api,
    );
    assert_changed(
        |listener| listener["udp_listener_config"] = json!({}),
        NotKnown,
        Kind::Udp,
    );
    assert_changed(
        |listener| listener["address"]["socket_address"]["protocol"] = json!("UDP"),
        NotKnown,
        Kind::Udp,
    );
    assert_changed(
        |listener| listener["fcds_config"] = json!({}),
        NotKnown,
        Kind::UnknownMember,
    );
    assert_changed(
        |listener| listener["member_of_next_year"] = json!(true),
        NotKnown,
        Kind::UnknownMember,
    );
}

#[test]
fn default_chain_is_a_door_of_its_own() {
    let report = judged(&changed(|listener| {
        listener["default_filter_chain"] = json!({ "filters": [tcp_proxy("app")] })
    }));
    let verdicts: Vec<_> = report
        .doors
        .iter()
        .map(|door| (door.chain.as_str(), door.verdict()))
        .collect();
    assert_eq!(
        verdicts,
        [("in", Verdict::Guarded), ("the default chain", Verdict::Open)]
    );
}

#[test]
fn members_of_a_newer_envoy_are_not_known() {
    use Verdict::NotKnown;
    assert_changed(
        |listener| listener["filter_chains"][0]["new"] = json!(1),
        NotKnown,
        Kind::UnknownMember,
    );
    assert_changed(
        |listener| listener["filter_chains"][0]["filters"][0]["new"] = json!(1),
        NotKnown,
        Kind::UnknownMember,
    );
    assert_changed(
        |listener| manager_of(listener)["new"] = json!(1),
        NotKnown,
        Kind::UnknownMember,
    );
    assert_changed(
        |listener| manager_of(listener)["route_config"]["new"] = json!(1),
        NotKnown,
        Kind::UnknownMember,
    );
    let plugin = |listener: &mut Value| {
        listener["filter_chains"][0]["filters"][0]["typed_config"]["config"]["capability_restriction_config"] =
            json!({ "allowed_capabilities": { "proxy_log": {} } })
    };
    assert_changed(plugin, NotKnown, Kind::UnknownMember);
}

#[test]
fn filters_that_may_not_run_are_not_known() {
    use Verdict::NotKnown;
    assert_changed(
        |listener| manager_of(listener)["http_filters"][0]["is_optional"] = json!(true),
        NotKnown,
        Kind::Optional,
    );
    let matched = |listener: &mut Value| {
        let ours = manager_of(listener)["http_filters"][0]["typed_config"].take();
        manager_of(listener)["http_filters"][0]["typed_config"] = typed(
            "envoy.extensions.common.matching.v3.ExtensionWithMatcher",
            json!({ "extension_config": { "name": "x", "typed_config": ours },
                "xds_matcher": { "on_no_match": { "action": { "name": "skip" } } } }),
        );
    };
    assert_changed(matched, NotKnown, Kind::FilterMatcher);
    let composite = filter(
        "composite",
        "envoy.extensions.filters.http.composite.v3.Composite",
        json!({}),
    );
    assert_changed(
        |listener| manager_of(listener)["http_filters"] = json!([composite, router()]),
        NotKnown,
        Kind::Composite,
    );
    let native = filter(
        "native",
        "envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter",
        json!({ "filter_name": "svidgate.request" }),
    );
    assert_changed(
        |listener| manager_of(listener)["http_filters"] = json!([native, router()]),
        NotKnown,
        Kind::Native,
    );
}

#[test]
fn what_stands_before_svidgate_and_may_answer_is_not_known() {
    let before = |inner: Value| {
        move |listener: &mut Value| {
            manager_of(listener)["http_filters"]
                .as_array_mut()
                .unwrap()
                .insert(0, inner)
        }
    };
    for kind in [
        "lua.v3.Lua",
        "cache.v3.CacheConfig",
        "ext_proc.v3.ExternalProcessor",
        "wasm.v3.Wasm",
        "composite.v3.Composite",
        "new.v9.New",
    ] {
        let inner = filter(
            "before",
            &format!("envoy.extensions.filters.http.{kind}"),
            json!({ "config": { "name": "other", "root_id": "other" } }),
        );
        let door = only(&changed(before(inner)));
        assert_eq!(door.verdict(), Verdict::NotKnown, "{kind}: {:#?}", door.remarks);
    }
    let cors = filter("cors", "envoy.extensions.filters.http.cors.v3.Cors", json!({}));
    assert_changed(before(cors), Verdict::Guarded, Kind::AnswersBefore);
    let on_demand = filter("d", "envoy.extensions.filters.http.on_demand.v3.OnDemand", json!({}));
    assert_changed(before(on_demand), Verdict::NotKnown, Kind::RoutesOnDemand);
    let network = filter("before", "envoy.extensions.filters.network.new.v9.New", json!({}));
    assert_changed(
        |listener| {
            listener["filter_chains"][0]["filters"]
                .as_array_mut()
                .unwrap()
                .insert(0, network)
        },
        Verdict::NotKnown,
        Kind::UnknownBefore,
    );
    let limit = filter(
        "before",
        "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit",
        json!({}),
    );
    let door = only(&changed(|listener| {
        listener["filter_chains"][0]["filters"]
            .as_array_mut()
            .unwrap()
            .insert(0, limit)
    }));
    assert_eq!(codes(&door), []);
}

#[test]
fn routes_that_are_not_here_are_not_known() {
    use Verdict::NotKnown;
    let filters = [
        connection(&document()),
        manager_by_rds(&[request(&document()), lock(), router()], "by-rds"),
    ];
    assert_door(
        &dump(&[listener("in", &[chain("in", &filters)])]),
        NotKnown,
        &[Kind::RoutesNotHere],
    );
    let scoped = |listener: &mut Value| {
        manager_of(listener).as_object_mut().unwrap().remove("route_config");
        manager_of(listener)["scoped_routes"] = json!({ "name": "x" });
    };
    assert_changed(scoped, NotKnown, Kind::RoutesOnDemand);
    assert_changed(
        |listener| manager_of(listener)["route_config"]["vhds"] = json!({}),
        NotKnown,
        Kind::RoutesOnDemand,
    );
    let host = |listener: &mut Value| manager_of(listener)["route_config"]["virtual_hosts"][0]["matcher"] = json!({});
    assert_changed(host, NotKnown, Kind::FilterAction);
}

#[test]
fn what_a_route_says_of_a_filter_and_cannot_be_read_is_not_known() {
    use Verdict::NotKnown;
    for said in [
        json!({}),
        typed("envoy.config.route.v3.FilterConfig", json!({})),
        typed("envoy.config.route.v3.FilterConfig", json!({ "disabled": "yes" })),
        typed("envoy.config.route.v3.FilterConfig", json!({ "config": {}, "new": 1 })),
        typed("envoy.extensions.filters.http.wasm.v3.WasmPerRoute", json!({})),
        typed(
            "envoy.config.route.v3.FilterConfig",
            json!({ "config": typed("envoy.extensions.common.matching.v3.ExtensionWithMatcherPerRoute", json!({})) }),
        ),
    ] {
        let per_filter = json!({ "svidgate.request": said });
        let change = |listener: &mut Value| {
            manager_of(listener)["route_config"]["virtual_hosts"][0]["routes"][0]["typed_per_filter_config"] =
                per_filter.clone()
        };
        assert_changed(change, NotKnown, Kind::Override);
    }
}

#[test]
fn upgrade_with_filters_of_its_own_is_a_way_in() {
    let upgrade = |filters: Value| json!([{ "upgrade_type": "websocket", "filters": filters }]);
    let without = |listener: &mut Value| manager_of(listener)["upgrade_configs"] = upgrade(json!([router()]));
    assert_changed(without, Verdict::Open, Kind::UpgradeWithoutGate);
    let with = |listener: &mut Value| {
        manager_of(listener)["upgrade_configs"] = upgrade(json!([request(&document()), lock(), router()]))
    };
    assert_eq!(only(&changed(with)).verdict(), Verdict::Guarded);
}

/// The two ways in which protobuf's JSON is written; Envoy takes both.
#[test]
fn names_in_lower_camel_case_are_read() {
    let off = |listener: &mut Value| manager_of(listener)["route_config"]["virtual_hosts"][0]["routes"][0]["typedPerFilterConfig"] = json!({ "svidgate.request": { "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": true } });
    assert_changed(off, Verdict::Shut, Kind::ShutByLock);
    let open = |listener: &mut Value| {
        let config = &mut listener["filter_chains"][0]["filters"][1]["typed_config"]["http_filters"][0]["typed_config"]
            ["config"];
        config.as_object_mut().unwrap().remove("failure_policy");
        config["failOpen"] = json!(true);
        manager_of(listener)["http_filters"].as_array_mut().unwrap().remove(1);
    };
    assert_changed(open, Verdict::Open, Kind::FailsOpen);
}

#[test]
fn document_that_cannot_be_read_is_not_known() {
    let broken = json!({ "trust_domain": "prod.example", "mark_pased": true });
    let filters = [
        connection(&document()),
        manager(&[request(&broken), lock(), router()], routes("r", &Value::Null)),
    ];
    assert_door(
        &dump(&[listener("in", &[chain("in", &filters)])]),
        Verdict::NotKnown,
        &[Kind::BadDocument],
    );
}

#[test]
fn module_in_a_place_that_it_is_not_for_is_no_gate() {
    let swapped = filter("svidgate.request", HTTP, plugin("svidgate.connection", &document()));
    assert_changed(
        |listener| manager_of(listener)["http_filters"][0] = swapped,
        Verdict::Open,
        Kind::Misplaced,
    );
    let misspelt = filter("svidgate.request", HTTP, plugin("svidgate.requests", &document()));
    assert_changed(
        |listener| manager_of(listener)["http_filters"][0] = misspelt,
        Verdict::Open,
        Kind::Misplaced,
    );
}

#[test]
fn filter_that_writes_what_the_lock_believes_is_not_known() {
    let forger = filter(
        "f",
        "envoy.extensions.filters.http.set_filter_state.v3.Config",
        json!({ "on_request_headers": [{ "object_key": "wasm.svidgate.passed" }] }),
    );
    assert_changed(
        |listener| {
            manager_of(listener)["http_filters"]
                .as_array_mut()
                .unwrap()
                .insert(0, forger)
        },
        Verdict::NotKnown,
        Kind::Forged,
    );
}

#[test]
fn listeners_that_are_not_here_are_not_known() {
    let file = json!({ "dynamic_resources": { "lds_config": { "ads": {} } }, "static_resources": {} });
    assert_eq!(judged(&file).verdict(), Verdict::NotKnown);
    assert_eq!(judged(&json!({ "configs": [] })).verdict(), Verdict::NotKnown);
    for neither in [json!({}), json!([]), json!("x"), json!({ "kind": "WasmPlugin" })] {
        assert!(Report::of(&neither, Scope::default()).is_err(), "{neither}");
    }
}

#[test]
fn admin_interface_that_others_reach_is_open() {
    let at = |address: &str| {
        judged(&json!({ "static_resources": {}, "admin": { "address": { "socket_address": { "address": address, "port_value": 9901 } } } })).verdict()
    };
    for open in ["0.0.0.0", "::", "10.0.0.1", "proxy.example"] {
        assert_eq!(at(open), Verdict::Open, "{open}");
    }
    for shut in ["127.0.0.1", "127.0.0.9", "::1"] {
        assert_eq!(at(shut), Verdict::Guarded, "{shut}");
    }
}

/// Whatever a configuration is, it is judged, and never taken for guarded for want of a type.
#[test]
fn every_part_replaced_by_every_type_is_judged_without_a_panic() {
    let good = good();
    let mut pointers = vec![];
    fn walk(value: &Value, at: &str, pointers: &mut Vec<String>) {
        pointers.push(at.to_owned());
        match value {
            Value::Object(members) => members.iter().for_each(|(name, value)| {
                walk(
                    value,
                    &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")),
                    pointers,
                )
            }),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .for_each(|(index, value)| walk(value, &format!("{at}/{index}"), pointers)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    walk(&good, "", &mut pointers);
    assert!(pointers.len() > 80);
    let mut refused = 0;
    for pointer in pointers {
        for other in [
            json!(null),
            json!(true),
            json!(7),
            json!("x"),
            json!([7]),
            json!({ "x": 7 }),
        ] {
            let mut broken = good.clone();
            *broken.pointer_mut(&pointer).unwrap() = other;
            refused += usize::from(Report::of(&broken, Scope::default()).is_err());
        }
    }
    assert!(refused > 0);
}
