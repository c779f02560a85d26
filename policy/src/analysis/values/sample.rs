//! Some values that a regular expression matches: its alternatives, and each repetition with few rounds.

use regex_syntax::{
    ParserBuilder,
    hir::{Class, Hir, HirKind, Repetition},
};

/// Most values of an expression, and of each part of it.
const MAX_SAMPLES: usize = 16;
/// Longest value.
const MAX_BYTES: usize = 256;

/// Values of an expression as the document has it.
pub(super) fn samples(expression: &str) -> Vec<String> {
    let parsed = ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .build()
        .parse(expression);
    let values = parsed.map(|hir| of(&hir)).unwrap_or_default();
    let is_shown = |value: &String| !value.contains(char::is_control);
    values
        .into_iter()
        .filter_map(|value| String::from_utf8(value).ok())
        .filter(is_shown)
        .collect()
}

fn of(hir: &Hir) -> Vec<Vec<u8>> {
    let mut values = match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => vec![Vec::new()],
        HirKind::Literal(literal) => vec![literal.0.to_vec()],
        HirKind::Class(class) => of_class(class),
        HirKind::Repetition(repetition) => of_repetition(repetition),
        HirKind::Capture(capture) => of(&capture.sub),
        HirKind::Concat(parts) => parts
            .iter()
            .fold(vec![Vec::new()], |begun, part| joined(&begun, &of(part))),
        HirKind::Alternation(parts) => parts.iter().flat_map(of).collect(),
    };
    values.retain(|value| value.len() <= MAX_BYTES);
    values.truncate(MAX_SAMPLES);
    values
}

fn joined(begun: &[Vec<u8>], rest: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let pairs = begun
        .iter()
        .flat_map(|one| rest.iter().map(move |two| [one.as_slice(), two].concat()));
    pairs
        .filter(|value| value.len() <= MAX_BYTES)
        .take(MAX_SAMPLES)
        .collect()
}

/// A letter and a digit where they are in it, and the ends of its ranges.
fn of_class(class: &Class) -> Vec<Vec<u8>> {
    let ranges: Vec<(u32, u32)> = match class {
        Class::Unicode(class) => class
            .iter()
            .map(|range| (range.start().into(), range.end().into()))
            .collect(),
        Class::Bytes(class) => class
            .iter()
            .map(|range| (range.start().into(), range.end().into()))
            .collect(),
    };
    let is_in = |letter: &char| {
        ranges
            .iter()
            .any(|(from, to)| (*from..=*to).contains(&u32::from(*letter)))
    };
    let usual = ['a', '1', 'Z', '-'].into_iter().filter(is_in);
    let ends = ranges
        .iter()
        .flat_map(|(from, to)| [char::from_u32(*from), char::from_u32(*to)])
        .flatten();
    let letters = usual.chain(ends.filter(char::is_ascii_graphic)).take(MAX_SAMPLES);
    letters.map(|letter| letter.to_string().into_bytes()).collect()
}

/// The fewest rounds, and one and two more.
fn of_repetition(repetition: &Repetition) -> Vec<Vec<u8>> {
    let once = of(&repetition.sub);
    let mut rounds = vec![Vec::new()];
    for _ in 0..repetition.min.min(64) {
        rounds = joined(&rounds, &once);
    }
    let mut values = rounds.clone();
    for more in 1..=2 {
        if repetition
            .max
            .is_none_or(|max| repetition.min.saturating_add(more) <= max)
        {
            rounds = joined(&rounds, &once);
            values.extend(rounds.iter().take(MAX_SAMPLES / 4).cloned());
        }
    }
    // However many alternatives a round has, one with more of them is among the first.
    values.rotate_left(rounds.len().min(1));
    values
}
