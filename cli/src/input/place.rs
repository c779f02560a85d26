//! Where stands what a compiler's place names: from `rules[3].from[0]` to bytes.

use std::ops::Range;

use crate::input::tree::Node;

/// Where a place stands. Of what is not there, the nearest that is.
pub struct Located<'t> {
    /// The value.
    pub node: Node<'t>,
    /// Where its name stands, if it is a member.
    pub name: Option<Range<usize>>,
    /// Whether all of the place was found.
    pub whole: bool,
}

/// Longest name of a member within a place, in characters; the reader cuts what is longer.
const MAX_SHOWN: usize = 64;

/// Finds a place in a document.
pub fn locate<'t>(root: Node<'t>, place: &str) -> Located<'t> {
    let mut located = Located {
        node: root,
        name: None,
        whole: true,
    };
    let mut rest = place;
    while !rest.is_empty() {
        let step = match rest.strip_prefix('[') {
            Some(behind) => item(located.node, behind).map(|(node, rest)| (node, None, rest)),
            None => member(located.node, rest.strip_prefix('.').unwrap_or(rest)),
        };
        let Some((node, name, behind)) = step else {
            located.whole = false;
            return located;
        };
        located = Located {
            node,
            name,
            whole: true,
        };
        rest = behind;
    }
    located
}

fn item<'t, 'p>(node: Node<'t>, behind: &'p str) -> Option<(Node<'t>, &'p str)> {
    let (index, rest) = behind.split_once(']')?;
    Some((node.items().nth(index.parse().ok()?)?, rest))
}

type Step<'t, 'p> = (Node<'t>, Option<Range<usize>>, &'p str);

/// A member whose name is what the rest begins with: names are foreign, and may have dots and brackets themselves, so the
/// longest is meant.
fn member<'t, 'p>(node: Node<'t>, rest: &'p str) -> Option<Step<'t, 'p>> {
    let candidates = node.members().filter_map(|(member, value)| {
        let behind = rest.strip_prefix(shown(&member.name).as_str())?;
        let ends = behind.is_empty() || behind.starts_with(['.', '[']);
        ends.then(|| (value, Some(member.range.clone()), behind))
    });
    candidates.min_by_key(|(_, _, behind)| behind.len())
}

/// A name as places show it.
fn shown(name: &str) -> String {
    if name.is_empty() {
        return r#""""#.to_owned();
    }
    name.chars().take(MAX_SHOWN).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use crate::input::{json, place::locate, yaml};

    #[track_caller]
    fn check(text: &str, place: &str, value: &str, name: Option<&str>) {
        let tree = yaml::read(text).unwrap().remove(0);
        let located = locate(tree.root().unwrap(), place);
        let said = (
            text.get(located.node.range()).unwrap(),
            located.name.and_then(|range| text.get(range)),
        );
        assert_eq!(said, (value, name), "{text:?} {place}");
        if let Ok(tree) = json::read(text) {
            let located = locate(tree.root().unwrap(), place);
            let said = (
                text.get(located.node.range()).unwrap(),
                located.name.and_then(|range| text.get(range)),
            );
            assert_eq!(said, (value, name), "{text:?} {place}, as JSON");
        }
    }

    #[test]
    fn place_is_found_in_every_style() {
        let block = "rules:\n  - name: a\n    from:\n      - \"x\"\n      - y # z\n";
        check(block, "rules[0].from[1]", "y", None);
        check(block, "rules[0].name", "a", Some("name"));
        let flow = r#"{"rules": [ {"name": "\u0061", "from": ["x", "\"y"]} ]}"#;
        check(flow, "rules[0].from[1]", r#""\"y""#, None);
        check(flow, "rules[0].name", r#""\u0061""#, Some(r#""name""#));
        check("\u{feff}a: { b: c }\r\nd: \u{e9}e\r\n", "d", "\u{e9}e", Some("d"));
        check("a: &x { b: c }\nd: *x\n", "d.b", "c", Some("b"));
        check("a: |\n  one\n  two\nb: 1\n", "a", "one\n  two\n", Some("a"));
        check("a: >-\n  one\n  two\nb: 1\n", "a", "one\n  two\n", Some("a"));
    }

    #[test]
    fn name_with_dots_and_brackets_is_one_name() {
        let text = r#"{"a": {"b": 1}, "a.b": 2, "c[0]": 3, "": 4, "x\ny": 5}"#;
        check(text, "a.b", "2", Some(r#""a.b""#));
        check(text, "c[0]", "3", Some(r#""c[0]""#));
        check(text, r#""""#, "4", Some(r#""""#));
        check(text, r"x\ny", "5", Some(r#""x\ny""#));
    }

    #[test]
    fn what_is_missing_is_looked_for_where_it_would_stand() {
        let tree = yaml::read("a: { b: c }").unwrap().remove(0);
        let located = locate(tree.root().unwrap(), "a.x.y[3]");
        assert!(!located.whole);
        assert_eq!(located.node.range(), 3..11);
    }
}
