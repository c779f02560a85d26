//! Every document that stands in a manifest of `envoy/mesh`, in the files that Envoy watches and in the harness
//! compiles, and the two filters of one listener have the same.

use std::fs;

use serde_json::{Value, json};
use support::{
    ca::{Authority, FIXED_NOW, bundle_json},
    repository,
};
use svidgate_policy::{Configuration, Format};

const FILES: [&str; 10] = [
    "mesh/istio-traffic-extension.yaml",
    "mesh/istio-waypoint.yaml",
    "mesh/istio-wasm-plugin.yaml",
    "mesh/envoy-gateway.yaml",
    "mesh/envoy-gateway-patch.yaml",
    "mesh/istio-tcp.yaml",
    "ecds-file/svidgate.connection.yaml",
    "ecds-file/svidgate.request.yaml",
    "compose/sidecar.yaml",
    "compose/gateway.yaml",
];

/// The YAML documents of a file, filled in.
pub(crate) fn documents(name: &str, authority: &Authority) -> Vec<Value> {
    let text = fs::read_to_string(repository().join("envoy").join(name)).expect("the manifest is there");
    let bundle = bundle_json(&[authority]).to_string();
    let values = [
        ("BUNDLE", &*bundle),
        ("OWN", "prod"),
        ("OTHER", "partner"),
        ("IMAGE_DIGEST", "0"),
    ];
    let text = values
        .iter()
        .fold(text, |text, (name, value)| text.replace(&format!("${{{name}}}"), value));
    let parse = |text| serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
    text.split("\n---\n").map(parse).collect()
}

/// Everything with a `trust_domain` and `rules`.
fn inline<'v>(value: &'v Value, found: &mut Vec<&'v Value>) {
    if value.get("rules").is_some() && value.get("trust_domain").is_some() {
        found.push(value);
        return;
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| inline(item, found)),
        Value::Object(members) => members.values().for_each(|member| inline(member, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A filter of ours that a resource of a mesh asks for.
pub(crate) struct Plugin<'v> {
    pub(crate) root: &'v str,
    pub(crate) network: bool,
    pub(crate) document: &'v Value,
    closed: bool,
}

/// All filters of ours that a resource of a mesh asks for.
pub(crate) fn plugins(resource: &Value) -> Vec<Plugin<'_>> {
    let spec = &resource["spec"];
    match resource["kind"].as_str() {
        Some("TrafficExtension") => vec![istio(&spec["wasm"])],
        Some("WasmPlugin") => vec![istio(spec)],
        Some("EnvoyExtensionPolicy") => list(&spec["wasm"]).map(extension).collect(),
        Some("EnvoyPatchPolicy") => list(&spec["jsonPatches"])
            .map(|patch| patched(&patch["operation"]["value"]))
            .collect(),
        Some("ClientTrafficPolicy") => Vec::new(),
        other => panic!("{other:?} has no plugin"),
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().expect("a list").iter()
}

fn istio(plugin: &Value) -> Plugin<'_> {
    Plugin {
        root: plugin["pluginName"].as_str().expect("a root id"),
        network: plugin["type"] == "NETWORK",
        document: &plugin["pluginConfig"],
        closed: plugin["failStrategy"] == "FAIL_CLOSE",
    }
}

fn extension(plugin: &Value) -> Plugin<'_> {
    Plugin {
        root: plugin["rootID"].as_str().expect("a root id"),
        network: false,
        document: &plugin["config"],
        closed: plugin["failOpen"] == false,
    }
}

fn patched(filter: &Value) -> Plugin<'_> {
    let plugin = &filter["typed_config"]["config"];
    let kind = filter["typed_config"]["@type"].as_str().expect("a type");
    Plugin {
        root: plugin["root_id"].as_str().expect("a root id"),
        network: kind.ends_with("filters.network.wasm.v3.Wasm"),
        document: &plugin["configuration"]["value"],
        closed: plugin["failure_policy"] == "FAIL_RELOAD",
    }
}

#[test]
fn documents_of_the_manifests_compile() {
    let authority = Authority::of("prod.example", FIXED_NOW);
    for name in FILES {
        let documents = documents(name, &authority);
        let mut found = Vec::new();
        documents.iter().for_each(|document| inline(document, &mut found));
        let expected = match name {
            "ecds-file/svidgate.connection.yaml" | "ecds-file/svidgate.request.yaml" => 1,
            "mesh/istio-tcp.yaml" => 3,
            _ => 2,
        };
        assert_eq!(found.len(), expected, "{name}");
        assert!(
            found.iter().all(|document| *document == found[0]),
            "{name}: two documents"
        );
        let compiled = Configuration::compile(found[0].to_string().as_bytes(), Format::Json);
        compiled.unwrap_or_else(|mistakes| panic!("{name}: {mistakes:#?}"));
    }
}

#[test]
fn plugins_of_the_manifests_fail_closed_are_ours_and_leave_a_mark_for_the_lock() {
    let authority = Authority::of("prod.example", FIXED_NOW);
    for name in &FILES[..5] {
        let mut roots = Vec::new();
        for resource in documents(name, &authority) {
            for plugin in plugins(&resource) {
                let expected = if plugin.network {
                    "svidgate.connection"
                } else {
                    "svidgate.request"
                };
                assert_eq!(plugin.root, expected, "{name}");
                assert!(plugin.closed, "{name}");
                assert_eq!(plugin.document["mark_passed"], true, "{name}");
                roots.push(plugin.root.to_owned());
            }
        }
        roots.sort();
        assert_eq!(roots, ["svidgate.connection", "svidgate.request"], "{name}");
    }
}

/// Istio takes the ports of a `match` for the workload's own, the Service's or none at all, by the kind of filter
/// chain; so chains of the same port go without the filter.
#[test]
fn plugins_for_istio_leave_out_no_port() {
    let authority = Authority::of("prod.example", FIXED_NOW);
    for name in &FILES[..3] {
        for resource in documents(name, &authority) {
            assert_eq!(resource["spec"]["match"], json!([{ "mode": "SERVER" }]), "{name}");
        }
    }
}

/// What the patches of an `EnvoyFilter` put where.
fn patches(name: &str) -> Vec<Value> {
    let [resource] = &documents(name, &Authority::of("prod.example", FIXED_NOW))[..] else {
        panic!("{name} is one resource");
    };
    let patches = resource["spec"]["configPatches"].as_array().expect("patches");
    assert!(
        patches
            .iter()
            .all(|patch| patch["match"]["context"] == "SIDECAR_INBOUND"),
        "{name}"
    );
    patches.clone()
}

#[test]
fn filter_for_http_and_tcp_fails_closed_and_puts_each_plugin_where_its_root_id_says() {
    let mut placed = Vec::new();
    for patch in patches("mesh/istio-tcp.yaml") {
        let value = &patch["patch"]["value"];
        if patch["applyTo"] == "EXTENSION_CONFIG" {
            let plugin = &value["typed_config"]["config"];
            assert_eq!(plugin["failure_policy"], "FAIL_CLOSED");
            assert_eq!([&plugin["root_id"], &plugin["name"]], [&value["name"]; 2]);
            assert_eq!(plugin["configuration"]["value"]["listener"], "shared");
            assert_eq!(plugin["configuration"]["value"]["mark_passed"], true);
        } else if value.get("config_discovery").is_some() {
            let before = &patch["match"]["listener"]["filterChain"]["filter"]["name"];
            placed.push((
                before.as_str().unwrap().to_owned(),
                value["name"].as_str().unwrap().to_owned(),
            ));
        }
    }
    let manager = "envoy.filters.network.http_connection_manager";
    let expected = [
        (manager, "svidgate.connection.http"),
        ("envoy.filters.network.tcp_proxy", "svidgate.connection.tcp"),
        (manager, "svidgate.request"),
    ];
    assert_eq!(
        placed,
        expected.map(|(before, name)| (before.to_owned(), name.to_owned()))
    );
}

/// A denial of what has no mark would let pass what has none.
#[test]
fn lock_for_istio_has_the_shape_of_an_allow_and_selects_every_port() {
    for name in ["mesh/istio-lock.yaml", "mesh/istio-waypoint-lock.yaml"] {
        let patches = patches(name);
        let rules: Vec<_> = patches
            .iter()
            .filter_map(|patch| patch["patch"]["value"]["typed_config"].get("rules"))
            .collect();
        assert_eq!(rules.len(), 2, "{name}");
        assert!(rules.iter().all(|rules| rules["action"] == "ALLOW"), "{name}");
        assert!(
            patches
                .iter()
                .all(|patch| patch["match"]["listener"]["portNumber"].is_null()),
            "{name}"
        );
    }
}

/// A waypoint is selected by `targetRefs` alone. Whom its plugins take a caller for stands in filter state, so they
/// have no bundle.
#[test]
fn plugins_for_waypoints_select_one_by_target_and_take_the_id_that_it_shares() {
    let authority = Authority::of("prod.example", FIXED_NOW);
    for resource in documents("mesh/istio-waypoint.yaml", &authority) {
        let gateway = json!([{ "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "waypoint" }]);
        assert_eq!(resource["spec"]["targetRefs"], gateway);
        assert!(resource["spec"]["selector"].is_null());
        let [plugin] = &plugins(&resource)[..] else {
            panic!("one plugin");
        };
        let peer = json!({ "filter_state": { "id": "io.istio.peer_principal" } });
        assert_eq!(plugin.document["peer"], peer);
    }
}

/// Both locks of Envoy Gateway: one under a name that no policy of a route configures, one on the whole Gateway.
#[test]
fn locks_for_envoy_gateway_have_the_shape_of_an_allow() {
    let resources = documents(
        "mesh/envoy-gateway-lock.yaml",
        &Authority::of("prod.example", FIXED_NOW),
    );
    let [patch, policy] = &resources[..] else {
        panic!("two resources");
    };
    let operation = &patch["spec"]["jsonPatches"][0]["operation"];
    assert_eq!(operation["value"]["name"], "svidgate.lock");
    assert_eq!(operation["value"]["typed_config"]["rules"]["action"], "ALLOW");
    let authorization = &policy["spec"]["authorization"];
    assert_eq!(policy["spec"]["targetRefs"][0]["kind"], "Gateway");
    assert_eq!(authorization["defaultAction"], "Deny");
    assert_eq!(authorization["rules"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        authorization["rules"][0]["cel"],
        "\"wasm.svidgate.passed\" in filter_state"
    );
}
