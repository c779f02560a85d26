//! A real Envoy between real clients and upstreams.

use grpc::{Grpc, GrpcUpstream};
use support::ca::{Authority, Identity, Leaf, Profile, real_now};
use support::client::{Chunk, Client, ClientOptions, Connection, Refusal, Request, Sessions, half_handshake};
use support::envoy::{ClientCertificate, Cluster, Dial, Envoy, Listener, Route, Scenario, envoy_version};
use support::upstream::{Behaviour, CHUNK, HttpUpstream, TcpUpstream};

use std::time::Duration;

const ID: &str = "spiffe://prod.example/ns/shop/sa/api";

struct Peers {
    authority: Authority,
    server: Identity,
    client: Identity,
}

fn peers() -> Peers {
    let now = real_now();
    let authority = Authority::of("prod.example", now);
    let server = authority.issue(Profile::server(now));
    let client = authority.issue(Leaf::svid(ID, now));
    Peers {
        authority,
        server,
        client,
    }
}

async fn http_envoy(peers: &Peers, upstream: &HttpUpstream, client: ClientCertificate) -> Envoy {
    let routes = [
        Route::direct("health", "/health", 204, ""),
        Route::to("app", "/", "app"),
    ];
    let listener = Listener::http("web", routes).tls(&peers.server, client);
    Envoy::start(Scenario::of(listener, [Cluster::new("app", upstream.addr())])).await
}

async fn tcp_envoy(peers: &Peers, upstream: &TcpUpstream, dial: Dial) -> Envoy {
    let listener = Listener::tcp("db", "db", dial).tls(&peers.server, ClientCertificate::AcceptUntrusted);
    Envoy::start(Scenario::of(listener, [Cluster::new("db", upstream.addr())])).await
}

#[tokio::test]
async fn untrusted_clients_with_and_without_certificate_reach_the_upstream() {
    let (peers, upstream) = (peers(), HttpUpstream::start());
    let envoy = http_envoy(&peers, &upstream, ClientCertificate::AcceptUntrusted).await;
    let addr = envoy.listener_addr("web");

    let mut known = Client::new(Some(&peers.client))
        .connect(addr)
        .await
        .unwrap()
        .http1()
        .await
        .unwrap();
    let response = known
        .send(Request::get("/a?b=c").header("x-odd", b"\xff\xfe".to_vec()))
        .await
        .response();
    assert_eq!(
        (response.status, response.text().as_str(), response.complete),
        (200, "hello", true)
    );

    let options = ClientOptions::http2();
    let mut unknown = Client::with(None, options)
        .connect(addr)
        .await
        .unwrap()
        .http2()
        .await
        .unwrap();
    assert_eq!(unknown.get("/d").await.status(), Some(200));
    assert_eq!(unknown.get("/health").await.status(), Some(204));

    let requests = upstream.requests();
    assert_eq!(
        requests.iter().map(|request| request.path.as_str()).collect::<Vec<_>>(),
        ["/a?b=c", "/d"]
    );
    assert_eq!(requests[0].header("x-odd"), [b"\xff\xfe"]);

    let log = envoy.wait_request_log("web", 3).await;
    assert_eq!(log[0]["status"], 200);
    assert_eq!(log[0]["route"], "app");
    assert_eq!(log[0]["peer_uri_san"], ID);
    assert_eq!(log[1]["peer_uri_san"], serde_json::Value::Null);
    drop((known, unknown));
    assert_eq!(envoy.wait_connection_log("web", 2).await.len(), 2);
    assert!(envoy.stat("http.web.downstream_rq_total").await >= 3);
}

#[tokio::test]
async fn spiffe_validator_refuses_what_another_authority_signed() {
    let (peers, upstream) = (peers(), HttpUpstream::start());
    let trust_domains = vec![("prod.example".to_owned(), peers.authority.pem())];
    let envoy = http_envoy(&peers, &upstream, ClientCertificate::Spiffe(trust_domains)).await;
    let addr = envoy.listener_addr("web");

    let mut known = Client::new(Some(&peers.client))
        .connect(addr)
        .await
        .unwrap()
        .http1()
        .await
        .unwrap();
    assert_eq!(known.get("/").await.status(), Some(200));

    let forged = Authority::of("prod.example", real_now()).issue(Leaf::svid(ID, real_now()));
    let refused = match Client::new(Some(&forged)).connect(addr).await {
        Err(Refusal::Handshake(_)) => true,
        Err(_) => false,
        Ok(connection) => connection.http1().await.unwrap().get("/").await.status().is_none(),
    };
    assert!(refused);
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn sessions_are_resumed_only_when_the_client_keeps_them() {
    let (peers, upstream) = (peers(), HttpUpstream::start());
    let envoy = http_envoy(&peers, &upstream, ClientCertificate::AcceptUntrusted).await;
    let addr = envoy.listener_addr("web");
    for sessions in [Some(Sessions::default()), None] {
        let keeps = sessions.is_some();
        let client = Client::with(
            Some(&peers.client),
            ClientOptions {
                sessions,
                ..ClientOptions::default()
            },
        );
        let first = client.connect(addr).await.unwrap();
        assert!(!first.resumed());
        // A TLS 1.3 ticket comes with the first answer.
        assert_eq!(first.http1().await.unwrap().get("/").await.status(), Some(200));
        assert_eq!(client.connect(addr).await.unwrap().resumed(), keeps);
    }
}

#[tokio::test]
async fn raw_request_with_large_headers_is_answered() {
    let (peers, upstream) = (peers(), HttpUpstream::start());
    let envoy = http_envoy(&peers, &upstream, ClientCertificate::AcceptUntrusted).await;
    let addr = envoy.listener_addr("web");
    let client = Client::new(Some(&peers.client));
    let request = |size: usize| {
        let mut bytes = b"GET /raw HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-odd: \xff".to_vec();
        bytes.extend(std::iter::repeat_n(b'a', size));
        bytes.extend(b"\r\n\r\n");
        bytes
    };
    let answer = client.connect(addr).await.unwrap().raw_http1(&request(10)).await;
    assert_eq!(answer.status(), Some(200));
    let answer = client.connect(addr).await.unwrap().raw_http1(&request(65_536)).await;
    assert_eq!(answer.status(), Some(431));
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn streaming_response_arrives_in_pieces() {
    let (peers, upstream) = (peers(), HttpUpstream::start());
    let envoy = http_envoy(&peers, &upstream, ClientCertificate::AcceptUntrusted).await;
    upstream.behave(Behaviour::Stream {
        every: Duration::from_millis(50),
        count: 3,
    });
    let connection = Client::new(Some(&peers.client))
        .connect(envoy.listener_addr("web"))
        .await
        .unwrap();
    let mut http = connection.http1().await.unwrap();
    let mut answer = http.open(Request::get("/stream")).await.unwrap();
    for _ in 0..3 {
        assert_eq!(answer.next().await, Chunk::Data(CHUNK.into()));
    }
    assert_eq!(answer.next().await, Chunk::End);
}

#[tokio::test]
async fn tcp_upstream_echoes_in_every_mode_of_dialling() {
    let modes: &[Dial] = if envoy_version() < (1, 37) {
        &[Dial::Immediately]
    } else {
        &[Dial::Immediately, Dial::OnDownstreamData, Dial::OnTlsHandshake]
    };
    for dial in modes {
        let (peers, upstream) = (peers(), TcpUpstream::echo());
        let envoy = tcp_envoy(&peers, &upstream, *dial).await;
        let addr = envoy.listener_addr("db");
        let mut connection = Client::new(Some(&peers.client)).connect(addr).await.unwrap();
        connection.write(b"ping").await.unwrap();
        assert_eq!(connection.read(4).await.unwrap(), b"ping", "{dial:?}");
        connection.finish().await.unwrap();
        assert_eq!(connection.read_until_close().await.unwrap(), b"", "{dial:?}");
        assert_eq!(
            (upstream.connections(), upstream.received()),
            (1, b"ping".to_vec()),
            "{dial:?}"
        );
        assert_eq!(
            envoy.wait_connection_log("db", 1).await[0]["bytes_received"],
            4,
            "{dial:?}"
        );
    }
}

#[tokio::test]
async fn upstream_that_speaks_first_is_heard() {
    let (peers, upstream) = (peers(), TcpUpstream::greeting(b"welcome"));
    let dial = if envoy_version() < (1, 37) {
        Dial::Immediately
    } else {
        Dial::OnTlsHandshake
    };
    let envoy = tcp_envoy(&peers, &upstream, dial).await;
    let mut connection = Client::new(Some(&peers.client))
        .connect(envoy.listener_addr("db"))
        .await
        .unwrap();
    assert_eq!(connection.read(7).await.unwrap(), b"welcome");
}

#[tokio::test]
async fn unfinished_handshake_is_dialled_only_in_the_default_mode() {
    if envoy_version() < (1, 37) {
        return;
    }
    for (dial, dialled) in [
        (Dial::Immediately, 1),
        (Dial::OnTlsHandshake, 0),
        (Dial::OnDownstreamData, 0),
    ] {
        let (peers, upstream) = (peers(), TcpUpstream::echo());
        let envoy = tcp_envoy(&peers, &upstream, dial).await;
        let held = half_handshake(envoy.listener_addr("db")).await.unwrap();
        envoy.wait_stat("tcp.db.downstream_cx_total", 1).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(upstream.connections(), dialled, "{dial:?}");
        drop(held);
    }
}

#[tokio::test]
async fn grpc_calls_are_answered() {
    let (peers, upstream) = (peers(), GrpcUpstream::start());
    let listener = Listener::http("grpc", [Route::to("health", "/", "health")])
        .tls(&peers.server, ClientCertificate::AcceptUntrusted);
    let envoy = Envoy::start(Scenario::of(listener, [Cluster::http2("health", upstream.addr())])).await;
    let client = Client::with(Some(&peers.client), ClientOptions::http2());
    let connection = client.connect(envoy.listener_addr("grpc")).await.unwrap();
    let mut grpc = Grpc::on(connection).await.unwrap();
    grpc.check().await.unwrap();
    let mut watch = grpc.watch().await.unwrap();
    assert!(watch.message().await.unwrap().is_some());
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn plain_text_client_is_closed_by_a_tls_listener() {
    let (peers, upstream) = (peers(), HttpUpstream::start());
    let envoy = http_envoy(&peers, &upstream, ClientCertificate::AcceptUntrusted).await;
    let plain = Connection::plain(envoy.listener_addr("web")).await.unwrap();
    let outcome = plain.raw_http1(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(outcome.status(), None);
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn configuration_that_envoy_refuses_is_reported_with_its_log() {
    let listener = Listener::http("web", [Route::to("app", "/", "no_such_cluster")]);
    let log = Envoy::try_start(Scenario::of(listener, []))
        .await
        .expect_err("an unknown cluster is refused");
    assert!(log.contains("no_such_cluster"), "{log}");
}

#[tokio::test]
async fn dropped_envoy_is_gone() {
    let envoy = Envoy::start(Scenario::default()).await;
    let process = format!("/proc/{}", envoy.pid());
    assert!(std::path::Path::new(&process).exists());
    drop(envoy);
    assert!(!std::path::Path::new(&process).exists());
}
