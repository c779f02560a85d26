//! What is one thing that a rule says of an identity and a request, and what is its opposite?

use jiff::Timestamp;

use crate::analysis::{
    demand::Verdicts,
    manner::Who,
    vocabulary::{AspectId, DemandId, Symbol},
};

/// Whose segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Space {
    Id(Who),
    Path,
}

/// A segment. Those of a space are numbered from 1; 0 is the trust domain of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) space: Space,
    pub(crate) number: usize,
}

impl Place {
    pub(crate) fn trust_domain(who: Who) -> Self {
        Self {
            space: Space::Id(who),
            number: 0,
        }
    }

    /// Whether it is a segment of an id, which few texts may be.
    pub(crate) fn is_segment_of_id(self) -> bool {
        self.space != Space::Path && self.number > 0
    }
}

/// One thing that holds or does not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Literal {
    /// How many segments there are, the bounds included.
    Length {
        space: Space,
        at_least: usize,
        at_most: usize,
    },
    /// There is a segment, and it is this text.
    Is(Place, Symbol),
    /// There is a segment, and it is another.
    IsNot(Place, Symbol),
    Same(Place, Place),
    Differ(Place, Place),
    /// One of these verdicts comes of the demand.
    Demand {
        aspect: AspectId,
        demand: DemandId,
        wanted: Verdicts,
    },
    Before(Timestamp),
    From(Timestamp),
}

/// Lengths from here on are all alike.
pub(crate) const MANY: usize = usize::MAX;

impl Literal {
    /// What holds where this does not, given that there are the segments that it speaks of: one of these.
    pub(crate) fn opposites(&self) -> Vec<Self> {
        match *self {
            Self::Length {
                space,
                at_least,
                at_most,
            } => {
                let shorter = at_least.checked_sub(1).map(|most| Self::Length {
                    space,
                    at_least: 0,
                    at_most: most,
                });
                let longer = at_most.checked_add(1).map(|least| Self::Length {
                    space,
                    at_least: least,
                    at_most: MANY,
                });
                shorter.into_iter().chain(longer).collect()
            }
            Self::Is(place, symbol) => vec![Self::IsNot(place, symbol)],
            Self::IsNot(place, symbol) => vec![Self::Is(place, symbol)],
            Self::Same(one, two) => vec![Self::Differ(one, two)],
            Self::Differ(one, two) => vec![Self::Same(one, two)],
            Self::Demand { aspect, demand, wanted } => vec![Self::Demand {
                aspect,
                demand,
                wanted: wanted.others(),
            }],
            Self::Before(end) => vec![Self::From(end)],
            Self::From(end) => vec![Self::Before(end)],
        }
    }
}
