//! Chains: is this chain, at this time, with these bundles, an identity? Each bundle belongs to one trust domain, with
//! which there is a relationship without limits. `strict_expected`, where it is set, beats `expected`, because key
//! usage of leaves is enforced here; `EITHER` must only come back.

use std::collections::BTreeMap;

use serde_json::Value;
use svidgate_policy::TrustDomain;

use crate::identity::Question;
use crate::results::{Answer, Results};
use crate::vectors::{Unusable, Vectors, rows, strings, text, time};

const KIND: &str = "chains.json";

/// Runs `chains.json` past whoever answers.
pub(crate) fn run(vectors: &Vectors, results: &mut Results, ask: &mut dyn FnMut(&Question) -> Result<Answer, String>) {
    let document = match vectors.json(KIND) {
        Some(Ok(document)) => document,
        Some(Err(error)) => return results.unreadable(KIND, KIND, error),
        None => return,
    };
    for case in rows(&document, "cases") {
        let expected = match case.get("strict_expected").and_then(Value::as_str) {
            Some(strict) => strict,
            None => text(case, "expected"),
        };
        let row = (KIND, KIND, text(case, "id"));
        match expected {
            "ACCEPT" => results.check(row, Answer::accept(), || answer(vectors, case, ask)),
            "REJECT" => results.check(row, Answer::refuse(), || answer(vectors, case, ask)),
            "EITHER" => results.check_returns(row, || answer(vectors, case, ask)),
            other => results.check(row, Answer::of(other), || {
                Err(format!("expected `{other}` is not known"))
            }),
        }
    }
}

fn answer(
    vectors: &Vectors,
    case: &Value,
    ask: &mut dyn FnMut(&Question) -> Result<Answer, String>,
) -> Result<Answer, String> {
    match question(vectors, case) {
        Ok(question) => ask(&question),
        Err(Unusable::Missing(error)) => Err(error),
        Err(Unusable::NotCertificates(error)) => Ok(Answer::refuse().because(error)),
    }
}

fn question(vectors: &Vectors, case: &Value) -> Result<Question, Unusable> {
    let mut chain = Vec::new();
    for reference in strings(case, "chain") {
        chain.extend(vectors.certificates(reference)?);
    }
    let mut bundles = BTreeMap::new();
    for (name, references) in case.get("bundles").and_then(Value::as_object).into_iter().flatten() {
        // A name that no trust domain can have gets no bundle, as in a bundle map.
        let Ok(trust_domain) = TrustDomain::parse(name) else {
            continue;
        };
        let mut authorities = Vec::new();
        for reference in references.as_array().into_iter().flatten().filter_map(Value::as_str) {
            match vectors.certificates(reference) {
                Ok(certificates) => authorities.extend(certificates),
                Err(Unusable::NotCertificates(_)) => {}
                Err(missing @ Unusable::Missing(_)) => return Err(missing),
            }
        }
        bundles.insert(trust_domain, authorities);
    }
    let at = time(case, "validation_time").map_err(Unusable::Missing)?;
    Ok(Question { chain, bundles, at })
}
