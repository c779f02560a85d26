//! What carries documents: each is found with its place, and a document that is put into a file is there, and nothing
//! else of the file is another.

use std::time::{Duration, Instant};

use svidgate_cli::{
    input::{
        compiled::compile,
        document::Document,
        files::Wanted,
        load::{Loaded, parsed},
    },
    render::{carried, into, policy::Policy},
    source::Source,
};

/// What is put into a file.
const DOCUMENT: &str = r#"{"trust_domain": "prod.example", "chain": "proxy", "mark_passed": true, "rules": [{"name":
    "r", "effect": "allow", "from": ["spiffe://prod.example/a"], "to": [{"paths": ["/a/**", "/b:c"]}]}]}"#;
/// Longest that a file of some kilobytes may take, on a machine that has other things to do.
const MAX_TIME: Duration = Duration::from_secs(5);

fn loaded(text: &str) -> Loaded {
    let wanted = Wanted {
        path: "x".into(),
        name: None,
        named: true,
    };
    let mut loaded = Loaded::default();
    loaded.source(&Source::new("x", text.to_owned()), &wanted);
    loaded
}

fn ours() -> Policy {
    let document: Document = loaded(DOCUMENT).documents.pop().expect("it is one");
    let compiled = compile(&document).expect("it compiles");
    Policy::new(document, compiled.configuration()).expect("it can be rendered")
}

/// The input is a file.
pub fn holds(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let started = Instant::now();
    let found = loaded(text);
    for finding in &found.findings {
        let place = finding.place.as_ref().expect("it is about a file");
        assert!(
            place.range.start <= place.range.end && place.range.end <= text.len(),
            "{finding:?}"
        );
        assert!(
            text.is_char_boundary(place.range.start) && text.is_char_boundary(place.range.end),
            "{finding:?}"
        );
    }
    for document in &found.documents {
        match compile(document) {
            Ok(policy) => assert_eq!(policy.rule_names().count(), policy.configuration().rules.len()),
            Err(mistakes) => assert!(!mistakes.is_empty()),
        }
    }
    if let Some((source, trees)) = found.trees.first()
        && let Ok(spots) = carried::spots(source, trees)
        && !spots.is_empty()
        && into::check(text, trees, &spots).is_ok()
    {
        let policy = ours();
        let written = into::replaced(text, &spots, &policy).expect("it may be put there");
        let again = parsed(&Source::new("x", written.clone()));
        let again = again.unwrap_or_else(|| panic!("cannot be read any more: {written}"));
        assert!(into::is_same_but_for(trees, &again, &spots, &policy), "{written}");
        let spots = carried::spots(&Source::new("x", written.clone()), &again).expect("it carries documents");
        assert!(carried::others(&spots, &policy).is_empty(), "{written}");
    }
    assert!(started.elapsed() < MAX_TIME, "{:?}", started.elapsed());
}
