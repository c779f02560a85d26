//! Where a command speaks: findings to standard output, trouble to standard error, colour where a terminal shows it.

use std::{
    fmt,
    io::{self, Write as _},
};

use anstream::{AutoStream, ColorChoice};

/// When there is colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// Where a terminal shows it, and `NO_COLOR` is not set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The two ways out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terminal {
    color: Color,
    quiet: bool,
}

impl Terminal {
    /// With colour or not, and silent or not.
    pub fn new(color: Color, quiet: bool) -> Self {
        Self { color, quiet }
    }

    fn choice(self) -> ColorChoice {
        match self.color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        }
    }

    /// Prints what was asked for. A reader that has gone away (`| head`) is no trouble.
    pub fn print(self, text: impl fmt::Display) {
        if self.quiet {
            return;
        }
        let mut out = AutoStream::new(io::stdout(), self.choice()).lock();
        let _gone = write!(out, "{text}").and_then(|()| out.flush());
    }

    /// Prints a report of what is wrong with an input, beside what was asked for. Its foreign words are escaped already.
    pub fn complain(self, report: impl fmt::Display) {
        let mut err = AutoStream::new(io::stderr(), self.choice()).lock();
        let _gone = write!(err, "{report}").and_then(|()| err.flush());
    }

    /// Prints why something could not be done, also where it is silent else. Foreign words are made visible.
    pub fn trouble(self, text: impl fmt::Display) {
        let mut err = AutoStream::new(io::stderr(), self.choice()).lock();
        let _gone = writeln!(err, "svidgate: {}", crate::visible::visible(&text.to_string()));
    }
}
