//! What did a command find, and what does that say?

use std::collections::BTreeMap;

use crate::{
    exit::Exit,
    finding::{Finding, Level},
};

/// What a command found.
#[derive(Debug)]
pub struct Report {
    /// The command: `check`.
    pub command: &'static str,
    /// What it looked at, by the names of the files.
    pub files: Vec<String>,
    /// What it found, in order.
    pub findings: Vec<Finding>,
    /// What was counted, for the last line: `12 rules`.
    pub counted: Vec<String>,
    /// From which level on the answer is no.
    pub fail_on: Option<Level>,
}

impl Report {
    /// Whether a finding makes the answer no.
    pub fn fails(&self, finding: &Finding) -> bool {
        self.fail_on.is_some_and(|least| finding.level >= least)
    }

    /// What the findings say to a shell.
    pub fn exit(&self) -> Exit {
        if self.findings.iter().any(|finding| self.fails(finding)) {
            Exit::No
        } else {
            Exit::Yes
        }
    }

    /// How many there are of each level, the worst first.
    fn levels(&self) -> Vec<(Level, usize)> {
        let mut levels: BTreeMap<Level, usize> = BTreeMap::new();
        for finding in &self.findings {
            let count = levels.entry(finding.level).or_default();
            *count = count.saturating_add(1);
        }
        levels.into_iter().rev().collect()
    }

    /// One line that says how it went.
    pub fn summary(&self) -> String {
        let levels = self.levels();
        let found = if levels.is_empty() {
            "nothing found".to_owned()
        } else {
            let words = levels.into_iter().map(|(level, count)| counted(count, level.as_str()));
            words.collect::<Vec<_>>().join(", ")
        };
        let looked = [counted(self.files.len(), "file")]
            .into_iter()
            .chain(self.counted.iter().cloned());
        format!("{}: {found} in {}", self.command, looked.collect::<Vec<_>>().join(", "))
    }
}

/// `1 rule`, `2 rules`.
pub fn counted(count: usize, what: &str) -> String {
    if count == 1 {
        format!("1 {what}")
    } else {
        format!("{count} {what}s")
    }
}
