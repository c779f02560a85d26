//! A document is put into what is there, and nothing else is touched.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use serde_json::{Value, json};

use crate::{documents, folder, run};

const OLD: &str = r#"{"version":"1","trust_domain":"prod.example","bundle":{"inline":{"keys":[]}},"rules":[]}"#;
const NEW: &str = r#"# The policy.
version: "2"
trust_domain: prod.example
bundle: { inline: { keys: [] } }
rules:
  - name: api            # who
    effect: allow
    from: [ "spiffe://prod.example/ns/*/sa/api" ]
    to: [ { methods: [ GET ], paths: [ "/orders/**" ] } ]
"#;

fn new() -> Value {
    serde_saphyr::from_str(NEW).unwrap()
}

/// Two WasmPlugins in block style, with comments around and within.
const PLUGINS: &str = r#"# Ours.
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: { name: svidgate-connection }   # the first
spec:
  pluginName: svidgate.connection
  pluginConfig:                           # the document
    version: "1"
    trust_domain: prod.example
    bundle:
      inline:
        keys: []
    rules: []                             # nobody

  # After it.
  failStrategy: FAIL_CLOSE
---
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: { name: svidgate-request }
spec:
  pluginName: svidgate.request
  pluginConfig: {version: "1", trust_domain: prod.example, bundle: {inline: {keys: []}}, rules: []}   # in braces
"#;

/// Both filters of an Envoy, with the document as a string.
fn envoy(configuration: &str) -> String {
    let filter = |kind: &str, root: &str| {
        format!(
            "- typed_config:\n    \"@type\": type.googleapis.com/envoy.extensions.filters.{kind}.wasm.v3.Wasm\n    config:\n      name: web.{root}\n      root_id: svidgate.{root}\n      configuration:\n        \"@type\": type.googleapis.com/google.protobuf.StringValue\n        value: {configuration}\n      # behind\n"
        )
    };
    filter("network", "connection") + &filter("http", "request")
}

/// Puts the new document into a text; gives the text that comes of it.
#[track_caller]
fn put(text: &str) -> String {
    let home = folder(&[("policy.yaml", NEW), ("there.yaml", text)]);
    let ended = run(home.path(), &["render", "--into", "there.yaml", "policy.yaml"]);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{}", ended.out);
    assert_eq!(
        run(home.path(), &["render", "--check", "there.yaml", "policy.yaml"]).code,
        0
    );
    fs::read_to_string(home.path().join("there.yaml")).unwrap()
}

/// That it is refused with these words, and nothing was written.
#[track_caller]
fn assert_refused(text: &str, arguments: &[&str], said: &str) {
    let home = folder(&[("policy.yaml", NEW), ("there.yaml", text)]);
    let ended = run(
        home.path(),
        &[&["render", "--into", "there.yaml", "policy.yaml"], arguments].concat(),
    );
    assert!(
        ended.code == 3 && ended.err.contains(said),
        "{} {}",
        ended.code,
        ended.err
    );
    assert_eq!(fs::read_to_string(home.path().join("there.yaml")).unwrap(), text);
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 2);
}

#[test]
fn blocks_and_braces_get_it_and_what_stands_around_them_stays() {
    let came = put(PLUGINS);
    let plugins = documents(&came);
    assert_eq!(
        [&plugins[0]["spec"]["pluginConfig"], &plugins[1]["spec"]["pluginConfig"]],
        [&new(), &new()]
    );
    for kept in [
        "# Ours.\n",
        "# the first\n",
        "pluginConfig:                           # the document\n",
        "\n\n  # After it.\n  failStrategy",
        "# in braces\n",
    ] {
        assert!(came.contains(kept), "{kept}\n{came}");
    }
    let outside = |text: &str| text.split("pluginConfig:").next().unwrap().to_owned();
    assert_eq!(outside(&came), outside(PLUGINS));
}

#[test]
fn strings_get_it_in_every_style() {
    let pretty = serde_json::to_string_pretty(&serde_json::from_str::<Value>(OLD).unwrap()).unwrap();
    let lines: String = pretty.lines().map(|line| format!("\n          {line}")).collect();
    for style in [
        format!("'{OLD}'"),
        serde_json::to_string(OLD).unwrap(),
        format!("|{lines}"),
        format!(">-{lines}"),
        format!("|-{lines}\n\n"),
    ] {
        let came = put(&envoy(&style));
        let filters: Value = serde_saphyr::from_str(&came).unwrap();
        for filter in filters.as_array().unwrap() {
            let text = filter["typed_config"]["config"]["configuration"]["value"]
                .as_str()
                .unwrap();
            assert_eq!(serde_json::from_str::<Value>(text).unwrap(), new(), "{came}");
        }
        assert_eq!(came.matches("# behind\n").count(), 2, "{came}");
    }
}

#[test]
fn files_of_json_stay_files_of_json() {
    let filter = |root: &str, kind: &str| {
        json!({ "typed_config": { "@type": format!("type.googleapis.com/envoy.extensions.filters.{kind}.wasm.v3.Wasm"), "config": {
            "name": root, "root_id": root, "configuration": { "@type": "type.googleapis.com/google.protobuf.Struct",
                "value": serde_json::from_str::<Value>(OLD).unwrap() } } } })
    };
    let text = serde_json::to_string_pretty(&json!([
        filter("svidgate.connection", "network"),
        filter("svidgate.request", "http")
    ]))
    .unwrap();
    let came: Value = serde_json::from_str(&put(&text)).unwrap();
    for filter in came.as_array().unwrap() {
        assert_eq!(filter["typed_config"]["config"]["configuration"]["value"], new());
    }
}

#[test]
fn ends_of_lines_stay_as_they_are() {
    let came = put(&PLUGINS.replace('\n', "\r\n"));
    assert!(!came.replace("\r\n", "").contains('\n'), "{came:?}");
}

#[test]
fn second_time_changes_nothing() {
    let home = folder(&[("policy.yaml", NEW), ("there.yaml", PLUGINS)]);
    let into = || run(home.path(), &["render", "--into", "there.yaml", "policy.yaml"]);
    let read = || fs::read(home.path().join("there.yaml")).unwrap();
    assert_eq!(into().out, "there.yaml: the document is in 2 places\n");
    let first = read();
    assert_eq!(into().out, "there.yaml: nothing to change\n");
    assert_eq!(read(), first);
}

#[test]
fn check_says_what_carries_another_document() {
    let home = folder(&[("policy.yaml", NEW), ("there.yaml", PLUGINS)]);
    let check = || run(home.path(), &["render", "--check", "there.yaml", "policy.yaml"]);
    let ended = check();
    assert_eq!((ended.code, ended.err.as_str()), (1, ""));
    assert!(ended.out.contains("WasmPlugin `svidgate-request`"), "{}", ended.out);
    assert_eq!(
        run(home.path(), &["render", "--into", "there.yaml", "policy.yaml"]).code,
        0
    );
    assert_eq!(check().code, 0);
    // One of two is not all.
    let half =
        fs::read_to_string(home.path().join("there.yaml"))
            .unwrap()
            .replacen("version: \"2\"", "version: \"3\"", 1);
    fs::write(home.path().join("there.yaml"), half).unwrap();
    assert_eq!(
        run(
            home.path(),
            &[
                "render",
                "--check",
                "there.yaml",
                "policy.yaml",
                "--name",
                "svidgate-connection",
                "--name",
                "svidgate-request"
            ]
        )
        .code,
        1
    );
}

#[test]
fn what_was_rendered_can_be_written_into() {
    let document = NEW.replace("version: \"2\"\n", "version: \"1\"\nmark_passed: true\n");
    let home = folder(&[
        ("old.yaml", &document),
        ("policy.yaml", &document.replace("\"1\"", "\"2\"")),
    ]);
    let image = format!("registry.example/team/svidgate@sha256:{}", "0".repeat(64));
    let istio = ["render", "istio", "old.yaml", "--namespace", "shop", "--image", &image];
    let gateway = [
        "render",
        "envoy-gateway",
        "old.yaml",
        "--namespace",
        "edge",
        "--gateway",
        "edge",
        "--listener",
        "a",
        "--listener",
        "b",
    ];
    let envoy = ["render", "envoy", "old.yaml", "--module", "/svidgate.wasm"];
    for (arguments, places) in [(&istio[..], 2), (&gateway[..], 4), (&envoy[..], 2)] {
        fs::write(home.path().join("there.yaml"), run(home.path(), arguments).out).unwrap();
        assert_eq!(
            run(home.path(), &["render", "--check", "there.yaml", "old.yaml"]).code,
            0
        );
        let ended = run(home.path(), &["render", "--into", "there.yaml", "policy.yaml"]);
        assert_eq!(
            ended.out,
            format!("there.yaml: the document is in {places} places\n"),
            "{}",
            ended.err
        );
        let direct: Vec<_> = arguments
            .iter()
            .map(|word| if *word == "old.yaml" { "policy.yaml" } else { word })
            .collect();
        let direct = run(home.path(), &direct).out;
        assert_eq!(fs::read_to_string(home.path().join("there.yaml")).unwrap(), direct);
    }
}

#[test]
fn templates_and_anchors_are_refused() {
    assert_refused(
        &PLUGINS.replace(
            "metadata: { name: svidgate-request }",
            "metadata: { name: \"{{ .Values.name }}\" }",
        ),
        &[],
        "it is a template",
    );
    let shared = envoy("&document '{OLD}'").replace("{OLD}", OLD);
    let (first, second) = shared.split_at(
        shared
            .find("- typed_config:\n    \"@type\": type.googleapis.com/envoy.extensions.filters.http")
            .unwrap(),
    );
    let aliased = format!("{first}{}", second.replace(&format!("&document '{OLD}'"), "*document"));
    assert_refused(&aliased, &[], "an anchor");
    // A part of it.
    let part = PLUGINS.replace("      inline:\n", "      inline: &inline\n").replace(
        "  failStrategy: FAIL_CLOSE\n",
        "  failStrategy: FAIL_CLOSE\n  other: *inline\n",
    );
    assert_refused(&part, &[], "an anchor");
}

#[test]
fn place_that_is_not_clear_is_refused() {
    let different = PLUGINS.replacen("version: \"1\"", "version: \"0\"", 1);
    assert_refused(&different, &[], "it is not clear which are meant");
    let home = folder(&[("policy.yaml", NEW), ("there.yaml", &different)]);
    let both = [
        "render",
        "--into",
        "there.yaml",
        "policy.yaml",
        "--name",
        "svidgate-connection",
        "--name",
        "svidgate-request",
    ];
    assert_eq!(run(home.path(), &both).code, 0);
    assert_refused(PLUGINS, &["--name", "svidgate-request"], "get one document at once");
    assert_refused(PLUGINS, &["--name", "svidgate"], "no document of the name `svidgate`");
    assert_refused("kind: Service\napiVersion: v1\n", &[], "carries no document");
    assert_refused(NEW, &[], "is a document by itself");
    assert_refused(&envoy("'${DOCUMENT}'"), &[], "cannot be read as JSON");
}

#[test]
fn document_with_a_mistake_is_refused() {
    let home = folder(&[
        ("policy.yaml", &NEW.replace("effect: allow", "effect: alow")),
        ("there.yaml", PLUGINS),
    ]);
    let ended = run(home.path(), &["render", "--into", "there.yaml", "policy.yaml"]);
    assert!(
        ended.code == 3 && ended.err.contains("policy.yaml:7:13"),
        "{}",
        ended.err
    );
    assert_eq!(fs::read_to_string(home.path().join("there.yaml")).unwrap(), PLUGINS);
}

#[test]
fn mode_of_the_file_and_the_link_to_it_stay() {
    let home = folder(&[("policy.yaml", NEW), ("real.yaml", PLUGINS)]);
    let at = |name: &str| home.path().join(name);
    fs::set_permissions(at("real.yaml"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("real.yaml", at("there.yaml")).unwrap();
    assert_eq!(
        run(home.path(), &["render", "--into", "there.yaml", "policy.yaml"]).code,
        0
    );
    assert!(fs::symlink_metadata(at("there.yaml")).unwrap().is_symlink());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&at("real.yaml")), 0o640);
    assert!(fs::read_to_string(at("real.yaml")).unwrap().contains("version: \"2\""));
}

/// Hostile names within a document get no further than into quotes.
#[test]
fn texts_of_every_kind_come_through() {
    let mut hostile = new();
    hostile["version"] = json!("x --- kind: Pod #{{ \u{2028}'\"\\ é \u{1F600}");
    let home = folder(&[("policy.json", &hostile.to_string()), ("there.yaml", PLUGINS)]);
    let ended = run(home.path(), &["render", "--into", "there.yaml", "policy.json"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let came = fs::read_to_string(home.path().join("there.yaml")).unwrap();
    assert_eq!(documents(&came)[0]["spec"]["pluginConfig"], hostile);
}
