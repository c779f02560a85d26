//! Bundles from endpoints, on real proxies: when they come, when they do not, and when they are not what they should
//! be.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};
use support::{
    bundle_endpoint::{BundleEndpoint, Served, bundle_document},
    ca::{Authority, Identity, Leaf, Profile, bundle_json},
    envoy::{Cluster, Envoy, Scenario},
    upstream::HttpUpstream,
    world::{OWN, World, with},
};

use crate::stage::{Asking, Filters, assert_alive, http_listener};

const SECONDS: fn(u64) -> Duration = Duration::from_secs;

fn everyone() -> Value {
    json!([{ "name": "all", "effect": "allow", "from": ["spiffe://*/**"] }])
}

/// Our own bundle from the endpoint `/own.json`, asked every second; the partner's stands in the document.
fn fetching(world: &World, changes: Value) -> Value {
    let endpoint = json!({ "cluster": "endpoint", "path": "/own.json", "refresh": "1s" });
    let document = with(
        world.document(everyone()),
        json!({ "bundle": { "endpoint": endpoint } }),
    );
    with(document, changes)
}

async fn serve(world: &World, document: &Value, upstream: &HttpUpstream, endpoint: Cluster, workers: u32) -> Envoy {
    Envoy::start(Scenario {
        concurrency: workers,
        ..Scenario::of(
            http_listener(world, "web", Filters::RequestOnly, document),
            [Cluster::new("app", upstream.addr()), endpoint],
        )
    })
    .await
}

fn plain(endpoint: &BundleEndpoint) -> Cluster {
    Cluster::new("endpoint", endpoint.addr())
}

fn own_bundle(world: &World) -> Served {
    Served::Document(bundle_document(&[&world.own], None, None))
}

#[tokio::test]
async fn endpoint_that_is_down_at_the_start_brings_traffic_to_life_when_it_comes() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let mut endpoint = BundleEndpoint::start(None);
    endpoint.serve("/own.json", own_bundle(&world));
    endpoint.stop();
    let envoy = serve(&world, &fetching(&world, json!({})), &upstream, plain(&endpoint), 1).await;
    let (api, partner) = (world.own_identity("/api"), world.partner_identity("/ns/billing/x"));
    let mut own = Asking::start(&envoy, "web", &api).await;
    let mut other = Asking::start(&envoy, "web", &partner).await;
    own.keeps("federation.bundle_missing", SECONDS(3)).await;
    assert_eq!(other.reason().await, "rule.allowed", "the others do not wait");
    assert_eq!(upstream.requests().len(), 1);
    endpoint.start_again();
    // Failures so far double the pause; asked every second, they are a second apart at most.
    let waited = own.wait("rule.allowed").await;
    assert!(waited < SECONDS(4), "{waited:?}");
    assert_alive(&envoy).await;
}

#[tokio::test]
async fn endpoint_that_is_down_for_too_long_makes_its_trust_domain_stale_and_no_other() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let mut endpoint = BundleEndpoint::start(None);
    endpoint.serve("/own.json", own_bundle(&world));
    let document = fetching(&world, json!({ "max_staleness": "5s" }));
    let envoy = serve(&world, &document, &upstream, plain(&endpoint), 1).await;
    let (api, partner) = (world.own_identity("/api"), world.partner_identity("/ns/billing/x"));
    let mut own = Asking::start(&envoy, "web", &api).await;
    let mut other = Asking::start(&envoy, "web", &partner).await;
    own.wait("rule.allowed").await;
    endpoint.stop();
    own.keeps("rule.allowed", SECONDS(3)).await;
    let waited = own.wait("federation.bundle_stale").await;
    assert!(waited < SECONDS(5), "{waited:?}");
    assert_eq!(other.reason().await, "rule.allowed");
    endpoint.start_again();
    own.wait("rule.allowed").await;
    let age = "wasmcustom.svidgate.trust_domain.prod.example.bundle_age_seconds";
    assert!(envoy.stat(age).await < 20, "{}", envoy.stat(age).await);
    assert_alive(&envoy).await;
}

#[tokio::test]
async fn answers_that_are_no_bundle_change_nothing_and_are_counted() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let endpoint = BundleEndpoint::start(None);
    endpoint.serve("/own.json", own_bundle(&world));
    endpoint.serve("/elsewhere.json", Served::Document(bundle_document(&[], None, None)));
    let envoy = serve(&world, &fetching(&world, json!({})), &upstream, plain(&endpoint), 1).await;
    let api = world.own_identity("/api");
    let mut own = Asking::start(&envoy, "web", &api).await;
    own.wait("rule.allowed").await;
    let good = bundle_document(&[&world.own], None, None);
    let bad = [
        ("garbage", Served::Document(b"<html>".to_vec()), "unreadable"),
        ("status 500", Served::Status(500), "failed"),
        ("30 MiB", Served::Large(30 * 1024 * 1024), "failed"),
        ("half a body", Served::Truncated(good), "failed"),
        ("a redirect", Served::Redirect("/elsewhere.json".to_owned()), "failed"),
    ];
    for (what, served, event) in bad {
        let name = format!("wasmcustom.svidgate.source_events_total.{event}");
        let before = envoy.stat(&name).await;
        endpoint.serve("/own.json", served);
        envoy.wait_stat(&name, before + 1).await;
        assert_eq!(own.reason().await, "rule.allowed", "{what}");
        endpoint.serve("/own.json", own_bundle(&world));
        let answered = envoy.stat("wasmcustom.svidgate.source_events_total.unchanged").await;
        envoy
            .wait_stat("wasmcustom.svidgate.source_events_total.unchanged", answered + 1)
            .await;
    }
    assert_eq!(endpoint.requests("/elsewhere.json"), 0, "a redirect is not followed");
    // What an empty list says is said, and takes effect at once.
    endpoint.serve("/own.json", Served::Document(bundle_document(&[], None, None)));
    own.wait("federation.bundle_empty").await;
    assert_alive(&envoy).await;
}

#[tokio::test]
async fn endpoint_that_never_answers_is_given_up_and_asked_again() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let endpoint = BundleEndpoint::start(None);
    endpoint.serve("/own.json", Served::Never);
    let envoy = serve(&world, &fetching(&world, json!({})), &upstream, plain(&endpoint), 1).await;
    let api = world.own_identity("/api");
    let mut own = Asking::start(&envoy, "web", &api).await;
    own.keeps("federation.bundle_missing", SECONDS(2)).await;
    endpoint.serve("/own.json", own_bundle(&world));
    let waited = own.wait("rule.allowed").await;
    assert!(waited < SECONDS(15), "{waited:?}");
    assert_alive(&envoy).await;
}

#[tokio::test]
async fn sequence_that_goes_back_is_ignored() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let next = Authority::of(OWN, world.now);
    let endpoint = BundleEndpoint::start(None);
    let publish = |authorities: &[&Authority], sequence| {
        endpoint.serve(
            "/own.json",
            Served::Document(bundle_document(authorities, Some(sequence), None)),
        );
    };
    publish(&[&world.own], 10);
    let envoy = serve(&world, &fetching(&world, json!({})), &upstream, plain(&endpoint), 1).await;
    let old = world.own_identity("/api");
    let mut own = Asking::start(&envoy, "web", &old).await;
    own.wait("rule.allowed").await;
    publish(&[&next], 11);
    own.wait("svid.bad_signature").await;
    publish(&[&world.own], 10);
    envoy
        .wait_stat("wasmcustom.svidgate.source_events_total.rollback", 2)
        .await;
    assert_eq!(own.reason().await, "svid.bad_signature");
    assert!(envoy.log().contains("sequence 10 is lower than 11, which is held"));
}

/// The runbook: only a document that says so makes every worker forget what the publisher said before, without a
/// restart.
#[tokio::test]
async fn publisher_that_was_built_anew_is_followed_when_a_document_raises_the_epoch() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let anew = Authority::of(OWN, world.now);
    let endpoint = BundleEndpoint::start(None);
    let publish = |authority: &Authority, sequence| {
        let bundle = bundle_document(&[authority], Some(sequence), None);
        endpoint.serve("/own.json", Served::Document(bundle));
    };
    let at_epoch = |epoch: u64| {
        let endpoint = json!({ "cluster": "endpoint", "path": "/own.json", "refresh": "1s", "epoch": epoch });
        let document = fetching(
            &world,
            json!({ "bundle": { "endpoint": endpoint }, "version": format!("epoch {epoch}") }),
        );
        http_listener(&world, "web", Filters::RequestOnly, &document)
    };
    publish(&world.own, 2);
    let envoy = Envoy::start(Scenario {
        concurrency: 2,
        lds: true,
        ..Scenario::of(at_epoch(0), [Cluster::new("app", upstream.addr()), plain(&endpoint)])
    })
    .await;
    let (old, new) = (
        world.own_identity("/api"),
        anew.issue(Leaf::svid(&format!("spiffe://{OWN}/api"), world.now)),
    );
    let reason = async |identity: &Identity| Asking::start(&envoy, "web", identity).await.reason().await;
    Asking::start(&envoy, "web", &old).await.wait("rule.allowed").await;
    publish(&anew, 1);
    envoy
        .wait_log("sequence 1 is lower than 2, which is held, with 0 of the 1 authorities that are held")
        .await;
    assert_eq!(reason(&new).await, "svid.bad_signature");
    envoy.replace_listeners(&[at_epoch(1)]);
    Asking::start(&envoy, "web", &new).await.wait("rule.allowed").await;
    envoy.replace_listeners(&[at_epoch(0)]);
    envoy.wait_stat("listener_manager.lds.update_success", 3).await;
    for _ in 0..20 {
        // Each on a connection of its own, so on either worker, and under either document.
        assert_eq!(reason(&old).await, "svid.bad_signature");
        assert_eq!(reason(&new).await, "rule.allowed");
    }
}

/// The cluster is the endpoint's profile: who answers is checked by the proxy before anything is read.
#[tokio::test]
async fn endpoints_of_both_profiles_are_read_and_impostors_are_not() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let web_ca = Authority::root(Profile {
        uri_sans: Vec::new(),
        common_name: Some("web authority".to_owned()),
        ..Profile::authority("web", world.now)
    });
    let id = "spiffe://prod.example/bundle-endpoint";
    let spiffe = |id: &str, authority: &Authority| authority.issue(Leaf::svid(id, world.now));
    let servers: [(&str, Identity, bool); 5] = [
        ("https_web", web_ca.issue(Profile::server(world.now)), true),
        ("https_web", world.own.issue(Profile::server(world.now)), false),
        ("https_spiffe", spiffe(id, &world.own), true),
        ("https_spiffe", spiffe("spiffe://prod.example/other", &world.own), false),
        ("https_spiffe", spiffe(id, &world.partner), false),
    ];
    for (profile, identity, is_right) in servers {
        let endpoint = BundleEndpoint::start(Some(&identity));
        endpoint.serve("/own.json", own_bundle(&world));
        let cluster = match profile {
            "https_web" => Cluster::bundle_endpoint_web("endpoint", endpoint.addr(), &web_ca.pem(), "localhost"),
            _ => Cluster::bundle_endpoint_spiffe("endpoint", endpoint.addr(), OWN, &world.own.pem(), id),
        };
        let envoy = serve(&world, &fetching(&world, json!({})), &upstream, cluster, 1).await;
        let api = world.own_identity("/api");
        let mut own = Asking::start(&envoy, "web", &api).await;
        if is_right {
            own.wait("rule.allowed").await;
        } else {
            envoy
                .wait_stat("wasmcustom.svidgate.source_events_total.failed", 2)
                .await;
            assert_eq!(own.reason().await, "federation.bundle_missing");
            assert_eq!(endpoint.requests_total(), 0);
        }
    }
}

#[tokio::test]
async fn four_workers_and_twenty_trust_domains_have_one_fetcher_and_agree_within_two_ticks() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let endpoint = BundleEndpoint::start(None);
    let foreign: Vec<(String, Authority, Authority)> = (0..20)
        .map(|number| {
            let name = format!("td{number}.example");
            (
                name.clone(),
                Authority::of(&name, world.now),
                Authority::of(&name, world.now),
            )
        })
        .collect();
    let path = |name: &str| format!("/{name}.json");
    for (name, first, _) in &foreign {
        endpoint.serve(&path(name), Served::Document(bundle_document(&[first], Some(1), None)));
    }
    let federation: Vec<Value> = foreign
        .iter()
        .map(|(name, ..)| {
            let endpoint = json!({ "cluster": "endpoint", "path": path(name), "refresh": "2s" });
            json!({ "trust_domain": name, "bundle": { "endpoint": endpoint } })
        })
        .collect();
    let document = with(
        world.document(everyone()),
        json!({ "bundle": { "inline": bundle_json(&[&world.own]) }, "federation": federation }),
    );
    let envoy = serve(&world, &document, &upstream, plain(&endpoint), 4).await;
    // Enough connections that every worker has some.
    let mut asking = Vec::new();
    let peers: Vec<[Identity; 2]> = foreign
        .iter()
        .map(|(name, first, second)| {
            let leaf = || Leaf::svid(&format!("spiffe://{name}/x"), world.now);
            [first.issue(leaf()), second.issue(leaf())]
        })
        .collect();
    for [first, second] in &peers {
        for _ in 0..2 {
            asking.push((
                Asking::start(&envoy, "web", first).await,
                Asking::start(&envoy, "web", second).await,
            ));
        }
    }
    for (first, _) in &mut asking {
        first.wait("rule.allowed").await;
    }
    for (name, _, second) in &foreign {
        endpoint.serve(&path(name), Served::Document(bundle_document(&[second], Some(2), None)));
    }
    envoy
        .wait_stat("wasmcustom.svidgate.source_events_total.updated", 40)
        .await;
    // Two ticks, and what a loaded machine may take on top.
    tokio::time::sleep(Duration::from_millis(2200)).await;
    for (first, second) in &mut asking {
        assert_eq!(first.reason().await, "svid.bad_signature");
        assert_eq!(second.reason().await, "rule.allowed");
    }
    let connections = envoy.stats("listener.").await;
    let busy = connections
        .iter()
        .filter(|(name, value)| name.contains("worker_") && name.ends_with("downstream_cx_total") && **value > 0);
    assert_eq!(busy.count(), 4, "{connections:?}");
    // Four fetchers would have asked four times as often.
    let (before, span) = (endpoint.requests_total(), 6);
    tokio::time::sleep(SECONDS(span)).await;
    let asked = endpoint.requests_total() - before;
    assert!(
        (20..=20 * 4).contains(&asked),
        "{asked} requests in {span} s for 20 endpoints asked every 2 s"
    );
    assert_alive(&envoy).await;
}

#[tokio::test]
async fn cluster_that_is_not_there_is_told_and_harms_nobody() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let endpoint = json!({ "cluster": "nowhere", "path": "/own.json", "refresh": "1s" });
    let changes = json!({
        "bundle": { "endpoint": endpoint }, "authorities": { "workload_api": { "cluster": "nobody" } },
    });
    let document = with(world.document(everyone()), changes);
    let other = BundleEndpoint::start(None);
    let envoy = serve(&world, &document, &upstream, plain(&other), 1).await;
    let partner = world.partner_identity("/ns/billing/x");
    let mut asking = Asking::start(&envoy, "web", &partner).await;
    envoy
        .wait_log("of cluster `nowhere`: the proxy answered with status")
        .await;
    envoy.wait_log("the Workload API of cluster `nobody`").await;
    assert_eq!(asking.reason().await, "rule.allowed");
    assert_alive(&envoy).await;
}

#[tokio::test]
async fn revoking_by_an_endpoint_needs_no_new_document_and_a_silent_endpoint_is_missed() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let mut endpoint = BundleEndpoint::start(None);
    let publish = |endpoint: &BundleEndpoint, sequence: u64, entries: Value| {
        let list = json!({ "sequence": sequence, "revoked": entries });
        endpoint.serve("/revoked.json", Served::Document(list.to_string().into_bytes()));
    };
    let source = json!({ "cluster": "endpoint", "path": "/revoked.json", "refresh": "1s" });
    let document = with(
        world.document(everyone()),
        json!({ "revocations": { "endpoint": source, "max_staleness": "5s" } }),
    );
    let envoy = serve(&world, &document, &upstream, plain(&endpoint), 2).await;
    let serial = vec![0x11, 0x22, 0x33];
    let leaf = |path: &str| Leaf {
        serial: Some(serial.clone()),
        ..Leaf::svid(&format!("spiffe://prod.example{path}"), world.now)
    };
    let (api, by_serial) = (world.own_identity("/api"), world.own.issue(leaf("/serial")));
    let partner = world.partner_identity("/ns/billing/x");
    let mut all = [
        Asking::start(&envoy, "web", &api).await,
        Asking::start(&envoy, "web", &by_serial).await,
        Asking::start(&envoy, "web", &partner).await,
    ];
    for asking in &mut all {
        asking.keeps("revocations.missing", Duration::from_millis(300)).await;
    }
    publish(&endpoint, 1, json!([]));
    for asking in &mut all {
        asking.wait("rule.allowed").await;
    }
    let key = svidgate_policy::digest::sha256(&partner.key.public_key_info());
    let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let until = (world.now + SignedDuration::from_hours(1)).to_string();
    publish(
        &endpoint,
        2,
        json!([
            { "sha256": api.leaf_sha256(), "reason": "key stolen", "until": until },
            { "serial": "11:22:33", "issuer": "CN=prod.example authority" },
            { "public_key_sha256": key },
        ]),
    );
    for asking in &mut all {
        asking.wait("svid.revoked").await;
    }
    assert!(envoy.log().contains("revoked: key stolen"));
    publish(&endpoint, 3, json!([]));
    for asking in &mut all {
        asking.wait("rule.allowed").await;
    }
    endpoint.stop();
    for asking in &mut all {
        asking.wait("revocations.stale").await;
    }
    assert_alive(&envoy).await;
}

/// What a cluster whose names are not resolved yet looks like. Two such calls in one turn can make a worker spin for
/// ever.
#[tokio::test]
async fn clusters_without_an_endpoint_do_not_stall_the_proxy() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let federation: Vec<Value> = (0..3)
        .map(|number| {
            let endpoint = json!({ "cluster": "empty", "path": format!("/{number}.json"), "refresh": "1s" });
            json!({ "trust_domain": format!("td{number}.example"), "bundle": { "endpoint": endpoint } })
        })
        .collect();
    let document = with(
        world.document(everyone()),
        json!({ "authorities": { "workload_api": { "cluster": "empty" } }, "federation": federation }),
    );
    let envoy = Envoy::start(Scenario {
        concurrency: 2,
        amend: Some(|bootstrap| {
            let clusters = bootstrap["static_resources"]["clusters"].as_array_mut().unwrap();
            let mut empty = clusters[0].clone();
            empty["name"] = json!("empty");
            empty["load_assignment"] = json!({ "cluster_name": "empty", "endpoints": [] });
            empty["typed_extension_protocol_options"] = json!({
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": { "http2_protocol_options": {} },
                },
            });
            clusters.push(empty);
        }),
        ..Scenario::of(
            http_listener(&world, "web", Filters::Both, &document),
            [Cluster::new("app", upstream.addr())],
        )
    })
    .await;
    let api = world.own_identity("/api");
    for _ in 0..10 {
        let mut http = crate::stage::http1(&envoy, "web", Some(&api)).await;
        assert_eq!(http.get("/").await.status(), Some(200));
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    envoy
        .wait_stat("wasmcustom.svidgate.source_events_total.failed", 4)
        .await;
    assert_alive(&envoy).await;
}
