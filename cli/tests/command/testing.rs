//! `svidgate test`, as a shell sees it.

use ca::{Authority, Profile, real_now};
use serde_json::Value;

use crate::stage::Stage;

const POLICY: &str = r#"trust_domain: prod.example
chain: proxy
rules:
  - name: shop-reads-orders
    effect: allow
    from: [ "spiffe://prod.example/ns/shop/sa/api" ]
    to: [ { methods: [ GET, HEAD ], paths: [ "/orders/**" ] } ]
  - name: nobody-near-admin
    effect: deny
    from: [ "spiffe://*/**" ]
    except: [ "spiffe://prod.example/ns/ops/**" ]
    to: [ { paths: [ "/orders/admin/**" ] } ]
"#;

const TESTS: &str = r#"policy: policy.yaml
at: 2026-11-29T00:00:00Z
tests:
  - name: the shop reads orders
    id: spiffe://prod.example/ns/shop/sa/api
    allow: [ GET /orders/1, { request: HEAD /orders, rule: shop-reads-orders } ]
    deny:
      - POST /orders/1
      - { request: GET /orders/admin/x, reason: rule.denied, rule: nobody-near-admin }
  - name: others do not
    id: spiffe://prod.example/ns/shop/sa/web
    deny: [ GET /orders/1 ]
"#;

fn stage(policy: &str, tests: &str) -> Stage {
    Stage::new(&[("policy.yaml", policy), ("orders.test.yaml", tests)])
}

#[test]
fn tests_that_hold_end_with_0() {
    let ended = stage(POLICY, TESTS).run(&["test"]);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{}", ended.out);
    assert_eq!(ended.out, "test: nothing found in 1 file, 2 tests, 2 passed\n");
}

#[test]
fn test_that_does_not_hold_says_where_and_what_is_so() {
    let stage = stage(&POLICY.replace("[ GET, HEAD ]", "[ GET, POST ]"), TESTS);
    let ended = stage.run(&["test"]);
    assert_eq!(ended.code, 1);
    for text in [
        "error[SG0701]: the shop reads orders: expected allow HEAD /orders",
        "orders.test.yaml:6:",
        "found: deny rule.none_matched",
        "expected deny POST /orders/1",
        "orders.test.yaml:8:9",
        "2 tests, 1 passed, 1 failed",
    ] {
        assert!(ended.out.contains(text), "{text}\n{}", ended.out);
    }
    assert_eq!(stage.run(&["test", "--run", "others"]).code, 0);
    assert_eq!(stage.run(&["test", "--exit-zero"]).code, 0);
}

#[test]
fn gap_that_is_known_does_not_fail_and_one_that_is_closed_is_told() {
    let todo = |policy: &str| {
        stage(
            policy,
            &TESTS.replace(
                "    id: spiffe://prod.example/ns/shop/sa/api",
                "    todo: true\n    id: spiffe://prod.example/ns/shop/sa/api",
            ),
        )
        .run(&["test"])
    };
    let open = todo(&POLICY.replace("[ GET, HEAD ]", "[ GET ]"));
    assert_eq!(open.code, 0);
    assert!(open.out.contains("1 todo"), "{}", open.out);
    let closed = todo(POLICY);
    assert_eq!(closed.code, 0);
    assert!(closed.out.contains("warning[SG0703]"), "{}", closed.out);
}

/// Whatever is wrong with a file, its place is told, and nothing has been tested.
#[test]
fn file_with_mistakes_ends_with_3() {
    for (from, to, told) in [
        ("POST /orders/1", "POST orders/1", "orders.test.yaml:8:9: "),
        (
            "reason: rule.denied",
            "reason: rule.forbidden",
            "`rule.forbidden` is no reason code",
        ),
        (
            "id: spiffe://prod.example/ns/shop/sa/web",
            "id: prod.example/web",
            "orders.test.yaml:11:",
        ),
        ("    deny: [ GET /orders/1 ]\n", "", "claims nothing"),
        ("policy: policy.yaml", "policy: absent.yaml", "absent.yaml"),
        ("at: 2026-11-29T00:00:00Z", "at: tomorrow", "not a time"),
        ("tests:", "test:", "unknown field"),
    ] {
        let ended = stage(POLICY, &TESTS.replace(from, to)).run(&["test"]);
        assert_eq!(ended.code, 3, "{from}: {}{}", ended.out, ended.err);
        assert!(ended.err.contains(told), "{told}\n{}", ended.err);
        assert_eq!(ended.out, "");
    }
    let ended = stage(&POLICY.replace("effect: deny", "effect: refuse"), TESTS).run(&["test"]);
    assert_eq!(ended.code, 3);
    assert!(ended.err.contains("policy.yaml:9:13"), "{}", ended.err);
}

#[test]
fn nothing_to_test_is_no_success() {
    let stage = Stage::new(&[("policy.yaml", POLICY)]);
    let ended = stage.run(&["test"]);
    assert_eq!(ended.code, 3);
    assert!(ended.err.contains("no tests"), "{}", ended.err);
    let required = stage.run(&["test", "--require-tests"]);
    assert_eq!(required.code, 1);
    assert!(required.out.contains("SG0706"), "{}", required.out);
    let two = Stage::new(&[
        ("policy.yaml", POLICY),
        ("orders.test.yaml", TESTS),
        ("more/other.yaml", POLICY),
    ]);
    let required = two.run(&["test", "--require-tests"]);
    assert_eq!(required.code, 1);
    assert!(required.out.contains("more/other.yaml"), "{}", required.out);
    assert_eq!(two.run(&["test"]).code, 0);
}

#[test]
fn coverage_says_what_no_request_reaches() {
    let stage = stage(POLICY, TESTS);
    let ended = stage.run(&["test", "--coverage"]);
    assert_eq!(ended.code, 0, "{}", ended.out);
    assert!(
        ended.out.contains("rules[1].except[0]: no request is kept out by it"),
        "{}",
        ended.out
    );
    assert!(ended.out.contains("policy.yaml:11:15"), "{}", ended.out);
    assert!(!ended.out.contains("rules[0].to[0].methods"), "{}", ended.out);
    assert_eq!(stage.run(&["test", "--min-coverage", "99"]).code, 1);
    assert_eq!(stage.run(&["test", "--min-coverage", "50"]).code, 0);
    let more = format!(
        "{TESTS}  - name: operators\n    id: spiffe://prod.example/ns/ops/x\n    deny: [ {{ request: GET /orders/admin/x, reason: rule.none_matched }}, GET /other ]\n"
    );
    let more = more.replace("- POST /orders/1", "- POST /orders/1\n      - GET /other");
    stage.write("orders.test.yaml", more.as_bytes());
    let ended = stage.run(&["test", "--coverage", "--min-coverage", "100"]);
    assert_eq!(ended.code, 0, "{}", ended.out);
    assert!(ended.out.contains("100 % of"), "{}", ended.out);
}

#[test]
fn junit_has_a_case_for_each_test() {
    let stage = stage(&POLICY.replace("[ GET, HEAD ]", "[ GET ]"), TESTS);
    let ended = stage.run(&["test", "--format", "junit"]);
    assert_eq!(ended.code, 1);
    assert!(
        ended.out.contains(r#"tests="2" skipped="0" failures="1""#),
        "{}",
        ended.out
    );
    assert!(
        ended.out.contains(r#"<testcase name="others do not" classname="#),
        "{}",
        ended.out
    );
    let json = stage.run(&["test", "--format", "json"]);
    let json: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["findings"][0]["code"], "SG0701");
}

/// Of an SVID the whole verifier is asked.
#[test]
fn svid_of_an_unknown_authority_is_refused() {
    let authority = Authority::of("prod.example", real_now());
    let policy = POLICY.replace("chain: proxy", "bundle: { inline: { keys: [] } }");
    let tests = "policy: policy.yaml\ntests:\n  - name: nobody\n    svid: leaf.pem\n    refused: REASON\n";
    let stage = stage(&policy, &tests.replace("REASON", "federation.bundle_empty"));
    let leaf = authority.issue(Profile::svid("spiffe://prod.example/ns/shop/sa/api", real_now()));
    stage.write("leaf.pem", leaf.leaf_pem().as_bytes());
    let ended = stage.run(&["test"]);
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    stage.write("orders.test.yaml", tests.replace("REASON", "svid.expired").as_bytes());
    let ended = stage.run(&["test"]);
    assert_eq!(ended.code, 1);
    assert!(ended.out.contains("federation.bundle_empty"), "{}", ended.out);
}

/// What is changed and no test notices is told; what changes no answer is none.
#[test]
fn mutants_that_no_test_notices_survive() {
    let stage = stage(POLICY, TESTS);
    let ended = stage.run(&["test", "--mutants"]);
    assert_eq!(ended.code, 1, "{}", ended.out);
    assert!(
        ended.out.contains("error[SG0705]: rules[0].to[0].paths: "),
        "{}",
        ended.out
    );
    assert!(ended.out.contains("10 of 12 changes noticed"), "{}", ended.out);
    // Nobody whom it lets through has an allow rule, so it makes no difference.
    assert!(!ended.out.contains("rules[1].except[0]"), "{}", ended.out);
}

/// A device never ends, and whoever opens a pull request can name one.
#[cfg(unix)]
#[test]
fn file_of_tests_names_files_and_nothing_else() {
    let named = |line: &str| {
        let tests = TESTS.replace("    id: spiffe://prod.example/ns/shop/sa/web", line);
        stage(POLICY, &tests).run(&["test"])
    };
    for line in ["    svid: /dev/zero", "    svid: .", "    svid: absent.pem"] {
        let ended = named(line);
        assert_eq!(ended.code, 3, "{line}: {}{}", ended.out, ended.err);
        assert!(ended.err.contains("orders.test.yaml:11:11: `"), "{}", ended.err);
    }
}

/// A name that nobody bears, or a list without an entry, would be read as tests that passed.
#[test]
fn no_test_at_all_is_no_success() {
    let all = stage(POLICY, TESTS);
    let ended = all.run(&["test", "--run", "nobody has this name"]);
    assert_eq!(ended.code, 3, "{}", ended.out);
    assert!(
        ended.err.contains("no test has `nobody has this name` in its name"),
        "{}",
        ended.err
    );
    let none = stage(POLICY, "policy: policy.yaml\ntests: []\n");
    assert_eq!(none.run(&["test"]).code, 3);
    assert_eq!(none.run(&["test", "--require-tests"]).code, 1);
}

/// Decided of everybody and everything, with a request that anybody can ask where it does not hold.
#[test]
fn statements_about_all_requests_are_decided() {
    let of = |statement: &str| {
        let tests = format!("policy: policy.yaml\ntests:\n  - name: all\n    {statement}\n");
        stage(POLICY, &tests).run(&["test"])
    };
    let admin = r#"never: { from: [ "spiffe://*/**" ], to: [ { paths: [ "/orders/admin/**" ] } ] }"#;
    assert_eq!(of(admin).code, 0, "{}", of(admin).out);
    let orders = of(r#"never: { from: [ "spiffe://*/**" ], to: [ { paths: [ "/orders/**" ] } ] }"#);
    assert_eq!(orders.code, 1);
    assert!(
        orders.out.contains("found: allow rule.allowed shop-reads-orders for"),
        "{}",
        orders.out
    );
    let only = r#"only: { from: [ "spiffe://prod.example/ns/shop/sa/api" ], to: [ { paths: [ "/orders/**" ] } ] }"#;
    assert_eq!(of(only).code, 0, "{}", of(only).out);
    assert_eq!(of(&only.replace("sa/api", "sa/web")).code, 1);
    let always = r#"always: { from: [ "spiffe://prod.example/ns/shop/sa/api" ], to: [ { methods: [ GET ], paths: [ "/orders/1" ] } ] }"#;
    assert_eq!(of(always).code, 0, "{}", of(always).out);
    assert_eq!(of(&always.replace("/orders/1", "/orders/**")).code, 1);
    let wrong = of(&admin.replace("paths", "path"));
    assert_eq!(wrong.code, 3, "{}{}", wrong.out, wrong.err);
    assert!(wrong.err.contains("orders.test.yaml:4:12: "), "{}", wrong.err);
}

/// Whoever runs the tests of a stranger's pull request shows him lines of the files that he names.
#[test]
fn file_of_tests_names_files_of_its_own_repository_alone() {
    let tests = |policy: &str| TESTS.replace("policy: policy.yaml", &format!("policy: {policy}"));
    let svid =
        |file: &str| format!("policy: policy.yaml\ntests: [ {{ name: a, svid: {file}, refused: svid.malformed }} ]\n");
    let secret = "token: abc\n";
    let files = |text: &str| {
        Stage::new(&[
            ("secret.yaml", secret),
            ("policy.yaml", POLICY),
            ("repo/policy.yaml", POLICY),
            ("repo/tests/policy.yaml", POLICY),
            ("repo/tests/a.test.yaml", text),
        ])
    };
    for repository in [true, false] {
        for text in [
            tests("../../secret.yaml"),
            tests("../../policy.yaml"),
            tests("../../absent.yaml"),
            tests("/etc/hostname"),
            tests("../../../../../../../../../../etc/hostname"),
            tests("link.yaml"),
            tests("folder/secret.yaml"),
            tests("folder/secret.yaml#x"),
            svid("../../secret.yaml"),
            svid("link.yaml"),
        ] {
            let stage = files(&text);
            if repository {
                stage.write("repo/.git/HEAD", b"ref: refs/heads/main\n");
            }
            #[cfg(unix)]
            for (to, link) in [("secret.yaml", "link.yaml"), (".", "folder")] {
                std::os::unix::fs::symlink(stage.path().join(to), stage.path().join("repo/tests").join(link)).unwrap();
            }
            let ended = stage.run(&["test", "repo/tests/a.test.yaml"]);
            assert_eq!((ended.code, ended.out.as_str()), (3, ""), "{text}");
            assert!(ended.err.contains("lies outside of "), "{}", ended.err);
            assert!(
                !ended.err.contains("abc") && !ended.err.contains("No such file"),
                "{}",
                ended.err
            );
            assert!(
                ended.err.starts_with("svidgate: repo/tests/a.test.yaml:"),
                "{}",
                ended.err
            );
        }
        let above = files(&tests("../policy.yaml"));
        if repository {
            above.write("repo/.git/HEAD", b"ref: refs/heads/main\n");
        }
        let alone = above.run(&["test", "repo/tests/a.test.yaml"]);
        assert_eq!(alone.code, if repository { 0 } else { 3 }, "{}", alone.err);
        assert_eq!(above.run(&["test", "repo"]).code, 0);
        assert_eq!(above.run(&["test", "repo/tests/a.test.yaml", "repo"]).code, 0);
    }
    #[cfg(unix)]
    {
        let stage = files(TESTS);
        std::fs::remove_file(stage.path().join("repo/tests/a.test.yaml")).unwrap();
        std::os::unix::fs::symlink(
            stage.path().join("secret.yaml"),
            stage.path().join("repo/tests/a.test.yaml"),
        )
        .unwrap();
        let ended = stage.run(&["test", "repo/tests/a.test.yaml"]);
        assert_eq!(ended.code, 3);
        assert!(ended.err.contains("is a link that leads out of"), "{}", ended.err);
    }
}

/// What was not looked at is said, and is no yes.
#[test]
fn mutants_and_coverage_end_in_time_and_say_what_is_left() {
    let stage = stage(POLICY, TESTS);
    let all = stage.run(&["test", "--mutants", "--exit-zero"]);
    assert_eq!(all.code, 0, "{}", all.out);
    let none = stage.run(&["test", "--mutants", "--max-seconds", "0"]);
    assert_eq!(none.code, 4, "{}", none.out);
    assert!(
        none.out.contains("error[SG0707]") && none.out.contains("from rules[0] on"),
        "{}",
        none.out
    );
    assert!(!none.out.contains("changes noticed"), "{}", none.out);
    let uncovered = stage.run(&["test", "--coverage", "--max-seconds", "0", "--exit-zero"]);
    assert_eq!(uncovered.code, 4, "{}", uncovered.out);
    assert!(
        uncovered.out.contains("what 5 requests reach was not looked at"),
        "{}",
        uncovered.out
    );
    // A test that fails is a no, whatever was not looked at.
    let failing = Stage::new(&[
        ("policy.yaml", POLICY),
        ("a.test.yaml", &TESTS.replace("GET /orders/1,", "PUT /orders/1,")),
    ]);
    assert_eq!(failing.run(&["test", "--coverage", "--max-seconds", "0"]).code, 1);
}
