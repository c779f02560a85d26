//! What the crate answers, in the words of the evaluator.

use std::{cell::RefCell, collections::HashMap};

use serde_json::{Value, json};
use svidgate_policy::{Configuration, Format, Headers, HttpRequest, PeerOrigin, Request, Svid};

use crate::evaluator::{Answer, Asked};
use crate::identity::{svid, vouched};

/// Leaves out the rules that do not compile by themselves: they could never match.
pub fn compiling(document: &Value) -> Value {
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

/// A document that compiles.
pub fn compile(document: &Value) -> Configuration {
    let compiled = Configuration::compile(document.to_string().as_bytes(), Format::Json);
    compiled.unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
}

/// Whether somebody has any grant, as it is asked at the connection.
pub fn admits(compiled: &Configuration, asked: &Asked) -> bool {
    let grants = compiled.rules.specialise(&identity(compiled, &asked.id));
    grants.admit(asked.now).is_allowed()
}

/// Who asks, in the way in which the document learns it.
fn identity(compiled: &Configuration, id: &str) -> Svid {
    thread_local! {
        static KNOWN: RefCell<HashMap<String, [Svid; 2]>> = RefCell::default();
    }
    KNOWN.with_borrow_mut(|known| {
        // Those of the generator are a few hundred; a fuzzer makes up ever more.
        if known.len() >= 1_000 {
            known.clear();
        }
        let [certified, vouched] = known
            .entry(id.to_owned())
            .or_insert_with(|| [svid(id), vouched(id)])
            .clone();
        match compiled.peer {
            PeerOrigin::Id { .. } => vouched,
            PeerOrigin::Handshake | PeerOrigin::Certificate { .. } => certified,
        }
    })
}

/// What the crate decides.
pub fn decide(compiled: &Configuration, asked: &Asked) -> Answer {
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
    let grants = compiled.rules.specialise(&identity(compiled, &asked.id));
    let decision = grants.decide(&request, asked.now);
    assert!(!decision.would_be_is_unknown);
    Answer {
        effect: decision.effect.as_str(),
        reason: decision.reason.code(),
        rule: decision.rule.map(str::to_owned),
        dry_run: decision
            .dry_run
            .map(|dry_run| (dry_run.effect.as_str(), dry_run.rule.to_owned())),
    }
}
