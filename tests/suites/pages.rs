//! What the pages say is so: documents compile, reason codes are all there are, links lead somewhere.

use std::fs;

use demo::cases;
use serde_json::Value;
use support::repository;
use svidgate_policy::{Configuration, Format, Reason};

/// Longest that the first page may be.
const README_LINES: usize = 200;

fn page(name: &str) -> String {
    fs::read_to_string(repository().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The pages that people read, as paths from the root of the repository.
fn pages() -> Vec<String> {
    let mut pages = Vec::new();
    let mut folders = vec![repository().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() {
                // What is built, what is hidden, and what `make bench` and its like write.
                if !name.starts_with('.') && !matches!(name, "target" | "record") {
                    folders.push(path);
                }
            } else if name.ends_with(".md") {
                let page = path.strip_prefix(repository()).expect("below the root");
                pages.push(page.to_str().expect("UTF-8").to_owned());
            }
        }
    }
    assert!(pages.len() > 15, "{pages:?}");
    pages
}

/// The lines of a page outside of its blocks of code.
fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    page.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// What stands between these on a line, each time.
fn between<'l>(line: &'l str, open: &'l str, close: &'l str) -> impl Iterator<Item = &'l str> {
    line.split(open)
        .skip(1)
        .filter_map(move |rest| Some(rest.split_once(close)?.0))
}

/// What a link to a heading says behind its `#`.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept
        .chars()
        .filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_'));
    kept.map(|char| if char == ' ' { '-' } else { char }).collect()
}

fn first_document(page: &str, behind: &str) -> String {
    let (_, after) = page.split_once(behind).expect("the page marks it");
    let block = after.split("```yaml").nth(1).and_then(|text| text.split("```").next());
    block.expect("a block of YAML").to_owned()
}

fn compiled(document: &str, format: Format) -> Configuration {
    Configuration::compile(document.as_bytes(), format).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"))
}

#[test]
fn document_by_example_compiles() {
    let document = first_document(
        &page("docs/document.md"),
        "tests/suites/pages.rs compiles this document.",
    );
    assert_eq!(compiled(&document, Format::Yaml).rules.len(), 5);
}

#[test]
fn document_with_hops_compiles() {
    let document = first_document(
        &page("docs/document.md"),
        "tests/suites/pages.rs compiles this document with hops.",
    );
    let compiled = compiled(&document, Format::Yaml);
    assert_eq!((compiled.rules.len(), compiled.rules.hops().count()), (2, 1));
}

#[test]
fn document_with_tokens_compiles() {
    let document = first_document(
        &page("docs/document.md"),
        "tests/suites/pages.rs compiles this document with tokens.",
    );
    let compiled = compiled(&document, Format::Yaml);
    assert!(compiled.tokens.is_some());
}

#[test]
fn shortest_configuration_has_a_document_that_compiles() {
    let block = first_document(&page("README.md"), "## The shortest configuration");
    let block: Value = serde_saphyr::from_str(&block).expect("YAML");
    let plugin = &block["filters"][0]["typed_config"]["config"];
    assert_eq!(plugin["root_id"], "svidgate.connection");
    let document = plugin["configuration"]["value"].to_string();
    assert_eq!(compiled(&document, Format::Json).rules.len(), 1);
}

#[test]
fn every_reason_code_is_explained_and_no_other() {
    let reasons = page("docs/reasons.md");
    let (_, table) = reasons.split_once("## Reason codes").expect("the page has the table");
    let explained: Vec<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    let codes: Vec<&str> = Reason::ALL.iter().map(|reason| reason.code()).collect();
    assert_eq!(explained, codes);
}

#[test]
fn first_page_is_short_and_leads_to_all_others() {
    let readme = page("README.md");
    assert!(readme.lines().count() <= README_LINES);
    for name in pages().iter().filter(|name| name.starts_with("docs/")) {
        assert!(
            readme.contains(&format!("]({name})")),
            "README.md has no link to {name}"
        );
    }
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let mut wrong = Vec::new();
    for name in pages() {
        let text = page(&name);
        let folder = repository().join(&name).parent().expect("a folder").to_owned();
        for target in prose(&text).flat_map(|line| between(line, "](", ")")) {
            if target.starts_with("https://") {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() {
                repository().join(&name)
            } else {
                folder.join(file)
            };
            if !file.exists() {
                wrong.push(format!("{name}: {target}"));
            } else if !heading.is_empty() {
                let text = fs::read_to_string(&file).expect("a page");
                let is_there = prose(&text)
                    .filter_map(|line| line.strip_prefix('#'))
                    .any(|line| anchor(line.trim_start_matches('#')) == heading);
                if !is_there {
                    wrong.push(format!("{name}: no heading for {target}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Names in code that begin with a folder of ours.
#[test]
fn every_file_and_folder_that_a_page_names_is_there() {
    let is_name = |text: &str| {
        let is_plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '/' | '.' | '_' | '-');
        let of_ours = [
            "policy/", "filter/", "envoy/", "tests/", "fuzz/", "benches/", "docs/", ".ci/",
        ];
        text.chars().all(is_plain) && of_ours.iter().any(|folder| text.starts_with(folder))
    };
    let mut wrong = Vec::new();
    for name in pages() {
        let text = page(&name);
        let named = prose(&text).flat_map(|line| line.split('`').skip(1).step_by(2));
        for named in named.filter(|named| is_name(named)) {
            if !repository().join(named).exists() {
                wrong.push(format!("{name}: {named}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_case_of_the_demo_stands_in_the_readme_as_it_must_come_out() {
    let readme = page("README.md");
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
