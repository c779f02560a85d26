//! `# svidgate: allow SG0301 because agreed with legal`
//!
//! At the end of a line it is about that line. On a line of its own it is about what begins on the next, with all that is
//! indented more.

use std::{ops::Range, sync::Arc};

use crate::{
    codes::suppression as codes,
    finding::Finding,
    input::tree::Tree,
    source::{Place, Source},
    suppression::borne::{Reach, Suppression, suppressible},
};

const WORD: &str = "svidgate:";
const SHAPE: &str = "`# svidgate: allow SG0301 because ...`, with codes parted by commas";

pub(super) fn read(source: &Arc<Source>, trees: &[Arc<Tree>], findings: &mut Vec<Finding>) -> Vec<Suppression> {
    let mut suppressions = Vec::new();
    // Most files have none, and JSON has no comments: `#` is in strings there.
    if !source.text().contains(WORD) {
        return suppressions;
    }
    let mut texts: Vec<&Range<usize>> = trees.iter().flat_map(|tree| tree.text_ranges()).collect();
    texts.sort_by_key(|range| range.start);
    for comment in comments(source, &texts) {
        let place = Place::new(source, comment.range.clone());
        let text = source.slice(comment.range).trim_start_matches('#').trim();
        let Some(said) = text.strip_prefix(WORD) else { continue };
        match parse(said) {
            Ok((numbers, because)) => suppressions.extend(numbers.into_iter().map(|number| Suppression {
                place: place.clone(),
                number,
                reach: Reach::Lines(comment.first, comment.last),
                because: because.to_owned(),
            })),
            Err(what) => {
                let finding = Finding::new(&codes::UNREADABLE, place, what);
                findings.push(finding.right(format!("write it as {SHAPE}")));
            }
        }
    }
    suppressions
}

fn parse(said: &str) -> Result<(Vec<&'static str>, &str), String> {
    let Some(rest) = said.trim().strip_prefix("allow ") else {
        return Err("expected `allow` behind `svidgate:`".to_owned());
    };
    let Some((numbers, because)) = rest.split_once(" because ") else {
        return Err("a suppression needs a reason".to_owned());
    };
    let because = because.trim();
    if because.is_empty() {
        return Err("a suppression needs a reason".to_owned());
    }
    let numbers: Result<Vec<_>, _> = numbers.split(',').map(|number| suppressible(number.trim())).collect();
    Ok((numbers?, because))
}

struct Comment {
    range: Range<usize>,
    /// The lines that it is about.
    first: usize,
    last: usize,
}

/// The comments of a text that have the word: from a `#` that begins a line or stands behind white space, and in no string.
fn comments(source: &Source, texts: &[&Range<usize>]) -> Vec<Comment> {
    let mut comments = Vec::new();
    let lines = source.text().lines().count();
    for number in 1..=lines {
        let line = source.line(number);
        let text = source.slice(line.clone());
        if !text.contains(WORD) {
            continue;
        }
        let begins = text.match_indices('#').map(|(at, _)| at);
        let begin = begins.filter(|at| {
            text.get(..*at)
                .is_some_and(|before| before.trim_end().len() < *at || *at == 0)
        });
        let mut begin = begin.map(|at| line.start.saturating_add(at));
        let Some(start) = begin.find(|at| !is_in_string(*at, texts)) else {
            continue;
        };
        let before = source.slice(line.start..start);
        let (first, last) = if before.trim().is_empty() {
            below(source, number, lines)
        } else {
            (number, number)
        };
        comments.push(Comment {
            range: start..line.end,
            first,
            last,
        });
    }
    comments
}

fn is_in_string(at: usize, texts: &[&Range<usize>]) -> bool {
    // Strings do not overlap, so the last that begins before is the only one that can have it.
    let before = texts.partition_point(|range| range.start <= at);
    let last = before.checked_sub(1).and_then(|index| texts.get(index));
    last.is_some_and(|range| range.contains(&at))
}

/// The next line that is no comment, and those behind it that are indented more.
fn below(source: &Source, number: usize, lines: usize) -> (usize, usize) {
    let text = |number| source.slice(source.line(number));
    let is_filled = |number: &usize| {
        let trimmed = text(*number).trim_start();
        !trimmed.is_empty() && !trimmed.starts_with('#')
    };
    let Some(first) = (number.saturating_add(1)..=lines).find(is_filled) else {
        return (number, number);
    };
    let indent = |number| {
        let text = text(number);
        text.len().saturating_sub(text.trim_start().len())
    };
    let deeper = |number: &usize| !is_filled(number) || indent(*number) > indent(first);
    let last = (first.saturating_add(1)..=lines).take_while(deeper).last();
    (first, last.unwrap_or(first))
}
