//! Is it what was expected?
//!
//! A file says which document each listener is to have, or why one needs no guard:
//!
//! ```yaml
//! listeners:
//!   web: { version: "2" }
//!   database: { sha256: 3f2a... }
//!   metrics: { unguarded: only Prometheus gets there, by a NetworkPolicy }
//! ```

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    door::Door,
    remark::{Kind, Remark, Verdict},
    report::Report,
};

/// Fewest digits of a digest that is shortened. Our decision: those that reports show.
const DIGITS: usize = 12;

/// What is expected of each listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected(BTreeMap<String, Wanted>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    Version(String),
    /// Or its beginning.
    Digest(String),
    Unguarded(String),
}

const FORM: &str = "listeners: { NAME: { version: \"2\" } }, or `sha256` or `unguarded: why` in its place";

impl Expected {
    /// Reads the file.
    ///
    /// # Errors
    /// With where it is wrong and what would be right.
    pub fn read(file: &Value) -> Result<Self, String> {
        let members = file
            .as_object()
            .filter(|members| members.keys().all(|name| name == "listeners"));
        let listeners = members
            .and_then(|members| members.get("listeners"))
            .and_then(Value::as_object);
        let listeners = listeners
            .filter(|listeners| !listeners.is_empty())
            .ok_or_else(|| format!("expected {FORM}"))?;
        let read = |(name, wanted): (&String, &Value)| {
            let wanted = wanted
                .as_object()
                .filter(|wanted| wanted.len() == 1)
                .and_then(|wanted| wanted.iter().next());
            let wanted = wanted.and_then(|(what, value)| Wanted::read(what, value.as_str()?));
            wanted
                .map(|wanted| (name.clone(), wanted))
                .ok_or_else(|| format!("listeners.{name}: expected {FORM}"))
        };
        listeners.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Adds to a report where it is not so, and takes what is accepted for what it is.
    pub fn judge(&self, report: &mut Report) {
        for door in &mut report.doors {
            match self.0.get(&door.listener) {
                None => {}
                Some(Wanted::Unguarded(why)) => accept(door, why),
                Some(wanted) => wanted.judge(door),
            }
        }
        for name in self.0.keys() {
            if !report.doors.iter().any(|door| door.listener == *name) {
                report.remarks.push(Remark::new(
                    Kind::MissingListener,
                    format!("there is no listener `{name}`"),
                ));
            }
        }
    }
}

impl Wanted {
    fn read(what: &str, value: &str) -> Option<Self> {
        let value = value.to_owned();
        let is_digest = value.len() >= DIGITS
            && value.len() <= 64
            && value.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        match what {
            "version" if !value.is_empty() => Some(Self::Version(value)),
            "sha256" if is_digest => Some(Self::Digest(value)),
            "unguarded" if !value.trim().is_empty() => Some(Self::Unguarded(value)),
            _ => None,
        }
    }

    fn judge(&self, door: &mut Door) {
        let is = |version: &str, digest: &str| match self {
            Self::Version(wanted) => version == wanted,
            Self::Digest(wanted) => digest.starts_with(wanted.as_str()),
            Self::Unguarded(_) => true,
        };
        let others: Vec<_> = door
            .gates()
            .filter(|gate| {
                !gate
                    .document
                    .as_ref()
                    .is_ok_and(|document| is(&document.version, &document.digest))
            })
            .map(|gate| match &gate.document {
                Ok(document) if document.version.is_empty() => format!("`{}` has one without a version", gate.filter),
                Ok(document) => format!("`{}` has version `{}`", gate.filter, document.version),
                Err(_) => format!("`{}` has none that can be read", gate.filter),
            })
            .collect();
        if !others.is_empty() {
            door.note(
                Kind::OtherDocument,
                format!("expected the document {}: {}", self.shown(), others.join(", ")),
            );
        } else if door.gates().next().is_none() && door.verdict() != Verdict::Open && !is_of_nothing(door) {
            door.note(
                Kind::OtherDocument,
                format!("expected the document {}, and there is none", self.shown()),
            );
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Version(version) => format!("of version `{version}`"),
            Self::Digest(digest) => format!("of sha256 {digest}"),
            Self::Unguarded(_) => String::new(),
        }
    }
}

/// A chain that leads nowhere needs no document: meshes have one for what no other chain takes.
fn is_of_nothing(door: &Door) -> bool {
    door.remarks.iter().any(|remark| remark.kind == Kind::NothingBehind)
}

fn accept(door: &mut Door, why: &str) {
    door.remarks.clear();
    door.note(Kind::Accepted, format!("accepted without a guard: {why}"));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn file_that_says_something_else_is_refused() {
        for good in [
            json!({ "listeners": { "web": { "version": "2" } } }),
            json!({ "listeners": { "web": { "sha256": "0123456789ab" }, "out": { "unguarded": "loopback" } } }),
        ] {
            assert!(Expected::read(&good).is_ok(), "{good}");
        }
        for bad in [
            json!({}),
            json!({ "listeners": {} }),
            json!({ "listeners": { "web": "2" } }),
            json!({ "listeners": { "web": { "version": 2 } } }),
            json!({ "listeners": { "web": { "version": "" } } }),
            json!({ "listeners": { "web": { "version": "2", "sha256": "0123456789ab" } } }),
            json!({ "listeners": { "web": { "sha256": "0" } } }),
            json!({ "listeners": { "web": { "sha256": "0123456789AB" } } }),
            json!({ "listeners": { "web": { "unguarded": " " } } }),
            json!({ "listeners": { "web": { "unguarded": true } } }),
            json!({ "listeners": { "web": { "version": "2" } }, "listener": {} }),
        ] {
            assert!(Expected::read(&bad).is_err(), "{bad}");
        }
    }
}
