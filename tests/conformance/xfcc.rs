//! `x-forwarded-client-cert`, as Envoy writes it in each mode. Who reads that header is the filter (`svidgate::peer`),
//! which is not hooked in here yet: until then the rows are counted in a notice only.

use crate::results::Results;
use crate::vectors::{Vectors, rows};

const KIND: &str = "envoy xfcc";
const FILE: &str = "envoy-main/xfcc_examples.json";

/// Runs `envoy-main/xfcc_examples.json`.
pub(crate) fn run(vectors: &Vectors, results: &mut Results) {
    match vectors.json(FILE) {
        // The place to call the filter's parser for each of `cases`.
        Some(Ok(document)) => {
            results.notice(format!(
                "{FILE}: {} rows are not run yet",
                rows(&document, "cases").len()
            ));
        }
        Some(Err(error)) => results.unreadable(KIND, FILE, error),
        None => {}
    }
}
