//! Text that shows what it hides.
//!
//! Names of files, members and rules, ids and paths come from whoever opened the pull request. Nothing that a terminal obeys,
//! or that changes how what stands beside it looks, is printed as it is.

/// Text that shows what it hides: control characters, and those that change the order or the look of others, as their
/// numbers. Ends of lines are among them.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_hidden(letter) {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

/// The same with one letter for each, so that marks below a line stay where they belong.
pub fn in_place(text: &str) -> String {
    let shown = |letter| {
        if is_hidden(letter) && letter != '\t' {
            '\u{fffd}'
        } else {
            letter
        }
    };
    text.chars().map(shown).collect()
}

/// Control characters, and those without a look of their own (Unicode: Cf, Zl, Zp, and fillers that look like nothing).
pub fn is_hidden(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_hidden_is_left() {
        assert_eq!(
            visible("a\u{1b}[31m\n\u{202e}\u{9b}\u{200b}b\u{e9}"),
            "a\\u{1b}[31m\\n\\u{202e}\\u{9b}\\u{200b}b\u{e9}"
        );
        assert_eq!(in_place("a\u{1b}\t\u{202e}b"), "a\u{fffd}\t\u{fffd}b");
    }
}
