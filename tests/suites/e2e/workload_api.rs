//! Authorities from a SPIFFE Workload API, on a real proxy: rotation, revocation, and a socket that goes and comes.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{
    ca::{Authority, Identity, Leaf},
    client::Request,
    envoy::{Cluster, Configuration, Delivery, Envoy, Scenario, Wasm},
    module_path,
    upstream::{Behaviour, HttpUpstream},
    workload_api::{Bundles, WorkloadApi},
    world::{OWN, PARTNER, World, with},
};
use tempfile::TempDir;

use crate::stage::{
    API, API_PATH, Asking, Filters, assert_alive, cut_http2_looks_whole, http_listener, http1, http2, record,
};

/// A Workload API on a socket of its own.
struct Agent {
    _home: TempDir,
    socket: PathBuf,
    api: WorkloadApi,
}

impl Agent {
    fn start(bundles: Bundles) -> Self {
        let home = tempfile::tempdir().unwrap();
        let socket = home.path().join("agent.sock");
        let api = WorkloadApi::start(&socket);
        api.set(bundles);
        Self {
            _home: home,
            socket,
            api,
        }
    }

    fn cluster(&self) -> Cluster {
        Cluster::unix("spire_agent", &self.socket)
    }

    /// Waits until `count` streams have been opened in all.
    async fn wait_opened(&self, count: usize) {
        let end = Instant::now() + Duration::from_secs(15);
        while self.api.opened() < count {
            assert!(
                Instant::now() < end,
                "{} streams were opened, not {count}",
                self.api.opened()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// All bundles come from the Workload API; everyone may do everything.
fn document(world: &World, changes: Value) -> Value {
    let rules = json!([{ "name": "all", "effect": "allow", "from": ["spiffe://*/**"] }]);
    let mut document = with(
        world.document(rules),
        json!({
            "authorities": { "workload_api": { "cluster": "spire_agent" } },
            "federation": [{ "trust_domain": PARTNER, "scope": ["/ns/billing/**"] }],
        }),
    );
    document.as_object_mut().unwrap().remove("bundle");
    with(document, changes)
}

async fn serve(
    world: &World,
    filters: Filters,
    document: &Value,
    upstream: &HttpUpstream,
    agent: &Agent,
    workers: u32,
) -> Envoy {
    Envoy::start(Scenario {
        concurrency: workers,
        ..Scenario::of(
            http_listener(world, "web", filters, document),
            [Cluster::new("app", upstream.addr()), agent.cluster()],
        )
    })
    .await
}

fn both(world: &World) -> Bundles {
    Bundles::default()
        .with(OWN, &[&world.own])
        .with(PARTNER, &[&world.partner])
        .with("stranger.example", &[&world.stranger])
}

#[tokio::test]
async fn bundles_of_every_push_are_used_and_what_is_no_longer_listed_is_gone() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let agent = Agent::start(Bundles::default());
    let envoy = serve(
        &world,
        Filters::RequestOnly,
        &document(&world, json!({})),
        &upstream,
        &agent,
        2,
    )
    .await;
    let (api, partner) = (world.own_identity("/api"), world.partner_identity("/ns/billing/x"));
    let stranger = world
        .stranger
        .issue(Leaf::svid("spiffe://stranger.example/x", world.now));
    let mut own = Asking::start(&envoy, "web", &api).await;
    let mut other = Asking::start(&envoy, "web", &partner).await;
    let mut unfederated = Asking::start(&envoy, "web", &stranger).await;
    assert_eq!(own.reason().await, "federation.bundle_missing");
    agent.api.set(both(&world));
    own.wait("rule.allowed").await;
    other.wait("rule.allowed").await;
    assert_eq!(unfederated.reason().await, "federation.unknown_trust_domain");
    envoy
        .wait_stat("wasmcustom.svidgate.source_events_total.unused_bundle", 1)
        .await;
    assert_eq!(agent.api.streams(), 1, "one of two workers listens");
    agent.api.set(Bundles::default().with(OWN, &[&world.own]));
    other.wait("federation.bundle_missing").await;
    assert_eq!(own.reason().await, "rule.allowed");
    agent
        .api
        .set(Bundles::default().with(OWN, &[]).with(PARTNER, &[&world.partner]));
    own.wait("federation.bundle_empty").await;
    other.wait("rule.allowed").await;
    assert_alive(&envoy).await;
}

/// A workload that starts before its registration entry is made.
#[tokio::test]
async fn agent_that_refuses_is_told_in_its_words_and_asked_again_soon() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let agent = Agent::start(both(&world));
    agent.api.refuse(Some((7, "no identity issued")));
    let document = document(&world, json!({}));
    let envoy = serve(&world, Filters::RequestOnly, &document, &upstream, &agent, 1).await;
    let mut own = Asking::start(&envoy, "web", &world.own_identity("/api")).await;
    assert_eq!(own.reason().await, "federation.bundle_missing");
    envoy
        .wait_log(
            // Envoy puts its own word behind that of the agent.
            "the stream ended with gRPC status 7 PERMISSION_DENIED \"no identity issued{via_upstream}\" (the agent has \
             no registration entry for the workload that this proxy is)",
        )
        .await;
    assert!(
        envoy
            .log()
            .contains("there is no bundle for `prod.example` yet (its source has not answered)")
    );
    // Long enough for pauses that only grow to be beyond what is promised.
    tokio::time::sleep(Duration::from_secs(12)).await;
    agent.api.refuse(None);
    let began = Instant::now();
    own.wait("rule.allowed").await;
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

#[tokio::test]
async fn socket_that_goes_and_streams_that_break_leave_the_last_good_bundles() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let mut agent = Agent::start(both(&world));
    let changes = json!({ "max_staleness": "20s" });
    let envoy = serve(
        &world,
        Filters::RequestOnly,
        &document(&world, changes),
        &upstream,
        &agent,
        2,
    )
    .await;
    let api = world.own_identity("/api");
    let mut own = Asking::start(&envoy, "web", &api).await;
    own.wait("rule.allowed").await;

    let opened = agent.api.opened();
    agent.api.abort_mid_message();
    own.keeps("rule.allowed", Duration::from_secs(2)).await;
    agent.wait_opened(opened + 1).await;
    agent.api.reset_streams();
    own.keeps("rule.allowed", Duration::from_secs(2)).await;
    agent.api.set_raw(b"\xff\xff no message");
    envoy
        .wait_stat("wasmcustom.svidgate.source_events_total.unreadable", 1)
        .await;
    own.keeps("rule.allowed", Duration::from_secs(1)).await;
    agent.api.set(both(&world));

    agent.api.stop();
    own.keeps("rule.allowed", Duration::from_secs(5)).await;
    let next = Authority::of(OWN, world.now);
    agent.api.set(Bundles::default().with(OWN, &[&next]));
    agent.api.start_again();
    own.wait("svid.bad_signature").await;
    assert_alive(&envoy).await;
}

/// Streams that an agent ended were once kept in the proxy until their plugin went, and ended again then: by a pointer
/// to what was no longer there.
#[tokio::test]
async fn plugin_whose_streams_broke_goes_without_harm() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let agent = Agent::start(both(&world));
    let version = |version: &str| document(&world, json!({ "version": version }));
    let discovered = Wasm {
        delivery: Delivery::Ecds,
        ..Wasm::new(&module_path(), version("0"))
    };
    let listener = http_listener(&world, "web", Filters::RequestOnly, &version("0")).request_filter(discovered);
    let envoy = Envoy::start(Scenario::of(
        listener,
        [Cluster::new("app", upstream.addr()), agent.cluster()],
    ))
    .await;
    let mut own = Asking::start(&envoy, "web", &world.own_identity("/api")).await;
    own.wait("rule.allowed").await;
    for round in 1..=4 {
        for _ in 0..3 {
            let opened = agent.api.opened();
            agent.api.reset_streams();
            agent.wait_opened(opened + 1).await;
        }
        envoy.replace_ecds("svidgate.request", Configuration::Json(version(&round.to_string())));
        own.keeps("rule.allowed", Duration::from_secs(3)).await;
    }
    assert_alive(&envoy).await;
}

/// The proxy reads messages that come together in one turn, and goes on with the second after the first was answered by
/// ending the stream.
#[tokio::test]
async fn unreadable_messages_that_come_together_do_no_harm() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let agent = Agent::start(both(&world));
    let envoy = serve(
        &world,
        Filters::RequestOnly,
        &document(&world, json!({})),
        &upstream,
        &agent,
        1,
    )
    .await;
    let mut own = Asking::start(&envoy, "web", &world.own_identity("/api")).await;
    own.wait("rule.allowed").await;
    for _ in 0..4 {
        let opened = agent.api.opened();
        for _ in 0..20 {
            agent.api.set_raw(b"\xff\xff no message");
        }
        agent.wait_opened(opened + 1).await;
        own.keeps("rule.allowed", Duration::from_secs(1)).await;
        agent.api.set(both(&world));
        own.keeps("rule.allowed", Duration::from_secs(2)).await;
    }
    assert_alive(&envoy).await;
}

#[tokio::test]
async fn silent_socket_makes_everything_stale_in_the_end_and_comes_back() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let mut agent = Agent::start(both(&world));
    let changes = json!({ "max_staleness": "6s" });
    let envoy = serve(
        &world,
        Filters::RequestOnly,
        &document(&world, changes),
        &upstream,
        &agent,
        1,
    )
    .await;
    let api = world.own_identity("/api");
    let mut own = Asking::start(&envoy, "web", &api).await;
    own.wait("rule.allowed").await;
    own.keeps("rule.allowed", Duration::from_secs(8)).await;
    agent.api.stop();
    own.wait("federation.bundle_stale").await;
    agent.api.start_again();
    own.wait("rule.allowed").await;
    assert_alive(&envoy).await;
}

#[tokio::test]
async fn crl_of_the_workload_api_is_honoured() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let agent = Agent::start(both(&world));
    let envoy = serve(
        &world,
        Filters::RequestOnly,
        &document(&world, json!({})),
        &upstream,
        &agent,
        1,
    )
    .await;
    let serial = vec![0x0a, 0x0b, 0x0c];
    let revoked = world.own.issue(Leaf {
        serial: Some(serial.clone()),
        ..Leaf::svid("spiffe://prod.example/api", world.now)
    });
    let other = world.own_identity("/other");
    let mut asking = [
        Asking::start(&envoy, "web", &revoked).await,
        Asking::start(&envoy, "web", &other).await,
    ];
    for asking in &mut asking {
        asking.wait("rule.allowed").await;
    }
    agent.api.set(both(&world).crl(world.own.crl(&[&serial], world.now)));
    asking[0].wait("svid.revoked").await;
    assert_eq!(asking[1].reason().await, "rule.allowed");
    agent.api.set(both(&world));
    asking[0].wait("rule.allowed").await;
}

/// A new authority is published, SVIDs of both are in use, the old authority is withdrawn. Requests and long streams go
/// on all the while: not one good request is refused on the way, and the old streams are cut within two ticks.
#[tokio::test]
async fn rotation_under_load_refuses_no_good_request_and_cuts_the_old_leafs() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let next = Authority::of(OWN, world.now);
    let agent = Agent::start(both(&world));
    let envoy = serve(
        &world,
        Filters::Both,
        &document(&world, json!({})),
        &upstream,
        &agent,
        2,
    )
    .await;
    let leaf = || Leaf::svid(API, world.now);
    let (old, new) = (world.own_identity(API_PATH), next.issue(leaf()));
    let deadline = Instant::now() + Duration::from_secs(20);
    while http1(&envoy, "web", Some(&old)).await.get("/").await.status() != Some(200) {
        assert!(Instant::now() < deadline, "no bundle has come");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    upstream.behave(Behaviour::Stream {
        every: Duration::from_millis(200),
        count: 1000,
    });
    let open = async |identity: &Identity| {
        let mut http = http2(&envoy, "web", Some(identity)).await;
        let mut streams = Vec::new();
        for number in 0..10 {
            streams.push(http.open(Request::get(&format!("/stream/{number}"))).await.unwrap());
        }
        (http, streams)
    };
    let (_old_connection, old_streams) = open(&old).await;
    upstream.behave(Behaviour::Answer(200, b"ok".to_vec()));
    let mut asked = 0;
    // Fresh connections and kept ones.
    let mut ask = async |identities: &[&Identity], span: Duration| {
        let start = Instant::now();
        let mut kept = Vec::new();
        for identity in identities {
            kept.push(http1(&envoy, "web", Some(identity)).await);
        }
        while start.elapsed() < span {
            for (http, identity) in kept.iter_mut().zip(identities) {
                assert_eq!(http.get("/kept").await.status(), Some(200));
                assert_eq!(
                    http1(&envoy, "web", Some(identity)).await.get("/fresh").await.status(),
                    Some(200)
                );
                asked += 2;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    ask(&[&old], Duration::from_secs(1)).await;
    let rotated = |own: &[&Authority]| Bundles::default().with(OWN, own).with(PARTNER, &[&world.partner]);
    agent.api.set(rotated(&[&world.own, &next]));
    tokio::time::sleep(Duration::from_secs(2)).await;
    ask(&[&old, &new], Duration::from_secs(2)).await;
    upstream.behave(Behaviour::Stream {
        every: Duration::from_millis(200),
        count: 1000,
    });
    let (_new_connection, mut new_streams) = open(&new).await;
    upstream.behave(Behaviour::Answer(200, b"ok".to_vec()));
    agent.api.set(rotated(&[&next]));
    let withdrawn = Instant::now();
    let all_cut = async {
        for stream in old_streams {
            assert_eq!(stream.collect().await.complete, cut_http2_looks_whole());
        }
        withdrawn.elapsed()
    };
    let left = [&new];
    // Two ticks, and what the message and a busy machine take.
    let (cut_after, ()) = tokio::join!(all_cut, ask(&left, Duration::from_secs(3)));
    assert!(cut_after < Duration::from_millis(3500), "{cut_after:?}");
    assert!(asked > 200, "{asked}");
    for stream in &mut new_streams {
        assert!(matches!(stream.next().await, support::client::Chunk::Data(_)));
    }
    let log = envoy.request_log("web");
    let cut: Vec<&Value> = log.iter().filter(|entry| record(entry)["cut"] == true).collect();
    assert_eq!(cut.len(), 10, "{cut:?}");
    assert_alive(&envoy).await;
}
