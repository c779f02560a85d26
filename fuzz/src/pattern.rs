//! Patterns: printed so that they read the same again, and matching what a naive comparison of segments matches.

use reference::evaluator::id_matches;
use svidgate_policy::{SpiffeId, TrustDomain, pattern::id_pattern::IdPattern};

/// The input is a pattern, a line break, and an id. The pattern is also read as a scope.
pub fn holds(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (pattern, id) = text.split_once('\n').unwrap_or((text, ""));
    let id = SpiffeId::parse(id).ok();
    match IdPattern::parse(pattern) {
        Ok(read) => {
            prints_as_itself(&read);
            // It prints as it came, so nothing in it was rewritten.
            assert_eq!(read.to_string(), pattern);
            if let Some(id) = &id {
                compare(&read, pattern, id);
            }
            // An id without a wildcard is a pattern of itself.
            if let Ok(exact) = SpiffeId::parse(pattern) {
                compare(&read, pattern, &exact);
                assert!(read.matches(&exact));
            }
        }
        // Every id with a path is a pattern, but for the bound on segments.
        Err(error) => assert!(
            !SpiffeId::parse(pattern).is_ok_and(|id| !id.path().is_empty() && id.segments().count() <= 64),
            "{pattern}: {error}"
        ),
    }
    let trust_domain = TrustDomain::parse("prod.example").expect("it is one");
    if let Ok(scope) = IdPattern::parse_scope(pattern, &trust_domain) {
        assert_eq!(scope.trust_domain(), Some(&trust_domain));
        assert_eq!(scope.to_string(), format!("spiffe://prod.example{pattern}"));
        prints_as_itself(&scope);
        if let Some(id) = &id {
            compare(&scope, &scope.to_string(), id);
            assert!(!scope.matches(id) || id.trust_domain() == &trust_domain);
        }
    }
}

fn prints_as_itself(pattern: &IdPattern) {
    assert_eq!(IdPattern::parse(&pattern.to_string()).as_ref(), Ok(pattern));
}

fn compare(pattern: &IdPattern, text: &str, id: &SpiffeId) {
    let naive = id_matches(text, id.as_str()).is_some();
    assert_eq!(pattern.matches(id), naive, "{text} {id}");
}
