//! How a text is shown that somebody wrote whom nothing vouches for, a name in a certificate first of all.

use std::fmt;

/// Most characters of it that are shown. A line has room for more than one, and for what is said about them.
const MAX_SHOWN: usize = 64;

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

#[cfg(test)]
mod tests {
    use super::Claim;

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
}
