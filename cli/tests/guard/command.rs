//! The command from outside: how it ends, and what it prints in each format.

use std::{
    fs,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::shapes::*;

/// How a run ended.
struct Ended {
    code: i32,
    out: String,
    err: String,
}

/// A folder with files of JSON, and the command in it.
fn run(files: &[(&str, &Value)], arguments: &[&str]) -> Ended {
    let home = folder(files);
    run_in(&home, arguments, &[])
}

fn folder(files: &[(&str, &Value)]) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    for (name, value) in files {
        fs::write(home.path().join(name), value.to_string()).unwrap();
    }
    home
}

fn run_in(home: &TempDir, arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    let output = Command::new(env!("CARGO_BIN_EXE_svidgate"))
        .arg("guard")
        .args(arguments)
        .current_dir(home.path())
        .env_remove("GITHUB_STEP_SUMMARY")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Ended {
        code: output.status.code().expect("the command ended by itself"),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn door(listener_name: &str, filters: &[Value]) -> Value {
    let all = [
        filters,
        &[manager(
            &[request(&document()), lock(), router()],
            routes("r", &Value::Null),
        )],
    ]
    .concat();
    dump(&[listener(listener_name, &[chain("in", &all)])])
}

fn guarded() -> Value {
    door("web", &[connection(&document())])
}

fn open() -> Value {
    dump(&[listener(
        "web",
        &[chain("in", &[manager(&[router()], routes("r", &Value::Null))])],
    )])
}

fn not_known() -> Value {
    door("web", &[discovered("svidgate.connection", NETWORK)])
}

#[test]
fn exit_code_is_the_verdict() {
    for (configuration, code) in [(guarded(), 0), (open(), 1), (not_known(), 4)] {
        let ended = run(&[("dump.json", &configuration)], &["dump.json"]);
        assert_eq!(ended.code, code, "{}{}", ended.out, ended.err);
    }
    // What is certain goes before what is not.
    let mut both = not_known();
    let more = open()["configs"][0]["dynamic_listeners"][0].clone();
    both["configs"][0]["dynamic_listeners"]
        .as_array_mut()
        .unwrap()
        .push(more);
    assert_eq!(run(&[("dump.json", &both)], &["dump.json"]).code, 1);
    assert_eq!(run(&[("dump.json", &open())], &["dump.json", "--exit-zero"]).code, 0);
    assert_eq!(
        run(&[("dump.json", &not_known())], &["dump.json", "--exit-zero"]).code,
        4
    );
}

#[test]
fn what_cannot_be_judged_is_bad_input() {
    for (text, said) in [
        (json!({ "kind": "WasmPlugin" }), "neither"),
        (json!([]), "neither"),
        (json!({ "configs": 7 }), "`configs` is not a list"),
    ] {
        let ended = run(&[("x.json", &text)], &["x.json"]);
        assert_eq!((ended.code, ended.out.as_str()), (3, ""));
        assert!(
            ended.err.contains("x.json") && ended.err.contains(said),
            "{}",
            ended.err
        );
    }
    assert_eq!(run(&[], &["missing.json"]).code, 3);
    assert_eq!(run(&[], &[]).code, 2);
    assert_eq!(run(&[], &["x", "--admin", "http://127.0.0.1:1"]).code, 2);
    assert_eq!(run(&[], &["--admin", "http://10.0.0.1:9901"]).code, 3);
    let home = folder(&[]);
    fs::write(home.path().join("twice.json"), r#"{"configs": [], "configs": []}"#).unwrap();
    let ended = run_in(&home, &["twice.json"], &[]);
    assert!(ended.code == 3 && ended.err.contains("there twice"), "{}", ended.err);
}

#[test]
fn text_fits_into_80_columns_and_has_no_colour_in_a_pipe() {
    for configuration in [guarded(), open(), not_known()] {
        let ended = run(&[("dump.json", &configuration)], &["dump.json"]);
        assert!(!ended.out.contains('\u{1b}'), "{}", ended.out);
        for line in ended.out.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
    let coloured = run(&[("dump.json", &open())], &["dump.json", "--color", "always"]).out;
    assert!(coloured.contains("\u{1b}["), "{coloured}");
}

#[test]
fn guarded_door_reads_so() {
    let ended = run(&[("dump.json", &guarded())], &["dump.json"]);
    assert_eq!(
        ended.out,
        "listener web at 0.0.0.0:8443
  guarded     in (http, 1 route, locked behind)
              svidgate.connection, svidgate.request: version 1 sha256
              f460671a67bd, FAIL_RELOAD, vm_id svidgate

guard: 1 door (1 guarded), as configured in a running Envoy
"
    );
}

#[test]
fn expected_document_gates_a_roll_out() {
    let of = |expected: Value| {
        run(
            &[("dump.json", &guarded()), ("e.json", &expected)],
            &["dump.json", "--expect", "e.json"],
        )
    };
    assert_eq!(of(json!({ "listeners": { "web": { "version": "1" } } })).code, 0);
    assert_eq!(
        of(json!({ "listeners": { "web": { "sha256": "f460671a67bd" } } })).code,
        0
    );
    for other in [
        json!({ "listeners": { "web": { "version": "2" } } }),
        json!({ "listeners": { "web": { "sha256": "000000000000" } } }),
        json!({ "listeners": { "web": { "version": "1" }, "db": { "version": "1" } } }),
    ] {
        let ended = of(other);
        assert!(ended.code == 1 && ended.out.contains("SG0609"), "{}", ended.out);
    }
    assert_eq!(of(json!({ "listeners": { "web": "1" } })).code, 3);
    // Accepted without a guard, and why.
    let accepted = json!({ "listeners": { "web": { "unguarded": "only Prometheus gets there" } } });
    let ended = run(
        &[("dump.json", &open()), ("e.json", &accepted)],
        &["dump.json", "--expect", "e.json"],
    );
    assert!(
        ended.code == 0 && ended.out.contains("only Prometheus gets there"),
        "{}",
        ended.out
    );
    // The document is there, and the door is not guarded all the same.
    let mut dry = document();
    dry["mode"] = json!("dry_run");
    let dry = dump(&[listener(
        "web",
        &[chain(
            "in",
            &[
                connection(&dry),
                manager(&[request(&dry), router()], routes("r", &Value::Null)),
            ],
        )],
    )]);
    let expected = json!({ "listeners": { "web": { "version": "1" } } });
    assert_eq!(
        run(
            &[("dump.json", &dry), ("e.json", &expected)],
            &["dump.json", "--expect", "e.json"]
        )
        .code,
        1
    );
}

#[test]
fn one_filter_of_two_with_the_new_document_is_not_rolled_out() {
    let mut new = document();
    new["version"] = json!("2");
    let filters = [
        connection(&new),
        manager(&[request(&document()), lock(), router()], routes("r", &Value::Null)),
    ];
    let half = dump(&[listener("web", &[chain("in", &filters)])]);
    let expected = json!({ "listeners": { "web": { "version": "2" } } });
    let ended = run(
        &[("dump.json", &half), ("e.json", &expected)],
        &["dump.json", "--expect", "e.json"],
    );
    assert!(
        ended.code == 1 && ended.out.contains("`svidgate.request` has version `1`"),
        "{}",
        ended.out
    );
}

#[test]
fn json_has_each_door_with_what_it_stands_on() {
    let ended = run(&[("dump.json", &guarded())], &["dump.json", "--format", "json"]);
    let report: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(
        [&report["schema"], &report["verdict"]],
        ["svidgate/guard/v1", "guarded"]
    );
    let door = &report["doors"][0];
    assert_eq!(
        [&door["listener"], &door["behind"], &door["verdict"]],
        ["web", "http", "guarded"]
    );
    assert_eq!(door["requests"][0]["version"], "1");
    assert_eq!(door["connection"]["sha256"], door["requests"][0]["sha256"]);
    assert_eq!([&door["tls"]["client_certificate"], &door["lock"]], [true, true]);
    assert_eq!(door["reading"]["forward_client_cert_details"], "SANITIZE");
}

/// Whoever may name a listener, a route or a filter must not run commands of CI, nor change what others read.
#[test]
fn foreign_names_are_escaped_in_every_format() {
    let evil = "x\n::error::pwned\u{1b}[31m\u{202e}<script>|`@team`";
    let routes = json!({ "name": evil, "virtual_hosts": [{ "name": evil, "domains": ["*"], "routes": [{ "name": evil, "match": { "prefix": "/" },
        "typed_per_filter_config": { "svidgate.request": typed("envoy.config.route.v3.FilterConfig", json!({ "disabled": true })) } }, { "name": "b" }] }] });
    let mut inner = request(&document());
    inner["typed_config"]["config"]["vm_config"]["vm_id"] = json!(evil);
    let filters = [connection(&document()), manager(&[inner, router()], routes)];
    let configuration = dump(&[listener(evil, &[chain(evil, &filters)])]);
    for format in ["text", "json", "junit", "sarif", "github", "markdown"] {
        let ended = run(&[("dump.json", &configuration)], &["dump.json", "--format", format]);
        assert_eq!(ended.code, 1, "{format}: {}", ended.err);
        assert!(!ended.out.contains(['\u{1b}', '\u{202e}']), "{format}: {}", ended.out);
        assert!(
            !ended.out.lines().any(|line| line.starts_with("::error::")),
            "{format}: {}",
            ended.out
        );
        assert!(!ended.out.contains("\n::error::pwned"), "{format}: {}", ended.out);
        if format == "markdown" {
            assert!(
                !ended.out.contains("<script>") && !ended.out.contains(" @team"),
                "{}",
                ended.out
            );
        }
    }
    let home = folder(&[("dump.json", &configuration)]);
    let summary = home.path().join("summary.md");
    let ended = run_in(
        &home,
        &["dump.json", "--format", "github"],
        &[("GITHUB_STEP_SUMMARY", summary.to_str().unwrap())],
    );
    assert!(ended.out.contains("::error title=SG0602"), "{}", ended.out);
    assert!(fs::read_to_string(summary).unwrap().contains("NOT GUARDED"));
}
