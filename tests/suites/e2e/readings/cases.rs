//! The rules, and the rows that are asked under them.

use serde_json::{Value, json};
use support::world::with;

use super::row::{
    Outcome::{self, Allowed, Envoy as ByEnvoy, Refused},
    Row, each, row,
};
use crate::{raw::Version, stage::API};

const DENIED: Outcome = Refused("rule.denied");
const NONE: Outcome = Refused("rule.none_matched");
pub(super) const AMBIGUOUS: Outcome = Refused("request.ambiguous_path");
pub(super) const MALFORMED: Outcome = Refused("request.malformed");

/// Each first segment is open but for what is said of it.
pub(super) fn rules() -> Value {
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
pub(super) fn values() -> Vec<Row> {
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
pub(super) fn names() -> Vec<Row> {
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
pub(super) fn methods() -> Vec<Row> {
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
pub(super) fn paths_and_hosts() -> Vec<Row> {
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
        // Whoever trusts these trusts the client: see docs/document.md. A rule can ask for them.
        row("x-forwarded-host", "/elsewhere/x", Allowed)
            .host("api.example")
            .header("x-forwarded-host", "secret.example")
            .seen(":authority", &["api.example"])
            .seen("x-forwarded-host", &["secret.example"]),
    ]
}
