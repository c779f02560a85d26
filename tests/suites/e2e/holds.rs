//! Connections that never come to a decision: silent clients, unfinished handshakes, early ends.

use std::time::Duration;

use serde_json::{Value, json};
use support::{
    client::{Client, Connection, Http, half_handshake},
    envoy::{Cluster, Dial, Envoy, Listener, Scenario},
    upstream::{HttpUpstream, TcpUpstream},
    world::{World, with},
};
use tokio::io::AsyncReadExt as _;

use crate::stage::{
    API_PATH, Filters, allow_api, assert_alive, http_listener, http1, reason, record, tcp_is_refused, tcp_listener,
};

struct Gate {
    world: World,
    app: HttpUpstream,
    db: TcpUpstream,
    envoy: Envoy,
    has_tcp: bool,
}

impl Gate {
    async fn start() -> Self {
        let (world, app, db) = (World::new(), HttpUpstream::start(), TcpUpstream::echo());
        let document = with(world.document(allow_api()), json!({ "first_bytes_timeout": "1s" }));
        let tcp = with(document.clone(), json!({ "listener": "tcp" }));
        let patient = with(document.clone(), json!({ "first_bytes_timeout": "3s" }));
        let has_tcp = !tcp_is_refused(&world, &tcp).await;
        let mut listeners = vec![
            http_listener(&world, "web", Filters::Both, &document),
            http_listener(&world, "patient", Filters::Both, &patient),
            Listener {
                name: "plain".to_owned(),
                tls: None,
                ..http_listener(&world, "web", Filters::Both, &document)
            },
        ];
        listeners.extend(has_tcp.then(|| tcp_listener(&world, "db", Dial::OnDownstreamData, &tcp)));
        let clusters = vec![Cluster::new("app", app.addr()), Cluster::new("db", db.addr())];
        let envoy = Envoy::start(Scenario {
            listeners,
            clusters,
            ..Scenario::default()
        })
        .await;
        Self {
            world,
            app,
            db,
            envoy,
            has_tcp,
        }
    }

    /// The listeners that hold a silent client: all alike.
    fn holding(&self) -> &[&'static str] {
        if self.has_tcp { &["web", "db"] } else { &["web"] }
    }

    fn api(&self) -> Client {
        Client::new(Some(&self.world.own_identity(API_PATH)))
    }
}

#[tokio::test]
async fn silent_and_half_open_connections_are_closed_and_good_ones_live_on() {
    let gate = Gate::start().await;
    let addr = |listener: &str| gate.envoy.listener_addr(listener);
    let mut busy: Http = http1(&gate.envoy, "web", Some(&gate.world.own_identity(API_PATH))).await;
    assert_eq!(busy.get("/").await.status(), Some(200));

    // After the handshake, no byte.
    for listener in gate.holding() {
        let mut silent = gate.api().connect(addr(listener)).await.unwrap();
        assert_eq!(silent.read_until_close().await.unwrap(), b"", "{listener}");
        let entry = &gate.envoy.wait_connection_log(listener, 1).await[0];
        assert_eq!(reason(entry), "connection.silent", "{listener}");
    }
    // A handshake that is never finished, and plain text that never comes.
    let mut half = half_handshake(addr("web")).await.unwrap();
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(support::client::PATIENCE, half.read_to_end(&mut rest))
        .await
        .unwrap();
    assert_eq!(
        reason(&gate.envoy.wait_connection_log("web", 2).await[1]),
        "connection.silent"
    );
    let mut plain = Connection::plain(addr("plain")).await.unwrap();
    assert_eq!(plain.read_until_close().await.unwrap(), b"");
    assert_eq!(
        reason(&gate.envoy.wait_connection_log("plain", 1).await[0]),
        "connection.silent"
    );

    let silent = u64::try_from(gate.holding().len()).unwrap() + 2;
    gate.envoy
        .wait_stat(
            "wasmcustom.svidgate.decisions_total.connection.deny.connection.silent",
            silent,
        )
        .await;
    assert_eq!((gate.app.connections(), gate.db.connections()), (1, 0));
    // The time-out is for the first bytes only.
    assert!(!busy.is_closed());
    assert_eq!(busy.get("/").await.status(), Some(200));
    assert_alive(&gate.envoy).await;
}

#[tokio::test]
async fn client_that_leaves_before_any_byte_is_forgotten() {
    let gate = Gate::start().await;
    let addr = |listener: &str| gate.envoy.listener_addr(listener);
    for number in 1..=3 {
        let mut connection = gate.api().connect(addr("patient")).await.unwrap();
        if number == 1 {
            // Says that it is done before it goes.
            connection.finish().await.unwrap();
        }
        drop(connection);
        let entry = &gate.envoy.wait_connection_log("patient", number).await[number - 1];
        assert_eq!(record(entry), Value::Null, "nothing was decided: {entry}");
    }
    drop(half_handshake(addr("patient")).await.unwrap());
    gate.envoy.wait_connection_log("patient", 4).await;

    // One that is done and stays is held like a silent one.
    if gate.has_tcp {
        let mut tcp = gate.api().connect(addr("db")).await.unwrap();
        tcp.finish().await.unwrap();
        assert_eq!(tcp.read_until_close().await.unwrap(), b"");
        assert_eq!(
            reason(&gate.envoy.wait_connection_log("db", 1).await[0]),
            "connection.silent"
        );
    }
    assert_eq!((gate.app.connections(), gate.db.connections()), (0, 0));

    // A call for a connection that is gone would act on something else; so wait past all time-outs, then look.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let silent = gate
        .envoy
        .stat("wasmcustom.svidgate.decisions_total.connection.deny.connection.silent")
        .await;
    assert_eq!(silent, u64::from(gate.has_tcp), "those that left were closed once more");
    assert_alive(&gate.envoy).await;
    let mut http = http1(&gate.envoy, "patient", Some(&gate.world.own_identity(API_PATH))).await;
    assert_eq!(http.get("/").await.status(), Some(200));
}
