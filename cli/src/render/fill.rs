//! Templates: YAML with `${NAME}` in it.

use super::written::text;

/// A template with its values. What is on a line by itself may be lines, which get the indentation of that line; a line whose value
/// is empty is left out.
#[derive(Debug, Default)]
pub(super) struct Filling {
    texts: Vec<(&'static str, String)>,
    blocks: Vec<(&'static str, Vec<String>)>,
}

impl Filling {
    /// With a text, which is quoted where it has to be.
    pub(super) fn text(mut self, name: &'static str, value: &str) -> Self {
        self.texts.push((name, text(value)));
        self
    }

    /// With something that is written as it is.
    pub(super) fn plain(mut self, name: &'static str, value: &str) -> Self {
        self.texts.push((name, value.to_owned()));
        self
    }

    /// With lines.
    pub(super) fn block(mut self, name: &'static str, lines: &[String]) -> Self {
        self.blocks.push((name, lines.to_vec()));
        self
    }

    /// The template, filled in.
    pub(super) fn fill(&self, template: &str) -> String {
        let mut filled = String::with_capacity(template.len());
        for line in template.lines() {
            let indentation = line.len().saturating_sub(line.trim_start().len());
            let block = self
                .blocks
                .iter()
                .find(|(name, _)| line.trim() == format!("${{{name}}}"));
            match block {
                Some((_, lines)) => {
                    for inner in lines {
                        filled.push_str(&" ".repeat(indentation));
                        filled.push_str(inner);
                        filled.push('\n');
                    }
                }
                None => {
                    filled.push_str(&self.line(line));
                    filled.push('\n');
                }
            }
        }
        filled
    }

    /// A value may look like a place itself, so a line is gone through once.
    fn line(&self, line: &str) -> String {
        let mut filled = String::with_capacity(line.len());
        let mut rest = line;
        while let Some((before, behind)) = rest.split_once("${") {
            filled.push_str(before);
            let found = behind.split_once('}').and_then(|(name, after)| {
                let value = self.texts.iter().find(|(known, _)| *known == name);
                value.map(|(_, value)| (value, after))
            });
            match found {
                Some((value, after)) => {
                    filled.push_str(value);
                    rest = after;
                }
                None => {
                    filled.push_str("${");
                    rest = behind;
                }
            }
        }
        filled.push_str(rest);
        filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_filled_in_once_and_lines_are_indented() {
        let filling = Filling::default()
            .text("A", "${B}")
            .plain("B", "b")
            .block("C", &["x:".to_owned(), "  y".to_owned()]);
        assert_eq!(
            filling.fill("a: ${A}${B}\n  ${C}\nd: ${D}\n"),
            "a: \"${B}\"b\n  x:\n    y\nd: ${D}\n"
        );
    }
}
