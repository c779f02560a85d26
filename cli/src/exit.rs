//! What the command's end says to a shell and to CI.

use std::process::ExitCode;

/// How a command ended. The same numbers for every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Yes, clean, the same.
    Yes,
    /// The answer is no: findings, a failed test, denied, access gained, a door without a guard.
    No,
    /// An input is missing or has mistakes.
    BadInput,
    /// It could not be decided within the bounds. Never rounded to yes.
    Undecided,
}

impl Exit {
    /// The number that a shell sees. 2 is wrong usage, which ends the command before anything is read.
    pub fn number(self) -> u8 {
        match self {
            Self::Yes => 0,
            Self::No => 1,
            Self::BadInput => 3,
            Self::Undecided => 4,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}
