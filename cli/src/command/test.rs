//! `svidgate test`: does a policy do what its tests say, and would they notice if it did not?

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Args;
use svidgate_policy::Timestamp;

use crate::{
    codes::testing,
    command::policy::not_read,
    exit::Exit,
    finding::{Finding, Level},
    input::load::load,
    options::{Moment, Output, ReportFormat},
    report::{Format, Report, counted, step_summary},
    source::Place,
    testing::{
        coverage::Coverage,
        junit,
        mutation::{self, Survivor},
        run::{Failure, FailureKind, Outcome, Verdict},
        suite::{self, Suite, Wrong, place},
    },
};

/// How long that is unless somebody says otherwise. Our decision: a job of CI that waits longer is looked for. Each mutant
/// is a document of its own, so that time goes with the square of the rules.
const MAX_SECONDS: u64 = 300;

/// Runs the tests of policies: files that end in .test.yaml.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  svidgate test
  svidgate test policies/ --coverage --min-coverage 90 --format github")]
pub struct Arguments {
    /// Files of tests, and folders to look for them in.
    #[arg(default_value = ".", value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Run only tests with this text in their name.
    #[arg(long, value_name = "TEXT")]
    pub run: Option<String>,
    /// Say which parts of the policies no request reaches.
    #[arg(long)]
    pub coverage: bool,
    /// The answer is no where fewer parts in a hundred are reached.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub min_coverage: Option<u8>,
    /// Change each rule in every way that somebody could by mistake, and say which changes no test notices.
    #[arg(long)]
    pub mutants: bool,
    /// Longest that --coverage and --mutants may take, each. What is left then is said, and the end is 4.
    #[arg(long, value_name = "SECONDS", default_value_t = MAX_SECONDS, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    pub max_seconds: u64,
    /// The answer is no where there are no tests, or a policy in the folders has none.
    #[arg(long)]
    pub require_tests: bool,
    /// Stop at the first test that fails.
    #[arg(long)]
    pub fail_fast: bool,
    #[command(flatten)]
    moment: Moment,
    #[command(flatten)]
    format: ReportFormat,
    #[command(flatten)]
    output: Output,
}

/// Tests.
pub fn run(arguments: &Arguments) -> Exit {
    let terminal = arguments.output.terminal();
    let files = match suite::files(&arguments.paths) {
        Ok(files) => files,
        Err(what) => {
            terminal.trouble(what);
            return Exit::BadInput;
        }
    };
    if files.is_empty() && !arguments.require_tests {
        terminal.trouble("no tests: none of the files ends in .test.yaml, .test.yml or .test.json");
        return Exit::BadInput;
    }
    let mut suites = match suite::read(&files, arguments.moment.time()) {
        Ok(suites) => suites,
        Err(all) => {
            for wrong in all {
                match wrong {
                    Wrong::Tests(what) => terminal.trouble(what),
                    Wrong::Policy(why) => {
                        not_read(why, terminal);
                    }
                }
            }
            return Exit::BadInput;
        }
    };
    if let Some(text) = &arguments.run {
        let plans = suites.iter_mut().flat_map(|suite| &mut suite.plans);
        plans.for_each(|(_, plan)| plan.tests.retain(|test| test.name.contains(text)));
    }
    let left = suites
        .iter()
        .flat_map(|suite| &suite.plans)
        .map(|(_, plan)| plan.tests.len());
    if left.sum::<usize>() == 0 && !arguments.require_tests {
        terminal.trouble(match &arguments.run {
            Some(text) => format!("no test has `{text}` in its name"),
            None => "the files have no test in them".to_owned(),
        });
        return Exit::BadInput;
    }
    let longest = Duration::from_secs(arguments.max_seconds);
    let mut tested = Tested {
        cover_until: Instant::now().checked_add(longest),
        left_for_mutants: longest,
        ..Tested::default()
    };
    for suite in &suites {
        if !tested.take(suite, arguments) {
            break;
        }
    }
    if arguments.require_tests {
        tested
            .findings
            .extend(without_tests(&arguments.paths, &suites, tested.tests()));
    }
    tested.print(arguments);
    arguments.output.exit(tested.exit(arguments))
}

/// What came of all tests.
#[derive(Default)]
struct Tested {
    files: Vec<String>,
    outcomes: Vec<(String, Outcome)>,
    findings: Vec<Finding>,
    /// Parts that were reached, and all.
    reached: usize,
    parts: usize,
    /// Changes that were noticed, and all that make a difference.
    noticed: usize,
    mutants: usize,
    undecided: bool,
    /// When to look at no more requests for coverage.
    cover_until: Option<Instant>,
    /// How long mutants may take, less what they took.
    left_for_mutants: Duration,
}

impl Tested {
    fn tests(&self) -> usize {
        self.outcomes.len()
    }

    /// Runs the tests of a policy. Gives whether to go on.
    fn take(&mut self, suite: &Suite, arguments: &Arguments) -> bool {
        let covers = arguments.coverage || arguments.min_coverage.is_some();
        let started = Instant::now();
        let mut coverage = Coverage::new(self.cover_until.unwrap_or(started));
        for (source, plan) in &suite.plans {
            self.files.push(source.name().to_owned());
            for test in &plan.tests {
                let outcome = if covers {
                    test.run(&suite.read.policy, &mut coverage)
                } else {
                    test.run(&suite.read.policy, &mut ())
                };
                let at = place(source, outcome.at);
                self.findings.extend(findings(&outcome, at, |at| place(source, at)));
                let verdict = outcome.verdict();
                self.undecided |= verdict == Verdict::Undecided;
                self.outcomes.push((source.name().to_owned(), outcome));
                if arguments.fail_fast && verdict == Verdict::Failed {
                    return false;
                }
            }
        }
        if covers {
            self.cover(suite, &coverage, arguments.coverage);
        }
        if arguments.mutants {
            self.mutate(suite, arguments.moment.time());
        }
        true
    }

    fn cover(&mut self, suite: &Suite, coverage: &Coverage, told: bool) {
        let document = &suite.read.document;
        let all = Coverage::items(&suite.read.policy).len();
        let missing = coverage.missing(&suite.read.policy);
        if coverage.not_looked_at() > 0 {
            let left = counted(coverage.not_looked_at(), "request");
            let sentence = format!("what {left} reach was not looked at, for want of time");
            self.not_tried(sentence, document.whole());
        }
        self.parts = self.parts.saturating_add(all);
        self.reached = self.reached.saturating_add(all.saturating_sub(missing.len()));
        if told {
            self.findings.extend(missing.into_iter().map(|item| {
                let sentence = format!("{}: {}", item.place, item.way);
                Finding::new(&testing::NOT_REACHED, document.place(&item.place), sentence)
            }));
        }
    }

    fn mutate(&mut self, suite: &Suite, now: Timestamp) {
        let plans: Vec<_> = suite.plans.iter().map(|(_, plan)| plan).collect();
        let started = Instant::now();
        let until = started.checked_add(self.left_for_mutants).unwrap_or(started);
        let mutation = mutation::run(&suite.read, &plans, now, until);
        self.left_for_mutants = self.left_for_mutants.saturating_sub(started.elapsed());
        if let Some((place, left)) = &mutation.not_tried {
            let left = counted(*left, "change");
            let sentence = format!("{left}, from {place} on, were not tried, for want of time");
            self.not_tried(sentence, suite.read.document.place(place));
        }
        self.mutants = self.mutants.saturating_add(mutation.different);
        self.noticed = self.noticed.saturating_add(mutation.noticed);
        for Survivor {
            place,
            change,
            is_decided,
        } in mutation.survivors
        {
            let at = suite.read.document.place(&place);
            let unsure = if is_decided {
                ""
            } else {
                " (whether it changes an answer was not decided)"
            };
            let sentence = format!("{place}: {change}, and no test notices{unsure}");
            self.findings.push(Finding::new(&testing::SURVIVED, at, sentence));
        }
    }

    fn not_tried(&mut self, sentence: String, place: Place) {
        let right = "more time by --max-seconds, or fewer tests by --run";
        self.findings
            .push(Finding::new(&testing::NOT_TRIED, place, sentence).right(right));
        self.undecided = true;
    }

    fn counted(&self) -> Vec<String> {
        let of = |wanted: Verdict| {
            let verdicts = self.outcomes.iter().map(|(_, outcome)| outcome.verdict());
            verdicts.filter(|verdict| *verdict == wanted).count()
        };
        let mut counts = vec![counted(self.tests(), "test")];
        for (verdict, word) in [
            (Verdict::Passed, "passed"),
            (Verdict::Failed, "failed"),
            (Verdict::Undecided, "undecided"),
            (Verdict::Todo, "todo"),
            (Verdict::Done, "todo that passed"),
        ] {
            if of(verdict) > 0 {
                counts.push(format!("{} {word}", of(verdict)));
            }
        }
        if let Some(percent) = percent(self.reached, self.parts) {
            counts.push(format!("{percent} % of {} parts reached", self.parts));
        }
        if self.mutants > 0 {
            counts.push(format!("{} of {} changes noticed", self.noticed, self.mutants));
        }
        counts
    }

    fn print(&mut self, arguments: &Arguments) {
        let terminal = arguments.output.terminal();
        self.findings.sort_by(Finding::order);
        let counted = self.counted();
        let report = Report {
            command: "test",
            files: std::mem::take(&mut self.files),
            findings: std::mem::take(&mut self.findings),
            counted,
            fail_on: Some(Level::Error),
        };
        match arguments.format.format {
            Format::Junit => terminal.print(junit::render(&self.outcomes, &report.findings)),
            format @ (Format::Text | Format::Json | Format::Sarif | Format::Github | Format::Markdown) => {
                terminal.print(report.render(format));
            }
        }
        if arguments.format.format == Format::Github
            && let Some(file) = std::env::var_os("GITHUB_STEP_SUMMARY")
            && let Err(error) = step_summary(&report.render(Format::Markdown), Path::new(&file))
        {
            terminal.trouble(format_args!("{}: {error}", Path::new(&file).display()));
        }
        self.findings = report.findings;
    }

    fn exit(&self, arguments: &Arguments) -> Exit {
        let least = arguments.min_coverage.unwrap_or_default();
        let too_little = percent(self.reached, self.parts).is_some_and(|percent| percent < least);
        let wrong = |finding: &Finding| {
            finding.level == Level::Error
                && finding.code != &testing::NOT_DECIDED
                && finding.code != &testing::NOT_TRIED
        };
        match (too_little || self.findings.iter().any(wrong), self.undecided) {
            (true, _) => Exit::No,
            (false, true) => Exit::Undecided,
            (false, false) => Exit::Yes,
        }
    }
}

/// Rounded down, so that a hundred is all.
fn percent(part: usize, all: usize) -> Option<u8> {
    let percent = part.saturating_mul(100).checked_div(all)?;
    u8::try_from(percent).ok()
}

/// What is to be told of a test. Of one that is known to fail, nothing.
fn findings(outcome: &Outcome, at: Place, place: impl Fn((u64, u64)) -> Place) -> Vec<Finding> {
    match outcome.verdict() {
        Verdict::Passed | Verdict::Todo => Vec::new(),
        Verdict::Done => vec![Finding::new(&testing::DONE, at, format!("`{}` holds", outcome.name))],
        Verdict::Failed | Verdict::Undecided => {
            let told = |failure: &Failure| {
                let code = match failure.kind {
                    FailureKind::Wrong => &testing::NOT_SO,
                    FailureKind::Undecided => &testing::NOT_DECIDED,
                };
                let sentence = format!("{}: expected {}", outcome.name, failure.claimed);
                Finding::new(code, place(failure.at), sentence).right(format!("found: {}", failure.found))
            };
            outcome.failures.iter().map(told).collect()
        }
    }
}

/// Policies in folders that no test is about; or that there is no test at all.
fn without_tests(paths: &[PathBuf], suites: &[Suite], tests: usize) -> Vec<Finding> {
    if tests == 0 {
        return vec![Finding::new(&testing::NO_TESTS, None, "there is no test")];
    }
    let folders: Vec<PathBuf> = paths.iter().filter(|path| path.is_dir()).cloned().collect();
    if folders.is_empty() {
        return Vec::new();
    }
    let is_tested = |name: &str| {
        let mut tested = suites.iter().map(|suite| suite.read.document.source.name());
        tested.any(|tested| same_file(tested, name))
    };
    let documents = load(&folders, true).documents;
    let untested = documents.iter().filter(|document| !is_tested(document.source.name()));
    untested
        .map(|document| Finding::new(&testing::NO_TESTS, document.whole(), "no test is about this policy"))
        .collect()
}

fn same_file(one: &str, two: &str) -> bool {
    let whole = |path: &str| std::fs::canonicalize(path).ok();
    one == two || whole(one).is_some_and(|one| whole(two) == Some(one))
}
