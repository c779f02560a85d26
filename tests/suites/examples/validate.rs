//! A document judged before it is rolled out, without a proxy that runs.

use std::fs;

use serde_json::{Value, json};
use support::{
    envoy::{envoy_version, validate},
    module_path, repository,
    world::World,
};

use crate::filled;

fn judged(document: &Value) -> (Option<i32>, String) {
    let text = fs::read_to_string(repository().join("envoy/operate/validate.yaml")).expect("the example is there");
    let module = module_path().display().to_string();
    let text = text
        .replace("${MODULE}", &module)
        .replace("${DOCUMENT}", &document.to_string());
    validate(&text)
}

fn document(world: &World, listener: &str) -> Value {
    let mut document =
        world.document(json!([{ "name": "api", "effect": "allow", "from": ["spiffe://prod.example/**"] }]));
    document["listener"] = json!(listener);
    document
}

#[test]
fn good_document_ends_validation_with_zero_and_each_mistake_of_a_bad_one_has_its_line() {
    let world = World::new();
    if envoy_version() < (1, 37) {
        let (code, said) = judged(&document(&world, "http"));
        assert_eq!(code, Some(1));
        assert!(
            said.contains("put `svidgate.hold` and `set_filter_state` before"),
            "{said}"
        );
        return;
    }
    for listener in ["http", "tcp"] {
        assert_eq!(judged(&document(&world, listener)).0, Some(0), "{listener}");
    }
    let mut bad = document(&world, "http");
    bad["mode"] = json!("enforced");
    bad["rules"][0]["from"][0] = json!("spiffe://prod/ns");
    let (code, said) = judged(&bad);
    assert_eq!(code, Some(1));
    for mistake in [
        "mode: `enforced` is not one of `enforce`, `dry_run`",
        "rules[0].from[0]: unknown trust domain `prod` (known: `prod.example`, `partner.example`)",
    ] {
        assert!(said.contains(&format!("svidgate: configuration: {mistake}")), "{said}");
    }
}

/// What the example is for: Envoy validates a bootstrap without what it would discover.
#[test]
fn validation_of_a_bootstrap_does_not_see_a_document_that_is_discovered() {
    let (world, home) = (World::new(), tempfile::tempdir().expect("a temporary directory"));
    let directory = home.path().join("ecds");
    fs::create_dir(&directory).expect("a directory");
    for name in ["svidgate.connection.yaml", "svidgate.request.yaml"] {
        fs::write(directory.join(name), "no configuration of anything").expect("a temporary file");
    }
    let values = [("ECDS", directory.display().to_string())];
    let text = filled("ecds-file/bootstrap.yaml", home.path(), &world, &values);
    let text = text.replace("${HOME}", &home.path().display().to_string());
    let (code, said) = validate(&text);
    assert_eq!(code, Some(0), "{said}");
}
