//! Connection or request?

/// Which filter decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The network filter.
    Connection,
    /// The HTTP filter.
    Request,
}

impl Stage {
    /// The name in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Request => "request",
        }
    }
}
