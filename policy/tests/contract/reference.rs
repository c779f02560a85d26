//! The compiled decision compared with a naive one, on random documents and requests.
//!
//! [`evaluator`] reads the JSON of the document anew for every request, rule by rule, as the contract says it in prose.
//! It shares nothing with the crate but the clock's type. [`generator`] draws from small alphabets, so that things match.

mod evaluator;
mod generator;

use std::{cell::RefCell, collections::HashMap};

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};
use svidgate_policy::{Configuration, Format, Headers, HttpRequest, Request, RuleSet, Svid};

use self::evaluator::{Answer, Asked};
use crate::identity::svid;

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

/// Leaves out the rules that do not compile by themselves: they could never match.
fn compiling(document: &Value) -> Value {
    let compiles = |document: &Value| Configuration::compile(document.to_string().as_bytes(), Format::Json).is_ok();
    let alone = |rule: &Value| {
        let mut document = document.clone();
        document["rules"] = json!([rule]);
        compiles(&document)
    };
    let rules = document["rules"].as_array().unwrap();
    let rules: Vec<&Value> = rules.iter().filter(|rule| alone(rule)).collect();
    let mut document = document.clone();
    document["rules"] = json!(rules);
    document
}

fn compile(document: &Value) -> RuleSet {
    let compiled = Configuration::compile(document.to_string().as_bytes(), Format::Json);
    compiled.unwrap_or_else(|mistakes| panic!("{mistakes:?}")).rules
}

fn identity(id: &str) -> Svid {
    thread_local! {
        static KNOWN: RefCell<HashMap<String, Svid>> = RefCell::default();
    }
    KNOWN.with_borrow_mut(|known| known.entry(id.to_owned()).or_insert_with(|| svid(id)).clone())
}

fn decide(rules: &RuleSet, asked: &Asked) -> Answer {
    let headers: &[(String, String)] = &asked.headers;
    let headers: &dyn Headers = &headers;
    let http = HttpRequest {
        method: asked.method.as_bytes(),
        authority: asked.host.as_bytes(),
        path: asked.path.as_deref(),
        headers,
    };
    let request = Request {
        http: (!asked.tcp).then_some(http),
        route: asked.route.as_deref().map(str::as_bytes),
        port: asked.port,
        sni: asked.sni.as_deref().map(str::as_bytes),
        source_ip: asked.source,
    };
    let grants = rules.specialise(&identity(&asked.id));
    let decision = grants.decide(&request, asked.now);
    Answer {
        effect: decision.effect.as_str(),
        reason: decision.reason.code(),
        rule: decision.rule.map(str::to_owned),
        dry_run: decision
            .dry_run
            .map(|dry_run| (dry_run.effect.as_str(), dry_run.rule.to_owned())),
    }
}

#[test]
fn compiled_decisions_are_those_of_a_naive_evaluator() {
    let compared = |(document, requests): (Value, Vec<Asked>)| {
        let document = compiling(&document);
        let rules = compile(&document);
        for asked in &requests {
            let (found, expected) = (decide(&rules, asked), evaluator::decide(&document, asked));
            prop_assert_eq!(found, expected, "{:?}\n{:#}", asked, document);
        }
        Ok(())
    };
    TestRunner::new(config(CASES))
        .run(&generator::case(), compared)
        .unwrap();
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
        prop::collection::vec(any::<u8>(), generator::MAX_RULES),
    );
    TestRunner::new(config(CASES / 4)).run(&cases, compared).unwrap();
}

#[test]
fn whoever_is_refused_at_the_connection_would_be_refused_at_every_request() {
    let compared = |(document, requests): (Value, Vec<Asked>)| {
        let document = compiling(&document);
        let rules = compile(&document);
        for asked in &requests {
            let grants = rules.specialise(&identity(&asked.id));
            let admitted = grants.admit(asked.now).is_allowed();
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
