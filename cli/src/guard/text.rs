//! The report for people: a block for each listener, a line for each door, what is to be said below it.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::{
    door::Door,
    plugin::Gate,
    remark::{Effect, Remark, Verdict},
    report::Report,
};
use crate::{report::counted, visible::visible, wrap::wrap};

/// How wide it is. Our decision: what a terminal and a page of CI show without breaking lines.
const WIDTH: usize = 80;
/// How many digits of a digest are shown. Our decision: those of many thousand documents differ in them.
const DIGITS: usize = 12;

/// The report, with colour, which the terminal takes away where it is not shown.
pub fn render(report: &Report) -> String {
    let mut text = String::new();
    let mut listener = None;
    for door in &report.doors {
        if listener != Some((&door.listener, &door.address)) {
            listener = Some((&door.listener, &door.address));
            let separator = if text.is_empty() { "" } else { "\n" };
            let at = if door.address.is_empty() {
                String::new()
            } else {
                format!(" at {}", visible(&door.address))
            };
            line(
                &mut text,
                format_args!("{separator}listener {}{at}", visible(&name(&door.listener))),
            );
        }
        self::door(&mut text, door);
    }
    if !report.remarks.is_empty() {
        let separator = if text.is_empty() { "" } else { "\n" };
        line(&mut text, format_args!("{separator}the whole"));
        remarks(&mut text, &report.remarks);
    }
    line(&mut text, format_args!("\n{}", summary(report)));
    text
}

/// One line that says how it went.
pub fn summary(report: &Report) -> String {
    let verdicts = [Verdict::Open, Verdict::NotKnown, Verdict::Shut, Verdict::Guarded];
    let counts = verdicts.map(|verdict| (verdict, report.count(verdict)));
    let found = counts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(verdict, count)| format!("{count} {}", verdict.as_str()));
    let found = found.collect::<Vec<_>>().join(", ");
    let of = if report.in_force {
        "in force in the running Envoy"
    } else if report.of_running {
        "as configured in a running Envoy"
    } else {
        "as configured in a file"
    };
    let outbound = match report.outbound.len() {
        0 => String::new(),
        count => format!("; {} for what goes out not judged", counted(count, "listener")),
    };
    let doors = counted(report.doors.len(), "door");
    if found.is_empty() {
        format!("guard: {doors}, {of}{outbound}")
    } else {
        format!("guard: {doors} ({found}), {of}{outbound}")
    }
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a text does not fail.
    let _ = writeln!(text, "{line}");
}

fn name(name: &str) -> String {
    if name.is_empty() {
        "without a name".to_owned()
    } else {
        name.to_owned()
    }
}

fn style(verdict: Verdict) -> Style {
    let color = match verdict {
        Verdict::Guarded => AnsiColor::Green,
        Verdict::Shut => AnsiColor::Cyan,
        Verdict::NotKnown => AnsiColor::Yellow,
        Verdict::Open => AnsiColor::Red,
    };
    color.on_default().bold()
}

fn door(text: &mut String, door: &Door) {
    let verdict = door.verdict();
    let style = style(verdict);
    let routes = door
        .routes
        .map(|count| format!(", {}", counted(count, "route")))
        .unwrap_or_default();
    let lock = if door.lock { ", locked behind" } else { "" };
    let behind = format!("{}{routes}{lock}", door.behind.as_str());
    line(
        text,
        format_args!(
            "  {style}{:<11}{style:#} {} ({})",
            verdict.as_str(),
            visible(&door.chain),
            visible(&behind)
        ),
    );
    gates(text, door);
    remarks(text, &door.remarks);
}

/// Each filter of ours: with one line where both have one document.
fn gates(text: &mut String, door: &Door) {
    let mut shown: Vec<(Vec<String>, String)> = Vec::new();
    for gate in door.gates() {
        let what = described(gate);
        match shown.iter_mut().find(|(_, other)| *other == what) {
            Some((names, _)) => names.push(gate.filter.clone()),
            None => shown.push((vec![gate.filter.clone()], what)),
        }
    }
    for (names, what) in shown {
        paragraph(text, &format!("{}: {what}", names.join(", ")));
    }
}

/// A filter's document, and how it is set up.
fn described(gate: &Gate) -> String {
    let document = match &gate.document {
        Ok(document) => {
            let digits: String = document.digest.chars().take(DIGITS).collect();
            let version = if document.version.is_empty() {
                "without a version".to_owned()
            } else {
                format!("version {}", document.version)
            };
            format!("{version} sha256 {digits}")
        }
        Err(_) => "no document that can be read".to_owned(),
    };
    let vm = if gate.vm_id.is_empty() {
        String::new()
    } else {
        format!(", vm_id {}", gate.vm_id)
    };
    format!("{document}, {}{vm}", gate.failure.as_str())
}

fn remarks(text: &mut String, remarks: &[Remark]) {
    let mut sorted: Vec<_> = remarks.iter().collect();
    sorted.sort_by_key(|remark| std::cmp::Reverse(remark.kind.effect()));
    for remark in sorted {
        let word = match remark.kind.effect() {
            Effect::Opens => "open",
            Effect::Doubt => "not known",
            Effect::Shuts => "shut",
            Effect::Warning => "warning",
            Effect::Note => "note",
        };
        paragraph(
            text,
            &format!(
                "{} {word}: {remark}. Right: {}.",
                remark.kind.code().number,
                remark.kind.right()
            ),
        );
    }
}

/// A paragraph below a door.
fn paragraph(text: &mut String, words: &str) {
    const INDENT: &str = "              ";
    let wrapped = wrap(&visible(words), WIDTH.saturating_sub(INDENT.len()));
    for wrapped in wrapped.lines() {
        line(text, format_args!("{INDENT}{wrapped}"));
    }
}
