//! Dry runs: the whole document, which passes everything and tells what it would have refused, or one rule.

use serde_json::{Value, json};
use support::{
    client::Client,
    envoy::{Cluster, Configuration, Delivery, Dial, Envoy, Kind, Scenario, Tcp, Wasm},
    upstream::{HttpUpstream, TcpUpstream},
    world::{World, with},
};

use crate::stage::{
    API, API_PATH, Filters, allow_api, http_listener, http1, record, serve, tcp_is_refused, tcp_listener, wasm,
};

#[tokio::test]
async fn document_in_a_dry_run_passes_everyone_and_records_what_it_would_refuse() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let rules = json!([{ "name": "reads", "effect": "allow", "from": [API], "to": [{ "methods": ["GET"] }] }]);
    let document = with(world.document(rules), json!({ "mode": "dry_run" }));
    let envoy = serve([http_listener(&world, "web", Filters::Both, &document)], &upstream).await;
    let (api, stranger) = (world.own_identity(API_PATH), world.own_identity("/ns/shop/sa/nobody"));
    let asked = [
        (
            Some(&api),
            "GET",
            json!({ "id": API, "decision": "allow", "reason": "rule.allowed", "rule": "reads", "version": "test" }),
        ),
        (
            Some(&api),
            "PUT",
            json!({ "id": API, "decision": "deny", "reason": "rule.none_matched", "dry_run": true, "version": "test" }),
        ),
        (
            Some(&stranger),
            "GET",
            json!({ "id": "spiffe://prod.example/ns/shop/sa/nobody", "decision": "deny",
                                         "reason": "rule.none_matched", "dry_run": true, "version": "test" }),
        ),
        (
            None,
            "GET",
            json!({ "decision": "deny", "reason": "connection.no_certificate", "dry_run": true, "version": "test" }),
        ),
    ];
    for (number, (who, method, expected)) in (1..).zip(asked) {
        let mut http = http1(&envoy, "web", who).await;
        assert_eq!(
            http.send(support::client::Request::new(method, "/x")).await.status(),
            Some(200)
        );
        assert_eq!(
            record(&envoy.wait_request_log("web", number).await[number - 1]),
            expected
        );
    }
    assert_eq!(upstream.requests().len(), 4);
    for counter in [
        "connection.dry_run.rule.none_matched",
        "connection.dry_run.connection.no_certificate",
        "request.dry_run.connection.no_certificate",
    ] {
        envoy
            .wait_stat(&format!("wasmcustom.svidgate.decisions_total.{counter}"), 1)
            .await;
    }
    envoy
        .wait_stat(
            "wasmcustom.svidgate.decisions_total.request.dry_run.rule.none_matched",
            2,
        )
        .await;
    assert!(
        envoy
            .stats("wasmcustom.svidgate")
            .await
            .keys()
            .all(|name| !name.contains(".deny."))
    );
    let line = envoy
        .wait_decision(&json!({ "stage": "request", "reason": "connection.no_certificate", "dry_run": true }))
        .await;
    assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
}

/// All streams of a connection see its filter state. What a dry run would have cut must not be read as what became of a
/// later request, which is allowed and has no field of its own.
#[tokio::test]
async fn connection_that_a_dry_run_would_have_cut_leaves_no_word_on_later_requests() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let document = |version: &str, rules: Value| {
        let more = json!({ "mode": "dry_run", "access_log": "refusals", "version": version });
        with(world.document(rules), more)
    };
    let discovered = Wasm {
        delivery: Delivery::Ecds,
        ..wasm(&document("1", allow_api()))
    };
    let listener = http_listener(&world, "web", Filters::Both, &json!({}))
        .connection_filter(discovered.clone())
        .request_filter(discovered);
    let envoy = serve([listener], &upstream).await;
    let update = |document: &Value| {
        for filter in ["svidgate.connection", "svidgate.request"] {
            envoy.replace_ecds(filter, Configuration::Json(document.clone()));
        }
    };
    let at_work = async |version: &str| {
        envoy
            .wait_stat(&format!("wasmcustom.svidgate.policy_info.{version}"), 1)
            .await;
    };
    let mut http = http1(&envoy, "web", Some(&world.own_identity(API_PATH))).await;
    assert_eq!(http.get("/1").await.status(), Some(200));
    update(&document("2", json!([])));
    at_work("2").await;
    envoy
        .wait_stat(
            "wasmcustom.svidgate.decisions_total.connection.dry_run.rule.none_matched",
            1,
        )
        .await;
    update(&document("3", allow_api()));
    at_work("3").await;
    assert_eq!(http.get("/3").await.status(), Some(200));
    drop(http);
    let entries = envoy.wait_request_log("web", 2).await;
    let records: Vec<Value> = entries.iter().map(record).collect();
    assert_eq!(records, [Value::Null, Value::Null], "both were allowed");
    // The listener's own log has no word on it, either: the connection was not ended.
    assert_eq!(record(&envoy.wait_connection_log("web", 1).await[0]), Value::Null);
    let line = json!({ "stage": "connection", "dry_run": true, "reason": "rule.none_matched", "version": "2" });
    envoy.wait_decision(&line).await;
}

#[tokio::test]
async fn rule_in_a_dry_run_decides_nothing_and_records_what_would_be() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let rules = json!([
        { "name": "now", "effect": "allow", "from": [API], "to": [{ "paths": ["/now/**"] }] },
        { "name": "soon", "effect": "allow", "from": [API], "to": [{ "paths": ["/soon/**"] }], "dry_run": true },
        { "name": "no-more", "effect": "deny", "from": [API], "to": [{ "paths": ["/now/old"] }], "dry_run": true },
        { "name": "newcomer", "effect": "allow", "from": ["spiffe://prod.example/new"], "dry_run": true },
    ]);
    let envoy = serve(
        [http_listener(&world, "web", Filters::Both, &world.document(rules))],
        &upstream,
    )
    .await;
    let mut http = http1(&envoy, "web", Some(&world.own_identity(API_PATH))).await;
    let asked = [
        ("/now/x", 200, Value::Null, Value::Null),
        ("/now/old", 200, json!("deny"), json!("no-more")),
        ("/soon/x", 403, json!("allow"), json!("soon")),
        ("/never", 403, Value::Null, Value::Null),
    ];
    for (number, (path, status, would_be, rule)) in (1..).zip(asked) {
        assert_eq!(http.get(path).await.status(), Some(status), "{path}");
        let record = record(&envoy.wait_request_log("web", number).await[number - 1]);
        assert_eq!(
            (&record["would_be"], &record["would_be_rule"]),
            (&would_be, &rule),
            "{path}"
        );
    }
    // A peer that only a rule in a dry run speaks of is let in to be recorded, and no further.
    let newcomer = Client::new(Some(&world.own_identity("/new")));
    let mut http = newcomer
        .connect(envoy.listener_addr("web"))
        .await
        .unwrap()
        .http1()
        .await
        .unwrap();
    assert_eq!(http.get("/x").await.status(), Some(403));
    assert_eq!(
        record(&envoy.wait_request_log("web", 5).await[4])["would_be_rule"],
        "newcomer"
    );
    for outcome in ["would_allow.rule.none_matched", "would_deny.rule.allowed"] {
        envoy
            .wait_stat(&format!("wasmcustom.svidgate.decisions_total.request.{outcome}"), 1)
            .await;
    }
}

/// Held, these would be dead: in its default mode tcp_proxy reads nothing before it has dialled, and a server that
/// speaks first does so before there is a peer.
#[tokio::test]
async fn tcp_listener_in_a_dry_run_holds_and_closes_nothing() {
    let (world, waiting, greeting) = (World::new(), TcpUpstream::echo(), TcpUpstream::greeting(b"welcome"));
    let nobody = with(
        world.document(allow_api()),
        json!({ "mode": "dry_run", "first_bytes_timeout": "1s" }),
    );
    let (tcp, first) = (json!({ "listener": "tcp" }), json!({ "listener": "tcp_server_first" }));
    if tcp_is_refused(&world, &with(nobody.clone(), tcp)).await
        && tcp_is_refused(&world, &with(nobody.clone(), first)).await
    {
        return;
    }
    let listener = |name: &str, cluster: &str, kind: &str| {
        let mut listener = tcp_listener(
            &world,
            name,
            Dial::Immediately,
            &with(nobody.clone(), json!({ "listener": kind })),
        );
        listener.kind = Kind::Tcp(Tcp {
            cluster: cluster.to_owned(),
            dial: Dial::Immediately,
        });
        listener
    };
    let scenario = Scenario {
        listeners: vec![
            listener("waiting", "waiting", "tcp"),
            listener("greeting", "greeting", "tcp_server_first"),
        ],
        clusters: vec![
            Cluster::new("waiting", waiting.addr()),
            Cluster::new("greeting", greeting.addr()),
        ],
        ..Scenario::default()
    };
    let envoy = Envoy::start(scenario).await;
    let client = Client::new(Some(&world.own_identity("/ns/shop/sa/nobody")));
    for (listener, words) in [("waiting", &b""[..]), ("greeting", b"welcome")] {
        let mut connection = client.connect(envoy.listener_addr(listener)).await.unwrap();
        assert_eq!(connection.read(words.len()).await.unwrap(), words);
        connection.write(b"ping").await.unwrap();
        assert_eq!(connection.read(4).await.unwrap(), b"ping");
        drop(connection);
        let record = record(&envoy.wait_connection_log(listener, 1).await[0]);
        assert_eq!(
            (&record["reason"], &record["dry_run"]),
            (&json!("rule.none_matched"), &json!(true)),
            "{listener}"
        );
    }
}

/// What a rule in a dry run costs is not taken from the decision; where it costs too much, that is what is told.
#[tokio::test]
async fn rule_in_a_dry_run_that_costs_too_much_changes_nothing_and_says_so() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let expensive = json!({ "headers": [{ "name": "x-version", "matches": ".*a.{700}" }] });
    let document = world.document(json!([
        { "name": "reads", "effect": "allow", "from": [API], "to": [{ "methods": ["GET"] }] },
        { "name": "later", "effect": "deny", "dry_run": true, "from": [API], "when": expensive },
    ]));
    let envoy = serve([http_listener(&world, "web", Filters::Both, &document)], &upstream).await;
    let mut http = http1(&envoy, "web", Some(&world.own_identity(API_PATH))).await;
    let asked = |method: &str| support::client::Request::new(method, "/x").header("x-version", vec![b'a'; 4_000]);
    assert_eq!(http.send(asked("GET")).await.status(), Some(200));
    assert_eq!(http.send(asked("PUT")).await.status(), Some(403));
    let log = envoy.wait_request_log("web", 2).await;
    let allowed = json!({ "id": API, "decision": "allow", "reason": "rule.allowed", "rule": "reads",
                          "would_be": "unknown", "version": "test" });
    assert_eq!(record(&log[0]), allowed);
    let said = json!({ "stage": "request", "reason": "rule.none_matched", "would_be": "unknown" });
    envoy.wait_decision(&said).await;
    let counter = "wasmcustom.svidgate.decisions_total.request.would_unknown.rule.allowed";
    envoy.wait_stat(counter, 1).await;
}
