//! `svidgate`.

use std::process::ExitCode;

use clap::Parser as _;
use svidgate_cli::arguments::Arguments;

fn main() -> ExitCode {
    Arguments::parse().run().into()
}
