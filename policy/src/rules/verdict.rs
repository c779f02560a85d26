//! Whether something holds, where that may not be known.
//!
//! What cannot be known (a header with two values of which one matches, a source address that cannot be read) is
//! `Unknown`, and an unknown never helps the caller: an allow rule does not match then, a deny rule does.

use crate::rules::effect::Effect;

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Yes,
    No,
    Unknown,
}

impl Verdict {
    /// Whether the rule applies: the doubt goes against the caller.
    pub(crate) fn applies_to(self, effect: Effect) -> bool {
        match (self, effect) {
            (Self::Yes, _) | (Self::Unknown, Effect::Deny) => true,
            (Self::No, _) | (Self::Unknown, Effect::Allow) => false,
        }
    }

    pub(crate) fn from_known(known: Option<bool>) -> Self {
        match known {
            Some(true) => Self::Yes,
            Some(false) => Self::No,
            None => Self::Unknown,
        }
    }

    pub(crate) fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
        }
    }

    /// All of several conditions: a plain no decides, whatever else is unknown.
    pub(crate) fn all(verdicts: impl Iterator<Item = Self>) -> Self {
        let mut all = Self::Yes;
        for verdict in verdicts {
            match verdict {
                Self::No => return Self::No,
                Self::Unknown => all = Self::Unknown,
                Self::Yes => {}
            }
        }
        all
    }
}
