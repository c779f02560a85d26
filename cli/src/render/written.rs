//! How is a document written within another file: as a block of YAML, or as JSON on one line?

use crate::{
    input::{
        document::to_json,
        tree::{Node, Value},
    },
    visible::is_hidden,
};

/// Longest list that is written on one line, in characters.
const MAX_LINE: usize = 100;

/// Words that readers of YAML, or of older YAML, take for something else than a text.
const RESERVED: [&str; 12] = [
    "true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf", "infinity",
];

/// Lines of a block of YAML, without indentation and without anchors: each alias is written out.
pub(super) fn block(node: Node<'_>) -> Vec<String> {
    match node.value() {
        Value::Object(members) if !members.is_empty() => node
            .members()
            .flat_map(|(member, value)| labelled(&format!("{}:", text(&member.name)), value))
            .collect(),
        Value::List(items) if !items.is_empty() => node
            .items()
            .flat_map(|item| {
                let lines = on_one_line(item).map_or_else(|| block(item), |line| vec![line]);
                lines
                    .into_iter()
                    .enumerate()
                    .map(|(index, line)| format!("{}{line}", if index == 0 { "- " } else { "  " }))
            })
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(..) | Value::List(_) | Value::Object(_) => {
            vec![on_one_line(node).unwrap_or_default()]
        }
    }
}

fn labelled(label: &str, value: Node<'_>) -> Vec<String> {
    match on_one_line(value) {
        Some(line) => vec![format!("{label} {line}")],
        None => {
            let mut lines = vec![label.to_owned()];
            lines.extend(block(value).into_iter().map(|line| format!("  {line}")));
            lines
        }
    }
}

/// What is short: a scalar, something empty, a list of few scalars.
fn on_one_line(node: Node<'_>) -> Option<String> {
    match node.value() {
        Value::Null | Value::Bool(_) | Value::Number(_) => to_json(node).ok(),
        Value::Text(string, _) => Some(text(string)),
        Value::Object(members) => members.is_empty().then(|| "{}".to_owned()),
        Value::List(items) if items.is_empty() => Some("[]".to_owned()),
        Value::List(_) => {
            let is_scalar = |item: Node<'_>| !item.is_list() && !item.is_object();
            let items: Option<Vec<_>> = node
                .items()
                .map(|item| is_scalar(item).then(|| on_one_line(item))?)
                .collect();
            let line = format!("[ {} ]", items?.join(", "));
            (line.chars().count() <= MAX_LINE).then_some(line)
        }
    }
}

/// A text: plain where no reader takes it for something else, else in quotes.
pub(super) fn text(text: &str) -> String {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '/' | '-');
    let is_plain = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_' || first == '/')
        && text.chars().all(is_letter)
        && !RESERVED.contains(&text.to_ascii_lowercase().as_str());
    if is_plain { text.to_owned() } else { quoted(text) }
}

/// A text in double quotes, as JSON and YAML read it. What a terminal would obey is written as its number, but for what lies
/// beyond four digits, which the two write in different ways.
pub(super) fn quoted(text: &str) -> String {
    let json = serde_json::Value::String(text.to_owned()).to_string();
    let mut escaped = String::with_capacity(json.len());
    for letter in json.chars() {
        let number = u32::from(letter);
        if is_hidden(letter) && number <= 0xffff {
            escaped.push_str(&format!("\\u{number:04x}"));
        } else {
            escaped.push(letter);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{document::canonical, json, yaml};

    #[test]
    fn block_says_what_the_document_says() {
        let document = r#"{"a": [], "b": {}, "c": {"d": [1, 2.5, true, null, "x", "yes", "1", "", "a: b", "a #b", "- x", "é\u2028\n\u0085\u001b"]},
            "e": [{"f": [[1], ["x", "y"]], "g": "spiffe://prod.example/ns/*/sa/{t}"}, {"h": {"i": "~"}}], "on": "0x1F", "k y": "'\"\\"}"#;
        let tree = json::read(document).unwrap();
        let written = block(tree.root().unwrap()).join("\n");
        let again = yaml::read(&written).unwrap();
        assert_eq!(
            canonical(again[0].root().unwrap()).unwrap(),
            canonical(tree.root().unwrap()).unwrap(),
            "{written}"
        );
    }

    #[test]
    fn texts_that_are_read_otherwise_are_quoted() {
        for plain in ["GET", "/orders", "prod.example", "_x"] {
            assert_eq!(text(plain), plain);
        }
        for other in [
            "true",
            "No",
            "1",
            "1.5",
            "*",
            "a b",
            "",
            "-",
            "~",
            "a:",
            "{x}",
            "2026-01-01T00:00:00Z",
        ] {
            assert!(text(other).starts_with('"'), "{other}");
        }
    }
}
