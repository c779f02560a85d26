//! The command `svidgate`: what is asked of a policy before it ships, and of a proxy about where it is in force.

pub mod arguments;
pub mod as_json;
pub mod asked;
pub mod codes;
pub mod command;
pub mod comparing;
pub mod exit;
pub mod explaining;
pub mod finding;
pub mod guard;
pub mod identity;
pub mod input;
pub mod lint;
pub mod options;
pub mod reasons;
pub mod render;
pub mod report;
pub mod schema;
pub mod source;
pub mod suppression;
pub mod terminal;
pub mod testing;
pub mod verifying;
pub mod via;
pub mod visible;
pub mod wrap;
