//! What can be written behind `svidgate`.

use clap::{Parser, Subcommand};

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
}

impl Arguments {
    /// Does it.
    pub fn run(&self) -> Exit {
        match &self.command {
            Command::Check(arguments) => command::check::run(arguments),
        }
    }
}
