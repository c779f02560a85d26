//! A real Envoy loads what is rendered, and takes what is put into the files that it watches.

use std::{fs, path::Path, process::Command};

use serde_json::json;
use support::{
    envoy::validate,
    world::{World, with},
};

use crate::{
    asked, document,
    in_force::{example, started},
    verdict,
};

/// What `svidgate render` prints.
fn rendered(home: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_svidgate"))
        .arg("render")
        .args(arguments)
        .current_dir(home)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn write_policy(home: &Path, world: &World, version: &str) {
    let document = with(document(world), json!({ "version": version }));
    fs::write(home.join("policy.json"), document.to_string()).unwrap();
}

#[test]
fn configuration_is_one_that_envoy_takes() {
    let (world, home) = (World::new(), tempfile::tempdir().unwrap());
    write_policy(home.path(), &world, "1");
    let module = support::module_path().display().to_string();
    let text = rendered(
        home.path(),
        &[
            "envoy",
            "policy.json",
            "--module",
            &module,
            "--admin-port",
            "0",
            "--listen",
            "127.0.0.1:0",
        ],
    );
    let (code, said) = validate(&text);
    assert_eq!(code, Some(0), "{said}\n{text}");
}

#[tokio::test]
async fn files_of_discovery_are_at_work_and_so_is_what_is_put_into_them() {
    let (world, home) = (World::new(), tempfile::tempdir().unwrap());
    write_policy(home.path(), &world, "1");
    let module = support::module_path().display().to_string();
    let files = [
        ("svidgate.connection.yaml", "ecds-connection"),
        ("svidgate.request.yaml", "ecds-request"),
    ];
    for (name, shape) in files {
        let text = rendered(
            home.path(),
            &["envoy", "policy.json", "--module", &module, "--shape", shape],
        );
        fs::write(home.path().join(name), text).unwrap();
    }
    let envoy = started(example("ecds-file/bootstrap.yaml", &world, home.path())).await;
    envoy.wait_stat("wasmcustom.svidgate.policy_info.1", 1).await;
    write_policy(home.path(), &world, "2");
    for (name, _) in files {
        rendered(home.path(), &["--into", name, "policy.json"]);
    }
    envoy.wait_stat("wasmcustom.svidgate.policy_info.2", 1).await;
    let (code, report) = asked(&envoy).await;
    assert_eq!((code, verdict(&report)), (0, "guarded"), "{report:#}");
    assert_eq!(
        [
            &report["doors"][0]["connection"]["version"],
            &report["doors"][0]["requests"][0]["version"]
        ],
        ["2", "2"]
    );
}
