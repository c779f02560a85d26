//! What stands in a `*.test.yaml`?

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_saphyr::Spanned;

use crate::asked::{Asked, AskedError};

/// The members of a file, for its schema.
pub const FILE_FIELDS: &[&str] = &["policy", "at", "tests"];

/// A file of tests of one policy.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestFile {
    /// The file with the policy, from the folder of this one: `policy.yaml`, `manifests.yaml#name`.
    pub policy: Spanned<String>,
    /// The moment that all is asked at, in RFC 3339; without it, now.
    pub at: Option<Spanned<String>>,
    /// The tests.
    pub tests: Vec<Spanned<Test>>,
}

/// One test: requests of one identity, or a statement about all.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// What it is about.
    pub name: String,
    /// The id that asks.
    pub id: Option<Spanned<String>>,
    /// The SVID that asks, as a file with PEM, from the folder of this one: then the whole verifier runs.
    pub svid: Option<Spanned<String>>,
    /// The hop that brings its requests, by its name in `hops`, with its id where it may be several: `edge`,
    /// `edge=spiffe://prod.example/edge`. Without it, who asks connects.
    #[serde(default)]
    pub via: Vec<Spanned<String>>,
    /// Files with certificates that come with it.
    #[serde(default)]
    pub chain: Vec<Spanned<String>>,
    /// Bundles of trust domains whose document names a source: trust domain and file, in the SPIFFE bundle format.
    #[serde(default)]
    pub bundles: std::collections::BTreeMap<String, String>,
    /// The moment that it is asked at, in place of that of the file.
    pub at: Option<Spanned<String>>,
    /// Requests that are allowed.
    #[serde(default)]
    pub allow: Vec<Spanned<Expected>>,
    /// Requests that are denied.
    #[serde(default)]
    pub deny: Vec<Spanned<Expected>>,
    /// A refusal of the SVID, by its reason code.
    pub refused: Option<Spanned<String>>,
    /// Nothing of this is allowed, whoever asks and however.
    pub never: Option<Spanned<Region>>,
    /// All of this is allowed.
    pub always: Option<Spanned<Region>>,
    /// What `to` says is allowed to `from` and to nobody else.
    pub only: Option<Spanned<Region>>,
    /// A gap that is known: it runs and does not fail.
    #[serde(default)]
    pub todo: bool,
}

/// Who and what is meant, as a rule says it.
pub type Region = serde_json::Value;

/// A request, and what is expected of its answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// As it is written.
    pub written: String,
    /// What is asked.
    pub asked: Asked,
    /// The reason code that is expected, where it matters.
    pub reason: Option<String>,
    /// The rule that is expected to decide, where it matters.
    pub rule: Option<String>,
}

/// The long form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Long {
    request: String,
    host: Option<String>,
    #[serde(default)]
    headers: std::collections::BTreeMap<String, Values>,
    port: Option<u16>,
    sni: Option<String>,
    source_ip: Option<std::net::IpAddr>,
    route: Option<String>,
    reason: Option<String>,
    rule: Option<String>,
}

/// One line of a header, or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    One(String),
    Several(Vec<String>),
}

impl Expected {
    fn read(written: &str) -> Result<Self, AskedError> {
        Ok(Self {
            written: written.to_owned(),
            asked: Asked::read(written)?,
            reason: None,
            rule: None,
        })
    }
}

impl<'de> Deserialize<'de> for Expected {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ExpectedVisitor)
    }
}

/// A line, or an object. By hand, so that what is wrong in the object is told, and not that nothing fits.
struct ExpectedVisitor;

impl<'de> Visitor<'de> for ExpectedVisitor {
    type Value = Expected;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request (`GET /path`), or an object with `request`")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Expected, E> {
        Expected::read(text).map_err(E::custom)
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Expected, M::Error> {
        let long = Long::deserialize(MapAccessDeserializer::new(map))?;
        let mut expected = Expected::read(&long.request).map_err(serde::de::Error::custom)?;
        let asked = &mut expected.asked;
        if let Some(host) = long.host {
            asked.host = host;
        }
        for (name, values) in long.headers {
            let values = match values {
                Values::One(value) => vec![value],
                Values::Several(values) => values,
            };
            asked
                .headers
                .extend(values.into_iter().map(|value| (name.clone(), value)));
        }
        (asked.port, asked.sni, asked.source_ip, asked.route) = (long.port, long.sni, long.source_ip, long.route);
        (expected.reason, expected.rule) = (long.reason, long.rule);
        Ok(expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
policy: policy.yaml
at: 2026-11-27T12:00:00Z
tests:
  - name: tenants read their own
    id: spiffe://partner.example/ns/billing/tenant/acme
    allow: [ GET /invoices/acme/42, { request: HEAD /invoices/acme, rule: tenants, headers: { x-env: prod, x-two: [ a, b ] } } ]
    deny:
      - GET /invoices/other/42
      - { request: POST https://api.example/invoices/acme, port: 8443, reason: rule.none_matched }
  - name: nobody foreign near admin
    never: { from: [ "spiffe://*/**" ], to: [ { paths: [ "/admin/**" ] } ] }
    todo: true
"#;

    #[test]
    fn lines_and_objects_are_requests() {
        let file: TestFile = serde_saphyr::from_str(FILE).unwrap();
        let test = &file.tests[0].value;
        assert_eq!(test.allow[0].value.asked, Asked::read("GET /invoices/acme/42").unwrap());
        let long = &test.allow[1].value;
        assert_eq!(long.rule.as_deref(), Some("tenants"));
        assert_eq!(long.asked.headers.len(), 3);
        let deny = &test.deny[1].value;
        assert_eq!((deny.asked.host.as_str(), deny.asked.port), ("api.example", Some(8443)));
        assert_eq!(test.deny[0].referenced.line(), 9);
        assert!(file.tests[1].value.todo && file.tests[1].value.never.is_some());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let wrong = |from: &str, to: &str| {
            let error = serde_saphyr::from_str::<TestFile>(&FILE.replace(from, to)).unwrap_err();
            error.to_string()
        };
        assert!(wrong("GET /invoices/other/42", "GET invoices").contains("not a request"));
        assert!(wrong("port: 8443", "prot: 8443").contains("prot"));
        assert!(wrong("todo:", "tood:").contains("tood"));
    }
}
