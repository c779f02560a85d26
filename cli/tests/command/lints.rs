//! Each lint is found where it should be, and not where it should not.

use crate::stage::Stage;

const AT: &str = "2026-12-01T00:00:00Z";

/// A document in which nothing is found; members are added to it.
const CLEAN: &str = "\
trust_domain: prod.example
authorities: { workload_api: { cluster: agent } }
svid_max_lifetime: 24h
max_staleness: 12h
";
const FEDERATION: &str = "\
federation:
  - trust_domain: partner.example
    scope: [ \"/ns/billing/**\" ]
    owner: payments
    expires: 2027-12-01T00:00:00Z
    max_staleness: 6h
    svid_max_lifetime: 24h
";
const RULES: &str = "\
rules:
  - name: a
    effect: allow
    from: [ \"spiffe://prod.example/ns/shop/sa/api\", \"spiffe://partner.example/ns/billing/*\" ]
    to: [ { methods: [ GET, HEAD ], paths: [ \"/orders/**\" ] } ]
";

/// What is said of rules beside all others, which is asked for where it is what a test is about.
const OF_USE: [&str; 5] = ["SG0101", "SG0102", "SG0103", "SG0106", "SG0114"];

/// `CODE line text of the file`.
fn said(text: &str) -> Vec<String> {
    let mut said = all_said(text);
    said.retain(|said| !OF_USE.iter().any(|code| said.starts_with(code)));
    said
}

/// The same, and whether rules are of use.
fn all_said(text: &str) -> Vec<String> {
    let said = Stage::new(&[("p.yaml", text)]).said(&["p.yaml", "--at", AT]);
    let short = |said: &String| {
        let (line, rest) = said.split_once(':').unwrap();
        format!("{line} {}", rest.split_once(' ').unwrap().1)
    };
    said.iter().map(short).collect()
}

/// What is said of a rule that stands alone behind the clean document: from line 13 on.
#[track_caller]
fn rule(rule: &str, expected: &[&str]) {
    let text = format!("{CLEAN}{FEDERATION}{RULES}{rule}");
    assert_eq!(said(&text), expected, "{text}");
}

#[test]
fn nothing_is_found_in_what_is_meant() {
    let text = format!("{CLEAN}{FEDERATION}{RULES}");
    assert_eq!(all_said(&text), Vec::<String>::new());
}

#[test]
fn rule_that_comes_to_nothing_beside_all_others_is_found() {
    let found = |rules: &str, expected: &[&str]| {
        let text = format!("{CLEAN}{FEDERATION}{RULES}{rules}");
        assert_eq!(all_said(&text), expected, "{text}");
    };
    let rule = |name: &str, effect: &str, from: &str, to: &str| {
        format!("  - {{ name: {name}, effect: {effect}, from: [ \"spiffe://{from}\" ], to: [ {{ {to} }} ] }}\n")
    };
    let api = "prod.example/ns/shop/sa/api";
    let narrow = rule("b", "allow", api, "methods: [ GET, HEAD ], paths: [ \"/orders/1\" ]");
    found(&narrow, &["SG0102 17 b"]);
    // One that is the same is found for that alone.
    found(
        &RULES.strip_prefix("rules:\n").unwrap().replace("name: a", "name: b"),
        &["SG0107 17 b"],
    );
    let admin = "paths: [ \"/admin/**\" ]";
    let shadowed = rule("b", "allow", api, admin) + &rule("c", "deny", "*/**", admin);
    found(&shadowed, &["SG0101 17 b"]);
    found(&rule("b", "deny", api, admin), &["SG0106 17 b"]);
    let never = "  - { name: b, effect: allow, from: [ \"spiffe://prod.example/x\" ], when: { headers: [ { name: e, is: a }, { name: e, is: b } ] } }\n";
    found(never, &["SG0103 17 b"]);
    // Windows that never meet are found for that alone.
    let windows = "  - { name: b, effect: allow, from: [ \"spiffe://prod.example/x\" ], when: { time: [ { until: \"02:00\" } ], not_time: [ { until: \"03:00\" } ] } }\n";
    found(windows, &["SG0203 17 time"]);
}

#[test]
fn finding_about_a_rule_says_which_others_make_it_so() {
    let rules = "  - { name: b, effect: allow, from: [ \"spiffe://prod.example/x\" ], to: [ { methods: [ GET ] } ] }\n  - { name: c, effect: deny, from: [ \"spiffe://*/x\" ] }\n";
    let stage = Stage::new(&[("p.yaml", &format!("{CLEAN}{FEDERATION}{RULES}{rules}"))]);
    let ended = stage.run(&["check", "p.yaml", "--at", AT, "--fail-on", "warning"]);
    assert_eq!(ended.code, 1);
    // Lines are wrapped where a terminal is narrow.
    let words: Vec<&str> = ended.out.split_whitespace().collect();
    let text = words.join(" ");
    for part in [
        "warning[SG0101]: rule `b` allows nothing: all of it is denied, for example",
        "spiffe://prod.example/x asks GET /, at 2026-12-01T00:00:00Z",
        "denies some of it",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn entry_beside_a_broader_one_is_found() {
    let to = |paths: &str| {
        format!(
            "  - name: b\n    effect: allow\n    from: [ \"spiffe://prod.example/x\" ]\n    to: [ {{ paths: [ {paths} ] }} ]\n"
        )
    };
    rule(&to("/admin, \"/admin/**\""), &["SG0104 20 /admin"]);
    rule(&to("\"/admin/**\", /admin/"), &["SG0104 20 /admin/"]);
    rule(&to("/admin, /admin"), &["SG0104 20 /admin"]);
    rule(&to("/admin, /admin/*, /administrator"), &[]);
    rule(
        "  - { name: b, effect: deny, from: [ \"spiffe://prod.example/a\", \"spiffe://prod.example/**\" ] }\n",
        &["SG0104 17 \"spiffe://prod.example/a\""],
    );
}

#[test]
fn exception_that_takes_nothing_out_is_found() {
    let except = |except: &str| {
        format!(
            "  - {{ name: b, effect: deny, from: [ \"spiffe://prod.example/ns/shop/**\" ], except: [ {except} ] }}\n"
        )
    };
    rule(
        &except("\"spiffe://prod.example/ns/ops/x\""),
        &["SG0105 17 \"spiffe://prod.example/ns/ops/x\""],
    );
    rule(&except("\"spiffe://prod.example/ns/*/x\""), &[]);
    rule(
        &except("\"spiffe://partner.example/ns/shop/x\""),
        &["SG0105 17 \"spiffe://partner.example/ns/shop/x\""],
    );
}

#[test]
fn rules_that_differ_in_their_names_alone_are_found() {
    let same = RULES.strip_prefix("rules:\n").unwrap().replace("name: a", "name: b");
    rule(&same, &["SG0107 17 b"]);
    // Members in another order say the same.
    let turned = "  - to: [ { paths: [ \"/orders/**\" ], methods: [ GET, HEAD ] } ]\n    from: [ \"spiffe://prod.example/ns/shop/sa/api\", \"spiffe://partner.example/ns/billing/*\" ]\n    effect: allow\n    name: b\n";
    rule(turned, &["SG0107 20 b"]);
    rule(&same.replace("effect: allow", "effect: deny"), &[]);
}

#[test]
fn allow_for_more_than_anybody_knows_is_found() {
    let from = |effect: &str, from: &str| format!("  - {{ name: b, effect: {effect}, from: [ \"{from}\" ] }}\n");
    rule(
        &from("allow", "spiffe://*/ns/shop/**"),
        &["SG0108 17 \"spiffe://*/ns/shop/**\""],
    );
    rule(&from("deny", "spiffe://*/ns/shop/**"), &[]);
    // The relationship has a scope.
    rule(&from("allow", "spiffe://partner.example/**"), &[]);
    let text = format!(
        "{CLEAN}{}{RULES}{}",
        FEDERATION.replace("    scope: [ \"/ns/billing/**\" ]\n", ""),
        from("allow", "spiffe://partner.example/**")
    );
    assert_eq!(
        said(&text),
        ["SG0301 6 partner.example", "SG0109 16 \"spiffe://partner.example/**\""]
    );
}

#[test]
fn get_without_head_and_capture_in_a_deny_are_found() {
    let tenant = |effect: &str| {
        format!(
            "  - {{ name: b, effect: {effect}, from: [ \"spiffe://prod.example/t/{{t}}\" ], to: [ {{ paths: [ \"/t/{{t}}\" ], methods: [ GET ] }} ] }}\n"
        )
    };
    rule(&tenant("allow"), &["SG0110 17 GET"]);
    rule(&tenant("deny"), &["SG0111 17 \"spiffe://prod.example/t/{t}\""]);
}

#[test]
fn dry_runs_are_found() {
    rule(
        "  - { name: b, effect: deny, dry_run: true, from: [ \"spiffe://prod.example/x\" ] }\n  - { name: c, effect: deny, dry_run: false, from: [ \"spiffe://prod.example/y\" ] }\n",
        &["SG0112 17 dry_run"],
    );
    assert_eq!(said(&format!("mode: dry_run\n{CLEAN}rules: []\n")), ["SG0112 1 mode"]);
}

#[test]
fn ends_are_found_when_they_are_near_or_over() {
    let expires =
        |end: &str| format!("  - {{ name: b, effect: deny, from: [ \"spiffe://prod.example/x\" ], expires: {end} }}\n");
    rule(&expires("2026-11-30T23:59:59Z"), &["SG0201 17 2026-11-30T23:59:59Z"]);
    rule(&expires(AT), &["SG0201 17 2026-12-01T00:00:00Z"]);
    rule(&expires("2026-12-31T00:00:00Z"), &["SG0202 17 2026-12-31T00:00:00Z"]);
    rule(&expires("2026-12-31T00:00:01Z"), &[]);
    let text = format!("{CLEAN}{}{RULES}", FEDERATION.replace("2027-12", "2026-12"));
    assert_eq!(said(&text), ["SG0201 9 2026-12-01T00:00:00Z"]);
    let text = format!(
        "{CLEAN}{FEDERATION}revoked: [ {{ id: \"spiffe://prod.example/x\", until: 2026-01-01T00:00:00Z }} ]\n{RULES}"
    );
    assert_eq!(said(&text), ["SG0201 12 2026-01-01T00:00:00Z"]);
}

#[test]
fn rule_that_outlives_its_relationship_is_found() {
    let rules = |from: &str, end: &str| format!("  - {{ name: b, effect: deny, from: [ {from} ], expires: {end} }}\n");
    let partner = "\"spiffe://partner.example/ns/billing/x\"";
    rule(
        &rules(partner, "2028-01-01T00:00:00Z"),
        &["SG0204 17 2028-01-01T00:00:00Z"],
    );
    rule(&rules(partner, "2027-11-01T00:00:00Z"), &[]);
    rule(
        &rules(
            &format!("{partner}, \"spiffe://prod.example/x\""),
            "2028-01-01T00:00:00Z",
        ),
        &[],
    );
    // One of two relationships goes on.
    let two = format!(
        "{CLEAN}{FEDERATION}  - trust_domain: other.example\n    scope: [ /x ]\n    owner: x\n    expires: 2029-01-01T00:00:00Z\n    max_staleness: 6h\n{RULES}{}",
        rules(
            &format!("{partner}, \"spiffe://other.example/x\""),
            "2028-01-01T00:00:00Z"
        )
        .replace("deny", "allow")
    );
    assert_eq!(said(&two), Vec::<String>::new());
}

#[test]
fn windows_that_never_meet_are_found() {
    let when = |time: &str, not_time: &str| {
        format!(
            "  - {{ name: b, effect: deny, from: [ \"spiffe://prod.example/x\" ], when: {{ time: [ {time} ], not_time: [ {not_time} ] }} }}\n"
        )
    };
    let night = "{ from: \"22:00\", until: \"02:00\" }";
    rule(
        &when(night, "{ from: \"20:00\", until: \"04:00\" }"),
        &["SG0203 17 time"],
    );
    rule(&when(night, "{ from: \"20:00\", until: \"01:59\" }"), &[]);
    // Sunday's night goes on on Monday.
    let sunday = "{ days: [ sun ], from: \"22:00\", until: \"02:00\" }";
    rule(&when(sunday, "{ days: [ sun ] , from: \"00:00\" }"), &[]);
    rule(
        &when(
            sunday,
            "{ days: [ sun ], from: \"00:00\" }, { days: [ mon ], until: \"12:00\" }",
        ),
        &["SG0203 17 time"],
    );
}

#[test]
fn lives_and_staleness_that_are_too_long_are_found() {
    let text = format!("{}{FEDERATION}{RULES}", CLEAN.replace("24h", "25h"));
    assert_eq!(said(&text), ["SG0205 3 25h"]);
    let text = format!(
        "{CLEAN}{}{RULES}",
        FEDERATION.replace("svid_max_lifetime: 24h", "svid_max_lifetime: 1h")
    );
    assert_eq!(said(&text), ["SG0304 10 max_staleness"]);
    let text = format!(
        "{}rules: []\n",
        CLEAN.replace("max_staleness: 12h\n", "").replace("24h", "23h")
    );
    assert_eq!(said(&text), ["SG0304 3 svid_max_lifetime"]);
    // What is not fetched is not silent.
    let text = format!(
        "{}chain: proxy\nrules: []\n",
        CLEAN
            .replace("authorities: { workload_api: { cluster: agent } }\n", "")
            .replace("24h", "1h")
    );
    assert_eq!(said(&text), Vec::<String>::new());
}

#[test]
fn relationship_that_lacks_something_is_found() {
    let text = format!("{CLEAN}federation: [ {{ trust_domain: other.example, max_staleness: 1h }} ]\nrules: []\n");
    assert_eq!(
        said(&text),
        [
            "SG0113 5 other.example",
            "SG0301 5 other.example",
            "SG0302 5 other.example",
            "SG0303 5 other.example"
        ]
    );
    let text = format!("{CLEAN}revocations: {{ endpoint: {{ cluster: r, path: /r.json }} }}\nrules: []\n");
    assert_eq!(said(&text), ["SG0308 5 revocations"]);
}

#[test]
fn header_that_the_proxy_sets_is_found() {
    let when = |name: &str| {
        format!(
            "  - {{ name: b, effect: deny, from: [ \"spiffe://prod.example/x\" ], when: {{ headers: [ {{ name: {name}, present: true }} ] }} }}\n"
        )
    };
    rule(&when("X-Forwarded-For"), &["SG0403 17 X-Forwarded-For"]);
    rule(&when("x-envoy-internal"), &["SG0403 17 x-envoy-internal"]);
    rule(&when("x-env"), &[]);
}

/// A filter with a document that looks at the address and the server name.
fn filter(kind: &str, root_id: &str, before: &str) -> String {
    format!(
        "{before}filter_chains:\n- filters:\n  - typed_config:\n      \"@type\": type.googleapis.com/envoy.extensions.filters.{kind}.wasm.v3.Wasm\n      config:\n        name: {root_id}\n        root_id: {root_id}\n        configuration:\n          \"@type\": type.googleapis.com/google.protobuf.Struct\n          value: &document\n            trust_domain: prod.example\n            authorities: {{ workload_api: {{ cluster: agent }} }}\n            rules:\n            - {{ name: a, effect: deny, from: [ \"spiffe://prod.example/x\" ], to: [ {{ sni: [ x.example ] }} ], when: {{ source_ips: [ 10.0.0.0/8 ] }} }}\n"
    )
}

#[test]
fn condition_that_the_listener_cannot_see_is_found() {
    let inspector = "listener_filters: [ { name: envoy.filters.listener.tls_inspector } ]\n";
    assert_eq!(
        said(&filter("http", "svidgate.request", inspector)),
        ["SG0401 15 source_ips"]
    );
    assert_eq!(
        said(&filter("network", "svidgate.connection", inspector)),
        Vec::<String>::new()
    );
    assert_eq!(said(&filter("network", "svidgate.connection", "")), ["SG0402 14 sni"]);
    let text = "trust_domain: prod.example\npeer: { filter_state: { id: io.istio.peer_principal } }\nrules:\n  - { name: a, effect: deny, from: [ \"spiffe://prod.example/x\" ], to: [ { sni: [ x.example ] } ] }\n";
    assert_eq!(said(text), ["SG0402 4 sni"]);
}

#[test]
fn word_that_another_reader_takes_for_something_else_is_found() {
    let alone = said;
    let said = |value: &str| {
        said(
            &filter(
                "network",
                "svidgate.connection",
                "listener_filters: [ tls_inspector ]\n",
            )
            .replace("trust_domain: prod.example", value),
        )
    };
    let with = |value: &str| said(&format!("trust_domain: prod.example\n            {value}"));
    assert_eq!(with("version: on"), ["SG0404 13 on"]);
    assert_eq!(with("version: \"on\""), Vec::<String>::new());
    assert_eq!(with("version: one"), Vec::<String>::new());
    // Numbers, where they belong.
    let octal = "revocations: { endpoint: { cluster: c, path: /r, epoch: 010 }, max_staleness: 1h }";
    assert_eq!(with(octal), ["SG0404 13 010"]);
    assert_eq!(with(&octal.replace("010", "7")), Vec::<String>::new());
    assert_eq!(
        alone("trust_domain: prod.example\nchain: proxy\nversion: on\nrules: []\n"),
        Vec::<String>::new()
    );
}
