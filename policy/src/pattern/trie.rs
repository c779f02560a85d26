//! Patterns by segment: from what is asked to every pattern that matches it, at a cost that depends on neither's
//! number.
//!
//! A literal is read and compared once in a search, whatever the number of nodes that ask for it; edges go by its
//! number. One table holds those of every trie of a rule set, but for one of each node, which stands in the node; a
//! root is a node like any other. A rule set has one trie of ids and one of paths for each distinct `from`, so a table
//! in every node would be mostly empty tables.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::{
    effort::Effort,
    name::path::Segment,
    pattern::{
        literals::{LiteralId, Literals},
        segments::{MAX_PATTERN_SEGMENTS, SegmentPattern, Segments},
    },
};

/// What a node costs: a place in memory that no cache holds. Measured in the VM beside other work, 210 ns.
pub(crate) const NODE_STEPS: usize = 5;
/// How many bytes of a segment are looked at in a step.
const BYTES_A_STEP: usize = 64;
/// How many segments a search looks at: those of the longest pattern, the trust domain before them, and one more, which
/// shows whether what is asked ends there.
const DEPTH: usize = MAX_PATTERN_SEGMENTS + 2;

/// A node, where a search begins or goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NodeId(u32);

#[derive(Debug)]
pub(crate) struct Tries<V> {
    nodes: Vec<Node<V>>,
    edges: HashTable<Edge>,
    hasher: DefaultHashBuilder,
    literals: Literals,
}

#[derive(Debug)]
struct Node<V> {
    /// Where `*` and captures lead.
    any: Option<NodeId>,
    /// Where one literal leads. Most nodes have no other: what a search goes through is then the nodes alone, and each
    /// place in memory that no cache holds costs as much as all else that is done at a node.
    first: Option<(LiteralId, NodeId)>,
    /// Whether the table has others.
    has_others: bool,
    /// Patterns that end here.
    here: Values<V>,
    /// Patterns that end here in `**`.
    rest: Values<V>,
}

/// Most patterns are alone where they end, and then stand in the node itself.
#[derive(Debug)]
enum Values<V> {
    One(V),
    Many(Vec<V>),
}

impl<V> Values<V> {
    const NONE: Self = Self::Many(Vec::new());

    fn push(&mut self, value: V) {
        *self = match std::mem::replace(self, Self::NONE) {
            Self::Many(list) if list.is_empty() => Self::One(value),
            Self::Many(mut list) => {
                list.push(value);
                Self::Many(list)
            }
            Self::One(first) => Self::Many(vec![first, value]),
        };
    }

    fn as_slice(&self) -> &[V] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(list) => list,
        }
    }
}

#[derive(Debug)]
struct Edge {
    from: NodeId,
    literal: LiteralId,
    to: NodeId,
}

/// What is asked, on its way through the tries. A segment is read when the first node of its depth looks at it, and
/// never again: how many nodes there are is up to the document.
#[derive(Debug)]
pub(crate) struct Search<'v, V, I> {
    tries: &'v Tries<V>,
    segments: I,
    /// Those that have been read, and how many that are.
    read: [Sought; DEPTH],
    count: usize,
    /// What is behind them, once that is known.
    last: Option<Place>,
}

/// What nodes of one depth look for.
#[derive(Clone, Copy, Debug, Default)]
struct Sought {
    /// `None` where no pattern has it.
    literal: Option<LiteralId>,
    /// What it costs each node to look for it.
    steps: u32,
}

/// What is asked, at one depth.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// It has ended.
    End,
    /// A segment that is empty, which only a lenient reading has: nothing but `**` matches it.
    Empty,
    Segment(Sought),
}

impl<V> Default for Tries<V> {
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            edges: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            literals: Literals::default(),
        }
    }
}

impl<V> Tries<V> {
    /// Begins a trie of its own.
    pub(crate) fn root(&mut self) -> NodeId {
        // More nodes than a u32 counts do not fit into the bounds of a document.
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.nodes.push(Node {
            any: None,
            first: None,
            has_others: false,
            here: Values::NONE,
            rest: Values::NONE,
        });
        id
    }

    /// Adds a pattern below a node.
    pub(crate) fn insert(&mut self, root: NodeId, pattern: &Segments, value: V) {
        let mut at = root;
        for segment in &pattern.list {
            at = match segment {
                SegmentPattern::Literal(literal) => self.literal_child(at, literal),
                SegmentPattern::Any | SegmentPattern::Capture(_) => self.any_child(at),
            };
        }
        if let Some(node) = self.node_mut(at) {
            let values = if pattern.rest { &mut node.rest } else { &mut node.here };
            values.push(value);
        }
    }

    /// The node that one literal segment leads to, made where there is none.
    pub(crate) fn literal_child(&mut self, from: NodeId, literal: &str) -> NodeId {
        let literal = self.literals.add(literal);
        if let Some(child) = self.node(from).and_then(|node| self.child(from, node, literal)) {
            return child;
        }
        let to = self.root();
        if let Some(node) = self.node_mut(from) {
            if node.first.is_none() {
                node.first = Some((literal, to));
                return to;
            }
            node.has_others = true;
        }
        let hasher = &self.hasher;
        self.edges.insert_unique(
            hasher.hash_one((from, literal)),
            Edge { from, literal, to },
            |edge: &Edge| hasher.hash_one((edge.from, edge.literal)),
        );
        to
    }

    /// The node that any segment leads to, made where there is none.
    pub(crate) fn any_child(&mut self, from: NodeId) -> NodeId {
        if let Some(child) = self.node(from).and_then(|node| node.any) {
            return child;
        }
        let to = self.root();
        if let Some(node) = self.node_mut(from) {
            node.any = Some(to);
        }
        to
    }

    /// Begins a search for what is asked. It may go through any number of tries.
    pub(crate) fn search<'s, I: Iterator<Item = Segment<'s>>>(&self, segments: I) -> Search<'_, V, I> {
        Search {
            tries: self,
            segments,
            read: [Sought::default(); DEPTH],
            count: 0,
            last: None,
        }
    }

    fn sought(&self, segment: Segment<'_>) -> Sought {
        let steps = segment.least_bytes() / BYTES_A_STEP;
        let steps = steps.saturating_add(segment.seeking_steps());
        Sought {
            literal: self.literals.find(segment),
            // A request does not have as many bytes.
            steps: u32::try_from(steps).unwrap_or(u32::MAX),
        }
    }

    fn child(&self, from: NodeId, node: &Node<V>, literal: LiteralId) -> Option<NodeId> {
        let (first, to) = node.first?;
        if first == literal {
            return Some(to);
        }
        if !node.has_others {
            return None;
        }
        let is_wanted = |edge: &Edge| edge.from == from && edge.literal == literal;
        let found = self.edges.find(self.hasher.hash_one((from, literal)), is_wanted);
        found.map(|edge| edge.to)
    }

    fn node(&self, id: NodeId) -> Option<&Node<V>> {
        self.nodes.get(usize::try_from(id.0).ok()?)
    }

    fn node_mut(&mut self, id: NodeId) -> Option<&mut Node<V>> {
        self.nodes.get_mut(usize::try_from(id.0).ok()?)
    }
}

impl<'v, 's, V, I: Iterator<Item = Segment<'s>>> Search<'v, V, I> {
    /// Shows every value below a root whose pattern matches what is asked, as far as `effort` goes.
    pub(crate) fn visit(&mut self, root: NodeId, effort: &Effort, show: &mut impl FnMut(&'v V)) {
        self.visit_from(root, 0, effort, show);
    }

    /// Recursion is as deep as the longest pattern, which is bounded, however long the input.
    fn visit_from(&mut self, at: NodeId, depth: usize, effort: &Effort, show: &mut impl FnMut(&'v V)) {
        let tries = self.tries;
        let Some(node) = tries.node(at).filter(|_| effort.spend(NODE_STEPS)) else {
            return;
        };
        node.rest.as_slice().iter().for_each(&mut *show);
        let sought = match self.place(depth) {
            Place::End => return node.here.as_slice().iter().for_each(show),
            Place::Empty => return,
            Place::Segment(sought) => sought,
        };
        if !usize::try_from(sought.steps).is_ok_and(|steps| effort.spend(steps)) {
            return;
        }
        let child = sought.literal.and_then(|literal| tries.child(at, node, literal));
        for next in [child, node.any].into_iter().flatten() {
            self.visit_from(next, depth.saturating_add(1), effort, show);
        }
    }

    fn place(&mut self, depth: usize) -> Place {
        if depth >= self.count && self.last.is_none() {
            self.read_next();
        }
        // Who goes deeper than what is asked, or than any pattern, finds nothing.
        match self.read.get(..self.count).and_then(|read| read.get(depth)) {
            Some(sought) => Place::Segment(*sought),
            None => self.last.filter(|_| depth == self.count).unwrap_or(Place::Empty),
        }
    }

    /// Reads what is asked at the next depth: a search looks at one after another.
    fn read_next(&mut self) {
        match (self.segments.next(), self.read.get_mut(self.count)) {
            (None, _) => self.last = Some(Place::End),
            (Some(segment), Some(place)) if !segment.is_empty() => {
                *place = self.tries.sought(segment);
                self.count = self.count.saturating_add(1);
            }
            (Some(_), _) => self.last = Some(Place::Empty),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// Were it not so, every answer would stay right, and each node would read its segment again.
    #[test]
    fn segments_are_read_once_whatever_the_number_of_nodes() {
        let mut tries = Tries::default();
        let root = tries.root();
        for number in 0..16 {
            let bit = |place: u32| if number >> place & 1 == 1 { "a" } else { "*" };
            let pattern = (0..4).map(bit).collect::<Vec<_>>().join("/");
            let pattern = Segments::parse(&pattern, |literal| Ok(literal.into())).unwrap();
            tries.insert(root, &pattern, number);
        }
        let read = std::cell::Cell::new(0);
        let path = std::iter::repeat_n(Segment::literal("a"), 4).inspect(|_| read.set(read.get() + 1));
        let mut search = tries.search(path);
        let mut found = Vec::new();
        for _ in 0..2 {
            search.visit(root, &Effort::of(1_000), &mut |number| found.push(*number));
        }
        assert_eq!((found.len(), read.get()), (32, 4));
    }
}
