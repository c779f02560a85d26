//! For CI systems that show tests: a suite a file, a case a test.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::{
    finding::{Finding, Level},
    testing::run::{Outcome, Verdict},
    visible::visible,
};

/// The report. Findings that are about no test (coverage, mutants) are a suite of their own.
pub fn render(outcomes: &[(String, Outcome)], findings: &[Finding]) -> String {
    let mut report = Report::new("svidgate test");
    let mut suites: Vec<(&str, TestSuite)> = Vec::new();
    for (file, outcome) in outcomes {
        let case = case(file, outcome);
        match suites.iter_mut().find(|(name, _)| name == file) {
            Some((_, suite)) => {
                suite.add_test_case(case);
            }
            None => {
                let mut suite = TestSuite::new(visible(file));
                suite.add_test_case(case);
                suites.push((file, suite));
            }
        }
    }
    report.add_test_suites(suites.into_iter().map(|(_, suite)| suite));
    let about_policies = |finding: &&Finding| {
        let file = finding.place.as_ref().map(|place| place.source.name());
        finding.level == Level::Error && !outcomes.iter().any(|(name, _)| Some(name.as_str()) == file)
    };
    let about_policies: Vec<&Finding> = findings.iter().filter(about_policies).collect();
    let mut policies = TestSuite::new("policies");
    for finding in &about_policies {
        let at = finding.place.as_ref().map(|place| {
            let start = place.start();
            format!("{}:{}:{}", place.source.name(), start.line, start.column)
        });
        let name = format!("{} {}", finding.code.number, at.unwrap_or_default());
        policies.add_test_case(TestCase::new(
            visible(&name),
            failure(std::slice::from_ref(&finding.sentence)),
        ));
    }
    if !about_policies.is_empty() {
        report.add_test_suite(policies);
    }
    report.to_string().unwrap_or_default()
}

fn case(file: &str, outcome: &Outcome) -> TestCase {
    let told = outcome.failures.iter().map(|failure| {
        let (line, column) = failure.at;
        format!(
            "{line}:{column}: expected {}\nfound: {}",
            failure.claimed, failure.found
        )
    });
    let told: Vec<String> = told.collect();
    let status = match outcome.verdict() {
        Verdict::Passed | Verdict::Done => TestCaseStatus::success(),
        Verdict::Todo => TestCaseStatus::skipped(),
        Verdict::Failed | Verdict::Undecided => failure(&told),
    };
    let mut case = TestCase::new(visible(&outcome.name), status);
    case.set_classname(visible(file));
    case
}

fn failure(told: &[String]) -> TestCaseStatus {
    let lines: Vec<String> = told.iter().flat_map(|text| text.lines()).map(visible).collect();
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_message(lines.first().cloned().unwrap_or_default());
    status.set_description(lines.join("\n"));
    status
}
