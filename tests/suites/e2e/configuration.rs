//! Documents: taken whole or not at all, at the start and in updates.

use serde_json::{Value, json};
use support::{
    client::{Client, Outcome, PATIENCE},
    envoy::{Cluster, Configuration, Delivery, Envoy, Listener, Scenario, Wasm},
    upstream::HttpUpstream,
    world::{World, with},
};

use crate::stage::{
    API, API_PATH, Filters, allow_api, assert_alive, http_listener, http1, reason, record, serve, wasm,
};

/// A document with five mistakes of five kinds, and what is said of them.
fn five_mistakes(world: &World) -> (Value, [&'static str; 5]) {
    let mut document = world.document(json!([
        { "name": "a", "effect": "allow", "from": ["spiffe://prod/ns/shop"] },
        { "name": "b", "effect": "allow", "from": [API], "to": [{ "ports": [0] }] },
        { "name": "a", "effect": "deny", "from": [API] },
    ]));
    document["mode"] = json!("enforced");
    document["federation"][0]["expires"] = json!("tomorrow");
    let said = [
        "mode: `enforced` is not one of `enforce`, `dry_run`",
        "federation[0].expires: expected a time like `2027-01-31T00:00:00Z`",
        "rules[1].to[0].ports[0]: expected a port from 1 to 65535",
        "rules[0].from[0]: unknown trust domain `prod` (known: `prod.example`, `partner.example`)",
        "rules[2].name: rules[0] has this name already",
    ];
    (document, said)
}

async fn log_of_a_failed_start(scenario: Scenario) -> String {
    match Envoy::try_start(scenario).await {
        Err(log) => log,
        Ok(envoy) => panic!("Envoy started:\n{}", envoy.log()),
    }
}

fn scenario(listener: Listener) -> Scenario {
    Scenario::of(
        listener,
        [
            Cluster::new("app", ([127, 0, 0, 1], 1).into()),
            Cluster::new("db", ([127, 0, 0, 1], 1).into()),
        ],
    )
}

/// The proxy writes the `vm_id`, which in most configurations is our name, before each line.
#[tokio::test]
async fn line_names_us_once() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let document = world.document(allow_api());
    let envoy = serve([http_listener(&world, "web", Filters::Both, &document)], &upstream).await;
    let mut stranger = http1(&envoy, "web", Some(&world.own_identity("/ns/shop/sa/nobody"))).await;
    stranger.get("/").await;
    envoy.wait_decision(&json!({ "reason": "rule.none_matched" })).await;
    let log = envoy.log();
    assert!(log.contains("svidgate: svidgate 0.1.0 configured"), "{log}");
    assert!(!log.contains("svidgate: svidgate: "), "{log}");
}

#[tokio::test]
async fn envoy_does_not_start_with_a_bad_document_and_says_every_mistake_with_its_place() {
    let world = World::new();
    let (document, said) = five_mistakes(&world);
    let log = log_of_a_failed_start(scenario(http_listener(&world, "web", Filters::Both, &document))).await;
    assert!(log.contains("svidgate: configuration refused, 5 mistakes"), "{log}");
    for mistake in said {
        assert!(
            log.contains(&format!("svidgate: configuration: {mistake}")),
            "the log does not say `{mistake}`"
        );
    }
}

fn with_another_root_id(bootstrap: &mut Value) {
    let filters = &mut bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"];
    for filter in filters.as_array_mut().unwrap() {
        if filter["name"] == "svidgate.connection" {
            filter["typed_config"]["config"]["root_id"] = json!("svidgate");
        }
    }
}

#[tokio::test]
async fn envoy_does_not_start_with_a_plugin_that_is_none_of_ours_or_has_no_document() {
    let world = World::new();
    let good = world.document(allow_api());
    let listener = http_listener(&world, "web", Filters::Both, &good);
    let unknown = Scenario {
        amend: Some(with_another_root_id),
        ..scenario(listener)
    };
    let log = log_of_a_failed_start(unknown).await;
    assert!(
        log.contains(
            "root_id is none of `svidgate.connection` (network filter; with `listener: shared` followed by `.http`"
        ),
        "{log}"
    );

    let absent = Wasm {
        configuration: Configuration::Absent,
        ..wasm(&good)
    };
    let log = log_of_a_failed_start(scenario(
        http_listener(&world, "web", Filters::Both, &good).connection_filter(absent),
    ))
    .await;
    assert!(log.contains("svidgate: no configuration document"), "{log}");
}

#[tokio::test]
async fn http_filter_does_not_take_a_document_for_a_tcp_listener() {
    let world = World::new();
    let tcp = with(world.document(allow_api()), json!({ "listener": "tcp" }));
    let log = log_of_a_failed_start(scenario(http_listener(&world, "web", Filters::RequestOnly, &tcp))).await;
    assert!(
        log.contains("svidgate: listener: a TCP listener has no requests"),
        "{log}"
    );
}

/// How many times each worker has compiled a document: log lines by thread, without the main thread, which tries every
/// configuration first.
fn compilations(envoy: &Envoy) -> Vec<usize> {
    let log = envoy.log();
    let mut threads = std::collections::BTreeMap::new();
    for line in log.lines().filter(|line| line.contains("configured: version=")) {
        let thread = line.split(['[', ']']).nth(3).unwrap_or_default().to_owned();
        *threads.entry(thread).or_insert(0) += 1;
    }
    threads.remove(&envoy.pid().to_string());
    threads.into_values().collect()
}

#[tokio::test]
async fn both_filters_of_a_worker_compile_the_same_document_once() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let document = world.document(allow_api());
    let scenario = Scenario {
        concurrency: 2,
        ..Scenario::of(
            http_listener(&world, "web", Filters::Both, &document),
            [Cluster::new("app", upstream.addr())],
        )
    };
    let envoy = Envoy::start(scenario).await;
    assert_eq!(
        http1(&envoy, "web", Some(&world.own_identity(API_PATH)))
            .await
            .get("/")
            .await
            .status(),
        Some(200)
    );
    envoy
        .wait_stat("wasmcustom.svidgate.decisions_total.request.allow.rule.allowed", 1)
        .await;
    assert_eq!(compilations(&envoy), [1, 1]);
    // What an operator sees of how long that took.
    let log = envoy.log();
    let took = log
        .split_once(" compiled_ms=")
        .and_then(|(_, rest)| rest.split_whitespace().next());
    assert!(took.is_some_and(|took| took.parse::<u64>().is_ok()), "{took:?}");
}

#[tokio::test]
async fn struct_and_string_value_mean_the_same() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let document = with(
        world.document(json!([{ "name": "ports", "effect": "allow", "from": [API],
                               "to": [{ "ports": (1024..65535).collect::<Vec<u16>>(), "paths": ["/open/**"] }] }])),
        json!({ "version": "quoted \" and \u{e9}", "forward_id": true }),
    );
    let listener = |name: &str, configuration: Configuration| {
        let plugin = Wasm {
            configuration,
            ..wasm(&document)
        };
        let listener = http_listener(&world, name, Filters::Both, &document);
        listener.connection_filter(plugin.clone()).request_filter(plugin)
    };
    let listeners = [
        listener("string", Configuration::Json(document.clone())),
        listener("struct", Configuration::Struct(document.clone())),
    ];
    let envoy = serve(listeners, &upstream).await;
    for name in ["string", "struct"] {
        let mut http = http1(&envoy, name, Some(&world.own_identity(API_PATH))).await;
        let statuses = [http.get("/open/x").await.status(), http.get("/closed").await.status()];
        assert_eq!(statuses, [Some(200), Some(403)], "{name}");
        let reasons: Vec<String> = envoy.wait_request_log(name, 2).await.iter().map(reason).collect();
        assert_eq!(reasons, ["rule.allowed", "rule.none_matched"], "{name}");
    }
    assert_eq!(upstream.requests()[1].header("x-svidgate-id"), [API.as_bytes()]);
}

/// A document that lets our API have one path.
fn only(world: &World, path: &str) -> Value {
    world.document(json!([{ "name": "only", "effect": "allow", "from": [API], "to": [{ "paths": [path] }] }]))
}

#[tokio::test]
async fn update_with_five_mistakes_is_refused_and_a_good_one_takes_effect_at_once() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let discovered = Wasm {
        delivery: Delivery::Ecds,
        ..wasm(&only(&world, "/old"))
    };
    let listener = http_listener(&world, "web", Filters::Both, &json!({}))
        .connection_filter(discovered.clone())
        .request_filter(discovered);
    let envoy = serve([listener], &upstream).await;
    let replace = |document: Value| {
        for filter in ["svidgate.connection", "svidgate.request"] {
            envoy.replace_ecds(filter, Configuration::Json(document.clone()));
        }
    };
    let client = Client::new(Some(&world.own_identity(API_PATH)));
    let fresh = async || {
        client
            .connect(envoy.listener_addr("web"))
            .await
            .unwrap()
            .http1()
            .await
            .unwrap()
    };
    let mut open = fresh().await;
    assert_eq!(open.get("/old").await.status(), Some(200));

    let (bad, said) = five_mistakes(&world);
    replace(bad);
    for mistake in said {
        envoy.wait_log(&format!("svidgate: configuration: {mistake}")).await;
    }
    envoy
        .wait_log("svidgate: configuration refused, 5 mistakes; what ran before goes on")
        .await;
    for place in ["tcp_filter", "http_filter"] {
        let stats = envoy.stats("extension_config_discovery").await;
        let failed = stats
            .iter()
            .any(|(name, count)| name.contains(place) && name.contains("config_fail") && *count > 0);
        assert!(
            failed || !stats.keys().any(|name| name.contains(place)),
            "{place}: {stats:?}"
        );
    }
    for http in [&mut open, &mut fresh().await] {
        assert_eq!(
            http.get("/old").await.status(),
            Some(200),
            "the running document goes on"
        );
        assert_eq!(http.get("/new").await.status(), Some(403));
    }

    // An open connection keeps its network filter; its next request gets the new HTTP filter.
    replace(only(&world, "/new"));
    let deadline = std::time::Instant::now() + PATIENCE;
    while open.get("/new").await.status() != Some(200) {
        assert!(std::time::Instant::now() < deadline, "the new document has no effect");
    }
    assert_eq!(open.get("/old").await.status(), Some(403));
    let mut http = fresh().await;
    assert_eq!(
        (http.get("/new").await.status(), http.get("/old").await.status()),
        (Some(200), Some(403))
    );

    // A document that takes all rules away: the next request of an open connection is refused, and so is a new
    // connection.
    replace(world.document(json!([])));
    let refused = |outcome: &Outcome| outcome.status() == Some(403);
    while !refused(&open.get("/new").await) {
        assert!(std::time::Instant::now() < deadline, "the empty document has no effect");
    }
    while fresh().await.get("/new").await.status().is_some() {
        assert!(
            std::time::Instant::now() < deadline,
            "the empty document has no effect on connections"
        );
    }
    while !envoy
        .connection_log("web")
        .iter()
        .any(|entry| record(entry)["reason"] == "rule.none_matched")
    {
        assert!(
            std::time::Instant::now() < deadline,
            "no connection was refused for want of a rule"
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_alive(&envoy).await;
}
