//! Where in a file stand documents of ours, and do they say the same as this one?

use std::{collections::HashSet, ops::Range, sync::Arc};

use super::policy::Policy;
use crate::{
    input::{
        carrier::{Body, carried},
        document::canonical,
        json,
        tree::{Node, Tree, Value, Written},
    },
    source::Source,
};

/// A document's place in a file.
#[derive(Clone, Debug)]
pub struct Spot {
    /// What carries it.
    pub kind: &'static str,
    /// Its name: of the plugin, or of the resource.
    pub name: Option<String>,
    /// Which of our filters it is for.
    pub root_id: Option<String>,
    /// On which line it begins.
    pub line: usize,
    /// What it means.
    pub meaning: String,
    pub(super) form: Form,
    pub(super) tree: usize,
    pub(super) node: usize,
}

/// How it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As a block of YAML.
    Block(Range<usize>),
    /// In braces.
    Braces(Range<usize>),
    /// As JSON in a string in quotes, or plain.
    Text(Range<usize>),
    /// As JSON in a string that is a block of lines.
    Lines(Range<usize>),
}

impl Spot {
    /// What messages call it.
    pub fn shown(&self) -> String {
        let name = self
            .name
            .as_deref()
            .map(|name| format!(" `{name}`"))
            .unwrap_or_default();
        format!("{}{name} (line {})", self.kind, self.line)
    }
}

/// All places in a file, in order.
///
/// # Errors
/// With one that cannot be read, and why.
pub fn spots(source: &Arc<Source>, trees: &[Arc<Tree>]) -> Result<Vec<Spot>, String> {
    let mut spots = Vec::new();
    for (index, tree) in trees.iter().enumerate() {
        let Some(root) = tree.root() else { continue };
        if let Some((name, range, _)) = tree.repeated.first() {
            return Err(format!(
                "line {}: `{name}` is there twice",
                source.position(range.start).line
            ));
        }
        for found in carried(root).found {
            let at = |node: Node<'_>| source.position(node.range().start).line;
            let (node, meaning, form) = match &found.body {
                Body::Plain(node) => {
                    return Err(format!(
                        "line {}: the file is a document by itself, and carries none",
                        at(*node)
                    ));
                }
                Body::None(node, why) => return Err(format!("line {}: {why}", at(*node))),
                Body::Struct(node) => (
                    *node,
                    canonical(*node).map_err(|_| too_long(at(*node)))?,
                    in_place(*node, source.text()),
                ),
                Body::Text(node) => (
                    *node,
                    of_text(*node).map_err(|why| format!("line {}: {why}", at(*node)))?,
                    in_text(*node),
                ),
            };
            let form =
                form.ok_or_else(|| format!("line {}: how the document is written there is not understood", at(node)))?;
            spots.push(Spot {
                kind: found.kind,
                name: found.name,
                root_id: found.root_id,
                line: at(node),
                meaning,
                form,
                tree: index,
                node: node.id(),
            });
        }
    }
    Ok(spots)
}

fn too_long(line: usize) -> String {
    format!("line {line}: the document is too long once its aliases are followed")
}

fn of_text(node: Node<'_>) -> Result<String, String> {
    let tree = json::read(node.as_str().unwrap_or_default())
        .map_err(|error| format!("the document cannot be read as JSON: {error}"))?;
    tree.root()
        .and_then(|root| canonical(root).ok())
        .ok_or_else(|| "the document cannot be read".to_owned())
}

fn in_text(node: Node<'_>) -> Option<Form> {
    let Value::Text(_, written) = node.value() else {
        return None;
    };
    Some(match written {
        Written::Inline => Form::Text(node.range()),
        Written::Literal | Written::Folded => Form::Lines(node.range()),
    })
}

fn in_place(node: Node<'_>, text: &str) -> Option<Form> {
    let range = node.range();
    if text.get(range.clone())?.starts_with('{') {
        return Some(Form::Braces(range));
    }
    let first = node.members().next()?.0.range.start;
    Some(Form::Block(first..end(node, text)?))
}

/// Where the last of what a value has ends, without what stands between it and the next value.
fn end(node: Node<'_>, text: &str) -> Option<usize> {
    let range = node.range();
    let is_flow = text.get(range.clone()).is_some_and(|own| own.starts_with(['{', '[']));
    match node.value() {
        Value::Object(members) if !members.is_empty() && !is_flow => {
            let (member, last) = node.members().last()?;
            // A member without a value ends with its colon.
            let colon = text
                .get(member.range.end..)?
                .find(':')?
                .checked_add(member.range.end)?
                .checked_add(1)?;
            Some(end(last, text)?.max(colon))
        }
        Value::List(items) if !items.is_empty() && !is_flow => end(node.items().last()?, text),
        Value::Text(_, Written::Literal | Written::Folded) => {
            let own = text.get(range.clone())?;
            range.start.checked_add(own.trim_end().len())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(..) | Value::List(_) | Value::Object(_) => {
            Some(range.end)
        }
    }
}

/// The places that are meant: those with one of these names, or all.
///
/// # Errors
/// Where it is not clear which are meant.
pub fn chosen(spots: Vec<Spot>, names: &[String]) -> Result<Vec<Spot>, String> {
    if spots.is_empty() {
        return Err("it carries no document of svidgate".to_owned());
    }
    let listed = |spots: &[Spot]| spots.iter().map(Spot::shown).collect::<Vec<_>>().join(", ");
    for name in names {
        if !spots.iter().any(|spot| spot.name.as_ref() == Some(name)) {
            return Err(format!(
                "it carries no document of the name `{name}`; it has {}",
                listed(&spots)
            ));
        }
    }
    let all = listed(&spots);
    let parts = parts(&spots);
    let chosen: Vec<Spot> = if names.is_empty() {
        spots
    } else {
        spots
            .into_iter()
            .filter(|spot| spot.name.as_ref().is_some_and(|name| names.contains(name)))
            .collect()
    };
    let meanings: HashSet<_> = chosen.iter().map(|spot| spot.meaning.as_str()).collect();
    if names.is_empty() && meanings.len() > 1 {
        return Err(format!(
            "it carries different documents, and it is not clear which are meant: {all}; say it by --name"
        ));
    }
    if self::parts(&chosen) != parts {
        return Err(format!(
            "the filters of a listener get one document at once, and --name leaves one of them out: {all}"
        ));
    }
    Ok(chosen)
}

/// Whether there are filters for connections, and for requests.
fn parts(spots: &[Spot]) -> [bool; 2] {
    let has = |wanted: &str| {
        spots
            .iter()
            .any(|spot| spot.root_id.as_deref().is_some_and(|root| root.starts_with(wanted)))
    };
    [has("svidgate.connection"), has("svidgate.request")]
}

/// Those that say something else than the document.
pub fn others<'s>(spots: &'s [Spot], policy: &Policy) -> Vec<&'s Spot> {
    spots.iter().filter(|spot| spot.meaning != policy.meaning()).collect()
}
