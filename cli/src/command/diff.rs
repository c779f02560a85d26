//! `svidgate diff`: who gains what, and who loses what, by another policy?

use std::{fmt::Write as _, path::PathBuf};

use clap::Args;
use serde_json::{Value, json};
use svidgate_policy::analysis::{Bounds, Cause, Change, Changes, Comparison, LeftOut, Policy, compare};

use crate::{
    command::policy::read,
    exit::Exit,
    options::{Moment, Output},
    report::escape_markdown,
    visible::visible,
};

/// Says who gains what and who loses what between two policies, each with a request that both were asked about.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  svidgate diff old.yaml new.yaml
  svidgate diff old.yaml new.yaml --fail-on gains --format markdown")]
pub struct Arguments {
    /// The policy as it is.
    #[arg(value_name = "OLD")]
    pub old: PathBuf,
    /// The policy as it will be.
    #[arg(value_name = "NEW")]
    pub new: PathBuf,
    /// For which changes the answer is no.
    #[arg(long, value_enum, default_value_t, value_name = "WHICH")]
    pub fail_on: FailOn,
    #[command(flatten)]
    moment: Moment,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    #[command(flatten)]
    output: Output,
}

/// Changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum FailOn {
    /// Somebody may do more, or less.
    #[default]
    Any,
    /// Somebody may do more.
    Gains,
    /// Somebody may do less.
    Losses,
}

/// A format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
    /// For comments on pull requests.
    Markdown,
}

/// Compares.
pub fn run(arguments: &Arguments) -> Exit {
    let terminal = arguments.output.terminal();
    let read = |path| read(path, terminal);
    let (old, new) = match (read(&arguments.old), read(&arguments.new)) {
        (Ok(old), Ok(new)) => (old.policy, new.policy),
        (Err(exit), _) | (_, Err(exit)) => return exit,
    };
    let comparison = compare(&old, &new, arguments.moment.time(), Bounds::default());
    let told = Told {
        old: &old,
        new: &new,
        comparison: &comparison,
    };
    terminal.print(match arguments.format {
        Format::Text => told.text(),
        Format::Json => told.json(),
        Format::Markdown => told.markdown(),
    });
    arguments.output.exit(exit(&comparison, arguments.fail_on))
}

/// What was found says no; what was not decided, or not compared and may decide, is never a yes.
fn exit(comparison: &Comparison, fail_on: FailOn) -> Exit {
    let Changes {
        gains,
        losses,
        undecided,
        faults,
    } = &comparison.in_force;
    let changed = match fail_on {
        FailOn::Any => !gains.is_empty() || !losses.is_empty(),
        FailOn::Gains => !gains.is_empty(),
        FailOn::Losses => !losses.is_empty(),
    };
    // A document that begins to be enforced takes from those whom it only recorded, and one that ends gives to all.
    let changed = changed || comparison.mode.is_some();
    let unsure = !undecided.is_empty() || comparison.not_compared.iter().any(|member| member.decides);
    match (faults.is_empty(), changed, unsure) {
        (false, _, _) | (true, false, true) => Exit::Undecided,
        (true, true, _) => Exit::No,
        (true, false, false) => Exit::Yes,
    }
}

struct Told<'a> {
    old: &'a Policy,
    new: &'a Policy,
    comparison: &'a Comparison,
}

impl Told<'_> {
    fn text(&self) -> String {
        let mut text = String::new();
        let Changes {
            gains,
            losses,
            undecided,
            faults,
        } = &self.comparison.in_force;
        self.changes(&mut text, "gained", gains, (self.new, self.old));
        self.changes(&mut text, "lost", losses, (self.old, self.new));
        if let Some((from, to)) = self.comparison.mode {
            let _ = writeln!(text, "mode      {from:?} becomes {to:?}");
        }
        for member in &self.comparison.not_compared {
            let _ = writeln!(text, "not compared: `{}` differs", visible(&member.member));
        }
        for undecided in undecided {
            let (allows, refuses) = if undecided.is_gain {
                (self.new, self.old)
            } else {
                (self.old, self.new)
            };
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
        if let Some(with) = self.comparison.with_dry_run.as_ref().filter(|with| !with.is_none()) {
            let _ = writeln!(
                text,
                "with the rules in a dry run: {} gains, {} losses, {} undecided",
                with.gains.len(),
                with.losses.len(),
                with.undecided.len()
            );
        }
        let is_certain = undecided.is_empty() && faults.is_empty();
        if is_certain && !self.comparison.not_compared.iter().any(|member| member.decides) {
            let _ = writeln!(text, "nothing else changes{}", self.but_for());
        }
        text
    }

    /// What "nothing changes" does not speak of.
    fn but_for(&self) -> String {
        let words = self.comparison.left_out.iter().map(|left_out| match left_out {
            LeftOut::TooCostly => "requests that are refused for what they cost",
        });
        let words: Vec<&str> = words.collect();
        format!(" (not looked at: {})", words.join(", "))
    }

    fn changes(&self, text: &mut String, word: &str, changes: &[Change], (allows, refuses): (&Policy, &Policy)) {
        if changes.is_empty() {
            let _ = writeln!(text, "{word:<9} nothing");
        }
        for change in changes {
            let _ = writeln!(text, "{word:<9} by {}", cause(&change.cause, allows, refuses));
            for shown in &change.regions {
                let _ = writeln!(text, "    {}", visible(&shown.region.to_string()));
                let _ = writeln!(text, "      for example {}", visible(&shown.witness.to_string()));
                let (allowed, refused) = (shown.allowed.reason.code(), shown.refused.reason.code());
                let _ = match word {
                    "gained" => writeln!(text, "      deny {refused} -> allow {allowed}"),
                    _ => writeln!(text, "      allow {allowed} -> deny {refused}"),
                };
            }
            if change.has_more {
                let _ = writeln!(text, "    and more");
            }
        }
    }

    fn json(&self) -> String {
        let list = |changes: &[Change], allows: &Policy, refuses: &Policy| -> Vec<Value> {
            let shown = |change: &Change| {
                let regions: Vec<Value> = change
                    .regions
                    .iter()
                    .map(|shown| {
                        json!({
                            "region": shown.region.to_string(),
                            "example": shown.witness.to_string(),
                            "allowed": { "reason": shown.allowed.reason.code(), "rule": shown.allowed.rule },
                            "refused": { "reason": shown.refused.reason.code(), "rule": shown.refused.rule },
                        })
                    })
                    .collect();
                json!({
                    "cause": cause(&change.cause, allows, refuses),
                    "regions": regions,
                    "has_more": change.has_more,
                })
            };
            changes.iter().map(shown).collect()
        };
        let in_force = &self.comparison.in_force;
        let not_compared: Vec<&str> = self
            .comparison
            .not_compared
            .iter()
            .map(|member| member.member.as_str())
            .collect();
        let whole = json!({
            "schema": "svidgate/diff/v1",
            "gained": list(&in_force.gains, self.new, self.old),
            "lost": list(&in_force.losses, self.old, self.new),
            "undecided": in_force.undecided.len(),
            "faults": in_force.faults.len(),
            "mode_changes": self.comparison.mode.is_some(),
            "not_compared": not_compared,
            "nothing_changes": in_force.is_none() && self.comparison.mode.is_none() && not_compared.is_empty(),
        });
        format!("{whole:#}\n")
    }

    fn markdown(&self) -> String {
        let lines = self.text();
        let lines = lines.lines().map(|line| {
            let depth = line.len().saturating_sub(line.trim_start().len());
            format!("{}- {}\n", " ".repeat(depth), escape_markdown(line.trim_start()))
        });
        lines.collect()
    }
}

/// What makes a difference, by the names of the document that has it.
fn cause(cause: &Cause, allows: &Policy, refuses: &Policy) -> String {
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
