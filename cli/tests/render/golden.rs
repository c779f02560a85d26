//! What is rendered says what the manifests of `envoy/` say, which are run in real meshes.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{Ended, documents, folder, run};

const DIGEST: &str = "b5d630546f0c3d2a86dc3ed0c09a1a4b0ad2ebe4e12ac0d4b9b9ef0dcd1d0f55";

fn image() -> String {
    format!("registry.example/team/svidgate@sha256:{DIGEST}")
}

/// A manifest of `envoy/`, filled in.
fn manifest(name: &str) -> Vec<Value> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../envoy").join(name)).unwrap();
    let values = [
        ("IMAGE_DIGEST", DIGEST),
        ("BUNDLE", r#"{"keys": []}"#),
        ("MODULE", "/etc/envoy/svidgate.wasm"),
    ];
    let text = values
        .iter()
        .fold(text, |text, (name, value)| text.replace(&format!("${{{name}}}"), value));
    documents(&text)
}

/// The first document of ours in it.
fn document(manifest: &[Value]) -> Value {
    fn look(value: &Value) -> Option<&Value> {
        if value.get("trust_domain").is_some() && value.get("rules").is_some() {
            return Some(value);
        }
        match value {
            Value::Array(items) => items.iter().find_map(look),
            Value::Object(members) => members.values().find_map(look),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        }
    }
    manifest.iter().find_map(look).unwrap().clone()
}

fn rendered(document: &Value, arguments: &[&str]) -> Ended {
    let home = folder(&[("policy.json", &document.to_string())]);
    run(
        home.path(),
        &[&["render", arguments[0], "policy.json"], &arguments[1..]].concat(),
    )
}

#[track_caller]
fn assert_says(ended: &Ended, expected: &[Value]) {
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_eq!(documents(&ended.out), expected, "{}", ended.out);
}

#[test]
fn plugins_of_istio_and_their_lock() {
    let plugins = manifest("mesh/istio-wasm-plugin.yaml");
    let expected = [manifest("mesh/istio-lock.yaml"), plugins.clone()].concat();
    let image = image();
    let arguments = [
        "istio",
        "--resource",
        "wasm-plugin",
        "--namespace",
        "shop",
        "--label",
        "app=orders",
        "--image",
        &image,
    ];
    assert_says(&rendered(&document(&plugins), &arguments), &expected);
}

#[test]
fn traffic_extensions_of_istio() {
    let plugins = manifest("mesh/istio-traffic-extension.yaml");
    let image = image();
    let ended = rendered(
        &document(&plugins),
        &[
            "istio",
            "--namespace",
            "billing",
            "--label",
            "app=invoices",
            "--image",
            &image,
        ],
    );
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_eq!(documents(&ended.out)[1..], plugins);
}

#[test]
fn waypoint_and_its_lock() {
    let plugins = manifest("mesh/istio-waypoint.yaml");
    let expected = [manifest("mesh/istio-waypoint-lock.yaml"), plugins.clone()].concat();
    let image = image();
    let arguments = [
        "istio",
        "--namespace",
        "shop",
        "--waypoint",
        "waypoint",
        "--name",
        "svidgate-waypoint",
        "--image",
        &image,
    ];
    assert_says(&rendered(&document(&plugins), &arguments), &expected);
}

#[test]
fn filter_of_istio_for_http_and_tcp() {
    let filter = manifest("mesh/istio-tcp.yaml");
    let expected = [manifest("mesh/istio-lock.yaml"), filter.clone()].concat();
    let image = image();
    assert_says(
        &rendered(
            &document(&filter),
            &[
                "istio",
                "--namespace",
                "shop",
                "--label",
                "app=orders",
                "--image",
                &image,
            ],
        ),
        &expected,
    );
}

#[test]
fn patches_of_envoy_gateway_and_their_locks() {
    let patch = manifest("mesh/envoy-gateway-patch.yaml");
    let expected = [manifest("mesh/envoy-gateway-lock.yaml"), patch.clone()].concat();
    let arguments = [
        "envoy-gateway",
        "--namespace",
        "edge",
        "--gateway",
        "edge",
        "--listener",
        "https",
    ];
    assert_says(&rendered(&document(&patch), &arguments), &expected);
}

#[test]
fn extension_of_envoy_gateway_and_its_locks() {
    let extension = manifest("mesh/envoy-gateway.yaml");
    let expected = [manifest("mesh/envoy-gateway-lock.yaml"), extension.clone()].concat();
    let image = image();
    let arguments = [
        "envoy-gateway",
        "--namespace",
        "edge",
        "--gateway",
        "edge",
        "--listener",
        "https",
        "--image",
        &image,
    ];
    assert_says(&rendered(&document(&extension), &arguments), &expected);
}

#[test]
fn every_listener_of_a_gateway_is_patched_and_locked() {
    let patch = manifest("mesh/envoy-gateway-patch.yaml");
    let arguments = [
        "envoy-gateway",
        "--namespace",
        "edge",
        "--gateway",
        "edge",
        "--listener",
        "one",
        "--listener",
        "two",
    ];
    let ended = rendered(&document(&patch), &arguments);
    let names = |resource: &Value| -> Vec<String> {
        resource["spec"]["jsonPatches"]
            .as_array()
            .unwrap()
            .iter()
            .map(|patch| patch["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let resources = documents(&ended.out);
    assert_eq!(names(&resources[0]), ["edge/edge/one", "edge/edge/two"]);
    assert_eq!(
        names(&resources[2]),
        ["edge/edge/one", "edge/edge/one", "edge/edge/two", "edge/edge/two"]
    );
}

/// Files of discovery and resources of a control plane: the same filters as in the examples, with one name more.
#[test]
fn filters_of_a_plain_envoy() {
    let mut marked = document(&manifest("ecds-file/svidgate.request.yaml"));
    marked["mark_passed"] = true.into();
    for (shape, name) in [
        ("ecds-connection", "ecds-file/svidgate.connection.yaml"),
        ("ecds-request", "ecds-file/svidgate.request.yaml"),
    ] {
        let ended = rendered(
            &marked,
            &["envoy", "--module", "/etc/envoy/svidgate.wasm", "--shape", shape],
        );
        let mut expected = manifest(name).remove(0);
        expected.as_object_mut().unwrap().remove("version_info");
        expected["resources"][0]["typed_config"]["config"]["configuration"]["value"] = marked.clone();
        assert_says(&ended, &[expected]);
    }
    let ended = rendered(
        &marked,
        &["envoy", "--module", "/etc/envoy/svidgate.wasm", "--shape", "xds"],
    );
    let resources = documents(&ended.out).remove(0);
    let expected = manifest("xds/resources.yaml").remove(0);
    for (resource, expected) in resources.as_array().unwrap().iter().zip(expected.as_array().unwrap()) {
        let without_document = |resource: &Value| {
            let mut resource = resource.clone();
            resource["typed_config"]["config"]["configuration"].take();
            resource
        };
        assert_eq!(without_document(resource), without_document(expected));
    }
}

#[test]
fn configuration_of_a_plain_envoy_is_guarded() {
    let mut marked = document(&manifest("ecds-file/svidgate.request.yaml"));
    marked["mark_passed"] = true.into();
    let home = folder(&[("policy.json", &marked.to_string())]);
    let rendered = run(
        home.path(),
        &["render", "envoy", "policy.json", "--module", "/etc/envoy/svidgate.wasm"],
    );
    fs::write(home.path().join("envoy.yaml"), &rendered.out).unwrap();
    let judged = run(home.path(), &["guard", "envoy.yaml"]);
    assert_eq!(judged.code, 0, "{}{}", judged.out, rendered.err);
    assert!(
        judged
            .out
            .contains("guarded     chain 1 (http, 1 route, locked behind)"),
        "{}",
        judged.out
    );
    assert!(!judged.out.contains("SG06"), "{}", judged.out);
}

#[test]
fn document_that_does_not_go_there_is_refused() {
    let good = document(&manifest("mesh/istio-wasm-plugin.yaml"));
    let changed = |member: &str, value: Value| {
        let mut document = good.clone();
        document[member] = value;
        document
    };
    let image = image();
    let istio: &[&str] = &["istio", "--namespace", "shop", "--image", &image];
    let gateway: &[&str] = &[
        "envoy-gateway",
        "--namespace",
        "edge",
        "--gateway",
        "edge",
        "--listener",
        "https",
    ];
    let tcp = serde_json::json!({ "trust_domain": "cluster.local", "bundle": { "inline": { "keys": [] } }, "listener": "tcp", "mark_passed": true,
        "rules": [] });
    for (document, arguments, said) in [
        (changed("mark_passed", false.into()), istio, "write `mark_passed: true`"),
        (changed("mark_pased", true.into()), istio, "mark_pased"),
        (tcp, gateway, "write `listener: http`"),
        (
            good.clone(),
            &["istio", "--namespace", "shop", "--waypoint", "w", "--image", &image],
            "go together",
        ),
        (document_with_a_large_number(&good), istio, "above 2^53"),
    ] {
        let ended = rendered(&document, arguments);
        assert!(
            ended.code == 3 && ended.out.is_empty() && ended.err.contains(said),
            "{said}: {} {}",
            ended.code,
            ended.err
        );
    }
    let usage = rendered(
        &good,
        &[
            "istio",
            "--namespace",
            "shop",
            "--image",
            "registry.example/team/svidgate:latest",
        ],
    );
    assert!(usage.code == 2 && usage.err.contains("by its digest"), "{}", usage.err);
}

fn document_with_a_large_number(good: &Value) -> Value {
    let mut document = good.clone();
    document["bundle"]["inline"]["spiffe_sequence"] = 9_007_199_254_740_993u64.into();
    document
}
