//! Every part of a request that an upstream behind Envoy may read otherwise than a filter in Envoy does, one row a
//! case: what comes of it under rules that look at that part, and what the upstream sees of it where everything is
//! allowed.
//!
//! Each row goes over HTTP/1.1 and over HTTP/2 to a gate with rules and to one without, in front of an upstream of
//! HTTP/1.1 and in front of one of HTTP/2. Paths have more cases, and a table of their own in
//! [`crate::path_confusion`].

mod cases;
mod row;

use futures_util::future::join_all;
use support::{
    ca::Identity,
    client::{Client, ClientOptions, Http, Request},
    envoy::{ClientCertificate, Cluster, Envoy, Listener, Route, Scenario},
    upstream::{HttpUpstream, Recorded},
    world::World,
};

use self::{
    cases::{AMBIGUOUS, MALFORMED, methods, names, paths_and_hosts, rules, values},
    row::{
        Outcome::{Allowed, Envoy as ByEnvoy, Refused},
        Row,
    },
};
use crate::{
    raw::{Sent, Version},
    stage::{API_PATH, Filters, allow_api, assert_alive, gated, reason},
};

const VERSIONS: [Version; 2] = [Version::One, Version::Two];

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
        sent.send(version, &self.api, self.envoy.listener_addr(gate)).await;
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

/// Trailers come when the decision has been made, and an upstream may take them for headers (RFC 9110 6.5.1): none
/// passes under a name that was looked at. Others do.
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
