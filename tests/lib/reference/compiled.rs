//! What the crate answers, in the words of the evaluator.

use std::{cell::RefCell, collections::HashMap};

use serde_json::{Value, json};
use svidgate_policy::{Assertion, Configuration, Format, Headers, HttpRequest, PeerOrigin, Request, Svid, Way};

use crate::evaluator::{ANONYMOUS, Answer, Asked};
use crate::identity::{svid, vouched};

/// Leaves out the rules that do not compile by themselves: they could never match. Hops have a rule that lets somebody
/// through, or are left out with those that name them.
pub fn compiling(document: &Value) -> Value {
    let with = |document: &Value, rules: Vec<&Value>| {
        let mut document = document.clone();
        document["rules"] = json!(rules);
        document
    };
    let compiles = |document: &Value| Configuration::compile(document.to_string().as_bytes(), Format::Json).is_ok();
    let mut document = document.clone();
    let used = used_hops(&document);
    let is_good = used.as_ref().is_none_or(|used| compiles(&with(&document, vec![used])));
    if !is_good {
        let members = document.as_object_mut().unwrap();
        members.retain(|name, _| name != "hops" && name != "jwt_svid");
    }
    let used = used.as_ref().filter(|_| is_good);
    let alone = |rule: &Value| compiles(&with(&document, [rule].into_iter().chain(used).collect()));
    let rules = document["rules"].as_array().unwrap();
    let rules = rules.iter().filter(|rule| alone(rule)).chain(used).collect();
    with(&document, rules)
}

/// A rule that lets everybody through all hops to one place.
fn used_hops(document: &Value) -> Option<Value> {
    let hops = document.get("hops")?.as_array()?;
    let names: Vec<&Value> = hops.iter().map(|hop| &hop["name"]).collect();
    Some(
        json!({ "name": "uses", "effect": "allow", "from": ["spiffe://*/**"], "via": names,
                 "to": [{ "paths": ["/uses"] }] }),
    )
}

/// A document that compiles.
pub fn compile(document: &Value) -> Configuration {
    let compiled = Configuration::compile(document.to_string().as_bytes(), Format::Json);
    compiled.unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
}

/// Whether somebody has any grant, as it is asked at the connection.
pub fn admits(compiled: &Configuration, asked: &Asked) -> bool {
    // Whoever brings it is the one who connects.
    let peer = asked.through.first().unwrap_or(&asked.id);
    let grants = if peer == ANONYMOUS {
        compiled.rules.anonymous()
    } else {
        Some(compiled.rules.specialise(&identity(compiled, peer)))
    };
    grants.is_some_and(|grants| grants.admit(asked.now).is_allowed())
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
    let by = if asked.through == [ANONYMOUS] {
        Assertion::JwtSvid
    } else {
        Assertion::Xfcc
    };
    let specialise = |id: &String| match (&**id, compiled.rules.anonymous()) {
        (ANONYMOUS, Some(anonymous)) => Ok(anonymous),
        (ANONYMOUS, None) => Err("connection.no_certificate"),
        (id, _) => Ok(compiled.rules.specialise(&identity(compiled, id))),
    };
    let hops = asked.through.iter().map(specialise).collect::<Result<Vec<_>, _>>();
    let (caller, hops) = match (specialise(&asked.id), hops) {
        (Ok(caller), Ok(hops)) => (caller, hops),
        (Err(reason), _) | (_, Err(reason)) => {
            return Answer {
                effect: "deny",
                reason,
                rule: None,
                dry_run: None,
            };
        }
    };
    let way = match &hops[..] {
        [] => Way::direct(&caller),
        hops => Way::through(hops, &caller, by),
    };
    let way = if asked.by_name { way.by_name() } else { way };
    let decision = way.decide(&request, asked.now);
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
