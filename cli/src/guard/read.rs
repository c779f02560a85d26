//! From the text of a configuration to what it says.
//!
//! A member that is there twice is refused: readers differ on which of the two counts.

use serde_json::{Map, Number, Value};

use crate::input::{
    json,
    tree::{self, Node, Tree},
    yaml,
};

/// Most values, aliases counted as what they stand for. Our decision: what a file of the largest size has, and no more memory
/// than a runner of CI has.
const MAX_VALUES: usize = 5_000_000;

/// Reads JSON, or YAML of one document.
///
/// # Errors
/// With why it cannot be read, with its line where one is known.
pub fn read(text: &str) -> Result<Value, String> {
    let tree = tree_of(text)?;
    if let Some((name, range, _)) = tree.repeated.first() {
        let line = text
            .get(..range.start)
            .unwrap_or_default()
            .matches('\n')
            .count()
            .saturating_add(1);
        return Err(format!("line {line}: `{name}` is there twice"));
    }
    let root = tree.root().ok_or("there is nothing in it")?;
    let mut left = MAX_VALUES;
    value(root, &mut left).ok_or_else(|| format!("it has more than {MAX_VALUES} values, those of aliases counted"))
}

fn tree_of(text: &str) -> Result<Tree, String> {
    let is_json = text.trim_start().starts_with(['{', '[']);
    let error = match json::read(text) {
        Ok(tree) => return Ok(tree),
        Err(error) => error,
    };
    let mut trees = yaml::read(text).map_err(|failed| {
        if is_json {
            format!("it cannot be read as JSON: {error}")
        } else {
            let line = text
                .get(..failed.offset)
                .unwrap_or_default()
                .matches('\n')
                .count()
                .saturating_add(1);
            format!("line {line}: it cannot be read as YAML: {}", failed.what)
        }
    })?;
    match (trees.pop(), trees.is_empty()) {
        (Some(tree), true) => Ok(tree),
        (None, _) => Err("there is nothing in it".to_owned()),
        (Some(_), false) => Err("it has several documents of YAML; give one of them".to_owned()),
    }
}

fn value(node: Node<'_>, left: &mut usize) -> Option<Value> {
    *left = left.checked_sub(1)?;
    Some(match node.value() {
        tree::Value::Null => Value::Null,
        tree::Value::Bool(yes) => Value::Bool(*yes),
        tree::Value::Number(digits) => number(digits),
        tree::Value::Text(text, _) => Value::String(text.to_string()),
        tree::Value::List(_) => Value::Array(node.items().map(|item| value(item, left)).collect::<Option<_>>()?),
        tree::Value::Object(_) => {
            let members = node
                .members()
                .map(|(member, node)| Some((member.name.to_string(), value(node, left)?)));
            Value::Object(members.collect::<Option<Map<_, _>>>()?)
        }
    })
}

/// What is no number of JSON (`.inf`) is a text, which nothing here takes for a number.
fn number(digits: &str) -> Value {
    let number: Option<Number> = serde_json::from_str(digits).ok();
    number.map_or_else(|| Value::String(digits.to_owned()), Value::Number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn member_that_is_there_twice_is_refused() {
        let error = read("{\n\"disabled\": true,\n\"disabled\": false}").unwrap_err();
        assert_eq!(error, "line 3: `disabled` is there twice");
        assert!(read("a: 1\nb: 2\na: 3\n").is_err());
    }

    #[test]
    fn json_and_yaml_are_read() {
        for text in ["{\"a\": [1, true, null, \"x\"]}", "a: [ 1, true, null, x ]\n"] {
            assert_eq!(read(text), Ok(json!({ "a": [1, true, null, "x"] })));
        }
        for text in ["", "{\"a\": ", "a: 1\n---\nb: 2\n", "a: [\n"] {
            assert!(read(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn aliases_of_aliases_are_bounded() {
        let mut text = "a0: &a0 [ x, x, x, x, x, x, x, x, x, x ]\n".to_owned();
        for level in 1..8 {
            let alias = format!("*a{}, ", level - 1).repeat(10);
            text.push_str(&format!("a{level}: &a{level} [ {alias} ]\n"));
        }
        assert!(read(&text).unwrap_err().contains("values"));
    }
}
