//! Every part of a request that an upstream behind Envoy may read otherwise than a filter in Envoy does, one row a case: what
//! comes of it under rules that look at that part, and what the upstream sees of it where everything is allowed.
//!
//! Each row goes over HTTP/1.1 and over HTTP/2 to a gate with rules and to one without, in front of an upstream of HTTP/1.1
//! and in front of one of HTTP/2. Paths have more cases, and a table of their own in [`crate::path_confusion`].

use futures_util::future::join_all;
use serde_json::{Value, json};
use support::{
    ca::Identity,
    client::{Client, ClientOptions, Http, Request},
    envoy::{ClientCertificate, Cluster, Envoy, Listener, Route, Scenario},
    upstream::{HttpUpstream, Recorded},
    world::{World, with},
};

use crate::{
    raw::{Sent, Version},
    stage::{API, API_PATH, Filters, allow_api, assert_alive, gated, reason},
};

const VERSIONS: [Version; 2] = [Version::One, Version::Two];

/// What comes of a row under the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Allowed, and at the upstream.
    Allowed,
    /// Refused by us for this reason, and not at the upstream.
    Refused(&'static str),
    /// Refused by Envoy before any filter, with this status; 0 where it only resets the stream.
    Envoy(u16),
}

use Outcome::{Allowed, Envoy as ByEnvoy, Refused};

const DENIED: Outcome = Refused("rule.denied");
const NONE: Outcome = Refused("rule.none_matched");
const AMBIGUOUS: Outcome = Refused("request.ambiguous_path");
const MALFORMED: Outcome = Refused("request.malformed");

/// What an upstream has of a field: `:method`, `:path`, `:authority`, or all values of a header. `from` and `to` are the
/// versions of HTTP of the client and of the upstream; `None` is either.
struct Seen {
    from: Option<Version>,
    to: Option<Version>,
    name: &'static str,
    values: Vec<&'static [u8]>,
}

/// A request, and what comes of it.
struct Row {
    what: &'static str,
    method: &'static [u8],
    path: &'static [u8],
    host: &'static [u8],
    headers: Vec<(&'static [u8], &'static [u8])>,
    expected: [Outcome; 2],
    seen: Vec<Seen>,
}

/// A request whose outcome is the same in both versions.
fn row(what: &'static str, path: &'static str, expected: Outcome) -> Row {
    each(what, path, [expected; 2])
}

/// One whose outcome depends on the version of the client.
fn each(what: &'static str, path: &'static str, expected: [Outcome; 2]) -> Row {
    Row {
        what,
        method: b"GET",
        path: path.as_bytes(),
        host: b"localhost",
        headers: Vec::new(),
        expected,
        seen: Vec::new(),
    }
}

impl Row {
    fn method(self, method: &'static str) -> Self {
        let method = method.as_bytes();
        Self { method, ..self }
    }

    fn host(self, host: &'static str) -> Self {
        let host = host.as_bytes();
        Self { host, ..self }
    }

    fn header(mut self, name: &'static str, value: &'static (impl AsRef<[u8]> + ?Sized)) -> Self {
        self.headers.push((name.as_bytes(), value.as_ref()));
        self
    }

    /// As a gRPC call.
    fn grpc(self) -> Self {
        self.method("POST")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
    }

    /// Every upstream has this, whoever asked.
    fn seen(self, name: &'static str, values: &[&'static str]) -> Self {
        self.seen_by(None, None, name, values)
    }

    fn seen_by(
        mut self,
        from: Option<Version>,
        to: Option<Version>,
        name: &'static str,
        values: &[&'static str],
    ) -> Self {
        let values = values.iter().map(|value| value.as_bytes()).collect();
        self.seen.push(Seen { from, to, name, values });
        self
    }

    /// A value as it came over HTTP/2, and as everybody else has it: without outer white space.
    fn trimmed(self, name: &'static str, raw: &[&'static str], trimmed: &[&'static str]) -> Self {
        self.seen_by(Some(Version::One), None, name, trimmed)
            .seen_by(Some(Version::Two), Some(Version::One), name, trimmed)
            .seen_by(Some(Version::Two), Some(Version::Two), name, raw)
    }

    fn is_grpc(&self) -> bool {
        self.headers.iter().any(|(name, _)| *name == b"content-type")
    }
}

/// Each first segment is open but for what is said of it.
fn rules() -> Value {
    let rule = |segment: &str, name: &str, effect: &str, target: Value, when: Value| {
        let (mut target, paths) = (target, json!([format!("/{segment}/**")]));
        target["paths"] = paths;
        json!({ "name": format!("{segment}{name}"), "effect": effect, "from": [API], "to": [target], "when": when })
    };
    let debug = |test: Value| json!({ "headers": [with(json!({ "name": "x-debug" }), test)] });
    let tenant = |test: Value| json!({ "headers": [with(json!({ "name": "x-tenant" }), test)] });
    let open = || json!({ "time": [{ "from": "00:00", "until": "24:00" }] });
    json!([
        rule("open", "", "allow", json!({}), open()),
        // Denies.
        rule("is", "", "allow", json!({}), open()),
        rule("is", ".bad", "deny", json!({}), debug(json!({ "is": "1" }))),
        rule("matches", "", "allow", json!({}), open()),
        rule(
            "matches",
            ".bad",
            "deny",
            json!({}),
            debug(json!({ "matches": "on|1" }))
        ),
        rule("blank", "", "allow", json!({}), open()),
        rule(
            "blank",
            ".bad",
            "deny",
            json!({}),
            debug(json!({ "matches": "x[ \\t]" }))
        ),
        rule("marked", "", "allow", json!({}), open()),
        rule("marked", ".bad", "deny", json!({}), debug(json!({ "present": true }))),
        rule("cookie", "", "allow", json!({}), open()),
        rule(
            "cookie",
            ".bad",
            "deny",
            json!({}),
            json!({ "headers": [{ "name": "cookie", "is": "role=admin" }] })
        ),
        rule("cookies", "", "allow", json!({}), open()),
        rule(
            "cookies",
            ".bad",
            "deny",
            json!({}),
            json!({ "headers": [{ "name": "cookie", "is": "a=1; role=admin" }] })
        ),
        rule("write", "", "allow", json!({}), open()),
        rule("write", ".bad", "deny", json!({ "methods": ["DELETE"] }), open()),
        rule("elsewhere", "", "allow", json!({}), open()),
        rule(
            "elsewhere",
            ".bad",
            "deny",
            json!({ "hosts": ["secret.example"] }),
            open()
        ),
        // Allows.
        rule(
            "unless",
            "",
            "allow",
            json!({}),
            json!({ "not_headers": [{ "name": "x-debug", "is": "1" }] })
        ),
        rule(
            "unmarked",
            "",
            "allow",
            json!({}),
            json!({ "not_headers": [{ "name": "x-debug", "present": true }] })
        ),
        rule("tenant", "", "allow", json!({}), tenant(json!({ "is": "acme" }))),
        rule(
            "tenants",
            "",
            "allow",
            json!({}),
            tenant(json!({ "matches": "acme|initech" }))
        ),
        rule("any-tenant", "", "allow", json!({}), tenant(json!({ "present": true }))),
        rule(
            "blanks",
            "",
            "allow",
            json!({}),
            tenant(json!({ "matches": "[a-z \\t]+" }))
        ),
        rule("read", "", "allow", json!({ "methods": ["GET", "POST"] }), open()),
        rule("host", "", "allow", json!({ "hosts": ["api.example"] }), open()),
    ])
}

/// White space round values, and other bytes at their ends.
fn values() -> Vec<Row> {
    let twice = |row: Row, values: [&'static str; 2]| row.header("x-debug", values[0]).header("x-debug", values[1]);
    vec![
        row("a value that is denied", "/is/x", DENIED)
            .header("x-debug", "1")
            .seen("x-debug", &["1"]),
        row("another", "/is/x", Allowed)
            .header("x-debug", "0")
            .seen("x-debug", &["0"]),
        row("a blank behind it", "/is/x", DENIED)
            .header("x-debug", "1 ")
            .trimmed("x-debug", &["1 "], &["1"]),
        row("a blank before it", "/is/x", DENIED)
            .header("x-debug", " 1")
            .trimmed("x-debug", &[" 1"], &["1"]),
        row("a tab behind it", "/is/x", DENIED)
            .header("x-debug", "1\t")
            .trimmed("x-debug", &["1\t"], &["1"]),
        row("blanks and tabs on both sides", "/is/x", DENIED)
            .header("x-debug", "\t 1 \t")
            .trimmed("x-debug", &["\t 1 \t"], &["1"]),
        row("a blank behind another", "/is/x", Allowed)
            .header("x-debug", "0 ")
            .trimmed("x-debug", &["0 "], &["0"]),
        row("a blank, to an expression", "/matches/x", DENIED)
            .header("x-debug", "on ")
            .trimmed("x-debug", &["on "], &["on"]),
        row("a tab before, to an expression", "/matches/x", DENIED)
            .header("x-debug", "\ton")
            .trimmed("x-debug", &["\ton"], &["on"]),
        // Of what Envoy trimmed nothing is known any more; an upstream of HTTP/2 gets what the rule is about.
        each("a blank that an expression asks for", "/blank/x", [Allowed, DENIED])
            .header("x-debug", "x ")
            .trimmed("x-debug", &["x "], &["x"]),
        row("a blank in a list", "/is/x", DENIED)
            .header("x-debug", "0, 1 ,2")
            .seen("x-debug", &["0, 1 ,2"]),
        row("tabs in a list", "/is/x", DENIED)
            .header("x-debug", "0,\t1\t,2")
            .seen("x-debug", &["0,\t1\t,2"]),
        twice(row("a blank in one of two lines", "/is/x", DENIED), ["0", "1 "]).trimmed(
            "x-debug",
            &["0", "1 "],
            &["0", "1"],
        ),
        twice(row("a blank in the first of two lines", "/is/x", DENIED), [" 1", "0"]).trimmed(
            "x-debug",
            &[" 1", "0"],
            &["1", "0"],
        ),
        row("a gRPC call with a blank behind the value", "/is/x", DENIED)
            .grpc()
            .header("x-debug", "1 ")
            .trimmed("x-debug", &["1 "], &["1"]),
        each("a blank behind what must not be there", "/unless/x", [NONE, NONE])
            .header("x-debug", "1 ")
            .trimmed("x-debug", &["1 "], &["1"]),
        row("a blank behind what may be there", "/unless/x", Allowed)
            .header("x-debug", "0 ")
            .trimmed("x-debug", &["0 "], &["0"]),
        each("a blank behind what must be there", "/tenant/x", [Allowed, NONE])
            .header("x-tenant", "acme ")
            .trimmed("x-tenant", &["acme "], &["acme"]),
        each("the same, to an expression", "/tenants/x", [Allowed, NONE])
            .header("x-tenant", "\tacme")
            .trimmed("x-tenant", &["\tacme"], &["acme"]),
        row("a blank that an expression bears", "/blanks/x", Allowed)
            .header("x-tenant", "acme ")
            .trimmed("x-tenant", &["acme "], &["acme"]),
        // Nothing is left of it once it is trimmed.
        each(
            "blanks alone, to an expression that bears them",
            "/blanks/x",
            [NONE, NONE],
        )
        .header("x-tenant", " \t")
        .trimmed("x-tenant", &[" \t"], &[""]),
        // Some upstreams trim whatever their strings call white space, once they have decoded it.
        row("a no-break space behind it, in UTF-8", "/is/x", DENIED)
            .header("x-debug", "1\u{a0}")
            .seen("x-debug", &["1\u{a0}"]),
        row("a no-break space behind it, in Latin-1", "/is/x", DENIED).header("x-debug", b"1\xa0"),
        row("a next line before it, in Latin-1", "/is/x", DENIED).header("x-debug", b"\x851"),
        row("an ideographic space behind it", "/is/x", DENIED)
            .header("x-debug", "1\u{3000}")
            .seen("x-debug", &["1\u{3000}"]),
        row(
            "a letter whose last byte is a no-break space to Latin-1",
            "/is/x",
            Allowed,
        )
        .header("x-debug", "1\u{e0}")
        .seen("x-debug", &["1\u{e0}"]),
        row("obs-text behind it", "/is/x", Allowed).header("x-debug", b"1\xff"),
        // Nothing.
        row("an empty value", "/is/x", Allowed)
            .header("x-debug", "")
            .seen("x-debug", &[""]),
        row("an empty value where there must be none", "/marked/x", DENIED)
            .header("x-debug", "")
            .seen("x-debug", &[""]),
        row("a blank value where there must be none", "/marked/x", DENIED)
            .header("x-debug", " ")
            .trimmed("x-debug", &[" "], &[""]),
        row("an empty value where none is wanted", "/unmarked/x", NONE)
            .header("x-debug", "")
            .seen("x-debug", &[""]),
        row("an empty value where any is wanted", "/any-tenant/x", Allowed)
            .header("x-tenant", "")
            .seen("x-tenant", &[""]),
        row("empty entries round it", "/is/x", DENIED)
            .header("x-debug", ",1,")
            .seen("x-debug", &[",1,"]),
        // What no value has.
        each("a NUL behind it", "/is/x", [ByEnvoy(400), ByEnvoy(0)]).header("x-debug", "1\0"),
        each("a vertical tab behind it", "/is/x", [ByEnvoy(400), ByEnvoy(0)]).header("x-debug", "1\x0b"),
        each("a unit separator behind it", "/is/x", [ByEnvoy(400), ByEnvoy(0)]).header("x-debug", "1\x1f"),
        each("a DEL behind it", "/is/x", [ByEnvoy(400), ByEnvoy(0)]).header("x-debug", "1\x7f"),
        each("a carriage return behind it", "/is/x", [DENIED, ByEnvoy(0)]).header("x-debug", "1\r"),
        each("a line feed behind it", "/is/x", [DENIED, ByEnvoy(0)]).header("x-debug", "1\n"),
        each("a folded line", "/is/x", [DENIED, ByEnvoy(0)]).header("x-debug", "\r\n 1"),
    ]
}

/// Names that are one to some upstreams, and lines that are one.
fn names() -> Vec<Row> {
    vec![
        each("capitals", "/is/x", [DENIED, ByEnvoy(0)]).header("X-Debug", "1"),
        row("an underscore", "/is/x", DENIED)
            .header("x_debug", "1")
            .seen("x_debug", &["1"]),
        row("a dot", "/is/x", DENIED)
            .header("x.debug", "1")
            .seen("x.debug", &["1"]),
        row("a tilde", "/matches/x", DENIED)
            .header("x~debug", "on")
            .seen("x~debug", &["on"]),
        row("an underscore, another value", "/is/x", Allowed)
            .header("x_debug", "0")
            .seen("x_debug", &["0"]),
        row("an underscore, any value", "/marked/x", DENIED)
            .header("x_debug", "0")
            .seen("x_debug", &["0"]),
        row("an underscore beside the name itself", "/is/x", DENIED)
            .header("x-debug", "0")
            .header("x_debug", "1")
            .seen("x-debug", &["0"])
            .seen("x_debug", &["1"]),
        row("an underscore and a blank", "/is/x", DENIED)
            .header("x_debug", "1 ")
            .trimmed("x_debug", &["1 "], &["1"]),
        row("an underscore in a gRPC call", "/is/x", DENIED)
            .grpc()
            .header("x_debug", "1")
            .seen("x_debug", &["1"]),
        row("an underscore where it must not be there", "/unless/x", NONE)
            .header("x_debug", "1")
            .seen("x_debug", &["1"]),
        row("an underscore where none is wanted", "/unmarked/x", NONE)
            .header("x_debug", "1")
            .seen("x_debug", &["1"]),
        row("an underscore where it must be there", "/tenant/x", NONE)
            .header("x_tenant", "acme")
            .seen("x_tenant", &["acme"]),
        row("an underscore where any is wanted", "/any-tenant/x", NONE)
            .header("x_tenant", "acme")
            .seen("x_tenant", &["acme"]),
        row(
            "an underscore that says otherwise than the name itself",
            "/tenant/x",
            NONE,
        )
        .header("x-tenant", "acme")
        .header("x_tenant", "initech"),
        row("a letter more", "/is/x", Allowed)
            .header("x-debugs", "1")
            .seen("x-debugs", &["1"]),
        row("no dash", "/is/x", Allowed)
            .header("xdebug", "1")
            .seen("xdebug", &["1"]),
        // Over HTTP/2 cookies come in crumbs (RFC 9113 8.2.3); Envoy puts them together before filters.
        row("a cookie", "/cookie/x", DENIED)
            .header("cookie", "role=admin")
            .seen("cookie", &["role=admin"]),
        row("a cookie behind another", "/cookie/x", DENIED)
            .header("cookie", "a=1; role=admin")
            .seen("cookie", &["a=1; role=admin"]),
        row("a cookie in crumbs", "/cookie/x", DENIED)
            .header("cookie", "a=1")
            .header("cookie", "role=admin")
            .seen_by(Some(Version::Two), None, "cookie", &["a=1; role=admin"]),
        row("cookies in crumbs that are denied together", "/cookies/x", DENIED)
            .header("cookie", "a=1")
            .header("cookie", "role=admin")
            .seen_by(Some(Version::Two), None, "cookie", &["a=1; role=admin"]),
        row("another cookie", "/cookie/x", Allowed)
            .header("cookie", "a=1; role=user")
            .seen("cookie", &["a=1; role=user"]),
        // Our own, and the proxy's: a client's never pass, in any spelling.
        row("x-svidgate-id", "/open/x", Allowed)
            .header("x-svidgate-id", "spiffe://prod.example/admin")
            .seen("x-svidgate-id", &[]),
        row("x_svidgate_id", "/open/x", Allowed)
            .header("x_svidgate_id", "spiffe://prod.example/admin")
            .seen("x_svidgate_id", &[]),
        row("x-forwarded-client-cert", "/open/x", Allowed)
            .header("x-forwarded-client-cert", "URI=spiffe://prod.example/admin")
            .seen("x-forwarded-client-cert", &[]),
        row("x_forwarded_client_cert", "/open/x", Allowed)
            .header("x_forwarded_client_cert", "URI=spiffe://prod.example/admin")
            .seen("x_forwarded_client_cert", &[]),
        row("x.forwarded-client_cert", "/open/x", Allowed)
            .header("x.forwarded-client_cert", "URI=spiffe://prod.example/admin")
            .seen("x.forwarded-client_cert", &[]),
    ]
}

/// Methods, and headers that some frameworks take for the method.
fn methods() -> Vec<Row> {
    vec![
        row("a method that is denied", "/write/x", DENIED)
            .method("DELETE")
            .seen(":method", &["DELETE"]),
        row("another", "/write/x", Allowed)
            .method("POST")
            .seen(":method", &["POST"]),
        each("in lower case", "/write/x", [ByEnvoy(400), DENIED]).method("delete"),
        row("an override that is denied", "/write/x", DENIED)
            .method("POST")
            .header("x-http-method-override", "DELETE")
            .seen(":method", &["POST"])
            .seen("x-http-method-override", &["DELETE"]),
        row("in lower case and with a blank", "/write/x", DENIED)
            .method("POST")
            .header("x-http-method-override", " delete ")
            .trimmed("x-http-method-override", &[" delete "], &["delete"]),
        row("x-http-method", "/write/x", DENIED)
            .method("POST")
            .header("x-http-method", "DELETE"),
        row("x-method-override", "/write/x", DENIED)
            .method("POST")
            .header("x-method-override", "DELETE"),
        row("with an underscore", "/write/x", DENIED)
            .method("POST")
            .header("x_http_method_override", "DELETE"),
        row("the second of two", "/write/x", DENIED)
            .method("POST")
            .header("x-http-method-override", "PUT")
            .header("x-http-method-override", "DELETE"),
        row("in a list", "/write/x", DENIED)
            .method("POST")
            .header("x-http-method-override", "PUT, DELETE"),
        row("in a gRPC call", "/write/x", DENIED)
            .grpc()
            .header("x-http-method-override", "DELETE"),
        row("away from what is denied", "/write/x", DENIED)
            .method("DELETE")
            .header("x-http-method-override", "GET"),
        row("an override that may be", "/write/x", Allowed)
            .method("POST")
            .header("x-http-method-override", "PUT")
            .seen("x-http-method-override", &["PUT"]),
        row("an override beyond what is allowed", "/read/x", NONE)
            .method("POST")
            .header("x-http-method-override", "DELETE"),
        row("an override to what is allowed", "/read/x", NONE)
            .method("DELETE")
            .header("x-http-method-override", "GET"),
        row("an override among what is allowed", "/read/x", Allowed)
            .method("POST")
            .header("x-http-method-override", "GET"),
        row("an empty override", "/write/x", Allowed)
            .method("POST")
            .header("x-http-method-override", ""),
        row("an override that is no method", "/write/x", MALFORMED)
            .method("POST")
            .header("x-http-method-override", "DEL ETE"),
    ]
}

/// Paths and hosts, and headers that some frameworks take for them.
fn paths_and_hosts() -> Vec<Row> {
    vec![
        row("a path", "/open/x", Allowed).seen(":path", &["/open/x"]),
        row("a query", "/open/x?/is/x", Allowed).seen(":path", &["/open/x?/is/x"]),
        row("a path with two readings", "/open/%2e%2e/marked", AMBIGUOUS).seen(":path", &["/open/%2e%2e/marked"]),
        row("x-original-url to what is not allowed", "/open/x", NONE)
            .header("x-original-url", "/admin/keys")
            .seen(":path", &["/open/x"])
            .seen("x-original-url", &["/admin/keys"]),
        row("x-rewrite-url to what is not allowed", "/open/x", NONE)
            .header("x-rewrite-url", "/admin/keys")
            .seen("x-rewrite-url", &["/admin/keys"]),
        row("x-original-url with an underscore", "/open/x", NONE).header("x_original_url", "/admin/keys"),
        row("x-original-url with a blank", "/open/x", NONE)
            .header("x-original-url", " /admin/keys")
            .trimmed("x-original-url", &[" /admin/keys"], &["/admin/keys"]),
        row("x-original-url to what is denied", "/open/x", DENIED)
            .header("x-original-url", "/is/x")
            .header("x-debug", "1"),
        row("x-original-url away from what is denied", "/is/x", DENIED)
            .header("x-original-url", "/open/x")
            .header("x-debug", "1"),
        row("x-original-url with a host", "/open/x", NONE).header("x-original-url", "https://localhost/admin/keys"),
        row("x-original-url with a host, to what is allowed", "/open/x", Allowed)
            .header("x-original-url", "https://localhost/open/y?z"),
        row("x-original-url with two readings", "/open/x", AMBIGUOUS).header("x-original-url", "/open/%2e%2e/admin"),
        row("x-original-url that is no path", "/open/x", AMBIGUOUS).header("x-original-url", "admin"),
        row("x-original-url to what is allowed", "/open/x", Allowed)
            .header("x-original-url", "/open/y")
            .seen("x-original-url", &["/open/y"]),
        row("two of x-original-url", "/open/x", NONE)
            .header("x-original-url", "/open/y")
            .header("x-original-url", "/admin/keys"),
        row("x-original-url in a gRPC call", "/open/x", NONE)
            .grpc()
            .header("x-original-url", "/admin/keys"),
        row("both, the method and the path", "/open/x", DENIED)
            .method("POST")
            .header("x-http-method-override", "DELETE")
            .header("x-rewrite-url", "/write/x"),
        row("a host", "/host/x", Allowed)
            .host("api.example")
            .seen(":authority", &["api.example"]),
        row("a host with a port, a dot and capitals", "/host/x", Allowed)
            .host("API.example.:8443")
            .seen(":authority", &["API.example.:8443"]),
        row("a host that is denied", "/elsewhere/x", DENIED).host("secret.example"),
        // Over HTTP/1.1 two hosts become a list; over HTTP/2 `host` beside `:authority` goes nowhere.
        each("a second host", "/elsewhere/x", [MALFORMED, Allowed])
            .host("api.example")
            .header("host", "secret.example")
            .seen_by(Some(Version::Two), None, ":authority", &["api.example"])
            .seen_by(Some(Version::Two), Some(Version::One), "host", &["api.example"])
            .seen_by(Some(Version::Two), Some(Version::Two), "host", &[]),
        // Whoever trusts these trusts the client: see README. A rule can ask for them.
        row("x-forwarded-host", "/elsewhere/x", Allowed)
            .host("api.example")
            .header("x-forwarded-host", "secret.example")
            .seen(":authority", &["api.example"])
            .seen("x-forwarded-host", &["secret.example"]),
    ]
}

/// The gates: with rules and without, in front of either upstream.
const GATES: [(&str, Version); 4] = [
    ("ruled-1", Version::One),
    ("ruled-2", Version::Two),
    ("open-1", Version::One),
    ("open-2", Version::Two),
];

struct Stage {
    upstream: HttpUpstream,
    envoy: Envoy,
    api: Identity,
}

impl Stage {
    async fn start() -> Self {
        let (world, upstream) = (World::new(), HttpUpstream::start());
        let (ruled, open) = (world.document(rules()), world.document(allow_api()));
        let listeners = GATES.map(|(name, version)| {
            let cluster = if version == Version::One { "app" } else { "app-2" };
            let listener = Listener::http(name, [Route::to("app", "/", cluster)]);
            let listener = listener.tls(&world.server, ClientCertificate::AcceptUntrusted);
            gated(
                listener,
                Filters::Both,
                if name.starts_with("ruled") { &ruled } else { &open },
            )
        });
        let envoy = Envoy::start(Scenario {
            listeners: listeners.into(),
            clusters: vec![
                Cluster::new("app", upstream.addr()),
                Cluster::http2("app-2", upstream.addr()),
            ],
            ..Scenario::default()
        })
        .await;
        Self {
            api: world.own_identity(API_PATH),
            upstream,
            envoy,
        }
    }

    /// Sends a row to one gate, and gives what came of it, the status, and what the upstream has.
    async fn ask(&self, gate: &str, version: Version, row: &Row) -> (String, u64, Option<Recorded>) {
        let logged = self.envoy.request_log(gate).len();
        let mark = format!("{gate} {logged}").into_bytes();
        let mut headers: Vec<(&[u8], &[u8])> = vec![(b"x-mark", &mark)];
        headers.extend(&row.headers);
        let sent = Sent {
            method: row.method,
            target: row.path,
            authority: row.host,
            headers: &headers,
        };
        let addr = self.envoy.listener_addr(gate);
        match version {
            Version::One => {
                let connection = Client::new(Some(&self.api)).connect(addr).await.unwrap();
                let _ = connection.raw_http1(&sent.http1()).await;
            }
            Version::Two => {
                let client = Client::with(Some(&self.api), ClientOptions::http2());
                let connection = client.connect(addr).await.unwrap();
                connection.raw_http2(&sent.http2()).await.unwrap();
            }
        }
        let log = self.envoy.wait_request_log(gate, logged + 1).await;
        let entry = &log[logged];
        let mut arrived = self.upstream.requests().into_iter();
        let arrived = arrived.find(|request| request.header("x-mark") == [&mark[..]]);
        (reason(entry), entry["status"].as_u64().unwrap(), arrived)
    }

    /// What is otherwise than a row says.
    async fn differences(&self, row: &Row) -> Vec<String> {
        let mut wrong = Vec::new();
        for (version, expected) in VERSIONS.into_iter().zip(row.expected) {
            let asked = GATES.map(|(gate, _)| self.ask(gate, version, row));
            for ((gate, upstream), (reason, status, arrived)) in GATES.iter().zip(join_all(asked).await) {
                let at = format!("{}, {version:?} to {gate}", row.what);
                let is_ruled = gate.starts_with("ruled");
                // What is ambiguous or malformed is so whatever the rules say.
                let always = [AMBIGUOUS, MALFORMED].contains(&expected) || matches!(expected, ByEnvoy(_));
                let expected = if is_ruled || always { expected } else { Allowed };
                let refusal = if row.is_grpc() { 200 } else { 403 };
                let found = (reason.as_str(), status, arrived.is_some());
                let wanted = match expected {
                    Allowed => ("rule.allowed", 200, true),
                    Refused(reason) => (reason, refusal, false),
                    ByEnvoy(status) => ("none at all", u64::from(status), false),
                };
                if found != wanted {
                    wrong.push(format!("{at}: {found:?}, not {wanted:?}"));
                }
                let Some(arrived) = arrived else { continue };
                for seen in &row.seen {
                    let is_meant = |which: Option<Version>, is: Version| which.is_none_or(|which| which == is);
                    if !is_meant(seen.from, version) || !is_meant(seen.to, *upstream) {
                        continue;
                    }
                    let values: Vec<&[u8]> = match seen.name {
                        ":method" => vec![arrived.method.as_bytes()],
                        ":path" => vec![arrived.path.as_bytes()],
                        ":authority" => vec![arrived.authority.as_bytes()],
                        name => arrived.header(name),
                    };
                    if values != seen.values {
                        let shown = |values: &[&[u8]]| {
                            let texts: Vec<_> = values.iter().map(|value| value.escape_ascii().to_string()).collect();
                            texts.join(" | ")
                        };
                        wrong.push(format!(
                            "{at}: the upstream has {} `{}`, not `{}`",
                            seen.name,
                            shown(&values),
                            shown(&seen.values)
                        ));
                    }
                }
            }
        }
        wrong
    }
}

async fn assert_come_out_as_they_should(rows: Vec<Row>) {
    let stage = Stage::start().await;
    let mut wrong = Vec::new();
    for row in &rows {
        wrong.extend(stage.differences(row).await);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_alive(&stage.envoy).await;
}

#[tokio::test]
async fn values_that_an_upstream_trims_or_splits_are_doubts() {
    assert_come_out_as_they_should(values()).await;
}

#[tokio::test]
async fn names_and_lines_that_an_upstream_takes_for_one_are_doubts() {
    assert_come_out_as_they_should(names()).await;
}

#[tokio::test]
async fn methods_that_an_upstream_takes_from_a_header_are_decided_on_too() {
    assert_come_out_as_they_should(methods()).await;
}

#[tokio::test]
async fn paths_that_an_upstream_takes_from_a_header_are_decided_on_too() {
    assert_come_out_as_they_should(paths_and_hosts()).await;
}

/// Trailers come when the decision has been made, and an upstream may take them for headers (RFC 9110 6.5.1): none passes
/// under a name that was looked at. Others do.
#[tokio::test]
async fn trailers_that_an_upstream_takes_for_headers_do_not_pass() {
    let stage = Stage::start().await;
    let looked_at = [
        "x-debug",
        "x_debug",
        "x-tenant",
        "cookie",
        "x-svidgate-id",
        "x-forwarded-client-cert",
        "x_forwarded_client_cert",
        "x-http-method-override",
        "x-original-url",
        "x_rewrite_url",
    ];
    let plain = Request::new("POST", "/is/x");
    let grpc = Request {
        body: vec![0; 5],
        ..Request::new("POST", "/is/x")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
    };
    for gate in ["ruled-2", "open-2"] {
        for request in [plain.clone(), grpc.clone()] {
            let with_all = |request: Request, name: &&str| request.trailer(name, "1");
            let request = looked_at.iter().fold(request, with_all).trailer("x-checksum", "7");
            let client = Client::with(Some(&stage.api), ClientOptions::http2());
            let mut http: Http = client
                .connect(stage.envoy.listener_addr(gate))
                .await
                .unwrap()
                .http2()
                .await
                .unwrap();
            assert_eq!(http.send(request).await.status(), Some(200), "{gate}");
            let arrived = stage.upstream.requests().pop().unwrap();
            let mut names: Vec<&str> = arrived.trailers.iter().map(|(name, _)| name.as_str()).collect();
            names.sort_unstable();
            let expected: &[&str] = match gate {
                "ruled-2" => &["x-checksum"],
                // Here no rule looks at any header.
                _ => &["cookie", "x-checksum", "x-debug", "x-tenant", "x_debug"],
            };
            assert_eq!(names, expected, "{gate}");
        }
    }
    assert_alive(&stage.envoy).await;
}
