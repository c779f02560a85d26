//! An Envoy whose first document is bad. In its bootstrap it does not start (`configuration`). By discovery it starts,
//! says that it is ready, and lets nobody through; nothing of the module runs then that could have metrics, so Envoy's
//! own must tell.

use std::time::{Duration, Instant};

use operate::scrape::Scrape;
use serde_json::{Value, json};
use support::{
    client::{Client, PATIENCE},
    envoy::{Cluster, Configuration, Delivery, Envoy, Scenario, Wasm, envoy_version},
    upstream::HttpUpstream,
    world::World,
};

use crate::{
    metrics::OF_THE_PROXY,
    stage::{API_PATH, Filters, allow_api, http_listener, wasm},
};

const MISTAKE: &str = "svidgate: configuration: mode: `enforced` is not one of `enforce`, `dry_run`";

fn good(world: &World) -> Value {
    world.document(allow_api())
}

fn bad(world: &World) -> Value {
    let mut document = good(world);
    document["mode"] = json!("enforced");
    document
}

async fn asks(envoy: &Envoy, world: &World) -> Option<u16> {
    let client = Client::new(Some(&world.own_identity(API_PATH)));
    let addr = *envoy.listeners_now().await?.get("web")?;
    let connection = client.connect(addr).await.ok()?;
    connection.http1().await.ok()?.get("/").await.status()
}

/// Asks until it is served. The module is compiled again, which takes a loaded machine many seconds.
async fn wait_served(envoy: &Envoy, world: &World) {
    let deadline = Instant::now() + 6 * PATIENCE;
    while asks(envoy, world).await != Some(200) {
        assert!(Instant::now() < deadline, "the good document has no effect");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What the alerts ask of discovery: the filters that have a document, and those that were given a bad one.
fn discovery(scrape: &Scrape, counter: &str, filters: &[(&str, &str)]) -> Vec<Option<f64>> {
    let value = |(place, filter): &(&str, &str)| {
        let family = format!("envoy_extension_config_discovery_{place}_{counter}");
        assert!(OF_THE_PROXY.iter().any(|(name, _)| *name == family), "{family}");
        scrape.value(&family, &[("filter", filter)])
    };
    filters.iter().map(value).collect()
}

const NETWORK: (&str, &str) = ("network_filter", "svidgate.connection");
const HTTP: (&str, &str) = ("http_filter", "svidgate.request");

/// Before 1.37 the network filter needs a hold, which comes with the listener.
fn discovered() -> (Filters, &'static [(&'static str, &'static str)]) {
    if envoy_version() < (1, 37) {
        (Filters::RequestOnly, &[HTTP])
    } else {
        (Filters::Both, &[NETWORK, HTTP])
    }
}

async fn by_discovery(world: &World, upstream: &HttpUpstream, connection: &Value, request: &Value) -> Envoy {
    let discovered_with = |document: &Value| Wasm {
        delivery: Delivery::Ecds,
        ..wasm(document)
    };
    let (filters, _) = discovered();
    let listener = http_listener(world, "web", filters, &json!({})).request_filter(discovered_with(request));
    let listener = match filters {
        Filters::Both => listener.connection_filter(discovered_with(connection)),
        Filters::RequestOnly => listener,
    };
    Envoy::start(Scenario {
        amend: Some(operate::with_tags),
        ..Scenario::of(listener, [Cluster::new("app", upstream.addr())])
    })
    .await
}

#[tokio::test]
async fn bad_first_document_by_discovery_lets_nobody_through_and_shows_in_the_proxys_own_metrics() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let envoy = by_discovery(&world, &upstream, &bad(&world), &bad(&world)).await;
    let (_, filters) = discovered();
    envoy.wait_log(MISTAKE).await;
    // Asked by whoever routes to it, it is ready.
    assert_eq!(envoy.admin("/ready").await.trim(), "LIVE");
    for _ in 0..3 {
        assert_ne!(asks(&envoy, &world).await, Some(200));
    }
    assert_eq!(upstream.connections(), 0);
    assert_eq!(
        Scrape::of_svidgate(&envoy).await.families().len(),
        0,
        "nothing of the module runs"
    );
    let scrape = Scrape::of_envoy(&envoy).await;
    assert_eq!(
        discovery(&scrape, "update_success", filters),
        vec![Some(0.0); filters.len()]
    );
    assert_eq!(
        discovery(&scrape, "config_fail", filters),
        vec![Some(1.0); filters.len()]
    );

    for (_, filter) in filters {
        envoy.replace_ecds(filter, Configuration::Json(good(&world)));
    }
    wait_served(&envoy, &world).await;
    let scrape = Scrape::of_envoy(&envoy).await;
    assert_eq!(
        discovery(&scrape, "update_success", filters),
        vec![Some(1.0); filters.len()]
    );
    // From now on the module counts for itself, and is there before it has anything to count.
    let refused = Scrape::of_svidgate(&envoy)
        .await
        .value("svidgate_documents_refused_total", &[]);
    assert!(refused.is_some());
    assert_alive_again(&envoy).await;
}

/// A refusal at the start is logged as a failure of the VM, so that this looks for less than other tests.
async fn assert_alive_again(envoy: &Envoy) {
    let log = envoy.log();
    assert!(!log.contains("panicked") && !log.contains("wasm trap"), "{log}");
}

/// The other filter's VM runs, so the module can count.
#[tokio::test]
async fn bad_first_document_of_one_filter_shows_in_both_metrics() {
    let (filters, _) = discovered();
    if filters == Filters::RequestOnly {
        return;
    }
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let envoy = by_discovery(&world, &upstream, &good(&world), &bad(&world)).await;
    envoy.wait_log(MISTAKE).await;
    for _ in 0..3 {
        assert_ne!(asks(&envoy, &world).await, Some(200));
    }
    assert_eq!(upstream.connections(), 0);
    let scrape = Scrape::of_envoy(&envoy).await;
    assert_eq!(
        discovery(&scrape, "update_success", &[NETWORK, HTTP]),
        [Some(1.0), Some(0.0)]
    );
    assert_eq!(
        discovery(&scrape, "config_fail", &[NETWORK, HTTP]),
        [Some(0.0), Some(1.0)]
    );
    let refused = Scrape::of_svidgate(&envoy)
        .await
        .value("svidgate_documents_refused_total", &[]);
    assert_eq!(refused, Some(1.0));
}

#[tokio::test]
async fn bad_first_document_with_its_listener_leaves_no_listener_and_shows_in_the_proxys_own_metrics() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let listener = |document: &Value| http_listener(&world, "web", Filters::Both, document);
    let envoy = Envoy::start(Scenario {
        lds: true,
        amend: Some(operate::with_tags),
        ..Scenario::of(listener(&bad(&world)), [Cluster::new("app", upstream.addr())])
    })
    .await;
    envoy.wait_log(MISTAKE).await;
    assert_eq!(envoy.admin("/ready").await.trim(), "LIVE");
    assert_eq!(envoy.listeners_now().await.unwrap().len(), 0);
    assert_eq!(
        Scrape::of_svidgate(&envoy).await.families().len(),
        0,
        "nothing of the module runs"
    );
    let counts = async || {
        let scrape = Scrape::of_envoy(&envoy).await;
        ["success", "rejected"].map(|what| scrape.value(&format!("envoy_listener_manager_lds_update_{what}"), &[]))
    };
    assert_eq!(counts().await, [Some(0.0), Some(1.0)]);

    envoy.replace_listeners(&[listener(&good(&world))]);
    wait_served(&envoy, &world).await;
    assert_eq!(counts().await, [Some(1.0), Some(1.0)]);
    assert_alive_again(&envoy).await;
}
