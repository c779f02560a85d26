//! What does a reason code mean, and what is there to do about it?
//!
//! The page of the documentation is the one truth: it is read when this is built, and a test holds it against the codes.

use svidgate_policy::Reason;

/// The page, of which the table of codes is a part.
const PAGE: &str = include_str!("../../docs/reasons.md");

/// What is said of one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// The reason.
    pub reason: Reason,
    /// What it means.
    pub means: &'static str,
    /// What to do.
    pub do_this: &'static str,
}

/// All reasons, in the order of the stages.
pub fn all() -> impl Iterator<Item = About> {
    Reason::ALL.into_iter().map(about)
}

/// What is said of a reason; nothing of one that the page does not have.
pub fn about(reason: Reason) -> About {
    let row = PAGE.lines().find_map(|line| {
        let mut cells = line.strip_prefix("| `")?.strip_suffix(" |")?.splitn(3, " | ");
        let code = cells.next()?.strip_suffix('`')?;
        (code == reason.code()).then_some((cells.next()?, cells.next()?))
    });
    let (means, do_this) = row.unwrap_or_default();
    About { reason, means, do_this }
}

/// What to do about an answer, in plain text.
pub fn what_to_do(reason: Reason) -> String {
    in_words(about(reason).do_this)
}

/// The page of a code, at most 80 columns wide.
pub fn page(reason: Reason) -> String {
    let About { means, do_this, .. } = about(reason);
    let wrapped = |text: &str| crate::wrap::wrap(&in_words(text), 80);
    format!(
        "{}\n\n{}\n\nWhat to do\n\n{}\n",
        reason.code(),
        wrapped(means),
        wrapped(do_this)
    )
}

/// Text without links and escapes of Markdown: of `[words](address)`, the words.
pub fn in_words(markdown: &str) -> String {
    let mut text = String::with_capacity(markdown.len());
    let mut rest = markdown;
    while let Some((before, behind)) = rest.split_once('[') {
        text.push_str(before);
        let link = behind
            .split_once("](")
            .and_then(|(words, behind)| Some((words, behind.split_once(')')?.1)));
        match link {
            Some((words, behind)) => {
                text.push_str(words);
                rest = behind;
            }
            None => {
                text.push('[');
                rest = behind;
            }
        }
    }
    text.push_str(rest);
    text.replace("\\|", "|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_row() {
        for about in all() {
            assert!(!about.means.is_empty(), "{}", about.reason.code());
            assert!(
                !about.do_this.is_empty() || about.reason == Reason::RuleAllowed,
                "{}",
                about.reason.code()
            );
        }
    }

    #[test]
    fn links_are_words() {
        assert_eq!(
            in_words("see [\"Where\"](listener.md#x), `a[0]` \\| b"),
            "see \"Where\", `a[0]` | b"
        );
    }
}
