//! Counters that count every decision, and a log that no flood of refusals can fill.

use std::time::{Duration, Instant};

use serde_json::json;
use support::{client::PATIENCE, envoy::Envoy, upstream::HttpUpstream, world::World};

use crate::stage::{API, API_PATH, Filters, http_listener, http1, http2, serve};

async fn start(world: &World, upstream: &HttpUpstream) -> Envoy {
    let rules = json!([{ "name": "open", "effect": "allow", "from": [API], "to": [{ "paths": ["/open"] }] }]);
    serve(
        [http_listener(world, "web", Filters::Both, &world.document(rules))],
        upstream,
    )
    .await
}

#[tokio::test]
async fn every_decision_is_counted_exactly_once() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let envoy = start(&world, &upstream).await;
    let api = world.own_identity(API_PATH);
    for requests in [3, 14, 25] {
        let mut http = http1(&envoy, "web", Some(&api)).await;
        for _ in 0..requests {
            assert_eq!(http.get("/open").await.status(), Some(200));
        }
        assert_eq!(http.get("/closed").await.status(), Some(403));
    }
    assert_eq!(http1(&envoy, "web", None).await.get("/open").await.status(), None);
    let expected = [
        ("wasmcustom.svidgate.decisions_total.connection.allow.rule.allowed", 3),
        (
            "wasmcustom.svidgate.decisions_total.connection.deny.connection.no_certificate",
            1,
        ),
        ("wasmcustom.svidgate.decisions_total.request.allow.rule.allowed", 42),
        ("wasmcustom.svidgate.decisions_total.request.deny.rule.none_matched", 3),
    ];
    for (name, count) in expected {
        envoy.wait_stat(name, count).await;
    }
    // And nothing else, also when all is handed over once more.
    tokio::time::sleep(Duration::from_millis(2200)).await;
    let decisions = |name: &String| name.contains(".connection.") || name.contains(".request.");
    let stats = envoy.stats("wasmcustom.svidgate").await.into_iter();
    let counted: Vec<(String, u64)> = stats.filter(|(name, _)| decisions(name)).collect();
    assert_eq!(counted, expected.map(|(name, count)| (name.to_owned(), count)));
}

/// Lines of their own, and the sum of those that summaries speak of.
fn lines(log: &str) -> (u64, u64, u64) {
    let own = log
        .lines()
        .filter(|line| line.contains(r#"svidgate: decision {"stage":"request","decision":"deny""#))
        .count();
    let summaries: Vec<u64> = log
        .lines()
        .filter_map(|line| line.split_once(" more refusals without a line of their own"))
        .filter_map(|(before, _)| before.rsplit(' ').next()?.parse().ok())
        .collect();
    (own as u64, summaries.len() as u64, summaries.iter().sum())
}

#[tokio::test]
async fn flood_of_refusals_has_few_lines_and_a_summary_that_misses_none() {
    const REFUSALS: u64 = 1000;
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let envoy = start(&world, &upstream).await;
    let mut http = http2(&envoy, "web", Some(&world.own_identity(API_PATH))).await;
    for _ in 0..REFUSALS {
        assert_eq!(http.get("/closed").await.status(), Some(403));
    }
    envoy
        .wait_stat(
            "wasmcustom.svidgate.decisions_total.request.deny.rule.none_matched",
            REFUSALS,
        )
        .await;
    let deadline = Instant::now() + PATIENCE;
    let (own, summaries, summed) = loop {
        let (own, summaries, summed) = lines(&envoy.log());
        if own + summed >= REFUSALS {
            break (own, summaries, summed);
        }
        assert!(
            Instant::now() < deadline,
            "{own} lines, {summed} in {summaries} summaries"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(own + summed, REFUSALS);
    assert!(
        summaries > 0 && own <= 10 * (summaries + 1),
        "{own} lines, {summaries} summaries"
    );
}
