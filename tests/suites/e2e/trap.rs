//! A VM that dies: denied until there is a new one, and nobody else harmed. The shipped module cannot be made to trap,
//! so another build of it can.

use std::time::{Duration, Instant};

use support::{
    ca::Identity,
    client::{Answer, Chunk, Client, Http, Outcome, Request},
    envoy::{Cluster, Envoy, FailurePolicy, Scenario, Wasm},
    trapping_module_path,
    upstream::{Behaviour, HttpUpstream},
    world::World,
};

use crate::stage::{API_PATH, Filters, allow_api, http_listener};

/// A fresh connection; none while there is no VM to let it in.
async fn fresh(envoy: &Envoy, identity: &Identity) -> Option<Http> {
    let connection = Client::new(Some(identity)).connect(envoy.listener_addr("web")).await;
    connection.ok()?.http1().await.ok()
}

async fn ask(envoy: &Envoy, identity: &Identity, path: &str) -> Option<u16> {
    match fresh(envoy, identity).await?.get(path).await {
        Outcome::Response(response) => Some(response.status),
        Outcome::Refused(_) => None,
    }
}

/// Whether more comes than what had come before.
async fn flows_on(stream: &mut Answer) -> bool {
    let end = Instant::now() + Duration::from_millis(500);
    while matches!(stream.next().await, Chunk::Data(_)) {
        if Instant::now() > end {
            return true;
        }
    }
    false
}

/// Two workers. One VM is made to trap; its streams end and what comes is denied until the VM is back. The other worker
/// goes on, and what its connections carry never stops.
#[tokio::test]
async fn vm_that_traps_denies_until_it_is_back_and_harms_no_other_worker() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let document = world.document(allow_api());
    let wasm = Wasm {
        failure_policy: FailurePolicy::Reload,
        ..Wasm::new(&trapping_module_path(), document.clone())
    };
    let listener = http_listener(&world, "web", Filters::Both, &document)
        .connection_filter(wasm.clone())
        .request_filter(wasm);
    let envoy = Envoy::start(Scenario {
        concurrency: 2,
        ..Scenario::of(listener, [Cluster::new("app", upstream.addr())])
    })
    .await;
    let api = world.own_identity(API_PATH);
    // Enough connections that each worker has some.
    let mut connections = Vec::new();
    for _ in 0..16 {
        let mut http = fresh(&envoy, &api).await.unwrap();
        assert_eq!(http.get("/before").await.status(), Some(200));
        connections.push(http);
    }
    upstream.behave(Behaviour::Stream {
        every: Duration::from_millis(100),
        count: 1000,
    });
    let mut streams = Vec::new();
    for _ in 0..16 {
        let mut http = fresh(&envoy, &api).await.unwrap();
        streams.push((http.open(Request::get("/stream")).await.unwrap(), http));
    }
    upstream.behave(Behaviour::Answer(200, b"ok".to_vec()));
    let reached = upstream.requests().len();
    let mut trapped = connections.pop().unwrap();
    let outcome = trapped.send(Request::get("/trap").header("x-svidgate-trap", "1")).await;
    assert_ne!(outcome.status(), Some(200), "what ended the VM did not pass");
    let mut answers = Vec::new();
    for http in &mut connections {
        answers.push(http.get("/after").await.status());
    }
    let served = answers.iter().filter(|status| **status == Some(200)).count();
    assert!(served > 0, "nobody else is harmed: {answers:?}");
    assert!(
        served < answers.len(),
        "some are of the worker that trapped: {answers:?}"
    );
    assert!(
        answers
            .iter()
            .all(|status| [Some(200), Some(503), Some(500), None].contains(status)),
        "{answers:?}"
    );
    // What was denied did not reach the upstream.
    assert_eq!(upstream.requests().len() - reached, served);
    let mut flowing = 0;
    for (stream, _connection) in &mut streams {
        flowing += usize::from(flows_on(stream).await);
    }
    assert!(flowing > 0, "what the other worker carries goes on");
    assert!(flowing < streams.len(), "what the worker carried ends with its VM");
    let start = Instant::now();
    let mut good = 0;
    while good < 32 {
        good = if ask(&envoy, &api, "/back").await == Some(200) {
            good + 1
        } else {
            0
        };
        assert!(start.elapsed() < Duration::from_secs(30), "the VM does not come back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // And the new VM gates like the old one.
    let stranger = world
        .stranger
        .issue(support::ca::Leaf::svid("spiffe://stranger.example/x", world.now));
    for _ in 0..8 {
        assert_eq!(ask(&envoy, &stranger, "/").await, None);
    }
}
