//! `guard` and a real Envoy: what it says of a door, and what a stranger gets there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets the unexpected must stop"
)]

mod in_force;
mod rendered;
mod strangers;

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use support::{
    envoy::{ClientCertificate, Envoy, Listener, Route, Wasm},
    module_path,
    world::{World, with},
};

/// What `guard` says of a configuration on standard input, or of `--admin`: the exit code, and the report.
fn guard(arguments: &[&str], input: &str) -> (i32, Value) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_svidgate"))
        .args(["guard", "--format", "json"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code().expect("the command ended by itself"), report)
}

/// What it says of an Envoy that it asks.
async fn asked(envoy: &Envoy) -> (i32, Value) {
    let url = format!("http://{}", envoy.admin_addr());
    tokio::task::spawn_blocking(move || guard(&["--admin", &url], ""))
        .await
        .unwrap()
}

/// What it says of an Envoy's dump.
async fn of_dump(envoy: &Envoy) -> (i32, Value) {
    let dump = envoy.admin("/config_dump?include_eds").await;
    guard(&["-"], &dump)
}

/// The verdict on the only listener.
fn verdict(report: &Value) -> &str {
    assert_eq!(report["doors"].as_array().map(Vec::len), Some(1), "{report:#}");
    report["doors"][0]["verdict"].as_str().unwrap()
}

fn document(world: &World) -> Value {
    let rules = json!([{ "name": "api", "effect": "allow", "from": ["spiffe://prod.example/api"], "to": [{ "methods": ["GET"] }] }]);
    with(world.document(rules), json!({ "mark_passed": true }))
}

fn wasm(world: &World) -> Wasm {
    Wasm::new(&module_path(), document(world))
}

/// A listener with TLS and one route, and nothing of ours.
fn bare(world: &World) -> Listener {
    Listener::http("web", [Route::direct("app", "/", 200, "the application")])
        .tls(&world.server, ClientCertificate::AcceptUntrusted)
}

fn gated(world: &World) -> Listener {
    bare(world).connection_filter(wasm(world)).request_filter(wasm(world))
}
