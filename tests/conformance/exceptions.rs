//! The differences that we keep on purpose, each with its reason.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;

/// One difference. It covers a row only when that expects and comes to exactly this.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    /// The file, below the folder of vectors.
    #[serde(default)]
    file: Option<String>,
    /// Other files with the same row, perhaps made anew: one `*` stands for anything. There the row may also pass.
    #[serde(default)]
    also: Option<String>,
    row: String,
    expected: String,
    actual: String,
    reason: String,
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.as_ref().or(self.also.as_ref());
        write!(f, "{} {}", file.map_or("", String::as_str), self.row)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    exception: Vec<Exception>,
}

/// All of `exceptions.toml`.
#[derive(Debug)]
pub(crate) struct Exceptions {
    list: Vec<Exception>,
    used: RefCell<BTreeSet<usize>>,
}

impl Exceptions {
    /// Reads the list.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let document: Document = toml::from_str(text).map_err(|error| error.to_string())?;
        for exception in &document.exception {
            if exception.reason.trim().is_empty() || (exception.file.is_none() && exception.also.is_none()) {
                return Err(format!("{exception}: `reason` and one of `file` and `also` are needed"));
            }
        }
        Ok(Self {
            list: document.exception,
            used: RefCell::default(),
        })
    }

    /// Whether a difference is on the list.
    pub(crate) fn cover(&self, file: &str, row: &str, expected: &str, actual: &str) -> bool {
        let covers = |exception: &Exception| {
            let covered = |also: &String| matches(also, file);
            (exception.file.as_deref() == Some(file) || exception.also.as_ref().is_some_and(covered))
                && exception.row == row
                && exception.expected == expected
                && exception.actual == actual
        };
        let place = self.list.iter().position(covers);
        self.used.borrow_mut().extend(place);
        place.is_some()
    }

    /// The entries that covered nothing although their file is there: first those whose row passed, then those whose
    /// row is not in it. `passed` knows of a row of a file whether it passed, if it is there.
    pub(crate) fn unused(
        &self,
        files: &[&str],
        passed: impl Fn(&str, &str) -> Option<bool>,
    ) -> (Vec<String>, Vec<String>) {
        let used = self.used.borrow();
        let (mut well, mut absent) = (Vec::new(), Vec::new());
        let unused = self.list.iter().enumerate().filter(|(place, _)| !used.contains(place));
        for (_, exception) in unused {
            let Some(file) = exception.file.as_deref().filter(|file| files.contains(file)) else {
                continue;
            };
            match passed(file, &exception.row) {
                Some(true) => well.push(exception.to_string()),
                // It differs, in another way or by a rule; whichever it is, the row itself has told.
                Some(false) => {}
                None => absent.push(exception.to_string()),
            }
        }
        (well, absent)
    }
}

/// Whether a file has a name, in which one `*` stands for anything.
fn matches(pattern: &str, file: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == file,
        Some((start, end)) => file.len() >= start.len() + end.len() && file.starts_with(start) && file.ends_with(end),
    }
}
