//! Schemas say of documents what the reader says, as far as a schema can: held against the vectors of the reader.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that meets the unexpected must stop"
)]

use std::{fs, path::Path, process::Command};

use jsonschema::Validator;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct File {
    document: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    document: Option<String>,
    rule: Option<String>,
    mistakes: Vec<String>,
}

impl Vector {
    /// The document, if it is JSON.
    fn value(&self) -> Option<Value> {
        let text = match (&self.document, &self.rule) {
            (Some(document), None) => document.clone(),
            (None, Some(rule)) => format!(
                r#"{{"trust_domain": "prod.example", "chain": "proxy",
                     "federation": [{{"trust_domain": "partner.example", "scope": ["/ns/billing/**"]}}],
                     "rules": [{rule}]}}"#
            ),
            _ => return None,
        };
        let text = text
            .replace("@bundle@", r#"{"keys": []}"#)
            .replace("@partner_bundle@", r#"{"keys": []}"#)
            .replace("@pem@", r#""-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----""#);
        serde_json::from_str(&text).ok()
    }
}

fn vectors() -> Vec<Vector> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy/tests/vectors/documents");
    let mut vectors = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        vectors.extend(toml::from_str::<File>(&text).unwrap().document);
    }
    vectors
}

/// What the command prints.
fn schema(kind: &str) -> Validator {
    let output = Command::new(env!("CARGO_BIN_EXE_svidgate"))
        .args(["schema", kind])
        .output()
        .unwrap();
    assert!(output.status.success());
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(jsonschema::meta::is_valid(&schema));
    jsonschema::draft202012::new(&schema).unwrap()
}

/// Mistakes that a schema finds, too: those about members, types, words and lists.
fn is_for_a_schema(mistake: &str) -> bool {
    let said = [
        "unknown field",
        "is not one of",
        "is an empty list",
        "demands nothing",
        ": expected a string, found",
        ": expected a list, found",
        ": expected an object, found",
        ": expected true or false, found",
        ": expected exactly one of",
        "expected a port from",
    ];
    // Whether a bundle is needed depends on two other members.
    let missing = mistake.ends_with(": is missing") && !mistake.ends_with("bundle: is missing");
    missing || said.iter().any(|said| mistake.contains(said))
}

#[test]
fn document_that_compiles_is_valid_and_one_of_another_shape_is_not() {
    let schema = schema("document");
    let (mut good, mut bad, mut wrong) = (0, 0, Vec::new());
    for vector in vectors() {
        let Some(value) = vector.value() else { continue };
        let is_valid = schema.is_valid(&value);
        if vector.mistakes.is_empty() {
            good += 1;
            if let Err(error) = schema.validate(&value) {
                wrong.push(format!(
                    "`{}` compiles: {error} at {}",
                    vector.name,
                    error.instance_path()
                ));
            }
        } else if vector.mistakes.iter().any(|mistake| is_for_a_schema(mistake)) {
            bad += 1;
            if is_valid {
                wrong.push(format!("`{}` is valid: {:?}", vector.name, vector.mistakes));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(good >= 15 && bad >= 33, "{good} {bad}");
}

#[test]
fn example_of_the_documentation_is_valid() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/document.md")).unwrap();
    let example = text.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let value: Value = serde_saphyr::from_str(example).unwrap();
    schema("document").validate(&value).unwrap();
}

#[test]
fn list_of_revocations_has_a_schema() {
    let schema = schema("revocations");
    let digest = "b5d630546f0c3d2a86dc3ed0c09a1a4b0ad2ebe4e12ac0d4b9b9ef0dcd1d0f55";
    for good in [
        json!({"revoked": []}),
        json!({"sequence": 7, "revoked": [{"id": "spiffe://partner.example/ns/**", "reason": "breach"}]}),
        json!({"revoked": [{"sha256": digest, "until": "2027-01-01T00:00:00Z"}, {"serial": "0A", "issuer": "CN=a"}]}),
    ] {
        assert!(
            svidgate_policy::Revocations::parse(good.to_string().as_bytes()).is_ok(),
            "{good}"
        );
        assert!(schema.is_valid(&good), "{good}");
    }
    for bad in [
        json!({}),
        json!({"revoked": {}}),
        json!({"sequence": "7", "revoked": []}),
        json!({"revoked": [{"id": "spiffe://a/b", "sha256": digest}]}),
        json!({"revoked": [{"serial": "0A"}]}),
        json!({"revoked": [{}]}),
        json!({"revoked": [], "more": 1}),
        json!({"revoked": [{"id": "/ns/a"}]}),
    ] {
        assert!(
            svidgate_policy::Revocations::parse(bad.to_string().as_bytes()).is_err(),
            "{bad}"
        );
        assert!(!schema.is_valid(&bad), "{bad}");
    }
}

#[test]
fn file_of_tests_has_a_schema() {
    let schema = schema("tests");
    let starting =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/starting/policy.test.yaml")).unwrap();
    let starting: Value = serde_saphyr::from_str(&starting).unwrap();
    schema.validate(&starting).unwrap();
    for (good, place) in [
        (
            json!([{"name": "a", "allow": ["GET /", {"request": "GET /", "headers": {"a": ["b", "c"]}, "port": 1}]}]),
            true,
        ),
        (
            json!([{"name": "a", "only": {"from": ["spiffe://a/b"], "when": {"source_ips": ["10.0.0.0/8"]}}, "todo": true}]),
            true,
        ),
        (json!([{"allow": ["GET /"]}]), false),
        (json!([{"name": "a", "alow": ["GET /"]}]), false),
        (json!([{"name": "a", "allow": [{"host": "x"}]}]), false),
        (json!([{"name": "a", "never": {"form": []}}]), false),
        (json!({}), false),
    ] {
        assert_eq!(
            schema.is_valid(&json!({"policy": "p.yaml", "tests": good})),
            place,
            "{good}"
        );
    }
}
