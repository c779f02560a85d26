//! The report for comments and summaries of CI.

use super::{door::Door, report::Report, text::summary};
use crate::report::escape_markdown;

/// Most doors in a comment: GitHub takes 65,536 characters.
const MOST: usize = 100;

/// The report as a table, with what is to be said of each door.
pub fn render(report: &Report) -> String {
    let mut text = format!("### svidgate {}\n\n", escape_markdown(&summary(report)));
    if !report.doors.is_empty() {
        text.push_str("| verdict | listener | chain | document | what |\n|---|---|---|---|---|\n");
    }
    for door in report.doors.iter().take(MOST) {
        text.push_str(&row(door));
    }
    let left = report.doors.len().saturating_sub(MOST);
    if left > 0 {
        text.push_str(&format!("\nand {left} more\n"));
    }
    for remark in &report.remarks {
        text.push_str(&format!(
            "\n- {} {}\n",
            remark.kind.code().number,
            escape_markdown(&remark.to_string())
        ));
    }
    text
}

fn row(door: &Door) -> String {
    let mut versions: Vec<_> = door
        .gates()
        .filter_map(|gate| gate.document.as_ref().ok())
        .map(|document| document.version.as_str())
        .collect();
    versions.dedup();
    let what: Vec<_> = door
        .remarks
        .iter()
        .map(|remark| format!("{} {}", remark.kind.code().number, escape_markdown(&remark.to_string())))
        .collect();
    format!(
        "| {} | {} | {} | {} | {} |\n",
        door.verdict().as_str(),
        escape_markdown(&door.listener),
        escape_markdown(&door.chain),
        escape_markdown(&versions.join(", ")),
        what.join("<br>")
    )
}
