//! TCP: a connection is decided on as a whole, before the upstream knows of it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{
    ca::Identity,
    client::{Client, ClientOptions, Connection, half_handshake},
    envoy::{Cluster, Dial, Envoy, Listener, Scenario},
    upstream::TcpUpstream,
    world::{World, with},
};

use crate::{
    cuts::short_lived,
    stage::{API, API_PATH, allow_api, assert_alive, inspecting_tls, reason, record, tcp_is_refused, tcp_listener},
};

fn scenario(listeners: impl Into<Vec<Listener>>, upstream: &TcpUpstream) -> Scenario {
    let clusters = vec![Cluster::new("db", upstream.addr())];
    Scenario {
        listeners: listeners.into(),
        clusters,
        ..Scenario::default()
    }
}

async fn serve(listeners: impl Into<Vec<Listener>>, upstream: &TcpUpstream) -> Envoy {
    Envoy::start(scenario(listeners, upstream)).await
}

async fn connect(envoy: &Envoy, listener: &str, identity: Option<&Identity>) -> Connection {
    Client::new(identity)
        .connect(envoy.listener_addr(listener))
        .await
        .unwrap()
}

/// Sends `ping` and returns what comes until the connection is closed.
async fn ping(mut connection: Connection) -> Vec<u8> {
    // A refused client may find the connection closed already.
    let _ = connection.write(b"ping").await;
    let _ = connection.finish().await;
    connection.read_until_close().await.unwrap()
}

#[tokio::test]
async fn refused_tcp_peer_causes_no_connection_to_the_upstream() {
    let (world, upstream) = (World::new(), TcpUpstream::echo());
    let document = with(world.document(allow_api()), json!({ "listener": "tcp" }));
    if tcp_is_refused(&world, &document).await {
        return;
    }
    let mut listeners = vec![tcp_listener(&world, "db", Dial::OnDownstreamData, &document)];
    listeners.push(Listener {
        name: "plain".to_owned(),
        tls: None,
        ..listeners[0].clone()
    });
    let envoy = serve(listeners, &upstream).await;
    let foreign = world.own.issue(support::ca::Leaf::svid(
        "spiffe://partner.example/ns/billing/sa/api",
        world.now,
    ));
    let cases = [
        (Some(world.own_identity("/ns/shop/sa/nobody")), "rule.none_matched"),
        (Some(world.partner_identity("/ns/billing/sa/api")), "rule.none_matched"),
        (Some(foreign), "svid.unknown_authority"),
        (None, "connection.no_certificate"),
    ];
    for (number, (identity, expected)) in (1..).zip(&cases) {
        assert_eq!(
            ping(connect(&envoy, "db", identity.as_ref()).await).await,
            b"",
            "{expected}"
        );
        let entry = &envoy.wait_connection_log("db", number).await[number - 1];
        assert_eq!(
            (reason(entry).as_str(), &entry["upstream"]),
            (*expected, &Value::Null),
            "{entry}"
        );
    }
    assert_eq!(
        ping(Connection::plain(envoy.listener_addr("plain")).await.unwrap()).await,
        b""
    );
    assert_eq!(
        reason(&envoy.wait_connection_log("plain", 1).await[0]),
        "connection.plaintext"
    );
    assert_eq!((upstream.connections(), upstream.received()), (0, Vec::new()));

    assert_eq!(
        ping(connect(&envoy, "db", Some(&world.own_identity(API_PATH))).await).await,
        b"ping"
    );
    let entry = envoy.wait_connection_log("db", cases.len() + 1).await.pop().unwrap();
    let allowed = json!({ "id": API, "decision": "allow", "reason": "rule.allowed", "rule": "api", "version": "test" });
    assert_eq!(record(&entry), allowed);
    assert_eq!((upstream.connections(), upstream.received()), (1, b"ping".to_vec()));
    envoy
        .wait_stat(
            "wasmcustom.svidgate.decisions_total.connection.deny.rule.none_matched",
            2,
        )
        .await;
    envoy
        .wait_stat("wasmcustom.svidgate.decisions_total.connection.allow.rule.allowed", 1)
        .await;
}

#[tokio::test]
async fn megabytes_pass_an_allowed_connection_unchanged_both_ways() {
    const SIZE: usize = 5 * 1024 * 1024;
    let (world, upstream) = (World::new(), TcpUpstream::echo());
    let document = with(world.document(allow_api()), json!({ "listener": "tcp" }));
    if tcp_is_refused(&world, &document).await {
        return;
    }
    let envoy = serve(
        [tcp_listener(&world, "db", Dial::OnDownstreamData, &document)],
        &upstream,
    )
    .await;
    let sent: Vec<u8> = (0..SIZE)
        .map(|place| (place % 251) as u8 ^ (place >> 13) as u8)
        .collect();
    let mut connection = connect(&envoy, "db", Some(&world.own_identity(API_PATH))).await;
    let mut returned = Vec::new();
    // In pieces that fit the buffers on the way, so that writing never waits for reading.
    for piece in sent.chunks(128 * 1024) {
        connection.write(piece).await.unwrap();
        returned.extend(connection.read(piece.len()).await.unwrap());
    }
    assert!(returned == sent);
    // A client that is done sending still gets the rest of the answer.
    connection.write(b"last words").await.unwrap();
    connection.finish().await.unwrap();
    assert_eq!(connection.read_until_close().await.unwrap(), b"last words");
    assert!(upstream.received().len() == SIZE + b"last words".len());
    assert_alive(&envoy).await;
}

#[tokio::test]
async fn tcp_connections_are_told_apart_by_port_server_name_and_address() {
    let (world, upstream) = (World::new(), TcpUpstream::echo());
    let high_ports: Vec<u16> = (1024..=65535).collect();
    let allow = |to: Value, more: Value| {
        let rule = json!({ "name": "r", "effect": "allow", "from": [API], "to": [to] });
        with(world.document(json!([with(rule, more)])), json!({ "listener": "tcp" }))
    };
    let any = json!({ "ports": [5432] });
    let here = json!({ "when": { "source_ips": ["127.0.0.0/8"] } });
    let cases = [
        ("high_port", allow(json!({ "ports": high_ports }), json!({})), true),
        ("other_port", allow(any, json!({})), false),
        (
            "server_name",
            allow(json!({ "sni": ["*.sni.example"] }), json!({})),
            true,
        ),
        ("other_name", allow(json!({ "sni": ["sni.example"] }), json!({})), false),
        ("from_here", allow(json!({ "ports": high_ports }), here.clone()), true),
        (
            "not_from_here",
            allow(
                json!({ "ports": high_ports }),
                json!({ "when": { "not_source_ips": ["127.0.0.0/8"] } }),
            ),
            false,
        ),
    ];
    if tcp_is_refused(&world, &cases[0].1).await {
        return;
    }
    let listeners: Vec<Listener> = cases
        .iter()
        .map(|(name, document, _)| tcp_listener(&world, name, Dial::OnDownstreamData, document))
        .collect();
    let scenario = Scenario {
        amend: Some(inspecting_tls),
        ..scenario(listeners, &upstream)
    };
    let envoy = Envoy::start(scenario).await;
    let options = ClientOptions {
        server_name: "db.sni.example".to_owned(),
        ..ClientOptions::default()
    };
    let client = Client::with(Some(&world.own_identity(API_PATH)), options);
    for (name, _, allowed) in cases {
        let before = upstream.connections();
        let answer = ping(client.connect(envoy.listener_addr(name)).await.unwrap()).await;
        let expected: (&[u8], _, _) = if allowed {
            (b"ping", "rule.allowed", 1)
        } else {
            (b"", "rule.none_matched", 0)
        };
        let entry = &envoy.wait_connection_log(name, 1).await[0];
        assert_eq!(
            (
                answer.as_slice(),
                reason(entry).as_str(),
                upstream.connections() - before
            ),
            expected,
            "{name}"
        );
    }
}

/// The server speaks first, so the client is not asked to: the proxy dials when the handshake is done.
#[tokio::test]
async fn greeting_of_a_server_reaches_only_an_allowed_peer() {
    let (world, upstream) = (World::new(), TcpUpstream::greeting(b"welcome"));
    let document = with(world.document(allow_api()), json!({ "listener": "tcp_server_first" }));
    if tcp_is_refused(&world, &document).await {
        return;
    }
    let envoy = serve([tcp_listener(&world, "db", Dial::OnTlsHandshake, &document)], &upstream).await;
    let allowed = world.own_identity(API_PATH);
    let mut connection = connect(&envoy, "db", Some(&allowed)).await;
    assert_eq!(connection.read(7).await.unwrap(), b"welcome");
    connection.write(b"thanks").await.unwrap();
    connection.finish().await.unwrap();
    assert_eq!(connection.read_until_close().await.unwrap(), b"thanks");
    assert_eq!(reason(&envoy.wait_connection_log("db", 1).await[0]), "rule.allowed");

    let nobody = world.own_identity("/ns/shop/sa/nobody");
    let refused = [(Some(&nobody), "rule.none_matched"), (None, "connection.undecidable")];
    for (number, (identity, expected)) in (2..).zip(refused) {
        let mut connection = connect(&envoy, "db", identity).await;
        assert_eq!(connection.read_until_close().await.unwrap(), b"", "{expected}");
        assert_eq!(
            reason(&envoy.wait_connection_log("db", number).await[number - 1]),
            expected
        );
    }
    // One that speaks first all the same is decided on by its own bytes, and none of them arrives.
    let mut connection = connect(&envoy, "db", Some(&nobody)).await;
    let _ = connection.write(b"me first").await;
    assert_eq!(connection.read_until_close().await.unwrap(), b"");
    assert_eq!(upstream.received(), b"thanks");
}

/// In the default mode the proxy dials when it accepts, and the server may speak before the handshake: there is nobody
/// to decide on, and its bytes cannot be kept.
#[tokio::test]
async fn server_that_speaks_before_the_handshake_reaches_nobody() {
    let (world, upstream) = (World::new(), TcpUpstream::greeting(b"welcome"));
    let document = with(world.document(allow_api()), json!({ "listener": "tcp_server_first" }));
    if tcp_is_refused(&world, &document).await {
        return;
    }
    let listeners = vec![
        tcp_listener(&world, "db", Dial::Immediately, &document),
        Listener {
            name: "plain".to_owned(),
            tls: None,
            ..tcp_listener(&world, "db", Dial::Immediately, &document)
        },
    ];
    let envoy = serve(listeners, &upstream).await;
    // Clients that do not hurry: the server has spoken before their handshake is begun, or done.
    let idle = Connection::plain(envoy.listener_addr("db")).await.unwrap();
    let half = half_handshake(envoy.listener_addr("db")).await.unwrap();
    for number in [1, 2] {
        let entry = &envoy.wait_connection_log("db", number).await[number - 1];
        assert_eq!(
            (reason(entry).as_str(), &entry["bytes_sent"]),
            ("connection.undecidable", &json!(0)),
            "{entry}"
        );
    }
    drop((idle, half));

    let mut plain = Connection::plain(envoy.listener_addr("plain")).await.unwrap();
    assert_eq!(plain.read_until_close().await.unwrap(), b"");
    let entry = &envoy.wait_connection_log("plain", 1).await[0];
    assert_eq!(reason(entry), "connection.plaintext", "{entry}");
}

/// `listener: tcp` holds the connection; tcp_proxy in its default mode reads nothing until it has dialled, so no
/// handshake is ever made. The time-out ends it, and its line says what to change.
#[tokio::test]
async fn held_connection_in_front_of_the_default_dial_mode_is_closed_as_silent() {
    let (world, upstream) = (World::new(), TcpUpstream::echo());
    let document = with(
        world.document(allow_api()),
        json!({ "listener": "tcp", "first_bytes_timeout": "1s" }),
    );
    if tcp_is_refused(&world, &document).await {
        return;
    }
    let envoy = serve([tcp_listener(&world, "db", Dial::Immediately, &document)], &upstream).await;
    let client = Client::new(Some(&world.own_identity(API_PATH)));
    // With TLS 1.3 a client is done before the server is.
    if let Ok(connection) = client.connect(envoy.listener_addr("db")).await {
        assert_eq!(ping(connection).await, b"");
    }
    assert_eq!(
        reason(&envoy.wait_connection_log("db", 1).await[0]),
        "connection.silent"
    );
    envoy.wait_log("`upstream_connect_mode: ON_DOWNSTREAM_DATA`").await;
    assert_eq!(upstream.connections(), 0);
}

/// How long a connection may have been idle on the listener of the next test.
const IDLE: Duration = Duration::from_secs(10);

fn with_idle_timeout(bootstrap: &mut Value) {
    for listener in bootstrap["static_resources"]["listeners"].as_array_mut().unwrap() {
        for filter in listener["filter_chains"][0]["filters"].as_array_mut().unwrap() {
            if filter["name"] == "envoy.filters.network.tcp_proxy" {
                filter["typed_config"]["idle_timeout"] = json!(format!("{}s", IDLE.as_secs()));
            }
        }
    }
}

/// Envoy closes a connection when what it has for the peer is written. A peer that does not read keeps it, and the one
/// to the upstream, until a time-out of `tcp_proxy`; it gets what was on its way and no more. docs/listener.md says so.
#[tokio::test]
async fn cut_peer_that_does_not_read_keeps_its_upstream_connection_until_it_is_idle_for_too_long() {
    const SENT: usize = 64 << 20;
    let world = World::new();
    let document = with(world.document(allow_api()), json!({ "listener": "tcp" }));
    if tcp_is_refused(&world, &document).await {
        return;
    }
    let upstream = TcpUpstream::greeting(Box::leak(vec![b'x'; SENT].into_boxed_slice()));
    let envoy = Envoy::start(Scenario {
        amend: Some(with_idle_timeout),
        ..scenario(
            [tcp_listener(&world, "db", Dial::OnDownstreamData, &document)],
            &upstream,
        )
    })
    .await;
    let (short, _) = short_lived(&world, 4);
    let (mut reader, mut connection) = (
        connect(&envoy, "db", Some(&short)).await,
        connect(&envoy, "db", Some(&short)).await,
    );
    for connection in [&mut reader, &mut connection] {
        connection.write(b"ping").await.unwrap();
    }
    let began = Instant::now();
    envoy
        .wait_decision(&json!({ "cut": true, "reason": "svid.expired" }))
        .await;
    let active = async || envoy.stat("cluster.db.upstream_cx_active").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(active().await, 2, "they are not closed by the cut");
    // One that reads after all is at its end soon.
    let rest = reader.read_until_close().await.unwrap().len();
    println!("after {:?} the peer that reads got {rest} bytes", began.elapsed());
    assert!(rest < SENT / 4, "{rest} bytes");
    assert_eq!(active().await, 1, "the one that does not read");
    while active().await > 0 {
        assert!(
            began.elapsed() < IDLE + Duration::from_secs(8),
            "it is not closed at all"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(began.elapsed() > Duration::from_secs(8), "{:?}", began.elapsed());
    let entry = &envoy.wait_connection_log("db", 1).await[0];
    assert_eq!(
        (reason(entry).as_str(), &record(entry)["cut"]),
        ("svid.expired", &json!(true))
    );
    let rest = connection.read_until_close().await.unwrap().len();
    println!("upstream closed after {:?}, the peer got {rest} bytes", began.elapsed());
    assert!(rest < SENT / 4, "{rest} bytes");
    assert_alive(&envoy).await;
}
