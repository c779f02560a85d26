//! Deciding takes no memory. Allocations of the deciding thread are counted by the allocator itself.

use std::collections::BTreeMap;

use reference::identity::{NOW, svid};
use serde_json::{Value, json};
use svidgate_policy::{Grants, Headers, HttpRequest, Request};

use crate::decisions::{rules, shown};

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn grants(document: Value) -> Grants {
    let rules = rules(&BTreeMap::new(), document.as_array().unwrap());
    rules.specialise(&svid("spiffe://prod.example/ns/shop/tenant/acme"))
}

/// What a request for a path is answered, and how often the answer allocated.
fn decided(grants: &Grants, path: &str, headers: &[(&str, &str)]) -> (String, u64) {
    let headers: &dyn Headers = &headers;
    let http = HttpRequest {
        method: b"GET",
        authority: b"Api.Shop.Example.:8443",
        path: Some(path.as_bytes()),
        headers,
    };
    let request = Request {
        http: Some(http),
        route: Some(b"invoices"),
        port: Some(8443),
        sni: Some(b"api.shop.example"),
        source_ip: Some("::ffff:10.0.0.1".parse().unwrap()),
    };
    let mut decision = None;
    let allocated = allocation_counter::measure(|| decision = Some(grants.decide(&request, NOW)));
    (shown(&decision.unwrap()).0, allocated.count_total)
}

fn everything() -> Grants {
    let target = json!({
        "paths": ["/invoices/{t}/**", "/caf\u{e9}/*/{t}"], "methods": ["POST", "GET"], "hosts": ["x", "*.shop.example"],
        "routes": ["invoices"], "ports": [8443], "sni": ["api.shop.example"],
    });
    let when = json!({
        "headers": [{ "name": "x-env", "is": "prod" }, { "name": "x-id", "present": true }],
        "not_headers": [{ "name": "x-debug", "is": "on" }],
        "source_ips": ["10.0.0.0/8"], "not_source_ips": ["10.1.0.0/16"],
        "time": [{ "days": ["mon"], "from": "08:00", "until": "18:00" }], "not_time": [{ "from": "22:00", "until": "02:00" }],
    });
    grants(json!([
        { "name": "own", "effect": "allow", "from": ["spiffe://prod.example/ns/*/tenant/{t}"], "to": [target], "when": when },
        { "name": "over", "effect": "allow", "from": ["spiffe://prod.example/**"], "expires": "2026-01-01T00:00:00Z" },
        { "name": "no-admin", "effect": "deny", "from": ["spiffe://*/**"], "to": [{ "paths": ["/admin/**"] }] },
        { "name": "try", "effect": "deny", "from": ["spiffe://prod.example/ns/shop/tenant/acme"], "dry_run": true },
        { "name": "projects", "effect": "allow", "from": ["spiffe://prod.example/**"],
          "to": [{ "routes": ["invoices"], "paths": ["/projects/**"], "encoded_slashes": true }] },
    ]))
}

#[test]
fn decision_allocates_nothing() {
    let grants = everything();
    let long = format!("/invoices/acme/{}", "%61/".repeat(4_000));
    let headers = [
        ("x-env", "prod"),
        ("x-id", ""),
        ("x-debug", "off, no"),
        ("x-env", "prod"),
    ];
    for (path, expected) in [
        ("/invoices/acme/2026/11?x=1", "allow rule.allowed own"),
        ("/invoices/%61cme", "allow rule.allowed own"),
        ("/caf%C3%A9/x/%61cme", "allow rule.allowed own"),
        (&long, "allow rule.allowed own"),
        ("/invoices/other", "deny rule.expired over"),
        ("/%61dmin/x", "deny rule.denied no-admin"),
        ("/projects/a%2Fb%2fc", "allow rule.allowed projects"),
        ("/admin/a%2Fb", "deny request.ambiguous_path"),
        ("/invoices/acme/../other", "deny request.ambiguous_path"),
        ("/%c0%af", "deny request.ambiguous_path"),
        ("", "deny request.malformed"),
    ] {
        assert_eq!(decided(&grants, path, &headers), (expected.to_owned(), 0), "{path}");
    }
    let allocated = allocation_counter::measure(|| assert!(grants.admit(NOW).is_allowed()));
    assert_eq!(allocated.count_total, 0);
}

#[test]
fn decision_with_a_regular_expression_allocates_only_the_first_time() {
    let when = json!({ "headers": [{ "name": "x-version", "matches": "(v[0-9]+|w.*x)(-[a-z]{1,8})?" }] });
    let grants = grants(json!([
        { "name": "r", "effect": "allow", "from": ["spiffe://prod.example/**"], "when": when },
    ]));
    let longest = format!("w{}x", "a".repeat(1_000));
    let asked = [
        ("v12", "allow rule.allowed r"),
        ("v12-beta", "allow rule.allowed r"),
        (&longest, "allow rule.allowed r"),
        ("v", "deny rule.none_matched"),
        ("v1, v2", "deny rule.none_matched"),
    ];
    // The engine of the library that a value is matched by depends on its length; each takes its memory once.
    for (value, expected) in asked {
        assert_eq!(decided(&grants, "/", &[("x-version", value)]).0, expected, "{value}");
    }
    for (value, expected) in asked {
        assert_eq!(
            decided(&grants, "/", &[("x-version", value)]),
            (expected.to_owned(), 0),
            "{value}"
        );
    }
}
