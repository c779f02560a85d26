//! `svidgate diff`, as a shell sees it.

use serde_json::Value;

use crate::stage::Stage;

const OLD: &str = r#"trust_domain: prod.example
chain: proxy
rules:
  - { name: readers, effect: allow, from: [ "spiffe://prod.example/shop/**" ], to: [ { methods: [ GET ], paths: [ "/orders/**" ] } ] }
  - { name: closed, effect: deny, from: [ "spiffe://*/**" ], to: [ { paths: [ "/orders/closed/**" ] } ] }
"#;

fn diff(new: &str, more: &[&str]) -> (i32, String) {
    let stage = Stage::new(&[("old.yaml", OLD), ("new.yaml", new)]);
    let ended = stage.run(&[&["diff", "old.yaml", "new.yaml"], more].concat());
    assert_eq!(ended.err, "");
    (ended.code, ended.out)
}

#[test]
fn what_is_gained_and_lost_comes_with_a_request() {
    let (code, out) = diff(&OLD.replace("[ GET ]", "[ GET, POST ]"), &[]);
    assert_eq!(code, 1, "{out}");
    assert!(out.starts_with("gained    by allow rule readers\n"), "{out}");
    assert!(out.contains("deny rule.none_matched -> allow rule.allowed"), "{out}");
    assert!(out.contains("POST"), "{out}");
    assert!(out.contains("\nlost      nothing\nnothing else changes"), "{out}");
    assert_eq!(
        diff(&OLD.replace("[ GET ]", "[ GET, POST ]"), &["--fail-on", "losses"]).0,
        0
    );
    let (code, out) = diff(&OLD.replace("/orders/closed/**", "/orders/c/**"), &["--format", "json"]);
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &json["schema"]), (1, &"svidgate/diff/v1".into()));
    assert!(json["gained"][0].is_object() && json["lost"][0].is_object(), "{out}");
}

#[test]
fn other_words_for_the_same_change_nothing() {
    let renamed = OLD
        .replace("name: readers", "name: others")
        .replace("[ GET ]", "[ GET, GET ]");
    let (code, out) = diff(&renamed, &[]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("nothing else changes"), "{out}");
}

/// What is not modelled and differs is named, and is never a yes.
#[test]
fn member_that_is_not_compared_is_named_and_ends_with_4() {
    let (code, out) = diff(
        &OLD.replace("chain: proxy", "chain: verify\nbundle: { inline: { keys: [] } }"),
        &[],
    );
    assert_eq!(code, 4, "{out}");
    assert!(out.contains("not compared: `chain`"), "{out}");
    assert!(!out.contains("nothing else changes"), "{out}");
}

/// Whoever asks for losses alone hears of a document that begins to be enforced.
#[test]
fn mode_that_changes_is_a_gain_and_a_loss() {
    for which in ["any", "gains", "losses"] {
        let (code, out) = diff(
            &OLD.replace("chain: proxy", "chain: proxy\nmode: dry_run"),
            &["--fail-on", which],
        );
        assert_eq!(code, 1, "{which}: {out}");
    }
}
