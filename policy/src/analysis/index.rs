//! Which rules may speak of what a pattern means, found without looking at the others?

use hashbrown::HashMap;

use crate::{
    analysis::vocabulary::{Symbol, Vocabulary},
    pattern::{
        id_pattern::IdPattern,
        segments::{SegmentPattern, Segments},
    },
};

/// What speaks of something, by its pattern: a tree by segments.
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

/// A pattern as an index looks at it: of a capture, it is not seen what it must be the same as.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    segments: Vec<Sought>,
    rest: bool,
}

/// One segment that is looked for.
#[derive(Clone, Copy, Debug)]
enum Sought {
    Text(Symbol),
    Any,
}

impl Key {
    /// The trust domain is the first segment.
    pub(crate) fn of_id(vocabulary: &mut Vocabulary, pattern: &IdPattern) -> Self {
        let first = match &pattern.trust_domain {
            Some(name) => Sought::Text(vocabulary.symbol(name.as_str())),
            None => Sought::Any,
        };
        let mut key = Self::of_segments(vocabulary, &pattern.segments);
        key.segments.insert(0, first);
        key
    }

    pub(crate) fn of_segments(vocabulary: &mut Vocabulary, segments: &Segments) -> Self {
        let sought = segments.list.iter().map(|segment| match segment {
            SegmentPattern::Literal(text) => Sought::Text(vocabulary.symbol(text)),
            SegmentPattern::Any | SegmentPattern::Capture(_) => Sought::Any,
        });
        Self {
            segments: sought.collect(),
            rest: segments.rest,
        }
    }

    /// What any pattern has something in common with.
    pub(crate) fn anything() -> Self {
        Self {
            segments: Vec::new(),
            rest: true,
        }
    }
}

impl<V: Copy + Ord> Index<V> {
    pub(crate) fn new() -> Self {
        Self {
            nodes: vec![Node::new()],
        }
    }

    pub(crate) fn insert(&mut self, key: &Key, value: V) {
        let mut at = 0;
        for segment in &key.segments {
            at = self.child(at, *segment);
        }
        if let Some(node) = self.nodes.get_mut(at) {
            let values = if key.rest { &mut node.rest } else { &mut node.here };
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

    /// Those whose pattern may have something in common with this one, in their order.
    pub(crate) fn overlapping(&self, key: &Key) -> Vec<V> {
        self.overlapping_up_to(key, usize::MAX).unwrap_or_default()
    }

    /// The same; `None` where more than so many would have to be looked at.
    pub(crate) fn overlapping_up_to(&self, key: &Key, most: usize) -> Option<Vec<V>> {
        let mut found = Vec::new();
        let mut looked_at: usize = 0;
        let mut open: Vec<(usize, usize)> = vec![(0, 0)];
        while let Some((at, depth)) = open.pop() {
            let Some(node) = self.nodes.get(at) else { continue };
            looked_at = looked_at.saturating_add(1);
            found.extend_from_slice(&node.rest);
            let next = depth.saturating_add(1);
            let sought = key.segments.get(depth);
            let children = match sought {
                Some(Sought::Text(_)) => 1,
                Some(Sought::Any) => node.named.len(),
                None if key.rest => node.named.len(),
                None => 0,
            };
            // What is open is looked at, too.
            let ahead = open.len().saturating_add(children);
            if looked_at.saturating_add(found.len()).saturating_add(ahead) > most {
                return None;
            }
            let mut go = |child: usize| open.push((child, next));
            match sought {
                Some(Sought::Text(text)) => node.named.get(text).into_iter().copied().for_each(&mut go),
                Some(Sought::Any) => node.named.values().copied().for_each(&mut go),
                None if key.rest => node.named.values().copied().for_each(&mut go),
                None => {}
            }
            if sought.is_none() {
                found.extend_from_slice(&node.here);
            }
            if sought.is_some() || key.rest {
                node.any.into_iter().for_each(go);
            }
        }
        found.sort_unstable();
        found.dedup();
        Some(found)
    }
}
