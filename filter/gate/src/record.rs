//! What is told to those who run the gate?

pub mod counters;
pub mod decision;
pub mod document_version;
pub mod line;
pub mod verification_time;
