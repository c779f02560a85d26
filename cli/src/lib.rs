//! The command `svidgate`: what is asked of a policy before it ships, and of a proxy about where it is in force.

pub mod arguments;
pub mod exit;
