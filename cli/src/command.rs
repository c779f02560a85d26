//! One command a file: its arguments, and what it does.

pub mod can;
pub mod check;
pub mod explain;
pub mod policy;
pub mod test;
