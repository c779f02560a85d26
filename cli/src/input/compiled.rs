//! What a compiler says about a document, with its lines.

use svidgate_policy::{CompileError, Mistake, analysis::Policy};

use crate::{
    codes::{hops, mistake},
    finding::{Code, Finding},
    input::document::Document,
    source::{Place, Position},
};

/// Compiles a document, as the gate does.
///
/// # Errors
/// A finding for each mistake.
pub fn compile(document: &Document) -> Result<Policy, Vec<Finding>> {
    let repeated = &document.tree().repeated;
    if !repeated.is_empty() {
        // A reader stops at the first, and may not say which it was.
        let finding = |(name, range, first): &(String, _, _)| {
            let place = |range: &std::ops::Range<usize>| Place::new(&document.source, range.clone());
            Finding::new(
                &mistake::REPEATED_MEMBER,
                place(range),
                format!("member `{name}` appears twice"),
            )
            .right("each member once; readers that take the last one, or the first, would read another document")
            .also(place(first), "the first one")
        };
        return Err(repeated.iter().map(finding).collect());
    }
    document
        .compile()
        .map_err(|errors| errors.iter().map(|error| finding(document, error)).collect())
}

fn finding(document: &Document, error: &CompileError) -> Finding {
    let at = |place: Place| Finding::new(code(&error.mistake), place, error.to_string());
    let here = || at(document.place(&error.place));
    let meant = |finding: Finding, name: Option<&str>| match name {
        Some(name) => finding.right(format!("did you mean `{name}`?")),
        None => finding,
    };
    match &error.mistake {
        Mistake::Syntax(text) if error.place.is_empty() => at(syntax_place(document, text)),
        Mistake::RepeatedName { first } => here().also(
            document.place(&format!("rules[{first}].name")),
            "the rule that has the name",
        ),
        Mistake::RepeatedHop { first } => here().also(
            document.place(&format!("hops[{first}].name")),
            "the hop that has the name",
        ),
        Mistake::BringsHop { hop, .. } => {
            here().also(document.place(&format!("hops[{hop}].peers")), "those who bring others")
        }
        Mistake::AmbiguousHop { hop, .. } => here().also(
            document.place(&format!("hops[{hop}].callers")),
            "the callers of the other entry",
        ),
        // The name is what is wrong.
        Mistake::UnknownField { known } => meant(at(document.name_place(&error.place)), nearest(&error.place, known)),
        Mistake::UnknownTrustDomain { name, known } | Mistake::UnknownHop { name, known } => {
            meant(here(), nearest_of(name, known.iter().map(String::as_str)))
        }
        Mistake::Syntax(_)
        | Mistake::TooLarge { .. }
        | Mistake::TooManyPatterns { .. }
        | Mistake::TooMany { .. }
        | Mistake::Missing
        | Mistake::WrongType { .. }
        | Mistake::NotOneOf { .. }
        | Mistake::Empty
        | Mistake::NoDemand { .. }
        | Mistake::Expected(_)
        | Mistake::Id(_)
        | Mistake::Pattern(_)
        | Mistake::HostName(_)
        | Mistake::Bundle(_)
        | Mistake::Certificate(_)
        | Mistake::Signer(_)
        | Mistake::Expression(_)
        | Mistake::TooManyExpressions { .. }
        | Mistake::RepeatedTrustDomain { .. }
        | Mistake::UnusedHop
        | Mistake::OneSidedCapture { .. }
        | Mistake::NeverMatches(_)
        | Mistake::TooManyComparisons { .. } => here(),
    }
}

/// Mistakes of something that stands in no document, in one line.
pub fn in_words(mistakes: &[CompileError]) -> String {
    let words: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    words.join("; ")
}

/// The kind of a mistake.
fn code(mistake: &Mistake) -> &'static Code {
    match mistake {
        Mistake::Syntax(_) => &mistake::SYNTAX,
        Mistake::TooLarge { .. } => &mistake::TOO_LARGE,
        Mistake::TooMany { .. } => &mistake::TOO_MANY,
        Mistake::TooManyPatterns { .. } => &mistake::TOO_MANY_PATTERNS,
        Mistake::UnknownField { .. } => &mistake::UNKNOWN_FIELD,
        Mistake::Missing => &mistake::MISSING,
        Mistake::WrongType { .. } => &mistake::WRONG_TYPE,
        Mistake::NotOneOf { .. } => &mistake::NOT_ONE_OF,
        Mistake::Empty => &mistake::EMPTY,
        Mistake::NoDemand { .. } => &mistake::NO_DEMAND,
        Mistake::Expected(_) => &mistake::EXPECTED,
        Mistake::Id(_) => &mistake::ID,
        Mistake::Pattern(_) => &mistake::PATTERN,
        Mistake::HostName(_) => &mistake::HOST,
        Mistake::Bundle(_) => &mistake::BUNDLE,
        Mistake::Certificate(_) => &mistake::CERTIFICATE,
        Mistake::Signer(_) => &mistake::SIGNER,
        Mistake::Expression(_) => &mistake::EXPRESSION,
        Mistake::TooManyExpressions { .. } => &mistake::TOO_MANY_EXPRESSIONS,
        Mistake::UnknownTrustDomain { .. } => &mistake::UNKNOWN_TRUST_DOMAIN,
        Mistake::RepeatedTrustDomain { .. } => &mistake::REPEATED_TRUST_DOMAIN,
        Mistake::RepeatedName { .. } => &mistake::REPEATED_NAME,
        Mistake::RepeatedHop { .. } => &hops::REPEATED,
        Mistake::UnknownHop { .. } => &hops::UNKNOWN,
        Mistake::UnusedHop => &hops::UNUSED,
        Mistake::BringsHop { .. } => &hops::BRINGS_HOP,
        Mistake::AmbiguousHop { .. } => &hops::AMBIGUOUS,
        Mistake::OneSidedCapture { .. } => &mistake::ONE_SIDED_CAPTURE,
        Mistake::NeverMatches(_) => &mistake::NEVER_MATCHES,
        Mistake::TooManyComparisons { .. } => &mistake::TOO_MANY_COMPARISONS,
    }
}

/// Where a reader of YAML or JSON says that it stopped: its words end in line and column, those of the whole file where
/// that is what was compiled.
fn syntax_place(document: &Document, text: &str) -> Place {
    let number = |word: &str| {
        let (_, behind) = text.rsplit_once(word)?;
        let digits = behind.find(|c: char| !c.is_ascii_digit()).unwrap_or(behind.len());
        behind.get(..digits)?.parse().ok()
    };
    match (number("line "), number("column ")) {
        (Some(line), Some(column)) if document.text() == document.source.text() => {
            let offset = document.source.offset(Position { line, column });
            let line = document.source.line(line);
            Place::new(&document.source, offset..line.end.max(offset))
        }
        (Some(_) | None, Some(_) | None) => document.whole(),
    }
}

fn nearest<'k>(place: &str, known: &[&'k str]) -> Option<&'k str> {
    let name = place.rsplit('.').next()?;
    nearest_of(name, known.iter().copied())
}

/// The known name that a slip may have been meant for.
fn nearest_of<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    /// A slip is a letter or two of those that are there.
    const MOST: usize = 2;
    let name: Vec<char> = name.chars().take(128).collect();
    let near = known.map(|known| (distance(&name, known), known));
    let near = near.filter(|(distance, known)| *distance <= MOST && distance.saturating_mul(2) <= known.len());
    near.min().map(|(_, known)| known)
}

/// How many letters one has to change, add or leave out (Levenshtein).
fn distance(one: &[char], two: &str) -> usize {
    let mut row: Vec<usize> = (0..=one.len()).collect();
    for (line, letter) in two.chars().enumerate() {
        let mut left = line.saturating_add(1);
        let mut diagonal = line;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (above, other) in row.iter_mut().skip(1).zip(one) {
            let changed = diagonal.saturating_add(usize::from(letter != *other));
            diagonal = *above;
            left = changed.min(left.saturating_add(1)).min(above.saturating_add(1));
            *above = left;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::nearest_of;

    #[test]
    fn slip_is_told_from_another_name() {
        let known = || ["name", "effect", "from", "except", "to", "when"].into_iter();
        for (written, meant) in [
            ("nmae", Some("name")),
            ("efect", Some("effect")),
            ("form", Some("from")),
            ("toe", Some("to")),
            ("principals", None),
            ("", None),
        ] {
            assert_eq!(nearest_of(written, known()), meant, "{written}");
        }
    }
}
