//! Lines of a bounded width.

/// Breaks paragraphs between words, so that no line has more than so many characters, but for a longer word.
pub fn wrap(text: &str, width: usize) -> String {
    let lines = text
        .trim()
        .split('\n')
        .map(|paragraph| wrap_paragraph(paragraph, width));
    lines.collect::<Vec<_>>().join("\n")
}

fn wrap_paragraph(text: &str, width: usize) -> String {
    let mut wrapped = String::with_capacity(text.len());
    let mut column = 0usize;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let length = word.chars().count();
        if column > 0 && column.saturating_add(1).saturating_add(length) > width {
            wrapped.push('\n');
            column = 0;
        } else if column > 0 {
            wrapped.push(' ');
            column = column.saturating_add(1);
        }
        wrapped.push_str(word);
        column = column.saturating_add(length);
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use super::wrap;

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrap("one two three", 7), "one two\nthree");
        assert_eq!(wrap("one two three", 3), "one\ntwo\nthree");
        assert_eq!(wrap("  one\n\ntwo ", 80), "one\n\ntwo");
        assert_eq!(wrap("", 80), "");
    }
}
