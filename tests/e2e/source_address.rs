//! Conditions on the peer's address: the address of the TLS connection counts, whatever a header says.

use serde_json::{Value, json};
use support::{client::Request, upstream::HttpUpstream, world::World};

use crate::stage::{API, API_PATH, Filters, http_listener, http1, reason, serve};

/// An address that no test client has.
const OFFICE: &str = "203.0.113.7";

fn rules() -> Value {
    json!([
        { "name": "from-here", "effect": "allow", "from": [API], "to": [{ "paths": ["/here"] }],
          "when": { "source_ips": ["127.0.0.0/8"] } },
        { "name": "from-the-office", "effect": "allow", "from": [API], "to": [{ "paths": ["/office"] }],
          "when": { "source_ips": ["203.0.113.0/24"] } },
        { "name": "anywhere", "effect": "allow", "from": [API], "to": [{ "paths": ["/anywhere"] }] },
        { "name": "not-from-elsewhere", "effect": "deny", "from": [API], "to": [{ "paths": ["/anywhere"] }],
          "when": { "not_source_ips": ["203.0.113.0/24"] } },
    ])
}

/// Envoy's HTTP filters see the last address of `x-forwarded-for` as the peer's, unless the listener says
/// `use_remote_address: true`; its default is that they believe the client.
#[tokio::test]
async fn address_in_x_forwarded_for_is_not_believed() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let listener = http_listener(&world, "web", Filters::Both, &world.document(rules()));
    let envoy = serve([listener], &upstream).await;
    let identity = world.own_identity(API_PATH);
    let mut http = http1(&envoy, "web", Some(&identity)).await;
    for (number, (path, forwarded, status, expected)) in (1..).zip([
        ("/here", None, 200, "rule.allowed"),
        ("/here", Some(OFFICE), 200, "rule.allowed"),
        ("/office", None, 403, "rule.none_matched"),
        ("/office", Some(OFFICE), 403, "rule.none_matched"),
        ("/office", Some("203.0.113.7, 203.0.113.8"), 403, "rule.none_matched"),
        ("/anywhere", None, 403, "rule.denied"),
        ("/anywhere", Some(OFFICE), 403, "rule.denied"),
    ]) {
        let request = forwarded.into_iter().fold(Request::get(path), |request, address| {
            request
                .header("x-forwarded-for", address)
                .header("x-real-ip", address)
                .header("forwarded", address)
        });
        assert_eq!(http.send(request).await.status(), Some(status), "{path} {forwarded:?}");
        let log = envoy.wait_request_log("web", number).await;
        assert_eq!(reason(&log[number - 1]), expected, "{path} {forwarded:?}");
    }
    let line = envoy
        .wait_decision(&json!({ "stage": "request", "reason": "rule.none_matched" }))
        .await;
    assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
    assert!(
        !envoy.log().contains(OFFICE),
        "a log line names an address that the client made up"
    );
}

/// Without the network filter nobody tells the true address. A demand on it is then neither met nor failed: no allow
/// rule applies, every deny rule does.
#[tokio::test]
async fn without_the_network_filter_no_address_meets_a_condition() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let listener = http_listener(&world, "web", Filters::RequestOnly, &world.document(rules()));
    let envoy = serve([listener], &upstream).await;
    let mut http = http1(&envoy, "web", Some(&world.own_identity(API_PATH))).await;
    for path in ["/here", "/office", "/anywhere"] {
        assert_eq!(http.get(path).await.status(), Some(403), "{path}");
        let forged = Request::get(path).header("x-forwarded-for", OFFICE);
        assert_eq!(http.send(forged).await.status(), Some(403), "{path}");
    }
    assert_eq!(upstream.connections(), 0);
}
