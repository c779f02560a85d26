//! The document that is rendered, which means the same wherever it is put.

use svidgate_policy::{Configuration, Listeners, PeerOrigin};

use crate::input::{
    document::{Document, canonical, to_json},
    tree::{Node, Value},
};

/// Largest whole number that a double holds with all below it, and so a `google.protobuf.Struct`.
const MAX_EXACT: u64 = 1 << 53;

/// A document that may be rendered.
#[derive(Debug)]
pub struct Policy {
    document: Document,
    meaning: String,
    marks: bool,
    pub(super) listener: Listeners,
    pub(super) takes_shared_peer: bool,
}

impl Policy {
    /// A document that compiles.
    ///
    /// # Errors
    /// With what cannot be rendered of it.
    pub fn new(document: Document, configuration: &Configuration) -> Result<Self, String> {
        let root = document.root().ok_or("there is nothing in it")?;
        if let Some(number) = inexact(root) {
            return Err(format!(
                "the number {number} is above 2^53, and where it is rendered to numbers are doubles"
            ));
        }
        let meaning = canonical(root).map_err(|_| "it is too long once its aliases are followed")?;
        Ok(Self {
            meaning,
            marks: configuration.mark_passed,
            listener: configuration.listener,
            takes_shared_peer: configuration.peer != PeerOrigin::Handshake,
            document,
        })
    }

    /// What the lock behind asks for.
    ///
    /// # Errors
    /// Where the document does not leave the mark that the lock demands.
    pub(super) fn leaves_a_mark(&self) -> Result<(), String> {
        if self.marks {
            return Ok(());
        }
        Err("what is rendered has a lock behind svidgate, which asks for a mark: write `mark_passed: true` into the document".to_owned())
    }

    /// Its lines, as a block of YAML.
    pub(super) fn block(&self) -> Vec<String> {
        self.document.root().map(super::written::block).unwrap_or_default()
    }

    /// Itself on one line, as JSON.
    pub(super) fn json(&self) -> String {
        self.document
            .root()
            .and_then(|root| to_json(root).ok())
            .unwrap_or_default()
    }

    /// What it means, the same for all that mean the same.
    pub fn meaning(&self) -> &str {
        &self.meaning
    }
}

/// A whole number that a double does not hold.
fn inexact(node: Node<'_>) -> Option<String> {
    match node.value() {
        Value::Number(digits) => digits
            .parse()
            .ok()
            .filter(|number: &u64| *number > MAX_EXACT)
            .map(|_| digits.to_string()),
        Value::List(_) => node.items().find_map(inexact),
        Value::Object(_) => node.members().find_map(|(_, value)| inexact(value)),
        Value::Null | Value::Bool(_) | Value::Text(..) => None,
    }
}
