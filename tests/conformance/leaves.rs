//! One fault a file: the certificate and intermediates of an SVID, without any bundle. The first must keep to the leaf
//! profile, the others must be able to sign. (Rows of `verify` are rules without files: `policy/tests/svid` has them.)

use serde_json::Value;
use svidgate_policy::certificate::{leaf::Leaf, pem::read_pem};
use svidgate_policy::trust::bundle::Bundle;

use crate::results::{Answer, Results};
use crate::vectors::{Vectors, is_true, rows, text};

pub(crate) const KIND: &str = "go-spiffe x509svid";
pub(crate) const FOLDER: &str = "go-spiffe/x509svid";

/// Runs `go-spiffe/x509svid/expectations.json`.
pub(crate) fn run(vectors: &Vectors, results: &mut Results) {
    each(vectors, results, |results, file, case| {
        let name = text(case, "file");
        let expected = match case.get("id").and_then(Value::as_str) {
            Some(id) if is_true(case, "ok") => Answer::of(id),
            _ => Answer::accept_if(is_true(case, "ok")),
        };
        results.check((KIND, file, name), expected, || {
            let text = vectors.bytes(&format!("{FOLDER}/{name}"))?;
            Ok(read(&text).unwrap_or_else(|error| Answer::refuse().because(error)))
        });
    });
}

/// Every row.
pub(crate) fn each(vectors: &Vectors, results: &mut Results, mut run: impl FnMut(&mut Results, &str, &Value)) {
    let file = format!("{FOLDER}/expectations.json");
    let document = match vectors.json(&file) {
        Some(Ok(document)) => document,
        Some(Err(error)) => return results.unreadable(KIND, &file, error),
        None => return,
    };
    let Some(parse) = document.get("parse") else { return };
    for case in rows(parse, "cases") {
        run(results, &file, case);
    }
}

fn read(text: &[u8]) -> Result<Answer, String> {
    let chain = read_pem(text).map_err(|error| error.to_string())?;
    let (leaf, intermediates) = chain.split_first().ok_or("no certificate")?;
    let leaf = Leaf::parse(leaf).map_err(|error| error.to_string())?;
    let signing = Bundle::from_certificates(intermediates.iter().cloned());
    match signing.skipped().first() {
        Some(skipped) => Err(skipped.to_string()),
        None => Ok(Answer::of(leaf.id().as_str())),
    }
}
