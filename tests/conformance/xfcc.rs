//! `x-forwarded-client-cert`, as Envoy writes it in each mode: the last element is read, and has a `Cert` and a `Chain`
//! where Envoy was told to write them.

use serde_json::Value;
use svidgate_gate::peer::xfcc::last_element;

use crate::results::{Answer, Results};
use crate::vectors::{Vectors, rows, text};

const KIND: &str = "envoy xfcc";
const FILE: &str = "envoy-main/xfcc_examples.json";

/// Runs `envoy-main/xfcc_examples.json`.
pub(crate) fn run(vectors: &Vectors, results: &mut Results) {
    let document = match vectors.json(FILE) {
        Some(Ok(document)) => document,
        Some(Err(error)) => return results.unreadable(KIND, FILE, error),
        None => return,
    };
    for case in rows(&document, "cases") {
        // In some modes the upstream sees no header.
        let Some(header) = case.get("upstream_sees").and_then(Value::as_str) else {
            continue;
        };
        let expected = format!("{:?} {:?}", written(header, "Cert"), written(header, "Chain"));
        results.check((KIND, FILE, text(case, "name")), Answer::of(&expected), || {
            let Some(element) = last_element(header.as_bytes()) else {
                return Ok(Answer::refuse());
            };
            let shown = |value: Option<&[u8]>| value.map(|value| String::from_utf8_lossy(value).into_owned());
            Ok(Answer::of(format!(
                "{:?} {:?}",
                shown(element.cert),
                shown(element.chain)
            )))
        });
    }
}

/// What Envoy wrote last under a name. No client of these rows sent one.
fn written(header: &str, name: &str) -> Option<String> {
    let (_, value) = header.rsplit_once(&format!("{name}=\""))?;
    value.split('"').next().map(str::to_owned)
}
