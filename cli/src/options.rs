//! What can be said to every command.

use clap::Args;
use svidgate_policy::Timestamp;

use crate::{
    exit::Exit,
    report::Format,
    terminal::{Color, Terminal},
};

/// How a command speaks.
#[derive(Args, Clone, Copy, Debug, Default)]
#[command(next_help_heading = "Output")]
pub struct Output {
    /// When there is colour; NO_COLOR is heeded.
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    pub color: Color,
    /// Print nothing but trouble: the exit code says it.
    #[arg(short, long)]
    pub quiet: bool,
    /// End with 0 where the answer is no, for uploads and dashboards. Trouble and what is undecided stay what they are.
    #[arg(long)]
    pub exit_zero: bool,
}

impl Output {
    /// The two ways out.
    pub fn terminal(self) -> Terminal {
        Terminal::new(self.color, self.quiet)
    }

    /// The end as it is told to the shell.
    pub fn exit(self, exit: Exit) -> Exit {
        match exit {
            Exit::No if self.exit_zero => Exit::Yes,
            exit @ (Exit::Yes | Exit::No | Exit::BadInput | Exit::Undecided) => exit,
        }
    }
}

/// In which format.
#[derive(Args, Clone, Copy, Debug, Default)]
#[command(next_help_heading = "Output")]
pub struct ReportFormat {
    /// How findings are printed.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// When.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Moment {
    /// The time to decide at, like 2027-01-31T00:00:00Z. Without it, now.
    #[arg(long, value_name = "TIME")]
    pub at: Option<Timestamp>,
}

impl Moment {
    /// That time, or now in whole seconds, as people write a time.
    pub fn time(self) -> Timestamp {
        self.at.unwrap_or_else(|| {
            let now = Timestamp::now();
            Timestamp::from_second(now.as_second()).unwrap_or(now)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_zero_hides_no_trouble() {
        let told = |exit_zero, exit| {
            let output = Output {
                exit_zero,
                ..Output::default()
            };
            output.exit(exit)
        };
        for exit in [Exit::Yes, Exit::No, Exit::BadInput, Exit::Undecided] {
            assert_eq!(told(false, exit), exit);
        }
        assert_eq!(told(true, Exit::No), Exit::Yes);
        for exit in [Exit::Yes, Exit::BadInput, Exit::Undecided] {
            assert_eq!(told(true, exit), exit);
        }
    }
}
