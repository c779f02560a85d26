//! Each door is judged, and then tried by a peer that no rule names: what is called guarded or shut lets it through nowhere, and
//! what is called open does.

use serde_json::{Value, json};
use support::{
    client::Client,
    envoy::{Delivery, Envoy, FailurePolicy, Kind, Listener, Scenario},
    world::{World, with},
};

use crate::{bare, document, gated, of_dump, verdict, wasm};

/// The last word on a configuration.
type Amend = fn(&mut Value);

/// What a peer gets whom no rule names; `None` where it is closed.
async fn stranger(world: &World, envoy: &Envoy) -> Option<u16> {
    let identity = world.own_identity("/nobody");
    let connection = Client::new(Some(&identity))
        .connect(envoy.listener_addr("web"))
        .await
        .ok()?;
    connection.http1().await.ok()?.get("/").await.status()
}

async fn assert_judged(world: &World, listener: Listener, expected: &str) {
    assert_amended(world, listener, None, expected).await;
}

async fn assert_amended(world: &World, listener: Listener, amend: Option<Amend>, expected: &str) {
    let envoy = Envoy::start(Scenario {
        amend,
        ..Scenario::of(listener, [])
    })
    .await;
    let (_, report) = of_dump(&envoy).await;
    assert_eq!(verdict(&report), expected, "{report:#}");
    let came = stranger(world, &envoy).await;
    if expected == "not_guarded" {
        assert_eq!(came, Some(200), "{report:#}");
    } else {
        assert_ne!(came, Some(200), "{report:#}");
    }
}

fn lock() -> Value {
    json!({ "name": "svidgate.lock", "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
        "rules": { "policies": { "svidgate-has-decided": { "permissions": [{ "any": true }],
            "principals": [{ "filter_state": { "key": "wasm.svidgate.passed", "string_match": { "safe_regex": { "regex": ".+" } } } }] } } } } })
}

fn http(listener: &mut Listener) -> &mut support::envoy::Http {
    let Kind::Http(http) = &mut listener.kind else {
        panic!("it is for HTTP")
    };
    http
}

#[tokio::test]
async fn both_filters_are_a_gate_and_so_is_the_http_filter_alone() {
    let world = World::new();
    assert_judged(&world, gated(&world), "guarded").await;
    assert_judged(&world, bare(&world).request_filter(wasm(&world)), "guarded").await;
}

#[tokio::test]
async fn nothing_of_ours_is_open() {
    let world = World::new();
    assert_judged(&world, bare(&world), "not_guarded").await;
}

/// Who has any rule may send any request. The stranger here has one, for another method.
#[tokio::test]
async fn network_filter_alone_is_open_to_whoever_has_any_rule() {
    let world = World::new();
    let rules = json!([{ "name": "x", "effect": "allow", "from": ["spiffe://prod.example/nobody"], "to": [{ "paths": ["/other"] }] }]);
    let filter = support::envoy::Wasm::new(&support::module_path(), world.document(rules));
    assert_judged(&world, bare(&world).connection_filter(filter), "not_guarded").await;
}

#[tokio::test]
async fn route_that_opts_out_is_open_and_shut_by_the_lock() {
    let world = World::new();
    let opted_out = || {
        let mut listener = bare(&world).request_filter(wasm(&world));
        http(&mut listener).routes[0].opted_out = true;
        listener
    };
    assert_judged(&world, opted_out(), "not_guarded").await;
    let mut locked = opted_out();
    http(&mut locked).filters_after.push(lock());
    assert_judged(&world, locked, "shut").await;
}

#[tokio::test]
async fn filter_that_is_off_unless_a_route_says_otherwise_is_what_its_route_makes_of_it() {
    fn filters(bootstrap: &mut Value) -> &mut Value {
        &mut bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    }
    fn off(bootstrap: &mut Value) {
        filters(bootstrap)["http_filters"][0]["disabled"] = json!(true);
    }
    fn on(bootstrap: &mut Value) {
        off(bootstrap);
        filters(bootstrap)["route_config"]["virtual_hosts"][0]["routes"][0]["typed_per_filter_config"] = json!({ "svidgate.request": { "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {} } });
    }
    fn on_by_another_name(bootstrap: &mut Value) {
        off(bootstrap);
        filters(bootstrap)["route_config"]["virtual_hosts"][0]["routes"][0]["typed_per_filter_config"] =
            json!({ "svidgate": { "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {} } });
    }
    /// The nearest counts: off for the host, on for the route.
    fn on_within(bootstrap: &mut Value) {
        on(bootstrap);
        filters(bootstrap)["route_config"]["virtual_hosts"][0]["typed_per_filter_config"] = json!({ "svidgate.request": { "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": true } });
    }
    let world = World::new();
    let listener = || bare(&world).request_filter(wasm(&world));
    let amended: [(Amend, &str); 4] = [
        (off, "not_guarded"),
        (on, "guarded"),
        (on_by_another_name, "not_guarded"),
        (on_within, "guarded"),
    ];
    for (amend, expected) in amended {
        assert_amended(&world, listener(), Some(amend), expected).await;
    }
}

#[tokio::test]
async fn rules_of_a_lock_that_a_route_takes_away_are_gone() {
    fn emptied(bootstrap: &mut Value) {
        let manager =
            &mut bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
        manager["route_config"]["virtual_hosts"][0]["routes"][0]["typed_per_filter_config"]["svidgate.lock"] =
            json!({ "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute" });
    }
    let world = World::new();
    let mut listener = bare(&world).request_filter(wasm(&world));
    http(&mut listener).routes[0].opted_out = true;
    http(&mut listener).filters_after.push(lock());
    assert_amended(&world, listener, Some(emptied), "not_guarded").await;
}

#[tokio::test]
async fn dry_run_is_open() {
    let world = World::new();
    let dry = support::envoy::Wasm::new(
        &support::module_path(),
        with(document(&world), json!({ "mode": "dry_run" })),
    );
    assert_judged(
        &world,
        bare(&world).connection_filter(dry.clone()).request_filter(dry),
        "not_guarded",
    )
    .await;
}

/// `rules` that are there and empty deny all; none let all pass.
#[tokio::test]
async fn rbac_without_a_policy_shuts_and_without_rules_does_not() {
    let world = World::new();
    for (rules, expected) in [(json!({ "rules": {} }), "shut"), (json!({}), "not_guarded")] {
        let mut listener = bare(&world);
        let rbac = with(
            json!({ "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC" }),
            rules,
        );
        http(&mut listener)
            .filters_after
            .push(json!({ "name": "rbac", "typed_config": rbac }));
        assert_judged(&world, listener, expected).await;
    }
}

#[tokio::test]
async fn default_that_discovery_has_not_replaced_is_open() {
    fn default(bootstrap: &mut Value) {
        let manager =
            &mut bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
        let discovery = &mut manager["http_filters"][0]["config_discovery"];
        discovery["config_source"] =
            json!({ "path_config_source": { "path": "/etc/hostname" }, "initial_fetch_timeout": "0.1s" });
        discovery["default_config"] =
            json!({ "@type": "type.googleapis.com/envoy.extensions.filters.http.set_metadata.v3.Config" });
        discovery["apply_default_config_without_warming"] = json!(true);
        discovery["type_urls"] = json!([
            "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "type.googleapis.com/envoy.extensions.filters.http.set_metadata.v3.Config"
        ]);
    }
    let world = World::new();
    let mut filter = wasm(&world);
    filter.delivery = Delivery::Ecds;
    assert_amended(
        &world,
        bare(&world).request_filter(filter),
        Some(default),
        "not_guarded",
    )
    .await;
}

#[tokio::test]
async fn upgrade_with_filters_of_its_own_is_open() {
    fn upgrade(bootstrap: &mut Value) {
        let manager =
            &mut bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
        let router = json!({ "name": "envoy.filters.http.router", "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" } });
        manager["upgrade_configs"] = json!([{ "upgrade_type": "websocket", "filters": [router] }]);
    }
    let world = World::new();
    let listener = bare(&world).request_filter(wasm(&world));
    let envoy = Envoy::start(Scenario {
        amend: Some(upgrade),
        ..Scenario::of(listener, [])
    })
    .await;
    let (code, report) = of_dump(&envoy).await;
    assert_eq!((code, verdict(&report)), (1, "not_guarded"), "{report:#}");
    let identity = world.own_identity("/nobody");
    let mut connection = Client::new(Some(&identity))
        .connect(envoy.listener_addr("web"))
        .await
        .unwrap();
    connection
        .write(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        .await
        .unwrap();
    let head = connection.read(12).await.unwrap();
    assert_eq!(head, b"HTTP/1.1 200");
}

#[tokio::test]
async fn filter_that_fails_open_is_called_open() {
    let world = World::new();
    let mut filter = wasm(&world);
    filter.failure_policy = FailurePolicy::Open;
    let envoy = Envoy::start(Scenario::of(bare(&world).request_filter(filter), [])).await;
    let (code, report) = of_dump(&envoy).await;
    assert_eq!((code, verdict(&report)), (1, "not_guarded"), "{report:#}");
}
