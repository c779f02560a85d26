//! Chains: is this chain, at this time, with these bundles, an identity? Each bundle belongs to one trust domain, with
//! which there is a relationship without limits. `strict_expected`, where it is set, beats `expected`, because key usage
//! of leaves is enforced here; `EITHER` must only come back.

use serde_json::Value;
use svidgate_policy::TrustDomain;
use svidgate_policy::bundle::{Bundle, BundleSet};
use svidgate_policy::federation::{Relationship, Relationships};
use svidgate_policy::signature::ALGORITHMS;
use svidgate_policy::svid::{self, ChainCheck};

use crate::results::{Answer, Results};
use crate::vectors::{Unusable, Vectors, rows, strings, text, time};

const KIND: &str = "chains.json";

/// Runs `chains.json`.
pub(crate) fn run(vectors: &Vectors, results: &mut Results) {
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
            "ACCEPT" => results.check(row, Answer::accept(), || verify(vectors, case)),
            "REJECT" => results.check(row, Answer::refuse(), || verify(vectors, case)),
            "EITHER" => results.check_returns(row, || verify(vectors, case)),
            other => results.check(row, Answer::of(other), || {
                Err(format!("expected `{other}` is not known"))
            }),
        }
    }
}

fn verify(vectors: &Vectors, case: &Value) -> Result<Answer, String> {
    let mut chain = Vec::new();
    for reference in strings(case, "chain") {
        match vectors.certificates(reference) {
            Ok(certificates) => chain.extend(certificates),
            Err(Unusable::Missing(error)) => return Err(error),
            Err(Unusable::NotCertificates(error)) => return Ok(Answer::refuse().because(error)),
        }
    }
    let Some((leaf, intermediates)) = chain.split_first() else {
        return Ok(Answer::refuse().because("no certificate"));
    };
    let mut bundles = BundleSet::default();
    let mut relationships = Relationships::default();
    for (name, references) in case.get("bundles").and_then(Value::as_object).into_iter().flatten() {
        // A name that no trust domain can have gets no bundle, as in a bundle map.
        let Ok(trust_domain) = TrustDomain::parse(name) else {
            continue;
        };
        let mut authorities = Vec::new();
        for reference in references.as_array().into_iter().flatten().filter_map(Value::as_str) {
            match vectors.certificates(reference) {
                Ok(certificates) => authorities.extend(certificates),
                Err(Unusable::Missing(error)) => return Err(error),
                Err(Unusable::NotCertificates(_)) => {}
            }
        }
        bundles.insert(trust_domain.clone(), Bundle::from_certificates(authorities));
        relationships.insert(Relationship::unlimited(trust_domain));
    }
    let check = ChainCheck::Verify {
        bundles: &bundles,
        intermediates,
        algorithms: ALGORITHMS,
    };
    Ok(
        match svid::verify(leaf, check, &relationships, time(case, "validation_time")?) {
            Ok(_) => Answer::accept(),
            Err(error) => Answer::refuse().because(format!("{}: {error}", error.reason())),
        },
    )
}
