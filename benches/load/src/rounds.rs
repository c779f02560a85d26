//! How far does a figure move from round to round of one run, and is it certain that it keeps a bound?
//!
//! A machine that is slow, or has other work, makes all that is measured in a round dearer. A ratio of two figures of
//! the same round says much the same on every machine; how far it moves from round to round says how much it can be
//! trusted.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::drive::median;

/// Fewer rounds do not show how far a figure moves.
const FEWEST: usize = 3;

/// A figure of each round, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Rounds(Vec<f64>);

/// What a figure came to in all rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The middle one.
    pub median: f64,
    /// Of the best round.
    pub lowest: f64,
    /// Of the worst round.
    pub highest: f64,
}

/// Whether a number that was to be reached was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reached {
    /// In every round.
    Yes,
    /// In none.
    No,
    /// In some rounds, or there are too few.
    NotCertain,
}

impl Rounds {
    /// Of figures in the order of the rounds.
    pub fn of(figures: impl Iterator<Item = f64>) -> Self {
        Self(figures.collect())
    }

    /// In each round, what this is more than the other.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        self.each(other, |one, other| one - other)
    }

    /// In each round, how many times the other this is. Where the other is nothing, or less, that is no number.
    #[must_use]
    pub fn over(&self, other: &Self) -> Self {
        self.each(other, |one, other| if other > 0.0 { one / other } else { f64::NAN })
    }

    fn each(&self, other: &Self, figure: impl Fn(f64, f64) -> f64) -> Self {
        assert_eq!(self.0.len(), other.0.len(), "both are of the same rounds");
        Self(
            self.0
                .iter()
                .zip(&other.0)
                .map(|(one, other)| figure(*one, *other))
                .collect(),
        )
    }

    /// The median, and how far it moves. Where a round has no number, there is no lowest and no highest.
    pub fn spread(&self) -> Spread {
        let numbers = || self.0.iter().copied();
        let is_whole = !self.0.is_empty() && !numbers().any(f64::is_nan);
        let end = |pick: fn(f64, f64) -> f64| if is_whole { numbers().reduce(pick) } else { None };
        Spread {
            median: median(numbers().collect()),
            lowest: end(f64::min).unwrap_or(f64::NAN),
            highest: end(f64::max).unwrap_or(f64::NAN),
        }
    }

    /// Whether it is at most so much: in every round, in none, or that is not certain.
    pub fn reach(&self, most: f64) -> Reached {
        let Spread { lowest, highest, .. } = self.spread();
        if self.0.len() < FEWEST {
            Reached::NotCertain
        } else if highest <= most {
            Reached::Yes
        } else if lowest > most {
            Reached::No
        } else {
            Reached::NotCertain
        }
    }
}

impl Serialize for Rounds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|figure| thousandths(*figure)))
    }
}

impl Spread {
    /// As a record keeps it.
    #[must_use]
    pub fn rounded(self) -> Self {
        Self {
            median: thousandths(self.median),
            lowest: thousandths(self.lowest),
            highest: thousandths(self.highest),
        }
    }
}

fn thousandths(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            median,
            lowest,
            highest,
        } = self;
        write!(f, "{median:.2} ({lowest:.2} to {highest:.2})")
    }
}

impl Reached {
    /// As tables show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::NotCertain => "not certain",
        }
    }
}

/// Of what is measured once.
impl From<bool> for Reached {
    fn from(is_reached: bool) -> Self {
        if is_reached { Self::Yes } else { Self::No }
    }
}

#[cfg(test)]
mod tests {
    use super::{Reached, Rounds};

    fn rounds<const N: usize>(figures: [f64; N]) -> Rounds {
        Rounds::of(figures.into_iter())
    }

    #[test]
    fn ratio_is_taken_within_each_round() {
        // The machine takes three times as long for all of the second round, and all of what it does there is a little
        // cheaper.
        let (gated, idle) = (rounds([12.0, 33.0, 13.0]), rounds([10.0, 30.0, 10.0]));
        let ratio = gated.over(&idle);
        assert_eq!(ratio, rounds([1.2, 1.1, 1.3]));
        // Not 13.0 / 10.0, which is what the medians of both say.
        assert_eq!(ratio.spread().to_string(), "1.20 (1.10 to 1.30)");
    }

    #[test]
    fn what_is_added_is_taken_within_each_round() {
        let none = rounds([20.0, 60.0, 22.0]);
        let (few, many) = (rounds([30.0, 90.0, 32.0]), rounds([31.0, 90.0, 33.0]));
        let growth = many.minus(&none).over(&few.minus(&none));
        assert_eq!(growth.spread().to_string(), "1.10 (1.00 to 1.10)");
    }

    #[test]
    fn bound_is_reached_in_every_round_or_in_none_or_it_is_not_certain() {
        let figures = rounds([1.1, 1.3, 1.2]);
        for (most, reached) in [
            (1.3, Reached::Yes),
            (1.29, Reached::NotCertain),
            (1.1, Reached::NotCertain),
            (1.09, Reached::No),
        ] {
            assert_eq!(figures.reach(most), reached, "at most {most}");
        }
    }

    #[test]
    fn two_rounds_or_a_round_without_a_number_are_not_certain() {
        assert_eq!(rounds([1.0, 1.0]).reach(2.0), Reached::NotCertain);
        assert_eq!(rounds([]).reach(2.0), Reached::NotCertain);
        for nothing in [0.0, -1.0] {
            let ratio = rounds([1.0, 1.0, 1.0]).over(&rounds([1.0, nothing, 1.0]));
            assert_eq!(ratio.reach(2.0), Reached::NotCertain);
            assert_eq!(ratio.reach(0.5), Reached::NotCertain);
        }
    }
}
