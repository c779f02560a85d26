//! What is printed for programs, and may be looked at in a terminal.

use serde::Serialize;

use crate::visible::is_hidden;

/// JSON in lines, in which what a terminal would obey is written as its number. Outside of strings there is none of it but
/// ends of lines.
pub fn as_json(whole: &impl Serialize) -> String {
    // Nothing in it can fail: names are text, and numbers whole.
    let json = serde_json::to_string_pretty(whole).unwrap_or_default();
    let mut text = String::with_capacity(json.len().saturating_add(1));
    for letter in json.chars() {
        if letter != '\n' && is_hidden(letter) {
            let mut units = [0u16; 2];
            for unit in letter.encode_utf16(&mut units) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            text.push(letter);
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::as_json;

    #[test]
    fn hidden_letters_are_numbers_and_mean_the_same() {
        let said = "a\u{1b}\u{202e}\u{9b}\u{e0001}\n\u{e9}";
        let text = as_json(&[said]);
        assert!(
            !text.contains(['\u{1b}', '\u{202e}', '\u{9b}', '\u{e0001}']) && text.ends_with("]\n"),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<Vec<String>>(&text).unwrap(), [said]);
    }
}
