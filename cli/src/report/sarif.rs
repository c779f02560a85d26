//! For code scanning: SARIF 2.1.0, as far as a linter needs it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    as_json::as_json,
    finding::{Code, Finding},
    report::{escape::uri, outcome::Report},
    source::Place,
    visible::visible,
};

#[derive(Serialize)]
struct Log {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    tool: Tool,
    column_kind: &'static str,
    results: Vec<Outcome>,
}

#[derive(Serialize)]
struct Tool {
    driver: Driver,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver {
    name: &'static str,
    semantic_version: &'static str,
    information_uri: &'static str,
    rules: Vec<Rule>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    id: &'static str,
    name: &'static str,
    short_description: Text,
    full_description: Text,
    help: Text,
    default_configuration: Configuration,
}

#[derive(Serialize)]
struct Configuration {
    level: &'static str,
}

#[derive(Serialize)]
struct Text {
    text: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    rule_id: &'static str,
    level: &'static str,
    message: Text,
    locations: Vec<Location>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related_locations: Vec<Location>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<usize>,
    physical_location: Physical,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Text>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Physical {
    artifact_location: Artifact,
    region: Region,
}

#[derive(Serialize)]
struct Artifact {
    uri: String,
}

/// Lines and columns from 1, columns in characters, the end exclusive.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    start_line: usize,
    start_column: usize,
    end_line: usize,
    end_column: usize,
}

pub(super) fn render(report: &Report) -> String {
    let codes: BTreeMap<_, _> = report
        .findings
        .iter()
        .map(|finding| (finding.code.number, finding.code))
        .collect();
    let log = Log {
        schema: "https://json.schemastore.org/sarif-2.1.0.json",
        version: "2.1.0",
        runs: [Run {
            tool: Tool {
                driver: Driver {
                    name: "svidgate",
                    semantic_version: env!("CARGO_PKG_VERSION"),
                    information_uri: env!("CARGO_PKG_REPOSITORY"),
                    rules: codes.into_values().map(rule).collect(),
                },
            },
            column_kind: "unicodeCodePoints",
            results: report.findings.iter().map(outcome).collect(),
        }],
    };
    as_json(&log)
}

fn rule(code: &'static Code) -> Rule {
    let text = |text: &str| Text { text: text.to_owned() };
    Rule {
        id: code.number,
        name: code.number,
        short_description: text(code.title),
        full_description: text(code.why),
        help: text(code.mend),
        default_configuration: Configuration {
            level: code.level.as_str(),
        },
    }
}

fn outcome(finding: &Finding) -> Outcome {
    let text = match &finding.right {
        Some(right) => format!("{} ({right})", finding.sentence),
        None => finding.sentence.clone(),
    };
    let related = finding.also.iter().enumerate().map(|(index, (place, words))| Location {
        id: Some(index),
        message: Some(Text { text: visible(words) }),
        ..location(place)
    });
    Outcome {
        rule_id: finding.code.number,
        level: finding.level.as_str(),
        // Readers make links of `[text](place)` in messages (SARIF 3.11.6), unless the brackets are escaped.
        message: Text {
            text: visible(&text)
                .replace('\\', "\\\\")
                .replace('[', "\\[")
                .replace(']', "\\]"),
        },
        locations: finding.place.iter().map(location).collect(),
        related_locations: related.collect(),
    }
}

fn location(place: &Place) -> Location {
    let (start, end) = (place.start(), place.source.position(place.range.end));
    Location {
        id: None,
        message: None,
        physical_location: Physical {
            artifact_location: Artifact {
                uri: uri(place.source.name()),
            },
            region: Region {
                start_line: start.line,
                start_column: start.column,
                end_line: end.line,
                end_column: end.column,
            },
        },
    }
}
