//! Every form in which one path is known to pass for another, against a deny rule on a path and an allow rule on its
//! siblings: what an upstream gets to see is never a path that the rules forbid, whoever reads it.
//!
//! Five listeners: both readings, in front of an Envoy that leaves paths alone and one that normalises all it can, and
//! the strict one with an allow rule that opens encoded slashes. Each target goes over HTTP/1.1 and over HTTP/2. What
//! was let through is then read by every reader of [`Reader`].

use futures_util::future::join_all;
use serde_json::{Value, json};
use support::{
    ca::Identity,
    envoy::{Cluster, Envoy, Scenario, envoy_version},
    upstream::{HttpUpstream, Recorded},
    world::{World, with},
};

use crate::{
    raw::{Sent, Version},
    stage::{API, API_PATH, Filters, assert_alive, http_listener, reason},
};

/// The listeners, in the order of the columns of [`TARGETS`]. The last has no column: it does as the first does, but
/// for [`OPENED`].
const LISTENERS: [&str; 5] = [
    "strict",
    "strict-normalising",
    "lenient",
    "lenient-normalising",
    "strict-opened",
];

/// A request target, and what each listener makes of it: allowed (`a`), `rule.denied` (`d`), `rule.none_matched` (`n`),
/// `request.ambiguous_path` (`?`), `request.malformed` (`m`), refused by Envoy before any filter (`E`).
type Row = (&'static [u8], &'static str);

const TARGETS: &[Row] = &[
    // What is meant by the rules.
    (b"/open/x", "aaaa"),
    (b"/open", "aaaa"),
    (b"/open/", "aaaa"),
    (b"/open/x/", "aaaa"),
    (b"/open/secrets", "aaaa"),
    (b"/open/secret", "dddd"),
    (b"/open/secret/", "dddd"),
    (b"/open/secret/x", "dddd"),
    (b"/open/secret/x?y", "dddd"),
    (b"/open/secret?/../x", "dddd"),
    (b"/open/x?/../secret", "aaaa"),
    (b"/closed", "nnnn"),
    (b"/", "nnnn"),
    // Escapes that mean nothing, in either case.
    (b"/open/%73ecret", "dddd"),
    (b"/%6fpen/secret", "dddd"),
    (b"/%6Fpen/%53ecret", "aaaa"),
    (b"/open/%73%65%63%72%65%74/x", "dddd"),
    // Encoded slashes and backslashes, and plain backslashes.
    (b"/open%2fsecret", "?dnd"),
    (b"/open%2Fsecret/x", "?dnd"),
    (b"/open/x%2f..%2fsecret", "?d?d"),
    (b"/open/%2fsecret", "?dad"),
    (b"/open/secret%2fx", "?dad"),
    (b"/open/x%2Fy", "?aaa"),
    (b"/open/x%2fsecret/y%2F%73ecret", "?aaa"),
    (b"/open%2Fx/y", "?ana"),
    (b"/open/x%2f%2Fy", "?aaa"),
    (b"/open/x%2Fy;z", "??aa"),
    (b"/open/x%2Fy/a;b", "??aa"),
    (b"/open/x%2Fy/a\\b", "?aaa"),
    (b"/open/x%2Fy%252Fz", "??aa"),
    (b"/open/%5csecret", "?dad"),
    (b"/open%5Csecret", "?dnd"),
    (b"/open\\secret", "?dnd"),
    (b"/open/x\\..\\secret", "?d?d"),
    (b"\\open\\secret", "EEEE"),
    (b"/open/secret\\x", "?dad"),
    // Empty segments.
    (b"/open//secret", "?dad"),
    (b"//open/secret", "?dnd"),
    (b"/open///secret//", "?dad"),
    (b"/open/secret//", "?ddd"),
    (b"/open/x//", "?aaa"),
    // Dot segments.
    (b"/open/./secret", "?d?d"),
    (b"/open/x/../secret", "?d?d"),
    (b"/open/../open/secret", "?d?d"),
    (b"/open/x/..", "?a?a"),
    (b"/open/x/.", "?a?a"),
    (b"/open/..", "?n?n"),
    (b"/closed/../open/secret", "?d?d"),
    (b"/open/%2e/secret", "?d?d"),
    (b"/open/x/%2e%2e/secret", "?d?d"),
    (b"/open/x/%2E%2e/secret", "?d?d"),
    (b"/open/x/.%2e/secret", "?d?d"),
    (b"/open/x/..;/secret", "?d?d"),
    (b"/open/x/..;a=b/secret", "?d?d"),
    (b"/open/.;/secret", "?d?d"),
    (b"/open/.../secret", "aaaa"),
    (b"/open/secret.", "aaaa"),
    (b"/open/.secret", "aaaa"),
    // Parameters.
    (b"/open;x/secret", "??nn"),
    (b"/open/secret;x", "??aa"),
    (b"/open/secret;/x", "??aa"),
    (b"/open/;/secret", "??aa"),
    (b"/open/%3b/secret", "??aa"),
    (b"/open/secret%3Bx", "??aa"),
    // Escaped twice.
    (b"/open%252fsecret", "??nn"),
    (b"/open/%2573ecret", "??aa"),
    (b"/open/x/%252e%252e/secret", "??aa"),
    (b"/open/%25252fsecret", "??aa"),
    (b"/open/x/%25%32%65%25%32%65/secret", "??aa"),
    (b"/open/%255csecret", "??aa"),
    // Over-long UTF-8, full-width forms, and what is no UTF-8.
    (b"/open%c0%afsecret", "??nn"),
    (b"/open/x/%c0%ae%c0%ae/secret", "??aa"),
    (b"/open%e0%80%afsecret", "??nn"),
    (b"/open%c1%9csecret", "??nn"),
    (b"/open%EF%BC%8Fsecret", "nnnn"),
    (b"/open/x/%EF%BC%8E%EF%BC%8E/secret", "aaaa"),
    (b"/open/%ff", "??aa"),
    (b"/open/caf%C3%A9", "aaaa"),
    // NUL, control bytes, spaces.
    (b"/open/secret%00", "?E?E"),
    (b"/open/secret%00.txt", "?E?E"),
    (b"/open/%00/secret", "?E?E"),
    (b"/open/secret%0a", "????"),
    (b"/open/secret%0d%0ax", "????"),
    (b"/open/secret%09", "????"),
    (b"/open/secret%20", "aaaa"),
    (b"/open/secret%7f", "????"),
    // Where the path ends.
    (b"/open/secret#x", "EEEE"),
    (b"/open/x#/secret", "EEEE"),
    (b"/open/secret%23", "??aa"),
    (b"/open/secret%3f", "??aa"),
    (b"/open/secret%3Fx=/y", "??aa"),
    (b"/open/%3f/../secret", "?d?d"),
    (b"/open?secret", "aaaa"),
    // Broken escapes, and escapes of other worlds.
    (b"/open/secret%", "????"),
    (b"/open/secret%2", "????"),
    (b"/open/secret%zz", "????"),
    (b"/open/%u0073ecret", "????"),
    (b"/open%u2215secret", "????"),
    (b"/open/%%73ecret", "????"),
    // Case of other worlds: another path, for rules know case.
    (b"/OPEN/secret", "nnnn"),
    // Targets that are no path.
    (b"*", "EEEE"),
    (b"open/secret", "EEEE"),
    (b"http://localhost/open/secret", "dddd"),
    (b"http://localhost/open/x", "aaaa"),
    (b"http://localhost/open/../open/secret", "?d?d"),
    (b"http://localhost//open/secret", "?dnd"),
    (b"https://localhost/open%2fsecret", "?dnd"),
    (b"http://localhost", "nnnn"),
    (b"http://user@localhost/open/secret", "dddd"),
    (b"ftp://localhost/open/secret", "EEEE"),
    // Bytes that no target has.
    (b"/open/\xffsecret", "EEEE"),
    (b"/open/caf\xc3\xa9", "EEEE"),
    (b"/open\xc0\xafsecret", "EEEE"),
    (b"/open/\x01", "EEEE"),
    (b"/open/secret\x7f", "EEEE"),
    (b"/open/secret\tx", "EEEE"),
];

/// What is otherwise with an Envoy before 1.39: its normalisation leaves parameters where they are.
const BEFORE_1_39: &[Row] = &[
    (b"/open/x/..;/secret", "????"),
    (b"/open/x/..;a=b/secret", "????"),
    (b"/open/.;/secret", "????"),
];

/// The same over HTTP/2, where a different parser stands in front; only what it makes differently.
const OVER_HTTP2: &[Row] = &[
    (b"http://localhost/open/secret", "EEEE"),
    (b"/open/\xffsecret", "??aa"),
    // Normalised, it is escaped.
    (b"/open/caf\xc3\xa9", "?aaa"),
    (b"/open\xc0\xafsecret", "??nn"),
];

/// What the listener that opens encoded slashes makes otherwise than the strict one. Where only one reading is allowed,
/// or one is denied, the other opens nothing.
const OPENED: &[(&[u8], char)] = &[
    (b"/open%2fsecret", 'n'),
    (b"/open%2Fsecret/x", 'n'),
    (b"/open/secret%2fx", 'd'),
    (b"/open/x%2Fy", 'a'),
    (b"/open/x%2fsecret/y%2F%73ecret", 'a'),
    (b"/open%2Fx/y", 'n'),
    (b"https://localhost/open%2fsecret", 'n'),
];

fn rules(siblings: &Value) -> Value {
    json!([
        { "name": "siblings", "effect": "allow", "from": [API], "to": [siblings] },
        { "name": "secret", "effect": "deny", "from": [API], "to": [{ "paths": ["/open/secret/**"] }] },
    ])
}

/// Has the listeners of that name do all that Envoy can do to a path.
fn normalising(bootstrap: &mut Value) {
    for listener in bootstrap["static_resources"]["listeners"].as_array_mut().unwrap() {
        if !listener["name"].as_str().unwrap().ends_with("normalising") {
            continue;
        }
        for filter in listener["filter_chains"][0]["filters"].as_array_mut().unwrap() {
            if filter["name"] == "envoy.filters.network.http_connection_manager" {
                let manager = &mut filter["typed_config"];
                manager["normalize_path"] = json!(true);
                manager["merge_slashes"] = json!(true);
                manager["path_with_escaped_slashes_action"] = json!("UNESCAPE_AND_FORWARD");
            }
        }
    }
}

/// A way to read a path, wrong for HTTP in most of its parts, and each part known from some server or framework.
#[derive(Clone, Copy, Debug, Default)]
struct Reader {
    /// How often escapes are undone before anything else is looked at.
    decodes: u32,
    /// `\` is a slash.
    backslash: bool,
    /// `;` and what follows it is dropped from each segment.
    parameters: bool,
    /// Empty segments are dropped.
    merges: bool,
    /// `.` and `..` are resolved.
    dots: bool,
    /// A `?`, `#` or NUL that comes out of an escape ends the path.
    cuts: bool,
    /// Over-long UTF-8 (`C0 AF`) counts. (One who folds names, by case or to the forms that Unicode calls compatible,
    /// is no reader of this kind: to it `SECRET` and full-width letters are `secret`, and rules compare bytes.)
    overlong: bool,
}

impl Reader {
    /// Every combination.
    fn all() -> impl Iterator<Item = Reader> {
        (0..3 * 64u32).map(|number| {
            let on = |bit: u32| (number / 3) & (1 << bit) != 0;
            Reader {
                decodes: number % 3 + 1,
                backslash: on(0),
                parameters: on(1),
                merges: on(2),
                dots: on(3),
                cuts: on(4),
                overlong: on(5),
            }
        })
    }

    /// The one that `paths: lenient` is for: splits at slashes and undoes escapes once, within segments.
    fn literal(path: &[u8]) -> Vec<Vec<u8>> {
        let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
        path.split(|byte| *byte == b'/').skip(1).map(decode).collect()
    }

    fn segments(self, path: &[u8]) -> Vec<Vec<u8>> {
        let mut path = path.split(|byte| *byte == b'?').next().unwrap_or_default().to_vec();
        for _ in 0..self.decodes {
            path = decode(&path);
        }
        if self.overlong {
            path = shorten(&path);
        }
        if self.cuts {
            let end = path.iter().position(|byte| b"?#\0".contains(byte));
            path.truncate(end.unwrap_or(path.len()));
        }
        if self.backslash {
            path.iter_mut()
                .filter(|byte| **byte == b'\\')
                .for_each(|byte| *byte = b'/');
        }
        let mut segments: Vec<Vec<u8>> = Vec::new();
        for segment in path.split(|byte| *byte == b'/').skip(1) {
            let segment = match self.parameters {
                true => segment.split(|byte| *byte == b';').next().unwrap_or_default(),
                false => segment,
            };
            match segment {
                b"" if self.merges => {}
                b"." if self.dots => {}
                b".." if self.dots => drop(segments.pop()),
                name => segments.push(name.to_vec()),
            }
        }
        segments
    }
}

fn decode(text: &[u8]) -> Vec<u8> {
    let (mut decoded, mut rest) = (Vec::new(), text);
    while let [byte, after @ ..] = rest {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let value = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match value.filter(|_| *byte == b'%') {
            Some(value) => (decoded.push(value), rest = &after[2..]),
            None => (decoded.push(*byte), rest = after),
        };
    }
    decoded
}

fn shorten(path: &[u8]) -> Vec<u8> {
    let forms: [(&[u8], u8); 4] = [
        (b"\xc0\xaf", b'/'),
        (b"\xe0\x80\xaf", b'/'),
        (b"\xc0\xae", b'.'),
        (b"\xc1\x9c", b'\\'),
    ];
    let (mut shortened, mut rest) = (Vec::new(), path);
    while let [byte, after @ ..] = rest {
        match forms.iter().find(|(form, _)| rest.starts_with(form)) {
            Some((form, plain)) => (shortened.push(*plain), rest = &rest[form.len()..]),
            None => (shortened.push(*byte), rest = after),
        };
    }
    shortened
}

fn is_forbidden(segments: &[Vec<u8>]) -> bool {
    let allowed = segments.first().is_some_and(|first| first == b"open");
    !allowed || segments.get(1).is_some_and(|second| second == b"secret")
}

struct Gate {
    upstream: HttpUpstream,
    envoy: Envoy,
    api: Identity,
}

impl Gate {
    async fn start() -> Self {
        let (world, upstream) = (World::new(), HttpUpstream::start());
        let strict = world.document(rules(&json!({ "paths": ["/open/**"] })));
        let lenient = with(strict.clone(), json!({ "paths": "lenient" }));
        let opening = json!({ "paths": ["/open/**"], "routes": ["app"], "encoded_slashes": true });
        let opened = world.document(rules(&opening));
        let document = |name: &str| match name {
            "strict-opened" => &opened,
            name if name.starts_with("strict") => &strict,
            _ => &lenient,
        };
        let envoy = Envoy::start(Scenario {
            listeners: LISTENERS
                .map(|name| http_listener(&world, name, Filters::Both, document(name)))
                .into(),
            clusters: vec![Cluster::new("app", upstream.addr())],
            amend: Some(normalising),
            ..Scenario::default()
        })
        .await;
        Self {
            api: world.own_identity(API_PATH),
            upstream,
            envoy,
        }
    }

    /// Sends one request and waits for the entry that it leaves; what came of it, and what the upstream saw.
    async fn ask(&self, listener: &str, version: Version, target: &[u8]) -> (char, Option<Recorded>) {
        let logged = self.envoy.request_log(listener).len();
        // All listeners are asked at once; by this its request is known.
        let mark = format!("{listener} {logged}").into_bytes();
        let headers: [(&[u8], &[u8]); 1] = [(b"x-mark", &mark)];
        let send = Sent {
            headers: &headers,
            ..get(target)
        };
        send.send(version, &self.api, self.envoy.listener_addr(listener)).await;
        let log = self.envoy.wait_request_log(listener, logged + 1).await;
        let mut arrived = self.upstream.requests().into_iter();
        let arrived = arrived.find(|request| request.header("x-mark") == [&mark[..]]);
        let outcome = outcome(&log[logged]);
        // What the upstream's own parser refuses is not among its requests.
        let refused_there = log[logged]["details"] == "via_upstream" && log[logged]["status"] == 400;
        assert_eq!(
            outcome == 'a',
            arrived.is_some() || refused_there,
            "{listener}: {}",
            log[logged]
        );
        (outcome, arrived)
    }
}

fn get(target: &[u8]) -> Sent<'_> {
    Sent {
        method: b"GET",
        target,
        authority: b"localhost",
        headers: &[],
    }
}

fn outcome(entry: &Value) -> char {
    match reason(entry).as_str() {
        "rule.allowed" => 'a',
        "rule.denied" => 'd',
        "rule.none_matched" => 'n',
        "request.ambiguous_path" => '?',
        "request.malformed" => 'm',
        "none at all" => 'E',
        other => panic!("{other}: {entry}"),
    }
}

/// Of every row that came out differently, what it should say.
async fn differences(gate: &Gate, rows: impl Iterator<Item = Row>, version: Version) -> Vec<String> {
    let mut differences = Vec::new();
    for (target, expected) in rows {
        let opened = OPENED.iter().find(|(opened, _)| *opened == target);
        let as_strict = expected.chars().next();
        let expected = format!(
            "{expected}{}",
            opened.map(|(_, outcome)| *outcome).or(as_strict).unwrap()
        );
        let mut found = String::new();
        let asked = LISTENERS.map(|listener| gate.ask(listener, version, target));
        for (listener, (outcome, arrived)) in LISTENERS.iter().zip(join_all(asked).await) {
            found.push(outcome);
            if let Some(arrived) = arrived {
                assert_is_not_forbidden(listener, target, &arrived);
            }
        }
        if found != expected {
            differences.push(format!("(b\"{}\", \"{found}\"), not {expected}", target.escape_ascii()));
        }
    }
    differences
}

/// With the strict reading for every reader; with the lenient one for the reader it is for.
fn assert_is_not_forbidden(listener: &str, target: &[u8], arrived: &Recorded) {
    let what = format!("{listener}: {} became {}", target.escape_ascii(), arrived.path);
    let path = arrived.path.as_bytes();
    assert!(!is_forbidden(&Reader::literal(path)), "{what}");
    let strict = listener.starts_with("strict");
    for reader in Reader::all().filter(|_| strict) {
        assert!(!is_forbidden(&reader.segments(path)), "{what}: {reader:?}");
    }
}

#[tokio::test]
async fn no_form_of_a_forbidden_path_reaches_the_upstream() {
    let gate = Gate::start().await;
    let older: &[Row] = if envoy_version() < (1, 39) { BEFORE_1_39 } else { &[] };
    let unless = |exceptions: &'static [Row], row: Row| {
        let exception = exceptions.iter().find(|(target, _)| *target == row.0);
        *exception.unwrap_or(&row)
    };
    let rows = TARGETS.iter().map(|row| unless(older, *row));
    let one = differences(&gate, rows.clone(), Version::One).await;
    assert!(one.is_empty(), "over HTTP/1.1:\n{}", one.join("\n"));
    // One target in absolute form is enough: Envoy takes a second to close a connection with a malformed request.
    let is_sent = |row: &Row| row.0 == b"http://localhost/open/secret" || !row.0.contains(&b':');
    let over_http2 = rows.filter(is_sent).map(|row| unless(OVER_HTTP2, row));
    let two = differences(&gate, over_http2, Version::Two).await;
    assert!(two.is_empty(), "over HTTP/2:\n{}", two.join("\n"));
    assert_alive(&gate.envoy).await;
}
