//! `svidgate reasons`: what each reason code means, and what to do about it.

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::{
    as_json::as_json,
    exit::Exit,
    options::Output,
    reasons::{About, all, in_words, what_to_do},
    wrap::wrap,
};

/// Prints every reason code that stands in logs, metrics and access logs, with its meaning and what to do. One of them alone:
/// `svidgate explain CODE`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  svidgate reasons
  svidgate reasons --format json | jq -r '.reasons[].code'")]
pub struct Arguments {
    /// How they are printed.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    #[command(flatten)]
    output: Output,
}

/// A format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: one object, to which members are only ever added.
    Json,
}

/// Prints them.
pub fn run(arguments: &Arguments) -> Exit {
    let text = match arguments.format {
        Format::Text => all().map(paragraph).collect::<Vec<_>>().join("\n"),
        Format::Json => {
            let reasons: Vec<_> = all()
                .map(|about| {
                    json!({
                        "code": about.reason.code(),
                        "meaning": in_words(about.means),
                        "advice": what_to_do(about.reason),
                    })
                })
                .collect();
            let whole = json!({"schema": "svidgate/reasons/v1", "reasons": reasons});
            as_json(&whole)
        }
    };
    arguments.output.terminal().print(text);
    Exit::Yes
}

/// Width of the text behind its indentation.
const WIDTH: usize = 74;

fn paragraph(about: About) -> String {
    let indented = |text: &str| wrap(text, WIDTH).replace('\n', "\n      ");
    let advice = what_to_do(about.reason);
    let advice = if advice.is_empty() {
        String::new()
    } else {
        format!("    > {}\n", indented(&advice))
    };
    format!(
        "{}\n      {}\n{advice}",
        about.reason.code(),
        indented(&in_words(about.means))
    )
}
