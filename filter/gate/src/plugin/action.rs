//! Pass on, or keep?

/// What the proxy is to do with the bytes at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Pass them on.
    Continue,
    /// Keep them.
    Pause,
}
