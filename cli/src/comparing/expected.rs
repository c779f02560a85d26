//! Which changes are expected, and which of them are not there?
//!
//! A file of them says regions and not rules: a rule that is expected to gain something may gain more the next day.

use std::path::Path;

use serde::Deserialize;
use serde_saphyr::Spanned;
use svidgate_policy::{
    Timestamp,
    analysis::{Bounds, Changes, Comparison, Expected, Policy, Subject, compare_beyond},
};

use crate::{
    input::{
        compiled::in_words,
        files::{read_text, shown},
        typed::typed,
    },
    source::{Place, Position, Source},
};

/// Most regions of a file. Our decision: each is looked for by a comparison of its own, and a change that takes more to say
/// is none that somebody has read.
pub const MAX_EXPECTED: usize = 32;

/// A file of expected changes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// What may be gained: `from`, `except`, `to` and `when`, as a rule says it.
    #[serde(default)]
    gains: Vec<Spanned<serde_json::Value>>,
    /// What may be lost.
    #[serde(default)]
    losses: Vec<Spanned<serde_json::Value>>,
}

/// What a file says, for two policies.
pub struct Awaited {
    gains: Vec<(Place, Subject)>,
    losses: Vec<(Place, Subject)>,
}

/// Something that is expected and is not there.
pub struct Missing {
    /// Where it is expected.
    pub place: Place,
    /// Whether as a gain.
    pub is_gain: bool,
}

impl Awaited {
    /// Reads a file. Gains are read as the new policy would, losses as the old one.
    ///
    /// # Errors
    /// All that is wrong, each with its place in words.
    pub fn read(path: &Path, old: &Policy, new: &Policy) -> Result<Self, Vec<String>> {
        let name = shown(path);
        let text = read_text(path).map_err(|trouble| vec![format!("{name}: {}", trouble.what)])?;
        let file: File = typed(&text).map_err(|(at, what)| {
            let at = at.map(|(line, column)| format!(":{line}:{column}"));
            vec![format!("{name}{}: {what}", at.unwrap_or_default())]
        })?;
        if file.gains.len().saturating_add(file.losses.len()) > MAX_EXPECTED {
            return Err(vec![format!("{name}: expects more than {MAX_EXPECTED} changes")]);
        }
        let source = Source::new(name, text);
        let mut troubles = Vec::new();
        let mut read = |list: &[Spanned<serde_json::Value>], policy: &Policy| {
            let mut subjects = Vec::new();
            for region in list {
                let at = &region.referenced;
                let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
                let (line, column) = (number(at.line()), number(at.column()));
                let start = source.offset(Position { line, column });
                let place = Place::new(&source, start..source.line(line).end.max(start));
                match Subject::read(region.value.to_string().as_bytes(), policy) {
                    Ok(subject) => subjects.push((place, subject)),
                    Err(mistakes) => {
                        troubles.push(format!("{}:{line}:{column}: {}", source.name(), in_words(&mistakes)));
                    }
                }
            }
            subjects
        };
        let (gains, losses) = (read(&file.gains, new), read(&file.losses, old));
        if troubles.is_empty() {
            Ok(Self { gains, losses })
        } else {
            Err(troubles)
        }
    }

    /// What differs beyond all of it.
    pub fn beyond(&self, old: &Policy, new: &Policy, at: Timestamp) -> Comparison {
        compare_beyond(&self.but(None), old, new, at, Bounds::default())
    }

    /// What of it is not there: nothing more differs without it. Of gains, or losses, beyond what is expected there is enough
    /// to say, and it is not asked.
    pub fn missing(&self, beyond: &Changes, old: &Policy, new: &Policy, at: Timestamp) -> Vec<Missing> {
        let bounds = Bounds {
            regions: 1,
            ..Bounds::default()
        };
        let of = |is_gain: bool, list: &[(Place, Subject)]| -> Vec<Missing> {
            let entries = list.iter().enumerate();
            let missing = entries.filter(|(number, _)| {
                let without = self.but(Some((is_gain, *number)));
                let changes = compare_beyond(&without, old, new, at, bounds).in_force;
                let list = if is_gain { &changes.gains } else { &changes.losses };
                // One that may make a difference is not called idle.
                list.is_empty() && !changes.undecided.iter().any(|undecided| undecided.is_gain == is_gain)
            });
            missing
                .map(|(_, (place, _))| Missing {
                    place: place.clone(),
                    is_gain,
                })
                .collect()
        };
        let mut missing = Vec::new();
        if beyond.gains.is_empty() {
            missing.extend(of(true, &self.gains));
        }
        if beyond.losses.is_empty() {
            missing.extend(of(false, &self.losses));
        }
        missing
    }

    fn but(&self, left_out: Option<(bool, usize)>) -> Expected {
        let of = |is_gain: bool, list: &[(Place, Subject)]| {
            let entries = list.iter().enumerate();
            let kept = entries.filter(|(number, _)| left_out != Some((is_gain, *number)));
            kept.map(|(_, (_, subject))| subject.clone()).collect()
        };
        Expected {
            gains: of(true, &self.gains),
            losses: of(false, &self.losses),
        }
    }
}
