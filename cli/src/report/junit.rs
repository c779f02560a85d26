//! For CI systems that show tests: a suite a file, a test a finding.

use std::collections::BTreeMap;

use quick_junit::{NonSuccessKind, Report as Junit, TestCase, TestCaseStatus, TestSuite};

use crate::{finding::Finding, report::outcome::Report, visible::visible};

pub(super) fn render(report: &Report) -> String {
    let mut junit = Junit::new(format!("svidgate {}", report.command));
    let mut suites: BTreeMap<&str, Vec<&Finding>> =
        report.files.iter().map(|file| (file.as_str(), Vec::new())).collect();
    for finding in &report.findings {
        let file = finding.place.as_ref().map_or("", |place| place.source.name());
        suites.entry(file).or_default().push(finding);
    }
    for (file, findings) in suites {
        let mut suite = TestSuite::new(visible(file));
        if !findings.iter().any(|finding| report.fails(finding)) {
            suite.add_test_case(TestCase::new(report.command, TestCaseStatus::success()));
        }
        for finding in findings {
            suite.add_test_case(case(report, finding, file));
        }
        junit.add_test_suite(suite);
    }
    junit.to_string().unwrap_or_default()
}

fn case(report: &Report, finding: &Finding, file: &str) -> TestCase {
    let place = finding.place.as_ref().map(|place| {
        let start = place.start();
        format!("{}:{}:{}", place.source.name(), start.line, start.column)
    });
    let right = finding.right.as_ref().map(|right| format!("help: {right}"));
    let lines = [Some(finding.sentence.clone()), place.clone(), right];
    let description: Vec<_> = lines.into_iter().flatten().map(|line| visible(&line)).collect();
    let description = description.join("\n");
    let fails = report.fails(finding);
    let status = if fails {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_message(visible(&finding.sentence));
        status.set_type(finding.code.number);
        status.set_description(description.as_str());
        status
    } else {
        TestCaseStatus::success()
    };
    let name = format!(
        "{} {} {}",
        finding.code.number,
        finding.code.title,
        place.unwrap_or_default()
    );
    let mut case = TestCase::new(visible(&name), status);
    case.set_classname(visible(file));
    if !fails {
        case.set_system_out(format!("{}: {description}", finding.level));
    }
    case
}
