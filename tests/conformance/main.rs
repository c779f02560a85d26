//! `make conformance`: runs test vectors that nobody on this project wrote.
//!
//! `conformance DIR` takes from `DIR` whatever it knows, says for each kind of vector how many rows came out as they
//! should, and fails when a row did not, or when there was none. What each kind asserts stands at the top of its
//! module. A difference that we keep on purpose is either a rule in code, where the row itself says that it is about
//! something else than an X.509-SVID, or an entry of `exceptions.toml` with a reason.

mod bundles;
mod chains;
mod constraints;
mod exceptions;
mod ids;
mod leaves;
mod limbo;
mod primitives;
mod results;
mod vectors;
mod webpki;
mod xfcc;

use std::process::ExitCode;

use exceptions::Exceptions;
use results::Results;
use vectors::Vectors;

fn main() -> ExitCode {
    let Some(directory) = std::env::args_os().nth(1) else {
        eprintln!("usage: conformance DIR");
        return ExitCode::FAILURE;
    };
    let exceptions = match Exceptions::read(include_str!("exceptions.toml")) {
        Ok(exceptions) => exceptions,
        Err(error) => {
            eprintln!("exceptions.toml: {error}");
            return ExitCode::FAILURE;
        }
    };
    results::name_the_row_on_panic();
    let vectors = Vectors::new(directory.into());
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
    if results.report(&exceptions) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
