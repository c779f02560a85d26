//! A document as a tree of which every part knows where it stands in its file.
//!
//! The compiler in `policy` reads documents by itself. This tree is for what it does not need: the lines of a mistake, what
//! carries a document, what lints look at.

use std::ops::Range;

/// Deepest nesting, aliases counted as what they stand for. Our decision: JSON is refused beyond 128 levels.
pub const MAX_DEPTH: usize = 256;

/// So many members are compared one by one.
const FEW: usize = 16;

/// A tree. Nodes of a YAML alias are those of its anchor, so it may be a graph, but one without circles.
#[derive(Debug, Default)]
pub struct Tree {
    nodes: Vec<Slot>,
    root: usize,
    /// Members that their object has already: the range of the name, and that of the first.
    pub repeated: Vec<(String, Range<usize>, Range<usize>)>,
    /// Whether something in it is told by the rules of YAML alone: an alias, a tag, a merge, a number in an unusual form.
    pub is_intricate: bool,
}

#[derive(Debug)]
struct Slot {
    range: Range<usize>,
    value: Value,
    /// Levels below, itself included.
    depth: usize,
}

/// A value.
#[derive(Debug)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it is written.
    Number(Box<str>),
    /// A string, as it is meant.
    Text(Box<str>, Written),
    /// A list.
    List(Vec<usize>),
    /// An object.
    Object(Vec<Member>),
}

/// How a string is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// In quotes, or plain.
    Inline,
    /// As a block of lines: `|`.
    Literal,
    /// As a block of lines that are joined: `>`.
    Folded,
}

/// A member of an object.
#[derive(Debug)]
pub struct Member {
    /// Its name, as it is meant.
    pub name: Box<str>,
    /// Where its name stands.
    pub range: Range<usize>,
    value: usize,
}

impl Member {
    /// A member with a value that is in the tree already.
    pub fn new(name: &str, range: Range<usize>, value: usize) -> Self {
        Self {
            name: name.into(),
            range,
            value,
        }
    }
}

/// Nesting beyond the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooDeep;

impl Tree {
    /// Takes in a value whose parts are in the tree already.
    ///
    /// # Errors
    /// When it would be nested too deeply.
    pub fn add(&mut self, range: Range<usize>, value: Value) -> Result<usize, TooDeep> {
        let depth_of = |id: &usize| self.nodes.get(*id).map_or(0, |slot| slot.depth);
        let below = match &value {
            Value::List(items) => items.iter().map(depth_of).max(),
            Value::Object(members) => members.iter().map(|member| depth_of(&member.value)).max(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(..) => None,
        };
        let depth = below.unwrap_or_default().saturating_add(1);
        if depth > MAX_DEPTH {
            return Err(TooDeep);
        }
        if let Value::Object(members) = &value {
            self.note_repeated(members);
        }
        self.nodes.push(Slot { range, value, depth });
        Ok(self.nodes.len().saturating_sub(1))
    }

    fn note_repeated(&mut self, members: &[Member]) {
        // Most objects are small, and there are many.
        let is_of_another_name = |(place, member): (usize, &Member)| {
            let before = members.iter().take(place);
            before.into_iter().all(|other| other.name != member.name)
        };
        if members.len() <= FEW && members.iter().enumerate().all(is_of_another_name) {
            return;
        }
        let mut first = std::collections::HashMap::with_capacity(members.len());
        for member in members {
            match first.get(&*member.name) {
                None => {
                    first.insert(&*member.name, member.range.clone());
                }
                Some(range) => self
                    .repeated
                    .push((member.name.to_string(), member.range.clone(), range.clone())),
            }
        }
    }

    /// Says which value is the whole.
    pub fn set_root(&mut self, root: usize) {
        self.root = root;
    }

    /// The whole. None where there is nothing.
    pub fn root(&self) -> Option<Node<'_>> {
        self.node(self.root)
    }

    /// A value by its number.
    pub fn node(&self, id: usize) -> Option<Node<'_>> {
        let slot = self.nodes.get(id)?;
        Some(Node { tree: self, id, slot })
    }

    /// Where all strings and names of members stand.
    pub fn text_ranges(&self) -> impl Iterator<Item = &Range<usize>> {
        self.nodes.iter().flat_map(|slot| {
            let names = match &slot.value {
                Value::Object(members) => members.as_slice(),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(..) | Value::List(_) => &[],
            };
            let is_text = matches!(slot.value, Value::Text(..));
            let own = is_text.then_some(&slot.range);
            own.into_iter().chain(names.iter().map(|member| &member.range))
        })
    }

    /// Turns every range into another: of a text within a text into those of the file.
    pub fn map_ranges(&mut self, map: impl Fn(Range<usize>) -> Range<usize>) {
        for slot in &mut self.nodes {
            slot.range = map(slot.range.clone());
            if let Value::Object(members) = &mut slot.value {
                for member in members {
                    member.range = map(member.range.clone());
                }
            }
        }
        for (_, range, first) in &mut self.repeated {
            *range = map(range.clone());
            *first = map(first.clone());
        }
    }
}

/// A value in its tree.
#[derive(Clone, Copy)]
pub struct Node<'t> {
    tree: &'t Tree,
    id: usize,
    slot: &'t Slot,
}

impl<'t> Node<'t> {
    /// Which it is. Two with one id are one value, by an alias.
    pub fn id(self) -> usize {
        self.id
    }

    /// How many levels it has, itself included.
    pub fn depth(self) -> usize {
        self.slot.depth
    }

    /// Where it stands.
    pub fn range(self) -> Range<usize> {
        self.slot.range.clone()
    }

    /// What it is.
    pub fn value(self) -> &'t Value {
        &self.slot.value
    }

    /// The text of a string.
    pub fn as_str(self) -> Option<&'t str> {
        match self.value() {
            Value::Text(text, _) => Some(text),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Object(_) => None,
        }
    }

    /// Whether it is an object.
    pub fn is_object(self) -> bool {
        matches!(self.value(), Value::Object(_))
    }

    /// Whether it is a list.
    pub fn is_list(self) -> bool {
        matches!(self.value(), Value::List(_))
    }

    /// The entries of a list; none of what is no list.
    pub fn items(self) -> impl Iterator<Item = Node<'t>> {
        let items = match self.value() {
            Value::List(items) => items.as_slice(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(..) | Value::Object(_) => &[],
        };
        items.iter().filter_map(move |id| self.tree.node(*id))
    }

    /// The members of an object; none of what is no object.
    pub fn members(self) -> impl Iterator<Item = (&'t Member, Node<'t>)> {
        let members = match self.value() {
            Value::Object(members) => members.as_slice(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(..) | Value::List(_) => &[],
        };
        members
            .iter()
            .filter_map(move |member| Some((member, self.tree.node(member.value)?)))
    }

    /// A member by its name.
    pub fn get(self, name: &str) -> Option<Node<'t>> {
        self.members()
            .find(|(member, _)| *member.name == *name)
            .map(|(_, value)| value)
    }

    /// A member within members.
    pub fn at(self, names: &[&str]) -> Option<Node<'t>> {
        names.iter().try_fold(self, |node, name| node.get(name))
    }

    /// What it is, for messages.
    pub fn kind(self) -> &'static str {
        match self.value() {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(..) => "a string",
            Value::List(_) => "a list",
            Value::Object(_) => "an object",
        }
    }
}
