//! Bundles that stand in the document: those that end, that have one authority, and keys that nobody uses.

use ca::{Authority, Key, KeyKind, Profile, bundle_json};
use serde_json::{Value, json};

use crate::stage::Stage;

const AT: &str = "2026-12-01T00:00:00Z";

/// An authority that ends so many days after the check.
fn authority(days: i64) -> Authority {
    let now = AT.parse().unwrap();
    let end = "2026-12-01T00:00:00Z".parse::<svidgate_policy::Timestamp>().unwrap();
    Authority::root(Profile {
        not_before: end - svidgate_policy::SignedDuration::from_hours(24 * 400),
        not_after: end + svidgate_policy::SignedDuration::from_hours(24 * days),
        ..Profile::authority("prod.example", now)
    })
}

/// What is said of a document with this bundle, as code and level.
fn said(bundle: &Value, more: &Value) -> Vec<String> {
    let mut document = json!({"trust_domain": "prod.example", "bundle": {"inline": bundle}, "rules": []});
    for (name, value) in more.as_object().unwrap() {
        if name == "endpoint" {
            document["bundle"][name] = value.clone();
        } else {
            document[name] = value.clone();
        }
    }
    let stage = Stage::new(&[("p.json", &document.to_string())]);
    let findings = stage.findings(&["p.json", "--at", AT]);
    let show = |finding: &Value| {
        format!(
            "{} {}",
            finding["code"].as_str().unwrap(),
            finding["level"].as_str().unwrap()
        )
    };
    findings.iter().map(show).collect()
}

#[test]
fn authority_that_ends_soon_or_is_over_is_found() {
    let [good, soon, over] = [31, 30, -1].map(authority);
    let nothing = json!({});
    assert_eq!(
        said(&bundle_json(&[&good, &authority(400)]), &nothing),
        Vec::<String>::new()
    );
    assert_eq!(said(&bundle_json(&[&good, &soon]), &nothing), ["SG0306 warning"]);
    assert_eq!(said(&bundle_json(&[&good, &over]), &nothing), ["SG0306 warning"]);
    // Nobody is let in.
    assert_eq!(
        said(&bundle_json(&[&over, &over]), &nothing),
        ["SG0306 error", "SG0306 error"]
    );
    let endpoint = json!({"endpoint": {"cluster": "c", "path": "/"}});
    assert_eq!(said(&bundle_json(&[&over]), &endpoint), ["SG0306 warning"]);
}

/// A lint that has become an error is one, whoever bears its kind.
#[test]
fn bundle_that_lets_nobody_in_cannot_be_borne() {
    let over = authority(-1);
    let document =
        json!({"trust_domain": "prod.example", "bundle": {"inline": bundle_json(&[&over, &over])}, "rules": []});
    let list = "allow: [ { code: SG0306, place: bundle, because: known } ]";
    let stage = Stage::new(&[("p.json", &document.to_string()), ("list.yaml", list)]);
    let ended = stage.run(&["check", "p.json", "--at", AT, "--allow", "list.yaml"]);
    assert_eq!(ended.code, 1);
    assert!(
        ended.out.contains("error[SG0306]") && ended.out.contains("SG0041"),
        "{}",
        ended.out
    );
}

#[test]
fn one_authority_without_a_source_is_found() {
    let bundle = bundle_json(&[&authority(400)]);
    assert_eq!(said(&bundle, &json!({})), ["SG0305 note"]);
    assert_eq!(
        said(&bundle, &json!({"endpoint": {"cluster": "c", "path": "/"}})),
        Vec::<String>::new()
    );
    assert_eq!(
        said(&bundle, &json!({"authorities": {"workload_api": {"cluster": "c"}}})),
        Vec::<String>::new()
    );
}

#[test]
fn key_that_is_not_used_is_found_where_it_stands() {
    let mut bundle = bundle_json(&[&authority(400), &authority(500)]);
    let weak = Authority::root(Profile {
        key: Key::generate(KeyKind::Rsa1024),
        ..Profile::authority("prod.example", AT.parse().unwrap())
    });
    bundle["keys"]
        .as_array_mut()
        .unwrap()
        .push(bundle_json(&[&weak])["keys"][0].clone());
    bundle["keys"]
        .as_array_mut()
        .unwrap()
        .push(json!({"kty": "EC", "use": "x509-svid"}));
    assert_eq!(said(&bundle, &json!({})), ["SG0307 warning", "SG0307 warning"]);
}
