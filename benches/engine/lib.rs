//! What the engine benchmark measures: rules and requests, and four engines that decide on them.
//!
//! `make bench` runs it. [`workload`] has the rules and requests, in no engine's language. [`svidgate`] is the one file
//! that uses the `policy` crate; beside it stand [`cedar`], [`rego`] and [`casbin`], each with the rules written the
//! way its own manual recommends. That all of them give the same answers is a test (`tests/agreement.rs`).

pub mod casbin;
pub mod cedar;
pub mod rego;
pub mod svidgate;
pub mod workload;

use workload::{Asked, Rule};

/// An engine with rules loaded.
pub trait Engine: Sized {
    /// A request as the engine takes it. Making it is not measured, which is in favour of those who need much made.
    type Prepared;

    /// Its name in tables.
    const NAME: &'static str;

    /// Loads rules, from the text that people write to the form that decides.
    fn load(rules: &[Rule]) -> Self;

    /// Readies a request.
    fn prepare(&self, asked: &Asked) -> Self::Prepared;

    /// Decides.
    fn allows(&mut self, prepared: &Self::Prepared) -> bool;
}
