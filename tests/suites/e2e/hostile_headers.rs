//! Floods of headers, headers without end, and bytes that have no business in a header, a host or a path, against rules
//! that look at all three. What Envoy lets through to the filters is decided, and unknown is denied; nothing of what
//! was not allowed reaches the upstream, and the VM goes on.
//!
//! Envoy's own limits are left as they are: 60 KiB and 100 fields a request.

use serde_json::{Value, json};
use support::{
    ca::Identity,
    envoy::{Envoy, envoy_version},
    upstream::{HttpUpstream, Recorded},
    world::World,
};

use crate::{
    raw::{Sent, Version},
    stage::{API, API_PATH, Filters, assert_alive, http_listener, reason, serve},
};

/// A request, and what comes of it over HTTP/1.1 and over HTTP/2: the reason of the decision, or the status with which
/// Envoy refused it before any filter, 0 where it only reset the stream.
struct Case {
    what: &'static str,
    target: Vec<u8>,
    authority: Vec<u8>,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    expected: [&'static str; 2],
}

impl Case {
    fn host(self, authority: impl Into<Vec<u8>>) -> Self {
        Self {
            authority: authority.into(),
            ..self
        }
    }

    fn header(mut self, name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With so many more headers, each of another name.
    fn flood(mut self, count: usize) -> Self {
        let flood = (0..count).map(|number| (format!("x-{number}").into_bytes(), b"flood".to_vec()));
        self.headers.extend(flood);
        self
    }
}

/// The same in both versions.
fn both(what: &'static str, target: impl Into<Vec<u8>>, expected: &'static str) -> Case {
    each(what, target, [expected; 2])
}

fn each(what: &'static str, target: impl Into<Vec<u8>>, expected: [&'static str; 2]) -> Case {
    Case {
        what,
        target: target.into(),
        authority: b"localhost".to_vec(),
        headers: Vec::new(),
        expected,
    }
}

const ALLOWED: &str = "rule.allowed";
const DENIED: &str = "rule.denied";
const NONE: &str = "rule.none_matched";
const MALFORMED: &str = "request.malformed";

fn rules() -> Value {
    let rule = |name: &str, effect: &str, mut target: Value, when: Value| {
        target["paths"] = json!([format!("/{}/**", name.split('.').next().unwrap_or_default())]);
        let when = when.as_object().is_some_and(|when| !when.is_empty()).then_some(when);
        let mut rule = json!({ "name": name, "effect": effect, "from": [API], "to": [target] });
        if let Some(when) = when {
            rule["when"] = when;
        }
        rule
    };
    let header = |name: &str, test: &str, wanted: Value| json!({ "headers": [{ "name": name, test: wanted }] });
    let not_on = json!({ "not_headers": [{ "name": "x-debug", "is": "on" }] });
    json!([
        rule("open", "allow", json!({}), json!({})),
        rule("tenant", "allow", json!({}), header("x-tenant", "is", json!("acme"))),
        rule(
            "version",
            "allow",
            json!({}),
            header("x-version", "matches", json!("v[0-9]+"))
        ),
        rule(
            "costly",
            "allow",
            json!({}),
            header("x-version", "matches", json!(".*a.{700}"))
        ),
        rule("unless", "allow", json!({}), not_on),
        rule("host", "allow", json!({ "hosts": ["api.example"] }), json!({})),
        // Each of these is open but for what a deny rule says.
        rule("guarded", "allow", json!({}), json!({})),
        rule("guarded.bad", "deny", json!({}), header("x-env", "is", json!("bad"))),
        rule("matched", "allow", json!({}), json!({})),
        rule(
            "matched.bad",
            "deny",
            json!({}),
            header("x-env", "matches", json!("bad.*"))
        ),
        rule("marked", "allow", json!({}), json!({})),
        rule(
            "marked.debug",
            "deny",
            json!({}),
            header("x-debug", "present", json!(true))
        ),
        rule("elsewhere", "allow", json!({}), json!({})),
        rule(
            "elsewhere.secret",
            "deny",
            json!({ "hosts": ["secret.example"] }),
            json!({})
        ),
    ])
}

/// As much as Envoy lets through, and more.
fn floods() -> Vec<Case> {
    let large = || vec![b'x'; 30 * 1024];
    let repeated = |count: usize, last: &str| {
        let case = both(
            "a header again and again",
            "/tenant/x",
            if last == "acme" { ALLOWED } else { NONE },
        );
        let case = (1..count).fold(case, |case, _| case.header("x-tenant", "acme"));
        case.header("x-tenant", last)
    };
    vec![
        both("80 headers", "/open/x", ALLOWED).flood(80),
        both("80 headers and one that counts", "/tenant/x", ALLOWED)
            .flood(80)
            .header("x-tenant", "acme"),
        both("80 headers and none that counts", "/tenant/x", NONE).flood(80),
        both("80 headers and one that is denied", "/guarded/x", DENIED)
            .flood(80)
            .header("x-env", "bad"),
        each("101 headers", "/open/x", ["431", "0"]).flood(101),
        each("1,000 headers", "/open/x", ["431", "0"]).flood(1_000),
        both("a long value", "/open/x", ALLOWED).header("x-long", large()),
        each("a value beyond what Envoy takes", "/open/x", ["431", "0"]).header("x-long", vec![b'x'; 70 * 1024]),
        both("a long name", "/open/x", ALLOWED).header(vec![b'x'; 8 * 1024], "y"),
        both("a long value to be compared", "/tenant/x", NONE).header("x-tenant", large()),
        both("a long value to be compared by a deny rule", "/guarded/x", ALLOWED).header("x-env", large()),
        both("a value too long to be matched", "/version/x", NONE).header("x-version", "v1".repeat(3_000)),
        both("a value too long to be matched by a deny rule", "/matched/x", DENIED).header("x-env", large()),
        both("a value that takes too long to match", "/costly/x", "rule.too_costly")
            .header("x-version", vec![b'a'; 4_000]),
        both("a long list", "/tenant/x", NONE).header("x-tenant", "acme,".repeat(6_000)),
        both("a long list against a deny rule", "/guarded/x", DENIED).header("x-env", "bad,".repeat(6_000)),
        repeated(60, "acme"),
        repeated(60, "other"),
        both("a long path", [&b"/open/"[..], &large()].concat(), ALLOWED),
        both(
            "a path of many segments",
            "/open".to_owned() + &"/a".repeat(10_000),
            ALLOWED,
        ),
        both("a long host", "/open/x", ALLOWED).host("a".repeat(300)),
        both("a host too long to be a name", "/host/x", NONE).host("api.example".repeat(100)),
        both("a host too long to be a name, and a deny rule", "/elsewhere/x", DENIED).host("a".repeat(300)),
    ]
}

/// Bytes and repetitions in values and names of headers.
fn headers() -> Vec<Case> {
    vec![
        both("what is asked for", "/tenant/x", ALLOWED).header("x-tenant", "acme"),
        both("no UTF-8", "/open/x", ALLOWED).header("x-any", b"\xff\xfe\xc0\xaf".as_slice()),
        both("no UTF-8 behind the value", "/tenant/x", NONE).header("x-tenant", b"acme\xff".as_slice()),
        both("no UTF-8 behind what matches", "/version/x", NONE).header("x-version", b"v1\xff".as_slice()),
        both("no UTF-8 behind what is denied", "/guarded/x", ALLOWED).header("x-env", b"bad\xff".as_slice()),
        both("no UTF-8 in what a deny rule matches", "/matched/x", DENIED).header("x-env", b"bad\xff".as_slice()),
        both("no UTF-8 in what must not be there", "/marked/x", DENIED).header("x-debug", b"\xff".as_slice()),
        both("nothing in what must not be there", "/marked/x", DENIED).header("x-debug", ""),
        both("a tab", "/tenant/x", NONE).header("x-tenant", "ac\tme"),
        each("a NUL", "/tenant/x", ["400", "0"]).header("x-tenant", "acme\0"),
        each("a control byte", "/tenant/x", ["400", "0"]).header("x-tenant", "acme\x01"),
        each("a DEL", "/tenant/x", ["400", "0"]).header("x-tenant", "acme\x7f"),
        each("a carriage return", "/guarded/x", [ALLOWED, "0"]).header("x-any", "y\rx-env: bad"),
        each("a line feed", "/guarded/x", [DENIED, "0"]).header("x-any", "y\nx-env: bad"),
        each("a folded line", "/tenant/x", [NONE, "0"]).header("x-tenant", "acme\r\n x"),
        each("a name in capitals", "/tenant/x", [ALLOWED, "0"]).header("X-Tenant", "acme"),
        both("a name with an underscore", "/tenant/x", NONE).header("x_tenant", "acme"),
        each("a space behind a name", "/tenant/x", ["400", "0"]).header("x-tenant ", "acme"),
        each("no UTF-8 in a name", "/tenant/x", ["400", "0"]).header(b"x-tenant\xff".as_slice(), "acme"),
        each("a control byte in a name", "/tenant/x", ["400", "0"]).header("x-ten\x01ant", "acme"),
        each("no name", "/tenant/x", ["400", "0"]).header("", "acme"),
        both("twice", "/tenant/x", ALLOWED)
            .header("x-tenant", "acme")
            .header("x-tenant", "acme"),
        both("twice and differently", "/tenant/x", NONE)
            .header("x-tenant", "acme")
            .header("x-tenant", "other"),
        both("twice and differently, in the other order", "/tenant/x", NONE)
            .header("x-tenant", "other")
            .header("x-tenant", "acme"),
        both("a list", "/tenant/x", NONE).header("x-tenant", "acme, other"),
        both("twice, the second denied", "/guarded/x", DENIED)
            .header("x-env", "good")
            .header("x-env", "bad"),
        both("twice, the first denied", "/guarded/x", DENIED)
            .header("x-env", "bad")
            .header("x-env", "good"),
        both("a list with what is denied", "/guarded/x", DENIED).header("x-env", b"\xff,bad".as_slice()),
        both("what must not be, beside another", "/unless/x", NONE)
            .header("x-debug", "off")
            .header("x-debug", "on"),
        both("the id of another", "/open/x", ALLOWED).header("x-svidgate-id", b"\xff".as_slice()),
    ]
}

/// Bytes and repetitions in hosts and paths.
fn hosts_and_paths() -> Vec<Case> {
    // Over HTTP/2, 1.36 leaves it to the filters what an empty host is; later ones reset the stream.
    let without_host = |decided| [decided, if envoy_version() < (1, 37) { decided } else { "0" }];
    vec![
        both("the host that is meant", "/host/x", ALLOWED).host("api.example"),
        both("in capitals, with a dot and a port", "/host/x", ALLOWED).host("API.EXAMPLE.:8443"),
        each("no UTF-8 behind a host", "/host/x", ["400", "0"]).host(b"api.example\xff".as_slice()),
        each("no UTF-8 in a denied host", "/elsewhere/x", ["400", "0"]).host(b"secret.example\xff".as_slice()),
        each("a control byte in a host", "/host/x", ["400", "0"]).host("api.example\x01"),
        each("a NUL in a host", "/host/x", ["400", "0"]).host("api.example\0"),
        each("a space in a host", "/host/x", ["400", "0"]).host("api.example x"),
        both("two hosts in one", "/host/x", MALFORMED).host("api.example,secret.example"),
        each("a user in a host", "/elsewhere/x", [MALFORMED, "0"]).host("user@secret.example"),
        each("a path in a host", "/host/x", ["400", "0"]).host("api.example/x"),
        both("half an address", "/elsewhere/x", MALFORMED).host("[::1"),
        both("an empty label", "/elsewhere/x", MALFORMED).host("secret..example"),
        each("no host", "/host/x", without_host(NONE)).host(""),
        each("no host, and a deny rule", "/elsewhere/x", without_host(DENIED)).host(""),
        // Over HTTP/1.1 they become a list, over HTTP/2 `:authority` is the one that counts.
        each("a second host", "/host/x", [MALFORMED, ALLOWED])
            .host("api.example")
            .header("host", "secret.example"),
        each("a second host that is allowed", "/host/x", [MALFORMED, NONE])
            .host("secret.example")
            .header("host", "api.example"),
        each("UTF-8 in a path", "/open/caf\u{e9}", ["400", "request.ambiguous_path"]),
        each(
            "no UTF-8 in a path",
            b"/open/\xff".as_slice(),
            ["400", "request.ambiguous_path"],
        ),
        each("a control byte in a path", "/open/\x01", ["400", "0"]),
        each(
            "no UTF-8 in a query",
            b"/open/x?\xff".as_slice(),
            ["400", "upstream 400"],
        ),
        each("a control byte in a query", "/open/x?\x01", ["400", "0"]),
    ]
}

struct Gate {
    upstream: HttpUpstream,
    envoy: Envoy,
    api: Identity,
}

impl Gate {
    async fn start() -> Self {
        let (world, upstream) = (World::new(), HttpUpstream::start());
        let document = world.document(rules());
        let envoy = serve([http_listener(&world, "web", Filters::Both, &document)], &upstream).await;
        Self {
            api: world.own_identity(API_PATH),
            upstream,
            envoy,
        }
    }

    /// What came of one request, in the words of [`Case::expected`].
    async fn ask(&self, case: &Case, version: Version) -> String {
        let (logged, reached) = (self.envoy.request_log("web").len(), self.upstream.requests().len());
        let headers: Vec<(&[u8], &[u8])> = case
            .headers
            .iter()
            .map(|(name, value)| (&name[..], &value[..]))
            .collect();
        let sent = Sent {
            method: b"GET",
            target: &case.target,
            authority: &case.authority,
            headers: &headers,
        };
        sent.send(version, &self.api, self.envoy.listener_addr("web")).await;
        let log = self.envoy.wait_request_log("web", logged + 1).await;
        let (entry, arrived) = (&log[logged], self.upstream.requests().split_off(reached));
        match (reason(entry).as_str(), arrived.as_slice()) {
            (ALLOWED, [arrived]) => {
                assert_eq!(entry["status"], 200, "{}: {entry}", case.what);
                assert_arrived_as_sent(case, arrived);
                ALLOWED.to_owned()
            }
            // What the upstream's own parser refuses is not among its requests.
            (ALLOWED, []) if entry["details"] == "via_upstream" => format!("upstream {}", entry["status"]),
            ("none at all", []) => entry["status"].to_string(),
            (denied, []) => {
                assert_eq!(entry["status"], 403, "{}: {entry}", case.what);
                denied.to_owned()
            }
            (_, arrived) => panic!("{}: {entry} {arrived:?}", case.what),
        }
    }
}

/// What rules were asked about is what the upstream gets; only the name of our own header is never a client's.
fn assert_arrived_as_sent(case: &Case, arrived: &Recorded) {
    assert_eq!(arrived.header("x-svidgate-id"), [b""; 0], "{}", case.what);
    for (name, _) in &case.headers {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        if ["x-svidgate-id", "host"].contains(&name.as_str()) {
            continue;
        }
        let same = |(sent, _): &&(Vec<u8>, Vec<u8>)| sent.eq_ignore_ascii_case(name.as_bytes());
        // Envoy takes a lone carriage return out, before any filter.
        let value = |(_, value): &(Vec<u8>, Vec<u8>)| value.iter().copied().filter(|byte| *byte != b'\r').collect();
        let sent: Vec<Vec<u8>> = case.headers.iter().filter(same).map(value).collect();
        assert_eq!(arrived.header(&name), sent, "{}: {name}", case.what);
    }
    assert_eq!(arrived.header("host"), [&case.authority[..]], "{}", case.what);
    assert_eq!(arrived.path.as_bytes(), case.target, "{}", case.what);
}

async fn assert_come_out_as_they_should(cases: Vec<Case>) {
    let gate = Gate::start().await;
    let mut differences = Vec::new();
    for case in &cases {
        for (version, expected) in [Version::One, Version::Two].into_iter().zip(case.expected) {
            let found = gate.ask(case, version).await;
            if found != expected {
                differences.push(format!("{}, {version:?}: {found}, not {expected}", case.what));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    // The same VM serves whoever is next.
    let good = both("afterwards", "/tenant/x", ALLOWED).header("x-tenant", "acme");
    assert_eq!(gate.ask(&good, Version::Two).await, ALLOWED);
    assert_alive(&gate.envoy).await;
}

#[tokio::test]
async fn floods_of_headers_are_decided_or_refused_and_end_nothing() {
    assert_come_out_as_they_should(floods()).await;
}

#[tokio::test]
async fn odd_bytes_and_repetitions_in_headers_open_nothing() {
    assert_come_out_as_they_should(headers()).await;
}

#[tokio::test]
async fn odd_bytes_and_repetitions_in_hosts_and_paths_open_nothing() {
    assert_come_out_as_they_should(hosts_and_paths()).await;
}
