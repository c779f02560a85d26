//! The document delivered by a control plane: taken under load without a refusal, and kept where the next one is bad.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use grpc::xds::{Answer, ControlPlane, Plugin};
use serde_json::{Value, json};
use support::{
    client::{Answer as Stream, Chunk, Client, Http, PATIENCE, Request},
    envoy::{CONTROL_PLANE, Cluster, Delivery, Envoy, Scenario, Wasm, envoy_version},
    upstream::{Behaviour, HttpUpstream},
    world::World,
};
use tokio::task::JoinHandle;

use crate::stage::{
    API, API_PATH, Filters, assert_alive, cut_http2_looks_whole, http_listener, http1, http2, record, wasm,
};

const OTHER: &str = "spiffe://prod.example/ns/shop/sa/other";

/// Rules for the API and, where there are any, for the other.
fn document(world: &World, version: &str, api: &[&str], other: &[&str]) -> Value {
    let mut rules = vec![json!({ "name": "api", "effect": "allow", "from": [API], "to": [{ "paths": api }] })];
    if !other.is_empty() {
        rules.push(json!({ "name": "other", "effect": "allow", "from": [OTHER], "to": [{ "paths": other }] }));
    }
    let mut document = world.document(json!(rules));
    document["version"] = json!(version);
    document
}

async fn start(world: &World, upstream: &HttpUpstream, control_plane: &ControlPlane) -> Envoy {
    let discovered = Wasm {
        delivery: Delivery::Ads,
        // What a hold has, where this Envoy needs one; it comes with the listener.
        ..wasm(&document(world, "0", &["/**"], &["/**"]))
    };
    let listener = http_listener(world, "web", Filters::Both, &json!({}))
        .connection_filter(discovered.clone())
        .request_filter(discovered);
    let clusters = [
        Cluster::new("app", upstream.addr()),
        Cluster::http2(CONTROL_PLANE, control_plane.addr()),
    ];
    Envoy::start(Scenario {
        concurrency: 2,
        ..Scenario::of(listener, clusters)
    })
    .await
}

/// Connections that ask without a pause. Each is one connection from beginning to end.
struct Load {
    goes_on: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(connections: Vec<Http>) -> Self {
        let (goes_on, asked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
        let tasks = connections.into_iter().map(|mut http| {
            let (goes_on, asked) = (Arc::clone(&goes_on), Arc::clone(&asked));
            tokio::spawn(async move {
                let mut refused = Vec::new();
                while goes_on.load(Ordering::SeqCst) {
                    let answer = http.get("/short/x").await;
                    asked.fetch_add(1, Ordering::SeqCst);
                    if answer.status() != Some(200) {
                        refused.push(format!("{answer:?}"));
                    }
                    if http.is_closed() {
                        refused.push("the connection was closed".to_owned());
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                refused
            })
        });
        let tasks = tasks.collect();
        Self { goes_on, asked, tasks }
    }

    /// How many requests there were, and what came of those that were not answered as they should be.
    async fn stop(self) -> (usize, Vec<String>) {
        self.goes_on.store(false, Ordering::SeqCst);
        let mut refused = Vec::new();
        for task in self.tasks {
            refused.extend(task.await.unwrap());
        }
        (self.asked.load(Ordering::SeqCst), refused)
    }
}

async fn open(http: &mut Http, path: String) -> Stream {
    http.open(Request::get(&path)).await.unwrap()
}

#[tokio::test]
async fn policy_from_a_control_plane_changes_under_load_and_only_what_it_forbids_is_cut() {
    let (world, upstream, control_plane) = (World::new(), HttpUpstream::start(), ControlPlane::start().await);
    let everything = ["/short/**", "/kept/**", "/cut/**"];
    control_plane.publish("1", &Plugin::both(&document(&world, "1", &everything, &["/**"])));
    let envoy = start(&world, &upstream, &control_plane).await;
    assert_eq!(control_plane.wait_answer("1").await, Answer::Accepted);
    let (api, other) = (world.own_identity(API_PATH), world.own_identity("/ns/shop/sa/other"));

    upstream.behave(Behaviour::Stream {
        every: Duration::from_millis(250),
        count: 1000,
    });
    let (mut kept, mut cut, mut connections) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..10 {
        let mut http = http2(&envoy, "web", Some(&api)).await;
        kept.push(open(&mut http, format!("/kept/{number}")).await);
        cut.push(open(&mut http, format!("/cut/{number}")).await);
        connections.push(http);
    }
    upstream.behave(Behaviour::Answer(200, b"short".to_vec()));
    // One that has done all it wanted and keeps its connection.
    let mut idle = http1(&envoy, "web", Some(&other)).await;
    assert_eq!(idle.get("/short/x").await.status(), Some(200));
    let mut asking = Vec::new();
    for _ in 0..5 {
        asking.push(http1(&envoy, "web", Some(&api)).await);
        asking.push(http2(&envoy, "web", Some(&api)).await);
    }
    let load = Load::start(asking);

    // The second forbids what the first allowed; those after it change what nobody here asks for.
    for version in 2..=10 {
        let version = version.to_string();
        let paths = ["/short/**", "/kept/**", &format!("/new/{version}")];
        control_plane.publish(&version, &Plugin::both(&document(&world, &version, &paths, &[])));
        assert_eq!(control_plane.wait_answer(&version).await, Answer::Accepted);
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    for answer in cut {
        assert_eq!(answer.collect().await.complete, cut_http2_looks_whole());
    }
    let deadline = Instant::now() + PATIENCE;
    while !idle.is_closed() {
        assert!(Instant::now() < deadline, "the idle connection is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (asked, refused) = load.stop().await;
    assert_eq!(refused, Vec::<String>::new());
    assert!(asked > 1000, "{asked}");
    for answer in &mut kept {
        assert!(matches!(answer.next().await, Chunk::Data(_)));
    }
    assert!(connections.iter().all(|http| !http.is_closed()));

    let log = envoy.request_log("web");
    let cut: Vec<&Value> = log.iter().filter(|entry| record(entry)["cut"] == true).collect();
    assert_eq!(cut.len(), 10);
    let is_of_cut = |entry: &&Value| entry["path"].as_str().is_some_and(|path| path.starts_with("/cut/"));
    assert!(cut.iter().all(is_of_cut), "{cut:#?}");
    let seen = |version: &str| log.iter().filter(|entry| record(entry)["version"] == version).count();
    for version in 1..=10 {
        assert!(
            seen(&version.to_string()) > 0,
            "no request was decided under version {version}"
        );
    }
    assert_alive(&envoy).await;
}

#[tokio::test]
async fn bad_document_is_refused_to_the_control_plane_and_the_running_one_stays() {
    let (world, upstream, control_plane) = (World::new(), HttpUpstream::start(), ControlPlane::start().await);
    control_plane.publish("1", &Plugin::both(&document(&world, "1", &["/short/**"], &[])));
    let envoy = start(&world, &upstream, &control_plane).await;
    let api = world.own_identity(API_PATH);
    let load = Load::start(vec![
        http1(&envoy, "web", Some(&api)).await,
        http2(&envoy, "web", Some(&api)).await,
    ]);

    let mut bad = document(&world, "2", &["/cut/**"], &[]);
    bad["mode"] = json!("enforced");
    control_plane.publish("2", &Plugin::both(&bad));
    let Answer::Refused(message) = control_plane.wait_answer("2").await else {
        panic!("it was accepted");
    };
    // Envoy does not hand on what the module says; it stands in the log.
    assert!(message.starts_with("Unable to create Wasm plugin web."), "{message}");
    envoy
        .wait_log("svidgate: configuration: mode: `enforced` is not one of `enforce`, `dry_run`")
        .await;
    envoy.wait_stat("wasmcustom.svidgate.documents_refused_total", 1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (asked, refused) = load.stop().await;
    assert_eq!(refused, Vec::<String>::new());
    assert!(asked > 50, "{asked}");
    let mut http = http1(&envoy, "web", Some(&api)).await;
    assert_eq!(http.get("/cut/x").await.status(), Some(403));

    control_plane.publish("3", &Plugin::both(&document(&world, "3", &["/cut/**"], &[])));
    assert_eq!(control_plane.wait_answer("3").await, Answer::Accepted);
    let deadline = Instant::now() + PATIENCE;
    while http.get("/cut/x").await.status() != Some(200) {
        assert!(Instant::now() < deadline, "the third has no effect");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_alive(&envoy).await;
}

#[tokio::test]
async fn nobody_gets_through_before_the_control_plane_has_spoken() {
    // ENVOY (seen on 1.37.0, with a module that does nothing, too): it ends with a segmentation fault when the first
    // configuration of a filter comes after `initial_fetch_timeout`.
    if envoy_version() == (1, 37) {
        return;
    }
    let (world, upstream, control_plane) = (World::new(), HttpUpstream::start(), ControlPlane::start().await);
    let envoy = start(&world, &upstream, &control_plane).await;
    let client = Client::new(Some(&world.own_identity(API_PATH)));
    let ask = async || match client.connect(envoy.listener_addr("web")).await {
        Ok(connection) => match connection.http1().await {
            Ok(mut http) => http.get("/short/x").await.status(),
            Err(_) => None,
        },
        Err(_) => None,
    };
    for _ in 0..3 {
        assert_ne!(ask().await, Some(200));
    }
    assert_eq!(upstream.connections(), 0);
    control_plane.publish("1", &Plugin::both(&document(&world, "1", &["/short/**"], &[])));
    // The module is compiled only now, which takes a loaded machine many seconds.
    let deadline = Instant::now() + 6 * PATIENCE;
    while ask().await != Some(200) {
        assert!(Instant::now() < deadline, "the first document has no effect");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_alive(&envoy).await;
}
