//! The bundle endpoint as clients see it, and the clusters through which Envoy trusts one.

use std::io::Read;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use support::bundle_endpoint::{BundleEndpoint, Served, bundle_document};
use support::ca::{Authority, Identity, Leaf, Profile, real_now};
use support::client::{Client, ClientOptions, Connection, Http, Refusal};
use support::envoy::{Cluster, Envoy, Listener, Route, Scenario};

const ENDPOINT_ID: &str = "spiffe://partner.example/bundle-endpoint";
const PATH: &str = "/bundle.json";

async fn plain(endpoint: &BundleEndpoint) -> Http {
    Connection::plain(endpoint.addr()).await.unwrap().http1().await.unwrap()
}

fn authority(trust_domain: &str) -> Authority {
    Authority::of(trust_domain, real_now())
}

/// An endpoint that serves `{}` at [`PATH`].
fn endpoint(identity: &Identity) -> BundleEndpoint {
    let endpoint = BundleEndpoint::start(Some(identity));
    endpoint.serve(PATH, Served::Document(b"{}".to_vec()));
    endpoint
}

/// What a request through an Envoy with this cluster is answered, and the value of one of the cluster's counters.
async fn through_envoy(cluster: Cluster, counter: &str) -> (Option<u16>, u64) {
    let counter = format!("cluster.{}.{counter}", cluster.name);
    let listener = Listener::http("web", [Route::to("all", "/", &cluster.name)]);
    let envoy = Envoy::start(Scenario::of(listener, [cluster])).await;
    let connection = Connection::plain(envoy.listener_addr("web")).await.unwrap();
    let outcome = connection.http1().await.unwrap().get(PATH).await;
    (outcome.status(), envoy.stat(&counter).await)
}

#[tokio::test]
async fn document_is_served_and_the_request_kept() {
    let partner = authority("partner.example");
    let endpoint = BundleEndpoint::start(Some(&partner.issue(Profile::server(real_now()))));
    let document = bundle_document(&[&partner], Some(7), Some(300));
    endpoint.serve(PATH, Served::Document(document.clone()));
    let value: Value = serde_json::from_slice(&document).unwrap();
    assert_eq!(
        (&value["spiffe_sequence"], &value["spiffe_refresh_hint"]),
        (&json!(7), &json!(300))
    );
    assert_eq!(value["keys"][0]["use"], "x509-svid");

    let connection = Client::new(None).connect(endpoint.addr()).await.unwrap();
    let response = connection.http1().await.unwrap().get(PATH).await.response();
    assert_eq!((response.status, &response.body), (200, &document));
    let client = Client::with(None, ClientOptions::http2());
    let mut http2 = client.connect(endpoint.addr()).await.unwrap().http2().await.unwrap();
    assert_eq!(http2.get("/bundle.json?again").await.response().body, document);
    assert_eq!(http2.get("/other").await.status(), Some(404));

    assert_eq!((endpoint.requests(PATH), endpoint.requests_total()), (2, 3));
    let last = endpoint.last_request(PATH).unwrap();
    assert_eq!(
        (last.method.as_str(), last.path.as_str(), last.authority.as_str()),
        ("GET", "/bundle.json?again", "localhost")
    );
    assert_eq!(endpoint.last_request("/never"), None);
}

#[tokio::test]
async fn document_without_age_says_nothing_of_it() {
    let document: Value = serde_json::from_slice(&bundle_document(&[], None, None)).unwrap();
    assert_eq!(document, json!({ "keys": [] }));
}

#[tokio::test]
async fn status_and_redirect_are_answered() {
    let endpoint = BundleEndpoint::start(None);
    let mut http = plain(&endpoint).await;
    endpoint.serve(PATH, Served::Status(503));
    assert_eq!(http.get(PATH).await.status(), Some(503));
    endpoint.serve(PATH, Served::Redirect("https://a.example/b".to_owned()));
    let response = http.get(PATH).await.response();
    assert_eq!(
        (response.status, response.header("location")),
        (302, Some(&b"https://a.example/b"[..]))
    );
    assert_eq!(endpoint.last_request(PATH).unwrap().authority, "localhost");
}

#[tokio::test]
async fn truncated_document_ends_after_half_of_its_bytes() {
    let endpoint = BundleEndpoint::start(None);
    endpoint.serve(PATH, Served::Truncated(b"0123456789".to_vec()));
    let mut connection = Connection::plain(endpoint.addr()).await.unwrap();
    let request = format!("GET {PATH} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    connection.write(request.as_bytes()).await.unwrap();
    // Closed by the endpoint: a client's library would close it too.
    let response = String::from_utf8(connection.read_until_close().await.unwrap()).unwrap();
    assert!(response.contains("content-length: 10\r\n"), "{response}");
    assert!(response.ends_with("\r\n\r\n01234"), "{response}");
}

#[tokio::test]
async fn path_that_never_answers_keeps_the_connection_open() {
    let endpoint = BundleEndpoint::start(None);
    endpoint.serve(PATH, Served::Never);
    let mut http = plain(&endpoint).await;
    let answer = tokio::time::timeout(Duration::from_millis(200), http.get(PATH)).await;
    assert!(answer.is_err());
    assert_eq!(endpoint.requests(PATH), 1);
    assert!(!http.is_closed());
}

#[tokio::test]
async fn large_body_has_the_length_that_was_asked_for() {
    let endpoint = BundleEndpoint::start(None);
    for length in [0, 1, 65_536, 10_000_001] {
        endpoint.serve(PATH, Served::Large(length));
        let response = plain(&endpoint).await.get(PATH).await.response();
        assert_eq!((response.body.len(), response.complete), (length, true));
    }
}

#[tokio::test]
async fn stopped_endpoint_is_gone_until_it_is_started_again() {
    let mut endpoint = BundleEndpoint::start(None);
    endpoint.serve(PATH, Served::Status(204));
    let mut http = plain(&endpoint).await;
    assert_eq!(http.get(PATH).await.status(), Some(204));
    let addr = endpoint.addr();
    endpoint.stop();
    http.wait_closed().await.unwrap();
    assert!(matches!(Connection::plain(addr).await, Err(Refusal::Connect(_))));
    endpoint.start_again();
    assert_eq!(endpoint.addr(), addr);
    assert_eq!(plain(&endpoint).await.get(PATH).await.status(), Some(204));
    assert_eq!(endpoint.requests_total(), 2);
}

#[tokio::test]
async fn web_cluster_trusts_its_authority_for_one_name_only() {
    let (web, other) = (authority("web.example"), authority("web.example"));
    let endpoint = endpoint(&web.issue(Profile::server(real_now())));
    let cluster = |ca: &Authority, name| Cluster::bundle_endpoint_web("web", endpoint.addr(), &ca.pem(), name);
    assert_eq!(
        through_envoy(cluster(&web, "localhost"), "ssl.handshake").await,
        (Some(200), 1)
    );
    assert_eq!(
        through_envoy(cluster(&web, "bundles.example"), "ssl.fail_verify_san").await,
        (Some(503), 1)
    );
    assert_eq!(
        through_envoy(cluster(&other, "localhost"), "ssl.fail_verify_error").await,
        (Some(503), 1)
    );
    assert_eq!(endpoint.requests_total(), 1);
}

#[tokio::test]
async fn web_cluster_asks_for_its_name() {
    let listener = std::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let addr = listener.local_addr().unwrap();
    let hello = std::thread::spawn(move || {
        let mut hello = [0; 4096];
        let count = listener.accept().unwrap().0.read(&mut hello).unwrap();
        hello[..count].to_vec()
    });
    let ca = authority("web.example").pem();
    let cluster = Cluster::bundle_endpoint_web("web", addr, &ca, "bundles.example");
    through_envoy(cluster, "ssl.handshake").await;
    let hello = hello.join().unwrap();
    assert!(hello.windows(15).any(|window| window == b"bundles.example"));
}

#[tokio::test]
async fn spiffe_cluster_trusts_exactly_one_id_of_its_trust_domain() {
    let (partner, forger) = (authority("partner.example"), authority("partner.example"));
    let other_id = "spiffe://partner.example/bundle-endpoint-2";
    let cases = [
        (&partner, ENDPOINT_ID, "ssl.handshake", Some(200)),
        (&partner, other_id, "ssl.fail_verify_san", Some(503)),
        (&forger, ENDPOINT_ID, "ssl.fail_verify_error", Some(503)),
    ];
    for (issuer, id, counter, status) in cases {
        let endpoint = endpoint(&issuer.issue(Leaf::svid(id, real_now())));
        let addr = endpoint.addr();
        let cluster = Cluster::bundle_endpoint_spiffe("spiffe", addr, "partner.example", &partner.pem(), ENDPOINT_ID);
        assert_eq!(through_envoy(cluster, counter).await, (status, 1), "{id} {counter}");
        assert_eq!(endpoint.requests_total() == 1, status == Some(200));
    }
}
