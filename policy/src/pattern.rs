//! Which are meant?
//!
//! Patterns of ids and of paths, and the tree that finds those that match.

pub mod id_pattern;
mod literals;
pub mod path_pattern;
pub mod segments;
pub(crate) mod trie;
