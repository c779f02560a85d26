//! Which findings are known and borne, and why?
//!
//! A comment beside the place says so, or a file where JSON has no comments. Each says a reason, and one that suppresses
//! nothing is a finding itself: it would hide the next of its kind.

mod comment;
mod listed;

use std::sync::Arc;

use crate::{
    codes::{by_number, suppression as codes},
    finding::{Finding, Level},
    input::{document::Document, tree::Tree},
    source::{Place, Source},
};

pub use self::listed::read_list;

/// What says that some findings are borne.
#[derive(Debug)]
pub struct Suppression {
    /// Where it stands.
    place: Place,
    /// Which kind.
    number: &'static str,
    /// What it reaches.
    reach: Reach,
    /// Why.
    because: String,
}

/// What a suppression reaches.
#[derive(Debug)]
enum Reach {
    /// Lines of the file in which it stands, both included.
    Lines(usize, usize),
    /// A place of the documents of a file; of any file where none is named.
    Listed { file: Option<String>, place: String },
}

/// All suppressions in comments of these files; what is wrong in them is added to the findings.
pub fn in_comments(files: &[(Arc<Source>, Vec<Arc<Tree>>)], findings: &mut Vec<Finding>) -> Vec<Suppression> {
    files
        .iter()
        .flat_map(|(source, trees)| comment::read(source, trees, findings))
        .collect()
}

/// Takes out what is borne, and adds what bears nothing. Errors stay.
pub fn apply(suppressions: &[Suppression], documents: &[Document], findings: &mut Vec<Finding>) -> usize {
    let mut used = vec![false; suppressions.len()];
    let before = findings.len();
    findings.retain(|finding| {
        let borne = suppressions.iter().zip(&mut used).filter(|(suppression, _)| {
            finding.level < Level::Error
                && suppression.number == finding.code.number
                && suppression.reaches(finding, documents)
        });
        let mut is_borne = false;
        for (_, used) in borne {
            *used = true;
            is_borne = true;
        }
        !is_borne
    });
    let borne = before.saturating_sub(findings.len());
    for (suppression, _) in suppressions.iter().zip(&used).filter(|(_, used)| !**used) {
        let sentence = format!(
            "nothing of {} is found here (suppressed because {})",
            suppression.number, suppression.because
        );
        let finding = Finding::new(&codes::UNUSED, suppression.place.clone(), sentence);
        findings.push(finding.right("take it out: it would hide the next of its kind"));
    }
    borne
}

impl Suppression {
    fn reaches(&self, finding: &Finding, documents: &[Document]) -> bool {
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
fn suppressible(number: &str) -> Result<&'static str, String> {
    match by_number(number) {
        None => Err(format!("`{number}` is no code of a finding")),
        Some(code) if code.level == Level::Error => Err(format!("{} is an error, and errors stay", code.number)),
        Some(code) => Ok(code.number),
    }
}
