//! Which document does a filter have, and what of it matters to its door?

use std::fmt::Write as _;

use serde_json::{Map, Number, Value};
use svidgate_policy::{
    AccessLog, ChainMode, Configuration, Format, Listeners, Mode, PeerOrigin, TrustDomain, XfccMode, sha256,
};

/// What of a document matters to where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its own name for itself; may be empty.
    pub version: String,
    /// SHA-256 of its meaning: members sorted, without spaces.
    pub digest: String,
    /// Whether it blocks nothing.
    pub(crate) dry_run: bool,
    pub(crate) listener: Listeners,
    /// Whether Envoy verifies chains for it.
    pub(crate) chain_by_proxy: bool,
    /// Whether it reads `x-forwarded-client-cert`.
    pub(crate) reads_xfcc: bool,
    pub(crate) mark_passed: bool,
    /// Whether every decision leaves a record, which a lock in front of TCP asks for.
    pub(crate) records_all: bool,
    /// Whether it takes the peer from filter state where there is no TLS.
    pub(crate) shared_peer: bool,
    /// Whether peers of more than one trust domain may come.
    pub(crate) foreign: bool,
}

impl Document {
    /// Reads a document of a filter, as text.
    ///
    /// # Errors
    /// With its first mistake, and how many there are.
    pub fn read(text: &str) -> Result<Self, String> {
        let compiled = Configuration::compile(text.as_bytes(), Format::Json).map_err(|mistakes| {
            let first = mistakes.first().map(ToString::to_string).unwrap_or_default();
            match mistakes.len() {
                0 | 1 => first,
                count => format!("{first} (and {} more)", count.saturating_sub(1)),
            }
        })?;
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        Ok(Self {
            digest: digest(&value),
            dry_run: compiled.mode == Mode::DryRun,
            listener: compiled.listener,
            chain_by_proxy: compiled.chain == ChainMode::Proxy,
            reads_xfcc: compiled.xfcc == XfccMode::Own,
            mark_passed: compiled.mark_passed,
            records_all: compiled.access_log == AccessLog::All,
            shared_peer: compiled.peer != PeerOrigin::Handshake,
            foreign: has_foreign(&value, &compiled.trust_domain),
            version: compiled.version,
        })
    }
}

fn has_foreign(document: &Value, own: &TrustDomain) -> bool {
    let federation = document.get("federation").and_then(Value::as_array);
    federation
        .into_iter()
        .flatten()
        .any(|relationship| relationship.get("trust_domain").and_then(Value::as_str) != Some(&own.to_string()))
}

/// SHA-256 of what a document says, in hexadecimal digits: the same for JSON and YAML, whatever the order of members, and for a
/// document that Envoy hands out as a `Struct`, whose numbers are doubles.
pub fn digest(document: &Value) -> String {
    let text = plain(document).to_string();
    sha256(text.as_bytes()).iter().fold(String::new(), |mut digits, byte| {
        // Writing to a text does not fail.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// The same value in one form.
fn plain(value: &Value) -> Value {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
        Value::Number(number) => Value::Number(whole(number).unwrap_or_else(|| number.clone())),
        Value::Array(items) => Value::Array(items.iter().map(plain).collect()),
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(name, _)| *name);
            Value::Object(
                sorted
                    .into_iter()
                    .map(|(name, value)| (name.clone(), plain(value)))
                    .collect::<Map<_, _>>(),
            )
        }
    }
}

/// A double that is a whole number, as that.
fn whole(number: &Number) -> Option<Number> {
    let text = number.is_f64().then(|| number.to_string())?;
    let digits = text.strip_suffix(".0")?;
    digits.parse::<i64>().ok().map(Number::from)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn digest_is_of_the_meaning() {
        let one = json!({ "rules": [{ "to": [{ "ports": [5432] }], "name": "a" }], "version": "1" });
        let same: Value =
            serde_json::from_str(r#"{"version":"1","rules":[{"name":"a","to":[{"ports":[5432.0]}]}]}"#).unwrap();
        let other = json!({ "rules": [{ "to": [{ "ports": [5433] }], "name": "a" }], "version": "1" });
        assert_eq!(digest(&one), digest(&same));
        assert_ne!(digest(&one), digest(&other));
    }

    #[test]
    fn document_with_mistakes_is_not_read() {
        assert!(Document::read("${DOCUMENT}").is_err());
        let error = Document::read(r#"{"trust_domain":"prod.example","rules":[],"mark_pased":true}"#).unwrap_err();
        assert!(error.contains("mark_pased"), "{error}");
    }
}
