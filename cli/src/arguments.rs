//! What can be written behind `svidgate`.

use clap::{Parser, Subcommand};

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
pub enum Command {}
