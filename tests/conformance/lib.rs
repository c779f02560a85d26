//! `make conformance`: runs test vectors that nobody on this project wrote.
//!
//! [`run`] takes from a folder whatever it knows, says for each kind of vector how many rows came out as they should,
//! and fails when a row did not, or when there was none. What each kind asserts stands at the top of its module. A
//! difference that we keep on purpose is either a rule in code, where the row itself says that it is about something
//! else than an X.509-SVID, or an entry of `exceptions.toml` with a reason.
//!
//! It runs on the host, on `wasm32-wasip1` as the module is built, and on `wasm32-unknown-unknown`; `run.sh` asks that
//! all three give the same answers. [`run_module`] asks the module itself what a proxy could ask it.

mod bundles;
mod chains;
mod constraints;
mod exceptions;
mod folder;
mod identity;
mod ids;
mod leaves;
mod limbo;
#[cfg(not(target_family = "wasm"))]
mod module;
mod primitives;
mod results;
mod tokens;
mod vectors;
#[cfg(not(target_family = "wasm"))]
mod vm;
mod webpki;
mod xfcc;

use exceptions::Exceptions;
use results::Results;
use vectors::Vectors;

pub use results::{Report, name_the_row_on_panic};

/// Runs every vector below a folder.
///
/// # Errors
/// When `exceptions.toml` cannot be read.
pub fn run(folder: &str) -> Result<Report, String> {
    let exceptions = exceptions()?;
    let vectors = Vectors::new(folder);
    let mut results = Results::default();
    ids::run(&vectors, &mut results);
    chains::run(&vectors, &mut results, &mut |question| Ok(question.answer()));
    leaves::run(&vectors, &mut results);
    bundles::run(&vectors, &mut results);
    limbo::run(&vectors, &mut results);
    constraints::run(&vectors, &mut results);
    webpki::run(&vectors, &mut results);
    primitives::run(&vectors, &mut results);
    tokens::run(&vectors, &mut results);
    xfcc::run(&vectors, &mut results);
    Ok(results.report(&exceptions))
}

/// Asks the module in every row that comes to a gate at all.
///
/// # Errors
/// When `exceptions.toml` cannot be read, or `wasm` is no such module.
#[cfg(not(target_family = "wasm"))]
pub fn run_module(folder: &str, wasm: &[u8]) -> Result<Report, String> {
    let exceptions = exceptions()?;
    let vm = vm::Vm::new(wasm).map_err(|error| error.to_string())?;
    let mut results = Results::default();
    module::run(&Vectors::new(folder), &vm, &mut results);
    Ok(results.report(&exceptions))
}

fn exceptions() -> Result<Exceptions, String> {
    Exceptions::read(include_str!("exceptions.toml")).map_err(|error| format!("exceptions.toml: {error}"))
}
