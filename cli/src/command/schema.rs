//! `svidgate schema`: what an editor and other checks can know of what is written.

use clap::Args;

use crate::{
    as_json::as_json,
    exit::Exit,
    options::Output,
    schema::{Kind, schema},
};

/// Prints a JSON Schema (2020-12) of the document, of a file of tests, or of a list of revocations.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  svidgate schema document > policy.schema.json
  # yaml-language-server: $schema=policy.schema.json      (first line of a policy, for editors)")]
pub struct Arguments {
    /// Of what.
    #[arg(value_enum)]
    pub kind: Kind,
    #[command(flatten)]
    output: Output,
}

/// Prints it.
pub fn run(arguments: &Arguments) -> Exit {
    arguments.output.terminal().print(as_json(&schema(arguments.kind)));
    Exit::Yes
}
