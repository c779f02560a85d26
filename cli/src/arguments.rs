//! What can be written behind `svidgate`.

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::{command, exit::Exit};

/// Checks, tests, explains and compares policies of workload identity, and says where they are in force.
#[derive(Debug, Parser)]
#[command(name = "svidgate", version, max_term_width = 100)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say what is wrong in policies, or probably not meant.
    Check(command::check::Arguments),
    /// Ask whether policies do what their tests say.
    Test(command::test::Arguments),
    /// Say why a request is answered so, or what a code means.
    Explain(command::explain::Arguments),
    /// Say in one line whether an id may do something.
    Can(command::can::Arguments),
    /// Say who gains what and who loses what by another policy.
    Diff(command::diff::Arguments),
    /// Print what each reason code means, and what to do about it.
    Reasons(command::reasons::Arguments),
    /// Print a JSON Schema of the document, of tests, or of a list of revocations.
    Schema(command::schema::Arguments),
    /// Write a policy to begin with, its tests, and a file for CI.
    New(command::new::Arguments),
    /// Print what a shell needs to fill in commands and options.
    Completions(command::completions::Arguments),
    /// Say where the gate stands in an Envoy, and where it does not.
    Guard(command::guard::Arguments),
    /// Write what a proxy or a mesh loads, or put a document into what is there.
    Render(command::render::Arguments),
}

impl Arguments {
    /// Does it.
    pub fn run(&self) -> Exit {
        match &self.command {
            Command::Check(arguments) => command::check::run(arguments),
            Command::Test(arguments) => command::test::run(arguments),
            Command::Explain(arguments) => command::explain::run(arguments),
            Command::Can(arguments) => command::can::run(arguments),
            Command::Diff(arguments) => command::diff::run(arguments),
            Command::Reasons(arguments) => command::reasons::run(arguments),
            Command::Schema(arguments) => command::schema::run(arguments),
            Command::New(arguments) => command::new::run(arguments),
            Command::Completions(arguments) => command::completions::run(arguments, Self::command()),
            Command::Guard(arguments) => command::guard::run(arguments),
            Command::Render(arguments) => command::render::run(arguments),
        }
    }
}
