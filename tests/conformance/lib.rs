//! `make conformance`: runs test vectors that nobody on this project wrote.
//!
//! [`run`] takes from a folder whatever it knows, says for each kind of vector how many rows came out as they should, and
//! fails when a row did not, or when there was none. What each kind asserts stands at the top of its module. A difference
//! that we keep on purpose is either a rule in code, where the row itself says that it is about something else than an
//! X.509-SVID, or an entry of `exceptions.toml` with a reason.
//!
//! It runs on the host, on `wasm32-wasip1` as the module is built, and on `wasm32-unknown-unknown`; `run.sh` asks that
//! all three give the same answers.

mod bundles;
mod chains;
mod constraints;
mod exceptions;
mod folder;
mod ids;
mod leaves;
mod limbo;
mod primitives;
mod results;
mod vectors;
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
    let exceptions =
        Exceptions::read(include_str!("exceptions.toml")).map_err(|error| format!("exceptions.toml: {error}"))?;
    let vectors = Vectors::new(folder);
    let mut results = Results::default();
    ids::run(&vectors, &mut results);
    chains::run(&vectors, &mut results);
    leaves::run(&vectors, &mut results);
    bundles::run(&vectors, &mut results);
    limbo::run(&vectors, &mut results);
    constraints::run(&vectors, &mut results);
    webpki::run(&vectors, &mut results);
    primitives::run(&vectors, &mut results);
    xfcc::run(&vectors, &mut results);
    Ok(results.report(&exceptions))
}
