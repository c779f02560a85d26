//! What does a comparison say to a shell?

use svidgate_policy::analysis::{Change, Changes, Comparison};

use crate::{
    comparing::{expected::Missing, pair::Pair},
    exit::Exit,
};

/// For which changes the answer is no.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum FailOn {
    /// Somebody may do more, or less.
    #[default]
    Any,
    /// Somebody may do more.
    Gains,
    /// Somebody may do less.
    Losses,
}

impl FailOn {
    /// Whether a gain, or a loss, is among them.
    pub fn has(self, is_gain: bool) -> bool {
        match self {
            Self::Any => true,
            Self::Gains => is_gain,
            Self::Losses => !is_gain,
        }
    }
}

/// Two policies that were compared.
pub struct Compared {
    /// Which.
    pub pair: Pair,
    /// What differs, beyond what is expected.
    pub comparison: Comparison,
    /// What is expected and is not there.
    pub missing: Vec<Missing>,
}

impl Compared {
    /// What was found says no; what was not decided, or not compared and may decide, is never a yes.
    pub fn exit(&self, fail_on: FailOn) -> Exit {
        let Changes {
            gains,
            losses,
            undecided,
            faults,
        } = &self.comparison.in_force;
        let fails = |is_gain, list: &[Change]| fail_on.has(is_gain) && !list.is_empty();
        // A document that begins to be enforced takes from those whom it only recorded, and one that ends gives to all.
        let says_no =
            fails(true, gains) || fails(false, losses) || self.comparison.mode.is_some() || !self.missing.is_empty();
        let is_unsure = !undecided.is_empty() || self.differs_unseen();
        match (faults.is_empty(), says_no, is_unsure) {
            (false, _, _) | (true, false, true) => Exit::Undecided,
            (true, true, _) => Exit::No,
            (true, false, false) => Exit::Yes,
        }
    }

    /// Whether something differs that was not compared and may decide.
    pub fn differs_unseen(&self) -> bool {
        self.comparison.not_compared.iter().any(|member| member.decides)
    }
}

/// Of several: a fault of ours first, then a no, then what is undecided.
pub fn exit(compared: &[Compared], fail_on: FailOn) -> Exit {
    let has_fault = compared.iter().any(|one| !one.comparison.in_force.faults.is_empty());
    let exits: Vec<Exit> = compared.iter().map(|one| one.exit(fail_on)).collect();
    match (has_fault, exits.contains(&Exit::No), exits.contains(&Exit::Undecided)) {
        (true, _, _) | (false, false, true) => Exit::Undecided,
        (false, true, _) => Exit::No,
        (false, false, false) => Exit::Yes,
    }
}
