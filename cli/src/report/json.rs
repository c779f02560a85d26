//! For programs.

use serde::Serialize;

use crate::{as_json::as_json, finding::Finding, report::outcome::Report, source::Place};

#[derive(Serialize)]
struct Whole<'r> {
    /// `svidgate/COMMAND/v1`. Members are added, never taken away or given another meaning.
    schema: String,
    files: &'r [String],
    findings: Vec<Found<'r>>,
    summary: String,
    passed: bool,
}

#[derive(Serialize)]
struct Found<'r> {
    code: &'static str,
    title: &'static str,
    level: &'static str,
    message: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<Where<'r>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    also: Vec<Also<'r>>,
    fails: bool,
}

#[derive(Serialize)]
struct Also<'r> {
    message: &'r str,
    place: Where<'r>,
}

/// Lines and columns from 1, columns in characters, ends exclusive; offsets in bytes.
#[derive(Serialize)]
struct Where<'r> {
    file: &'r str,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
    start_byte: usize,
    end_byte: usize,
}

pub(super) fn render(report: &Report) -> String {
    let whole = Whole {
        schema: format!("svidgate/{}/v1", report.command),
        files: &report.files,
        findings: report.findings.iter().map(|finding| found(report, finding)).collect(),
        summary: report.summary(),
        passed: !report.findings.iter().any(|finding| report.fails(finding)),
    };
    as_json(&whole)
}

fn found<'r>(report: &Report, finding: &'r Finding) -> Found<'r> {
    Found {
        code: finding.code.number,
        title: finding.code.title,
        level: finding.level.as_str(),
        message: &finding.sentence,
        help: finding.right.as_deref(),
        place: finding.place.as_ref().map(position),
        also: finding
            .also
            .iter()
            .map(|(place, message)| Also {
                message,
                place: position(place),
            })
            .collect(),
        fails: report.fails(finding),
    }
}

fn position(place: &Place) -> Where<'_> {
    let (start, end) = (place.start(), place.source.position(place.range.end));
    Where {
        file: place.source.name(),
        line: start.line,
        column: start.column,
        end_line: end.line,
        end_column: end.column,
        start_byte: place.range.start,
        end_byte: place.range.end,
    }
}
