//! What each Envoy can do: refused at the start where it cannot, and the table of docs/listener.md, measured.

use std::fs;

use serde_json::{Value, json};
use support::{
    ca::{Leaf, Profile},
    client::Client,
    envoy::{ClientCertificate, Cluster, Dial, Envoy, Keeping, Listener, Route, Scenario, Xfcc, envoy_version},
    repository,
    upstream::{HttpUpstream, TcpUpstream},
    world::{OWN, World, with},
};

use crate::stage::{
    API, API_PATH, allow_api, assert_alive, has_tcp, http1, reason, record, refusal, serve, tcp_listener, wasm,
};

fn listener(world: &World, keeping: Keeping) -> Listener {
    Listener::http("web", [Route::to("app", "/", "app")])
        .tls(&world.server, ClientCertificate::AcceptUntrusted)
        .keeping_certificate(keeping)
}

/// The module in both places, held or not.
fn both(world: &World, keeping: Keeping, document: &Value) -> Listener {
    listener(world, keeping)
        .connection_filter(wasm(document))
        .request_filter(wasm(document))
}

#[tokio::test]
async fn network_filter_that_is_shown_no_certificate_is_refused_at_the_start() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let document = world.document(allow_api());
    let unheld = both(&world, Keeping::No, &document);
    if envoy_version() < (1, 37) {
        let said = refusal(unheld).await;
        assert!(
            said.contains("svidgate: Envoy 1.36 shows a network filter no certificate: put `svidgate.hold`"),
            "{said}"
        );
        assert!(said.contains("or use the HTTP filter alone with `xfcc: own`"), "{said}");
    } else {
        // 1.37 has a way, and whether a listener uses it cannot be known at the start.
        let envoy = serve([unheld], &upstream).await;
        let mut http = http1(&envoy, "web", Some(&world.own_identity(API_PATH))).await;
        let expected = (envoy_version() >= (1, 38)).then_some(200);
        assert_eq!(http.get("/").await.status(), expected);
        drop(http);
        if expected.is_none() {
            let entry = &envoy.wait_connection_log("web", 1).await[0];
            assert_eq!(reason(entry), "connection.certificate_unreadable");
            envoy.wait_log("in 1.36 behind `svidgate.hold`").await;
        }
    }
}

#[tokio::test]
async fn tcp_listeners_are_refused_at_the_start_where_the_proxy_cannot_dial_late() {
    let world = World::new();
    for kind in ["tcp", "tcp_server_first"] {
        let document = with(world.document(allow_api()), json!({ "listener": kind }));
        assert_eq!(crate::stage::tcp_is_refused(&world, &document).await, !has_tcp());
    }
}

#[tokio::test]
async fn hold_is_refused_for_a_tcp_listener() {
    let world = World::new();
    let document = with(world.document(allow_api()), json!({ "listener": "tcp" }));
    let held = tcp_listener(&world, "db", Dial::Immediately, &document).keeping_certificate(Keeping::BehindHold);
    let said = refusal(held).await;
    assert!(
        said.contains("svidgate: listener: `svidgate.hold` is for `http` only"),
        "{said}"
    );
}

/// On every version, so that a hold that is left in place after an upgrade does no harm.
#[tokio::test]
async fn held_connections_are_decided_on_as_others_are() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let document = with(world.document(allow_api()), json!({ "first_bytes_timeout": "1s" }));
    let envoy = serve([both(&world, Keeping::BehindHold, &document)], &upstream).await;
    let client = |path: &str| Client::new(Some(&world.own_identity(path)));
    let addr = envoy.listener_addr("web");

    let mut good = http1(&envoy, "web", Some(&world.own_identity(API_PATH))).await;
    assert_eq!(good.get("/").await.status(), Some(200));

    let refused = client("/ns/shop/sa/nobody").connect(addr).await.unwrap();
    assert_eq!(refused.http1().await.unwrap().get("/").await.status(), None);
    let entry = &envoy.wait_connection_log("web", 1).await[0];
    assert_eq!(reason(entry), "rule.none_matched", "{entry}");

    let mut silent = client(API_PATH).connect(addr).await.unwrap();
    assert_eq!(silent.read_until_close().await.unwrap(), b"");
    assert_eq!(
        reason(&envoy.wait_connection_log("web", 2).await[1]),
        "connection.silent"
    );
    envoy
        .wait_stat(
            "wasmcustom.svidgate.decisions_total.connection.deny.connection.silent",
            1,
        )
        .await;

    // The time-out is for the first bytes only.
    assert!(!good.is_closed());
    assert_eq!(good.get("/").await.status(), Some(200));
    assert_alive(&envoy).await;
}

/// A dry run must see certificates, or its records would tell nothing.
#[tokio::test]
async fn hold_in_a_dry_run_closes_nobody_and_knows_everybody() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let document = with(
        world.document(json!([])),
        json!({ "mode": "dry_run", "first_bytes_timeout": "1s" }),
    );
    let envoy = serve([both(&world, Keeping::BehindHold, &document)], &upstream).await;
    let mut http = http1(&envoy, "web", Some(&world.own_identity(API_PATH))).await;
    tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
    assert_eq!(http.get("/").await.status(), Some(200));
    let record = record(&envoy.wait_request_log("web", 1).await[0]);
    assert_eq!(
        (&record["id"], &record["reason"], &record["dry_run"]),
        (&json!(API), &json!("rule.none_matched"), &json!(true))
    );
    assert_alive(&envoy).await;
}

/// Whether a peer is served by a listener; not where Envoy does not start with it.
async fn serves(world: &World, listener: Listener) -> bool {
    let upstream = HttpUpstream::start();
    let scenario = Scenario::of(listener, [Cluster::new("app", upstream.addr())]);
    let Ok(envoy) = Envoy::try_start(scenario).await else {
        return false;
    };
    let mut http = http1(&envoy, "web", Some(&world.own_identity(API_PATH))).await;
    http.get("/").await.status() == Some(200)
}

/// Whether a leaf below an intermediate is known, which takes the chain that the peer sent.
async fn sees_chain(world: &World, listener: Listener) -> bool {
    let issuing = world.own.issue_authority(Profile {
        common_name: Some("prod.example issuing".to_owned()),
        ..Profile::authority(OWN, world.now)
    });
    let upstream = HttpUpstream::start();
    let scenario = Scenario::of(listener, [Cluster::new("app", upstream.addr())]);
    let Ok(envoy) = Envoy::try_start(scenario).await else {
        return false;
    };
    let leaf = issuing.issue(Leaf::svid(API, world.now));
    http1(&envoy, "web", Some(&leaf)).await.get("/").await.status() == Some(200)
}

/// Whether a TCP listener passes an allowed peer's bytes both ways.
async fn passes_tcp(world: &World, kind: &str, dial: Dial) -> bool {
    let (upstream, greeting) = match dial {
        Dial::OnTlsHandshake => (TcpUpstream::greeting(b"hello"), &b"hello"[..]),
        Dial::Immediately | Dial::OnDownstreamData => (TcpUpstream::echo(), &b""[..]),
    };
    let document = with(world.document(allow_api()), json!({ "listener": kind }));
    let scenario = Scenario::of(
        tcp_listener(world, "db", dial, &document),
        [Cluster::new("db", upstream.addr())],
    );
    let Ok(envoy) = Envoy::try_start(scenario).await else {
        return false;
    };
    let client = Client::new(Some(&world.own_identity(API_PATH)));
    let mut connection = client.connect(envoy.listener_addr("db")).await.unwrap();
    let greeted = connection.read(greeting.len()).await.unwrap() == greeting;
    connection.write(b"ping").await.unwrap();
    greeted && connection.read(4).await.unwrap() == b"ping"
}

/// The row of this Envoy in docs/listener.md is what a real one does. `make e2e-all` prints the rows.
#[tokio::test]
async fn listener_page_says_of_this_envoy_what_it_does() {
    let world = World::new();
    let document = world.document(allow_api());
    let own = with(document.clone(), json!({ "xfcc": "own" }));
    let alone = |keeping, document| listener(&world, keeping).request_filter(wasm(document));
    let with_header = || alone(Keeping::No, &own).xfcc(Xfcc::SanitizeSet);
    let said = |can: bool| if can { "yes" } else { "no" };
    let cells = [
        said(serves(&world, both(&world, Keeping::No, &document)).await),
        said(serves(&world, both(&world, Keeping::OnTlsHandshake, &document)).await),
        said(serves(&world, both(&world, Keeping::BehindHold, &document)).await),
        said(serves(&world, alone(Keeping::No, &document)).await),
        said(serves(&world, alone(Keeping::AtRequest, &document)).await),
        said(serves(&world, with_header()).await),
        match (
            sees_chain(&world, both(&world, Keeping::BehindHold, &own).xfcc(Xfcc::SanitizeSet)).await,
            sees_chain(&world, with_header()).await,
        ) {
            (true, true) => "both filters",
            (false, true) => "HTTP filter",
            (true, false) | (false, false) => "no",
        },
        said(passes_tcp(&world, "tcp", Dial::OnDownstreamData).await),
        said(passes_tcp(&world, "tcp_server_first", Dial::OnTlsHandshake).await),
    ];
    let (major, minor) = envoy_version();
    let row = format!("| {major}.{minor} | {} |", cells.join(" | "));
    let rows = repository().join("target/envoy-versions");
    fs::create_dir_all(&rows).unwrap();
    fs::write(rows.join(format!("{major}.{minor}")), format!("{row}\n")).unwrap();
    let page = include_str!("../../../docs/listener.md");
    assert!(
        page.lines().any(|line| line == row),
        "docs/listener.md has no row\n{row}"
    );
}
