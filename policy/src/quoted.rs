//! How text of a document stands in a message.

use std::fmt;

/// Names in backticks, with commas.
pub(crate) struct Quoted<'a, T>(pub(crate) &'a [T]);

impl<T: AsRef<str>> fmt::Display for Quoted<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, name) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}`{}`", name.as_ref())?;
        }
        Ok(())
    }
}

/// Text of the document within a message: without control characters, and not too much of it.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .chars()
            .take(64)
            .try_for_each(|c| write!(f, "{}", c.escape_debug()))
    }
}

/// A byte as an operator can read it: the character where it is printable, its value where not.
pub(crate) struct Shown(pub(crate) u8);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_ascii_graphic() {
            write!(f, "`{}`", char::from(self.0))
        } else {
            write!(f, "byte 0x{:02x}", self.0)
        }
    }
}
