//! What was found: a code, a place, and what would be right.

use std::fmt;

use crate::source::Place;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Level {
    /// Worth knowing.
    Note,
    /// Probably not what is meant.
    Warning,
    /// Wrong.
    Error,
}

impl Level {
    /// The word for it, in every format.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A kind of finding, and its page. Numbers are never used again: suppressions and dashboards hang on them.
#[derive(Debug)]
pub struct Code {
    /// `SGnnnn`.
    pub number: &'static str,
    /// How bad it is, unless a finding says otherwise.
    pub level: Level,
    /// What it is, in a few words.
    pub title: &'static str,
    /// Why it is one.
    pub why: &'static str,
    /// What it looks like.
    pub example: &'static str,
    /// What to do.
    pub mend: &'static str,
}

impl PartialEq for Code {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Code {}

/// One finding.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Which kind.
    pub code: &'static Code,
    /// How bad.
    pub level: Level,
    /// Where. None where it is about no file.
    pub place: Option<Place>,
    /// One sentence that says what it is. May have foreign words; reports escape them.
    pub sentence: String,
    /// What would be right.
    pub right: Option<String>,
    /// What else there is to see, with a few words each.
    pub also: Vec<(Place, String)>,
}

impl Finding {
    /// A finding of a kind, at a place.
    pub fn new(code: &'static Code, place: impl Into<Option<Place>>, sentence: impl Into<String>) -> Self {
        Self {
            code,
            level: code.level,
            place: place.into(),
            sentence: sentence.into(),
            right: None,
            also: Vec::new(),
        }
    }

    /// With what would be right.
    #[must_use]
    pub fn right(mut self, right: impl Into<String>) -> Self {
        self.right = Some(right.into());
        self
    }

    /// With another place to look at.
    #[must_use]
    pub fn also(mut self, place: Place, words: impl Into<String>) -> Self {
        self.also.push((place, words.into()));
        self
    }

    /// The order of reports: by file, then by where in it.
    pub fn order(one: &Self, two: &Self) -> std::cmp::Ordering {
        let key = |finding: &Self| {
            let place = finding.place.as_ref();
            let place = place.map(|place| (place.source.name().to_owned(), place.range.start));
            (place, finding.code.number)
        };
        key(one).cmp(&key(two))
    }
}
