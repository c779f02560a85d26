//! Documents: those that compile, and those that say everything that is wrong with them.

use std::collections::BTreeSet;

use reference::identity;
use serde::Deserialize;
use svidgate_policy::{ChainMode, Configuration, Format, Listener, Listeners, Mode, PeerOrigin, XfccMode};

use crate::vectors;

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    document: Vec<Vector>,
}

/// A document (in JSON, or in YAML with all that JSON has not), or one rule of an otherwise good document, and what is
/// said about it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    why: String,
    document: Option<String>,
    yaml: Option<String>,
    rule: Option<String>,
    /// Every mistake, in order; none when it compiles.
    mistakes: Vec<String>,
    /// YAML says this itself, in other words.
    #[serde(default)]
    json_only: bool,
}

impl Vector {
    /// The document, with certificates and bundles in their places.
    fn text(&self) -> String {
        let text = match (&self.document, &self.yaml, &self.rule) {
            (Some(document), None, None) | (None, Some(document), None) => document.clone(),
            (None, None, Some(rule)) => {
                format!(
                    r#"{{"trust_domain": "prod.example", "chain": "proxy",
                         "federation": [{{"trust_domain": "partner.example", "scope": ["/ns/billing/**"]}}],
                         "rules": [{rule}]}}"#
                )
            }
            _ => panic!("{}: give one of `document`, `yaml` and `rule`", self.name),
        };
        let pem = identity::authority("partner.example").pem();
        text.replace("@bundle@", &identity::bundle("prod.example").to_string())
            .replace("@partner_bundle@", &identity::bundle("partner.example").to_string())
            .replace("@pem@", &serde_json::to_string(&pem).unwrap())
    }
}

/// What is said about a document; nothing when it compiles.
pub(crate) fn mistakes(text: &[u8], format: Format) -> Vec<String> {
    match Configuration::compile(text, format) {
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn every_document_compiles_or_says_everything_that_is_wrong() {
    let mut names = BTreeSet::new();
    let mut wrong = Vec::new();
    for (file, File { document }) in vectors::read::<File>("documents") {
        for vector in document {
            let format = if vector.yaml.is_some() {
                Format::Yaml
            } else {
                Format::Json
            };
            let said = mistakes(vector.text().as_bytes(), format);
            if said != vector.mistakes {
                let unsaid = vector.mistakes.iter().filter(|mistake| !said.contains(mistake));
                let unexpected = said.iter().filter(|mistake| !vector.mistakes.contains(mistake));
                wrong.push(format!("{file}: {} ({})", vector.name, vector.why));
                wrong.extend(unsaid.map(|mistake| format!("  not said: {mistake}")));
                wrong.extend(unexpected.map(|mistake| format!("  not expected: {mistake}")));
            }
            assert!(names.insert(vector.name.clone()), "`{}` is there twice", vector.name);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_document_says_the_same_as_yaml() {
    // JSON is YAML, so each vector is a document in both.
    for (file, File { document }) in vectors::read::<File>("documents") {
        for vector in document.into_iter().filter(|vector| !vector.json_only) {
            let said = mistakes(vector.text().as_bytes(), Format::Yaml);
            assert_eq!(said, vector.mistakes, "{file}: {}", vector.name);
        }
    }
}

#[test]
fn every_key_has_its_effect() {
    let text = vectors::read::<File>("documents")
        .into_iter()
        .flat_map(|(_, file)| file.document)
        .find(|vector| vector.name == "every key");
    let compiled = Configuration::compile(text.unwrap().text().as_bytes(), Format::Json).unwrap();
    assert_eq!(compiled.version, "2026-11-22.1");
    assert_eq!(compiled.trust_domain.as_str(), "prod.example");
    assert_eq!(compiled.mode, Mode::DryRun);
    assert_eq!(compiled.listener, Listeners::Only(Listener::Http));
    assert_eq!(compiled.chain, ChainMode::Verify);
    assert_eq!(compiled.xfcc, XfccMode::Own);
    assert!(compiled.forward_id && compiled.forward_xfcc);
    assert_eq!(compiled.first_bytes_timeout.as_secs(), 5);
    assert_eq!(compiled.rules.len(), 3);
    assert!(!compiled.rules.is_empty());
    let relationships: Vec<_> = compiled.relationships.iter().collect();
    assert_eq!(relationships.len(), 2);
    let partner = relationships[0];
    assert_eq!(partner.trust_domain.as_str(), "partner.example");
    assert_eq!(partner.svid_max_lifetime.unwrap().as_hours(), 24);
    assert_eq!(partner.expires.unwrap().to_string(), "2027-01-31T00:00:00Z");
    assert_eq!(partner.owner.as_deref(), Some("payments platform, SEC-123"));
    assert_eq!(partner.intermediates.len(), 1);
    let scope: Vec<String> = partner.scope.iter().flatten().map(ToString::to_string).collect();
    assert_eq!(scope, ["spiffe://partner.example/ns/billing/**"]);
    for relationship in relationships {
        let bundle = compiled.bundles.bundle(&relationship.trust_domain).unwrap();
        assert_eq!(bundle.authority_count(), 1);
    }
}

#[test]
fn document_says_where_the_peer_stands() {
    let compiled = |peer: &str| {
        let text = format!(r#"{{"trust_domain": "prod.example", "rules": [], "peer": {{"filter_state": {peer}}}}}"#);
        Configuration::compile(text.as_bytes(), Format::Json).unwrap().peer
    };
    let by_id = |seconds| PeerOrigin::Id {
        key: "principal".to_owned(),
        max_connection_age: jiff::SignedDuration::from_secs(seconds),
    };
    assert_eq!(compiled(r#"{"id": "principal"}"#), by_id(3600), "never for ever");
    assert_eq!(
        compiled(r#"{"id": "principal", "max_connection_age": "10m"}"#),
        by_id(600)
    );
}

#[test]
fn what_is_left_out_has_the_safe_default() {
    let text = r#"{"trust_domain": "prod.example", "chain": "proxy", "rules": []}"#;
    let compiled = Configuration::compile(text.as_bytes(), Format::Json).unwrap();
    assert_eq!(compiled.version, "");
    assert_eq!(compiled.mode, Mode::Enforce);
    assert_eq!(compiled.listener, Listeners::Only(Listener::Http));
    assert_eq!(compiled.xfcc, XfccMode::Ignore);
    assert_eq!(compiled.peer, PeerOrigin::Handshake);
    assert!(!compiled.forward_id && !compiled.forward_xfcc);
    assert_eq!(compiled.first_bytes_timeout.as_secs(), 10);
    assert!(compiled.rules.is_empty());
}

#[test]
fn keys_of_a_bundle_that_cannot_be_used_are_no_mistake_and_are_told() {
    let text = r#"{"trust_domain": "prod.example", "rules": [],
                   "bundle": {"inline": {"keys": [{"use": "x509-svid", "kty": "EC", "x5c": ["!"]}]}}}"#;
    let compiled = Configuration::compile(text.as_bytes(), Format::Json).unwrap();
    let told: Vec<String> = compiled
        .bundles
        .iter()
        .flat_map(|(name, bundle)| bundle.remarks().map(move |remark| format!("{name}: {remark}")))
        .collect();
    assert_eq!(
        told,
        ["prod.example: keys[0]: `x5c[0]` is not standard base64; the key is not used"]
    );
}
