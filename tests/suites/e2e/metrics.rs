//! The metrics as Prometheus reads them from an Envoy with the shipped tags: names, types, labels, and how many series
//! there can be.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use operate::{Asked, scrape::Scrape};
use serde_json::{Value, json};
use support::{
    ca::bundle_json,
    client::PATIENCE,
    envoy::{Cluster, Configuration, Delivery, Envoy, Scenario, Wasm, Xfcc},
    upstream::HttpUpstream,
    world::{World, with},
};

use crate::stage::{API, API_PATH, Filters, http_listener, http1, wasm};

/// A document of which every metric there is has something to say. The list of revocations comes from the upstream,
/// whose answer is none.
fn telling(world: &World, version: &str) -> Value {
    let ends = |hours: i64| (world.now + jiff::SignedDuration::from_hours(hours)).to_string();
    let document = world.document(json!([
        { "name": "open", "effect": "allow", "from": [API, "spiffe://prod.example/peer/*"], "to": [{ "paths": ["/open"] }] },
        { "name": "for-now", "effect": "allow", "from": [API], "to": [{ "paths": ["/now"] }], "expires": ends(48) },
    ]));
    with(
        document,
        json!({
            "version": version,
            "federation": [{
                "trust_domain": "partner.example",
                "expires": ends(12),
                "bundle": {
                    "inline": bundle_json(&[&world.partner]),
                    "endpoint": { "cluster": "app", "path": "/bundle.json", "refresh": "1s" },
                },
            }],
        }),
    )
}

async fn start(world: &World, upstream: &HttpUpstream, document: &Value, delivery: Delivery) -> Envoy {
    let plugin = Wasm {
        delivery,
        ..wasm(document)
    };
    let listener = http_listener(world, "web", Filters::Both, document)
        .connection_filter(plugin.clone())
        .request_filter(plugin);
    Envoy::start(Scenario {
        amend: Some(operate::with_tags),
        ..Scenario::of(listener, [Cluster::new("app", upstream.addr())])
    })
    .await
}

async fn wait(envoy: &Envoy, what: &str, is_so: impl Fn(&Scrape) -> bool) -> Scrape {
    let deadline = Instant::now() + PATIENCE + Duration::from_secs(5);
    loop {
        let scrape = Scrape::of_svidgate(envoy).await;
        if is_so(&scrape) {
            return scrape;
        }
        assert!(Instant::now() < deadline, "{what}: {:#?}", scrape.series());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The table of the operator's guide: family, type, labels.
fn documented() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let guide = operate::text("README.md");
    let (_, table) = guide
        .split_once("| family | type | labels |")
        .expect("the guide has the table");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let bare = |text: &str| text.trim_matches('`').to_owned();
        let labels = cells[3]
            .split(',')
            .map(|label| bare(label.trim()))
            .filter(|label| label != "-");
        (bare(cells[1]), (cells[2].to_owned(), labels.collect()))
    })
    .collect()
}

/// What the rules ask of Envoy itself, and how Prometheus knows whether it answers. That Envoy has them, `bad_starts`
/// shows.
pub(crate) const OF_THE_PROXY: [(&str, &[&str]); 7] = [
    ("envoy_extension_config_discovery_http_filter_config_fail", &["filter"]),
    (
        "envoy_extension_config_discovery_http_filter_update_success",
        &["filter"],
    ),
    (
        "envoy_extension_config_discovery_network_filter_config_fail",
        &["filter"],
    ),
    (
        "envoy_extension_config_discovery_network_filter_update_success",
        &["filter"],
    ),
    ("envoy_listener_manager_lds_update_rejected", &[]),
    ("envoy_listener_manager_lds_update_success", &[]),
    ("up", &["job"]),
];

/// Every metric and every label that the shipped rules and the dashboard ask for is one that a scrape has.
fn assert_queries_can_be_answered(families: &BTreeMap<String, (String, BTreeSet<String>)>) {
    let of_prometheus = ["instance", "le"].map(str::to_owned);
    let queries = [operate::rule_queries(), operate::dashboard_queries("5m")].concat();
    assert!(queries.len() > 25, "{}", queries.len());
    for query in &queries {
        let asked = Asked::by(query);
        assert!(!asked.metrics.is_empty(), "{query:?}");
        let mut labels: BTreeSet<String> = of_prometheus.clone().into();
        for metric in &asked.metrics {
            if let Some((_, has)) = OF_THE_PROXY.iter().find(|(name, _)| name == metric) {
                labels.extend(has.iter().map(|label| (*label).to_owned()));
                continue;
            }
            let family = families.iter().find(|(family, (kind, _))| match kind.as_str() {
                "histogram" => ["_bucket", "_count", "_sum"]
                    .iter()
                    .any(|part| *metric == format!("{family}{part}")),
                _ => metric == *family,
            });
            let (_, (_, has)) = family.unwrap_or_else(|| panic!("no scrape has `{metric}`: {query:?}"));
            labels.extend(has.iter().cloned());
        }
        assert!(asked.labels.is_subset(&labels), "{query:?}: {:?}", asked.labels);
    }
}

/// What promtool runs: each alert has a moment at which it fires, and one at which it does not.
#[test]
fn every_alert_is_tested_to_fire_and_to_be_silent() {
    let tested = operate::read("prometheus-rules.test.yaml");
    let tests = tested["tests"].as_array().expect("tests");
    let moments: Vec<&Value> = tests
        .iter()
        .flat_map(|test| test["alert_rule_test"].as_array().expect("moments"))
        .collect();
    let alerts: Vec<_> = operate::rule_queries();
    for alert in alerts.iter().filter(|query| !query.is_recorded) {
        let fires: BTreeSet<bool> = moments
            .iter()
            .filter(|moment| moment["alertname"] == alert.name.as_str())
            .map(|moment| moment["exp_alerts"].as_array().is_some_and(|alerts| !alerts.is_empty()))
            .collect();
        assert_eq!(fires, [false, true].into(), "{}", alert.name);
    }
}

const DECISIONS: &str = "svidgate_decisions_total";

fn decisions(scrape: &Scrape, stage: &str, decision: &str, reason: &str) -> Option<f64> {
    let labels = [("stage", stage), ("decision", decision), ("reason", reason)];
    scrape.value(DECISIONS, &labels)
}

#[tokio::test]
async fn scrape_has_the_documented_families_with_their_types_labels_and_values() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let revocations = json!({ "endpoint": { "cluster": "app", "path": "/revoked.json", "refresh": "1s" } });
    let document = telling(&world, "2026-11-22.1");
    // Nobody would be accepted without the list, so it is another listener's.
    let waiting = with(
        document.clone(),
        json!({ "version": "waiting", "revocations": revocations }),
    );
    let mut rules = document["rules"].clone();
    let brought = json!({ "name": "brought", "effect": "allow", "from": [API], "via": ["edge"] });
    rules.as_array_mut().unwrap().push(brought);
    let ends = (world.now + jiff::SignedDuration::from_hours(24)).to_string();
    let hops = json!([{ "name": "edge", "peers": ["spiffe://prod.example/edge"], "callers": [API], "assertion": "xfcc",
                        "expires": ends }]);
    let hop = with(document.clone(), json!({ "xfcc": "hop", "hops": hops, "rules": rules }));
    let envoy = Envoy::start(Scenario {
        listeners: vec![
            http_listener(&world, "web", Filters::Both, &document),
            http_listener(&world, "waiting", Filters::RequestOnly, &waiting),
            http_listener(&world, "behind", Filters::RequestOnly, &hop).xfcc(Xfcc::ForwardOnly),
        ],
        clusters: vec![Cluster::new("app", upstream.addr())],
        amend: Some(operate::with_tags),
        ..Scenario::default()
    })
    .await;
    let mut http = http1(&envoy, "web", Some(&world.own_identity(API_PATH))).await;
    for (path, status) in [("/open", 200), ("/open", 200), ("/closed", 403)] {
        assert_eq!(http.get(path).await.status(), Some(status));
    }
    assert_eq!(http1(&envoy, "web", None).await.get("/").await.status(), None);
    let edge = world.own_identity("/edge");
    assert_eq!(
        http1(&envoy, "behind", Some(&edge)).await.get("/").await.status(),
        Some(403)
    );

    let documented = documented();
    // Envoy hands its histograms over every five seconds.
    let scrape = wait(&envoy, "not all is told", |scrape| {
        scrape.families().len() == documented.len()
            && decisions(scrape, "request", "deny", "rule.none_matched").is_some()
            && scrape.value("svidgate_verification_microseconds", &[]) == Some(2.0)
    })
    .await;
    assert_eq!(scrape.families(), documented);
    assert_queries_can_be_answered(&documented);
    let counted = [
        ("connection", "allow", "rule.allowed", 1.0),
        ("connection", "deny", "connection.no_certificate", 1.0),
        ("request", "allow", "rule.allowed", 2.0),
        ("request", "deny", "rule.none_matched", 1.0),
    ];
    for (stage, decision, reason, count) in counted {
        assert_eq!(decisions(&scrape, stage, decision, reason), Some(count), "{reason}");
    }
    let brought = [("decision", "deny"), ("hop", "edge")];
    assert_eq!(scrape.value("svidgate_brought_total", &brought), Some(1.0));
    assert!(scrape.value("svidgate_source_events_total", &[("event", "unreadable")]) >= Some(1.0));
    let near = |value: Option<f64>, wanted: f64| value.is_some_and(|value| (value - wanted).abs() < 60.0);
    let partner = [("trust_domain", "partner.example")];
    let relationship = scrape.value("svidgate_trust_domain_relationship_expires_seconds", &partner);
    assert!(near(relationship, 12.0 * 3600.0), "{relationship:?}");
    assert!(near(
        scrape.value("svidgate_trust_domain_bundle_age_seconds", &partner),
        10.0
    ));
    assert!(scrape.value("svidgate_trust_domain_authority_expires_seconds", &partner) > Some(0.0));
    let rule = scrape.value("svidgate_rule_expires_seconds", &[("rule", "for-now")]);
    assert!(near(rule, 48.0 * 3600.0), "{rule:?}");
    let hop = scrape.value("svidgate_hop_expires_seconds", &[("hop", "edge")]);
    assert!(near(hop, 24.0 * 3600.0), "{hop:?}");
    assert!(near(scrape.value("svidgate_revocations_age_seconds", &[]), 10.0));
    for version in ["2026-11-22.1", "waiting"] {
        assert_eq!(scrape.value("svidgate_policy_info", &[("version", version)]), Some(1.0));
    }
    assert_eq!(scrape.value("svidgate_documents_refused_total", &[]), Some(0.0));
}

#[tokio::test]
async fn peers_do_not_add_series_however_many_they_are_and_whatever_they_claim() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let envoy = start(&world, &upstream, &telling(&world, "1"), Delivery::Static).await;
    let ask = async |number: u32| {
        let good = world.own_identity(&format!("/peer/{number}"));
        let mut http = http1(&envoy, "web", Some(&good)).await;
        assert_eq!(http.get("/open").await.status(), Some(200));
        assert_eq!(http.get(&format!("/closed/{number}")).await.status(), Some(403));
        // An id that nobody knows, and one that nobody vouches for.
        let unknown = world.own_identity(&format!("/nobody/{number}"));
        let forged = world.stranger.issue(support::ca::Leaf::svid(
            &format!("spiffe://stranger-{number}.example/x"),
            world.now,
        ));
        for peer in [unknown, forged] {
            assert_eq!(http1(&envoy, "web", Some(&peer)).await.get("/").await.status(), None);
        }
    };
    let counted =
        |scrape: &Scrape, count: f64| decisions(scrape, "request", "deny", "rule.none_matched") == Some(count);
    ask(0).await;
    let before = wait(&envoy, "one peer of each kind", |scrape| {
        let refused = |reason| decisions(scrape, "connection", "deny", reason) == Some(1.0);
        let gathered = scrape.series().iter().any(|series| series.contains("bundle_age"));
        counted(scrape, 1.0) && refused("rule.none_matched") && refused("federation.unknown_trust_domain") && gathered
    })
    .await;
    for number in 1..50 {
        ask(number).await;
    }
    let after = wait(&envoy, "fifty peers", |scrape| {
        counted(scrape, 50.0) && scrape.value("svidgate_verification_microseconds", &[]) == Some(150.0)
    })
    .await;
    assert_eq!(after.series(), before.series());
}

#[tokio::test]
async fn new_version_is_one_in_the_metric_when_it_is_at_work_and_the_old_one_zero() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let envoy = start(&world, &upstream, &telling(&world, "1.0"), Delivery::Ecds).await;
    let info = |scrape: &Scrape, version: &str| scrape.value("svidgate_policy_info", &[("version", version)]);
    let mut http = http1(&envoy, "web", Some(&world.own_identity(API_PATH))).await;
    assert_eq!(http.get("/open").await.status(), Some(200));
    wait(&envoy, "the first", |scrape| info(scrape, "1.0") == Some(1.0)).await;
    for filter in ["svidgate.connection", "svidgate.request"] {
        envoy.replace_ecds(filter, Configuration::Json(telling(&world, "2.0")));
    }
    // The connection that began under the first is still open.
    wait(&envoy, "the second", |scrape| {
        (info(scrape, "1.0"), info(scrape, "2.0")) == (Some(0.0), Some(1.0))
    })
    .await;
    assert_eq!(http.get("/open").await.status(), Some(200));
    let log = envoy.wait_request_log("web", 2).await;
    let versions: Vec<Value> = log
        .iter()
        .map(|entry| crate::stage::record(entry)["version"].clone())
        .collect();
    assert_eq!(versions, ["1.0", "2.0"]);
}

/// The first block of YAML in the operator's guide that mentions `what`.
fn yaml_of_the_guide(what: &str) -> Value {
    let guide = operate::text("README.md");
    let blocks = guide
        .split("```yaml")
        .skip(1)
        .filter_map(|text| Some(text.split_once("```")?.0));
    let block = blocks.into_iter().find(|block| block.contains(what));
    serde_saphyr::from_str(block.expect("the guide has it")).unwrap()
}

/// The tags, and the inclusion list of the guide.
fn with_listed_metrics(bootstrap: &mut Value) {
    operate::with_tags(bootstrap);
    let listed = yaml_of_the_guide("stats_matcher")["stats_config"]["stats_matcher"].clone();
    assert!(listed.is_object(), "{listed}");
    bootstrap["stats_config"]["stats_matcher"] = listed;
}

/// A list with what one might take for the prefix.
fn with_other_metrics(bootstrap: &mut Value) {
    with_listed_metrics(bootstrap);
    bootstrap["stats_config"]["stats_matcher"]["inclusion_list"]["patterns"] =
        json!([{ "prefix": "wasm." }, { "prefix": "svidgate" }]);
}

#[tokio::test]
async fn inclusion_list_of_the_guide_lets_our_metrics_through_and_a_near_miss_none() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let document = telling(&world, "1");
    let serve = async |amend: fn(&mut Value)| {
        let listener = http_listener(&world, "web", Filters::Both, &document);
        let envoy = Envoy::start(Scenario {
            amend: Some(amend),
            ..Scenario::of(listener, [Cluster::new("app", upstream.addr())])
        })
        .await;
        let mut http = http1(&envoy, "web", Some(&world.own_identity(API_PATH))).await;
        assert_eq!(http.get("/open").await.status(), Some(200));
        envoy
    };
    let listed = serve(with_listed_metrics).await;
    let is_told = |scrape: &Scrape| {
        decisions(scrape, "request", "allow", "rule.allowed") == Some(1.0) && scrape.families().len() > 5
    };
    wait(&listed, "it is not listed", is_told).await;
    assert_eq!(listed.stats("cluster.").await.len(), 0, "nothing else is listed");
    let unlisted = serve(with_other_metrics).await;
    // As long as it took the other to tell.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(Scrape::of_svidgate(&unlisted).await.series(), BTreeSet::new());
    assert!(!unlisted.stats("wasm.").await.is_empty(), "the list is at work");
}
