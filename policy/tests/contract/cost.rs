//! What one answer may cost: beyond it there is one reason, whatever the rules would have said.
//!
//! No test here looks at a clock: steps are counted, so the same request is refused on every machine.

use std::collections::BTreeMap;

use reference::identity::{NOW, svid};
use serde_json::{Value, json};
use svidgate_policy::{Grants, Headers, HttpRequest, Request, RuleSet};

use crate::decisions::{rules, shown};

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

const ID: &str = "spiffe://prod.example/ns/shop/sa/api";

fn rules_of(list: &[Value]) -> RuleSet {
    rules(&BTreeMap::new(), list)
}

fn grants(list: &[Value]) -> Grants {
    rules_of(list).specialise(&svid(ID))
}

fn decided(grants: &Grants, path: &str, headers: &[(&str, &str)]) -> String {
    let headers: &dyn Headers = &headers;
    let http = HttpRequest {
        method: b"GET",
        authority: b"api.example",
        path: Some(path.as_bytes()),
        headers,
    };
    let request = Request {
        http: Some(http),
        ..Request::default()
    };
    shown(&grants.decide(&request, NOW)).0
}

/// `count` rules, each made of its number.
fn many(count: usize, rule: impl Fn(usize) -> Value) -> Vec<Value> {
    (0..count)
        .map(|number| {
            let mut rule = rule(number);
            rule["name"] = json!(format!("r{number}"));
            rule["effect"] = json!("allow");
            rule
        })
        .collect()
}

#[test]
fn identity_that_thousands_of_from_match_is_served_and_tens_of_thousands_are_refused() {
    let own = |count| {
        many(
            count,
            |number| json!({ "from": [ID, format!("spiffe://prod.example/x{number}")] }),
        )
    };
    let served = grants(&own(7_000));
    assert_eq!(decided(&served, "/", &[]), "allow rule.allowed r0");
    // Found, but too many for a request to look into all of them.
    let admitted = grants(&own(8_000));
    assert_eq!(shown(&admitted.admit(NOW)).0, "allow rule.allowed");
    assert_eq!(decided(&admitted, "/", &[]), "deny rule.too_costly");
    let refused = grants(&own(20_000));
    assert_eq!(decided(&refused, "/", &[]), "deny rule.too_costly");
    assert_eq!(shown(&refused.admit(NOW)).0, "deny rule.too_costly");
}

#[test]
fn rules_of_one_path_are_asked_by_the_thousand_and_no_further() {
    let elsewhere = json!([{ "paths": ["/a"], "methods": ["POST"] }]);
    let rules = |count| many(count, |_| json!({ "from": [ID], "to": elsewhere }));
    assert_eq!(decided(&grants(&rules(5_000)), "/a", &[]), "deny rule.none_matched");
    assert_eq!(decided(&grants(&rules(30_000)), "/a", &[]), "deny rule.too_costly");
    assert_eq!(decided(&grants(&rules(30_000)), "/b", &[]), "deny rule.none_matched");
}

#[test]
fn rules_with_conditions_of_their_own_cost_more_than_rules_without() {
    let when = json!({ "headers": [{ "name": "x-absent", "present": true }] });
    let rules = |count| {
        many(
            count,
            |_| json!({ "from": [ID], "to": [{ "paths": ["/a"] }], "when": when }),
        )
    };
    assert_eq!(decided(&grants(&rules(4_000)), "/a", &[]), "deny rule.none_matched");
    assert_eq!(decided(&grants(&rules(5_000)), "/a", &[]), "deny rule.too_costly");
}

#[test]
fn ten_thousand_routes_under_one_prefix_cost_one() {
    let rules = many(
        10_000,
        |number| json!({ "from": [ID], "to": [{ "paths": [format!("/a/{number}")] }] }),
    );
    assert_eq!(decided(&grants(&rules), "/a/9999", &[]), "allow rule.allowed r9999");
}

#[test]
fn entries_of_lists_are_counted() {
    let hosts: Vec<String> = (0..60_000).map(|number| format!("h{number}")).collect();
    let rules = |hosts: &[String]| many(1, |_| json!({ "from": [ID], "to": [{ "hosts": hosts }] }));
    assert_eq!(
        decided(&grants(&rules(&hosts[..10_000])), "/", &[]),
        "deny rule.none_matched"
    );
    assert_eq!(decided(&grants(&rules(&hosts)), "/", &[]), "deny rule.too_costly");
}

#[test]
fn every_turn_through_wildcards_is_counted() {
    // A path of `a` alone goes both ways at each of 15 segments.
    let path = |number: usize| -> String {
        (0..15)
            .map(|bit| if number >> bit & 1 == 1 { "/a" } else { "/*" })
            .collect()
    };
    let rules = many(
        1 << 15,
        |number| json!({ "from": [ID], "to": [{ "paths": [path(number)] }] }),
    );
    let grants = grants(&rules);
    assert_eq!(decided(&grants, &"/a".repeat(15), &[]), "deny rule.too_costly");
    assert_eq!(decided(&grants, &"/b".repeat(15), &[]), "allow rule.allowed r0");
}

#[test]
fn expressions_cost_their_size_for_each_byte() {
    let when =
        |expression: &str| json!({ "from": [ID], "when": { "headers": [{ "name": "x", "matches": expression }] } });
    let large = grants(&many(1, |_| when(".*a.{700}")));
    assert_eq!(decided(&large, "/", &[("x", "short")]), "deny rule.none_matched");
    assert_eq!(
        decided(&large, "/", &[("x", &"a".repeat(4_000))]),
        "deny rule.too_costly"
    );
    let small = grants(&many(1, |_| when("v[0-9]+")));
    assert_eq!(
        decided(&small, "/", &[("x", &format!("v{}", "1".repeat(4_000)))]),
        "allow rule.allowed r0"
    );
    let hundred = grants(&many(100, |number| when(&format!("v{number}"))));
    assert_eq!(decided(&hundred, "/", &[("x", "v99")]), "allow rule.allowed r99");
    let list = format!("{},v1", "x,".repeat(1_000));
    assert_eq!(decided(&hundred, "/", &[("x", &list)]), "deny rule.too_costly");
}

#[test]
fn long_values_are_counted_for_each_condition_that_compares_them() {
    let when =
        |number: usize| json!({ "from": [ID], "when": { "headers": [{ "name": "x", "is": number.to_string() }] } });
    let grants = grants(&many(100, when));
    assert_eq!(decided(&grants, "/", &[("x", "99")]), "allow rule.allowed r99");
    for value in [",".repeat(60_000), "a".repeat(60_000)] {
        assert_eq!(decided(&grants, "/", &[("x", &value)]), "deny rule.too_costly");
        let lines: Vec<(&str, &str)> = value
            .as_bytes()
            .chunks(600)
            .map(|line| ("x", std::str::from_utf8(line).unwrap()))
            .collect();
        assert_eq!(decided(&grants, "/", &lines), "deny rule.too_costly");
    }
}

#[test]
fn long_segments_are_counted_for_each_router_that_reads_them() {
    let rules = many(
        2_500,
        |number| json!({ "from": [ID, format!("spiffe://prod.example/x{number}")], "to": [{ "paths": ["/a/*"] }] }),
    );
    let grants = grants(&rules);
    assert_eq!(decided(&grants, "/a/b", &[]), "allow rule.allowed r0");
    // A multiple of the bytes in a step, so that nothing but whole steps counts.
    for bytes in [50_000, 50_048] {
        assert_eq!(
            decided(&grants, &format!("/a/{}", "b".repeat(bytes)), &[]),
            "deny rule.too_costly"
        );
    }
}

/// An entry that reads encoded slashes below `/a`, for a method that nobody asks with.
fn encoded_slashes() -> Value {
    json!({ "routes": ["r"], "paths": ["/a/**"], "methods": ["POST"], "encoded_slashes": true })
}

#[test]
fn both_readings_of_a_path_are_paid_from_one_decision() {
    let below_a = grants(&many(10_000, |_| json!({ "from": [ID], "to": [encoded_slashes()] })));
    assert_eq!(decided(&below_a, "/a/b/c", &[]), "deny rule.none_matched");
    assert_eq!(decided(&below_a, "/a/b%2Fc", &[]), "deny rule.too_costly");
    assert_eq!(decided(&below_a, "/b%2Fc", &[]), "deny request.ambiguous_path");
    let one = grants(&many(1, |_| json!({ "from": [ID], "to": [encoded_slashes()] })));
    assert_eq!(
        decided(&one, &format!("/a{}", "/b%2Fc".repeat(4_000)), &[]),
        "deny request.ambiguous_path"
    );
    assert_eq!(
        decided(&one, &format!("/a{}", "/b%2Fc".repeat(10_000)), &[]),
        "deny rule.too_costly"
    );
}

#[test]
fn search_for_encoded_slashes_is_counted_for_each_router() {
    let rules = |count| {
        many(count, |number| {
            let from = [ID.to_owned(), format!("spiffe://prod.example/x{number}")];
            json!({ "from": from, "to": [{ "routes": ["r"], "paths": ["/*/a"], "encoded_slashes": true }] })
        })
    };
    let path = format!("/{}%2Fb", "%41".repeat(1_000));
    let few = grants(&rules(50));
    assert_eq!(decided(&few, &path, &[]), "deny request.ambiguous_path");
    let more = grants(&rules(150));
    assert_eq!(decided(&more, &path, &[]), "deny rule.too_costly");
    assert_eq!(decided(&more, &path.replace("%2F", "/"), &[]), "deny rule.none_matched");
}

#[test]
fn dry_run_that_alone_reads_encoded_slashes_pays_for_all_that_it_asks() {
    let mut rules = many(
        10_000,
        |_| json!({ "from": [ID], "to": [{ "paths": ["/a/**"], "methods": ["POST"] }] }),
    );
    let mut entry = encoded_slashes();
    entry["paths"] = json!(["/**"]);
    rules.push(json!({ "name": "dry", "effect": "allow", "from": [ID], "to": [entry], "dry_run": true }));
    let grants = grants(&rules);
    let ambiguous = "deny request.ambiguous_path".to_owned();
    assert_eq!(
        would_be(&grants, "/a/b%2Fc", &[]),
        (ambiguous.clone(), Some("unknown".to_owned()))
    );
    assert_eq!(would_be(&grants, "/b/b%2Fc", &[]), (ambiguous, None));
    assert_eq!(
        would_be(&grants, "/a/b/c", &[]),
        ("deny rule.none_matched".to_owned(), None)
    );
}

#[test]
fn identity_with_too_many_from_is_not_told_what_a_dry_run_would_open() {
    let mut rules = many(
        20_000,
        |number| json!({ "from": [ID, format!("spiffe://prod.example/x{number}")] }),
    );
    let entry = json!({ "methods": ["GET"], "routes": ["r"], "encoded_slashes": true });
    rules.push(json!({ "name": "dry", "effect": "allow", "from": [ID], "to": [entry], "dry_run": true }));
    let request = |grants: &Grants| {
        let headers: &[(&str, &str)] = &[];
        let http = HttpRequest {
            method: b"GET",
            authority: b"",
            path: Some(b"/a%2Fb"),
            headers: &headers,
        };
        let request = Request {
            http: Some(http),
            route: Some(b"r"),
            ..Request::default()
        };
        shown(&grants.decide(&request, NOW))
    };
    let ambiguous = "deny request.ambiguous_path".to_owned();
    assert_eq!(request(&grants(&rules)), (ambiguous.clone(), None));
    assert_eq!(
        request(&grants(&rules[20_000..])),
        (ambiguous, Some("allow dry".to_owned()))
    );
}

#[test]
fn deny_rule_that_was_found_does_not_change_the_reason() {
    let mut rules = many(30_000, |_| json!({ "from": [ID], "to": [{ "methods": ["POST"] }] }));
    rules.insert(0, json!({ "name": "deny", "effect": "deny", "from": [ID] }));
    assert_eq!(decided(&grants(&rules), "/", &[]), "deny rule.too_costly");
}

/// Said when the document is compiled, not when the first request is refused.
#[test]
fn principal_that_can_only_be_refused_for_what_it_costs_is_told_of() {
    let told = |rules: &[Value]| rules_of(rules).too_costly(true).map(|told| told.to_string());
    let advice = " (fewer different `from` and exceptions, or fewer rules without paths, for this identity)";
    let own = |count| {
        many(
            count,
            |number| json!({ "from": [ID, format!("spiffe://prod.example/x{number}")] }),
        )
    };
    assert_eq!(told(&own(7_000)), None);
    let expected =
        format!("`{ID}` can only ever get rule.too_costly: each request takes 56000 steps at least, of 50000{advice}");
    assert_eq!(told(&own(8_000)), Some(expected));
    let expected =
        format!("`{ID}` can only ever get rule.too_costly: to find its rules takes more than 220000 steps{advice}");
    assert_eq!(told(&own(20_000)), Some(expected));
    // Rules without paths, of one `from`; those with paths depend on the request.
    let same = |target: Value| {
        many(
            60_000,
            |_| json!({ "from": ["spiffe://prod.example/ns/**"], "to": [target] }),
        )
    };
    let example = "spiffe://prod.example/ns/any";
    let expected = format!(
        "`{example}` can only ever get rule.too_costly: each request takes 60006 steps at least, of 50000{advice}"
    );
    assert_eq!(told(&same(json!({ "methods": ["GET"] }))), Some(expected));
    assert_eq!(told(&same(json!({ "paths": ["/a"] }))), None);
    // In a dry run it costs nothing.
    let mut dry = own(8_000);
    dry.iter_mut().for_each(|rule| rule["dry_run"] = json!(true));
    assert_eq!(told(&dry), None);
    // Many, none of which has much.
    let many_ids = many(
        60_000,
        |number| json!({ "from": [format!("spiffe://prod.example/x{number}")] }),
    );
    assert_eq!(told(&many_ids), None);
}

/// The answer, and what it would be with the rules in a dry run.
fn would_be(grants: &Grants, path: &str, headers: &[(&str, &str)]) -> (String, Option<String>) {
    let headers: &dyn Headers = &headers;
    let http = HttpRequest {
        method: b"GET",
        authority: b"",
        path: Some(path.as_bytes()),
        headers,
    };
    let request = Request {
        http: Some(http),
        ..Request::default()
    };
    shown(&grants.decide(&request, NOW))
}

/// Rules in a dry run, and one that allows everything.
fn beside_a_dry_run(mut dry: Vec<Value>) -> Grants {
    for rule in &mut dry {
        rule["dry_run"] = json!(true);
        rule["effect"] = json!("deny");
    }
    dry.push(json!({ "name": "all", "effect": "allow", "from": [ID, "spiffe://prod.example/ns/**"] }));
    grants(&dry)
}

#[test]
fn dry_run_that_costs_too_much_to_decide_loses_what_would_be_and_nothing_else() {
    let allowed = || "allow rule.allowed all".to_owned();
    let lost = || Some("unknown".to_owned());
    let expression = beside_a_dry_run(many(
        1,
        |_| json!({ "from": [ID], "when": { "headers": [{ "name": "x", "matches": ".*a.{700}" }] } }),
    ));
    let long = "a".repeat(4_000);
    assert_eq!(would_be(&expression, "/", &[("x", "b")]), (allowed(), None));
    assert_eq!(would_be(&expression, "/", &[("x", &long)]), (allowed(), lost()));
    let same_path = json!([{ "paths": ["/a"], "methods": ["POST"] }]);
    let rules = beside_a_dry_run(many(60_000, |_| json!({ "from": [ID], "to": same_path })));
    assert_eq!(would_be(&rules, "/a", &[]), (allowed(), lost()));
    assert_eq!(would_be(&rules, "/b", &[]), (allowed(), None));
    let from = beside_a_dry_run(many(
        9_000,
        |number| json!({ "from": [ID, format!("spiffe://prod.example/x{number}")], "to": [{ "paths": ["/a"] }] }),
    ));
    assert_eq!(would_be(&from, "/b", &[]), (allowed(), lost()));
}

#[test]
fn dry_run_that_costs_too_much_to_specialise_loses_what_would_be_and_nothing_else() {
    let rules = beside_a_dry_run(many(
        20_000,
        |number| json!({ "from": [ID, format!("spiffe://prod.example/x{number}")] }),
    ));
    let lost = ("allow rule.allowed all".to_owned(), Some("unknown".to_owned()));
    assert_eq!(would_be(&rules, "/", &[]), lost);
    assert_eq!(shown(&rules.admit(NOW)), ("allow rule.allowed".to_owned(), None));
    // The patterns of a dry run are none that anything else has to go through.
    let pattern = |number: usize| -> String {
        (0..15)
            .map(|bit| if number >> bit & 1 == 1 { "/a" } else { "/*" })
            .collect()
    };
    let mut dry = many(
        1 << 15,
        |number| json!({ "from": [format!("spiffe://prod.example{}", pattern(number))] }),
    );
    for rule in &mut dry {
        rule["dry_run"] = json!(true);
    }
    dry.push(json!({ "name": "all", "effect": "deny", "from": ["spiffe://prod.example/**"] }));
    let deep = rules_of(&dry).specialise(&svid(&format!("spiffe://prod.example{}", "/a".repeat(15))));
    assert_eq!(
        would_be(&deep, "/", &[]),
        ("deny rule.denied all".to_owned(), Some("unknown".to_owned()))
    );
}

#[test]
fn ports_are_listed_by_the_thousand() {
    let ports: Vec<u16> = (1024..=65_535).rev().collect();
    let grants = grants(&many(100, |_| json!({ "from": [ID], "to": [{ "ports": ports }] })));
    for (port, expected) in [(8443, "allow rule.allowed r0"), (443, "deny rule.none_matched")] {
        let request = Request {
            port: Some(port),
            ..Request::default()
        };
        assert_eq!(shown(&grants.decide(&request, NOW)).0, expected);
    }
}

#[test]
fn host_that_is_too_long_to_be_a_name_is_unknown() {
    let rules = |effect: &str| {
        let rule = json!({ "name": "r", "effect": effect, "from": [ID], "to": [{ "hosts": ["*.example"] }] });
        rules(
            &BTreeMap::new(),
            &[
                rule,
                json!({ "name": "all", "effect": "allow", "from": [ID], "to": [{ "paths": ["/open"] }] }),
            ],
        )
        .specialise(&svid(ID))
    };
    let asked = |grants: &Grants, path: &str| {
        let long = format!("{}.example", "a".repeat(60_000));
        let headers: &[(&str, &str)] = &[];
        let http = HttpRequest {
            method: b"GET",
            authority: long.as_bytes(),
            path: Some(path.as_bytes()),
            headers: &headers,
        };
        let request = Request {
            http: Some(http),
            ..Request::default()
        };
        shown(&grants.decide(&request, NOW)).0
    };
    assert_eq!(asked(&rules("allow"), "/"), "deny rule.none_matched");
    assert_eq!(asked(&rules("deny"), "/open"), "deny rule.denied r");
    assert_eq!(asked(&rules("allow"), "/open"), "allow rule.allowed all");
}
