//! What came of asking a source?

use crate::proxy::Proxy;

/// What came of an attempt, for counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceEvent {
    /// New content was taken.
    Updated,
    /// The content was known.
    Unchanged,
    /// No answer, or not the right one.
    Failed,
    /// An answer that cannot be used; what there was stays.
    Unreadable,
    /// An answer that is older than what there is.
    Rollback,
    /// Other content under the sequence that is known; it is taken.
    SameSequence,
    /// A bundle of a trust domain that there is no relationship with; it is not used.
    UnusedBundle,
    /// A bundle or a CRL that cannot be used, in a message that can.
    UnusableBundle,
}

impl SourceEvent {
    /// The name in counters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::Failed => "failed",
            Self::Unreadable => "unreadable",
            Self::Rollback => "rollback",
            Self::SameSequence => "same_sequence",
            Self::UnusedBundle => "unused_bundle",
            Self::UnusableBundle => "unusable_bundle",
        }
    }
}

/// Counts an event. They are rare, so nothing is kept here.
pub fn count<P: Proxy>(proxy: &P, event: SourceEvent, amount: u64) {
    let counted = proxy
        .define_counter(&format!("svidgate.source_events_total.{}", event.as_str()))
        .and_then(|counter| proxy.add_to_counter(counter, amount));
    // A proxy that cannot count has the log.
    let _ = counted;
}
