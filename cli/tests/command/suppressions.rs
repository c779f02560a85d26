//! What is known and borne is said with a reason, and what bears nothing is found.

use crate::stage::Stage;

fn said(policy: &str) -> Vec<String> {
    Stage::new(&[("p.yaml", policy)]).said(&["p.yaml", "--level", "warning"])
}

const HEAD: &str = "trust_domain: prod.example\nchain: proxy\nrules: []\n";

#[test]
fn comment_bears_what_stands_on_its_line_or_below_it() {
    for federation in [
        "federation:\n  - trust_domain: a.example   # svidgate: allow SG0301 because agreed, LEG-7\n",
        "federation:\n  # svidgate: allow SG0301 because agreed, LEG-7\n  - trust_domain: a.example\n    owner: x\n",
        "federation:\n  # svidgate: allow SG0301 because agreed, LEG-7\n\n  # more words\n  - owner: x\n    trust_domain: a.example\n",
        "# svidgate: allow sg0301, SG0301 because agreed\nfederation:\n  - trust_domain: a.example\n",
    ] {
        assert_eq!(
            said(&format!("{HEAD}{federation}")),
            Vec::<String>::new(),
            "{federation}"
        );
    }
}

#[test]
fn comment_bears_nothing_else() {
    let two = "federation:\n  # svidgate: allow SG0301 because agreed\n  - trust_domain: a.example\n    owner: x\n  - trust_domain: b.example\n";
    assert_eq!(said(&format!("{HEAD}{two}")), ["SG0301 8:19 b.example"]);
    let other = "federation:\n  # svidgate: allow SG0205 because agreed\n  - trust_domain: a.example\n";
    assert_eq!(
        said(&format!("{HEAD}{other}")),
        [
            "SG0041 5:3 # svidgate: allow SG0205 because agreed",
            "SG0301 6:19 a.example"
        ]
    );
}

/// What it would bear is not looked for there, so it is not known to bear nothing.
#[test]
fn comment_in_a_document_with_a_mistake_is_not_said_to_bear_nothing() {
    let text =
        format!("{HEAD}federation:\n  # svidgate: allow SG0301 because agreed\n  - trust_domain: a.example\nx: 1\n");
    let found = said(&text);
    assert!(
        !found.is_empty() && found.iter().all(|one| one.starts_with("SG0015")),
        "{found:?}"
    );
}

#[test]
fn comment_without_a_reason_or_of_an_error_is_an_error() {
    for (comment, expected) in [
        ("allow SG0301", "a suppression needs a reason"),
        ("allow SG0301 because ", "a suppression needs a reason"),
        ("allow SG0030 because x", "SG0030 is an error, and errors stay"),
        ("allow SG9999 because x", "`SG9999` is no code of a finding"),
        ("ignore SG0301 because x", "expected `allow` behind `svidgate:`"),
    ] {
        let stage = Stage::new(&[("p.yaml", &format!("{HEAD}# svidgate: {comment}\n"))]);
        let findings = stage.findings(&["p.yaml"]);
        assert_eq!(findings.len(), 1, "{comment}: {findings:?}");
        assert_eq!(
            (&findings[0]["code"], &findings[0]["level"]),
            (&"SG0042".into(), &"error".into())
        );
        assert_eq!(findings[0]["message"], expected);
    }
}

#[test]
fn words_in_a_string_bear_nothing() {
    for version in [
        "version: \"x # svidgate: allow SG0301 because of a string\"\n",
        "version: 'x # svidgate: allow SG0301'\n",
        "version: x#svidgate: allow SG0301\n",
    ] {
        let text = format!("{version}{HEAD}federation: [ {{ trust_domain: a.example }} ]\n");
        let said = said(&text);
        assert!(
            said.iter().all(|said| !said.starts_with("SG004")),
            "{version}: {said:?}"
        );
    }
    let text = "{\"trust_domain\": \"prod.example\", \"chain\": \"proxy\", \"version\": \"# svidgate: allow SG0301\", \"rules\": []}";
    assert_eq!(said(text), Vec::<String>::new());
}

#[test]
fn file_bears_what_it_names() {
    let policy = "{\"trust_domain\": \"prod.example\", \"chain\": \"proxy\", \"federation\": [{\"trust_domain\": \"a.example\"}], \"rules\": []}";
    let run = |list: &str| {
        let stage = Stage::new(&[("d/p.json", policy), ("list.yaml", list)]);
        stage.said(&["d/p.json", "--allow", "list.yaml", "--level", "warning"])
    };
    let entry = |more: &str| format!("allow:\n  - {{ code: SG0301, because: agreed, {more} }}\n");
    let bare = "SG0301 1:84 \"a.example\"";
    for more in [
        "place: \"federation[0]\"",
        "place: federation, file: p.json",
        "place: \"federation[0].trust_domain\", file: ./d/p.json",
    ] {
        assert_eq!(run(&entry(more)), Vec::<String>::new(), "{more}");
    }
    for more in [
        "place: \"federation[1]\"",
        "place: rules",
        "place: federation, file: q.json",
        "place: federation, file: 'p.jso'",
    ] {
        let said = run(&entry(more));
        assert_eq!(said.len(), 2, "{more}: {said:?}");
        assert!(
            said[0] == bare && said[1].starts_with("SG0041 2:5 "),
            "{more}: {said:?}"
        );
    }
    for more in ["place: federation, line: 3", "file: p.json"] {
        let said = run(&entry(more));
        assert!(said[1].starts_with("SG0042 2:5 "), "{more}: {said:?}");
    }
    let blank = "allow:\n  - { code: SG0301, because: \" \", place: federation }\n";
    assert!(run(blank)[1].starts_with("SG0042 2:5 "));
    assert!(run("[]")[1].starts_with("SG0042"));
}

#[test]
fn what_is_borne_is_counted() {
    let text =
        format!("{HEAD}# svidgate: allow SG0301 because agreed\nfederation: [ {{ trust_domain: a.example }} ]\n");
    let ended = Stage::new(&[("p.yaml", &text)]).run(&["check", "p.yaml", "--level", "error", "--fail-on", "warning"]);
    assert_eq!(ended.code, 0);
    assert!(ended.out.ends_with("1 suppressed\n"), "{}", ended.out);
}
