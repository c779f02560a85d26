//! Rules beside the ids that there are.

use crate::stage::Stage;

const POLICY: &str = "\
trust_domain: prod.example
chain: proxy
federation: [ { trust_domain: partner.example, scope: [ \"/x\" ], owner: o, expires: 2030-01-01T00:00:00Z } ]
rules:
  - name: a
    effect: allow
    from: [ \"spiffe://prod.example/ns/shop/sa/api\", \"spiffe://prod.example/ns/*/sa/web\", \"spiffe://partner.example/x\" ]
    except: [ \"spiffe://prod.example/ns/test/**\" ]
";

fn stage(known: &str) -> Stage {
    Stage::new(&[("p.yaml", POLICY), ("known", known)])
}

const ARGUMENTS: [&str; 5] = ["p.yaml", "--known", "known", "--at", "2026-12-01T00:00:00Z"];

#[test]
fn ids_are_read_in_every_form() {
    let ids = [
        "spiffe://prod.example/ns/shop/sa/api",
        "spiffe://prod.example/ns/shop/sa/web",
        "spiffe://prod.example/ns/test/sa/web",
    ];
    let printed: Vec<_> = ids
        .iter()
        .map(|id| {
            let path = id.strip_prefix("spiffe://prod.example").unwrap();
            format!(
                r#"{{"id": "1", "spiffe_id": {{"trust_domain": "prod.example", "path": "{path}"}}, "parent_id": {{"trust_domain": "prod.example", "path": "/spire/agent/x"}}, "expires_at": "0", "downstream": false}}"#
            )
        })
        .collect();
    for known in [
        ids.join("\n"),
        format!("[\"{}\"]", ids.join("\", \"")),
        format!("- {}\n", ids.join("\n- ")),
        format!("{{\"entries\": [{}], \"next_page_token\": \"\"}}", printed.join(",")),
        format!(
            "{{\"entries\": [{{\"spiffe_id\": \"{}\"}}]}}",
            ids.join("\"}, {\"spiffe_id\": \"")
        ),
    ] {
        let stage = stage(&known);
        let said = stage.said(&ARGUMENTS);
        assert_eq!(said, ["SG0502 4:1 rules"], "{known}");
        let message = stage.findings(&ARGUMENTS)[0]["message"].clone();
        assert_eq!(
            message,
            "1 of 3 known ids have no grant: `spiffe://prod.example/ns/test/sa/web`"
        );
    }
}

#[test]
fn pattern_that_matches_no_known_id_is_found() {
    let said = stage("spiffe://prod.example/ns/shop/sa/web\n").said(&ARGUMENTS);
    assert_eq!(
        said,
        [
            "SG0501 7:13 \"spiffe://prod.example/ns/shop/sa/api\"",
            "SG0501 8:15 \"spiffe://prod.example/ns/test/**\""
        ]
    );
}

#[test]
fn entries_of_no_workload_are_passed_over() {
    let entry =
        |more: &str| format!(r#"{{"entries": [{{"spiffe_id": "spiffe://prod.example/ns/shop/sa/web", {more}}}]}}"#);
    for more in [
        r#""downstream": true"#,
        r#""store_svid": true"#,
        r#""expires_at": "1"#,
        r#""expires_at": 1700000000"#,
        r#""parent_id": "spiffe://prod.example/spire/server""#,
    ] {
        let ended = stage(&entry(more)).run(&["check", "p.yaml", "--known", "known"]);
        assert_eq!(ended.code, 3, "{more}: {}", ended.out);
    }
    let agent = r#"[{"spiffe_id": {"trust_domain": "prod.example", "path": "/spire/agent/k8s/x"}}]"#;
    assert_eq!(stage(agent).run(&["check", "p.yaml", "--known", "known"]).code, 3);
}

#[test]
fn list_that_cannot_be_read_is_trouble() {
    for (known, expected) in [
        ("", "known: is empty"),
        ("[]", "known: has no id of a workload"),
        ("[\"spiffe://Prod/x\"]", "known: entry 1: `spiffe://Prod/x`: "),
        ("{\"a\": 1}", "known: expected a list of ids"),
        ("spiffe://prod.example/x\nnonsense\n", "known: line 2: `nonsense`: "),
    ] {
        let ended = stage(known).run(&["check", "p.yaml", "--known", "known"]);
        assert_eq!(ended.code, 3, "{known}");
        assert!(ended.err.contains(expected), "{known}: {}", ended.err);
    }
}
