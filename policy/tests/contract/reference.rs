//! The compiled decision compared with a naive one, on random documents and requests.
//!
//! [`generator`] draws from small alphabets, so that things match.

mod generator;

use std::cell::Cell;

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use reference::{
    compiled::{admits, compile, compiling, decide},
    evaluator::{self, Answer, Asked},
};
use serde_json::Value;

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// Documents tried; more with `PROPTEST_CASES=200000`.
const CASES: u32 = 2_000;

fn config(cases: u32) -> Config {
    let asked = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok());
    Config {
        cases: asked.unwrap_or(cases),
        // What was found once is kept as a vector.
        failure_persistence: None,
        ..Config::default()
    }
}

#[test]
fn compiled_decisions_are_those_of_a_naive_evaluator() {
    let brought = [Cell::new(0_u32), Cell::new(0), Cell::new(0)];
    let compared = |(document, requests): (Value, Vec<Asked>)| {
        let document = compiling(&document);
        let compiled = compile(&document);
        for asked in &requests {
            let (found, expected) = (decide(&compiled, asked), evaluator::decide(&document, asked));
            prop_assert_eq!(&found, &expected, "{:?}\n{:#}", asked, document);
            if !asked.through.is_empty() {
                let [allowed, denied, far] = &brought;
                match found.reason {
                    "rule.allowed" if asked.through.len() > 1 => far.set(far.get() + 1),
                    "rule.allowed" => allowed.set(allowed.get() + 1),
                    "rule.denied" => denied.set(denied.get() + 1),
                    _ => {}
                }
            }
        }
        Ok(())
    };
    TestRunner::new(config(CASES))
        .run(&generator::case(), compared)
        .unwrap();
    // What is compared must happen.
    let [allowed, denied, far] = brought.map(Cell::into_inner);
    assert!(
        allowed > CASES / 20 && denied > CASES / 200 && far > CASES / 400,
        "{allowed} allowed, {denied} denied came through a hop, {far} allowed through several"
    );
}

#[test]
fn order_of_rules_changes_no_effect() {
    let compared = |((document, requests), order): ((Value, Vec<Asked>), Vec<u8>)| {
        let document = compiling(&document);
        let mut shuffled = document.clone();
        let rules = shuffled["rules"].as_array_mut().unwrap();
        let mut places: Vec<usize> = (0..rules.len()).collect();
        places.sort_by_key(|place| order[*place]);
        *rules = places.iter().map(|place| rules[*place].clone()).collect();
        let (one, two) = (compile(&document), compile(&shuffled));
        for asked in &requests {
            let said = |answer: Answer| (answer.effect, answer.reason, answer.dry_run.map(|(effect, _)| effect));
            let (one, two) = (said(decide(&one, asked)), said(decide(&two, asked)));
            prop_assert_eq!(one, two, "{:?}\n{:#}", asked, document);
        }
        Ok(())
    };
    let cases = (
        generator::case(),
        prop::collection::vec(any::<u8>(), generator::MOST_RULES),
    );
    TestRunner::new(config(CASES / 4)).run(&cases, compared).unwrap();
}

#[test]
fn whoever_is_refused_at_the_connection_would_be_refused_at_every_request() {
    let compared = |(document, requests): (Value, Vec<Asked>)| {
        let document = compiling(&document);
        let compiled = compile(&document);
        for asked in &requests {
            let admitted = admits(&compiled, asked);
            let answer = evaluator::decide(&document, asked);
            let would = answer.dry_run.is_some_and(|(effect, _)| effect == "allow");
            prop_assert!(
                admitted || (answer.effect == "deny" && !would),
                "{:?}\n{:#}",
                asked,
                document
            );
        }
        Ok(())
    };
    TestRunner::new(config(CASES / 4))
        .run(&generator::case(), compared)
        .unwrap();
}
