//! Every document that stands in a manifest of `envoy/mesh`, in the files that Envoy watches and in the harness compiles,
//! and the two filters of one listener have the same.

use std::fs;

use serde_json::Value;
use support::{
    ca::{Authority, FIXED_NOW, bundle_json},
    repository,
};
use svidgate_policy::{Configuration, Format};

const FILES: [&str; 7] = [
    "mesh/istio-traffic-extension.yaml",
    "mesh/istio-wasm-plugin.yaml",
    "mesh/envoy-gateway.yaml",
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

/// The plugin that a resource of a mesh asks for.
pub(crate) fn plugin(resource: &Value) -> &Value {
    let spec = &resource["spec"];
    match resource["kind"].as_str() {
        Some("TrafficExtension") => &spec["wasm"],
        Some("WasmPlugin") => spec,
        Some("EnvoyExtensionPolicy") => &spec["wasm"][0],
        other => panic!("{other:?} has no plugin"),
    }
}

#[test]
fn documents_of_the_manifests_compile() {
    let authority = Authority::of("prod.example", FIXED_NOW);
    for name in FILES {
        let documents = documents(name, &authority);
        let mut found = Vec::new();
        documents.iter().for_each(|document| inline(document, &mut found));
        let expected = if name.contains("gateway.yaml") && name.starts_with("mesh") || name.starts_with("ecds") {
            1
        } else {
            2
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
fn plugins_of_the_manifests_fail_closed_and_are_ours() {
    let authority = Authority::of("prod.example", FIXED_NOW);
    for name in &FILES[..3] {
        for resource in documents(name, &authority) {
            let plugin = plugin(&resource);
            let root = plugin.get("pluginName").or(plugin.get("rootID"));
            let network = plugin["type"] == "NETWORK";
            let expected = if network {
                "svidgate.connection"
            } else {
                "svidgate.request"
            };
            assert_eq!(root.and_then(Value::as_str), Some(expected), "{name}");
            assert!(
                plugin["failStrategy"] == "FAIL_CLOSE" || plugin["failOpen"] == false,
                "{name}"
            );
        }
    }
}
