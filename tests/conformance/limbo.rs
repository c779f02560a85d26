//! x509-limbo: RFC 5280 path validation. The path function alone runs: the leaves are those of web servers, with DNS
//! names. `SERVER` rows ask for serverAuth, `CLIENT` rows for clientAuth; the time is the row's, or now.
//!
//! Limbo judges a whole TLS client. What it asks beyond a path stands in [`outside`]: rows that differ only there.

use rustls_pki_types::CertificateDer;
use serde_json::Value;
use svidgate_policy::certificate::signature::ALGORITHMS;
use svidgate_policy::trust::bundle::Bundle;
use svidgate_policy::trust::chain::{self, Purpose};

use crate::results::{Answer, Results};
use crate::vectors::{Unusable, Vectors, certificates, rows, strings, text, time};

mod outside;

const KIND: &str = "x509-limbo";

/// Runs every `x509-limbo/limbo_*.json`, and `limbo*.json` beside it.
pub(crate) fn run(vectors: &Vectors, results: &mut Results) {
    for file in vectors.files(KIND, "limbo", ".json") {
        match vectors.json(&file) {
            Some(Ok(document)) => {
                for case in rows(&document, "testcases") {
                    run_case(&file, case, results);
                }
            }
            Some(Err(error)) => results.unreadable(KIND, &file, error),
            None => {}
        }
    }
}

fn run_case(file: &str, case: &Value, results: &mut Results) {
    let row = (KIND, file, text(case, "id"));
    match text(case, "expected_result") {
        "SUCCESS" => results.check_unless(row, Answer::accept(), outside::success(case), || verify(case)),
        "FAILURE" => results.check_unless(row, Answer::refuse(), outside::failure(case), || verify(case)),
        other => results.check(row, Answer::of(other), || {
            Err(format!("expected result `{other}` is not known"))
        }),
    }
}

fn verify(case: &Value) -> Result<Answer, String> {
    let purpose = match text(case, "validation_kind") {
        "SERVER" => Purpose::ServerAuth,
        "CLIENT" => Purpose::ClientAuth,
        other => return Err(format!("validation kind `{other}` is not known")),
    };
    let leaf = match certificates(text(case, "peer_certificate").as_bytes()) {
        Ok(leaf) => leaf,
        Err(Unusable::Missing(error) | Unusable::NotCertificates(error)) => return Ok(Answer::refuse().because(error)),
    };
    let leaf = leaf.first().ok_or("no leaf")?;
    let bundle = Bundle::from_certificates(list(case, "trusted_certs"));
    let intermediates = list(case, "untrusted_intermediates");
    let at = time(case, "validation_time")?;
    let verified = chain::verify(leaf, &intermediates, &bundle, ALGORITHMS, purpose, at);
    let skipped = bundle
        .skipped()
        .iter()
        .map(|skipped| format!("; {skipped}"))
        .collect::<String>();
    let answer = match verified {
        Ok(_) => Answer::accept(),
        Err(error) => Answer::refuse().because(format!("{error}{skipped}")),
    };
    Ok(answer)
}

/// The certificates of a list of PEM texts; one that is none is left out, as a reader of a store would.
fn list(case: &Value, member: &str) -> Vec<CertificateDer<'static>> {
    strings(case, member)
        .into_iter()
        .filter_map(|text| certificates(text.as_bytes()).ok())
        .flatten()
        .collect()
}
