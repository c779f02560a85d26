//! What can be said about the values of aspects, remembered.

use hashbrown::HashMap;
use jiff::Timestamp;

use crate::analysis::{
    demand::{Aspect, Demand, Verdicts},
    values::{Found, Span, find},
    vocabulary::{AspectId, DemandId, Vocabulary},
};

/// Demands on one aspect, in the order of their numbers, with the verdicts that are wanted.
pub(crate) type Wanted = Vec<(DemandId, Verdicts)>;

/// The vocabulary, and what has been found with it.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) vocabulary: Vocabulary,
    found: HashMap<(AspectId, Option<Span>), HashMap<Wanted, Found>>,
}

/// Where time is not what is looked at, any moment does.
const ANY: Span = Span {
    from: Timestamp::UNIX_EPOCH,
    until: None,
};

impl Terms {
    pub(crate) fn new() -> Self {
        Self {
            vocabulary: Vocabulary::new(),
            found: HashMap::new(),
        }
    }

    /// Whether there is a value with which all demands come out as wanted.
    pub(crate) fn find(&mut self, id: AspectId, wanted: &Wanted, span: Span) -> Found {
        let Some(aspect) = self.vocabulary.aspect(id) else {
            return Found::Unknown;
        };
        let is_time = *aspect == Aspect::Time;
        let span = is_time.then_some(span);
        let known = self.found.entry((id, span)).or_default();
        if let Some(found) = known.get(wanted) {
            return found.clone();
        }
        let demanded =
            |(demand, verdicts): &(DemandId, Verdicts)| Some((self.vocabulary.demanded(*demand)?, *verdicts));
        let demands: Vec<(&Demand, Verdicts)> = wanted.iter().filter_map(demanded).collect();
        let found = find(aspect, &demands, span.unwrap_or(ANY));
        known.insert(wanted.clone(), found.clone());
        found
    }
}
