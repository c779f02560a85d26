//! Whether each fault that is to be planted still has its place.

use std::{fs, path::Path};

use serde::Deserialize;

#[derive(Deserialize)]
struct Faults {
    fault: Vec<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    name: String,
    file: String,
    from: String,
    to: String,
}

#[test]
fn every_fault_has_one_place_to_be_planted_in() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let list = fs::read_to_string(package.join("tests/analysis/faults.toml")).unwrap();
    let faults: Faults = toml::from_str(&list).unwrap();
    assert!(faults.fault.len() >= 20, "{}", faults.fault.len());
    for Fault { name, file, from, to } in faults.fault {
        let text = fs::read_to_string(package.join("src/analysis").join(&file)).unwrap();
        assert_eq!(text.matches(&from).count(), 1, "{name}: `{from}` in {file}");
        assert_ne!(from, to, "{name}");
    }
}
