//! Documents: those that compile, and those that say everything that is wrong with them.

use std::collections::BTreeSet;

use serde::Deserialize;
use svidgate_policy::{Configuration, Format};

use crate::{identity, vectors};

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
