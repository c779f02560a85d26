//! What does a file say, and where in it does something stand?

use std::{fmt, ops::Range, sync::Arc};

/// A file as it was read.
pub struct Source {
    name: String,
    text: String,
    /// Where each line begins.
    lines: Vec<usize>,
}

/// Line and column, both from 1. Columns count characters, as editors do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Source {
    /// A text under the name that messages are to call it by.
    pub fn new(name: impl Into<String>, text: String) -> Arc<Self> {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0)
            .chain(ends.map(|(at, _)| at.saturating_add(1)))
            .collect();
        Arc::new(Self {
            name: name.into(),
            text,
            lines,
        })
    }

    /// What messages call it. Foreign text: whoever prints it escapes it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All of it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A part of it; empty where there is none.
    pub fn slice(&self, range: Range<usize>) -> &str {
        self.text.get(range).unwrap_or_default()
    }

    /// Where an offset in bytes stands.
    pub fn position(&self, offset: usize) -> Position {
        let line = self.lines.partition_point(|begin| *begin <= offset).max(1);
        let begin = self.line_begin(line);
        let before = self.slice(begin..offset.min(self.text.len()).max(begin));
        // A byte order mark is no column of the first line.
        let marks = usize::from(begin == 0 && before.starts_with('\u{feff}'));
        Position {
            line,
            column: before.chars().count().saturating_sub(marks).saturating_add(1),
        }
    }

    /// The bytes of a line (from 1), without its end.
    pub fn line(&self, line: usize) -> Range<usize> {
        let begin = self.line_begin(line);
        let end = self.lines.get(line).copied().unwrap_or(self.text.len());
        let text = self.slice(begin..end);
        let ended = text.strip_suffix('\n').unwrap_or(text);
        let ended = ended.strip_suffix('\r').unwrap_or(ended);
        begin..begin.saturating_add(ended.len())
    }

    /// The offset of a line and a column, as a parser counts them; the end of what there is where there is less.
    pub fn offset(&self, position: Position) -> usize {
        let line = self.line(position.line.clamp(1, self.lines.len().max(1)));
        let text = self.slice(line.clone());
        let within = text.char_indices().nth(position.column.saturating_sub(1));
        line.start.saturating_add(within.map_or(text.len(), |(at, _)| at))
    }

    fn line_begin(&self, line: usize) -> usize {
        self.lines.get(line.saturating_sub(1)).copied().unwrap_or_default()
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({:?}, {} bytes)", self.name, self.text.len())
    }
}

/// A part of a file.
#[derive(Clone, Debug)]
pub struct Place {
    /// The file.
    pub source: Arc<Source>,
    /// Which bytes of it.
    pub range: Range<usize>,
}

impl Place {
    /// A part of a file.
    pub fn new(source: &Arc<Source>, range: Range<usize>) -> Self {
        Self {
            source: Arc::clone(source),
            range,
        }
    }

    /// Where it begins.
    pub fn start(&self) -> Position {
        self.source.position(self.range.start)
    }

    /// Where it ends, exclusive; on the line on which it begins.
    pub fn end(&self) -> Position {
        self.source.position(self.first_line().end)
    }

    /// As much of it as stands on its first line, without white space behind.
    pub fn first_line(&self) -> Range<usize> {
        let line = self.source.line(self.start().line);
        let end = self.range.end.min(line.end).max(self.range.start);
        let text = self.source.slice(self.range.start..end);
        self.range.start..self.range.start.saturating_add(text.trim_end().len())
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.source.name == other.source.name && self.range == other.range
    }
}

impl Eq for Place {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_and_know_crlf_and_a_byte_order_mark() {
        let source = Source::new("x", "\u{feff}ab\r\n\u{e9}\u{e9}c\nd".to_owned());
        let at = |offset| {
            let Position { line, column } = source.position(offset);
            (line, column)
        };
        assert_eq!(at(3), (1, 1));
        assert_eq!(at(4), (1, 2));
        assert_eq!(at(7), (2, 1));
        assert_eq!(at(11), (2, 3));
        assert_eq!(at(13), (3, 1));
        assert_eq!(at(999), (3, 2));
        assert_eq!(source.slice(source.line(1)), "\u{feff}ab");
        assert_eq!(source.slice(source.line(2)), "\u{e9}\u{e9}c");
        assert_eq!(source.offset(Position { line: 2, column: 3 }), 11);
        assert_eq!(source.offset(Position { line: 9, column: 9 }), 14);
    }

    #[test]
    fn place_of_many_lines_is_shown_as_its_first() {
        let source = Source::new("x", "a: b  \n  c\n".to_owned());
        assert_eq!(Place::new(&source, 3..10).first_line(), 3..4);
        assert_eq!(Place::new(&source, 3..10).end(), Position { line: 1, column: 5 });
    }
}
