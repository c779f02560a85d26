//! Paths that two readers could understand differently: refused, or with `paths: lenient` read as data.

use serde_json::json;
use support::{
    client::Client,
    upstream::HttpUpstream,
    world::{World, with},
};

use crate::stage::{API, API_PATH, Filters, assert_alive, http_listener, reason, serve};

/// Each would be `/open/secret`, or out of `/open`, to some reader. Sent as they stand here.
const AMBIGUOUS: &[&str] = &[
    "/open/../admin",
    "/open/..",
    "/open/.",
    "/open/./secret",
    "/open/%2e%2e/admin",
    "/open/.%2E/admin",
    "/open//secret",
    "//open/secret",
    "/open/%2Fsecret",
    "/open%2fsecret",
    "/open/%5csecret",
    "/open\\secret",
    "/open/..\\admin",
    "/open;x=1/secret",
    "/open/secret;x",
    "/open/%3bx",
    "/open/secret%00",
    "/open/%0a",
    "/open/%zz",
    "/open/%",
    "/open/%2",
    "/open/%252fsecret",
    "/open/%25%32%66secret",
    "/open/secret%3fq",
    "/open/%ff",
    "/open/%c0%af",
];

/// Refused by Envoy before any filter.
const NOT_HTTP: &[&str] = &["/open/\u{fc}", "/open/\u{1}", "open"];

/// What lenient reading takes for data: no dot segments, no control bytes, no broken escapes among them.
const LENIENT: &[&str] = &[
    "/open//x",
    "/open/%2Fx",
    "/open/%5cx",
    "/open;x=1/y",
    "/open/x;y",
    "/open/%252fx",
    "/open/%ff",
];

/// Refused by every reading.
const NEVER: &[&str] = &[
    "/open/../admin",
    "/open/%2e%2e/admin",
    "/open/%zz",
    "/open/%00",
    "/open/%0a",
];

fn raw(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes()
}

#[tokio::test]
async fn path_with_two_readings_is_refused_unless_the_document_chose_one() {
    let (world, upstream) = (World::new(), HttpUpstream::start());
    let rules = json!([
        { "name": "open", "effect": "allow", "from": [API], "to": [{ "paths": ["/open/**", "/open;x=1/**"] }] },
        { "name": "secret", "effect": "deny", "from": [API], "to": [{ "paths": ["/open/secret/**"] }] },
    ]);
    let lenient = with(world.document(rules), json!({ "paths": "lenient" }));
    let rules = json!([
        { "name": "open", "effect": "allow", "from": [API], "to": [{ "paths": ["/open/**"] }] },
        { "name": "secret", "effect": "deny", "from": [API], "to": [{ "paths": ["/open/secret/**"] }] },
    ]);
    let strict = world.document(rules);
    let listeners = [
        http_listener(&world, "strict", Filters::Both, &strict),
        http_listener(&world, "lenient", Filters::Both, &lenient),
    ];
    let envoy = serve(listeners, &upstream).await;
    let client = Client::new(Some(&world.own_identity(API_PATH)));
    let ask = async |listener: &str, path: &str| {
        let before = envoy.request_log(listener).len();
        let connection = client.connect(envoy.listener_addr(listener)).await.unwrap();
        let status = connection.raw_http1(&raw(path)).await.status();
        let log = envoy.wait_request_log(listener, before + 1).await;
        (status, reason(&log[before]))
    };

    let refused = (Some(403), "request.ambiguous_path".to_owned());
    for path in AMBIGUOUS {
        assert_eq!(ask("strict", path).await, refused, "{path}");
    }
    let said = json!({ "reason": "request.ambiguous_path", "detail": "path has a dot segment" });
    envoy.wait_decision(&said).await;
    for path in NEVER {
        assert_eq!(ask("lenient", path).await, refused, "{path}");
    }
    for path in NOT_HTTP {
        assert_eq!(
            ask("strict", path).await,
            (Some(400), "none at all".to_owned()),
            "{path:?}"
        );
    }
    assert_eq!(upstream.connections(), 0);

    assert_eq!(
        ask("strict", "/open/a%20b?x=/../%zz").await,
        (Some(200), "rule.allowed".to_owned())
    );
    for path in LENIENT {
        assert_eq!(
            ask("lenient", path).await,
            (Some(200), "rule.allowed".to_owned()),
            "{path}"
        );
    }
    let arrived: Vec<String> = upstream.requests().iter().map(|request| request.path.clone()).collect();
    assert_eq!(arrived[1..], *LENIENT, "an upstream sees the path that was decided on");
    assert_alive(&envoy).await;
}
