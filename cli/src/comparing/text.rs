//! What differs, for people: lines for a terminal, and a list for a comment on a pull request.

use std::fmt::Write as _;

use svidgate_policy::analysis::{Cause, Change, Changes, LeftOut, Policy, Shown};

use crate::{comparing::verdict::Compared, report::escape_markdown, source::Place, visible::visible, wrap::wrap};

/// How wide text is. Our decision: what a terminal and a page of CI show without breaking lines.
const WIDTH: usize = 80;
/// Most lines of a comment. GitHub takes 65,536 characters, and a line of ours has some hundreds.
const MOST_LINES: usize = 100;
/// Longest line of a comment, in characters. Names may have many.
const MAX_LINE: usize = 400;

/// All of it.
pub fn text(compared: &Compared, says_which: bool) -> String {
    let mut text = String::new();
    let (old, new) = (&compared.pair.old, &compared.pair.new);
    if says_which {
        let names = [&old.name, &new.name].map(|name| visible(name));
        let [of_old, of_new] = names;
        let _ = match (&old.document, &new.document) {
            (None, _) => writeln!(text, "{of_new} is new, and compared with what allows nothing"),
            (_, None) => writeln!(text, "{of_old} is gone, and compared with what allows nothing"),
            (Some(_), Some(_)) => writeln!(text, "{of_old} -> {of_new}"),
        };
    }
    let comparison = &compared.comparison;
    let Changes {
        gains,
        losses,
        undecided,
        faults,
    } = &comparison.in_force;
    changes(&mut text, "gained", gains, (&new.policy, &old.policy));
    changes(&mut text, "lost", losses, (&old.policy, &new.policy));
    for missing in &compared.missing {
        let _ = writeln!(text, "not there  {}", not_there(missing.is_gain, &missing.place));
    }
    if let Some((from, to)) = comparison.mode {
        let _ = writeln!(text, "mode      {from:?} becomes {to:?}");
    }
    for member in &comparison.not_compared {
        let _ = writeln!(text, "not compared: `{}` differs", visible(&member.member));
    }
    for undecided in undecided {
        let (allows, refuses) = sides(undecided.is_gain, compared);
        let cause = cause(&undecided.cause, allows, refuses);
        let _ = writeln!(text, "undecided: {cause} ({:?})", undecided.why);
    }
    for fault in faults {
        let _ = writeln!(
            text,
            "a fault of ours: {} is answered otherwise than the comparison says; please report it",
            visible(&fault.witness.to_string())
        );
    }
    if let Some(with) = comparison.with_dry_run.as_ref().filter(|with| !with.is_none()) {
        let _ = writeln!(
            text,
            "with the rules in a dry run: {} gains, {} losses, {} undecided",
            with.gains.len(),
            with.losses.len(),
            with.undecided.len()
        );
    }
    if undecided.is_empty() && faults.is_empty() && !compared.differs_unseen() {
        let _ = writeln!(text, "nothing else changes{}", but_for(&comparison.left_out));
    }
    text
}

/// The same in lines that a terminal and a page of CI do not break.
pub fn narrow(text: &str) -> String {
    let lines = text.lines().map(|line| {
        if line.chars().count() <= WIDTH {
            return format!("{line}\n");
        }
        let words = line.trim_start();
        let depth = line.len().saturating_sub(words.len());
        let indent = " ".repeat(depth);
        // Behind the first line a little further in, so that it is seen to be the same.
        let wrapped = wrap(words, WIDTH.saturating_sub(depth.saturating_add(2)));
        format!("{indent}{}\n", wrapped.replace('\n', &format!("\n{indent}  ")))
    });
    lines.collect()
}

/// The same as Markdown.
pub fn markdown(text: &str) -> String {
    let lines = text.lines().take(MOST_LINES).map(|line| {
        let depth = line.len().saturating_sub(line.trim_start().len());
        let words = line.trim_start();
        let short: String = words.chars().take(MAX_LINE).collect();
        let dots = if short.len() < words.len() { "…" } else { "" };
        format!("{}- {}{dots}\n", " ".repeat(depth), escape_markdown(&short))
    });
    let mut markdown: String = lines.collect();
    let left = text.lines().count().saturating_sub(MOST_LINES);
    if left > 0 {
        let _ = writeln!(markdown, "\nand {left} more lines");
    }
    markdown
}

/// What is expected and is not there, with its place.
pub(super) fn not_there(is_gain: bool, place: &Place) -> String {
    let start = place.start();
    let what = if is_gain { "gain" } else { "loss" };
    let name = visible(place.source.name());
    format!("a {what} that {name}:{}:{} expects", start.line, start.column)
}

/// What "nothing changes" does not speak of.
fn but_for(left_out: &[LeftOut]) -> String {
    let words = left_out.iter().map(|left_out| match left_out {
        LeftOut::TooCostly => "requests refused for their cost",
    });
    let words: Vec<&str> = words.collect();
    format!(" (not looked at: {})", words.join(", "))
}

fn changes(text: &mut String, word: &str, changes: &[Change], (allows, refuses): (&Policy, &Policy)) {
    if changes.is_empty() {
        let _ = writeln!(text, "{word:<9} nothing");
    }
    for change in changes {
        let _ = writeln!(text, "{word:<9} by {}", cause(&change.cause, allows, refuses));
        for shown in &change.regions {
            let _ = writeln!(text, "    {}", visible(&shown.region.to_string()));
            let _ = writeln!(text, "      for example {}", visible(&shown.witness.to_string()));
            let _ = writeln!(text, "      {}", answers(word == "gained", shown));
        }
        if change.has_more {
            let _ = writeln!(text, "    and more");
        }
    }
}

/// `deny rule.none_matched -> allow rule.allowed`, and through which hop of the document that allows it.
pub(super) fn answers(is_gain: bool, shown: &Shown) -> String {
    let (allowed, refused) = (shown.allowed.reason.code(), shown.refused.reason.code());
    let hop = shown.allowed.hop.as_ref();
    let hop = hop.map(|hop| format!(" through hop {hop}")).unwrap_or_default();
    if is_gain {
        format!("deny {refused} -> allow {allowed}{hop}")
    } else {
        format!("allow {allowed}{hop} -> deny {refused}")
    }
}

/// The policy that allows what is gained or lost, and the one that refuses it.
pub(super) fn sides(is_gain: bool, compared: &Compared) -> (&Policy, &Policy) {
    let (old, new) = (&compared.pair.old.policy, &compared.pair.new.policy);
    if is_gain { (new, old) } else { (old, new) }
}

/// What makes a difference, by the names of the document that has it.
pub(super) fn cause(cause: &Cause, allows: &Policy, refuses: &Policy) -> String {
    let name = |policy: &Policy, place: usize| policy.rule_names().nth(place).unwrap_or_default().to_owned();
    match cause {
        Cause::Allow(place) => format!("allow rule {}", name(allows, *place)),
        Cause::Deny(place) => format!("deny rule {}, which one of them has", name(refuses, *place)),
        Cause::Scope(trust_domain) => format!("the scope of {trust_domain}"),
        Cause::Expiry(trust_domain, at) => format!("the end of the relationship with {trust_domain} at {at}"),
        Cause::Unknown(trust_domain) => format!("the relationship with {trust_domain}"),
        Cause::Hop(id) => format!("what brings the requests of others, and makes none: {}", visible(id)),
        Cause::Revoked(id) => format!("what is revoked: {}", visible(id)),
    }
}
