//! `svidgate explain` and `svidgate can`, as a shell sees them.

use ca::{Authority, Profile, bundle_json, real_now};
use serde_json::Value;

use crate::stage::Stage;

const POLICY: &str = r#"trust_domain: prod.example
chain: proxy
federation:
  - { trust_domain: partner.example, scope: [ "/ns/billing/**" ], expires: 2027-06-30T00:00:00Z }
revoked: [ { id: "spiffe://prod.example/ns/shop/sa/old" } ]
rules:
  - name: shop-reads-orders
    effect: allow
    from: [ "spiffe://prod.example/ns/shop/**" ]
    to:
      - methods: [ GET, HEAD ]
        paths: [ "/orders/**" ]
  - name: tenants
    effect: allow
    from: [ "spiffe://partner.example/ns/billing/tenant/{tenant}" ]
    to: [ { paths: [ "/invoices/{tenant}/**" ] } ]
  - name: orders-by-day
    effect: deny
    from: [ "spiffe://*/**" ]
    to: [ { paths: [ "/orders/closed/**" ] } ]
    when: { headers: [ { name: x-env, is: prod } ] }
"#;

const API: &str = "spiffe://prod.example/ns/shop/sa/api";

fn stage() -> Stage {
    Stage::new(&[("policy.yaml", POLICY)])
}

#[test]
fn answer_comes_with_its_demands_and_the_nearest_rule() {
    let stage = stage();
    let ended = stage.run(&["explain", "--id", API, "POST", "/orders/1", "policy.yaml"]);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    for line in [
        "deny rule.none_matched\n",
        "spiffe://prod.example/ns/shop/sa/api asks POST /orders/1\n",
        "  shop-reads-orders, allow: does not apply (policy.yaml:7)\n",
        "    no       methods: [ GET, HEAD ]\n",
        "    yes      paths: [ \"/orders/**\" ]\n",
        "  shop-reads-orders would allow it but for methods: [ GET, HEAD ]\n",
    ] {
        assert!(ended.out.contains(line), "{line}\n{}", ended.out);
    }
    assert!(!ended.out.contains("tenants,"), "{}", ended.out);
    assert!(
        ended.out.lines().all(|line| line.chars().count() <= 80),
        "{}",
        ended.out
    );
    let all = stage.run(&["explain", "--all", "--id", API, "POST", "/orders/1", "policy.yaml"]);
    assert!(all.out.contains("  tenants, allow: does not apply"), "{}", all.out);
}

#[test]
fn what_is_not_known_is_said_to_be_so() {
    let stage = stage();
    let arguments = [
        "explain",
        "--id",
        API,
        "--header",
        "x-env=prod,test",
        "GET",
        "/orders/closed/1",
        "policy.yaml",
    ];
    let ended = stage.run(&arguments);
    assert!(
        ended.out.starts_with("deny rule.denied orders-by-day\n"),
        "{}",
        ended.out
    );
    assert!(
        ended
            .out
            .contains("    unknown  when.headers[0]: { name: x-env, is: prod }\n"),
        "{}",
        ended.out
    );
    let without = stage.run(&["explain", "--id", API, "GET", "/orders/closed/1", "policy.yaml"]);
    assert!(
        without.out.starts_with("allow rule.allowed shop-reads-orders\n"),
        "{}",
        without.out
    );
}

#[test]
fn json_and_markdown_say_the_same() {
    let stage = stage();
    let arguments = ["explain", "--id", API, "POST", "/orders/1", "policy.yaml", "--format"];
    let json = stage.run(&[&arguments[..], &["json"]].concat());
    let json: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["schema"], "svidgate/explain/v1");
    assert_eq!(
        (&json["effect"], &json["reason"]),
        (&"deny".into(), &"rule.none_matched".into())
    );
    assert_eq!(json["nearest"][0]["missing"][0]["place"], "rules[0].to[0].methods");
    assert_eq!(json["rules"][0]["line"], 7);
    let markdown = stage.run(&[&arguments[..], &["markdown"]].concat());
    assert!(markdown.out.contains("| no |"), "{}", markdown.out);
}

/// Whoever is nobody to the document is refused before any rule, and the words say why.
#[test]
fn id_that_does_not_stand_is_refused_for_its_own_reason() {
    let stage = stage();
    let explain = |id: &str, at: &str| {
        stage
            .run(&["explain", "--id", id, "--at", at, "GET", "/invoices/a", "policy.yaml"])
            .out
    };
    let now = "2026-11-29T00:00:00Z";
    let first = |text: String| text.lines().next().unwrap_or_default().to_owned();
    let cases = [
        (
            "spiffe://partner.example/ns/other/x",
            now,
            "deny federation.out_of_scope",
        ),
        (
            "spiffe://partner.example/ns/billing/tenant/a",
            "2027-06-30T00:00:00Z",
            "deny federation.expired",
        ),
        ("spiffe://prod.example/ns/shop/sa/old", now, "deny svid.revoked"),
        ("spiffe://evil.example/x", now, "deny federation.unknown_trust_domain"),
        (
            "spiffe://partner.example/ns/billing/tenant/a",
            now,
            "allow rule.allowed tenants",
        ),
    ];
    for (id, at, expected) in cases {
        assert_eq!(first(explain(id, at)), expected, "{id}");
    }
}

/// An SVID goes through the whole verifier, and the first step that fails is shown.
#[test]
fn svid_is_verified_as_the_proxy_would() {
    let authority = Authority::of("prod.example", real_now());
    let other = Authority::of("prod.example", real_now());
    let document = |authority: &Authority| {
        let bundle = bundle_json(&[authority]);
        POLICY
            .replace("chain: proxy", &format!("bundle: {{ inline: {bundle} }}"))
            .replace("expires: 2027-06-30T00:00:00Z }", "bundle: { inline: { keys: [] } } }")
    };
    let stage = Stage::new(&[("good.yaml", &document(&authority)), ("bad.yaml", &document(&other))]);
    let leaf = authority.issue(Profile::svid(API, real_now())).leaf_pem();
    stage.write("leaf.pem", leaf.as_bytes());
    let explain = |policy: &str| {
        stage
            .run(&["explain", "--svid", "leaf.pem", "GET", "/orders/1", policy])
            .out
    };
    let good = explain("good.yaml");
    assert!(
        good.contains("  holds          a path to one of its authorities"),
        "{good}"
    );
    assert!(good.contains("allow rule.allowed shop-reads-orders"), "{good}");
    let bad = explain("bad.yaml");
    assert!(bad.starts_with("deny svid.bad_signature\n"), "{bad}");
    assert!(
        bad.contains("  fails          a path to one of its authorities"),
        "{bad}"
    );
}

#[test]
fn code_is_explained_by_its_page() {
    let stage = Stage::new(&[]);
    assert!(stage.run(&["explain", "sg0001"]).out.starts_with("SG0001: "));
    let reason = stage.run(&["explain", "rule.denied"]);
    assert!(reason.code == 0 && reason.out.contains("What to do"), "{}", reason.out);
    let unknown = stage.run(&["explain", "rule.unheard_of"]);
    assert_eq!(unknown.code, 3);
    assert!(unknown.err.contains("no code of a finding"), "{}", unknown.err);
}

#[test]
fn can_says_it_in_one_line_and_one_number() {
    let stage = stage();
    let can = |id: &str, request: &[&str]| {
        let ended = stage.run(&[&["can", id], request, &["policy.yaml"]].concat());
        (ended.code, ended.out)
    };
    assert_eq!(
        can(API, &["GET", "/orders/1"]),
        (0, "allow rule.allowed shop-reads-orders\n".to_owned())
    );
    assert_eq!(
        can(API, &["DELETE /orders/1"]),
        (1, "deny rule.none_matched\n".to_owned())
    );
    let (code, out) = can("spiffe://evil.example/x", &["GET", "/"]);
    assert_eq!(code, 1);
    assert!(out.starts_with("deny federation.unknown_trust_domain"), "{out}");
    assert_eq!(can("prod.example/x", &["GET", "/"]).0, 3);
    assert_eq!(can(API, &["GET", "orders"]).0, 3);
}
