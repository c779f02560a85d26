//! Live connections and streams on a real proxy: cut when the identity or the permission behind them falls, and only
//! then.

use std::time::{Duration, Instant};

use grpc::{Grpc, GrpcUpstream};
use jiff::SignedDuration;
use serde_json::{Value, json};
use support::{
    ca::{Identity, Leaf, real_now},
    client::{Chunk, Client, ClientOptions, Http, Outcome, Request},
    envoy::{Cluster, Configuration, Delivery, Dial, Envoy, Scenario, Wasm},
    upstream::{Behaviour, HttpUpstream, TcpUpstream},
    world::{World, with},
};

use crate::stage::{
    API, API_PATH, Filters, allow_api, assert_alive, cut_http2_looks_whole, http_listener, http1, http2, reason,
    record, serve, tcp_is_refused, tcp_listener, wasm,
};

/// An SVID of the API that ends so many seconds from now, and when that is.
pub(crate) fn short_lived(world: &World, seconds: i64) -> (Identity, Instant) {
    let not_after = real_now() + SignedDuration::from_secs(seconds);
    let leaf = Leaf {
        not_after,
        ..Leaf::svid(API, world.now)
    };
    // Its last second counts to its end.
    let end = Instant::now() + Duration::from_secs(u64::try_from(seconds).unwrap());
    (world.own.issue(leaf), end)
}

/// Within two ticks of the end, and a loaded machine's time on top.
fn assert_in_time(end: Instant) {
    let now = Instant::now();
    assert!(now >= end, "{:?} too early", end - now);
    assert!(now - end < Duration::from_millis(3500), "{:?} too late", now - end);
}

#[tokio::test]
async fn tcp_connection_of_an_expired_svid_is_closed() {
    let (world, upstream, greeter) = (World::new(), TcpUpstream::echo(), TcpUpstream::greeting(b"hello"));
    let document = |listener: &str| with(world.document(allow_api()), json!({ "listener": listener }));
    if tcp_is_refused(&world, &document("tcp")).await {
        return;
    }
    let mut second = tcp_listener(&world, "first", Dial::OnTlsHandshake, &document("tcp_server_first"));
    if let support::envoy::Kind::Tcp(tcp) = &mut second.kind {
        tcp.cluster = "greeter".to_owned();
    }
    let envoy = Envoy::start(Scenario {
        listeners: vec![
            tcp_listener(&world, "db", Dial::OnDownstreamData, &document("tcp")),
            second,
        ],
        clusters: vec![
            Cluster::new("db", upstream.addr()),
            Cluster::new("greeter", greeter.addr()),
        ],
        ..Scenario::default()
    })
    .await;
    let (short, end) = short_lived(&world, 4);
    let long = world.own_identity(API_PATH);
    let connect = async |listener: &str, identity| {
        Client::new(Some(identity))
            .connect(envoy.listener_addr(listener))
            .await
            .unwrap()
    };
    let (mut cut, mut greeted, mut kept) = (
        connect("db", &short).await,
        connect("first", &short).await,
        connect("db", &long).await,
    );
    for connection in [&mut cut, &mut kept] {
        connection.write(b"ping").await.unwrap();
        assert_eq!(connection.read(4).await.unwrap(), b"ping");
    }
    assert_eq!(greeted.read(5).await.unwrap(), b"hello");
    assert_eq!(cut.read_until_close().await.unwrap(), b"");
    assert_in_time(end);
    assert_eq!(greeted.read_until_close().await.unwrap(), b"");
    kept.write(b"pong").await.unwrap();
    assert_eq!(kept.read(4).await.unwrap(), b"pong");
    for listener in ["db", "first"] {
        let entry = &envoy.wait_connection_log(listener, 1).await[0];
        assert_eq!(record(entry)["cut"], true, "{entry}");
        assert_eq!(
            (reason(entry).as_str(), &record(entry)["id"]),
            ("svid.expired", &json!(API))
        );
    }
    envoy
        .wait_stat("wasmcustom.svidgate.decisions_total.connection.cut.svid.expired", 2)
        .await;
    assert_alive(&envoy).await;
}

/// HTTP/1.1 and HTTP/2: a stream that has no answer yet gets the 403, one in mid-answer is reset.
#[tokio::test]
async fn streams_of_an_expired_svid_get_the_403_or_are_reset() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    for filters in [Filters::Both, Filters::RequestOnly] {
        let envoy = serve(
            [http_listener(&world, "web", filters, &world.document(allow_api()))],
            &upstream,
        )
        .await;
        let (short, end) = short_lived(&world, 5);
        let mut answering: Vec<Http> = vec![
            http1(&envoy, "web", Some(&short)).await,
            http2(&envoy, "web", Some(&short)).await,
        ];
        upstream.behave(Behaviour::Stream {
            every: Duration::from_millis(100),
            count: 1000,
        });
        let mut bodies = Vec::new();
        for http in &mut answering {
            bodies.push(http.open(Request::get("/answering")).await.unwrap());
        }
        upstream.behave(Behaviour::Late(Duration::from_secs(60)));
        let mut waiting: Vec<Http> = vec![
            http1(&envoy, "web", Some(&short)).await,
            http2(&envoy, "web", Some(&short)).await,
        ];
        let [first, second] = waiting.as_mut_slice() else {
            panic!()
        };
        let answers = tokio::join!(first.get("/waiting"), second.get("/waiting"));
        assert_in_time(end);
        for outcome in [answers.0, answers.1] {
            assert_eq!(outcome.status(), Some(403), "{filters:?}: {outcome:?}");
        }
        for (body, looks_whole) in bodies.into_iter().zip([false, cut_http2_looks_whole()]) {
            let response = body.collect().await;
            assert_eq!(response.complete, looks_whole, "{filters:?}");
            assert!(!response.body.is_empty(), "{filters:?}");
        }
        assert_in_time(end);
        let log = envoy.wait_request_log("web", 4).await;
        for entry in &log {
            assert_eq!(record(entry)["cut"], true, "{filters:?}: {entry}");
            assert_eq!(reason(entry), "svid.expired");
        }
        envoy
            .wait_stat("wasmcustom.svidgate.decisions_total.request.cut.svid.expired", 4)
            .await;
        assert_alive(&envoy).await;
    }
}

#[tokio::test]
async fn grpc_stream_and_websocket_of_an_expired_svid_are_cut() {
    let (world, grpc, websocket) = (World::new(), GrpcUpstream::start(), TcpUpstream::greeting(SWITCHED));
    let mut listener = http_listener(&world, "web", Filters::Both, &world.document(allow_api()));
    if let support::envoy::Kind::Http(http) = &mut listener.kind {
        http.routes = vec![
            support::envoy::Route::to("ws", "/ws", "websocket"),
            support::envoy::Route::to("health", "/", "health"),
        ];
    }
    let envoy = Envoy::start(Scenario {
        amend: Some(|bootstrap| {
            let chain = &mut bootstrap["static_resources"]["listeners"][0]["filter_chains"][0];
            for filter in chain["filters"].as_array_mut().unwrap() {
                if filter["name"] == "envoy.filters.network.http_connection_manager" {
                    filter["typed_config"]["upgrade_configs"] = json!([{ "upgrade_type": "websocket" }]);
                }
            }
        }),
        ..Scenario::of(
            listener,
            [
                Cluster::http2("health", grpc.addr()),
                Cluster::new("websocket", websocket.addr()),
            ],
        )
    })
    .await;
    let (short, end) = short_lived(&world, 4);
    let client = Client::with(Some(&short), ClientOptions::http2());
    let connection = client.connect(envoy.listener_addr("web")).await.unwrap();
    let mut health = Grpc::on(connection).await.unwrap();
    let mut stream = health.watch().await.unwrap();
    assert!(stream.message().await.unwrap().is_some());
    let mut upgraded = Client::new(Some(&short))
        .connect(envoy.listener_addr("web"))
        .await
        .unwrap();
    let upgrade = "GET /ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    upgraded.write(upgrade.as_bytes()).await.unwrap();
    assert!(upgraded.read(12).await.unwrap().starts_with(b"HTTP/1.1 101"));
    let status = stream.message().await.unwrap_err();
    assert_in_time(end);
    assert_ne!(status.code(), tonic::Code::Ok);
    upgraded.read_until_close().await.unwrap();
    assert_in_time(end);
    let log = envoy.wait_request_log("web", 2).await;
    assert!(log.iter().all(|entry| record(entry)["cut"] == true), "{log:?}");
    assert_alive(&envoy).await;
}

/// What a server of WebSockets answers; what follows is not looked at.
const SWITCHED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";

fn only(world: &World, paths: &[&str]) -> Value {
    world.document(json!([{ "name": "only", "effect": "allow", "from": [API], "to": [{ "paths": paths }] }]))
}

/// Two hundred streams are open while others come and go; a new document allows half of them.
#[tokio::test]
async fn policy_update_under_load_cuts_only_the_streams_that_are_no_longer_allowed() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let discovered = Wasm {
        delivery: Delivery::Ecds,
        ..wasm(&only(&world, &["/kept/**", "/cut/**", "/short/**"]))
    };
    let listener = http_listener(&world, "web", Filters::Both, &json!({}))
        .connection_filter(discovered.clone())
        .request_filter(discovered);
    let envoy = Envoy::start(Scenario {
        concurrency: 2,
        ..Scenario::of(listener, [Cluster::new("app", upstream.addr())])
    })
    .await;
    let api = world.own_identity(API_PATH);
    upstream.behave(Behaviour::Stream {
        every: Duration::from_millis(250),
        count: 1000,
    });
    let mut connections = Vec::new();
    let (mut kept, mut cut) = (Vec::new(), Vec::new());
    for number in 0..20 {
        let mut http = http2(&envoy, "web", Some(&api)).await;
        for stream in 0..5 {
            kept.push(
                http.open(Request::get(&format!("/kept/{number}/{stream}")))
                    .await
                    .unwrap(),
            );
            cut.push(
                http.open(Request::get(&format!("/cut/{number}/{stream}")))
                    .await
                    .unwrap(),
            );
        }
        connections.push(http);
    }
    upstream.behave(Behaviour::Answer(200, b"short".to_vec()));
    // Requests go on all the while, and not one of them is refused.
    let mut short = http1(&envoy, "web", Some(&api)).await;
    let started = Instant::now();
    let mut updated = None;
    let mut asked = 0;
    while started.elapsed() < Duration::from_secs(6) {
        assert_eq!(short.get("/short/x").await.status(), Some(200));
        asked += 1;
        if updated.is_none() && started.elapsed() > Duration::from_secs(2) {
            let next = Configuration::Json(only(&world, &["/kept/**", "/short/**"]));
            for filter in ["svidgate.connection", "svidgate.request"] {
                envoy.replace_ecds(filter, next.clone());
            }
            updated = Some(Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(asked > 200, "{asked}");
    for answer in cut {
        assert_eq!(answer.collect().await.complete, cut_http2_looks_whole());
    }
    envoy
        .wait_stat("wasmcustom.svidgate.decisions_total.request.cut.rule.none_matched", 100)
        .await;
    for answer in &mut kept {
        assert!(matches!(answer.next().await, Chunk::Data(_)));
    }
    assert!(connections.iter().all(|http| !http.is_closed()));
    let log = envoy.request_log("web");
    let cut: Vec<&Value> = log.iter().filter(|entry| record(entry)["cut"] == true).collect();
    assert_eq!(cut.len(), 100);
    assert!(
        cut.iter()
            .all(|entry| entry["path"].as_str().unwrap().starts_with("/cut/"))
    );
    assert_eq!(
        envoy
            .stat("wasmcustom.svidgate.decisions_total.request.cut.rule.none_matched")
            .await,
        100
    );
    assert_alive(&envoy).await;
}

#[tokio::test]
async fn update_that_takes_everything_away_cuts_an_idle_listener_without_any_new_request() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let discovered = Wasm {
        delivery: Delivery::Ecds,
        ..wasm(&only(&world, &["/**"]))
    };
    let listener = http_listener(&world, "web", Filters::Both, &json!({}))
        .connection_filter(discovered.clone())
        .request_filter(discovered);
    let envoy = serve([listener], &upstream).await;
    upstream.behave(Behaviour::Late(Duration::from_secs(60)));
    let mut http = http2(&envoy, "web", Some(&world.own_identity(API_PATH))).await;
    let replaced = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        for filter in ["svidgate.connection", "svidgate.request"] {
            envoy.replace_ecds(filter, Configuration::Json(world.document(json!([]))));
        }
        Instant::now()
    };
    let (replaced, outcome) = tokio::join!(replaced, http.get("/waiting"));
    assert_eq!(outcome.status(), Some(403));
    assert_in_time(replaced);
    assert!(http.wait_closed().await.is_ok(), "and its connection with it");
    assert_alive(&envoy).await;
}

/// Rewriting the path for the upstream must not change what the rules see when they are asked again.
#[tokio::test]
async fn stream_is_judged_again_by_the_path_that_it_asked_for() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let rules = json!([
        { "name": "short", "effect": "allow", "from": [API], "to": [{ "paths": ["/public/**"] }] },
        { "name": "ends", "effect": "allow", "from": ["spiffe://prod.example/other"],
          "expires": (real_now() + SignedDuration::from_secs(12)).to_string() },
    ]);
    let envoy = Envoy::start(Scenario {
        amend: Some(|bootstrap| {
            let chain = &mut bootstrap["static_resources"]["listeners"][0]["filter_chains"][0];
            for filter in chain["filters"].as_array_mut().unwrap() {
                if filter["name"] == "envoy.filters.network.http_connection_manager" {
                    let route = &mut filter["typed_config"]["route_config"]["virtual_hosts"][0]["routes"][0]["route"];
                    route["prefix_rewrite"] = json!("/internal/");
                }
            }
        }),
        ..Scenario::of(
            http_listener(&world, "web", Filters::Both, &world.document(rules)),
            [Cluster::new("app", upstream.addr())],
        )
    })
    .await;
    upstream.behave(Behaviour::Stream {
        every: Duration::from_millis(100),
        count: 150,
    });
    let (api, other) = (world.own_identity(API_PATH), world.own_identity("/other"));
    let mut http = http1(&envoy, "web", Some(&api)).await;
    let long = http.open(Request::get("/public/x")).await.unwrap();
    let mut ended = http1(&envoy, "web", Some(&other)).await;
    let cut = ended.open(Request::get("/any")).await.unwrap();
    assert!(!cut.collect().await.complete, "its rule has ended");
    assert!(long.collect().await.complete);
    assert!(
        upstream
            .requests()
            .iter()
            .all(|request| request.path.starts_with("/internal/"))
    );
    let reasons: Vec<String> = envoy.wait_request_log("web", 2).await.iter().map(reason).collect();
    assert_eq!(reasons, ["rule.expired", "rule.allowed"]);
}

#[tokio::test]
async fn grace_lets_a_download_end_and_no_new_request_begin() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let document = with(world.document(allow_api()), json!({ "expiry_grace": "20s" }));
    let envoy = serve([http_listener(&world, "web", Filters::Both, &document)], &upstream).await;
    let (short, _) = short_lived(&world, 3);
    upstream.behave(Behaviour::Stream {
        every: Duration::from_millis(100),
        count: 60,
    });
    let mut http = http2(&envoy, "web", Some(&short)).await;
    let download = http.open(Request::get("/download")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(http.get("/new").await.status(), Some(403));
    assert!(download.collect().await.complete);
    let fresh = http1(&envoy, "web", Some(&short)).await.get("/").await;
    assert!(matches!(fresh, Outcome::Refused(_)), "{fresh:?}");
    assert_alive(&envoy).await;
}

/// As many streams on one connection as a client may open. Each answer is a frame, and a proxy ends a connection that
/// owes its client too many of them.
#[tokio::test]
async fn thousand_streams_of_one_connection_are_cut_and_the_proxy_lives_on() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let envoy = serve(
        [http_listener(
            &world,
            "web",
            Filters::RequestOnly,
            &world.document(allow_api()),
        )],
        &upstream,
    )
    .await;
    let (short, end) = short_lived(&world, 8);
    let mut http = http2(&envoy, "web", Some(&short)).await;
    upstream.behave(Behaviour::Stream {
        every: Duration::from_secs(2),
        count: 1000,
    });
    let mut streams = Vec::new();
    for number in 0..1000 {
        streams.push(http.open(Request::get(&format!("/{number}"))).await.unwrap());
    }
    assert!(Instant::now() < end);
    for stream in streams {
        assert_eq!(stream.collect().await.complete, cut_http2_looks_whole());
    }
    let other = world.own_identity(API_PATH);
    upstream.behave(Behaviour::Answer(200, b"ok".to_vec()));
    assert_eq!(
        http1(&envoy, "web", Some(&other)).await.get("/").await.status(),
        Some(200)
    );
    envoy
        .wait_stat("wasmcustom.svidgate.decisions_total.request.cut.svid.expired", 1000)
        .await;
    assert_alive(&envoy).await;
}

/// A document that comes back while something of it is still under way is not announced to the worker: the proxy takes
/// the old plugin again. What began under the one in between must be judged by it all the same.
#[tokio::test]
async fn roll_back_to_an_old_document_cuts_what_only_the_newer_one_allowed() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let (first, second) = (only(&world, &["/a/**", "/both"]), only(&world, &["/b/**", "/both"]));
    let discovered = Wasm {
        delivery: Delivery::Ecds,
        ..wasm(&first)
    };
    let listener = http_listener(&world, "web", Filters::Both, &json!({}))
        .connection_filter(discovered.clone())
        .request_filter(discovered);
    let envoy = serve([listener], &upstream).await;
    let api = world.own_identity(API_PATH);
    let replace = |document: &Value| {
        for filter in ["svidgate.connection", "svidgate.request"] {
            envoy.replace_ecds(filter, Configuration::Json(document.clone()));
        }
    };
    upstream.behave(Behaviour::Stream {
        every: Duration::from_millis(200),
        count: 1000,
    });
    let mut connections = Vec::new();
    let mut open = async |path: &str| {
        let mut http = http2(&envoy, "web", Some(&api)).await;
        let answer = http.open(Request::get(path)).await.unwrap();
        connections.push(http);
        answer
    };
    // Keeps the first document's plugin alive all the while.
    let mut kept = open("/both").await;
    let mut http = http1(&envoy, "web", Some(&api)).await;
    let settle = async |http: &mut Http, path: &str| {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let answer = http.open(Request::get(path)).await;
            let status = answer.as_ref().ok().map(|answer| answer.status);
            drop(answer);
            *http = http1(&envoy, "web", Some(&api)).await;
            if status == Some(200) {
                return;
            }
            assert!(Instant::now() < deadline, "{path}: {status:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    replace(&second);
    settle(&mut http, "/b/x").await;
    let newer = open("/b/stream").await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    replace(&first);
    settle(&mut http, "/a/x").await;
    let back = Instant::now();
    let mut older = open("/a/stream").await;
    assert_eq!(newer.collect().await.complete, cut_http2_looks_whole());
    assert_in_time(back);
    tokio::time::sleep(Duration::from_secs(3)).await;
    for answer in [&mut kept, &mut older] {
        assert!(matches!(answer.next().await, Chunk::Data(_)));
    }
    // What the two had not read yet would hide that they were cut, too.
    let log = envoy.request_log("web");
    let cut: Vec<&Value> = log.iter().filter(|entry| record(entry)["cut"] == true).collect();
    assert_eq!(cut.len(), 1, "{cut:?}");
    assert_alive(&envoy).await;
}
