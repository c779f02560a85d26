//! Which rules may speak of an id that a pattern means, found without looking at the others?

use hashbrown::HashMap;

use crate::{
    analysis::vocabulary::{Symbol, Vocabulary},
    pattern::{
        id_pattern::IdPattern,
        segments::{SegmentPattern, Segments},
    },
};

/// What speaks of ids, by its pattern: a tree by segments, of which the first is the trust domain.
#[derive(Debug)]
pub(crate) struct Index<V> {
    nodes: Vec<Node<V>>,
}

#[derive(Debug)]
struct Node<V> {
    named: HashMap<Symbol, usize>,
    any: Option<usize>,
    here: Vec<V>,
    rest: Vec<V>,
}

impl<V> Node<V> {
    fn new() -> Self {
        Self {
            named: HashMap::new(),
            any: None,
            here: Vec::new(),
            rest: Vec::new(),
        }
    }
}

/// One segment that is looked for.
#[derive(Clone, Copy)]
enum Sought {
    Text(Symbol),
    Any,
}

impl<V: Copy + Ord> Index<V> {
    pub(crate) fn new() -> Self {
        Self {
            nodes: vec![Node::new()],
        }
    }

    pub(crate) fn insert(&mut self, vocabulary: &mut Vocabulary, pattern: &IdPattern, value: V) {
        let mut at = 0;
        for segment in sought(vocabulary, pattern) {
            at = self.child(at, segment);
        }
        if let Some(node) = self.nodes.get_mut(at) {
            let values = if pattern.segments.rest {
                &mut node.rest
            } else {
                &mut node.here
            };
            values.push(value);
        }
    }

    fn child(&mut self, at: usize, segment: Sought) -> usize {
        let next = self.nodes.len();
        let Some(node) = self.nodes.get_mut(at) else {
            return at;
        };
        let child = match segment {
            Sought::Text(text) => *node.named.entry(text).or_insert(next),
            Sought::Any => *node.any.get_or_insert(next),
        };
        if child == next {
            self.nodes.push(Node::new());
        }
        child
    }

    /// Those whose pattern may have an id with this one in common, in their order.
    pub(crate) fn overlapping(&self, vocabulary: &mut Vocabulary, pattern: &IdPattern) -> Vec<V> {
        let sought = sought(vocabulary, pattern);
        let mut found = Vec::new();
        let mut open: Vec<(usize, usize)> = vec![(0, 0)];
        while let Some((at, depth)) = open.pop() {
            let Some(node) = self.nodes.get(at) else { continue };
            found.extend_from_slice(&node.rest);
            let next = depth.saturating_add(1);
            let mut go = |child: usize| open.push((child, next));
            match sought.get(depth) {
                Some(Sought::Text(text)) => node.named.get(text).into_iter().copied().for_each(&mut go),
                Some(Sought::Any) => node.named.values().copied().for_each(&mut go),
                None if pattern.segments.rest => {
                    node.named.values().copied().for_each(&mut go);
                    found.extend_from_slice(&node.here);
                }
                None => {
                    found.extend_from_slice(&node.here);
                    continue;
                }
            }
            node.any.into_iter().for_each(go);
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

fn sought(vocabulary: &mut Vocabulary, pattern: &IdPattern) -> Vec<Sought> {
    let IdPattern {
        trust_domain,
        segments: Segments { list, rest: _ },
    } = pattern;
    let first = match trust_domain {
        Some(name) => Sought::Text(vocabulary.symbol(name.as_str())),
        None => Sought::Any,
    };
    let segments = list.iter().map(|segment| match segment {
        SegmentPattern::Literal(text) => Sought::Text(vocabulary.symbol(text)),
        SegmentPattern::Any | SegmentPattern::Capture(_) => Sought::Any,
    });
    std::iter::once(first).chain(segments).collect()
}
