//! What comes of a comparison.

use jiff::Timestamp;

use crate::{
    analysis::{
        members::Difference,
        region::Region,
        witness::{Answer, Witness},
    },
    document::settings::Mode,
};

/// How much a comparison may cost.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Steps, each a demand that is looked at. A million takes some tenths of a second.
    pub steps: u64,
    /// Most regions that are told of one cause.
    pub regions: usize,
    /// Most rules that are told through which passes what one denial of the other document kept shut.
    pub through: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            steps: 500_000_000,
            regions: 3,
            through: 20,
        }
    }
}

/// What differs between two documents.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// What rules in force do.
    pub in_force: Changes,
    /// What would be with those in a dry run, too. Only where some document has one.
    pub with_dry_run: Option<Changes>,
    /// From which to which, where it differs.
    pub mode: Option<(Mode, Mode)>,
    /// Members that differ and were not compared.
    pub not_compared: Vec<Difference>,
    /// What the answer does not speak of.
    pub left_out: Vec<LeftOut>,
}

/// Who may what, that could not.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// What the new document allows and the old one does not.
    pub gains: Vec<Change>,
    /// What the old document allows and the new one does not.
    pub losses: Vec<Change>,
    /// What could not be decided.
    pub undecided: Vec<Undecided>,
    /// Where the analysis and the gate do not agree: a mistake of ours.
    pub faults: Vec<Fault>,
}

/// Something that makes a difference, and which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What makes it.
    pub cause: Cause,
    /// Rules of the document that allows, by their places, through which it passes.
    pub through: Vec<usize>,
    /// Some of it.
    pub regions: Vec<Shown>,
    /// Whether there may be more than is shown.
    pub has_more: bool,
}

/// A region, and an example that both documents were asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// As a rule would say it.
    pub region: Region,
    /// The example.
    pub witness: Witness,
    /// What the document that allows it decides.
    pub allowed: Answer,
    /// What the other one decides.
    pub refused: Answer,
}

/// What makes a difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// An allow rule of the document that allows, by its place.
    Allow(usize),
    /// A deny rule of the document that refuses, by its place.
    Deny(usize),
    /// The scope of the relationship with a trust domain.
    Scope(String),
    /// The end of the relationship with a trust domain.
    Expiry(String, Timestamp),
    /// There is no relationship with a trust domain.
    Unknown(String),
    /// Ids that are revoked.
    Revoked(String),
    /// Ids that bring the requests of others, and make none.
    Hop(String),
}

/// A question that has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undecided {
    /// About what.
    pub cause: Cause,
    /// Whether about what is gained; else what is lost.
    pub is_gain: bool,
    /// Why.
    pub why: Why,
}

/// Why a question has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It would have cost more than the bounds allow.
    Steps,
    /// There may be headers, or an id, that make the difference, and none was found.
    Values,
    /// It may be about a path with an encoded slash, which has two readings and which some rule opens.
    EncodedSlashes,
    /// Some rule may let it through where a hop brings it, and there are too many hops for that to be looked at.
    Hops,
    /// What was found costs the gate too much to decide.
    TooCostly,
}

/// An example that the gate decides in another way than the analysis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The example.
    pub witness: Witness,
    /// What the document decides that should allow it.
    pub allowed: Answer,
    /// What the document decides that should refuse it.
    pub refused: Answer,
}

/// Something that a comparison does not speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// Requests that it costs too much to decide, which are refused (`rule.too_costly`).
    TooCostly,
}

impl Changes {
    /// Whether nothing changes, and that is certain.
    pub fn is_none(&self) -> bool {
        let Self {
            gains,
            losses,
            undecided,
            faults,
        } = self;
        gains.is_empty() && losses.is_empty() && undecided.is_empty() && faults.is_empty()
    }
}
