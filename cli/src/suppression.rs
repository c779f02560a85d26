//! Which findings are known and borne, and why?
//!
//! A comment beside the place says so, or a file where JSON has no comments. Each says a reason, and one that suppresses
//! nothing is a finding itself: it would hide the next of its kind.

mod borne;
mod comment;
mod listed;

use std::sync::Arc;

use crate::{
    codes::suppression as codes,
    finding::{Finding, Level},
    input::{document::Document, tree::Tree},
    source::Source,
};

pub use self::{borne::Suppression, listed::read_list};

/// All suppressions in comments of these files; what is wrong in them is added to the findings.
pub fn in_comments(files: &[(Arc<Source>, Vec<Arc<Tree>>)], findings: &mut Vec<Finding>) -> Vec<Suppression> {
    files
        .iter()
        .flat_map(|(source, trees)| comment::read(source, trees, findings))
        .collect()
}

/// Takes out what is borne, and adds what bears nothing where all was `looked_through`: in a document with mistakes nothing else
/// is looked for. Errors stay.
pub fn apply(
    suppressions: &[Suppression],
    documents: &[Document],
    looked_through: bool,
    findings: &mut Vec<Finding>,
) -> usize {
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
    let is_idle = |used: bool| looked_through && !used;
    for (suppression, _) in suppressions.iter().zip(&used).filter(|(_, used)| is_idle(**used)) {
        let sentence = format!(
            "nothing of {} is found here (suppressed because {})",
            suppression.number, suppression.because
        );
        let finding = Finding::new(&codes::UNUSED, suppression.place.clone(), sentence);
        findings.push(finding.right("take it out: it would hide the next of its kind"));
    }
    borne
}
