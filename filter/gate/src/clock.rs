//! Which second is it, and is a span over?

use jiff::{SignedDuration, Timestamp};

/// The second that a moment is in: the last second of a certificate counts to its end.
pub(crate) fn whole_seconds(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// Whether a span is over. A clock that was set back is no reason to wait.
pub(crate) fn is_over(span: SignedDuration, before: Timestamp, now: Timestamp) -> bool {
    let since = now.duration_since(before);
    since.is_negative() || since >= span
}
