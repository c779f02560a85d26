//! One command a file: its arguments, and what it does.

pub mod can;
pub mod check;
pub mod completions;
pub mod diff;
pub mod explain;
pub mod guard;
pub mod new;
pub mod policy;
pub mod reasons;
pub mod render;
pub mod schema;
pub mod test;
