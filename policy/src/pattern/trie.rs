//! Patterns by segment: from what is asked to every pattern that matches it, at a cost that depends on neither's number.
//!
//! One table holds the edges of every trie of a rule set, keyed by node and segment; a root is a node like any other.
//! A rule set has one trie of ids and one of paths for each distinct `from`, so a table in every node would be mostly
//! empty tables.

use std::hash::Hasher as _;

use fnv::FnvHasher;
use hashbrown::HashTable;

use crate::{
    effort::Effort,
    name::path::Segment,
    pattern::segments::{SegmentPattern, Segments},
};

/// What a node costs: a probe of a table that no cache holds. Measured in the VM, 60 to 80 ns.
pub(crate) const NODE_STEPS: usize = 5;
/// How many bytes of a segment are looked at in a step.
const BYTES_A_STEP: usize = 64;

/// A node, where a search begins or goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeId(u32);

#[derive(Debug)]
pub(crate) struct Tries<V> {
    nodes: Vec<Node<V>>,
    edges: HashTable<Edge>,
    /// The longest literal, in bytes.
    longest: usize,
}

#[derive(Debug)]
struct Node<V> {
    /// Where `*` and captures lead.
    any: Option<NodeId>,
    /// Patterns that end here.
    here: Vec<V>,
    /// Patterns that end here in `**`.
    rest: Vec<V>,
}

#[derive(Debug)]
struct Edge {
    from: NodeId,
    literal: Box<str>,
    to: NodeId,
}

impl<V> Default for Tries<V> {
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            edges: HashTable::new(),
            longest: 0,
        }
    }
}

/// Escaped and plain spellings of a segment are one key, so the hash is fed what the segment stands for.
fn hash(from: NodeId, segment: impl Iterator<Item = u8>) -> u64 {
    let mut hasher = FnvHasher::default();
    hasher.write_u32(from.0);
    segment.for_each(|byte| hasher.write_u8(byte));
    hasher.finish()
}

impl<V> Tries<V> {
    /// Begins a trie of its own.
    pub(crate) fn root(&mut self) -> NodeId {
        // More nodes than a u32 counts do not fit into the bounds of a document.
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.nodes.push(Node {
            any: None,
            here: Vec::new(),
            rest: Vec::new(),
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
            // Most patterns are alone where they end.
            if values.is_empty() {
                values.reserve_exact(1);
            }
            values.push(value);
        }
    }

    /// The node that one literal segment leads to, made where there is none.
    pub(crate) fn literal_child(&mut self, from: NodeId, literal: &str) -> NodeId {
        if let Some(child) = self.child(from, Segment::literal(literal)) {
            return child;
        }
        self.longest = self.longest.max(literal.len());
        let to = self.root();
        let rehash = |edge: &Edge| hash(edge.from, edge.literal.bytes());
        self.edges.insert_unique(
            hash(from, literal.bytes()),
            Edge {
                from,
                literal: literal.into(),
                to,
            },
            rehash,
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

    /// Shows every value whose pattern matches `segments`, as far as `effort` goes. Recursion is as deep as the longest
    /// pattern, which is bounded, however long the input.
    pub(crate) fn visit<'v, 's>(
        &'v self,
        at: NodeId,
        mut segments: impl Iterator<Item = Segment<'s>> + Clone,
        effort: &Effort,
        show: &mut impl FnMut(&'v V),
    ) {
        let Some(node) = self.node(at).filter(|_| effort.spend(NODE_STEPS)) else {
            return;
        };
        node.rest.iter().for_each(&mut *show);
        let Some(segment) = segments.next() else {
            return node.here.iter().for_each(show);
        };
        // Its slash was looked for, and it is hashed.
        let steps = segment.least_bytes() / BYTES_A_STEP;
        if !effort.spend(steps.saturating_add(segment.seeking_steps())) {
            return;
        }
        // A segment that is empty, which only a lenient reading has, is matched by nothing but `**`.
        if segment.is_empty() {
            return;
        }
        if let Some(child) = self.child(at, segment) {
            self.visit(child, segments.clone(), effort, show);
        }
        if let Some(any) = node.any {
            self.visit(any, segments, effort, show);
        }
    }

    fn child(&self, from: NodeId, segment: Segment<'_>) -> Option<NodeId> {
        // A peer's segment of 60 KiB, hashed for each of its routers, would take milliseconds.
        if segment.least_bytes() > self.longest {
            return None;
        }
        let is_wanted = |edge: &Edge| edge.from == from && segment.is(edge.literal.as_bytes());
        self.edges
            .find(hash(from, segment.bytes()), is_wanted)
            .map(|edge| edge.to)
    }

    fn node(&self, id: NodeId) -> Option<&Node<V>> {
        self.nodes.get(usize::try_from(id.0).ok()?)
    }

    fn node_mut(&mut self, id: NodeId) -> Option<&mut Node<V>> {
        self.nodes.get_mut(usize::try_from(id.0).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// Were it not so, every answer would stay right, and each would look at every edge.
    #[test]
    fn edges_are_told_apart_by_their_hash() {
        let hashes: std::collections::BTreeSet<u64> = (0..100)
            .flat_map(|node| {
                (0..100).map(move |segment| hash(NodeId(node), segment.to_string().into_bytes().into_iter()))
            })
            .collect();
        assert_eq!(hashes.len(), 10_000);
    }
}
