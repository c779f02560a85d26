//! The contract of the crate, from outside: documents that compile or say what is wrong, and decisions.
//!
//! What is said by example lies in `vectors/`, as data. What is said in general is compared with [`reference`], a naive
//! evaluator that shares nothing with the crate.

mod allocation;
mod bounds;
mod decisions;
mod documents;
mod identity;
mod reference;
mod vectors;
