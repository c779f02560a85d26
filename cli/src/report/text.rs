//! For people, as rustc prints it.

use annotate_snippets::{AnnotationKind, Group, Level as Drawn, Origin, Renderer, Snippet};

use crate::{
    finding::{Finding, Level},
    report::outcome::Report,
    source::Place,
    visible::{in_place, visible},
    wrap::wrap,
};

/// How wide it is. Our decision: what a terminal and a page of CI show without breaking lines.
const WIDTH: usize = 80;
/// Longest line that is shown, in bytes. Our decision: of a longer one, as programs write JSON, the place must do.
const MAX_LINE: usize = 16 * 1024;

pub(super) fn render(report: &Report) -> String {
    let renderer = Renderer::styled().term_width(WIDTH);
    let mut text = String::new();
    for finding in &report.findings {
        text.push_str(&renderer.render(&[group(finding)]));
        text.push_str("\n\n");
    }
    text.push_str(&report.summary());
    text.push('\n');
    text
}

fn group(finding: &Finding) -> Group<'_> {
    let level = match finding.level {
        Level::Error => Drawn::ERROR,
        Level::Warning => Drawn::WARNING,
        Level::Note => Drawn::NOTE,
    };
    // `warning[SG0104]: ` stands before the first line.
    let title = wrap(&visible(&finding.sentence), WIDTH.saturating_sub(17));
    let mut group = Group::with_title(level.primary_title(title).id(finding.code.number));
    if let Some(place) = &finding.place {
        group = shown(group, place, None);
    }
    for (place, words) in &finding.also {
        group = shown(group, place, Some(words));
    }
    if let Some(right) = &finding.right {
        group = group.element(Drawn::HELP.message(wrap(&visible(right), WIDTH.saturating_sub(15))));
    }
    group
}

/// A place with its line.
fn shown<'f>(group: Group<'f>, place: &'f Place, words: Option<&'f String>) -> Group<'f> {
    let (start, range) = (place.start(), place.first_line());
    let line = place.source.line(start.line);
    let name = visible(place.source.name());
    if line.len() > MAX_LINE {
        return group.element(Origin::path(name).line(start.line).char_column(start.column));
    }
    let text = |range| in_place(place.source.slice(range));
    let before = text(line.start..range.start);
    let marked = text(range.clone());
    let behind = text(range.end..line.end.max(range.end));
    let marks = before.len()..before.len().saturating_add(marked.len());
    let kind = match words {
        Some(_) => AnnotationKind::Context,
        None => AnnotationKind::Primary,
    };
    let annotation = kind.span(marks).label(words.map(|words| visible(words)));
    let snippet = Snippet::source(format!("{before}{marked}{behind}"));
    group.element(snippet.path(name).line_start(start.line).annotation(annotation))
}
