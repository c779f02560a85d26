//! Many streams of one connection whose right ends at one moment: each has its end in time, nobody else is touched, and the
//! proxy lives. Two answers of one connection within one call nest in Envoy and end the process.

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use serde_json::{Value, json};
use support::{
    ca::{Identity, Leaf, bundle_json, real_now},
    client::{Answer, Chunk, Client, ClientOptions, Connection, Http, Outcome, Request},
    envoy::{Cluster, Configuration, Delivery, Envoy, Scenario, Wasm},
    upstream::{Behaviour, HttpUpstream},
    world::{World, with},
};
use tokio::task::JoinHandle;

use crate::cuts::short_lived;
use crate::stage::{API, API_PATH, Filters, allow_api, assert_alive, http_listener, http1, http2, serve, wasm};

/// Two seconds are promised; the rest is for a machine that does other things, too.
const PROMISED: Duration = Duration::from_millis(3500);

/// Somebody whose right goes on, and what he is in the middle of.
struct Bystander {
    download: Answer,
    _http: Http,
}

impl Bystander {
    async fn start(envoy: &Envoy, upstream: &HttpUpstream, identity: &Identity) -> Self {
        upstream.behave(Behaviour::Stream {
            every: Duration::from_millis(100),
            count: 1000,
        });
        let mut http = http2(envoy, "web", Some(identity)).await;
        let download = http.open(Request::get("/bystander")).await.unwrap();
        Bystander { download, _http: http }
    }

    /// For half a second more, beyond all that has been sent already.
    async fn assert_undisturbed(&mut self) {
        let end = Instant::now() + Duration::from_millis(500);
        while Instant::now() < end {
            assert!(matches!(self.download.next().await, Chunk::Data(_)));
        }
    }
}

/// Each has its 403, or a reset where its connection was closed under it, and within the promised time of the event.
async fn assert_ended(waiting: Vec<JoinHandle<Outcome>>, event: Instant) -> usize {
    let mut answered = 0;
    for stream in waiting {
        let outcome = stream.await.unwrap();
        match outcome {
            Outcome::Response(response) => {
                assert_eq!(response.status, 403);
                answered += 1;
            }
            Outcome::Refused(support::client::Refusal::Closed(_)) => {}
            Outcome::Refused(refusal) => panic!("{refusal}"),
        }
    }
    let took = event.elapsed();
    assert!(took < PROMISED, "{took:?}");
    answered
}

async fn assert_nothing_stays(envoy: &Envoy, but: u64) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while envoy.stat("http.web.downstream_rq_active").await > but {
        assert!(
            Instant::now() < deadline,
            "{}",
            envoy.stat("http.web.downstream_rq_active").await
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn end_with_the_svid(filters: Filters, counts: &[usize]) {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let envoy = serve(
        [http_listener(&world, "web", filters, &world.document(allow_api()))],
        &upstream,
    )
    .await;
    let mut bystander = Bystander::start(&envoy, &upstream, &world.own_identity(API_PATH)).await;
    upstream.behave(Behaviour::Late(Duration::from_secs(60)));
    let (short, end) = short_lived(&world, 5);
    let all: usize = counts.iter().sum();
    let started = Instant::now();
    let (_connections, waiting) = async {
        let (mut connections, mut waiting) = (Vec::new(), Vec::new());
        for count in counts {
            let http = http2(&envoy, "web", Some(&short)).await;
            waiting.extend(http.send_all((0..*count).map(|number| Request::get(&format!("/{number}")))));
            connections.push(http);
        }
        envoy.wait_stat("http.web.downstream_rq_active", all as u64 + 1).await;
        (connections, waiting)
    }
    .await;
    assert!(Instant::now() < end, "all were there in time: {:?}", started.elapsed());
    tokio::time::sleep_until(end.into()).await;
    assert_ended(waiting, end).await;
    bystander.assert_undisturbed().await;
    assert_nothing_stays(&envoy, 1).await;
    assert_alive(&envoy).await;
}

#[tokio::test]
async fn a_few_unanswered_streams_of_one_connection_end_with_their_svid() {
    for count in [1, 2, 6, 20] {
        end_with_the_svid(Filters::Both, &[count]).await;
    }
}

#[tokio::test]
async fn hundreds_of_unanswered_streams_of_one_connection_end_with_their_svid() {
    end_with_the_svid(Filters::Both, &[600]).await;
}
