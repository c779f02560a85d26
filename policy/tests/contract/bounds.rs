//! Bounds: how large a document may be, and that a large one is answered in time.
//!
//! No test here looks at a clock. Where a check once took the square of a document's size, the document is so large
//! that the test would not end soon.

use std::fmt::Write as _;

use svidgate_policy::{Configuration, Format, MAX_DOCUMENT_BYTES};

use crate::documents::mistakes;

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn document(members: &str) -> String {
    format!(r#"{{"trust_domain": "prod.example", "chain": "proxy", {members}}}"#)
}

fn rules(rules: &str) -> String {
    document(&format!(r#""rules": [{rules}]"#))
}

/// Many entries of a list, each made of its number.
fn many(count: usize, entry: impl Fn(usize) -> String) -> String {
    (0..count).map(entry).collect::<Vec<_>>().join(",")
}

fn said(document: &str) -> Vec<String> {
    mistakes(document.as_bytes(), Format::Json)
}

fn pattern(place: usize) -> String {
    format!(r#""spiffe://prod.example/ns/a{place}/*""#)
}

#[test]
fn document_of_the_largest_size_is_read_and_one_byte_more_is_not() {
    let mut text = rules("");
    text.extend(std::iter::repeat_n(' ', MAX_DOCUMENT_BYTES - text.len()));
    assert_eq!(said(&text), [""; 0]);
    text.push(' ');
    let expected = format!(
        "document: {} bytes (at most {MAX_DOCUMENT_BYTES})",
        MAX_DOCUMENT_BYTES + 1
    );
    assert_eq!(said(&text), std::slice::from_ref(&expected));
    assert_eq!(mistakes(text.as_bytes(), Format::Yaml), [expected]);
}

#[test]
fn invalid_utf_8_is_refused_in_both_languages() {
    let mut text = rules("").into_bytes();
    let place = text.iter().position(|byte| *byte == b'p').unwrap();
    text[place] = 0xff;
    for format in [Format::Json, Format::Yaml] {
        let said = mistakes(&text, format);
        assert!(
            matches!(said.as_slice(), [one] if one.starts_with("document: ")),
            "{said:?}"
        );
    }
}

/// A member of lists in lists, so many deep.
fn nested(member: &str, depth: usize) -> String {
    document(&format!(r#""{member}": {}{}"#, "[".repeat(depth), "]".repeat(depth)))
}

#[test]
fn nesting_beyond_128_levels_is_refused_without_a_crash() {
    for depth in [129, 100_000] {
        // Rules are read one by one.
        assert_eq!(said(&nested("rules", depth)), ["rules[0]: recursion limit exceeded"]);
        let said = said(&nested("revoked", depth));
        assert!(
            said[0].starts_with("document: cannot be read as JSON: recursion limit exceeded at line 1"),
            "{said:?}"
        );
    }
}

/// Not on wasm: unoptimised, the reader of YAML needs more than the 1 MiB of stack that there is. The module has no
/// YAML.
#[cfg(not(target_family = "wasm"))]
#[test]
fn nesting_beyond_bounds_is_refused_in_yaml_too() {
    for depth in [129, 100_000] {
        assert_eq!(mistakes(nested("rules", depth).as_bytes(), Format::Yaml).len(), 1);
    }
    let in_yaml: String = (0..5_000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    assert_eq!(mistakes(in_yaml.as_bytes(), Format::Yaml).len(), 1);
}

#[test]
fn a_hundred_mistakes_are_reported_and_the_rest_is_not() {
    let wrong = rules(&many(1_000, |place| place.to_string()));
    let said = said(&wrong);
    assert_eq!(said.len(), 100);
    assert_eq!(said[99], "rules[99]: expected an object, found a number");
}

#[test]
fn mistakes_beyond_the_hundredth_leave_nothing_compiled() {
    let wrong = many(150, |place| {
        format!(r#"{{"name": "r{place}", "effect": "allow", "from": ["spiffe://unknown/x"]}}"#)
    });
    assert_eq!(
        Configuration::compile(rules(&wrong).as_bytes(), Format::Json)
            .unwrap_err()
            .len(),
        100
    );
}

#[test]
fn relationships_are_bounded() {
    let federation = |count| {
        let entries = many(count, |place| format!(r#"{{"trust_domain": "td{place}"}}"#));
        document(&format!(r#""federation": [{entries}], "rules": []"#))
    };
    assert_eq!(said(&federation(10_000)), [""; 0]);
    assert_eq!(said(&federation(10_001)), ["federation: 10001 entries (at most 10000)"]);
}

#[test]
fn texts_and_names_are_bounded() {
    let long = "x".repeat(129);
    let fits = "x".repeat(128);
    let with = |text: &str| {
        document(&format!(
            r#""version": "{text}", "federation": [{{"trust_domain": "partner.example", "owner": "{text}"}}],
               "rules": [{{"name": "{text}", "effect": "allow", "from": ["spiffe://prod.example/x"]}}]"#
        ))
    };
    assert_eq!(said(&with(&fits)), [""; 0]);
    assert_eq!(
        said(&with(&long)),
        [
            "version: 129 bytes (at most 128)",
            "federation[0].owner: 129 bytes (at most 128)",
            "rules[0].name: expected a name of 1 to 128 characters a-z A-Z 0-9 - _ . : /",
        ]
    );
}

#[test]
fn patterns_are_bounded() {
    let rule = |id: &str, path: &str| {
        rules(&format!(
            r#"{{"name": "r", "effect": "allow", "from": ["spiffe://prod.example{id}"], "to": [{{"paths": ["{path}"]}}]}}"#
        ))
    };
    assert_eq!(said(&rule(&"/a".repeat(64), &"/a".repeat(64))), [""; 0]);
    assert_eq!(
        said(&rule(
            &format!("{}/**", "/*".repeat(64)),
            &format!("{}/**", "/*".repeat(64))
        )),
        [""; 0]
    );
    assert_eq!(
        said(&rule(&"/a".repeat(65), &"/a".repeat(65))),
        [
            "rules[0].from[0]: pattern has more than 64 segments",
            "rules[0].to[0].paths[0]: pattern has more than 64 segments",
        ]
    );
    let longest = "a".repeat(2048 - "spiffe://prod.example/".len());
    assert_eq!(said(&rule(&format!("/{longest}"), "/a")), [""; 0]);
    let expected = "rules[0].from[0]: SPIFFE ID has 2049 bytes (at most 2048)";
    assert_eq!(said(&rule(&format!("/{longest}a"), "/a")), [expected]);
    let trust_domain = |length| {
        format!(
            r#"{{"trust_domain": "{}", "chain": "proxy", "rules": []}}"#,
            "a".repeat(length)
        )
    };
    assert_eq!(said(&trust_domain(255)), [""; 0]);
    assert_eq!(
        said(&trust_domain(256)),
        ["trust_domain: trust domain has 256 bytes (at most 255)"]
    );
}

#[test]
fn intermediates_are_bounded() {
    let pem = reference::identity::authority("partner.example").pem();
    let with = |texts: &[String]| {
        let texts = serde_json::to_string(texts).unwrap();
        document(&format!(
            r#""federation": [{{"trust_domain": "partner.example", "intermediates": {texts}}}], "rules": []"#
        ))
    };
    assert_eq!(said(&with(&vec![pem.clone(); 8])), [""; 0]);
    let expected = "federation[0].intermediates: 9 entries (at most 8)";
    assert_eq!(said(&with(&vec![pem.clone(); 9])), [expected]);
    assert_eq!(said(&with(&[pem.repeat(4), pem.repeat(5)])), [expected]);
    assert_eq!(said(&with(&[pem.repeat(100)])).len(), 1);
}

#[test]
fn what_is_compared_with_every_id_is_bounded() {
    let except = |count| {
        let except = many(count, pattern);
        rules(&format!(
            r#"{{"name": "r", "effect": "deny", "from": ["spiffe://*/**"], "except": [{except}]}}"#
        ))
    };
    assert_eq!(said(&except(256)), [""; 0]);
    assert_eq!(said(&except(257)), ["rules[0].except: 257 entries (at most 256)"]);
    let scope = |count| {
        let scope = many(count, |place| format!(r#""/a{place}/**""#));
        document(&format!(
            r#""federation": [{{"trust_domain": "partner.example", "scope": [{scope}]}}], "rules": []"#
        ))
    };
    assert_eq!(said(&scope(256)), [""; 0]);
    assert_eq!(said(&scope(257)), ["federation[0].scope: 257 entries (at most 256)"]);
}

/// Counted, not timed: each `from` is compared with each exception, segment by segment.
#[test]
fn exceptions_are_compared_with_so_many_from_and_no_further() {
    let rule = |from: usize, segment: &str| {
        let path = |last: &str| format!("{}/{last}", format!("/{segment}").repeat(62));
        let from = many(from, |place| {
            format!(r#""spiffe://prod.example{}""#, path(&format!("f{place}")))
        });
        let except = many(256, |place| {
            format!(r#""spiffe://prod.example{}""#, path(&format!("e{place}")))
        });
        let rule = format!(r#"{{"name": "r", "effect": "deny", "from": [{from}], "except": [{except}]}}"#);
        rules(&format!(
            r#"{rule}, {{"name": "s", "effect": "deny", "from": [{from}], "except": [{except}]}}"#
        ))
    };
    assert_eq!(said(&rule(500, "a")), [""; 0]);
    let expected = "rules[1].from[220]: takes too long to compare with `except` and the relationship's scope: up to \
                    here the document has more than 20000000 segments to compare (write fewer exceptions, or patterns \
                    in place of many ids)";
    assert_eq!(said(&rule(1_000, "a")), [expected]);
    // What captures each other out is refused for that alone.
    let captured = said(&rule(1_000, "{x}"));
    assert_eq!(captured.len(), 100);
    assert!(
        captured.iter().all(|said| said.contains("capture `{x}`")),
        "{captured:?}"
    );
}

#[test]
fn regular_expressions_are_bounded_in_number_and_counted_once() {
    let with = |count, distinct| {
        rules(&many(count, |place| {
            format!(
                r#"{{"name": "r{place}", "effect": "allow", "from": ["spiffe://prod.example/x"],
                     "when": {{"headers": [{{"name": "x", "matches": "v{}"}}]}}}}"#,
                place % distinct
            )
        }))
    };
    assert_eq!(said(&with(1_000, 1_000)), [""; 0]);
    assert_eq!(said(&with(3_000, 1_000)), [""; 0]);
    let expected =
        "rules[1000].when.headers[0].matches: regular expression: the document has more than 1000 different ones";
    assert_eq!(said(&with(1_001, 1_001)), [expected]);
}

#[test]
fn many_rules_of_many_trust_domains_compile_in_time() {
    let federation = many(10_000, |place| {
        format!(r#"{{"trust_domain": "td{place}", "scope": ["/**"]}}"#)
    });
    let rules = many(30_000, |place| {
        format!(
            r#"{{"name": "r{place}", "effect": "allow", "from": ["spiffe://td{}/x"]}}"#,
            9_999 - place % 10
        )
    });
    assert_eq!(
        said(&document(&format!(
            r#""federation": [{federation}], "rules": [{rules}]"#
        ))),
        [""; 0]
    );
}

#[test]
fn many_captures_of_other_names_are_refused_in_time() {
    let from = many(200_000, |place| format!(r#""spiffe://prod.example/{{a{place}}}""#));
    let rule = format!(r#"{{"name": "r", "effect": "allow", "from": [{from}], "to": [{{"paths": ["/x"]}}]}}"#);
    assert_eq!(said(&rules(&rule)).len(), 100);
}

#[test]
fn many_targets_with_many_conditions_compile_in_time_and_space() {
    let targets = many(20_000, |place| format!(r#"{{"ports": [{}]}}"#, place + 1));
    let sources = many(50_000, |place| format!(r#""10.{}.{}.1""#, place / 250, place % 250));
    let rule = format!(
        r#"{{"name": "r", "effect": "allow", "from": ["spiffe://prod.example/x"], "to": [{targets}], "when": {{"source_ips": [{sources}]}}}}"#
    );
    assert_eq!(said(&rules(&rule)), [""; 0]);
}

#[test]
fn message_about_a_long_name_is_short() {
    let name = "x".repeat(100_000);
    let rule = format!(
        r#"{{"name": "r", "effect": "allow", "from": ["spiffe://prod.example/x"], "to": [{{"paths": ["/{{{name}}}"]}}]}}"#
    );
    for text in [
        document(&format!(r#""{name}": 1, "rules": []"#)),
        document(&format!(r#""mode": "{name}", "rules": []"#)),
        format!(r#"{{"{name}": 1, "{name}": 2}}"#),
        rules(&rule),
    ] {
        let said = said(&text);
        assert!(said[0].len() < 500, "{} bytes", said[0].len());
    }
}

#[test]
fn large_document_compiles_as_yaml() {
    let mut yaml = String::from("trust_domain: prod.example\nchain: proxy\nrules:\n");
    for place in 0..50_000 {
        writeln!(
            yaml,
            "- name: r{place}\n  effect: allow\n  from: [ spiffe://prod.example/x{place} ]"
        )
        .unwrap();
    }
    assert_eq!(mistakes(yaml.as_bytes(), Format::Yaml), [""; 0]);
}

#[test]
fn aliases_that_say_much_in_few_bytes_are_refused() {
    let mut yaml = rules("").replace(", \"rules\": []}", ", \"rules\": [], \"a0\": &a0 [x, x]");
    for level in 1..60 {
        write!(yaml, ", \"a{level}\": &a{level} [*a{0}, *a{0}]", level - 1).unwrap();
    }
    let said = mistakes((yaml + "}").as_bytes(), Format::Yaml);
    assert!(
        matches!(said.as_slice(), [one] if one.starts_with("document: ")),
        "{said:?}"
    );
}
