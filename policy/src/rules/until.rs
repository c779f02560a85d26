//! Until when?

use jiff::Timestamp;

/// When something ends. The order is that of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Until {
    Expires(Timestamp),
    Forever,
}

impl Until {
    pub(crate) fn of(expires: Option<Timestamp>) -> Self {
        expires.map_or(Self::Forever, Self::Expires)
    }

    pub(crate) fn is_over(self, now: Timestamp) -> bool {
        match self {
            Self::Expires(expires) => now >= expires,
            Self::Forever => false,
        }
    }
}
