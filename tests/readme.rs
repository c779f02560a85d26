//! What the README says is so: its document compiles, its reason codes are all there are.

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
    assert_eq!(compiled.rules.len(), 4);
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
fn demo_of_the_readme_is_the_one_that_runs() {
    let readme = readme();
    let cases = fs::read_to_string(repository().join("tests/demo/cases.rs")).expect("the cases are there");
    let rows = cases.matches("http(Who::").count() + cases.matches("tcp(Who::").count();
    assert!(readme.contains(&format!("all {rows} cases as expected")));
}
