//! Foreign text in each format.
//!
//! Names of files, members and rules, ids and paths come from whoever opened the pull request. No report may pass on what a
//! terminal, a CI system or a browser would obey.

use crate::visible::{is_hidden, visible};

/// The message of a workflow command of GitHub.
pub(super) fn github_message(text: &str) -> String {
    visible(text).replace('%', "%25")
}

/// A property of a workflow command: a file, a title. A file's name must stay what it is, so its bytes are escaped and not
/// shown otherwise.
pub(super) fn github_property(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '%' => escaped.push_str("%25"),
            '\r' => escaped.push_str("%0D"),
            '\n' => escaped.push_str("%0A"),
            ':' => escaped.push_str("%3A"),
            ',' => escaped.push_str("%2C"),
            letter if is_hidden(letter) => escaped.extend(letter.escape_default()),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// Text in Markdown, in a table, too: every sign that has a meaning is a letter, and what GitHub and GitLab make links of
/// (addresses, mentions, numbers of issues) is parted by a space without width.
pub fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let shown = visible(text);
    let mut rest = shown.as_str();
    while let Some(letter) = rest.chars().next() {
        let behind = rest.get(letter.len_utf8()..).unwrap_or_default();
        match letter {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '@' | '#' | '!' | '~' | '$' | '%' => {
                escaped.push('\\');
                escaped.push(letter);
                escaped.push_str("&#8203;");
            }
            ':' => {
                escaped.push_str("\\:");
                if behind.starts_with('/') {
                    escaped.push_str("&#8203;");
                }
            }
            'w' | 'W' if rest.get(..4).is_some_and(|begin| begin.eq_ignore_ascii_case("www.")) => {
                escaped.push(letter);
                escaped.push_str("&#8203;");
            }
            letter if letter.is_ascii_punctuation() => {
                escaped.push('\\');
                escaped.push(letter);
            }
            letter => escaped.push(letter),
        }
        rest = behind;
    }
    escaped
}

/// A relative reference (RFC 3986) of a file's name.
pub(super) fn uri(path: &str) -> String {
    let mut escaped = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'.' | b'_' | b'~') {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workflow_command_stays_one() {
        assert_eq!(
            github_message("a\n::set-output name=x::%0Ay"),
            r"a\n::set-output name=x::%250Ay"
        );
        assert_eq!(github_property("a,line=1::b%\n"), "a%2Cline=1%3A%3Ab%25%0A");
    }

    #[test]
    fn nothing_is_left_of_markdown_mentions_and_links() {
        for (text, expected) in [
            ("`a|b`", r"\`a\|b\`"),
            ("<script>", "&lt;script&gt;"),
            ("@team", r"\@&#8203;team"),
            ("#12", r"\#&#8203;12"),
            ("https://x.example", r"https\:&#8203;\/\/x\.example"),
            ("www.x", r"w&#8203;ww\.x"),
            ("[a](b)", r"\[a\]\(b\)"),
            ("a\n# b", r"a\\n\#&#8203; b"),
        ] {
            assert_eq!(markdown(text), expected, "{text}");
        }
    }

    #[test]
    fn name_of_a_file_is_one_reference() {
        assert_eq!(uri("a b/%2e?#x:y"), "a%20b/%252e%3F%23x%3Ay");
    }
}
