//! Whether what is said about a document names a place that is there.

use serde_json::Value;
use svidgate_policy::{CompileError, Mistake};

/// Panics where a refusal says nothing, or names a place that is not in the document.
pub(crate) fn assert_stand(mistakes: &[CompileError], document: Option<&Value>) {
    assert!((1..=100).contains(&mistakes.len()), "{} mistakes", mistakes.len());
    for mistake in mistakes {
        let text = mistake.to_string();
        assert!(!text.contains(char::is_control) && text.len() < 2_000, "{text:?}");
        let whole = matches!(
            mistake.mistake,
            Mistake::Syntax(_) | Mistake::TooLarge { .. } | Mistake::WrongType { .. }
        );
        match document {
            _ if mistake.place.is_empty() => assert!(whole, "{text}: no place"),
            Some(document) => assert!(is_there(document, mistake), "{text}: no such place"),
            // Rules are read one by one, so a number in them that is none leaves the other places standing.
            None => {}
        }
    }
    let is_syntax = |mistake: &CompileError| matches!(mistake.mistake, Mistake::Syntax(_) | Mistake::TooLarge { .. });
    let is_said = mistakes.iter().any(is_syntax) || mistakes.len() == 100;
    assert!(
        document.is_some() || is_said,
        "what is no JSON is called something else"
    );
}

fn is_there(document: &Value, mistake: &CompileError) -> bool {
    // The name of a member that is unknown may look like anything, a place too.
    let unknown = matches!(mistake.mistake, Mistake::UnknownField { .. });
    let mut here = document;
    let mut place = mistake.place.as_str();
    while !place.is_empty() {
        if let Some(rest) = place.strip_prefix('[') {
            let item = rest
                .split_once(']')
                .and_then(|(index, behind)| Some((here.get(index.parse::<usize>().ok()?)?, behind)));
            let Some((item, behind)) = item else { return unknown };
            (here, place) = (item, behind);
            continue;
        }
        let text = place.strip_prefix('.').unwrap_or(place);
        let end = text.find(['.', '[']).unwrap_or(text.len());
        let (name, behind) = text.split_at(end);
        let Some(members) = here.as_object() else {
            return unknown;
        };
        match members.get(name) {
            Some(member) => (here, place) = (member, behind),
            // One that is missing is not there.
            None => return unknown || behind.is_empty(),
        }
    }
    true
}
