//! `x-forwarded-client-cert`, as Envoy writes it in each mode: the last element is read, and has a `Cert` and a `Chain`
//! where Envoy was told to write them. What a hop says is read whole: as many elements as there are, each with its `Hash`.

use serde_json::Value;
use svidgate_gate::peer::{assertion::elements, xfcc::last_element};

use crate::results::{Answer, Results};
use crate::vectors::{Vectors, rows, text};

const KIND: &str = "envoy xfcc";
const OF_HOP: &str = "envoy xfcc of a hop";
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
        let expected = hashes(header).map_or_else(Answer::refuse, Answer::of);
        results.check((OF_HOP, FILE, text(case, "name")), expected, || {
            let Ok(elements) = elements(header.as_bytes()) else {
                return Ok(Answer::refuse());
            };
            let hashes = elements.iter().map(|element| element.hash.as_deref().unwrap_or("-"));
            Ok(Answer::of(hashes.collect::<Vec<_>>().join(" ")))
        });
    }
}

/// The hashes of all elements. No value of these rows has a comma before a key; some are of a test of Envoy's own that
/// asks for details in another order than any configuration does, so that the certificate stands behind the names.
fn hashes(header: &str) -> Option<String> {
    let is_odd = header
        .rfind(";URI=")
        .zip(header.find(";Cert="))
        .is_some_and(|(uri, cert)| uri < cert);
    let elements = header.replace(",Hash=", ",By=-;Hash=");
    let hash = |element: &str| {
        let hash = element.split(';').find_map(|pair| pair.strip_prefix("Hash="));
        hash.unwrap_or("-").to_owned()
    };
    let hashes: Vec<String> = elements.split(",By=").map(hash).collect();
    (!is_odd).then(|| hashes.join(" "))
}

/// What Envoy wrote last under a name. No client of these rows sent one.
fn written(header: &str, name: &str) -> Option<String> {
    let (_, value) = header.rsplit_once(&format!("{name}=\""))?;
    value.split('"').next().map(str::to_owned)
}
