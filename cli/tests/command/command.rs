//! What the command reads, what it prints, and how it ends.

use std::fs;

use crate::stage::Stage;

const GOOD: &str = "trust_domain: prod.example\nchain: proxy\nrules: []\n";
const BAD: &str = "trust_domain: prod.example\nchain: proxy\nrules: [ 1 ]\n";

#[test]
fn good_document_ends_with_0_and_a_bad_one_with_1() {
    let stage = Stage::new(&[("good.yaml", GOOD), ("bad.yaml", BAD)]);
    let ended = stage.run(&["check", "good.yaml"]);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    assert_eq!(ended.out, "check: nothing found in 1 file, 1 document, 0 rules\n");
    let ended = stage.run(&["check", "good.yaml", "bad.yaml"]);
    assert_eq!((ended.code, ended.err.as_str()), (1, ""));
    assert!(
        ended
            .out
            .contains("error[SG0017]: rules[0]: expected an object, found a number"),
        "{}",
        ended.out
    );
    assert!(ended.out.contains("--> bad.yaml:3:10"), "{}", ended.out);
    assert_eq!(stage.run(&["check", "bad.yaml", "--exit-zero"]).code, 0);
}

#[test]
fn usage_ends_with_2_and_what_is_not_there_with_3() {
    let stage = Stage::new(&[("bad.yaml", BAD)]);
    assert_eq!(stage.run(&["check"]).code, 2);
    assert_eq!(stage.run(&["check", "bad.yaml", "--format", "pdf"]).code, 2);
    for arguments in [
        &["check", "absent.yaml"][..],
        &["check", "absent.yaml", "bad.yaml", "--exit-zero"],
    ] {
        let ended = stage.run(arguments);
        assert_eq!(ended.code, 3, "{arguments:?}");
        assert!(ended.err.starts_with("svidgate: absent.yaml: "), "{}", ended.err);
    }
}

#[test]
fn quiet_prints_nothing_and_ends_the_same() {
    let stage = Stage::new(&[("bad.yaml", BAD)]);
    let ended = stage.run(&["check", "-q", "bad.yaml"]);
    assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (1, "", ""));
}

#[test]
fn document_comes_from_standard_input() {
    let stage = Stage::new(&[]);
    let ended = stage.run_with(&["check", "-"], &[], BAD);
    assert_eq!(ended.code, 1);
    assert!(ended.out.contains("--> <stdin>:3:10"), "{}", ended.out);
    assert_eq!(stage.run_with(&["check", "-"], &[], GOOD).code, 0);
}

#[test]
fn folder_is_read_with_r_alone_in_order_and_without_links() {
    let stage = Stage::new(&[
        ("d/b/bad.yaml", BAD),
        (
            "d/a.json",
            "{\"trust_domain\": \"prod.example\", \"chain\": \"proxy\", \"rules\": 1}",
        ),
        ("d/other.yaml", "kind: Service\napiVersion: v1\n"),
        ("d/.hidden.yaml", BAD),
        ("d/notes.txt", BAD),
        ("secret.yaml", "token: abc"),
    ]);
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(stage.path().join("secret.yaml"), stage.path().join("d/link.yaml")).unwrap();
        std::os::unix::fs::symlink(stage.path(), stage.path().join("d/loop")).unwrap();
    }
    let ended = stage.run(&["check", "d"]);
    assert_eq!(ended.code, 3);
    assert!(
        ended
            .err
            .contains("d: is a folder (with `-r` the files in it are read)"),
        "{}",
        ended.err
    );
    assert_eq!(stage.said(&["-r", "d"]), ["SG0017 1:61 1", "SG0017 3:10 1"]);
    let ended = stage.run(&["check", "-r", "d"]);
    assert!(!ended.out.contains("token"), "{}", ended.out);
    assert!(
        ended
            .out
            .ends_with("check: 2 errors in 3 files, 2 documents, 0 rules\n"),
        "{}",
        ended.out
    );
}

#[test]
fn nothing_found_is_said_and_is_no_success() {
    let stage = Stage::new(&[("d/other.yaml", "kind: Service\napiVersion: v1\n"), ("e/x.txt", "")]);
    for folder in ["d", "e"] {
        let ended = stage.run(&["check", "-r", folder]);
        assert_eq!((ended.code, ended.err.is_empty()), (3, false), "{folder}");
    }
    assert_eq!(stage.run(&["check", "d/other.yaml"]).code, 1);
    for text in [
        "",
        "# nothing\n",
        "null",
        "[]",
        "{}",
        "- name: a\n  effect: allow\n  from: [ x ]\n",
    ] {
        stage.write("none.yaml", text.as_bytes());
        let findings = stage.findings(&["none.yaml"]);
        assert_eq!(findings.len(), 1, "{text:?}");
        assert_eq!(findings[0]["code"], "SG0002", "{text:?}");
    }
}

#[test]
fn file_that_is_no_text_has_a_finding() {
    let stage = Stage::new(&[]);
    stage.write("p.yaml", b"trust_domain: a\n# \xff\n");
    let findings = stage.findings(&["p.yaml"]);
    assert_eq!(findings[0]["message"], "is not UTF-8: byte 0xff at offset 18");
    stage.write("deep.yaml", "[".repeat(100_000).as_bytes());
    assert_eq!(stage.findings(&["deep.yaml"])[0]["code"], "SG0001");
    let aliases: String = (1..600).map(|n| format!("a{n}: &a{n} [ *a{} ]\n", n - 1)).collect();
    stage.write("aliases.yaml", format!("a0: &a0 [ x ]\n{aliases}").as_bytes());
    assert_eq!(
        stage.findings(&["aliases.yaml"])[0]["message"],
        "cannot be read as YAML: nested too deeply"
    );
}

#[test]
fn colour_is_for_terminals_unless_it_is_asked_for() {
    let stage = Stage::new(&[("bad.yaml", BAD)]);
    let has_colour = |arguments: &[&str], variables: &[(&str, &str)]| {
        stage.run_with(arguments, variables, "").out.contains('\u{1b}')
    };
    assert!(!has_colour(&["check", "bad.yaml"], &[]));
    assert!(has_colour(&["check", "bad.yaml", "--color", "always"], &[]));
    assert!(!has_colour(
        &["check", "bad.yaml", "--color", "never"],
        &[("CLICOLOR_FORCE", "1")]
    ));
    assert!(!has_colour(&["check", "bad.yaml"], &[("NO_COLOR", "1")]));
}

#[test]
fn step_of_github_has_a_summary() {
    let stage = Stage::new(&[("bad.yaml", BAD), ("summary.md", "before\n")]);
    let summary = stage.path().join("summary.md");
    let variables = [("GITHUB_STEP_SUMMARY", summary.to_str().unwrap())];
    let ended = stage.run_with(&["check", "bad.yaml", "--format", "github"], &variables, "");
    assert!(
        ended
            .out
            .starts_with("::error file=bad.yaml,line=3,col=10,endLine=3,endColumn=11,title=SG0017 "),
        "{}",
        ended.out
    );
    let summary = fs::read_to_string(summary).unwrap();
    assert!(
        summary.starts_with("before\n### svidgate check: 1 error in"),
        "{summary}"
    );
    assert!(summary.contains("| error | SG0017 |"), "{summary}");
}

#[test]
fn text_is_at_most_80_columns_wide() {
    let long = format!("{BAD}{}: 1\n", "x".repeat(300));
    let json = format!(
        "{{\"trust_domain\": \"prod.example\", \"pad\": \"{}\", \"rules\": [1]}}",
        "y".repeat(5000)
    );
    let stage = Stage::new(&[("bad.yaml", &long), ("bad.json", &json)]);
    let ended = stage.run(&["check", "bad.yaml", "bad.json"]);
    for line in ended.out.lines() {
        // A word cannot be broken.
        assert!(line.chars().count() <= 80 || line.contains("xxxx"), "{line}");
    }
    assert!(ended.out.contains("bad.json:1:5055"), "{}", ended.out);
}
