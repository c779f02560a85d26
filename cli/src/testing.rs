//! Does a policy do what its tests say?

pub mod coverage;
pub mod file;
pub mod junit;
pub mod mutants;
pub mod mutation;
pub mod plan;
pub mod reach;
pub mod run;
pub mod suite;
