//! `x-svidgate-id`: ours or nobody's. A copy that a client sends never reaches the upstream.

use serde_json::{Value, json};
use support::{
    client::{Client, Http, Request},
    envoy::{Cluster, Envoy, Scenario},
    upstream::HttpUpstream,
    world::{World, with},
};

use crate::stage::{API, API_PATH, Filters, allow_api, assert_alive, http_listener, http1, http2, serve};

/// What the upstream gets to see of the header, for copies under these names.
async fn forwarded(http: &mut Http, upstream: &HttpUpstream, names: &[&str]) -> Vec<String> {
    let ask = |request: Request, name: &&str| request.header(name, "spiffe://prod.example/admin");
    assert_eq!(
        http.send(names.iter().fold(Request::get("/"), ask)).await.status(),
        Some(200)
    );
    let requests = upstream.requests();
    let values = requests.last().unwrap().header("x-svidgate-id");
    values
        .iter()
        .map(|value| String::from_utf8_lossy(value).into_owned())
        .collect()
}

#[tokio::test]
async fn id_that_the_client_claims_never_reaches_the_upstream() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let silent = world.document(allow_api());
    let telling = with(silent.clone(), json!({ "forward_id": true }));
    let watching = with(
        world.document(json!([])),
        json!({ "forward_id": true, "mode": "dry_run" }),
    );
    let listeners = [
        http_listener(&world, "silent", Filters::Both, &silent),
        http_listener(&world, "telling", Filters::Both, &telling),
        http_listener(&world, "watching", Filters::RequestOnly, &watching),
    ];
    let envoy = serve(listeners, &upstream).await;
    let api = world.own_identity(API_PATH);
    // HTTP/2 has lower-case names only; hyper writes these as they are.
    let copies: [&[&str]; 4] = [
        &[],
        &["x-svidgate-id"],
        &["x-svidgate-id", "x-svidgate-id"],
        &["X-SVIDGATE-ID"],
    ];
    for copies in copies {
        for http in [
            &mut http1(&envoy, "silent", Some(&api)).await,
            &mut http2(&envoy, "silent", Some(&api)).await,
        ] {
            assert_eq!(
                forwarded(http, &upstream, copies).await,
                Vec::<String>::new(),
                "{copies:?}"
            );
        }
        for http in [
            &mut http1(&envoy, "telling", Some(&api)).await,
            &mut http2(&envoy, "telling", Some(&api)).await,
        ] {
            assert_eq!(forwarded(http, &upstream, copies).await, [API], "{copies:?}");
        }
        // A dry run lets a peer without an identity pass, and still nobody's claim.
        let mut nobody = http1(&envoy, "watching", None).await;
        assert_eq!(
            forwarded(&mut nobody, &upstream, copies).await,
            Vec::<String>::new(),
            "{copies:?}"
        );
    }
}

/// Spellings that an upstream may read as the same header, and a client that asks the proxy to drop ours as hop-by-hop.
#[tokio::test]
async fn no_spelling_of_the_header_gets_past_and_none_takes_ours_away() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let document = with(world.document(allow_api()), json!({ "forward_id": true }));
    let envoy = serve([http_listener(&world, "web", Filters::Both, &document)], &upstream).await;
    let client = Client::new(Some(&world.own_identity(API_PATH)));
    let connection = client.connect(envoy.listener_addr("web")).await.unwrap();
    let bytes =
        b"GET / HTTP/1.1\r\nhost: localhost\r\nX-SvidGate-ID: spiffe://prod.example/admin\r\nX-Svidgate-Id:\r\n\
                  x_svidgate_id: spiffe://prod.example/admin\r\nX-Svidgate_Id: spiffe://prod.example/admin\r\n\
                  x.svidgate.id: spiffe://prod.example/admin\r\nx~svidgate~id: spiffe://prod.example/admin\r\n\
                  x!svidgate#id: spiffe://prod.example/admin\r\nx-svidgate+id: spiffe://prod.example/admin\r\n\
                  connection: close, x-svidgate-id\r\n\r\n";
    assert_eq!(connection.raw_http1(bytes).await.status(), Some(200));
    let request = &upstream.requests()[0];
    let spelled: Vec<_> = request
        .headers
        .iter()
        .filter(|(name, _)| name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-") == "x-svidgate-id")
        .collect();
    assert_eq!(spelled, [&("x-svidgate-id".to_owned(), API.as_bytes().to_vec())]);
}

/// Has HTTP/1.1 trailers passed on, which Envoy drops otherwise.
fn with_trailers(bootstrap: &mut Value) {
    for listener in bootstrap["static_resources"]["listeners"].as_array_mut().unwrap() {
        for filter in listener["filter_chains"][0]["filters"].as_array_mut().unwrap() {
            if filter["name"] == "envoy.filters.network.http_connection_manager" {
                filter["typed_config"]["http_protocol_options"]["enable_trailers"] = json!(true);
            }
        }
    }
}

/// An upstream may take trailers for headers. Those that are not ours pass.
#[tokio::test]
async fn id_that_the_client_claims_in_trailers_never_reaches_the_upstream() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let document = with(world.document(allow_api()), json!({ "forward_id": true }));
    let dry_run = with(document.clone(), json!({ "mode": "dry_run" }));
    let envoy = Envoy::start(Scenario {
        listeners: vec![
            http_listener(&world, "web", Filters::Both, &document),
            http_listener(&world, "dry", Filters::Both, &dry_run),
        ],
        clusters: vec![Cluster::http2("app", upstream.addr())],
        amend: Some(with_trailers),
        ..Scenario::default()
    })
    .await;
    let api = world.own_identity(API_PATH);
    let names = [
        "x-svidgate-id",
        "x-svidgate-id",
        "x_svidgate_id",
        "x.svidgate.id",
        "x~svidgate-id",
    ];
    let plain = Request::new("POST", "/");
    // One gRPC message of no bytes.
    let grpc = Request {
        body: vec![0; 5],
        ..Request::new("POST", "/shop.Orders/Put")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
    };
    for listener in ["web", "dry"] {
        let announced = plain
            .clone()
            .header("trailer", format!("{}, x-checksum", names.join(", ")));
        let asked = [
            (http1(&envoy, listener, Some(&api)).await, announced),
            (http2(&envoy, listener, Some(&api)).await, plain.clone()),
            (http2(&envoy, listener, Some(&api)).await, grpc.clone()),
        ];
        for (place, (mut http, request)) in asked.into_iter().enumerate() {
            let forge = |request: Request, name: &&str| request.trailer(name, "spiffe://prod.example/admin");
            let forged = names.iter().fold(request, forge).trailer("x-checksum", "7");
            assert_eq!(http.send(forged).await.status(), Some(200), "{listener} {place}");
            let recorded = upstream.requests().pop().unwrap();
            assert_eq!(
                recorded.trailers,
                [("x-checksum".to_owned(), b"7".to_vec())],
                "{listener} {place}"
            );
            assert_eq!(recorded.header("x-svidgate-id"), [API.as_bytes()], "{listener} {place}");
        }
    }
    assert_eq!(upstream.requests().len(), 6);
    assert_alive(&envoy).await;
}
