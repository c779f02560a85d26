//! An inner listener: its connections come from an outer listener of the same Envoy, which ends TLS and shares in
//! filter state whom it has met. Nothing but that tells who the peer is.

use std::time::Duration;

use serde_json::{Value, json};
use support::{
    ca::{Identity, Leaf},
    client::{Client, ClientOptions, Connection, Http, Request},
    envoy::{ClientCertificate, Cluster, Envoy, Kind, Listener, Route, Scenario, envoy_version},
    upstream::HttpUpstream,
    world::{World, with},
};

use crate::stage::{API, API_PATH, Filters, assert_alive, gated, http1, reason, record, refusal};

/// How often two callers ask in turn.
const ASKED: usize = 10;
const OTHER_PATH: &str = "/ns/shop/sa/other";

/// The factory whose objects keep the connections of different peers apart in an upstream pool.
const HASHABLE: &str = "envoy.hashable_string";

/// On an Envoy that has none, asserts that the documents are refused at the start with the reason, and gives true.
async fn is_refused(world: &World) -> bool {
    if envoy_version() >= (1, 38) {
        return false;
    }
    for document in [by_id(world, json!({})), by_certificate(world)] {
        let said = refusal(inner("web", Filters::RequestOnly, &document)).await;
        assert!(said.contains("svidgate: peer.filter_state: Envoy 1.3"), "{said}");
        assert!(said.contains("has no `envoy.hashable_string`"), "{said}");
    }
    true
}

/// An outer filter that shares what there is to know of the peer.
fn sharing(factory: &str) -> Value {
    let share = |key: &str, format: &str| {
        json!({
            "object_key": key,
            "factory_key": factory,
            "format_string": { "text_format_source": { "inline_string": format } },
            "shared_with_upstream": "ONCE",
        })
    };
    json!({
        "name": "envoy.filters.http.set_filter_state",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config",
            "on_request_headers": [
                share("outer.id", "%DOWNSTREAM_PEER_URI_SAN%"),
                share("outer.certificate", "%DOWNSTREAM_PEER_CERT%"),
                share("outer.sha256", "%DOWNSTREAM_PEER_FINGERPRINT_256%"),
            ],
        },
    })
}

/// A listener with TLS that leads to an inner one: by CONNECT where its name begins so, else request by request.
fn outer(world: &World, name: &str, inner: &str, factory: &str, client: ClientCertificate) -> Listener {
    let mut listener = Listener::http(name, [Route::to("inner", "/", inner)]).tls(&world.server, client);
    if let Kind::Http(http) = &mut listener.kind {
        http.filters_before.push(sharing(factory));
    }
    listener
}

/// One without TLS, behind the others.
fn inner(name: &str, filters: Filters, document: &Value) -> Listener {
    gated(Listener::http(name, [Route::to("app", "/", "app")]), filters, document)
}

/// What has no field in a scenario: listeners and clusters whose names begin with `inner` are within this Envoy.
pub(crate) fn within(bootstrap: &mut Value) {
    bootstrap["bootstrap_extensions"] = json!([{
        "name": "envoy.bootstrap.internal_listener",
        "typed_config": { "@type": "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener" },
    }]);
    for cluster in bootstrap["static_resources"]["clusters"].as_array_mut().unwrap() {
        let name = cluster["name"].as_str().unwrap().to_owned();
        if name.starts_with("inner") {
            let address = json!({ "envoy_internal_address": { "server_listener_name": name, "endpoint_id": "x" } });
            cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"] = address;
            cluster["transport_socket"] = json!({
                "name": "envoy.transport_sockets.internal_upstream",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport",
                    "transport_socket": {
                        "name": "envoy.transport_sockets.raw_buffer",
                        "typed_config": { "@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer" },
                    },
                },
            });
        }
    }
    for listener in bootstrap["static_resources"]["listeners"].as_array_mut().unwrap() {
        let name = listener["name"].as_str().unwrap().to_owned();
        if name.starts_with("inner") {
            listener.as_object_mut().unwrap().remove("address");
            listener["internal_listener"] = json!({});
        }
        if name.starts_with("connect") {
            let filters = listener["filter_chains"][0]["filters"].as_array_mut().unwrap();
            let manager = &mut filters.last_mut().unwrap()["typed_config"];
            let route = &mut manager["route_config"]["virtual_hosts"][0]["routes"][0];
            route["match"] = json!({ "connect_matcher": {} });
            route["route"]["upgrade_configs"] = json!([{ "upgrade_type": "CONNECT", "connect_config": {} }]);
            manager["upgrade_configs"] = json!([{ "upgrade_type": "CONNECT" }]);
            manager["http2_protocol_options"] = json!({ "allow_connect": true });
        }
    }
}

async fn start(listeners: Vec<Listener>, upstream: &HttpUpstream) -> Envoy {
    let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
    let inner = listeners.iter().filter(|listener| listener.name.starts_with("inner"));
    let clusters: Vec<Cluster> = inner.map(|listener| Cluster::new(&listener.name, nowhere)).collect();
    Envoy::start(Scenario {
        listeners,
        clusters: [vec![Cluster::new("app", upstream.addr())], clusters].concat(),
        amend: Some(within),
        ..Scenario::default()
    })
    .await
}

fn rules() -> Value {
    json!([{ "name": "api", "effect": "allow", "from": [API], "to": [{ "paths": ["/own/**"] }] },
           { "name": "other", "effect": "allow", "from": [format!("spiffe://prod.example{OTHER_PATH}")],
             "to": [{ "paths": ["/other/**"] }] }])
}

/// The document that takes the id alone.
fn by_id(world: &World, changes: Value) -> Value {
    let mut document = world.document(rules());
    for member in ["bundle", "federation"] {
        document.as_object_mut().unwrap().remove(member);
    }
    with(
        with(document, json!({ "peer": { "filter_state": { "id": "outer.id" } } })),
        changes,
    )
}

fn by_certificate(world: &World) -> Value {
    let peer = json!({ "filter_state": { "certificate": "outer.certificate", "sha256": "outer.sha256" } });
    with(world.document(rules()), json!({ "peer": peer }))
}

/// HTTP/1.1 in a tunnel of an HTTP/2 connection with mutual TLS. The second is the outer connection, which must be
/// kept.
async fn tunnelled(envoy: &Envoy, listener: &str, identity: &Identity) -> (Http, Http) {
    let client = Client::with(Some(identity), ClientOptions::http2());
    let connection = client.connect(envoy.listener_addr(listener)).await.unwrap();
    let mut outer = connection.http2().await.unwrap();
    let inner: Connection = outer.tunnel("inner.example:80").await.unwrap();
    (inner.http1().await.unwrap(), outer)
}

/// The reason for the answer to the last request of a listener that was let through the network filter.
async fn last_record(envoy: &Envoy, listener: &str, count: usize) -> Value {
    record(envoy.wait_request_log(listener, count).await.last().unwrap())
}

#[tokio::test]
async fn caller_behind_an_outer_listener_is_known_by_what_that_shares() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    if is_refused(&world).await {
        return;
    }
    let trusted = ClientCertificate::TrustedCa(world.own.pem() + &world.partner.pem());
    let listeners = [
        ("id", Filters::Both, by_id(&world, json!({}))),
        ("idrequest", Filters::RequestOnly, by_id(&world, json!({}))),
        ("certificate", Filters::Both, by_certificate(&world)),
        ("certificaterequest", Filters::RequestOnly, by_certificate(&world)),
        ("plain", Filters::RequestOnly, world.document(rules())),
    ];
    let listeners = listeners.into_iter().flat_map(|(name, filters, document)| {
        let (outside, inside) = (format!("connect.{name}"), format!("inner.{name}"));
        [
            outer(&world, &outside, &inside, HASHABLE, trusted.clone()),
            inner(&inside, filters, &document),
        ]
    });
    let envoy = start(listeners.collect(), &upstream).await;
    let (api, other) = (world.own_identity(API_PATH), world.own_identity(OTHER_PATH));
    for name in ["id", "idrequest", "certificate", "certificaterequest"] {
        let (outside, inside) = (format!("connect.{name}"), format!("inner.{name}"));
        let evidence = if name.starts_with("id") {
            json!("proxy")
        } else {
            Value::Null
        };
        // Side by side, so that whatever is shared with the wrong one would show.
        let mut callers = [
            (
                tunnelled(&envoy, &outside, &api).await,
                "/own/a",
                "/other/a",
                API.to_owned(),
            ),
            (
                tunnelled(&envoy, &outside, &other).await,
                "/other/a",
                "/own/a",
                format!("spiffe://prod.example{OTHER_PATH}"),
            ),
        ];
        let mut count = 0;
        for _ in 0..3 {
            for ((http, _), allowed, denied, id) in &mut callers {
                assert_eq!(http.get(allowed).await.status(), Some(200), "{name} {allowed}");
                count += 1;
                let record = last_record(&envoy, &inside, count).await;
                assert_eq!(
                    (&record["id"], &record["evidence"]),
                    (&json!(id), &evidence),
                    "{record}"
                );
                assert_eq!(http.get(denied).await.status(), Some(403), "{name} {denied}");
                count += 1;
                assert_eq!(last_record(&envoy, &inside, count).await["reason"], "rule.none_matched");
            }
        }
        // Nothing that a client sends says who it is.
        let ((http, _), allowed, denied, _) = &mut callers[0];
        let mut forged = Request::get(denied);
        for name in ["outer.id", "x-svidgate-id", "x-forwarded-client-cert", "filter_state"] {
            forged = forged.header(name, format!("spiffe://prod.example{OTHER_PATH}"));
        }
        assert_eq!(http.send(forged).await.status(), Some(403), "{name}");
        assert_eq!(http.get(allowed).await.status(), Some(200), "{name}");
    }
    // A document that does not say where the peer stands takes nothing.
    let (mut http, _outer) = tunnelled(&envoy, "connect.plain", &api).await;
    assert_eq!(http.get("/own/a").await.status(), Some(403));
    assert_eq!(
        last_record(&envoy, "inner.plain", 1).await["reason"],
        "connection.plaintext"
    );
    assert_alive(&envoy).await;
}

#[tokio::test]
async fn what_the_outer_listener_lets_in_is_not_believed_further_than_the_document_says() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    if is_refused(&world).await {
        return;
    }
    let anyone = ClientCertificate::AcceptUntrusted;
    let pool = ClientCertificate::TrustedCa(world.own.pem() + &world.partner.pem());
    let envoy = start(
        vec![
            outer(&world, "connect.id", "inner.id", HASHABLE, pool),
            inner(
                "inner.id",
                Filters::RequestOnly,
                &by_id(
                    &world,
                    json!({ "revoked": [{ "id": "spiffe://prod.example/ns/shop/sa/old" }] }),
                ),
            ),
            outer(&world, "connect.certificate", "inner.certificate", HASHABLE, anyone),
            inner("inner.certificate", Filters::RequestOnly, &by_certificate(&world)),
        ],
        &upstream,
    )
    .await;
    let leaf = |uri: &str| Leaf::svid(uri, world.now);
    let two = Leaf {
        uri_sans: [
            leaf(API).uri_sans,
            leaf("spiffe://prod.example/ns/shop/sa/other").uri_sans,
        ]
        .concat(),
        ..leaf(API)
    };
    let none = Leaf {
        uri_sans: Vec::new(),
        dns_sans: vec!["api.example".into()],
        ..leaf(API)
    };
    let cases = [
        // An outer pool of authorities lets each issue for all: what is not our own is not taken unless it is named.
        (
            "id",
            world.partner_identity("/ns/billing/ops"),
            "federation.unknown_trust_domain",
        ),
        ("id", world.own.issue(two.clone()), "svid.multiple_uri_sans"),
        ("id", world.own.issue(none.clone()), "svid.no_uri_san"),
        ("id", world.own_identity("/ns/shop/sa/old"), "svid.revoked"),
        ("certificate", world.partner.issue(leaf(API)), "svid.unknown_authority"),
        ("certificate", world.own.issue(two), "svid.multiple_uri_sans"),
        ("certificate", world.own.issue(none), "svid.no_uri_san"),
        (
            "certificate",
            world.stranger.issue(leaf("spiffe://stranger.example/x")),
            "federation.unknown_trust_domain",
        ),
    ];
    let mut counts = std::collections::BTreeMap::new();
    for (name, identity, expected) in &cases {
        let (mut http, _outer) = tunnelled(&envoy, &format!("connect.{name}"), identity).await;
        assert_eq!(http.get("/own/a").await.status(), Some(403), "{expected}");
        let count = counts.entry(name).or_insert(0);
        *count += 1;
        let entry = envoy.wait_request_log(&format!("inner.{name}"), *count).await;
        assert_eq!(reason(entry.last().unwrap()), *expected);
    }
    assert_eq!(upstream.requests().len(), 0);
    assert_alive(&envoy).await;
}

/// An upstream pool knows nothing of filter state of the factory `envoy.string`: all share it, and it opens connections
/// with what the first caller brought, in a tunnel and by requests. Nothing at the inner listener could tell. That is
/// why the documentation asks for `envoy.hashable_string`.
#[tokio::test]
async fn connections_of_two_callers_are_kept_apart_by_hashable_filter_state_alone() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    if is_refused(&world).await {
        return;
    }
    let trusted = ClientCertificate::TrustedCa(world.own.pem());
    let document = by_id(&world, json!({}));
    let ways = [
        ("connect.string", "inner.tunnel.string", "envoy.string"),
        ("request.string", "inner.request.string", "envoy.string"),
        ("connect.hashable", "inner.tunnel.hashable", HASHABLE),
        ("request.hashable", "inner.request.hashable", HASHABLE),
    ];
    let listeners = ways.iter().flat_map(|(outside, inside, factory)| {
        [
            outer(&world, outside, inside, factory, trusted.clone()),
            inner(inside, Filters::RequestOnly, &document),
        ]
    });
    let envoy = start(listeners.collect(), &upstream).await;
    let callers = [
        (world.own_identity(API_PATH), "/own/a"),
        (world.own_identity(OTHER_PATH), "/other/a"),
    ];
    for (outside, inside, factory) in ways {
        let mut statuses = Vec::new();
        let mut kept = Vec::new();
        for (identity, path) in callers.iter().cycle().take(ASKED) {
            let status = if outside.starts_with("connect") {
                let (mut http, outer) = tunnelled(&envoy, outside, identity).await;
                let status = http.get(path).await.status();
                kept.push((http, outer));
                status
            } else {
                http1(&envoy, outside, Some(identity)).await.get(path).await.status()
            };
            statuses.push(status);
        }
        let mut ids = std::collections::BTreeMap::new();
        for entry in envoy.wait_request_log(inside, ASKED).await {
            let id = record(&entry)["id"].clone();
            let first = ids
                .entry(entry["connection_id"].to_string())
                .or_insert_with(|| id.clone());
            assert_eq!(*first, id, "a connection with two callers");
        }
        if factory == HASHABLE {
            assert_eq!(statuses, [Some(200); ASKED], "{outside}");
        } else {
            // What is to be avoided, so that it is noticed where an Envoy does otherwise.
            assert!(statuses.contains(&Some(403)), "{outside} {statuses:?}");
        }
    }
}

#[tokio::test]
async fn inner_connection_of_an_id_alone_ends_with_its_time_and_one_with_a_certificate_does_not() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    if is_refused(&world).await {
        return;
    }
    let trusted = ClientCertificate::TrustedCa(world.own.pem());
    let short = json!({ "peer": { "filter_state": { "id": "outer.id", "max_connection_age": "3s" } } });
    let envoy = start(
        vec![
            outer(&world, "connect.both", "inner.both", HASHABLE, trusted.clone()),
            inner("inner.both", Filters::Both, &by_id(&world, short.clone())),
            outer(&world, "connect.request", "inner.request", HASHABLE, trusted.clone()),
            inner("inner.request", Filters::RequestOnly, &by_id(&world, short)),
            outer(&world, "connect.certificate", "inner.certificate", HASHABLE, trusted),
            inner("inner.certificate", Filters::Both, &by_certificate(&world)),
        ],
        &upstream,
    )
    .await;
    let api = world.own_identity(API_PATH);
    let mut both = tunnelled(&envoy, "connect.both", &api).await;
    let mut request = tunnelled(&envoy, "connect.request", &api).await;
    let mut certificate = tunnelled(&envoy, "connect.certificate", &api).await;
    for (http, _) in [&mut both, &mut request, &mut certificate] {
        assert_eq!(http.get("/own/a").await.status(), Some(200));
    }
    tokio::time::sleep(Duration::from_millis(5500)).await;
    assert!(both.0.is_closed(), "the network filter closes it");
    // The HTTP filter alone cannot, and lets nothing more through on it.
    assert_eq!(request.0.get("/own/a").await.status(), Some(403));
    assert_eq!(
        last_record(&envoy, "inner.request", 2).await["reason"],
        "connection.too_old"
    );
    assert_eq!(certificate.0.get("/own/a").await.status(), Some(200));
    // The caller connects again, on the same outer connection.
    let mut again = request
        .1
        .tunnel("inner.example:80")
        .await
        .unwrap()
        .http1()
        .await
        .unwrap();
    assert_eq!(again.get("/own/a").await.status(), Some(200));
    assert_alive(&envoy).await;
}
