//! A second lock behind svidgate: Envoy's own RBAC lets nobody through on whose request, or TCP connection, svidgate
//! did not decide, whatever took svidgate out of the way.

use serde_json::{Value, json};
use support::{
    client::{Client, Request},
    envoy::{ClientCertificate, Cluster, Dial, Envoy, FailurePolicy, Listener, Route, Scenario, Wasm},
    trapping_module_path,
    upstream::{HttpUpstream, TcpUpstream},
    world::{World, with},
};

use crate::stage::{API, API_PATH, Filters, allow_api, assert_alive, gated, has_tcp, http1, http2, tcp_listener};

/// RBAC that allows what svidgate has marked, before the router.
pub(crate) fn locking(bootstrap: &mut Value) {
    let lock = json!({
        "name": "envoy.filters.http.rbac",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            "rules": { "action": "ALLOW", "policies": { "passed": {
                "permissions": [{ "any": true }],
                "principals": [{ "filter_state": {
                    "key": "wasm.svidgate.passed", "string_match": { "safe_regex": { "regex": ".+" } },
                } }],
            } } },
        },
    });
    for listener in bootstrap["static_resources"]["listeners"].as_array_mut().unwrap() {
        let manager = listener["filter_chains"][0]["filters"]
            .as_array_mut()
            .unwrap()
            .last_mut();
        let filters = manager.unwrap()["typed_config"]["http_filters"].as_array_mut().unwrap();
        filters.insert(filters.len() - 1, lock.clone());
    }
}

/// `/off` is a route whose owner has taken svidgate off.
fn listener(world: &World, name: &str, filters: Filters, changes: Value) -> Listener {
    let off = Route {
        opted_out: true,
        ..Route::to("off", "/off", "app")
    };
    let rules = json!([{ "name": "read", "effect": "allow", "from": [API], "to": [{ "methods": ["GET"] }] }]);
    let document = with(with(world.document(rules), json!({ "mark_passed": true })), changes);
    let listener = Listener::http(name, [off, Route::to("app", "/", "app")])
        .tls(&world.server, ClientCertificate::AcceptUntrusted);
    gated(listener, filters, &document)
}

async fn start(listeners: Vec<Listener>, upstream: &HttpUpstream) -> Envoy {
    Envoy::start(Scenario {
        listeners,
        clusters: vec![Cluster::new("app", upstream.addr())],
        amend: Some(locking),
        ..Scenario::default()
    })
    .await
}

#[tokio::test]
async fn nobody_passes_the_lock_on_whose_request_svidgate_did_not_decide() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let listeners = vec![
        listener(&world, "both", Filters::Both, json!({})),
        listener(&world, "request", Filters::RequestOnly, json!({ "version": "" })),
        listener(&world, "unmarked", Filters::Both, json!({ "mark_passed": false })),
        listener(&world, "dry_run", Filters::Both, json!({ "mode": "dry_run" })),
    ];
    let envoy = start(listeners, &upstream).await;
    let identity = world.own_identity(API_PATH);
    for name in ["both", "request"] {
        for mut client in [
            http1(&envoy, name, Some(&identity)).await,
            http2(&envoy, name, Some(&identity)).await,
        ] {
            let before = upstream.requests().len();
            // What was allowed on this connection opens nothing that comes after it.
            for (path, expected) in [("/off", 403), ("/a", 200), ("/off", 403), ("/a", 200), ("/off", 403)] {
                assert_eq!(client.get(path).await.status(), Some(expected), "{name} {path}");
            }
            assert_eq!(
                client.send(Request::new("POST", "/a")).await.status(),
                Some(403),
                "{name}"
            );
            assert_eq!(upstream.requests().len() - before, 2, "{name}");
        }
    }
    let status = async |name: &str, request: Request| {
        let mut client = http1(&envoy, name, Some(&identity)).await;
        client.send(request).await.status()
    };
    assert_eq!(
        status("unmarked", Request::get("/a")).await,
        Some(403),
        "no mark, no way"
    );
    assert_eq!(
        status("dry_run", Request::new("POST", "/a")).await,
        Some(200),
        "it passed all the same"
    );
    assert_eq!(status("dry_run", Request::get("/off")).await, Some(403));
    assert_alive(&envoy).await;
}

/// `FAIL_OPEN` lets requests past a VM that has died.
#[tokio::test]
async fn vm_that_has_died_under_fail_open_opens_no_lock() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let document = with(
        world.document(json!([{ "name": "all", "effect": "allow", "from": [API] }])),
        json!({ "mark_passed": true }),
    );
    let open = Wasm {
        failure_policy: FailurePolicy::Open,
        ..Wasm::new(&trapping_module_path(), document.clone())
    };
    let placed = |name: &str| {
        let listener =
            Listener::http(name, [Route::to("app", "/", "app")]).tls(&world.server, ClientCertificate::AcceptUntrusted);
        gated(listener, Filters::RequestOnly, &document).request_filter(open.clone())
    };
    let envoy = start(vec![placed("locked")], &upstream).await;
    let identity = world.own_identity(API_PATH);
    let get = async |path: &str, trap: bool| {
        let mut client = http1(&envoy, "locked", Some(&identity)).await;
        let request = Request::get(path);
        let request = if trap {
            request.header("x-svidgate-trap", "1")
        } else {
            request
        };
        client.send(request).await.status()
    };
    assert_eq!(get("/a", false).await, Some(200));
    let _ = get("/a", true).await;
    for _ in 0..3 {
        assert_eq!(get("/a", false).await, Some(403));
    }
}

/// RBAC before `tcp_proxy` that allows what svidgate has recorded as allowed, or as let through in a dry run.
fn locking_tcp(bootstrap: &mut Value) {
    let lock = json!({
        "name": "envoy.filters.network.rbac",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC",
            "stat_prefix": "lock.",
            "rules": { "action": "ALLOW", "policies": { "decided": {
                "permissions": [{ "any": true }],
                "principals": [{ "filter_state": {
                    "key": "wasm.svidgate",
                    "string_match": { "safe_regex": { "regex": r#".*("decision":"allow"|"dry_run":true).*"# } },
                } }],
            } } },
        },
    });
    for listener in bootstrap["static_resources"]["listeners"].as_array_mut().unwrap() {
        let filters = listener["filter_chains"][0]["filters"].as_array_mut().unwrap();
        filters.insert(filters.len() - 1, lock.clone());
    }
}

/// It stands where the upstream is dialled with the first bytes: what a server says first no RBAC looks at.
#[tokio::test]
async fn nobody_passes_the_lock_on_whose_connection_svidgate_did_not_decide() {
    if !has_tcp() {
        return;
    }
    let (world, upstream) = (World::new(), TcpUpstream::greeting(b"ready"));
    let document = with(world.document(allow_api()), json!({ "listener": "tcp" }));
    let dial = Dial::OnDownstreamData;
    let gone = |name| Listener::tcp(name, "db", dial).tls(&world.server, ClientCertificate::AcceptUntrusted);
    let changed = |name, changes| tcp_listener(&world, name, dial, &with(document.clone(), changes));
    let listeners = vec![
        changed("decided", json!({})),
        changed("dry_run", json!({ "mode": "dry_run" })),
        changed("for_http", json!({ "listener": "http" })),
        changed("unrecorded", json!({ "access_log": "refusals" })),
        gone("gone"),
    ];
    let envoy = Envoy::start(Scenario {
        listeners,
        clusters: vec![Cluster::new("db", upstream.addr())],
        amend: Some(locking_tcp),
        ..Scenario::default()
    })
    .await;
    let (api, other) = (world.own_identity(API_PATH), world.own_identity("/ns/shop/sa/other"));
    for (listener, identity, passes) in [
        ("decided", &api, true),
        ("decided", &other, false),
        ("dry_run", &other, true),
        ("for_http", &api, false),
        ("for_http", &other, false),
        ("unrecorded", &api, false),
        ("gone", &api, false),
    ] {
        let (dialled, before) = (upstream.connections(), upstream.received().len());
        let mut connection = Client::new(Some(identity))
            .connect(envoy.listener_addr(listener))
            .await
            .unwrap();
        let _ = connection.write(b"ping").await;
        let _ = connection.finish().await;
        let answer = connection.read_until_close().await.unwrap();
        let expected: &[u8] = if passes { b"readyping" } else { b"" };
        assert_eq!(answer, expected, "{listener}");
        assert_eq!(
            upstream.received().len() - before,
            if passes { 4 } else { 0 },
            "{listener}"
        );
        assert_eq!(upstream.connections() - dialled, usize::from(passes), "{listener}");
    }
    assert_alive(&envoy).await;
}
