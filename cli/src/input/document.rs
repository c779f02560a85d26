//! One policy document: its text for the compiler, and its tree for everything that has to say where.

use std::{ops::Range, sync::Arc};

use svidgate_policy::{CompileError, Format, MAX_DOCUMENT_BYTES, analysis::Policy};

use crate::{
    input::{
        place::locate,
        tree::{Node, Tree, Value},
    },
    source::{Place, Source},
};

/// What carries a document, once.
#[derive(Clone, Debug)]
pub struct Carrier {
    /// What it is: `Envoy network filter`, `WasmPlugin`.
    pub kind: &'static str,
    /// The name by which it is asked for: of the plugin, or of the resource. None for a document that stands by itself.
    pub name: Option<String>,
    /// Which of our filters it is for (`svidgate.connection`, `svidgate.request`), where it says so.
    pub root_id: Option<String>,
    /// The name under which the newest document judges all: of the plugin. Resources of a mesh have none of their own.
    pub plugin: Option<String>,
    /// Where the document stands.
    pub place: Place,
}

/// Readers of JSON have a bound of their own for how deeply it is nested.
const MAX_SHORT_DEPTH: usize = 64;

/// A document, and all that carry it in one file.
#[derive(Debug)]
pub struct Document {
    /// Its file.
    pub source: Arc<Source>,
    /// What carries it, at least one.
    pub carriers: Vec<Carrier>,
    text: String,
    format: Format,
    tree: Arc<Tree>,
    root: usize,
}

impl Document {
    /// A document from what was read of it.
    pub(crate) fn new(
        source: &Arc<Source>,
        carrier: Carrier,
        text: String,
        format: Format,
        (tree, root): (Arc<Tree>, usize),
    ) -> Self {
        Self {
            source: Arc::clone(source),
            carriers: vec![carrier],
            text,
            format,
            tree,
            root,
        }
    }

    /// The text that is compiled: JSON, or a whole file of YAML.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What language that is in.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Compiles it, as the gate does.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn compile(&self) -> Result<Policy, Vec<CompileError>> {
        match self.in_short() {
            Some(json) => Policy::read(json.as_bytes(), Format::Json),
            None => Policy::read(self.text.as_bytes(), self.format),
        }
    }

    /// The same as JSON, where YAML says it in no way that it takes YAML to understand: then it need not be read twice,
    /// and JSON is read many times faster.
    fn in_short(&self) -> Option<String> {
        let is_simple = self.format == Format::Yaml && !self.tree.is_intricate && self.tree.repeated.is_empty();
        let root = self
            .root()
            .filter(|root| is_simple && root.depth() <= MAX_SHORT_DEPTH)?;
        // What is too large is so as it is written.
        (self.text.len() <= MAX_DOCUMENT_BYTES).then(|| to_json(root).ok())?
    }

    /// What it says, with places.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The document itself in its tree.
    pub fn root(&self) -> Option<Node<'_>> {
        self.tree.node(self.root)
    }

    /// What messages call it: its file, and its name where the file has several.
    pub fn name(&self) -> Option<&str> {
        self.carriers.iter().find_map(|carrier| carrier.name.as_deref())
    }

    /// Where it begins.
    pub fn whole(&self) -> Place {
        let range = self.root().map(Node::range).unwrap_or_default();
        Place::new(&self.source, range)
    }

    /// Where the value stands that a place of the compiler names, or the nearest that is there.
    pub fn place(&self, place: &str) -> Place {
        self.located(place, false)
    }

    /// The same of the name of a member.
    pub fn name_place(&self, place: &str) -> Place {
        self.located(place, true)
    }

    /// The bytes of the value at a place, where it is there.
    pub fn value_at(&self, place: &str) -> Option<Range<usize>> {
        let located = locate(self.root()?, place);
        located.whole.then(|| located.node.range())
    }

    /// Whether something stands in what a place names, its name included. Nothing does where the place is not there.
    pub fn has(&self, place: &str, something: &Place) -> bool {
        let Some(root) = self.root() else { return false };
        let located = locate(root, place);
        let value = located.node.range();
        let is_in = |range: &std::ops::Range<usize>| range.contains(&something.range.start);
        located.whole && (is_in(&value) || located.name.as_ref().is_some_and(is_in))
    }

    fn located(&self, place: &str, by_name: bool) -> Place {
        let Some(root) = self.root() else { return self.whole() };
        let located = locate(root, place);
        let range = match located.name {
            // An object or a list goes on for lines, and its name says which it is.
            Some(name) if by_name || is_long(located.node) => name,
            Some(_) | None => located.node.range(),
        };
        Place::new(&self.source, range)
    }
}

fn is_long(node: Node<'_>) -> bool {
    node.is_object() || node.is_list()
}

/// A tree as JSON, as a proxy makes it of a `google.protobuf.Struct`: numbers are doubles there.
///
/// # Errors
/// When it would have more bytes than a document may have: aliases say much in few.
pub fn to_json(node: Node<'_>) -> Result<String, TooLong> {
    let mut text = String::new();
    write_json(node, &mut text)?;
    Ok(text)
}

/// More bytes than a document may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

fn write_json(node: Node<'_>, text: &mut String) -> Result<(), TooLong> {
    if text.len() > MAX_DOCUMENT_BYTES {
        return Err(TooLong);
    }
    match node.value() {
        Value::Null => text.push_str("null"),
        Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => text.push_str(&double(number)),
        Value::Text(string, _) => text.push_str(&quoted(string)),
        Value::List(_) => {
            text.push('[');
            for (index, item) in node.items().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_json(item, text)?;
            }
            text.push(']');
        }
        Value::Object(_) => {
            text.push('{');
            for (index, (member, value)) in node.members().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                text.push_str(&quoted(&member.name));
                text.push(':');
                write_json(value, text)?;
            }
            text.push('}');
        }
    }
    Ok(())
}

fn quoted(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}

/// A number as a double, and whole ones that a double holds exactly as such.
fn double(number: &str) -> String {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let integer = |digits: Option<&str>, radix| {
        let parsed = digits.and_then(|digits| u64::from_str_radix(digits, radix).ok());
        parsed.map(|number| number.to_string())
    };
    let text = integer(number.strip_prefix("0x"), 16)
        .or_else(|| integer(number.strip_prefix("0o"), 8))
        .unwrap_or_else(|| number.to_owned());
    let value: f64 = text.parse().unwrap_or(f64::MAX);
    if value.fract() == 0.0 && value.abs() < EXACT {
        return format!("{value:.0}");
    }
    serde_json::Number::from_f64(value).map_or_else(|| f64::MAX.to_string(), |number| number.to_string())
}

/// A tree as a text that is the same for all that say the same: members in the order of their names.
///
/// # Errors
/// When it would have more bytes than a document may have.
pub fn canonical(node: Node<'_>) -> Result<String, TooLong> {
    fn write(node: Node<'_>, text: &mut String) -> Result<(), TooLong> {
        if text.len() > MAX_DOCUMENT_BYTES {
            return Err(TooLong);
        }
        match node.value() {
            Value::List(_) => {
                text.push('[');
                for item in node.items() {
                    write(item, text)?;
                    text.push(',');
                }
                text.push(']');
            }
            Value::Object(_) => {
                let mut members: Vec<_> = node.members().collect();
                members.sort_by(|(one, _), (two, _)| one.name.cmp(&two.name));
                text.push('{');
                for (member, value) in members {
                    text.push_str(&quoted(&member.name));
                    text.push(':');
                    write(value, text)?;
                    text.push(',');
                }
                text.push('}');
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(..) => write_json(node, text)?,
        }
        Ok(())
    }
    let mut text = String::new();
    write(node, &mut text)?;
    Ok(text)
}
