//! For comments on pull requests.

use crate::report::{escape::markdown, outcome::Report};

/// Most findings in a comment: GitHub takes 65,536 characters.
const MOST: usize = 100;
/// Longest sentence in it, in characters.
const MAX_SENTENCE: usize = 300;

pub(super) fn render(report: &Report) -> String {
    let mut text = format!("### svidgate {}\n\n", report.summary());
    if report.findings.is_empty() {
        return text;
    }
    text.push_str("| level | code | where | what |\n|---|---|---|---|\n");
    for finding in report.findings.iter().take(MOST) {
        let place = finding.place.as_ref().map(|place| {
            let start = place.start();
            format!("{}:{}:{}", place.source.name(), start.line, start.column)
        });
        let right = finding.right.as_ref().map(|right| format!("<br>{}", cut(right)));
        let (level, code) = (finding.level, finding.code.number);
        let place = markdown(&place.unwrap_or_default());
        text.push_str(&format!(
            "| {level} | {code} | {place} | {}{} |\n",
            cut(&finding.sentence),
            right.unwrap_or_default()
        ));
    }
    let left = report.findings.len().saturating_sub(MOST);
    if left > 0 {
        text.push_str(&format!("\nand {left} more\n"));
    }
    text
}

fn cut(text: &str) -> String {
    let short: String = text.chars().take(MAX_SENTENCE).collect();
    let dots = if short.len() < text.len() { "…" } else { "" };
    format!("{}{dots}", markdown(&short))
}
