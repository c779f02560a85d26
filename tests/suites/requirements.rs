//! Every requirement of the SPIFFE standards is shown by a test that is there, or has a reason why it is not.
//!
//! `requirements.toml` is the table. How many items there are stands here, so that none can be lost without a word.

use std::{collections::BTreeMap, fs};

use serde::Deserialize;
use support::repository;

/// The sections of the checklist, and how many items each has.
const SECTIONS: [(&str, usize); 8] = [
    ("ID", 22),
    ("LF", 17),
    ("CA", 10),
    ("PV", 15),
    ("NC", 9),
    ("BN", 25),
    ("FE", 22),
    ("JW", 12),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// The items with a gap, once more: a new one is a decision.
    gaps: Vec<String>,
    requirement: Vec<Requirement>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Requirement {
    id: String,
    summary: String,
    #[serde(default)]
    shown_by: Vec<String>,
    does_not_apply: Option<String>,
    gap: Option<String>,
}

fn table() -> Table {
    toml::from_str(include_str!("requirements.toml")).expect("the table can be read")
}

#[test]
fn every_requirement_stands_in_the_table_once_and_no_other() {
    let found: Vec<String> = table().requirement.into_iter().map(|item| item.id).collect();
    let expected: Vec<String> = SECTIONS
        .iter()
        .flat_map(|(section, count)| (1..=*count).map(move |number| format!("{section}-{number}")))
        .collect();
    assert_eq!(expected.len(), 132);
    assert_eq!(found, expected);
}

#[test]
fn every_requirement_is_shown_or_says_why_not() {
    let table = table();
    let (mut shown, mut elsewhere) = (0, 0);
    let mut gaps = Vec::new();
    for item in &table.requirement {
        let said = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.trim().is_empty());
        assert!(!item.summary.trim().is_empty(), "{} has no summary", item.id);
        match (!item.shown_by.is_empty(), said(&item.does_not_apply), said(&item.gap)) {
            (true, false, false) => shown += 1,
            (false, true, false) => elsewhere += 1,
            // What is done of it may be shown all the same.
            (_, false, true) => gaps.push(item),
            (true, true, _) | (false, true, true) => panic!("{} both applies and does not", item.id),
            (false, false, false) => panic!("{} has neither a test nor a reason", item.id),
        }
    }
    println!("{shown} shown, {elsewhere} do not apply, {} with a gap:", gaps.len());
    for item in &gaps {
        println!("  {}: {}", item.id, item.gap.as_deref().unwrap_or_default());
    }
    let gaps: Vec<&str> = gaps.iter().map(|item| item.id.as_str()).collect();
    assert_eq!(gaps, table.gaps, "`gaps` lists the items with a gap");
}

#[test]
fn every_test_that_the_table_names_exists() {
    let mut sources: BTreeMap<&str, String> = BTreeMap::new();
    let table = table();
    let named = table
        .requirement
        .iter()
        .flat_map(|item| item.shown_by.iter().map(move |name| (&item.id, name)));
    for (id, name) in named {
        let (path, function) = name.split_once("::").expect("path::function");
        let source = sources.entry(path).or_insert_with(|| {
            fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{id}: {path}: {error}"))
        });
        assert!(has_test(source, function), "{id}: {path} has no test `{function}`");
    }
}

/// Whether a source has a function of this name with `#[test]` or the like above it.
fn has_test(source: &str, function: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let begins = |line: &str| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.strip_prefix("fn ")
            .and_then(|line| line.strip_prefix(function))
            .is_some_and(|rest| rest.starts_with('('))
    };
    lines.iter().enumerate().any(|(place, line)| {
        let mut above = lines[..place].iter().rev().take_while(|line| line.starts_with("#["));
        begins(line) && above.any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
    })
}

#[test]
fn function_without_the_attribute_or_with_a_longer_name_is_no_test() {
    let source = "#[test]\nfn one_is_so() {}\n\nfn helper() {}\n\n#[tokio::test]\nasync fn two() {}\n\n// fn gone() {}";
    assert!(has_test(source, "one_is_so") && has_test(source, "two"));
    for name in ["one_is", "helper", "gone", "three"] {
        assert!(!has_test(source, name), "{name}");
    }
}
