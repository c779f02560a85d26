//! `svidgate can`: may an id do something?

use std::path::PathBuf;

use clap::Args;
use svidgate_policy::{
    Effect, SpiffeId, SvidError,
    analysis::{
        ClaimedGrants,
        explain::Answer,
        granted::{Said, granted},
    },
};

use crate::{
    command::policy::{Circumstances, Through, read, request_and_policy},
    exit::Exit,
    explaining::told,
    identity::{Caller, Nobody},
    input::policy::Read,
    options::{Moment, Output},
    terminal::Terminal,
    visible::visible,
};

/// Says in one line whether an id may do something: ends with 0 if it may, with 1 if not.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  svidgate can spiffe://prod.example/ns/shop/sa/api GET /orders/1 policy.yaml
  svidgate can --via partner-edge spiffe://partner.example/ns/billing GET /invoices/1 policy.yaml
  svidgate can --list spiffe://prod.example/ns/shop/sa/api policy.yaml")]
pub struct Arguments {
    /// The id, what it asks, and the policy.
    #[arg(required = true, value_name = "ID REQUEST POLICY")]
    pub words: Vec<String>,
    /// Say all that the id may do, and what is denied of it.
    #[arg(long)]
    pub list: bool,
    #[command(flatten)]
    through: Through,
    #[command(flatten)]
    circumstances: Circumstances,
    #[command(flatten)]
    moment: Moment,
    #[command(flatten)]
    output: Output,
}

/// Answers.
pub fn run(arguments: &Arguments) -> Exit {
    let terminal = arguments.output.terminal();
    answer(arguments, terminal).unwrap_or_else(|exit| exit)
}

fn answer(arguments: &Arguments, terminal: Terminal) -> Result<Exit, Exit> {
    let bad_input = |what: String| {
        terminal.trouble(what);
        Exit::BadInput
    };
    let (id, rest) = match arguments.words.split_first() {
        Some((id, rest)) if !rest.is_empty() => (id, rest),
        Some(_) | None => return Err(bad_input("write an id, a request and a policy".to_owned())),
    };
    let parsed = SpiffeId::parse(id).map_err(|error| bad_input(format!("{id}: {error}")))?;
    let coming = arguments.through.coming(Caller::Id(parsed));
    let now = arguments.moment.time();
    let (request, path) = match (arguments.list, rest) {
        (true, [policy]) => (None, PathBuf::from(policy)),
        (true, _) => return Err(bad_input("with --list write an id and a policy".to_owned())),
        (false, words) => {
            let (request, path) = request_and_policy(words).map_err(bad_input)?;
            let asked = arguments.circumstances.asked(&request).map_err(bad_input)?;
            arguments.through.check(&asked).map_err(bad_input)?;
            (Some(asked), path)
        }
    };
    let read = read(&path, terminal)?;
    let refused = |whom: &str, refused: &SvidError| {
        let why = visible(&refused.to_string());
        terminal.print(format_args!("deny {} ({whom}{why})\n", refused.reason().code()));
        Ok(arguments.output.exit(Exit::No))
    };
    let way = match coming.identify(&read.policy, now) {
        Ok(way) => way,
        Err(Nobody::Caller(error)) => return refused("", &error),
        Err(Nobody::Hop(error)) => return refused("the hop: ", &error),
        Err(Nobody::NoWay(what)) => return Err(bad_input(format!("--via: {}", visible(&what)))),
    };
    let Some(asked) = request else {
        let said = granted(&read.policy, &way, now);
        terminal.print(said.iter().map(|said| listed(&read, said)).collect::<String>());
        let may = said.iter().any(|said| said.effect == Effect::Allow && !said.dry_run);
        return Ok(arguments.output.exit(if may { Exit::Yes } else { Exit::No }));
    };
    let grants = ClaimedGrants::of(&read.policy.configuration().rules, &way);
    let answer = asked.show(|request| Answer::of(&grants.decide(request, now)));
    terminal.print(format_args!("{}\n", told(&answer)));
    let exit = if answer.is_allowed() { Exit::Yes } else { Exit::No };
    Ok(arguments.output.exit(exit))
}

/// What one rule says of the id, a line an entry of `to`: `allow GET,HEAD /orders/** (shop-reads-orders)`.
fn listed(read: &Read, said: &Said) -> String {
    let dry_run = if said.dry_run { ", dry run" } else { "" };
    let of_rule = |member: &str| match words(read, &format!("rules[{}].{member}", said.place)) {
        Some(words) => format!(" {member} {words}"),
        None => String::new(),
    };
    let (via, when) = (of_rule("via"), of_rule("when"));
    let entries = said.entries.iter().enumerate();
    let lines = entries.map(|(at, paths)| {
        let entry = format!("rules[{}].to[{at}]", said.place);
        let methods = words(read, &format!("{entry}.methods")).unwrap_or_else(|| "any method".to_owned());
        let paths = paths
            .as_ref()
            .map_or_else(|| "any path".to_owned(), |paths| paths.join(", "));
        let more = ["hosts", "routes", "ports", "sni"].into_iter().filter_map(|member| {
            let words = words(read, &format!("{entry}.{member}"))?;
            Some(format!(" {member} {words}"))
        });
        let more: String = more.collect();
        let line = format!("{methods} {paths}{more}{via}{when}");
        format!(
            "{:<5} {} ({}{dry_run})\n",
            said.effect.as_str(),
            visible(&line),
            said.name
        )
    });
    lines.collect()
}

/// What the document says at a place, in one line.
fn words(read: &Read, place: &str) -> Option<String> {
    let range = read.document.value_at(place)?;
    let text = read.document.source.slice(range);
    Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
}
