//! The text of a file with another document in it, and nothing else changed.
//!
//! Ranges of bytes are replaced, so comments and layout around them stay. What comes of it is read again and held against what was
//! there: all must be the same but for the documents, and these must be the new one.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    carried::{Form, Spot},
    policy::Policy,
    written::quoted,
};
use crate::input::{
    document::canonical,
    json,
    tree::{Node, Tree, Value},
};

/// Looks at whether a file can be written into.
///
/// # Errors
/// With what stands in the way: a template, an anchor.
pub fn check(text: &str, trees: &[Arc<Tree>], spots: &[Spot]) -> Result<(), String> {
    if let Some((before, _)) = text.split_once("{{") {
        let line = before.matches('\n').count().saturating_add(1);
        return Err(format!(
            "line {line}: it is a template (`{{{{`); render it first, or put the document in by the template"
        ));
    }
    for (index, tree) in trees.iter().enumerate() {
        let spots: Vec<_> = spots.iter().filter(|spot| spot.tree == index).collect();
        let shared = shared(tree);
        for spot in &spots {
            let Some(node) = tree.node(spot.node) else { continue };
            let around = |id: &usize| tree.node(*id).is_some_and(|node| within(node, spot.node));
            if within_any(node, &shared) || shared.iter().any(around) {
                return Err(format!(
                    "{}: an anchor gives the document, or a part of it, to several places; write it out",
                    spot.shown()
                ));
            }
        }
    }
    Ok(())
}

/// Values that stand in several places, by an alias.
fn shared(tree: &Tree) -> HashSet<usize> {
    let mut times: HashMap<usize, usize> = HashMap::new();
    let mut seen = HashSet::new();
    let mut open: Vec<Node<'_>> = tree.root().into_iter().collect();
    while let Some(node) = open.pop() {
        if !seen.insert(node.id()) {
            continue;
        }
        for below in node.items().chain(node.members().map(|(_, value)| value)) {
            let count = times.entry(below.id()).or_default();
            *count = count.saturating_add(1);
            open.push(below);
        }
    }
    times
        .into_iter()
        .filter(|(_, count)| *count > 1)
        .map(|(id, _)| id)
        .collect()
}

fn within(node: Node<'_>, wanted: usize) -> bool {
    within_any(node, &HashSet::from([wanted]))
}

fn within_any(node: Node<'_>, wanted: &HashSet<usize>) -> bool {
    let mut seen = HashSet::new();
    let mut open = vec![node];
    while let Some(node) = open.pop() {
        if wanted.contains(&node.id()) {
            return true;
        }
        if seen.insert(node.id()) {
            open.extend(node.items().chain(node.members().map(|(_, value)| value)));
        }
    }
    false
}

/// The text with the document at all of these places.
///
/// # Errors
/// Where a place is not what it was taken for.
pub fn replaced(text: &str, spots: &[Spot], policy: &Policy) -> Result<String, String> {
    let end_of_line = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut spots: Vec<_> = spots.iter().collect();
    spots.sort_by_key(|spot| std::cmp::Reverse(spot.range().start));
    let mut replaced = text.to_owned();
    for spot in spots {
        let range = spot.range();
        let odd = || format!("{}: how the document is written there is not understood", spot.shown());
        let written = match &spot.form {
            Form::Text(_) => quoted(&policy.json()),
            Form::Braces(_) => policy.json(),
            Form::Block(range) => indented(text, range.start, &policy.block(), end_of_line).ok_or_else(odd)?,
            Form::Lines(range) => {
                let start = first_letter(text, range.start);
                let lines = pretty(policy);
                let written = indented(text, start, &lines, end_of_line).ok_or_else(odd)?;
                let own = text.get(start..range.end).ok_or_else(odd)?;
                let end = start.saturating_add(own.trim_end().len());
                replaced.replace_range(start..end, &written);
                continue;
            }
        };
        if replaced.get(range.clone()).is_none() {
            return Err(odd());
        }
        replaced.replace_range(range, &written);
    }
    Ok(replaced)
}

impl Spot {
    fn range(&self) -> std::ops::Range<usize> {
        match &self.form {
            Form::Block(range) | Form::Braces(range) | Form::Text(range) | Form::Lines(range) => range.clone(),
        }
    }
}

/// Past spaces and ends of lines.
fn first_letter(text: &str, from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    from.saturating_add(rest.len().saturating_sub(rest.trim_start().len()))
}

/// Lines with the indentation of what they take the place of, the first as it is.
fn indented(text: &str, start: usize, lines: &[String], end_of_line: &str) -> Option<String> {
    let before = text.get(..start)?;
    let column = before.rsplit('\n').next()?;
    // A block begins on a line of its own, or behind the dash of an item.
    if !column.chars().all(|letter| matches!(letter, ' ' | '-')) {
        return None;
    }
    let indentation = " ".repeat(column.len());
    Some(lines.join(&format!("{end_of_line}{indentation}")))
}

/// The document as JSON in lines, its members in their order.
fn pretty(policy: &Policy) -> Vec<String> {
    json::read(&policy.json())
        .ok()
        .and_then(|tree| tree.root().map(lines))
        .unwrap_or_default()
}

fn lines(node: Node<'_>) -> Vec<String> {
    let inner: Vec<Vec<String>> = match node.value() {
        Value::Object(_) => node
            .members()
            .map(|(member, value)| {
                let mut lines = lines(value);
                if let Some(first) = lines.first_mut() {
                    *first = format!("{}: {first}", quoted(&member.name));
                }
                lines
            })
            .collect(),
        Value::List(_) => node.items().map(lines).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(..) => Vec::new(),
    };
    let brackets = if node.is_object() { ["{", "}"] } else { ["[", "]"] };
    let [open, close] = brackets;
    if inner.is_empty() {
        return match node.value() {
            Value::Object(_) | Value::List(_) => vec![format!("{open}{close}")],
            Value::Text(text, _) => vec![quoted(text)],
            Value::Null | Value::Bool(_) | Value::Number(_) => {
                vec![crate::input::document::to_json(node).unwrap_or_default()]
            }
        };
    }
    let count = inner.len();
    let mut all = vec![open.to_owned()];
    for (index, mut member) in inner.into_iter().enumerate() {
        if let Some(last) = member.last_mut().filter(|_| index.saturating_add(1) < count) {
            last.push(',');
        }
        all.extend(member.into_iter().map(|line| format!("  {line}")));
    }
    all.push(close.to_owned());
    all
}

/// Whether one file says what the other does, but for the documents, which are this one.
pub fn is_same_but_for(before: &[Arc<Tree>], after: &[Arc<Tree>], spots: &[Spot], policy: &Policy) -> bool {
    let mut found = 0usize;
    let same = before.len() == after.len()
        && before.iter().zip(after).enumerate().all(|(index, (before, after))| {
            let spots: HashSet<usize> = spots
                .iter()
                .filter(|spot| spot.tree == index)
                .map(|spot| spot.node)
                .collect();
            match (before.root(), after.root()) {
                (Some(before), Some(after)) => same(before, after, &spots, policy, &mut found),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            }
        });
    same && found == spots.len()
}

fn same(before: Node<'_>, after: Node<'_>, spots: &HashSet<usize>, policy: &Policy, found: &mut usize) -> bool {
    if spots.contains(&before.id()) {
        *found = found.saturating_add(1);
        return meaning(after).as_deref() == Some(policy.meaning());
    }
    let scalar = |node: Node<'_>| canonical(node).ok();
    match (before.value(), after.value()) {
        (Value::Object(one), Value::Object(two)) => {
            one.len() == two.len()
                && before
                    .members()
                    .zip(after.members())
                    .all(|((one, before), (two, after))| {
                        one.name == two.name && same(before, after, spots, policy, found)
                    })
        }
        (Value::List(one), Value::List(two)) => {
            one.len() == two.len()
                && before
                    .items()
                    .zip(after.items())
                    .all(|(before, after)| same(before, after, spots, policy, found))
        }
        (Value::Object(_) | Value::List(_), _) | (_, Value::Object(_) | Value::List(_)) => false,
        (
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(..),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(..),
        ) => scalar(before) == scalar(after),
    }
}

fn meaning(node: Node<'_>) -> Option<String> {
    match node.as_str() {
        Some(text) => json::read(text).ok()?.root().and_then(|root| canonical(root).ok()),
        None => canonical(node).ok(),
    }
}
