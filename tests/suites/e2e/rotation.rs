//! Clients that rotate their SVIDs and repeat nothing lose no request at an SVID's end.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use jiff::SignedDuration;
use serde_json::{Value, json};
use support::{
    ca::{Identity, Leaf, real_now},
    client::{Chunk, Client, ClientOptions, Http, Request},
    envoy::{Cluster, Envoy, Kind, Listener, Scenario, envoy_version},
    upstream::{Behaviour, HttpUpstream},
    world::{World, with},
};

use crate::{
    cuts::short_lived,
    stage::{API, Filters, allow_api, assert_alive, assert_bare_403, http_listener, http2, reason, serve},
};

/// What an SVID of these clients lives, in seconds. Its connections are drained from two seconds before its end.
const LIFE: i64 = 16;
/// So often a client gets a new one: at half the life of the one before.
const ROTATION: u64 = 8;
/// Five SVIDs end within it, and the connections made with them.
const LENGTH: Duration = Duration::from_secs(50);
/// Connections of one client.
const POOL: u64 = 4;

/// The SVIDs of one workload. The newest is at hand from half the life of the one before.
struct Rotating {
    svids: Vec<Identity>,
    start: Instant,
}

impl Rotating {
    fn new(world: &World) -> Self {
        let (now, start) = (real_now(), Instant::now());
        let svids = (0..7).map(|number| {
            let since = now + SignedDuration::from_secs(number * LIFE / 2);
            world.own.issue(Leaf {
                // Clocks of certificates have whole seconds.
                not_before: since - SignedDuration::from_secs(1),
                not_after: since + SignedDuration::from_secs(LIFE - 1),
                ..Leaf::svid(API, world.now)
            })
        });
        let svids = svids.collect();
        Self { svids, start }
    }

    fn newest(&self) -> &Identity {
        let number = usize::try_from(self.start.elapsed().as_secs() / ROTATION).unwrap();
        &self.svids[number]
    }

    async fn connect(&self, envoy: &Envoy, listener: &str, is_http2: bool) -> Http {
        let options = if is_http2 {
            ClientOptions::http2()
        } else {
            ClientOptions::default()
        };
        let client = Client::with(Some(self.newest()), options);
        let connection = client.connect(envoy.listener_addr(listener)).await.unwrap();
        if is_http2 {
            connection.http2().await.unwrap()
        } else {
            connection.http1().await.unwrap()
        }
    }
}

/// What came of the requests of one client.
#[derive(Debug, Default)]
struct Tally {
    asked: AtomicU64,
    failed: AtomicU64,
    connections: AtomicU64,
}

/// One connection of a pool, with requests back to back, GET and POST. It is replaced when it is closed or was told to
/// take no more (GOAWAY, `connection: close`). What was handed to a connection that took no more never left, and goes
/// to the next one. Nothing that was sent is sent again.
async fn ask_on_and_on(rotating: &Rotating, envoy: &Envoy, client: (&str, bool), seed: u64, tally: &Tally) {
    let mut connection: Option<Http> = None;
    let mut number = seed;
    while rotating.start.elapsed() < LENGTH {
        let mut http = match connection.take() {
            Some(http) if !http.is_closed() => http,
            Some(_) | None => {
                tally.connections.fetch_add(1, Ordering::Relaxed);
                rotating.connect(envoy, "web", client.1).await
            }
        };
        let method = if number.is_multiple_of(2) { "GET" } else { "POST" };
        let mut request = Request::new(method, &format!("/{number}"));
        if method == "POST" {
            request.body = vec![b'x'; 1000];
        }
        let outcome = match http.offer(request).await {
            Ok(None) => continue,
            Ok(Some(answer)) => {
                let response = answer.collect().await;
                if response.status == 200 && response.complete {
                    Ok(())
                } else {
                    Err(format!("{} {}", response.status, response.complete))
                }
            }
            Err(refusal) => Err(refusal.to_string()),
        };
        tally.asked.fetch_add(1, Ordering::Relaxed);
        if let Err(why) = outcome {
            tally.failed.fetch_add(1, Ordering::Relaxed);
            eprintln!("{client:?}, {:?}: {method} failed: {why}", rotating.start.elapsed());
        }
        connection = Some(http);
        // From 0 to 50 ms, and one of the pool now and then much longer.
        let pause = if seed == 1 && number.is_multiple_of(40) {
            3000
        } else {
            number.wrapping_mul(17) % 51
        };
        number += 1;
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

/// The Lua filter of the shipped example.
fn drain_filter() -> Value {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../envoy/second-lock.yaml")).unwrap();
    let example: Value = serde_saphyr::from_str(&text).unwrap();
    let chain = &example["static_resources"]["listeners"][0]["filter_chains"][0];
    let manager = chain["filters"].as_array().unwrap().last().unwrap();
    let filters = manager["typed_config"]["http_filters"].as_array().unwrap();
    let is_lua = |filter: &&Value| filter["name"] == "envoy.filters.http.lua";
    filters.iter().find(is_lua).unwrap().clone()
}

/// Whether Lua can have this Envoy drain a connection.
fn has_drain() -> bool {
    envoy_version() >= (1, 37)
}

fn draining_listener(world: &World, name: &str, document: &Value) -> Listener {
    let mut listener = http_listener(world, name, Filters::Both, document);
    if let Kind::Http(http) = &mut listener.kind {
        http.filters_after.push(drain_filter());
    }
    listener
}

/// Connections that end before half the life of an SVID, for an Envoy that cannot be told when.
fn short_connections(bootstrap: &mut Value) {
    for listener in bootstrap["static_resources"]["listeners"].as_array_mut().unwrap() {
        let filters = listener["filter_chains"][0]["filters"].as_array_mut().unwrap();
        let manager = filters.last_mut().unwrap();
        manager["typed_config"]["common_http_protocol_options"] = json!({ "max_connection_duration": "6s" });
    }
}

async fn start(listeners: Vec<Listener>, upstream: &HttpUpstream) -> Envoy {
    Envoy::start(Scenario {
        listeners,
        clusters: vec![Cluster::new("app", upstream.addr())],
        amend: (!has_drain()).then_some(short_connections as fn(&mut Value)),
        ..Scenario::default()
    })
    .await
}

#[tokio::test]
async fn pooled_client_that_repeats_nothing_loses_no_request_over_five_rotations() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let strict = world.document(allow_api());
    let lenient = with(strict.clone(), json!({ "expiry_grace": "30s" }));
    // Each on an Envoy of its own: plugins of one name are judged by the documents of both.
    let start_one = async |document: &Value| start(vec![draining_listener(&world, "web", document)], &upstream).await;
    let envoys = [start_one(&strict).await, start_one(&lenient).await];
    let rotating = Rotating::new(&world);
    let clients = [
        ("strict", false),
        ("strict", true),
        ("lenient", false),
        ("lenient", true),
    ];
    let tallies: [Tally; 4] = Default::default();
    let rotating = &rotating;
    let pools = clients.iter().zip(&tallies).flat_map(|(client, tally)| {
        let envoy = if client.0 == "strict" { &envoys[0] } else { &envoys[1] };
        (0..POOL).map(move |member| ask_on_and_on(rotating, envoy, *client, member, tally))
    });
    futures_util::future::join_all(pools).await;
    for (client, tally) in clients.iter().zip(&tallies) {
        let [asked, failed, connections] =
            [&tally.asked, &tally.failed, &tally.connections].map(|count| count.load(Ordering::Relaxed));
        eprintln!("{client:?}: {asked} requests on {connections} connections, {failed} failed");
        assert!(asked > 1000, "{client:?}: {asked}");
        assert!(connections >= 5 * POOL, "{client:?}: {connections}");
    }
    let failed: u64 = tallies.iter().map(|tally| tally.failed.load(Ordering::Relaxed)).sum();
    assert_eq!(failed, 0);
    for envoy in &envoys {
        assert_alive(envoy).await;
    }
}

#[tokio::test]
async fn download_goes_on_in_grace_and_its_connection_closes_behind_it() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let document = with(world.document(allow_api()), json!({ "expiry_grace": "30s" }));
    let envoy = serve([draining_listener(&world, "web", &document)], &upstream).await;
    // Not within the last five seconds, or its connection takes no more after the download began.
    let (short, end) = short_lived(&world, 7);
    let mut http = http2(&envoy, "web", Some(&short)).await;
    upstream.behave(Behaviour::Stream {
        every: Duration::from_millis(100),
        count: 120,
    });
    let mut download = http.open(Request::get("/download")).await.unwrap();
    tokio::time::sleep_until((end + Duration::from_millis(1500)).into()).await;
    assert_bare_403(&http.get("/refused").await);
    let mut chunks = 0;
    loop {
        match download.next().await {
            Chunk::Data(_) => chunks += 1,
            Chunk::End => break,
            Chunk::Cut(why) => panic!("cut after {chunks} chunks: {why}"),
        }
    }
    let through = Instant::now();
    assert!(chunks > 0 && through > end + Duration::from_secs(3), "{chunks}");
    http.wait_closed().await.unwrap();
    assert!(through.elapsed() < Duration::from_secs(3), "{:?}", through.elapsed());
    let log = envoy.wait_request_log("web", 2).await;
    let reasons: Vec<String> = log.iter().map(reason).collect();
    assert_eq!(reasons, ["svid.expired", "rule.allowed"]);
    assert_alive(&envoy).await;
}
