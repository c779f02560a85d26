//! What is read: files, what carries a document, and where in a file something stands.

pub mod carrier;
pub mod compiled;
pub mod document;
pub mod files;
pub mod git;
pub mod json;
pub mod load;
pub mod place;
pub mod policy;
pub mod tree;
pub mod typed;
pub mod within;
pub mod yaml;
