//! What a newcomer begins with: `new`, `completions`, help.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets the unexpected must stop"
)]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_svidgate"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().expect("it ended by itself"), text(stdout), text(stderr))
}

#[test]
fn new_policy_is_one_in_which_nothing_is_found() {
    for (ci, file) in [
        ("github", ".github/workflows/policy.yaml"),
        ("gitlab", ".gitlab-ci.yml"),
    ] {
        let home = tempfile::tempdir().unwrap();
        let (code, out, err) = run(home.path(), &["new", "p", "--trust-domain", "corp.example", "--ci", ci]);
        assert_eq!((code, err.as_str()), (0, ""));
        assert!(out.contains("next: svidgate check p/policy.yaml"), "{out}");
        let (code, out, _) = run(home.path(), &["check", "p/policy.yaml", "--fail-on", "note"]);
        assert_eq!(
            (code, out.as_str()),
            (0, "check: nothing found in 1 file, 1 document, 4 rules, 1 suppressed\n")
        );
        // What is asked of all identities is decided or said not to be, and nothing fails.
        let (code, out, _) = run(home.path(), &["test", "p"]);
        assert!(code == 0 || code == 4, "{code}: {out}");
        assert!(!out.contains("failed"), "{out}");
        let read = |name: &str| fs::read_to_string(home.path().join("p").join(name)).unwrap();
        for name in ["policy.yaml", "policy.test.yaml"] {
            assert!(
                read(name).contains("corp.example") && !read(name).contains("prod.example"),
                "{name}"
            );
        }
        assert!(read(file).contains("svidgate check policy.yaml"));
        serde_saphyr::from_str::<serde_json::Value>(&read(file)).unwrap();
    }
}

#[test]
fn new_overwrites_nothing() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("policy.test.yaml"), "mine").unwrap();
    let (code, out, err) = run(home.path(), &["new", "."]);
    assert_eq!((code, out.as_str()), (3, ""));
    assert!(
        err.contains("policy.test.yaml: is there already, so nothing is written"),
        "{err}"
    );
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    assert_eq!(
        fs::read_to_string(home.path().join("policy.test.yaml")).unwrap(),
        "mine"
    );
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("/nowhere/at/all", home.path().join("policy.yaml")).unwrap();
        fs::remove_file(home.path().join("policy.test.yaml")).unwrap();
        assert_eq!(run(home.path(), &["new", "."]).0, 3);
    }
    assert_eq!(run(home.path(), &["new", "q", "--trust-domain", "Corp"]).0, 2);
    assert!(!home.path().join("q").exists());
}

#[test]
fn every_reason_is_listed_with_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let (code, out, _) = run(home.path(), &["reasons"]);
    assert_eq!(code, 0);
    let codes: Vec<_> = out
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()))
        .collect();
    let expected = svidgate_policy::Reason::ALL.map(svidgate_policy::Reason::code);
    assert_eq!(codes, expected);
    assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
    assert!(
        out.contains("svid.unknown_authority\n") && out.contains("    > "),
        "{out}"
    );
    let (_, json, _) = run(home.path(), &["reasons", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["schema"], "svidgate/reasons/v1");
    assert_eq!(json["reasons"].as_array().unwrap().len(), expected.len());
    assert!(json["reasons"][0]["advice"].as_str().unwrap().len() > 10);
}

#[test]
fn every_shell_has_completions() {
    let home = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let (code, out, _) = run(home.path(), &["completions", shell]);
        assert_eq!(code, 0);
        assert!(out.contains("svidgate") && out.contains("fail-on"), "{shell}");
    }
}

#[test]
fn help_of_each_command_has_two_examples() {
    let home = tempfile::tempdir().unwrap();
    let (code, out, _) = run(home.path(), &["--help"]);
    assert_eq!(code, 0);
    let commands = out.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names: Vec<_> = commands
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(names.contains(&"check"), "{names:?}");
    for name in names.into_iter().filter(|name| *name != "help") {
        let (_, out, _) = run(home.path(), &[name, "--help"]);
        let examples = out
            .split("Examples:\n")
            .nth(1)
            .unwrap_or_else(|| panic!("{name}: {out}"));
        assert!(
            examples.lines().filter(|line| !line.trim().is_empty()).count() >= 2,
            "{name}"
        );
    }
}
