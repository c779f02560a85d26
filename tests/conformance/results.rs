//! What the rows came to, and whether that is what they should have come to.

use std::collections::BTreeMap;
use std::fmt;
use std::panic;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use crate::exceptions::Exceptions;

/// What a row asks for, and what we answer. Two that are compared are equal when their verdicts are.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    verdict: String,
    detail: String,
}

impl Answer {
    /// The input is taken.
    pub(crate) fn accept() -> Self {
        Self::of("accept")
    }

    /// The input is refused.
    pub(crate) fn refuse() -> Self {
        Self::of("refuse")
    }

    /// Taken or refused.
    pub(crate) fn accept_if(accept: bool) -> Self {
        if accept { Self::accept() } else { Self::refuse() }
    }

    /// Any other answer.
    pub(crate) fn of(verdict: impl Into<String>) -> Self {
        Self {
            verdict: verdict.into(),
            detail: String::new(),
        }
    }

    /// The same with more for the reader to see.
    pub(crate) fn because(self, detail: impl ToString) -> Self {
        Self {
            detail: detail.to_string(),
            ..self
        }
    }

    /// What more there is to see.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// What is compared.
    pub(crate) fn verdict(&self) -> &str {
        &self.verdict
    }

    /// Taken, or refused and why.
    pub(crate) fn from_result<T, E: ToString>(result: Result<T, E>) -> Self {
        match result {
            Ok(_) => Self::accept(),
            Err(error) => Self::refuse().because(error.to_string()),
        }
    }
}

/// One row.
struct Row {
    kind: &'static str,
    file: String,
    row: String,
    expected: String,
    /// `Err`: the row itself cannot be run.
    actual: Result<Answer, String>,
    /// The rule by which a difference in this row is none of ours.
    outside: Option<&'static str>,
}

impl Row {
    /// What was answered, or why there is no answer. Details are left out: they may hold the time.
    fn answered(&self) -> &str {
        match &self.actual {
            Ok(actual) => &actual.verdict,
            Err(error) => error,
        }
    }

    fn passed(&self) -> bool {
        self.actual.as_ref().is_ok_and(|actual| actual.verdict == self.expected)
    }
}

/// All rows that were run.
#[derive(Default)]
pub(crate) struct Results {
    rows: Vec<Row>,
    notices: Vec<String>,
}

/// Which row is being run, for whoever sees a panic.
static RUNNING: Mutex<String> = Mutex::new(String::new());

/// A release build stops at a panic, so the row must be told before.
pub fn name_the_row_on_panic() {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |information| {
        eprintln!(
            "panic in row {}",
            RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
        );
        print(information);
    }));
}

impl Results {
    /// Runs a row.
    pub(crate) fn check(
        &mut self,
        (kind, file, row): (&'static str, &str, &str),
        expected: Answer,
        run: impl FnOnce() -> Result<Answer, String>,
    ) {
        self.check_unless((kind, file, row), expected, None, run);
    }

    /// Runs a row in which a difference is none of ours when there is a rule that says so.
    pub(crate) fn check_unless(
        &mut self,
        (kind, file, row): (&'static str, &str, &str),
        expected: Answer,
        outside: Option<&'static str>,
        run: impl FnOnce() -> Result<Answer, String>,
    ) {
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) = format!("{file} {row}");
        let actual = run();
        let (file, row) = (file.to_owned(), row.to_owned());
        self.rows.push(Row {
            kind,
            file,
            row,
            expected: expected.verdict,
            actual,
            outside,
        });
    }

    /// A row that must come back with any answer at all.
    pub(crate) fn check_returns(
        &mut self,
        (kind, file, row): (&'static str, &str, &str),
        run: impl FnOnce() -> Result<Answer, String>,
    ) {
        self.check((kind, file, row), Answer::of("any"), || {
            Ok(Answer {
                verdict: "any".into(),
                ..run()?
            })
        });
    }

    /// A file that is there and cannot be read.
    pub(crate) fn unreadable(&mut self, kind: &'static str, file: &str, error: String) {
        self.check((kind, file, "whole file"), Answer::of("readable"), || Err(error));
    }

    /// What happened, and whether all is well.
    pub(crate) fn report(mut self, exceptions: &Exceptions) -> Report {
        let mut kinds: BTreeMap<&'static str, Counts> = BTreeMap::new();
        let mut failures = Vec::new();
        let mut digest = Sha256::new();
        for row in &self.rows {
            digest.update(format!("{}\0{}\0{}\0{}\n", row.kind, row.file, row.row, row.answered()));
            let counts = kinds.entry(row.kind).or_default();
            counts.rows += 1;
            match judge(row, exceptions) {
                Judgement::Passed => counts.passed += 1,
                Judgement::Excepted => counts.excepted += 1,
                Judgement::Outside(rule) => *counts.outside.entry(rule).or_default() += 1,
                Judgement::Failed(why) => {
                    counts.failed += 1;
                    failures.push(format!("{} {}: {why}", row.file, row.row));
                }
            }
        }
        let files: Vec<&str> = self.rows.iter().map(|row| row.file.as_str()).collect();
        let row = |file: &str, name: &str| self.rows.iter().find(|row| row.file == file && row.row == name);
        let (unused, absent) = exceptions.unused(&files, |file, name| row(file, name).map(Row::passed));
        failures.extend(
            unused
                .into_iter()
                .map(|exception| format!("{exception}: excepted, and comes out as expected")),
        );
        if !absent.is_empty() {
            self.notices
                .push(format!("excepted, and no such row here: {}", absent.join(", ")));
        }
        if kinds.is_empty() {
            failures.push("no vectors found".to_owned());
        }
        Report {
            passed: failures.is_empty(),
            kinds,
            notices: self.notices,
            failures,
            answers: digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}

/// What came of all rows, to be printed.
#[derive(Debug)]
pub struct Report {
    /// Whether all is well.
    pub passed: bool,
    kinds: BTreeMap<&'static str, Counts>,
    notices: Vec<String>,
    failures: Vec<String>,
    answers: String,
}

#[derive(Debug, Default)]
struct Counts {
    rows: usize,
    passed: usize,
    excepted: usize,
    failed: usize,
    outside: BTreeMap<&'static str, usize>,
}

enum Judgement {
    Passed,
    Excepted,
    Outside(&'static str),
    Failed(String),
}

fn judge(row: &Row, exceptions: &Exceptions) -> Judgement {
    let actual = match &row.actual {
        Ok(actual) if actual.verdict == row.expected => return Judgement::Passed,
        Ok(actual) => actual,
        Err(error) => return Judgement::Failed(format!("cannot be run: {error}")),
    };
    if let Some(rule) = row.outside {
        return Judgement::Outside(rule);
    }
    if exceptions.cover(&row.file, &row.row, &row.expected, &actual.verdict) {
        return Judgement::Excepted;
    }
    let detail = if actual.detail.is_empty() {
        String::new()
    } else {
        format!(" ({})", actual.detail)
    };
    Judgement::Failed(format!("expected {}, came to {}{detail}", row.expected, actual.verdict))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<34} {:>6} {:>7} {:>9} {:>8} {:>7}",
            "kind", "rows", "passed", "excepted", "outside", "failed"
        )?;
        let mut rows = 0;
        for (kind, counts) in &self.kinds {
            rows += counts.rows;
            let outside: usize = counts.outside.values().sum();
            writeln!(
                f,
                "{kind:<34} {:>6} {:>7} {:>9} {outside:>8} {:>7}",
                counts.rows, counts.passed, counts.excepted, counts.failed
            )?;
        }
        for (kind, counts) in &self.kinds {
            for (rule, rows) in &counts.outside {
                writeln!(f, "outside: {kind}: {rows} rows: {rule}")?;
            }
        }
        for notice in &self.notices {
            writeln!(f, "notice: {notice}")?;
        }
        for failure in &self.failures {
            writeln!(f, "FAILED {failure}")?;
        }
        writeln!(f, "{rows} rows, and the SHA-256 of their answers: {}", self.answers)
    }
}
