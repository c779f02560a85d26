//! Whatever carries a document is read: everything in `envoy/` of this repository.

use std::{collections::BTreeMap, fs, path::PathBuf};

use crate::stage::Stage;

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

const DOCUMENT: &str = r#"{"trust_domain": "prod.example", "chain": "proxy", "rules": []}"#;

/// Fills in what is written `${LIKE_THIS}`, as the suites do.
fn filled(text: &str) -> String {
    let mut filled = text
        .replace("value: '${DOCUMENT}'", &format!("value: '{DOCUMENT}'"))
        .replace(
            "value: \"${DOCUMENT}\"",
            &format!("value: {}", serde_json::to_string(DOCUMENT).unwrap()),
        )
        .replace("${DOCUMENT}", DOCUMENT)
        .replace("${BUNDLE}", "{ keys: [] }")
        .replace("${OWN}", "prod")
        .replace("${OTHER}", "partner");
    while let Some(start) = filled.find("${") {
        let end = start + filled[start..].find('}').unwrap() + 1;
        let value = match &filled[start..end] {
            name if name.contains("PORT") => "1234",
            name if name.contains("DOCUMENT") => DOCUMENT,
            _ => "x",
        };
        filled.replace_range(start..end, value);
    }
    filled
}

/// How many documents and rules a file has; none where it carries none.
const EXPECTED: [(&str, Option<(usize, usize)>); 35] = [
    ("compose/docker-compose.yaml", None),
    ("compose/gateway.yaml", Some((1, 2))),
    ("compose/sidecar.yaml", Some((1, 2))),
    ("demo/envoy.yaml", Some((1, 0))),
    ("demo/gateway.yaml", None),
    ("demo/policy.yaml", Some((1, 5))),
    ("demo/tcp-rules.yaml", None),
    ("ecds-file/bootstrap.yaml", None),
    ("ecds-file/svidgate.connection.yaml", Some((1, 1))),
    ("ecds-file/svidgate.request.yaml", Some((1, 1))),
    ("federation/https-spiffe-agent.yaml", Some((1, 1))),
    ("federation/https-spiffe.yaml", Some((1, 1))),
    ("federation/https-web.yaml", Some((1, 1))),
    ("federation/workload-api.yaml", Some((1, 1))),
    ("inner-listener.yaml", Some((1, 0))),
    ("mesh/envoy-gateway-lock.yaml", None),
    ("mesh/envoy-gateway-patch.yaml", Some((1, 1))),
    ("mesh/envoy-gateway.yaml", Some((1, 1))),
    ("mesh/istio-access-log.yaml", None),
    ("mesh/istio-envoy-1.37.yaml", None),
    ("mesh/istio-lock.yaml", None),
    ("mesh/istio-tcp.yaml", Some((1, 2))),
    ("mesh/istio-traffic-extension.yaml", Some((1, 1))),
    ("mesh/istio-wasm-plugin.yaml", Some((1, 1))),
    ("mesh/istio-waypoint-lock.yaml", None),
    ("mesh/istio-waypoint.yaml", Some((1, 1))),
    ("operate/access-log.yaml", None),
    ("operate/grafana-dashboard.json", None),
    ("operate/prometheus-rules.test.yaml", None),
    ("operate/prometheus-rules.yaml", None),
    ("operate/stats-tags.yaml", None),
    ("operate/validate.yaml", Some((1, 0))),
    ("second-lock.yaml", Some((1, 0))),
    ("xds/bootstrap.yaml", None),
    ("xds/resources.yaml", Some((1, 0))),
];

#[test]
fn every_file_of_the_repository_is_read() {
    let root = repository().join("envoy");
    let mut folders = vec![root.clone()];
    let mut found = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "yaml" || extension == "json")
            {
                let stage = Stage::new(&[("p.yaml", &filled(&fs::read_to_string(&path).unwrap()))]);
                let ended = stage.run(&["check", "p.yaml", "--level", "error"]);
                let name = path.strip_prefix(&root).unwrap().display().to_string();
                found.insert(name, (ended.code, ended.out));
            }
        }
    }
    let names: Vec<_> = found.keys().map(String::as_str).collect();
    assert_eq!(names, EXPECTED.map(|(name, _)| name));
    for (name, expected) in EXPECTED {
        let (code, out) = &found[name];
        let said = out.lines().last().unwrap();
        match expected {
            Some((documents, rules)) => {
                assert_eq!(*code, 0, "{name}: {out}");
                let plural = |count: usize| if count == 1 { "" } else { "s" };
                let counted = format!(
                    "{documents} document{}, {rules} rule{}",
                    plural(documents),
                    plural(rules)
                );
                assert!(said.ends_with(&counted), "{name}: {out}");
            }
            None => {
                assert_eq!(*code, 1, "{name}: {out}");
                assert!(
                    out.starts_with("error[SG0002]: carries no policy document: it is "),
                    "{name}: {out}"
                );
            }
        }
    }
}

const WASM: &str = "\"@type\": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";

/// Two filters, each under a name with a document.
fn two(one: (&str, &str), two: (&str, &str)) -> String {
    let filter = |(name, document): (&str, &str)| {
        format!(
            "- {WASM}\n  config:\n    name: {name}\n    root_id: svidgate.request\n    configuration:\n      \"@type\": \
             type.googleapis.com/google.protobuf.Struct\n      value: {document}\n"
        )
    };
    format!("{}{}", filter(one), filter(two))
}

#[test]
fn documents_that_mean_the_same_are_one_and_two_that_differ_are_two() {
    let other = "{ rules: [], chain: proxy, trust_domain: prod.example }";
    let stage = Stage::new(&[("p.yaml", &two(("a", DOCUMENT), ("b", other)))]);
    assert!(stage.run(&["check", "p.yaml"]).out.ends_with("1 document, 0 rules\n"));
    let other = "{ rules: [], chain: proxy, trust_domain: other.example }";
    let stage = Stage::new(&[("p.yaml", &two(("a", DOCUMENT), ("b", other)))]);
    let ended = stage.run(&["check", "p.yaml"]);
    assert_eq!(ended.code, 0);
    assert!(ended.out.ends_with("2 documents, 0 rules\n"), "{}", ended.out);
}

#[test]
fn two_documents_under_one_plugin_name_are_a_finding() {
    let other = "{ rules: [], chain: proxy, trust_domain: other.example }";
    let stage = Stage::new(&[("p.yaml", &two(("a", DOCUMENT), ("a", other)))]);
    let findings = stage.findings(&["p.yaml"]);
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0]["code"], "SG0004");
    assert_eq!(findings[0]["also"][0]["place"]["line"], 7);
    assert_eq!(findings[0]["place"]["line"], 14);
}

/// A resource of Istio for one of both filters.
fn plugin(name: &str, filter: &str, document: &str) -> String {
    format!(
        "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {{ name: {name} }}\nspec:\n  pluginName: \
         svidgate.{filter}\n  pluginConfig: {document}\n"
    )
}

#[test]
fn two_filters_of_a_listener_with_documents_that_differ_are_a_finding() {
    let other = DOCUMENT.replace("prod", "other");
    let both = |two: &str, name: &str| {
        format!(
            "{}---\n{}",
            plugin("web-connection", "connection", DOCUMENT),
            plugin(name, "request", two)
        )
    };
    for (two, name, expected) in [
        (other.as_str(), "web-request", 1),
        (&other, "shop-request", 0),
        (DOCUMENT, "web-request", 0),
    ] {
        let stage = Stage::new(&[("p.yaml", &both(two, name))]);
        let findings = stage.findings(&["p.yaml"]);
        assert_eq!(findings.len(), expected, "{name}: {findings:?}");
        if let Some(finding) = findings.first() {
            assert_eq!(
                (&finding["code"], &finding["level"]),
                (&"SG0405".into(), &"warning".into())
            );
            assert_eq!(
                (&finding["place"]["line"], &finding["also"][0]["place"]["line"]),
                (&13.into(), &6.into())
            );
        }
    }
}

#[test]
fn one_of_several_is_asked_for_by_its_name() {
    let bad = "{ rules: 1, chain: proxy, trust_domain: prod.example }";
    let stage = Stage::new(&[("p.yaml", &two(("a", DOCUMENT), ("b", bad)))]);
    assert_eq!(stage.run(&["check", "p.yaml#a"]).code, 0);
    assert_eq!(stage.run(&["check", "p.yaml#b"]).code, 1);
    let findings = stage.findings(&["p.yaml#c"]);
    assert_eq!(findings[0]["help"], "names in it: `a`, `b`");
    // A file of that name is meant first.
    stage.write("p.yaml#a", b"1");
    assert_eq!(stage.run(&["check", "p.yaml#a"]).code, 1);
}

#[test]
fn document_that_the_gate_could_not_read_is_a_finding() {
    for (configuration, expected) in [
        ("", "expected the document in `configuration`, found nothing"),
        (
            "configuration: { \"@type\": type.googleapis.com/google.protobuf.BytesValue, value: e30= }",
            "expected a `google.protobuf.Struct` or `google.protobuf.StringValue` with `value`, found \
             `google.protobuf.BytesValue`",
        ),
        (
            "configuration: { value: { rules: [] } }",
            "expected `\"@type\": type.googleapis.com/google.protobuf.Struct` and the document in `value`",
        ),
        (
            "configuration: { \"@type\": type.googleapis.com/google.protobuf.StringValue, value: { rules: [] } }",
            "expected the document in a `google.protobuf.StringValue`, found an object",
        ),
    ] {
        let text = format!("{WASM}\nconfig:\n  root_id: svidgate.connection\n  {configuration}\n");
        let stage = Stage::new(&[("p.yaml", &text)]);
        let findings = stage.findings(&["p.yaml"]);
        assert_eq!(findings.len(), 1, "{configuration}");
        assert_eq!(findings[0]["message"], expected);
    }
}

#[test]
fn filters_of_others_are_passed_over_and_said() {
    let text = format!("filters:\n- {{ {WASM}, config: {{ root_id: other, configuration: {{ value: x }} }} }}\n");
    let stage = Stage::new(&[("p.yaml", &text)]);
    let findings = stage.findings(&["p.yaml"]);
    let message = findings[0]["message"].as_str().unwrap();
    assert!(
        message.ends_with("; its 1 wasm filters have another `root_id` and no document"),
        "{message}"
    );
}

#[test]
fn configuration_dump_and_typed_struct_are_read() {
    let filter = |config: &str| {
        format!(
            r#"{{"configs": [{{"@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump", "dynamic_listeners":
            [{{"active_state": {{"listener": {{"filter_chains": [{{"filters": [{{"name": "x", "typed_config": {config}}}]}}]}}}}}}]}}]}}"#
        )
    };
    let configuration = format!(
        r#""config": {{"name": "a", "rootId": "svidgate.connection", "configuration": {{"@type":
        "type.googleapis.com/google.protobuf.StringValue", "value": {}}}}}"#,
        serde_json::to_string(DOCUMENT).unwrap()
    );
    let network = "envoy.extensions.filters.network.wasm.v3.Wasm";
    for config in [
        format!(r#"{{"@type": "type.googleapis.com/{network}", {configuration}}}"#),
        format!(
            r#"{{"@type": "type.googleapis.com/xds.type.v3.TypedStruct", "type_url": "type.googleapis.com/{network}",
            "value": {{{configuration}}}}}"#
        ),
    ] {
        let stage = Stage::new(&[("dump.json", &filter(&config))]);
        let ended = stage.run(&["check", "dump.json"]);
        assert_eq!(ended.code, 0, "{}", ended.out);
        assert!(ended.out.ends_with("1 document, 0 rules\n"), "{}", ended.out);
    }
}

#[test]
fn aliases_that_stand_for_too_much_are_refused() {
    let bombs: String = (1..60)
        .map(|n| format!("  - &b{n} [ *b{}, *b{} ]\n", n - 1, n - 1))
        .collect();
    let text = format!(
        "bombs:\n  - &b0 [ x ]\n{bombs}filter:\n  {WASM}\n  config:\n    root_id: svidgate.request\n    configuration:\n      \
         \"@type\": type.googleapis.com/google.protobuf.Struct\n      value: {{ trust_domain: *b59, rules: [] }}\n"
    );
    let stage = Stage::new(&[("p.yaml", &text)]);
    assert_eq!(stage.findings(&["p.yaml"])[0]["code"], "SG0005");
}
