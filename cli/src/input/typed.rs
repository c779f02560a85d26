//! What does a small file of ours say: tests, expected changes?

use serde::de::DeserializeOwned;

/// A place, and what is wrong there.
pub type NotRead = (Option<(u64, u64)>, String);

/// Reads YAML into what is expected there.
///
/// # Errors
/// Where it stops, as line and column from 1 if it says, and why, in one line.
pub fn typed<T: DeserializeOwned>(text: &str) -> Result<T, NotRead> {
    serde_saphyr::from_str(text).map_err(|error| {
        let at = error.location().map(|at| (at.line(), at.column()));
        let said = error.to_string();
        let first = said.lines().next().unwrap_or_default();
        // The place is told beside it, once.
        let what = first.strip_prefix("error: ").unwrap_or(first);
        let what = at
            .and_then(|(line, column)| what.strip_prefix(&format!("line {line} column {column}: ")))
            .unwrap_or(what);
        (at, what.to_owned())
    })
}
