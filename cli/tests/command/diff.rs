//! `svidgate diff`, as a shell sees it.

use std::{fs, process::Command};

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
    let one = &json["comparisons"][0];
    assert!(one["gained"][0].is_object() && one["lost"][0].is_object(), "{out}");
    assert_eq!((&one["old"], &one["new"]), (&"old.yaml".into(), &"new.yaml".into()));
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

/// Nobody can read nanoseconds, and nobody can repeat them.
#[test]
fn example_is_asked_at_a_whole_second() {
    let (_, out) = diff(&OLD.replace("[ GET ]", "[ GET, POST ]"), &["--format", "json"]);
    let json: Value = serde_json::from_str(&out).unwrap();
    let example = json["comparisons"][0]["gained"][0]["regions"][0]["example"]
        .as_str()
        .unwrap();
    let (_, at) = example.split_once(", at ").unwrap();
    assert_eq!(at.len(), "2026-11-29T06:44:01Z".len(), "{at}");
}

/// The changes that are expected, and the end.
fn expecting(new: &str, expected: &str) -> (i32, String, String) {
    let stage = Stage::new(&[("old.yaml", OLD), ("new.yaml", new), ("expected.yaml", expected)]);
    let ended = stage.run(&["diff", "old.yaml", "new.yaml", "--expect", "expected.yaml"]);
    (ended.code, ended.out, ended.err)
}

#[test]
fn change_that_is_expected_is_none_and_any_other_is() {
    let posts = OLD.replace("[ GET ]", "[ GET, POST ]");
    let all = r#"gains: [ { from: [ "spiffe://prod.example/shop/**" ], to: [ { methods: [ POST ], paths: [ "/orders/**" ] } ] } ]"#;
    let (code, out, err) = expecting(&posts, all);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.starts_with("gained    nothing\nlost      nothing\n"), "{out}");
    // A rule that is expected to gain something gains more.
    for more in [
        posts.replace("[ GET, POST ]", "[ GET, POST, PUT ]"),
        posts.replace("/shop/**", "/**"),
        posts.replace("/orders/**", "/**"),
        posts.replace("/orders/closed/**", "/orders/c/**"),
        posts.replace("[ GET, POST ]", "[ POST ]"),
    ] {
        let (code, out, _) = expecting(&more, all);
        assert_eq!(code, 1, "{more}\n{out}");
    }
    // As a loss it is another change.
    assert_eq!(expecting(&posts, &all.replace("gains", "losses")).0, 1);
    let back = r#"losses: [ { from: [ "spiffe://prod.example/shop/**" ], to: [ { methods: [ GET ] } ] } ]"#;
    assert_eq!(
        expecting(&OLD.replace("[ GET ]", "[ PUT ]").replace("PUT", "HEAD"), back).0,
        1
    );
    let (code, out, _) = expecting(
        &OLD.replace("/orders/**", "/o/**"),
        &format!("{back}\ngains: [ {{ from: [ \"spiffe://*/**\" ], to: [ {{ paths: [ \"/o/**\" ] }} ] }} ]"),
    );
    assert_eq!(code, 0, "{out}");
}

#[test]
fn expected_change_that_is_not_there_is_told() {
    let there = r#"{ from: [ "spiffe://prod.example/shop/**" ], to: [ { methods: [ POST ] } ] }"#;
    let absent = there.replace("POST", "DELETE");
    let posts = OLD.replace("[ GET ]", "[ GET, POST ]");
    let (code, out, _) = expecting(&posts, &format!("gains:\n  - {there}\n  - {absent}\n"));
    assert_eq!(code, 1, "{out}");
    assert!(
        out.contains("not there  a gain that expected.yaml:3:5 expects"),
        "{out}"
    );
    assert_eq!(out.matches("not there").count(), 1, "{out}");
    // What nothing changes in expects nothing.
    assert_eq!(expecting(OLD, &format!("gains: [ {there} ]")).0, 1);
    assert_eq!(expecting(OLD, "gains: []\n").0, 0);
}

#[test]
fn file_of_expected_changes_with_mistakes_ends_with_3() {
    let many = "gains: [".to_owned() + &r#"{ from: [ "spiffe://prod.example/a" ] },"#.repeat(33) + "]";
    for (text, told) in [
        ("gained: []", "expected.yaml:1:1: unknown field"),
        ("gains: [ { from: [ 1 ] } ]", "expected.yaml:1:10: from[0]: expected"),
        (
            r#"gains: [ { from: [ "spiffe://other.example/a" ] } ]"#,
            "expected.yaml:1:10: from[0]",
        ),
        (many.as_str(), "expected.yaml: expects more than 32 changes"),
    ] {
        let (code, out, err) = expecting(OLD, text);
        assert_eq!((code, out.as_str()), (3, ""), "{text}: {err}");
        assert!(err.contains(told), "{told}\n{err}");
    }
}

fn git(stage: &Stage, arguments: &[&str]) {
    let output = Command::new("git")
        .args([
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@example.com",
            "-c",
            "commit.gpgsign=false",
        ])
        .args(arguments)
        .current_dir(stage.path())
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

/// Files as they were committed.
fn committed(files: &[(&str, &str)]) -> Stage {
    let stage = Stage::new(files);
    git(&stage, &["init", "--quiet", "--initial-branch=main"]);
    git(&stage, &["add", "."]);
    git(&stage, &["commit", "--quiet", "--message=first"]);
    stage
}

#[test]
fn what_changed_since_a_commit_is_compared() {
    let stage = committed(&[
        ("deploy/policy.yaml", OLD),
        ("other.yaml", OLD),
        ("notes.yaml", "a: 1\n"),
    ]);
    let ended = stage.run(&["diff", "--git", "HEAD"]);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    assert!(
        ended.out.starts_with("no policy changed since HEAD (0 files"),
        "{}",
        ended.out
    );
    stage.write("notes.yaml", b"a: 2\n");
    assert!(
        stage
            .run(&["diff", "--git", "main"])
            .out
            .contains("(1 file that changed")
    );
    stage.write("deploy/policy.yaml", OLD.replace("[ GET ]", "[ GET, POST ]").as_bytes());
    for arguments in [
        &["diff", "--git", "main"][..],
        &["diff", "--git", "HEAD", "deploy/policy.yaml"],
    ] {
        let ended = stage.run(arguments);
        assert_eq!((ended.code, ended.err.as_str()), (1, ""), "{}", ended.out);
        let first = ended.out.lines().next().unwrap();
        assert_eq!(
            first,
            format!("{}:deploy/policy.yaml -> deploy/policy.yaml", arguments[2])
        );
        assert!(ended.out.contains("gained    by allow rule readers"), "{}", ended.out);
        assert!(!ended.out.contains("other.yaml"), "{}", ended.out);
    }
    assert_eq!(stage.run(&["diff", "--git", "main", "other.yaml"]).code, 0);
    // From a folder below, and by an absolute path.
    let absolute = stage.path().join("deploy/policy.yaml").display().to_string();
    assert_eq!(stage.run(&["diff", "--git", "main", &absolute]).code, 1);
    let below = stage.run_in("deploy", &["diff", "--git", "main"]);
    assert_eq!(below.code, 1, "{}{}", below.out, below.err);
    assert!(below.out.starts_with("main:../deploy/policy.yaml -> "), "{}", below.out);
}

/// Whatever was carried under a name is carried there no more, or was not yet. A rename hides neither.
#[test]
fn policy_that_is_new_or_gone_is_compared_with_what_allows_nothing() {
    let stage = committed(&[("a.yaml", OLD)]);
    fs::rename(stage.path().join("a.yaml"), stage.path().join("b.yaml")).unwrap();
    for stages in 0..2 {
        let ended = stage.run(&["diff", "--git", "HEAD"]);
        assert_eq!((ended.code, ended.err.as_str()), (1, ""), "{stages}: {}", ended.out);
        let gone = "HEAD:a.yaml is gone, and compared with what allows nothing\ngained    nothing\nlost      by allow rule readers";
        let new = "b.yaml is new, and compared with what allows nothing\ngained    by allow rule readers";
        assert!(ended.out.contains(gone) && ended.out.contains(new), "{}", ended.out);
        git(&stage, &["add", "--all"]);
    }
    let json: Value = serde_json::from_str(&stage.run(&["diff", "--git", "HEAD", "--format", "json"]).out).unwrap();
    assert_eq!(json["comparisons"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&json["comparisons"][0]["is_gone"], &json["comparisons"][1]["is_new"]),
        (&true.into(), &true.into())
    );
    assert_eq!(
        stage
            .run(&["diff", "--git", "HEAD", "a.yaml", "--fail-on", "gains"])
            .code,
        0
    );
}

#[test]
fn what_git_cannot_tell_ends_with_3() {
    let alone = Stage::new(&[("policy.yaml", OLD)]);
    let ended = alone.run(&["diff", "--git", "main", "policy.yaml"]);
    assert_eq!((ended.code, ended.out.as_str()), (3, ""));
    assert!(
        ended.err.contains("policy.yaml: git: not a git repository"),
        "{}",
        ended.err
    );
    let ended = alone.run_with(&["diff", "--git", "main"], &[("PATH", "/nowhere")], "");
    assert_eq!(ended.code, 3);
    assert!(
        ended.err.contains("the program `git` cannot be started"),
        "{}",
        ended.err
    );
    let stage = committed(&[("policy.yaml", OLD), ("broken.yaml", "a: [\n"), ("plain.txt", "x")]);
    for (arguments, told) in [
        (&["--git", "nothing"][..], "no commit of the name `nothing` is here"),
        (&["--git", "--output=x"], "no name of a commit"),
        (
            &["--git", "main", "absent.yaml"],
            "absent.yaml: is not there, and was not at main",
        ),
        (
            &["--git", "main", "absent/of/all.yaml"],
            "is not there, and was not at main",
        ),
        (
            &["--git", "main", "plain.txt"],
            "plain.txt: carries no policy, here and at main",
        ),
        (&["--git", "main", "broken.yaml"], "main:broken.yaml"),
        (
            &["--git", "main", "policy.yaml#x"],
            "carries no policy, here and at main",
        ),
        (&["policy.yaml"], "write two policies"),
    ] {
        let arguments: Vec<&str> = ["diff"].iter().chain(arguments).copied().collect();
        let ended = stage.run(&arguments);
        assert!(
            ended.code == 3 || (ended.code == 2 && arguments.contains(&"--output=x")),
            "{arguments:?} {}",
            ended.err
        );
        assert!(ended.code == 2 || ended.err.contains(told), "{told}: {}", ended.err);
    }
    assert!(!stage.path().join("x").exists());
    let ended = stage.run(&["diff", "--git=--output=x"]);
    assert_eq!(ended.code, 3);
    assert!(ended.err.contains("no name of a commit"), "{}", ended.err);
}

/// What a pull request puts in place of a file may lead to any other.
#[cfg(unix)]
#[test]
fn link_in_place_of_a_policy_is_not_followed() {
    let stage = committed(&[("policy.yaml", OLD)]);
    let secret = Stage::new(&[("secret.yaml", "token: abc\nb: [")]);
    fs::remove_file(stage.path().join("policy.yaml")).unwrap();
    std::os::unix::fs::symlink(secret.path().join("secret.yaml"), stage.path().join("policy.yaml")).unwrap();
    let ended = stage.run(&["diff", "--git", "HEAD"]);
    assert_eq!(ended.code, 3);
    assert!(
        ended.err.contains("policy.yaml: is no plain file any more"),
        "{}",
        ended.err
    );
    assert!(!ended.err.contains("abc") && !ended.out.contains("abc"));
    git(&stage, &["add", "--all"]);
    git(&stage, &["commit", "--quiet", "--message=second"]);
    fs::remove_file(stage.path().join("policy.yaml")).unwrap();
    stage.write("policy.yaml", OLD.as_bytes());
    let ended = stage.run(&["diff", "--git", "HEAD"]);
    assert_eq!(ended.code, 3);
    assert!(ended.err.contains("at HEAD: was no plain file"), "{}", ended.err);
}

/// What allows nothing has no hops either: one that no rule names is a mistake.
#[test]
fn policy_with_hops_that_is_new_is_compared_with_what_allows_nothing() {
    let stage = committed(&[("a.yaml", OLD)]);
    let hops = r#"trust_domain: prod.example
authorities: { workload_api: { cluster: agent } }
xfcc: hop
jwt_svid: { audiences: [ us ] }
hops:
  - { name: edge, peers: [ "spiffe://prod.example/edge" ], callers: [ "spiffe://prod.example/ns/**" ], assertion: jwt_svid }
rules:
  - { name: brought, effect: allow, from: [ "spiffe://prod.example/ns/a" ], via: [ edge ] }
"#;
    fs::write(stage.path().join("b.yaml"), hops).unwrap();
    let ended = stage.run(&["diff", "--git", "HEAD"]);
    assert_eq!((ended.code, ended.err.as_str()), (1, ""), "{}", ended.out);
    assert!(
        ended.out.contains("allow rule.allowed through hop edge"),
        "{}",
        ended.out
    );
    assert!(ended.out.contains("nothing else changes"), "{}", ended.out);
}

/// Two plugins of one file, of which one is new and one changed.
#[test]
fn policies_of_one_file_are_put_together_by_their_names() {
    let plugin = |name: &str, method: &str| {
        format!(
            "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {{ name: {name} }}\nspec:\n  \
             pluginName: svidgate.request\n  pluginConfig:\n    trust_domain: prod.example\n    chain: proxy\n    rules:\n      \
             - {{ name: r, effect: allow, from: [ \"spiffe://prod.example/{name}\" ], to: [ {{ methods: [ {method} ] }} ] }}\n"
        )
    };
    let both = |one: &str, two: &str| format!("{one}---\n{two}");
    let stage = committed(&[("mesh.yaml", &both(&plugin("one", "GET"), &plugin("two", "GET")))]);
    stage.write(
        "mesh.yaml",
        both(&plugin("three", "GET"), &plugin("two", "POST")).as_bytes(),
    );
    let ended = stage.run(&["diff", "--git", "HEAD"]);
    assert_eq!((ended.code, ended.err.as_str()), (1, ""), "{}", ended.out);
    let heads: Vec<&str> = ended.out.lines().filter(|line| line.contains("mesh.yaml")).collect();
    assert_eq!(
        heads,
        [
            "mesh.yaml#three is new, and compared with what allows nothing",
            "HEAD:mesh.yaml#two -> mesh.yaml#two",
            "HEAD:mesh.yaml#one is gone, and compared with what allows nothing",
        ]
    );
    let named = stage.run(&["diff", "--git", "HEAD", "mesh.yaml#two"]);
    assert!(named.code == 1 && !named.out.contains("three"), "{}", named.out);
}

#[test]
fn lines_are_at_most_80_columns_wide_but_for_a_longer_word() {
    let (_, out) = diff(
        &OLD.replace("[ GET ]", "[ GET, POST, PUT, PATCH, DELETE, OPTIONS, TRACE, PROPFIND ]"),
        &[],
    );
    assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
    // A line that goes on stands further in.
    assert!(out.contains("\n        "), "{out}");
}
