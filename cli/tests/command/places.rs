//! Findings stand where the mistake stands, however the file is written.

use crate::stage::Stage;

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let stage = Stage::new(&[("p.yaml", text)]);
    assert_eq!(stage.said(&["p.yaml", "--level", "error"]), expected, "{text}");
}

const HEAD: &str = "trust_domain: prod.example\nchain: proxy\n";

#[test]
fn mistakes_of_the_compiler_have_their_lines() {
    let rules = "rules:\n  - name: a\n    effect: alow\n    from: [ \"spiffe://prod.example/x\", 'spiffe://partner.example/y' ]\n    too: []\n";
    check(&format!("{HEAD}{rules}"), &["SG0018 5:13 alow", "SG0015 7:5 too"]);
    let rules = "rules:\n  - name: a\n    effect: allow\n    from: [ \"spiffe://prod.example/x\", 'spiffe://partner.example/y' ]\n";
    check(&format!("{HEAD}{rules}"), &["SG0030 6:40 'spiffe://partner.example/y'"]);
}

#[test]
fn byte_order_mark_crlf_and_letters_of_several_bytes_move_nothing() {
    let text = "\u{feff}# \u{e9}\u{1f980}\r\ntrust_domain: \"\u{e9}.example\"\r\nchain: proxy\r\nrules: []\r\n";
    check(text, &["SG0022 2:15 \"\u{e9}.example\""]);
}

#[test]
fn anchors_and_flow_style_are_followed() {
    let text = "trust_domain: prod.example\nchain: proxy\nrules:\n  - { name: a, effect: allow, from: &who [ \"spiffe://other.example/x\" ] }\n  - { name: b, effect: allow, from: *who }\n";
    check(
        text,
        &[
            "SG0030 4:44 \"spiffe://other.example/x\"",
            "SG0030 4:44 \"spiffe://other.example/x\"",
        ],
    );
}

#[test]
fn json_has_places_too() {
    let text = r#"{"trust_domain": "prod.example", "chain": "proxy",
 "rules": [{"name": "a", "effect": "allow", "from": ["spiffe:\/\/other.example/\u0078"]}]}"#;
    check(text, &[r#"SG0030 2:54 "spiffe:\/\/other.example/\u0078""#]);
}

#[test]
fn syntax_breaks_off_where_it_does() {
    check("trust_domain: prod.example\nrules: [ { a: b ]\n", &["SG0001 2:10 {"]);
    check(
        "{\"trust_domain\": \"prod.example\",\n \"rules\": [,]}\n",
        &["SG0001 2:12 ,"],
    );
    check(
        "trust_domain: prod.example\nx: !secret y\nrules: []\n",
        &["SG0010 2:12 y"],
    );
}

#[test]
fn member_twice_is_shown_twice() {
    let stage = Stage::new(&[("p.yaml", "trust_domain: prod.example\nrules: []\nrules: []\n")]);
    assert_eq!(stage.said(&["p.yaml"]), ["SG0011 3:1 rules"]);
    assert_eq!(stage.findings(&["p.yaml"])[0]["also"][0]["place"]["line"], 2);
}

/// The document is the same each time, and so is what is wrong with it.
#[test]
fn document_in_a_string_has_places_in_the_string() {
    let head = |value: &str| {
        format!(
            "typed_config:\n  \"@type\": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm\n  config:\n    \
             root_id: svidgate.request\n    configuration:\n      \"@type\": \
             type.googleapis.com/google.protobuf.StringValue\n      value: {value}\n"
        )
    };
    for (value, expected) in [
        (
            r#"'{"trust_domain": "prod.example", "chain": "proxy", "rules": [], "odd": "it''s"}'"#,
            r#"SG0015 7:79 "odd""#,
        ),
        (
            r#""{\"trust_domain\": \"prod.example\", \"chain\": \"proxy\", \"rules\": [], \"odd\": 1}""#,
            r#"SG0015 7:89 \"odd\""#,
        ),
        (
            "|\n        {\"trust_domain\": \"prod.example\", \"chain\": \"proxy\",\n         \"rules\": [],\n         \"odd\": 1}",
            r#"SG0015 10:10 "odd""#,
        ),
        (
            ">-\n        {\"trust_domain\": \"prod.example\", \"chain\": \"proxy\",\n        \"rules\": [],\n        \"odd\": 1}",
            r#"SG0015 10:9 "odd""#,
        ),
        (
            "\"{\\\"trust_domain\\\": \\\"prod.example\\\", \\\"chain\\\": \\\"proxy\\\",\n        \\\"rules\\\": [],\n        \\\"odd\\\": 1}\"",
            r#"SG0015 9:9 \"odd\""#,
        ),
    ] {
        check(&head(value), &[expected]);
    }
    let broken = r#"'{"trust_domain": "prod.example", "rules": [}'"#;
    check(&head(broken), &["SG0001 7:58 "]);
}
