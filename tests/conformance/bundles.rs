//! Bundles and bundle maps: whether the document is one, how many X.509 authorities and JWT keys it has, sequence and
//! refresh hint. An entry that we skip must be one that the row says is ignored.

use serde_json::Value;
use svidgate_policy::TrustDomain;
use svidgate_policy::trust::{bundle::Bundle, bundle_set::BundleSet};

use crate::results::{Answer, Results};
use crate::vectors::{Vectors, rows, text};

pub(crate) const KIND: &str = "bundles.json";

/// Runs `bundles.json`.
pub(crate) fn run(vectors: &Vectors, results: &mut Results) {
    let document = match vectors.json(KIND) {
        Some(Ok(document)) => document,
        Some(Err(error)) => return results.unreadable(KIND, KIND, error),
        None => return,
    };
    for case in rows(&document, "cases") {
        let (file, form) = (text(case, "file"), text(case, "form"));
        let spec = case.get("spec").unwrap_or(&Value::Null);
        let row = (KIND, KIND, file);
        match form {
            "bundle" => results.check(row, expected_bundle(spec), || {
                let bytes = vectors.bytes(file)?;
                Ok(match Bundle::parse(&bytes) {
                    Ok(bundle) => Answer::of(summary(&bundle, spec)),
                    Err(error) => Answer::refuse().because(error),
                })
            }),
            "map" => results.check(row, expected_map(spec), || {
                let bytes = vectors.bytes(file)?;
                Ok(map(&bytes, spec))
            }),
            other => results.check(row, Answer::of(other), || Err(format!("form `{other}` is not known"))),
        }
    }
}

/// Whether the row says that it is a bundle, or a map.
pub(crate) fn is_good(spec: &Value) -> bool {
    text(spec, "parse") == "ok"
}

fn expected_bundle(spec: &Value) -> Answer {
    if !is_good(spec) {
        return Answer::refuse();
    }
    let number = |member| spec.get(member).and_then(Value::as_u64);
    let count = |member| number(member).unwrap_or_default();
    Answer::of(described(
        count("x509"),
        count("jwt"),
        number("sequence"),
        number("refresh_hint"),
        &[],
    ))
}

fn described(x509: u64, jwt: u64, sequence: Option<u64>, hint: Option<u64>, skipped: &[usize]) -> String {
    let shown = |number: Option<u64>| number.map_or("none".to_owned(), |number| number.to_string());
    let skipped = if skipped.is_empty() {
        String::new()
    } else {
        format!(", wrongly skipped {skipped:?}")
    };
    format!(
        "{x509} authorities, {jwt} jwt keys, sequence {}, hint {}{skipped}",
        shown(sequence),
        shown(hint)
    )
}

/// What we read, in the words of the row.
fn summary(bundle: &Bundle, spec: &Value) -> String {
    let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
    let ignored = rows(spec, "ignored")
        .iter()
        .filter_map(|entry| entry.get(0)?.as_u64())
        .collect::<Vec<_>>();
    let skipped: Vec<usize> = bundle
        .skipped()
        .iter()
        .map(|key| key.index)
        .filter(|index| !ignored.contains(&count(*index)))
        .collect();
    let (x509, jwt) = (count(bundle.authority_count()), count(bundle.jwt_keys().len()));
    described(x509, jwt, bundle.sequence(), bundle.refresh_hint(), &skipped)
}

fn members(spec: &Value) -> impl Iterator<Item = (&String, &Value)> {
    spec.get("domains").and_then(Value::as_object).into_iter().flatten()
}

fn expected_map(spec: &Value) -> Answer {
    if !is_good(spec) {
        return Answer::refuse();
    }
    Answer::of(listed(members(spec).map(|(name, member)| {
        (name.clone(), expected_bundle(member).verdict().to_owned())
    })))
}

fn map(bytes: &[u8], spec: &Value) -> Answer {
    let (set, errors) = match BundleSet::parse_map(bytes) {
        Ok(parsed) => parsed,
        Err(error) => return Answer::refuse().because(error),
    };
    let good = set.iter().map(|(name, bundle)| {
        let member = members(spec).find(|(known, _)| TrustDomain::parse(known).as_ref() == Ok(name));
        (
            name.to_string(),
            summary(bundle, member.map_or(&Value::Null, |(_, member)| member)),
        )
    });
    let bad = errors.into_iter().map(|error| (error.name, "refuse".to_owned()));
    Answer::of(listed(good.chain(bad)))
}

/// Members in the order of their names.
fn listed(members: impl Iterator<Item = (String, String)>) -> String {
    let mut members: Vec<String> = members.map(|(name, said)| format!("`{name}`: {said}")).collect();
    members.sort();
    format!("map of {} [{}]", members.len(), members.join("; "))
}
