//! SPIFFE IDs: exactly `spec: valid` is accepted; what is ambiguous in case, or longer than 2,048 bytes, is refused.
//! `leaf_ok` adds that a leaf's ID has a path. The tables of go-spiffe add trust domains, segments and matchers.

use serde_json::Value;
use svidgate_policy::IdPattern;
use svidgate_policy::{SpiffeId, TrustDomain};

use crate::results::{Answer, Results};
use crate::vectors::{Vectors, is_true, rows, strings, text};

pub(crate) const UNION: &str = "spiffe_ids.json";
pub(crate) const GO: &str = "go-spiffe/spiffeid.json";

/// Runs `spiffe_ids.json` and `go-spiffe/spiffeid.json`.
pub(crate) fn run(vectors: &Vectors, results: &mut Results) {
    match vectors.json(UNION) {
        Some(Ok(document)) => ids("spiffe_ids.json", UNION, rows(&document, "cases"), "leaf_ok", results),
        Some(Err(error)) => results.unreadable("spiffe_ids.json", UNION, error),
        None => {}
    }
    match vectors.json(GO) {
        Some(Ok(document)) => {
            ids("go-spiffe ids", GO, rows(&document, "ids"), "valid_as_leaf_id", results);
            trust_domains(GO, &document, results);
            segments(GO, &document, results);
            matchers(GO, &document, results);
        }
        Some(Err(error)) => results.unreadable("go-spiffe ids", GO, error),
        None => {}
    }
}

fn ids(kind: &'static str, file: &str, cases: &[Value], leaf_member: &str, results: &mut Results) {
    for case in cases {
        let Some(input) = case.get("input").and_then(Value::as_str) else {
            results.check((kind, file, &case.to_string()), Answer::accept(), || {
                Err("no input".into())
            });
            continue;
        };
        let leaf = case.get(leaf_member).and_then(Value::as_bool);
        let valid = is_valid(case);
        let name = shown(input);
        results.check((kind, file, &name), expected(valid, leaf), || {
            let id = SpiffeId::parse(input);
            let leaf = leaf.map(|_| id.as_ref().is_ok_and(|id| !id.path().is_empty()));
            Ok(expected(id.is_ok(), leaf).because(id.map_or_else(|error| error.to_string(), |_| String::new())))
        });
    }
}

/// Whether the row says that its input is an id.
pub(crate) fn is_valid(case: &Value) -> bool {
    match case.get("spec").and_then(Value::as_str) {
        Some(spec) => spec == "valid",
        None => is_true(case, "valid"),
    }
}

/// A long input by its beginning and its length, any input in one line.
pub(crate) fn shown(input: &str) -> String {
    match input.get(..60) {
        Some(start) if input.len() > 80 => format!("{start:?}... ({} bytes)", input.len()),
        _ => format!("{input:?}"),
    }
}

fn expected(valid: bool, leaf: Option<bool>) -> Answer {
    match (valid, leaf) {
        (true, Some(false)) => Answer::of("accept, not for a leaf"),
        (valid, _) => Answer::accept_if(valid),
    }
}

fn trust_domains(file: &str, document: &Value, results: &mut Results) {
    for case in rows(document, "trust_domains") {
        let (input, wanted) = (text(case, "input"), text(case, "trust_domain"));
        let expected = if is_true(case, "valid") {
            Answer::of(format!("trust domain {wanted}"))
        } else {
            Answer::refuse()
        };
        let name = format!("trust domain {}", shown(input));
        results.check(("go-spiffe trust domains", file, &name), expected, || {
            // go-spiffe takes a name or an ID here; with us they are two functions.
            let parsed = if input.contains(":/") {
                SpiffeId::parse(input).map(|id| id.trust_domain().clone())
            } else {
                TrustDomain::parse(input)
            };
            Ok(match parsed {
                Ok(name) => Answer::of(format!("trust domain {name}")),
                Err(error) => Answer::refuse().because(error),
            })
        });
    }
}

fn segments(file: &str, document: &Value, results: &mut Results) {
    for case in rows(document, "segments") {
        let segments = strings(case, "segments");
        let name = format!("segments {segments:?}");
        let expected = if is_true(case, "ok") {
            Answer::of(format!("path `{}`", text(case, "path")))
        } else {
            Answer::refuse()
        };
        results.check(("go-spiffe segments", file, &name), expected, || {
            let path: String = segments.iter().map(|segment| format!("/{segment}")).collect();
            Ok(match SpiffeId::parse(format!("spiffe://trustdomain{path}")) {
                Ok(id) if id.segments().eq(segments.iter().copied()) => Answer::of(format!("path `{}`", id.path())),
                Ok(id) => Answer::refuse().because(id),
                Err(error) => Answer::refuse().because(error),
            })
        });
    }
}

/// A matcher is a list of our patterns. Two things cannot be said with them, on purpose: the empty ID does not exist,
/// and no pattern means an ID without a path alone, because no leaf has one.
fn matchers(file: &str, document: &Value, results: &mut Results) {
    let Some(matchers) = document.get("matchers") else {
        return;
    };
    let ids: Vec<(&str, SpiffeId)> = matchers
        .get("ids")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(name, id)| Some((name.as_str(), SpiffeId::parse(id.as_str()?).ok()?)))
        .filter(|(_, id)| !id.path().is_empty())
        .collect();
    for case in rows(matchers, "matchers") {
        let name = format!(
            "matcher {} {}",
            text(case, "kind"),
            case.get("arg").unwrap_or(&Value::Null)
        );
        let accepted = strings(case, "accept");
        let said = |accept: &dyn Fn(&str, &SpiffeId) -> bool| {
            let names = ids.iter().filter(|(name, id)| accept(name, id)).map(|(name, _)| *name);
            Answer::of(format!("matches {:?}", names.collect::<Vec<_>>()))
        };
        results.check(
            ("go-spiffe matchers", file, &name),
            said(&|name, _| accepted.contains(&name)),
            || {
                let patterns = patterns(case)?;
                Ok(said(&|_, id| patterns.iter().any(|pattern| pattern.matches(id))))
            },
        );
    }
}

fn patterns(case: &Value) -> Result<Vec<IdPattern>, String> {
    let texts: Vec<String> = match text(case, "kind") {
        "any" => vec!["spiffe://*/**".to_owned()],
        "member_of" => vec![format!("spiffe://{}/**", text(case, "arg"))],
        "id" => vec![text(case, "arg").to_owned()],
        "one_of" => strings(case, "arg").into_iter().map(str::to_owned).collect(),
        kind => return Err(format!("matcher `{kind}` is not known")),
    };
    let has_path = |text: &String| SpiffeId::parse(text).map_or(true, |id| !id.path().is_empty());
    let parse = |text: String| IdPattern::parse(&text).map_err(|error| format!("{text}: {error}"));
    texts.into_iter().filter(has_path).map(parse).collect()
}
