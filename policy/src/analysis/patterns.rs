//! How do two patterns lie to each other?

use crate::pattern::{id_pattern::IdPattern, path_pattern::PathPattern};

/// Whether every id that `other` matches is matched by `one` too. May say no where the truth is yes, never the other way.
pub fn covers(one: &IdPattern, other: &IdPattern) -> bool {
    one.covers(other)
}

/// Whether some id could match both. May say yes where the truth is no, never the other way.
pub fn overlaps(one: &IdPattern, other: &IdPattern) -> bool {
    one.overlaps(other)
}

/// Whether every path that `other` matches is matched by `one` too. May say no where the truth is yes, never the other way.
pub fn covers_path(one: &PathPattern, other: &PathPattern) -> bool {
    one.segments.covers(&other.segments)
}
