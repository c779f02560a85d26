//! What comes through hops, as a shell asks about it.

use serde_json::Value;

use crate::stage::Stage;

const POLICY: &str = r#"trust_domain: prod.example
authorities: { workload_api: { cluster: agent } }
federation: [ { trust_domain: partner.example, scope: [ "/tenant/**" ] } ]
xfcc: hop
hops:
  - name: partner-edge
    peers: [ "spiffe://prod.example/edge" ]
    callers: [ "spiffe://partner.example/tenant/**" ]
    except: [ "spiffe://partner.example/tenant/batch" ]
    assertion: xfcc
  - name: mesh
    peers: [ "spiffe://prod.example/mesh/*", "spiffe://prod.example/edge" ]
    callers: [ "spiffe://prod.example/ns/**" ]
    assertion: xfcc
    expires: 2027-06-30T00:00:00Z
rules:
  - name: tenants-read-their-own
    effect: allow
    from: [ "spiffe://partner.example/tenant/{tenant}" ]
    via: [ partner-edge ]
    to: [ { methods: [ GET ], paths: [ "/invoices/{tenant}/**" ] } ]
  - name: services
    effect: allow
    from: [ "spiffe://prod.example/ns/**" ]
    via: [ mesh, direct ]
  - name: not-by-mesh-seven
    effect: deny
    from: [ "spiffe://prod.example/mesh/7" ]
  - name: own
    effect: allow
    from: [ "spiffe://partner.example/tenant/{tenant}" ]
    to: [ { paths: [ "/own/{tenant}" ] } ]
"#;

const ACME: &str = "spiffe://partner.example/tenant/acme";
const AT: &str = "2026-11-29T00:00:00Z";

fn stage() -> Stage {
    Stage::new(&[("policy.yaml", POLICY)])
}

fn can(stage: &Stage, via: &[&str], id: &str, path: &str) -> (i32, String) {
    let mut arguments = vec!["can", "--at", AT];
    via.iter().for_each(|via| arguments.extend(["--via", via]));
    arguments.extend([id, "GET", path, "policy.yaml"]);
    let ended = stage.run(&arguments);
    (ended.code, format!("{}{}", ended.out, ended.err))
}

#[test]
fn answer_is_of_whoever_asks_and_of_whoever_brings_it() {
    let stage = stage();
    let api = "spiffe://prod.example/ns/shop/api";
    let allowed = |via: &[&str], id, path, rule: &str| {
        assert_eq!(can(&stage, via, id, path), (0, format!("allow rule.allowed {rule}\n")));
    };
    let denied = |via: &[&str], id, path, reason: &str| {
        assert_eq!(can(&stage, via, id, path), (1, format!("deny {reason}\n")));
    };
    allowed(&["partner-edge"], ACME, "/invoices/acme/1", "tenants-read-their-own");
    denied(&["partner-edge"], ACME, "/invoices/other/1", "rule.none_matched");
    denied(&[], ACME, "/invoices/acme/1", "rule.none_matched");
    denied(&["direct"], ACME, "/invoices/acme/1", "rule.none_matched");
    denied(
        &["partner-edge"],
        "spiffe://partner.example/tenant/batch",
        "/",
        "assertion.not_allowed",
    );
    denied(
        &["mesh=spiffe://prod.example/mesh/1"],
        ACME,
        "/",
        "assertion.not_allowed",
    );
    denied(
        &["mesh=spiffe://prod.example/mesh/7"],
        api,
        "/",
        "rule.denied not-by-mesh-seven",
    );
    allowed(&["mesh=spiffe://prod.example/mesh/8"], api, "/", "services");
    allowed(&[], api, "/", "services");
    // A hop makes none of its own.
    denied(&[], "spiffe://prod.example/edge", "/", "assertion.missing");
}

#[test]
fn way_that_is_none_is_refused_with_what_would_be_right() {
    let stage = stage();
    for (via, text) in [
        (
            &["egde"][..],
            "unknown hop `egde` (known: `direct`, `partner-edge`, `mesh`)",
        ),
        (
            &["mesh"],
            "hop `mesh` may be several: write which, as `mesh=SPIFFE_ID`, of its `peers`: `spiffe://prod.example/mesh/*`",
        ),
        (
            &["mesh=spiffe://prod.example/x"],
            "spiffe://prod.example/x is none of the `peers` of hop `mesh`",
        ),
        (
            &["partner-edge", "mesh"],
            "more than one hop: what comes through several is not asked here",
        ),
        (&["direct", "partner-edge"], "`direct` beside a hop"),
        (&["direct=spiffe://prod.example/x"], "`direct` is nobody, and has no id"),
        // The same peer brings this caller by another entry, and rules name entries.
        (
            &["mesh=spiffe://prod.example/edge"],
            "it is hop `partner-edge` by which that peer brings",
        ),
    ] {
        let (code, told) = can(&stage, via, ACME, "/invoices/acme/1");
        assert_eq!(code, 3, "{via:?}: {told}");
        assert!(told.contains(text), "{via:?}: {told}");
    }
    let connects = stage.run(&["can", "--via", "partner-edge", ACME, "connection", "policy.yaml"]);
    assert_eq!(connects.code, 3);
    assert!(connects.err.contains("a hop brings requests"), "{}", connects.err);
    for wrong in ["=spiffe://prod.example/x", "edge=x"] {
        assert_eq!(can(&stage, &[wrong], ACME, "/").0, 2, "{wrong}");
    }
}

fn explain(stage: &Stage, more: &[&str]) -> String {
    let mut arguments = vec!["explain", "--at", AT];
    arguments.extend(more);
    arguments.extend(["GET", "/invoices/acme/1", "policy.yaml"]);
    let ended = stage.run(&arguments);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{}", ended.out);
    ended.out
}

#[test]
fn explanation_says_what_each_hop_and_each_rule_has_to_do_with_it() {
    let stage = stage();
    let told = explain(&stage, &["--id", ACME, "--via", "partner-edge"]);
    for line in [
        "allow rule.allowed tenants-read-their-own\n",
        "asks GET /invoices/acme/1\nthrough spiffe://prod.example/edge\n",
        "  partner-edge: brings this caller (policy.yaml:6)\n",
        "    yes      except: [ \"spiffe://partner.example/tenant/batch\" ]\n",
        "  mesh: may not bring this caller (policy.yaml:11)\n    no       callers:",
        "    yes      via: [ partner-edge ]\n",
        "  own, allow: does not apply (policy.yaml:29)\n",
        "    no       via: [ direct ], as it is not written\n",
    ] {
        assert!(told.contains(line), "{line}\n{told}");
    }
    let batch = explain(
        &stage,
        &["--id", "spiffe://partner.example/tenant/batch", "--via", "partner-edge"],
    );
    for line in [
        "deny assertion.not_allowed\n",
        "  partner-edge: may not bring this caller (policy.yaml:6)\n    yes      callers:",
        "    no       except: [ \"spiffe://partner.example/tenant/batch\" ]\n",
        "refused before any rule is asked\n",
    ] {
        assert!(batch.contains(line), "{line}\n{batch}");
    }
    let direct = explain(&stage, &["--id", ACME]);
    assert!(
        direct.contains("tenants-read-their-own would allow it but for via: [ partner-edge ]\n"),
        "{direct}"
    );
    let denied = explain(
        &stage,
        &[
            "--id",
            "spiffe://prod.example/ns/a",
            "--via",
            "mesh=spiffe://prod.example/mesh/7",
        ],
    );
    assert!(
        denied.contains("not-by-mesh-seven, deny, of the hop: applies (policy.yaml:26)\n"),
        "{denied}"
    );
    let json = explain(
        &stage,
        &[
            "--format",
            "json",
            "--id",
            "spiffe://prod.example/ns/a",
            "--via",
            "mesh=spiffe://prod.example/mesh/7",
        ],
    );
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["via"], "spiffe://prod.example/mesh/7");
    assert_eq!(json["hops"][0]["hop"], "mesh");
    assert_eq!(json["hops"][0]["brings"], true);
    let of: Vec<&Value> = json["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| &rule["of"])
        .collect();
    assert_eq!(of, ["caller", "hop"]);
    let markdown = explain(&stage, &["--format", "markdown", "--id", ACME, "--via", "partner-edge"]);
    assert!(
        markdown.contains("- hop partner\\-edge: brings this caller\n"),
        "{markdown}"
    );
}

#[test]
fn list_is_of_the_way_that_is_asked_about() {
    let stage = stage();
    let list = |via: &[&str]| {
        let mut arguments = vec!["can", "--list"];
        arguments.extend(via);
        arguments.extend([ACME, "policy.yaml"]);
        stage.run(&arguments).out
    };
    assert_eq!(
        list(&["--via", "partner-edge"]),
        "allow [ GET ] /invoices/acme/** via [ partner-edge ] (tenants-read-their-own)\n"
    );
    assert!(list(&[]).contains("(own)"));
}

#[test]
fn hop_that_is_revoked_brings_nobody() {
    let revoked = POLICY.replace("rules:", "revoked: [ { id: \"spiffe://prod.example/edge\" } ]\nrules:");
    let stage = Stage::new(&[("policy.yaml", &revoked)]);
    let (code, told) = can(&stage, &["partner-edge"], ACME, "/invoices/acme/1");
    assert_eq!(code, 1);
    assert!(told.starts_with("deny svid.revoked (the hop: "), "{told}");
}

const TESTS: &str = r#"policy: policy.yaml
at: 2026-11-29T00:00:00Z
tests:
  - name: tenants through the edge
    id: spiffe://partner.example/tenant/acme
    via: [ partner-edge ]
    allow: [ GET /invoices/acme/1 ]
    deny: [ { request: GET /own/acme, reason: rule.none_matched } ]
  - name: and not themselves
    id: spiffe://partner.example/tenant/acme
    deny: [ GET /invoices/acme/1 ]
  - name: whom it may not bring
    id: spiffe://partner.example/tenant/batch
    via: [ partner-edge ]
    deny: [ { request: GET /invoices/batch/1, reason: assertion.not_allowed } ]
  - name: services through the mesh
    id: spiffe://prod.example/ns/a
    via: [ "mesh=spiffe://prod.example/mesh/1" ]
    allow: [ GET / ]
  - name: invoices by the edge alone
    only:
      from: [ "spiffe://partner.example/tenant/**" ]
      via: [ partner-edge ]
      to: [ { paths: [ "/invoices/acme/**" ] } ]
    todo: true
  - name: no partner through the mesh
    never: { from: [ "spiffe://partner.example/**" ], via: [ mesh ] }
"#;

fn test(tests: &str, more: &[&str]) -> (i32, String) {
    let stage = Stage::new(&[("policy.yaml", POLICY), ("p.test.yaml", tests)]);
    let mut arguments = vec!["test"];
    arguments.extend(more);
    let ended = stage.run(&arguments);
    (ended.code, format!("{}{}", ended.out, ended.err))
}

#[test]
fn tests_say_through_whom_their_requests_come() {
    let (code, told) = test(TESTS, &[]);
    assert_eq!(
        (code, told.as_str()),
        (0, "test: nothing found in 1 file, 6 tests, 5 passed, 1 todo\n")
    );
    // Whom the direct way and the mesh let through, it finds.
    let (code, told) = test(&TESTS.replace("    todo: true\n", ""), &[]);
    assert_eq!(code, 1);
    assert!(
        told.contains("found: allow rule.allowed services for spiffe://prod.example/ns"),
        "{told}"
    );
    for (from, to, text) in [
        (
            "via: [ partner-edge ]\n    allow",
            "via: [ egde ]\n    allow",
            "p.test.yaml:7:14: `via`: unknown hop `egde`",
        ),
        (
            "\"mesh=spiffe://prod.example/mesh/1\"",
            "mesh",
            "`via`: hop `mesh` may be several",
        ),
        (
            "\"mesh=spiffe://prod.example/mesh/1\"",
            "\"mesh=x\"",
            "p.test.yaml:18:12: ",
        ),
        (
            "    never:",
            "    via: [ mesh ]\n    never:",
            "nobody comes: write `via` beside `id` or `svid`",
        ),
        ("via: [ mesh ]", "via: [ mash ]", "unknown hop `mash`"),
    ] {
        let (code, told) = test(&TESTS.replace(from, to), &[]);
        assert_eq!(code, 3, "{to}: {told}");
        assert!(told.contains(text), "{text}\n{told}");
    }
}

#[test]
fn hop_that_no_test_goes_through_is_told() {
    let (_, told) = test(TESTS, &["--coverage"]);
    assert!(
        told.contains("rules[1].via: no request meets it that comes through `direct`"),
        "{told}"
    );
    assert!(!told.contains("comes through `mesh`"), "{told}");
    assert!(!told.contains("comes through `partner-edge`"), "{told}");
}

#[test]
fn change_of_a_way_is_noticed_or_told() {
    let (_, told) = test(TESTS, &["--mutants"]);
    // Taken out with it, the last rule through the edge would be a mistake and no mutant.
    assert!(!told.contains("rules[0]: the rule is taken out"), "{told}");
    assert!(
        told.contains("rules[1].via[1]: the hop is taken out, and no test notices"),
        "{told}"
    );
    assert!(!told.contains("rules[0].via: `direct` is added"), "{told}");
    let less = TESTS.replace("  - name: and not themselves\n    id: spiffe://partner.example/tenant/acme\n    deny: [ GET /invoices/acme/1 ]\n", "");
    let (_, told) = test(&less, &["--mutants"]);
    assert!(
        told.contains("rules[0].via: `direct` is added, and no test notices"),
        "{told}"
    );
}

#[test]
fn check_looks_at_what_hops_bring() {
    let check = |policy: &str, known: &[&str]| {
        let ids = serde_json::to_string(known).unwrap();
        let stage = Stage::new(&[("policy.yaml", policy), ("ids.json", &ids)]);
        let ended = stage.run(&["check", "--at", AT, "--known", "ids.json", "policy.yaml"]);
        ended.out.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    // Who is brought has a grant, and a rule that others say of another way is of use.
    let told = check(POLICY, &[ACME, "spiffe://prod.example/edge"]);
    assert!(!told.contains("have no grant"), "{told}");
    for code in ["SG0101", "SG0102", "SG0103", "SG0105", "SG0106", "SG0114"] {
        assert!(!told.contains(code), "{told}");
    }
    let ends = POLICY.replace("2027-06-30", "2026-12-02");
    assert!(check(&ends, &[ACME]).contains("hop `mesh` ends in 3 days"));
    let no_way = POLICY.replace(
        "peers: [ \"spiffe://prod.example/edge\" ]",
        "peers: [ \"spiffe://prod.example/other\" ]",
    );
    let shut = no_way.replace(
        "rules:\n",
        "revoked: [ { id: \"spiffe://prod.example/other\" } ]\nrules:\n",
    );
    let told = check(&shut, &[ACME]);
    // Nobody is left who brings them.
    assert!(
        told.contains("SG0103") && told.contains("tenants-read-their-own"),
        "{told}"
    );
}

#[test]
fn comparison_says_who_gains_through_whom() {
    let wider = POLICY.replace("tenant/batch\" ]\n    assertion", "tenant/none\" ]\n    assertion");
    let stage = Stage::new(&[("old.yaml", POLICY), ("new.yaml", &wider)]);
    let ended = stage.run(&["diff", "--at", AT, "old.yaml", "new.yaml"]);
    assert_eq!(ended.code, 1, "{}", ended.err);
    let told = ended.out.split_whitespace().collect::<Vec<_>>().join(" ");
    for text in [
        "gained by allow rule tenants-read-their-own spiffe://partner.example/tenant/batch via spiffe://prod.example/edge /invoices/batch/**; methods: GET",
        "for example spiffe://partner.example/tenant/batch asks GET /invoices/batch through spiffe://prod.example/edge by certificate",
        "deny assertion.not_allowed -> allow rule.allowed through hop partner-edge",
        "lost by allow rule tenants-read-their-own spiffe://partner.example/tenant/none",
        "nothing else changes",
    ] {
        assert!(told.contains(text), "{text}\n{}", ended.out);
    }
    // By whatever name.
    let renamed = POLICY.replace("partner-edge", "gateway");
    let stage = Stage::new(&[("old.yaml", POLICY), ("new.yaml", &renamed)]);
    let ended = stage.run(&["diff", "--at", AT, "old.yaml", "new.yaml"]);
    assert_eq!(ended.code, 0, "{}", ended.out);
    assert!(ended.out.contains("not compared: `hops.name` differs"), "{}", ended.out);
}
