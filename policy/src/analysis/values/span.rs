//! From when until when?

use jiff::Timestamp;

/// A moment and all that follow, up to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Span {
    pub(crate) from: Timestamp,
    /// Not any more at this moment.
    pub(crate) until: Option<Timestamp>,
}

impl Span {
    pub(crate) fn is_empty(self) -> bool {
        self.until.is_some_and(|until| until <= self.from)
    }
}
