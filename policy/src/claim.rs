//! How a text is shown that somebody wrote whom nothing vouches for, a name in a certificate first of all.

use std::fmt;

/// Most characters of it that are shown. A line has room for more than one, and for what is said about them.
const MAX_SHOWN: usize = 64;

/// The beginning of a text, all that is shown of it and a character more. The rest is not written: a name of 16 KiB
/// takes a millisecond, and whoever sends it may make us write it many times.
pub(crate) fn beginning(text: impl fmt::Display) -> String {
    let mut beginning = Beginning::default();
    // Where it is full, the writing ends with an error.
    let _ = fmt::write(&mut beginning, format_args!("{text}"));
    beginning.text
}

#[derive(Default)]
struct Beginning {
    text: String,
    characters: usize,
}

impl fmt::Write for Beginning {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if self.characters > MAX_SHOWN {
                return Err(fmt::Error);
            }
            self.characters = self.characters.saturating_add(1);
            self.text.push(character);
        }
        Ok(())
    }
}

/// Printable ASCII without what quotes it here and in JSON; the rest as `?`, and a long text cut.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a>(pub &'a str);

impl fmt::Display for Claim<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut characters = self.0.chars();
        for character in characters.by_ref().take(MAX_SHOWN) {
            let is_shown = matches!(character, ' '..='~') && !matches!(character, '"' | '`');
            fmt::Write::write_char(f, if is_shown { character } else { '?' })?;
        }
        if characters.next().is_some() {
            f.write_str("...")?;
        }
        Ok(())
    }
}

/// Bytes in hexadecimal digits.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Claim, beginning};

    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn claims_are_printable_and_cut() {
        let shown = |text: &str| Claim(text).to_string();
        assert_eq!(shown("C=US,O=SPIFFE"), "C=US,O=SPIFFE");
        assert_eq!(shown("CN=a`\"\n\u{7f}\u{fc}\u{202e}"), "CN=a??????");
        assert_eq!(shown(&"x".repeat(64)), "x".repeat(64));
        assert_eq!(shown(&"x".repeat(65)), format!("{}...", "x".repeat(64)));
    }

    #[test]
    fn beginning_is_shown_as_the_whole_would_be_and_no_more_is_written() {
        for length in [0, 1, 63, 64, 65, 66, 1_000] {
            let text = "\u{fc}".repeat(length);
            let cut = beginning(&text);
            assert_eq!(Claim(&cut).to_string(), Claim(&text).to_string(), "{length}");
            assert_eq!(cut.chars().count(), length.min(65));
        }
    }
}
