//! `svidgate explain`: why is a request answered so, and what would have had to be otherwise?

use clap::Args;
use svidgate_policy::{
    Reason, SvidError,
    analysis::explain::{Explanation, Which},
};

use crate::{
    as_json::as_json,
    codes,
    command::policy::{Circumstances, Through, Who, read, request_and_policy},
    exit::Exit,
    explaining::Explained,
    identity::{Caller, Nobody},
    options::{Moment, Output},
    reasons,
    terminal::Terminal,
    verifying::steps,
    visible::visible,
    wrap::wrap,
};

/// Says why a request is answered so, and which rules are near to answering otherwise; or what a code means.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  svidgate explain --id spiffe://prod.example/ns/shop/sa/api POST /orders/1 policy.yaml
  svidgate explain --id spiffe://partner.example/ns/billing --via partner-edge GET /invoices/1 policy.yaml
  svidgate explain SG0104")]
pub struct Arguments {
    /// METHOD /path POLICY, or the code of a finding or of a reason.
    #[arg(required = true, value_name = "REQUEST POLICY")]
    pub words: Vec<String>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    through: Through,
    #[command(flatten)]
    circumstances: Circumstances,
    /// Show every rule, and not those alone that speak of the id.
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    moment: Moment,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    #[command(flatten)]
    output: Output,
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

/// Explains.
pub fn run(arguments: &Arguments) -> Exit {
    let terminal = arguments.output.terminal();
    if let [code] = arguments.words.as_slice() {
        return page(code, terminal);
    }
    match explain(arguments, terminal) {
        Ok(()) => Exit::Yes,
        Err(exit) => exit,
    }
}

/// What a code means.
fn page(code: &str, terminal: Terminal) -> Exit {
    let reason = Reason::ALL.into_iter().find(|reason| reason.code() == code);
    match (codes::by_number(code), reason) {
        (Some(code), _) => terminal.print(codes::page(code)),
        (None, Some(reason)) => terminal.print(reasons::page(reason)),
        (None, None) => {
            terminal.trouble(format_args!(
                "{code}: no code of a finding (SG0104) or of a reason (rule.denied); to explain a request write \
                 METHOD /path POLICY"
            ));
            return Exit::BadInput;
        }
    }
    Exit::Yes
}

fn explain(arguments: &Arguments, terminal: Terminal) -> Result<(), Exit> {
    let bad_input = |what: String| {
        terminal.trouble(what);
        Exit::BadInput
    };
    let (request, path) = request_and_policy(&arguments.words).map_err(bad_input)?;
    let asked = arguments.circumstances.asked(&request).map_err(bad_input)?;
    arguments.through.check(&asked).map_err(bad_input)?;
    let coming = arguments.through.coming(arguments.who.caller().map_err(bad_input)?);
    let read = read(&path, terminal)?;
    let now = arguments.moment.time();
    let refused = |shown: Option<&Caller>, error: &SvidError, why: String| {
        let reason = error.reason();
        terminal.print(match arguments.format {
            Format::Text => refused_text(shown, reason, &why),
            Format::Json => refused_json(reason, &why),
            Format::Markdown => format!("**deny {}**\n", reason.code()),
        });
        Ok(())
    };
    let way = match coming.identify(&read.policy, now) {
        Ok(way) => way,
        Err(Nobody::Caller(error)) => return refused(Some(&coming.caller), &error, error.to_string()),
        Err(Nobody::Hop(error)) => return refused(None, &error, format!("the hop: {error}")),
        Err(Nobody::NoWay(what)) => return Err(bad_input(format!("--via: {}", visible(&what)))),
    };
    let which = if arguments.all { Which::All } else { Which::OfTheId };
    // Near misses are among all rules.
    let explanation = asked.show(|request| Explanation::of(&read.policy, &way, request, now, Which::All));
    let advice = reasons::what_to_do(explanation.answer.reason);
    let explained = Explained {
        document: &read.document,
        id: way.caller.id().to_string(),
        via: way.hop.as_ref().map(|(hop, _)| hop.id().to_string()),
        asked: asked.to_string(),
        advice: &advice,
        explanation: &explanation,
        all: which == Which::All,
    };
    terminal.print(match arguments.format {
        Format::Text if matches!(coming.caller, Caller::Svid(_)) => format!("{}\n{}", steps(None), explained.text()),
        Format::Text => explained.text(),
        Format::Json => explained.json(),
        Format::Markdown => explained.markdown(),
    });
    Ok(())
}

fn refused_text(shown: Option<&Caller>, reason: Reason, why: &str) -> String {
    let steps = match shown {
        None | Some(Caller::Id(_)) => String::new(),
        Some(Caller::Svid(_)) => format!("\n{}", steps(Some(reason))),
    };
    format!(
        "deny {}\n{}\n{steps}\nwhat to do\n  {}\n",
        reason.code(),
        visible(why),
        wrap(&reasons::what_to_do(reason), 76).replace('\n', "\n  ")
    )
}

fn refused_json(reason: Reason, why: &str) -> String {
    let whole = serde_json::json!({
        "schema": "svidgate/explain/v1",
        "effect": "deny",
        "reason": reason.code(),
        "detail": why,
        "advice": reasons::what_to_do(reason),
    });
    as_json(&whole)
}
