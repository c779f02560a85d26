//! `svidgate completions`: what a shell fills in.

use clap::Args;
use clap_complete::Shell;

use crate::{exit::Exit, options::Output};

/// Prints what a shell needs to fill in commands and options.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  svidgate completions bash > /etc/bash_completion.d/svidgate
  svidgate completions zsh > \"${fpath[1]}/_svidgate\"")]
pub struct Arguments {
    /// For which shell.
    #[arg(value_enum)]
    pub shell: Shell,
    #[command(flatten)]
    output: Output,
}

/// Prints it, for the whole command, which whoever calls knows.
pub fn run(arguments: &Arguments, mut whole: clap::Command) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut whole, "svidgate", &mut script);
    arguments.output.terminal().print(String::from_utf8_lossy(&script));
    Exit::Yes
}
