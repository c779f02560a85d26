//! Many requests on one connection, and what is not quite a request: gRPC, upgrades, old versions of HTTP.

use std::time::Duration;

use grpc::{Grpc, GrpcUpstream};
use serde_json::{Value, json};
use support::{
    client::{Chunk, Client, ClientOptions, Request},
    envoy::{Cluster, Envoy, Route, Scenario},
    upstream::{Behaviour, CHUNK, HttpUpstream},
    world::World,
};

use crate::stage::{API, API_PATH, Filters, http_listener, http2, reason, record, serve};

/// The second stream is refused while the first, allowed one is still being answered. Filter state of the network
/// filter belongs to the connection; were it used here, the last decision would stand in both entries.
#[tokio::test]
async fn streams_of_one_connection_have_their_own_records() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let rules = json!([
        { "name": "stream", "effect": "allow", "from": [API], "to": [{ "paths": ["/stream"] }] },
        { "name": "other", "effect": "allow", "from": [API], "to": [{ "paths": ["/other"] }] },
    ]);
    let envoy = serve(
        [http_listener(&world, "web", Filters::Both, &world.document(rules))],
        &upstream,
    )
    .await;
    upstream.behave(Behaviour::Stream {
        every: Duration::from_millis(400),
        count: 3,
    });
    let mut http = http2(&envoy, "web", Some(&world.own_identity(API_PATH))).await;
    let mut first = http.open(Request::get("/stream")).await.unwrap();
    assert_eq!(first.next().await, Chunk::Data(CHUNK.into()));
    let mut second = http.open(Request::get("/other")).await.unwrap();
    assert_eq!(http.get("/elsewhere").await.status(), Some(403));
    assert_eq!(second.next().await, Chunk::Data(CHUNK.into()));
    for answer in [first, second] {
        assert!(answer.collect().await.complete);
    }

    let log = envoy.wait_request_log("web", 3).await;
    let of = |path: &str| {
        log.iter()
            .find(|entry| entry["path"] == path)
            .map(record)
            .unwrap_or_default()
    };
    assert_eq!(
        (&of("/stream")["rule"], &of("/other")["rule"]),
        (&json!("stream"), &json!("other"))
    );
    assert_eq!(of("/elsewhere")["reason"], "rule.none_matched");
    let connections: Vec<&Value> = log.iter().map(|entry| &entry["connection_id"]).collect();
    assert!(connections.iter().all(|id| *id == connections[0]));
    // The connection has no record of its own: it was admitted, and each request was decided on.
    drop(http);
    assert_eq!(record(&envoy.wait_connection_log("web", 1).await[0]), Value::Null);
}

async fn grpc_envoy(world: &World, upstream: &GrpcUpstream) -> Envoy {
    let rules = json!([
        { "name": "check", "effect": "allow", "from": [API],
          "to": [{ "methods": ["POST"], "paths": ["/grpc.health.v1.Health/Check"] }] },
    ]);
    let mut listener = http_listener(world, "grpc", Filters::Both, &world.document(rules));
    if let support::envoy::Kind::Http(http) = &mut listener.kind {
        http.routes = vec![Route::to("health", "/", "health")];
    }
    Envoy::start(Scenario::of(listener, [Cluster::http2("health", upstream.addr())])).await
}

#[tokio::test]
async fn refused_grpc_call_gets_permission_denied() {
    let (world, upstream) = (World::new(), GrpcUpstream::start());
    let envoy = grpc_envoy(&world, &upstream).await;
    let client = Client::with(Some(&world.own_identity(API_PATH)), ClientOptions::http2());
    let connection = client.connect(envoy.listener_addr("grpc")).await.unwrap();
    let mut grpc = Grpc::on(connection).await.unwrap();
    let status = grpc.watch().await.unwrap_err();
    assert_eq!((status.code(), status.message()), (tonic::Code::PermissionDenied, ""));
    assert_eq!(upstream.connections(), 0);
    grpc.check().await.unwrap();
    assert_eq!(upstream.connections(), 1);
    let log = envoy.wait_request_log("grpc", 2).await;
    assert_eq!(
        (reason(&log[0]).as_str(), reason(&log[1]).as_str()),
        ("rule.none_matched", "rule.allowed")
    );
}

/// Lets the listener take WebSocket upgrades, CONNECT and HTTP/1.0.
fn old_and_new(bootstrap: &mut Value) {
    for filter in bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"]
        .as_array_mut()
        .unwrap()
    {
        if filter["name"] == "envoy.filters.network.http_connection_manager" {
            filter["typed_config"]["upgrade_configs"] = json!([{ "upgrade_type": "websocket" }]);
            filter["typed_config"]["http_protocol_options"] =
                json!({ "accept_http_10": true, "default_host_for_http_10": "old.example" });
        }
    }
}

#[tokio::test]
async fn upgrades_tunnels_and_old_requests_are_decided_on_like_others() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let rules = json!([
        { "name": "open", "effect": "allow", "from": [API], "to": [{ "methods": ["GET"], "paths": ["/open/**"] }] },
    ]);
    let listener = http_listener(&world, "web", Filters::Both, &world.document(rules));
    let scenario = Scenario {
        amend: Some(old_and_new),
        ..Scenario::of(listener, [Cluster::new("app", upstream.addr())])
    };
    let envoy = Envoy::start(scenario).await;
    let client = Client::new(Some(&world.own_identity(API_PATH)));
    let upgrade = "host: localhost\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    let asked = [
        (format!("GET /closed HTTP/1.1\r\n{upgrade}"), 403, "rule.none_matched"),
        (
            "CONNECT db.example:5432 HTTP/1.1\r\nhost: db.example:5432\r\nconnection: close\r\n\r\n".to_owned(),
            403,
            "rule.none_matched",
        ),
        ("GET /closed HTTP/1.0\r\n\r\n".to_owned(), 403, "rule.none_matched"),
        (
            "GET http://other.example/closed HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".to_owned(),
            403,
            "rule.none_matched",
        ),
        ("GET /open/old HTTP/1.0\r\n\r\n".to_owned(), 200, "rule.allowed"),
        (
            "GET http://other.example/open/absolute HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
                .to_owned(),
            200,
            "rule.allowed",
        ),
    ];
    for (number, (bytes, status, expected)) in (1..).zip(asked) {
        let connection = client.connect(envoy.listener_addr("web")).await.unwrap();
        let answer = connection.raw_http1(bytes.as_bytes()).await;
        let entry = &envoy.wait_request_log("web", number).await[number - 1];
        assert_eq!(
            (answer.status(), reason(entry).as_str()),
            (Some(status), expected),
            "{bytes}"
        );
    }
    let arrived: Vec<String> = upstream.requests().iter().map(|request| request.path.clone()).collect();
    assert_eq!(arrived, ["/open/old", "/open/absolute"]);
}
