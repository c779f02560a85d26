//! The shipped access logs, the record in them and the log line of a decision: everything that is there is documented,
//! and everything that is documented is there.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};
use support::{
    ca::Leaf,
    client::{Client, PATIENCE},
    envoy::{Cluster, Dial, Envoy, Scenario},
    upstream::{Behaviour, HttpUpstream, TcpUpstream},
    world::{World, with},
};

use crate::{
    cuts::short_lived,
    stage::{API, API_PATH, Filters, has_tcp, http_listener, http1, inspecting_tls, record, tcp_listener},
};

/// Writes the logs as they are shipped, to where the test reads them.
fn with_shipped_logs(bootstrap: &mut Value) {
    inspecting_tls(bootstrap);
    let shipped = operate::read("access-log.yaml");
    let format = |place: &str| shipped[place]["access_log"][0]["typed_config"]["log_format"].clone();
    for listener in bootstrap["static_resources"]["listeners"].as_array_mut().unwrap() {
        listener["access_log"][0]["typed_config"]["log_format"] = format("listener");
        for filter in listener["filter_chains"][0]["filters"].as_array_mut().unwrap() {
            if filter["name"] == "envoy.filters.network.http_connection_manager" {
                let log = &mut filter["typed_config"]["access_log"][0];
                log["typed_config"]["log_format"] = format("http_connection_manager");
            }
        }
    }
}

/// The rows of a table of the guide, cell by cell.
fn table(header: &str) -> Vec<Vec<String>> {
    let guide = operate::text("README.md");
    let (_, table) = guide.split_once(header).expect("the guide has the table");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

/// The names in the first column; one cell may have several.
fn names(rows: &[Vec<String>]) -> BTreeSet<String> {
    let named = rows.iter().flat_map(|row| row[1].split(','));
    named.map(|name| name.trim().trim_matches('`').to_owned()).collect()
}

fn members<'v>(objects: impl IntoIterator<Item = &'v Value>) -> BTreeSet<String> {
    let objects = objects.into_iter().filter_map(Value::as_object);
    objects.flat_map(|object| object.keys().cloned()).collect()
}

fn rules() -> Value {
    json!([
        { "name": "open", "effect": "allow", "from": [API], "to": [{ "paths": ["/open"] }] },
        { "name": "no-admin", "effect": "deny", "from": ["spiffe://*/**"], "to": [{ "paths": ["/admin"] }] },
        { "name": "planned", "effect": "allow", "dry_run": true, "from": [API], "to": [{ "paths": ["/planned"] }] },
    ])
}

#[tokio::test]
async fn record_and_line_have_every_documented_member_and_no_other() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let document = with(world.document(rules()), json!({ "version": "7" }));
    let dry_run = with(document.clone(), json!({ "mode": "dry_run" }));
    let scenario = Scenario {
        listeners: vec![
            http_listener(&world, "web", Filters::Both, &document),
            http_listener(&world, "dry", Filters::Both, &dry_run),
        ],
        clusters: vec![Cluster::new("app", upstream.addr())],
        amend: Some(with_shipped_logs),
        ..Scenario::default()
    };
    let envoy = Envoy::start(scenario).await;
    let (short, _) = short_lived(&world, 4);
    let mut http = http1(&envoy, "web", Some(&short)).await;
    for (path, status) in [("/open", 200), ("/admin", 403), ("/planned", 403)] {
        assert_eq!(http.get(path).await.status(), Some(status), "{path}");
    }
    let mut dry = http1(&envoy, "dry", Some(&world.own_identity(API_PATH))).await;
    assert_eq!(dry.get("/closed").await.status(), Some(200));
    let forged = world
        .stranger
        .issue(Leaf::svid("spiffe://stranger.example/x", world.now));
    assert_eq!(http1(&envoy, "web", Some(&forged)).await.get("/").await.status(), None);
    // What is under way when the SVID ends is cut, and its connection.
    upstream.behave(Behaviour::Late(std::time::Duration::from_secs(60)));
    let cut = tokio::spawn(async move { http.get("/open").await.status() });
    envoy
        .wait_decision(&json!({ "cut": true, "stage": "connection" }))
        .await;
    assert_eq!(cut.await.unwrap(), Some(403));

    let requests = [
        envoy.wait_request_log("web", 4).await,
        envoy.wait_request_log("dry", 1).await,
    ]
    .concat();
    let connections = envoy.wait_connection_log("web", 2).await;
    let records: Vec<Value> = requests.iter().chain(&connections).map(record).collect();
    // Only behind another listener is there any other evidence than a certificate; `inner_listener.rs` has its records.
    let documented = |header: &str| {
        let mut names = names(&table(header));
        assert!(names.remove("evidence"));
        names
    };
    assert_eq!(members(&records), documented("| member | what it is |"), "{records:#?}");
    let lines = envoy.decisions();
    assert_eq!(
        members(&lines),
        documented("| line member | what it is |"),
        "{lines:#?}"
    );
    for place in [
        ("requests", 2, "http_connection_manager", &requests),
        ("connections", 3, "listener", &connections),
    ] {
        let (what, column, place, entries) = place;
        let rows = table("| field | requests | connections | what it is |");
        let documented: Vec<Vec<String>> = rows.into_iter().filter(|row| row[column] == "yes").collect();
        let format =
            operate::read("access-log.yaml")[place]["access_log"][0]["typed_config"]["log_format"]["json_format"]
                .clone();
        assert_eq!(members([&format]), names(&documented), "{what}");
        assert_eq!(members(entries), names(&documented), "{what}");
    }
}

#[tokio::test]
async fn line_and_access_log_of_a_refused_request_tell_the_same() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let document = with(world.document(rules()), json!({ "version": "7" }));
    let scenario = Scenario {
        amend: Some(with_shipped_logs),
        ..Scenario::of(
            http_listener(&world, "web", Filters::Both, &document),
            [Cluster::new("app", upstream.addr())],
        )
    };
    let envoy = Envoy::start(scenario).await;
    let api = world.own_identity(API_PATH);
    let mut http = http1(&envoy, "web", Some(&api)).await;
    assert_eq!(http.get("/planned?token=hunter2").await.status(), Some(403));
    let line = envoy.wait_decision(&json!({ "reason": "rule.none_matched" })).await;
    let entry = envoy.wait_request_log("web", 1).await[0].clone();
    let told = json!({
        "id": API, "decision": "deny", "reason": "rule.none_matched", "would_be": "allow", "would_be_rule": "planned",
        "version": "7",
    });
    assert_eq!(record(&entry), told);
    for (name, value) in told.as_object().unwrap() {
        assert_eq!(line[name], *value, "{name}");
    }
    for name in ["peer", "connection_id", "route"] {
        assert_eq!(line[name], entry[name], "{name}");
        assert!(!line[name].is_null(), "{name}");
    }
    assert_eq!((&line["stage"], &line["route"]), (&json!("request"), &json!("app")));
    let expected = json!({
        "path": "/planned", "method": "GET", "status": 403, "details": "svidgate_rule.none_matched",
        "certificate_sha256": api.leaf_sha256(), "sni": "localhost",
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(entry[name], *value, "{name}");
    }
    assert!(!envoy.log().contains("hunter2"), "the log has a query");
}

#[tokio::test]
async fn connection_to_a_tcp_listener_has_its_record_line_and_address() {
    if !has_tcp() {
        return;
    }
    let (world, upstream) = (World::new(), TcpUpstream::echo());
    let rules = json!([{ "name": "db", "effect": "allow", "from": [API] }]);
    let document = with(world.document(rules), json!({ "listener": "tcp", "version": "7" }));
    let scenario = Scenario {
        amend: Some(with_shipped_logs),
        ..Scenario::of(
            tcp_listener(&world, "db", Dial::OnDownstreamData, &document),
            [Cluster::new("db", upstream.addr())],
        )
    };
    let envoy = Envoy::start(scenario).await;
    for (entries, path, bytes) in [(1, API_PATH, 4), (2, "/ns/shop/sa/nobody", 0)] {
        let client = Client::new(Some(&world.own_identity(path)));
        let mut connection = client.connect(envoy.listener_addr("db")).await.unwrap();
        connection.write(b"ping").await.unwrap();
        let answer = tokio::time::timeout(PATIENCE, connection.read(bytes)).await.unwrap();
        assert_eq!(answer.unwrap().len(), bytes);
        if bytes == 0 {
            let _ = connection.read_until_close().await;
        }
        drop(connection);
        envoy.wait_connection_log("db", entries).await;
    }
    let log = envoy.connection_log("db");
    let allowed = json!({ "id": API, "decision": "allow", "reason": "rule.allowed", "rule": "db", "version": "7" });
    assert_eq!(record(&log[0]), allowed);
    assert_eq!(
        (&log[0]["bytes_received"], &log[0]["bytes_sent"]),
        (&json!(4), &json!(4))
    );
    let line = envoy.wait_decision(&json!({ "stage": "connection" })).await;
    for name in ["peer", "connection_id", "sni"] {
        assert_eq!(line[name], log[1][name], "{name}");
        assert!(!line[name].is_null(), "{name}");
    }
    assert_eq!(
        (&line["reason"], &line["version"]),
        (&json!("rule.none_matched"), &json!("7"))
    );
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(envoy.decisions().len(), 1, "an allowed connection has no line");
}
