//! The running Envoy is asked: what it has, and what is at work.

use std::{fs, time::Duration};

use serde_json::{Value, json};
use support::{
    envoy::{Configuration, Delivery, Envoy, Scenario},
    repository,
    world::{World, with},
};
use tokio::time::sleep;

use crate::{asked, bare, document, gated, guard, of_dump, verdict, wasm};

/// A configuration of `envoy/`, filled in.
pub(crate) fn example(name: &str, world: &World, home: &std::path::Path) -> String {
    let file = |name: &str, text: String| {
        let path = home.join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let values = [
        ("SERVER_CERTIFICATE", file("server.pem", world.server.chain_pem())),
        ("SERVER_KEY", file("server.key", world.server.key_pem())),
        ("OWN_BUNDLE_PEM", file("own.pem", world.own.pem())),
        ("PARTNER_BUNDLE_PEM", file("partner.pem", world.partner.pem())),
        ("MODULE", support::module_path().display().to_string()),
        ("BUNDLE", support::ca::bundle_json(&[&world.own]).to_string()),
        ("DOCUMENT", document(world).to_string()),
        ("ECDS", home.display().to_string()),
    ];
    let text = fs::read_to_string(repository().join("envoy").join(name)).unwrap();
    values
        .iter()
        .fold(text, |text, (name, value)| text.replace(&format!("${{{name}}}"), value))
}

pub(crate) async fn started(text: String) -> Envoy {
    Envoy::start(Scenario {
        text: Some(text),
        ..Scenario::default()
    })
    .await
}

#[tokio::test]
async fn example_with_both_locks_is_in_force() {
    let (world, home) = (World::new(), tempfile::tempdir().unwrap());
    let envoy = started(example("second-lock.yaml", &world, home.path())).await;
    envoy.wait_stat("wasmcustom.svidgate.policy_info.test", 1).await;
    let (code, report) = asked(&envoy).await;
    assert_eq!((code, verdict(&report)), (0, "guarded"), "{report:#}");
    assert_eq!(
        [&report["running"], &report["in_force"], &report["doors"][0]["lock"]],
        [true, true, true]
    );
    assert_eq!(report["doors"][0]["connection"]["version"], "test");
    assert_eq!(report["doors"][0]["tls"]["trust"], "by trust domain (SPIFFE validator)");
    // The configuration that it was started with says the same.
    let file = guard(&["-"], &example("second-lock.yaml", &world, home.path())).1;
    assert_eq!(
        file["doors"][0]["connection"]["sha256"],
        report["doors"][0]["connection"]["sha256"]
    );
    assert_eq!([&file["running"], &file["in_force"]], [false, false]);
}

/// The file does not show what discovery brings, and the dump does.
#[tokio::test]
async fn example_with_filters_from_files_is_in_force() {
    let (world, home) = (World::new(), tempfile::tempdir().unwrap());
    for name in ["svidgate.connection.yaml", "svidgate.request.yaml"] {
        fs::write(
            home.path().join(name),
            example(&format!("ecds-file/{name}"), &world, home.path()),
        )
        .unwrap();
    }
    let text = example("ecds-file/bootstrap.yaml", &world, home.path());
    assert_eq!(guard(&["-"], &text).0, 4);
    let envoy = started(text).await;
    envoy.wait_stat("wasmcustom.svidgate.policy_info.1", 1).await;
    let (code, report) = asked(&envoy).await;
    assert_eq!((code, verdict(&report)), (0, "guarded"), "{report:#}");
}

/// A document with a mistake: what ran before goes on, and is what is judged.
#[tokio::test]
async fn refused_listener_is_told_and_the_one_before_is_in_force() {
    let world = World::new();
    let listeners = vec![gated(&world)];
    let envoy = Envoy::start(Scenario {
        listeners,
        lds: true,
        ..Scenario::default()
    })
    .await;
    envoy.wait_stat("wasmcustom.svidgate.policy_info.test", 1).await;
    let mut bad = wasm(&world);
    bad.configuration = Configuration::Json(with(document(&world), json!({ "mark_pased": true })));
    envoy.replace_listeners(&[bare(&world).connection_filter(bad.clone()).request_filter(bad)]);
    envoy.wait_stat("listener_manager.lds.update_rejected", 1).await;
    let (code, report) = asked(&envoy).await;
    assert_eq!((code, verdict(&report)), (0, "guarded"), "{report:#}");
    assert_eq!(report["refused_updates"][0]["what"], "listener web");
    let said: Vec<_> = report["remarks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|remark| remark["code"] == "SG0656")
        .collect();
    assert!(!said.is_empty(), "{report:#}");
}

/// A first document by discovery that is refused: Envoy is live, lets nobody through, and has the document in its dump.
#[tokio::test]
async fn first_document_that_is_refused_is_not_known() {
    let world = World::new();
    let mut bad = wasm(&world);
    bad.configuration = Configuration::Text("no document".to_owned());
    bad.delivery = Delivery::Ecds;
    let envoy = Envoy::start(Scenario::of(
        bare(&world).connection_filter(bad.clone()).request_filter(bad),
        [],
    ))
    .await;
    let (code, report) = asked(&envoy).await;
    assert_eq!(code, 4, "{report:#}");
    let codes: Vec<&Value> = report["doors"][0]["remarks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|remark| &remark["code"])
        .collect();
    assert!(codes.contains(&&json!("SG0628")), "{report:#}");
}

/// Configured, and statistics do not show it.
#[tokio::test]
async fn document_that_statistics_do_not_show_is_not_known_to_be_at_work() {
    fn silent(bootstrap: &mut Value) {
        bootstrap["stats_config"] =
            json!({ "stats_matcher": { "exclusion_list": { "patterns": [{ "prefix": "wasmcustom." }] } } });
    }
    let world = World::new();
    let envoy = Envoy::start(Scenario {
        amend: Some(silent),
        ..Scenario::of(gated(&world), [])
    })
    .await;
    sleep(Duration::from_millis(500)).await;
    let (code, report) = asked(&envoy).await;
    assert_eq!((code, verdict(&report)), (4, "not_known"), "{report:#}");
    assert_eq!(of_dump(&envoy).await.0, 0);
}

#[tokio::test]
async fn roll_out_is_gated_by_the_expected_version() {
    let (world, home) = (World::new(), tempfile::tempdir().unwrap());
    let envoy = Envoy::start(Scenario::of(gated(&world), [])).await;
    envoy.wait_stat("wasmcustom.svidgate.policy_info.test", 1).await;
    let url = format!("http://{}", envoy.admin_addr());
    for (version, expected) in [("test", 0), ("next", 1)] {
        let path = home.path().join("expected.json");
        fs::write(
            &path,
            json!({ "listeners": { "web": { "version": version } } }).to_string(),
        )
        .unwrap();
        let (url, path) = (url.clone(), path.display().to_string());
        let code = tokio::task::spawn_blocking(move || guard(&["--admin", &url, "--expect", &path], "").0)
            .await
            .unwrap();
        assert_eq!(code, expected, "{version}");
    }
}
