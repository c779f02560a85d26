//! What is borne, and what does it reach?

use crate::{
    codes::by_number,
    finding::{Finding, Level},
    input::document::Document,
    source::Place,
};

/// What says that some findings are borne.
#[derive(Debug)]
pub struct Suppression {
    /// Where it stands.
    pub(super) place: Place,
    /// Which kind.
    pub(super) number: &'static str,
    /// What it reaches.
    pub(super) reach: Reach,
    /// Why.
    pub(super) because: String,
}

/// What a suppression reaches.
#[derive(Debug)]
pub(super) enum Reach {
    /// Lines of the file in which it stands, both included.
    Lines(usize, usize),
    /// A place of the documents of a file; of any file where none is named.
    Listed { file: Option<String>, place: String },
}

impl Suppression {
    pub(super) fn reaches(&self, finding: &Finding, documents: &[Document]) -> bool {
        let Some(place) = &finding.place else { return false };
        match &self.reach {
            Reach::Lines(first, last) => {
                let line = place.start().line;
                place.source.name() == self.place.source.name() && (*first..=*last).contains(&line)
            }
            Reach::Listed { file, place: within } => {
                let name = place.source.name();
                let is_file = file.as_deref().is_none_or(|file| ends_with(name, file));
                let of_file = documents.iter().filter(|document| document.source.name() == name);
                is_file && of_file.into_iter().any(|document| document.has(within, place))
            }
        }
    }
}

/// Whether a path ends in the parts of another.
fn ends_with(path: &str, end: &str) -> bool {
    std::path::Path::new(path).ends_with(end.trim_start_matches("./"))
}

/// The kind that is meant, if it may be suppressed.
pub(super) fn suppressible(number: &str) -> Result<&'static str, String> {
    match by_number(number) {
        None => Err(format!("`{number}` is no code of a finding")),
        Some(code) if code.level == Level::Error => Err(format!("{} is an error, and errors stay", code.number)),
        Some(code) => Ok(code.number),
    }
}
