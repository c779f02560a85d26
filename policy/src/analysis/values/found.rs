//! What comes of looking for a value?

use crate::analysis::demand::{Demand, Value, Verdicts};

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Value(Value),
    /// There is none.
    None,
    /// There may be one.
    Unknown,
}

impl Found {
    /// The first that meets all demands, of a list that leaves nothing out.
    pub(super) fn first(values: impl Iterator<Item = Value>, demands: &[(&Demand, Verdicts)]) -> Self {
        let mut values = values;
        values
            .find(|value| value.meets(demands))
            .map_or(Self::None, Self::Value)
    }
}

/// A text that is none of those taken, and begins as a reader would write it.
pub(super) fn fresh<'t>(begin: &str, is_taken: impl Fn(&str) -> bool + 't) -> String {
    let mut text = begin.to_owned();
    let mut number: u32 = 1;
    while is_taken(&text) {
        number = number.saturating_add(1);
        text = format!("{begin}{number}");
    }
    text
}
