//! Which document does a filter have, and what of it matters to its door?

use std::fmt::Write as _;

use serde_json::Value;
use svidgate_policy::{
    AccessLog, ChainMode, Configuration, Format, Listeners, Mode, PeerOrigin, Peers, TrustDomain, XfccMode, sha256,
};

use crate::input::{document::canonical, json};

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
    /// Whether it takes requests that someone brings who has shown no certificate.
    pub(crate) anonymous_hop: bool,
    /// Whose word `x-forwarded-client-cert` is for it.
    pub(crate) xfcc: XfccMode,
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
            digest: digest(text).unwrap_or_default(),
            dry_run: compiled.mode == Mode::DryRun,
            listener: compiled.listener,
            chain_by_proxy: compiled.chain == ChainMode::Proxy,
            anonymous_hop: compiled.rules.hops().any(|hop| hop.peers == Peers::Anonymous),
            xfcc: compiled.xfcc,
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
/// document that Envoy hands out as a `Struct`, whose numbers are doubles. `None` where the text is no JSON.
pub fn digest(text: &str) -> Option<String> {
    let tree = json::read(text).ok()?;
    let canonical = canonical(tree.root()?).ok()?;
    Some(
        sha256(canonical.as_bytes())
            .iter()
            .fold(String::new(), |mut digits, byte| {
                // Writing to a text does not fail.
                let _ = write!(digits, "{byte:02x}");
                digits
            }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_is_of_the_meaning() {
        let one = digest(r#"{ "rules": [{ "to": [{ "ports": [5432] }], "name": "a" }], "version": "1" }"#);
        let same = digest(r#"{"version":"1","rules":[{"name":"\u0061","to":[{"ports":[5432.0]}]}]}"#);
        let other = digest(r#"{"version":"1","rules":[{"name":"a","to":[{"ports":[5433]}]}]}"#);
        assert!(one.is_some());
        assert_eq!(one, same);
        assert_ne!(one, other);
    }

    #[test]
    fn document_with_mistakes_is_not_read() {
        assert!(Document::read("${DOCUMENT}").is_err());
        let error = Document::read(r#"{"trust_domain":"prod.example","rules":[],"mark_pased":true}"#).unwrap_err();
        assert!(error.contains("mark_pased"), "{error}");
    }
}
