//! What the README says is so: its document compiles, its reason codes are all there are.

#[path = "demo/cases.rs"]
mod cases;

use std::fs;

use support::repository;
use svidgate_policy::{Configuration, Format, Reason};

fn readme() -> String {
    fs::read_to_string(repository().join("README.md")).expect("the README is there")
}

#[test]
fn document_of_the_readme_compiles() {
    let readme = readme();
    let (_, after) = readme
        .split_once("tests/readme.rs compiles this document")
        .expect("the README marks it");
    let document = after
        .split("```yaml")
        .nth(1)
        .and_then(|text| text.split("```").next())
        .expect("a block of YAML");
    let compiled = Configuration::compile(document.as_bytes(), Format::Yaml);
    let compiled = compiled.unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
    assert_eq!(compiled.rules.len(), 5);
}

#[test]
fn every_reason_code_is_explained_and_no_other() {
    let readme = readme();
    let (_, table) = readme.split_once("### Reason codes").expect("the README has the table");
    let (table, _) = table.split_once("\n## ").expect("something follows the table");
    let explained: Vec<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    let codes: Vec<&str> = Reason::ALL.iter().map(|reason| reason.code()).collect();
    assert_eq!(explained, codes);
}

#[test]
fn every_case_of_the_demo_stands_in_the_readme_as_it_must_come_out() {
    let readme = readme();
    let cases = cases::all();
    for case in &cases {
        let cells = [case.who.label(), &case.asks.label(), case.answer, case.reason];
        let stands = readme.lines().any(|line| {
            let mut rest = Some(line);
            cells
                .iter()
                .for_each(|cell| rest = rest.and_then(|rest| rest.split_once(*cell)).map(|(_, behind)| behind));
            rest == Some("")
        });
        assert!(stands, "{cells:?}");
    }
    assert!(readme.contains(&format!("all {} cases as expected", cases.len())));
}
