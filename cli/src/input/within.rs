//! Where in a file stands what stands in a string of it: from offsets in what a string means to offsets in how it is
//! written.
//!
//! A parser says where a string begins and ends, not where each of its characters comes from. So both are gone through side
//! by side, with what may differ: escapes, doubled quotes, indentation, folded lines. Where they part all the same, the
//! line on which the string begins must do.

use std::ops::Range;

use crate::input::tree::Written;

/// Offsets of what a string means, with those of how it is written.
#[derive(Debug)]
pub struct Within {
    /// In order.
    turns: Vec<Turn>,
    /// All of it, as it is written.
    whole: Range<usize>,
    /// Whether both were gone through to the end.
    exact: bool,
}

/// Where the way through both does not just go on: behind an escape, on the next line.
#[derive(Clone, Copy, Debug)]
struct Turn {
    meant: usize,
    written: usize,
    /// Where what stands before it ends.
    before: usize,
}

impl Within {
    /// Of a string that means `meant` and is written at `range` of `file`: of a block, that is where its text begins.
    pub fn new(file: &str, range: Range<usize>, meant: &str, written: Written) -> Self {
        let text = file.get(range.clone()).unwrap_or_default();
        let begin = file.get(..range.start).unwrap_or_default();
        let mut way = Way {
            written: text,
            at: 0,
            style: Style::of(begin, text, written),
            folds: false,
        };
        let mut turns = Vec::new();
        let mut exact = true;
        way.begin();
        let mut expected = None;
        for (offset, letter) in meant.char_indices() {
            if !exact {
                break;
            }
            let before = range.start.saturating_add(way.at);
            match way.pass(letter) {
                Some(at) => {
                    let at = range.start.saturating_add(at);
                    if expected != Some(at) {
                        let (meant, written) = (offset, at);
                        turns.push(Turn { meant, written, before });
                    }
                    let after = range.start.saturating_add(way.at);
                    let is_itself = after == at.saturating_add(letter.len_utf8());
                    expected = is_itself.then_some(after);
                }
                // A block has an end of its last line, whether the file has one or not.
                None => exact = letter == '\n' && way.rest().trim().is_empty(),
            }
        }
        let end = range.start.saturating_add(way.at);
        turns.push(Turn {
            meant: meant.len(),
            written: end,
            before: end,
        });
        Self {
            turns,
            whole: range,
            exact,
        }
    }

    /// Whether every offset is known.
    pub fn is_exact(&self) -> bool {
        self.exact
    }

    /// Where a part of what it means is written.
    pub fn range(&self, meant: Range<usize>) -> Range<usize> {
        if !self.exact {
            return self.whole.clone();
        }
        let start = self.offset(meant.start).0;
        start..self.offset(meant.end).1.max(start)
    }

    /// Where a character is written, and where what stands before it ends.
    fn offset(&self, meant: usize) -> (usize, usize) {
        let passed = self.turns.partition_point(|turn| turn.meant <= meant);
        match self.turns.get(passed.saturating_sub(1)) {
            Some(turn) if turn.meant == meant => (turn.written, turn.before),
            Some(turn) => {
                let at = turn.written.saturating_add(meant.saturating_sub(turn.meant));
                (at, at)
            }
            None => (self.whole.start, self.whole.start),
        }
    }
}

/// How a string is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Plain,
    Single,
    Double,
    /// `|`, with how many spaces its lines begin.
    Literal(usize),
    /// `>`.
    Folded(usize),
}

impl Style {
    fn of(before: &str, text: &str, written: Written) -> Self {
        let line = before.rsplit('\n').next().unwrap_or_default();
        let spaces = |line: &str| line.len().saturating_sub(line.trim_start_matches(' ').len());
        let filled = text.lines().skip(1).find(|line| !line.trim().is_empty());
        // A block may begin with an empty line, which tells nothing.
        let begins_filled = text.lines().next().is_some_and(|line| !line.trim().is_empty());
        let indent = if begins_filled {
            line.len()
        } else {
            filled.map_or(0, spaces)
        };
        match (written, text.chars().next()) {
            (Written::Literal, _) => Self::Literal(indent),
            (Written::Folded, _) => Self::Folded(indent),
            (Written::Inline, Some('"')) => Self::Double,
            (Written::Inline, Some('\'')) => Self::Single,
            (Written::Inline, Some(_) | None) => Self::Plain,
        }
    }
}

struct Way<'w> {
    written: &'w str,
    at: usize,
    style: Style,
    /// Whether what was passed last is an end of a line within a fold.
    folds: bool,
}

impl Way<'_> {
    fn rest(&self) -> &str {
        self.written.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes);
    }

    fn skip_white(&mut self) {
        let rest = self.rest();
        self.skip(rest.len().saturating_sub(rest.trim_start_matches([' ', '\t']).len()));
    }

    fn skip_indent(&mut self, indent: usize) {
        let spaces = self
            .rest()
            .bytes()
            .take_while(|byte| *byte == b' ')
            .take(indent)
            .count();
        self.skip(spaces);
    }

    /// Passes an end of a line, if it is one.
    fn skip_end(&mut self) -> bool {
        let length = if self.rest().starts_with("\r\n") {
            2
        } else {
            usize::from(self.rest().starts_with(['\n', '\r']))
        };
        self.skip(length);
        length > 0
    }

    /// To the first character.
    fn begin(&mut self) {
        match self.style {
            Style::Plain | Style::Literal(_) | Style::Folded(_) => {}
            Style::Single | Style::Double => self.skip(1),
        }
    }

    /// Passes what means this character, and says where that stands.
    fn pass(&mut self, letter: char) -> Option<usize> {
        match self.style {
            Style::Double => self.pass_in_double(letter),
            Style::Single if letter == '\'' => {
                let start = self.at;
                self.rest().starts_with("''").then(|| self.skip(2))?;
                Some(start)
            }
            Style::Single | Style::Plain => self.pass_or_fold(letter),
            Style::Literal(indent) => self.pass_in_block(letter, indent),
            Style::Folded(indent) => self.pass_in_folded(letter, indent),
        }
    }

    fn pass_itself(&mut self, letter: char) -> Option<usize> {
        let start = self.at;
        (self.peek()? == letter).then(|| self.skip(letter.len_utf8()))?;
        Some(start)
    }

    fn pass_in_block(&mut self, letter: char, indent: usize) -> Option<usize> {
        if letter == '\n' {
            let start = self.at;
            if start == 0 && !self.rest().starts_with(['\n', '\r']) {
                // Empty lines before the text, which are not counted in.
                return Some(start);
            }
            self.skip_end().then_some(())?;
            self.skip_indent(indent);
            return Some(start);
        }
        self.pass_itself(letter)
    }

    /// The same as in [`Self::pass_or_fold`], with an indentation that is known.
    fn pass_in_folded(&mut self, letter: char, indent: usize) -> Option<usize> {
        let start = self.at;
        let folded = std::mem::replace(&mut self.folds, letter == '\n');
        if letter == ' ' && self.skip_end() {
            self.skip_indent(indent);
            return Some(start);
        }
        let start = self.pass_in_block(letter, indent)?;
        if letter == '\n' && !folded && self.skip_end() {
            self.skip_indent(indent);
        }
        Some(start)
    }

    /// A line that ends means a space; of several ends in a row, each but the first means itself (YAML 1.2, 6.5).
    fn pass_or_fold(&mut self, letter: char) -> Option<usize> {
        let start = self.at;
        let folded = self.folds;
        self.folds = false;
        match letter {
            ' ' => {
                self.skip_white();
                if self.skip_end() {
                    self.skip_white();
                    return Some(start);
                }
                self.at = start;
            }
            '\n' => {
                self.skip_white();
                let ended = folded || self.skip_end();
                self.skip_white();
                let ended = ended && self.skip_end();
                self.skip_white();
                self.folds = true;
                return ended.then_some(start);
            }
            _ => {}
        }
        self.pass_itself(letter)
    }

    fn pass_in_double(&mut self, letter: char) -> Option<usize> {
        let start = self.at;
        if self.peek()? != '\\' {
            return self.pass_or_fold(letter);
        }
        self.skip(1);
        let kind = self.peek()?;
        if matches!(kind, '\n' | '\r') {
            // A line that goes on.
            self.skip_end();
            self.skip_white();
            return self.pass_in_double(letter);
        }
        self.skip(kind.len_utf8());
        let meant = match kind {
            '0' => '\0',
            'a' => '\u{7}',
            'b' => '\u{8}',
            't' | '\t' => '\t',
            'n' => '\n',
            'v' => '\u{b}',
            'f' => '\u{c}',
            'r' => '\r',
            'e' => '\u{1b}',
            'N' => '\u{85}',
            '_' => '\u{a0}',
            'L' => '\u{2028}',
            'P' => '\u{2029}',
            'x' => char::from_u32(self.hex(2)?)?,
            'u' => self.unicode()?,
            'U' => char::from_u32(self.hex(8)?)?,
            other => other,
        };
        (meant == letter).then_some(start)
    }

    fn unicode(&mut self) -> Option<char> {
        let high = self.hex(4)?;
        if !(0xd800..0xdc00).contains(&high) {
            return char::from_u32(high);
        }
        self.rest().starts_with("\\u").then(|| self.skip(2))?;
        let low = self.hex(4)?;
        let high = u16::try_from(high).ok()?;
        let low = u16::try_from(low).ok()?;
        char::decode_utf16([high, low]).next()?.ok()
    }

    fn hex(&mut self, digits: usize) -> Option<u32> {
        let text = self.rest().get(..digits)?;
        let number = u32::from_str_radix(text, 16).ok()?;
        self.skip(digits);
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{tree::Value, yaml};

    /// What a string of YAML means, and what stands in the file where `part` of it does.
    fn found(file: &str, part: &str) -> Option<String> {
        let trees = yaml::read(file).unwrap();
        let node = trees[0].root().unwrap().get("a").unwrap();
        let meant = node.as_str().unwrap();
        let Value::Text(_, written) = node.value() else {
            panic!("no string")
        };
        let within = Within::new(file, node.range(), meant, *written);
        let start = meant
            .find(part)
            .unwrap_or_else(|| panic!("{part:?} is not in {meant:?}"));
        within.is_exact().then(|| {
            file.get(within.range(start..start.saturating_add(part.len())))
                .unwrap()
                .to_owned()
        })
    }

    #[test]
    fn part_of_a_string_is_found_however_the_string_is_written() {
        for (file, part, written) in [
            ("a: one two", "two", "two"),
            ("a: 'it''s \"two\"'", "\"two\"", "\"two\""),
            ("a: 'it''s'", "t's", "t''s"),
            (r#"a: "one \"two\" three""#, "\"two\"", r#"\"two\""#),
            (r#"a: "x\u00e9y""#, "\u{e9}", r"\u00e9"),
            (r#"a: "x\uD834\uDD1Ey""#, "\u{1d11e}", r"\uD834\uDD1E"),
            (r#"a: "x\uD834\uDD1Ey""#, "y", "y"),
            ("a: |\n  one\n  two\n   three\n", "two", "two"),
            ("a: |\n  one\n  two\n   three\n", " three", " three"),
            ("a: |\r\n  one\r\n  two\r\n", "two", "two"),
            ("a: |-\n\n    one\n\n    two", "two", "two"),
            ("a: |2\n    one\n   two", " two", " two"),
            ("a: >\n  one\n  two\n\n  three\n", "two", "two"),
            ("a: one\n  two", "two", "two"),
            ("a: 'one\n\n  two'", "two", "two"),
            ("a: 'one\n\n\n  two'", "two", "two"),
            ("a: \"one\\\n  two\"", "two", "two"),
            ("a: \"one\\\n  two\"", "one", "one"),
            ("\u{feff}a: 'b\u{e9} two'", "two", "two"),
            ("b: &x |\n  one two\na: *x\n", "two", "two"),
        ] {
            assert_eq!(found(file, part).as_deref(), Some(written), "{file:?} {part:?}");
        }
    }
}
