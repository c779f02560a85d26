//! For GitHub Actions: workflow commands, which become annotations, and the summary of a step.

use std::{fs::OpenOptions, io::Write as _, path::Path};

use crate::{
    finding::{Finding, Level},
    report::{
        escape::{github_message, github_property},
        outcome::Report,
    },
};

pub(super) fn render(report: &Report) -> String {
    let mut text: String = report.findings.iter().map(command).collect();
    text.push_str(&github_message(&report.summary()));
    text.push('\n');
    text
}

fn command(finding: &Finding) -> String {
    let word = match finding.level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Note => "notice",
    };
    let title = github_property(&format!("{} {}", finding.code.number, finding.code.title));
    let place = finding.place.as_ref().map(|place| {
        let (start, end) = (place.start(), place.end());
        format!(
            "file={},line={},col={},endLine={},endColumn={},",
            github_property(place.source.name()),
            start.line,
            start.column,
            end.line,
            end.column
        )
    });
    let text = match &finding.right {
        Some(right) => format!("{}; {right}", finding.sentence),
        None => finding.sentence.clone(),
    };
    format!(
        "::{word} {}title={title}::{}\n",
        place.unwrap_or_default(),
        github_message(&text)
    )
}

/// Adds a report to the summary of a step, a file that GITHUB_STEP_SUMMARY names.
///
/// # Errors
/// When it cannot be written.
pub fn step_summary(markdown: &str, file: &Path) -> std::io::Result<()> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)?
        .write_all(markdown.as_bytes())
}
