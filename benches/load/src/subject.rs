//! The Envoys that are held beside each other. All have one listener `web` with mutual TLS and a direct response, so
//! that nothing but the filter differs.

use std::net::SocketAddr;
use std::path::PathBuf;

use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};
use support::ca::{Identity, Key, real_now, token_of};
use support::envoy::{
    ClientCertificate, Cluster, Configuration, Delivery, Dial, Envoy, Kind, Listener, Route, Scenario, Wasm, Xfcc,
};
use support::world::{OWN, World, with};
use support::{module_path, repository};

use crate::drive::Header;
use crate::process::pin_envoy;

/// What the load asks for.
pub const PATH: &str = "/orders/7";
/// Who asks for it, below our trust domain.
pub const CALLER: &str = "/ns/shop/sa/api";
/// The listener.
pub const LISTENER: &str = "web";
/// Ids below this may do the same: where many identities are needed.
pub const CROWD: &str = "/ns/crowd";

/// Who brings others by their certificates.
pub const CERTIFICATE_HOP: &str = "/edge/certificates";
/// Who brings others by their tokens.
pub const TOKEN_HOP: &str = "/edge/tokens";
/// For whom tokens are.
pub const AUDIENCE: &str = "spiffe://prod.example/orders";
/// How tokens are signed, and the name of their key.
pub const ES256: &str = "ES256";
/// Where certificates of others are.
pub const XFCC: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

/// Where svidgate, or the filter that does nothing, stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// As an HTTP filter alone.
    Request,
    /// As a network filter and as an HTTP filter.
    Both,
}

/// What stands in the listener.
#[derive(Clone, Debug)]
pub enum Filter {
    /// Nothing.
    None,
    /// A wasm filter that does nothing.
    Idle(Place),
    /// svidgate with this document.
    Svidgate(Place, Value),
    /// The same, and behind it RBAC that demands its mark.
    Locked(Place, Value),
    /// Another HTTP filter, as Envoy's configuration has it.
    Native(Value),
}

impl Filter {
    /// Puts it into an HTTP listener.
    pub(crate) fn placed(self, mut listener: Listener, delivery: Delivery) -> Listener {
        match self {
            Filter::None => listener,
            Filter::Native(filter) => {
                if let Kind::Http(http) = &mut listener.kind {
                    http.filters_before.push(filter);
                }
                listener
            }
            Filter::Idle(place) => placed(listener, place, idle()),
            Filter::Locked(place, document) => {
                let document = with(document, json!({ "mark_passed": true }));
                let mut listener = Filter::Svidgate(place, document).placed(listener, delivery);
                if let Kind::Http(http) = &mut listener.kind {
                    http.filters_after.push(lock());
                }
                listener
            }
            Filter::Svidgate(place, document) => {
                let wasm = Wasm {
                    delivery,
                    ..Wasm::new(&module_path(), document)
                };
                placed(listener, place, wasm)
            }
        }
    }
}

/// How an Envoy is made.
#[derive(Clone, Debug)]
pub struct Make {
    /// What stands in the listener.
    pub filter: Filter,
    /// Whether requests are logged, the record of svidgate with them.
    pub access_log: bool,
    /// How the module's configuration arrives.
    pub delivery: Delivery,
    /// How many workers.
    pub workers: u32,
    /// Routes before the one that Envoy answers itself.
    pub routes: Vec<Route>,
    /// What routes lead to, and what the filter calls.
    pub clusters: Vec<Cluster>,
    /// What becomes of `x-forwarded-client-cert`.
    pub xfcc: Xfcc,
    /// From which level on the module's lines are in the log.
    pub wasm_log_level: &'static str,
}

impl Make {
    /// One worker, no access log.
    pub fn of(filter: Filter) -> Self {
        Make {
            filter,
            access_log: false,
            delivery: Delivery::Static,
            workers: 1,
            routes: Vec::new(),
            clusters: vec![Cluster::new("nowhere", ([127, 0, 0, 1], 1).into())],
            xfcc: Xfcc::default(),
            wasm_log_level: QUIET,
        }
    }

    /// Starts it, on the core of the Envoys.
    pub async fn start(mut self, world: &World) -> Envoy {
        self.routes.push(Route::direct("all", "/", 200, "ok"));
        let listener = Listener::http(LISTENER, self.routes).xfcc(self.xfcc);
        let listener = self.filter.placed(listener, self.delivery);
        let running = Running {
            workers: self.workers,
            access_log: self.access_log,
            wasm_log_level: self.wasm_log_level,
        };
        start(listener, self.clusters, running, world).await
    }
}

/// An Envoy with a TCP listener to `upstream`, the clients of which speak first.
pub async fn start_tcp(filter: Filter, upstream: SocketAddr, world: &World) -> Envoy {
    let mut listener = Listener::tcp(LISTENER, "sink", Dial::OnDownstreamData);
    listener = match filter {
        Filter::None | Filter::Native(_) => listener,
        Filter::Idle(_) => listener.connection_filter(idle()),
        // There are no requests to mark.
        Filter::Svidgate(_, document) | Filter::Locked(_, document) => {
            listener.connection_filter(Wasm::new(&module_path(), document))
        }
    };
    let running = Running {
        workers: 1,
        access_log: false,
        wasm_log_level: QUIET,
    };
    start(listener, vec![Cluster::new("sink", upstream)], running, world).await
}

/// Only what an operator should look at.
const QUIET: &str = "warning";

/// What is no matter of the listener.
struct Running {
    workers: u32,
    access_log: bool,
    wasm_log_level: &'static str,
}

async fn start(listener: Listener, clusters: Vec<Cluster>, running: Running, world: &World) -> Envoy {
    let listener = listener.tls(&world.server, ClientCertificate::AcceptUntrusted);
    let envoy = Envoy::start(Scenario {
        concurrency: running.workers,
        log_level: QUIET.to_owned(),
        wasm_log_level: running.wasm_log_level.to_owned(),
        amend: Some(if running.access_log { log_requests } else { log_nothing }),
        ..Scenario::of(listener, clusters)
    })
    .await;
    pin_envoy(envoy.pid());
    envoy
}

fn placed(listener: Listener, place: Place, wasm: Wasm) -> Listener {
    match place {
        Place::Request => listener.request_filter(wasm),
        Place::Both => listener.connection_filter(wasm.clone()).request_filter(wasm),
    }
}

fn idle() -> Wasm {
    Wasm {
        configuration: Configuration::Absent,
        ..Wasm::new(&idle_module(), Value::Null)
    }
}

/// The module that does nothing.
///
/// # Panics
/// When it is not there.
pub fn idle_module() -> PathBuf {
    let path = repository().join("target/wasm32-wasip1/release/noop.wasm");
    assert!(path.is_file(), "no module at {}: run `make wasm-noop`", path.display());
    path
}

fn listeners(bootstrap: &mut Value) -> impl Iterator<Item = &mut Value> {
    let listeners = bootstrap["static_resources"]["listeners"].as_array_mut();
    listeners.into_iter().flatten()
}

/// For a listener whose requests are logged, and nothing else.
fn log_requests(bootstrap: &mut Value) {
    lift_limits(bootstrap);
    for listener in listeners(bootstrap) {
        remove(listener, "access_log");
    }
}

/// For a listener that logs nothing.
pub(crate) fn log_nothing(bootstrap: &mut Value) {
    log_requests(bootstrap);
    for listener in listeners(bootstrap) {
        let filters = listener["filter_chains"][0]["filters"].as_array_mut();
        for filter in filters.into_iter().flatten() {
            remove(&mut filter["typed_config"], "access_log");
        }
    }
}

/// What is held open is more than the 1,024 requests that Envoy allows a cluster, and for longer than the five minutes
/// that a stream may be silent.
fn lift_limits(bootstrap: &mut Value) {
    for listener in listeners(bootstrap) {
        let filters = listener["filter_chains"][0]["filters"].as_array_mut();
        let managers = filters.into_iter().flatten().map(|filter| &mut filter["typed_config"]);
        for manager in managers.filter(|filter| filter["stat_prefix"].is_string() && filter["route_config"].is_object())
        {
            manager["stream_idle_timeout"] = json!("0s");
        }
    }
    let clusters = bootstrap["static_resources"]["clusters"].as_array_mut();
    for cluster in clusters.into_iter().flatten() {
        cluster["circuit_breakers"] = json!({ "thresholds": [{
            "max_connections": 100_000, "max_pending_requests": 100_000, "max_requests": 100_000,
        }] });
    }
}

fn remove(object: &mut Value, member: &str) {
    object.as_object_mut().and_then(|members| members.remove(member));
}

/// A document with that many rules, of which the same few are for the caller at any size: two that allow and a deny
/// that covers everyone. Nine in ten of the others name a service, one in ten a namespace.
pub fn document(world: &World, rules: usize) -> Value {
    let orders = json!([{ "methods": ["GET"], "paths": ["/orders/**"] }]);
    let mut all = vec![
        json!({ "name": "nobody-near-admin", "effect": "deny", "from": ["spiffe://*/**"], "to": [{ "paths": ["/admin/**"] }] }),
        json!({ "name": "crowd", "effect": "allow", "from": [format!("spiffe://{OWN}{CROWD}/**")], "to": orders }),
    ];
    while all.len() + 1 < rules {
        let number = all.len();
        let from = if number % 10 == 0 {
            format!("spiffe://{OWN}/ns/team-{number}/**")
        } else {
            format!("spiffe://{OWN}/ns/team-{}/sa/service-{number}", number % 97)
        };
        all.push(json!({ "name": format!("rule-{number}"), "effect": "allow", "from": [from], "to": orders }));
    }
    all.push(json!({ "name": "caller", "effect": "allow", "from": [format!("spiffe://{OWN}{CALLER}")], "to": orders }));
    world.document(json!(all))
}

/// With two peers that bring others' requests, one by their certificates and one by their tokens, which these keys sign.
/// Otherwise it is a document of 10 rules, whose callers may come directly and through both.
pub fn hop_document(world: &World, keys: &[(&str, &Key)]) -> Value {
    let mut document = document(world, 10);
    let rules = document["rules"].as_array_mut();
    for rule in rules.into_iter().flatten().filter(|rule| rule["effect"] == "allow") {
        rule["via"] = json!(["direct", "by-certificate", "by-token"]);
    }
    let published = |(kid, key): &(&str, &Key)| with(key.jwk(), json!({ "kid": kid, "use": "jwt-svid" }));
    let authorities = document["bundle"]["inline"]["keys"].as_array_mut();
    authorities.expect("authorities").extend(keys.iter().map(published));
    let hop = |name: &str, peer: &str, assertion: &str| {
        json!({ "name": name, "peers": [format!("spiffe://{OWN}{peer}")], "callers": [format!("spiffe://{OWN}/ns/**")],
                "assertion": assertion })
    };
    let hops = [
        hop("by-certificate", CERTIFICATE_HOP, "xfcc"),
        hop("by-token", TOKEN_HOP, "jwt_svid"),
    ];
    let jwt_svid = json!({ "audiences": [AUDIENCE] });
    let members = json!({ "xfcc": "hop", "hops": hops, "jwt_svid": jwt_svid, "access_log": "refusals" });
    with(document, members)
}

/// What a hop says for the owner of a certificate.
///
/// # Panics
/// Never: it is written for a header.
pub fn by_certificate(caller: &Identity) -> Header {
    let element = format!("Hash={};Cert=\"{}\"", caller.leaf_sha256(), caller.leaf_pem_escaped());
    (XFCC, HeaderValue::try_from(element).expect("plain letters"))
}

/// What a hop says for the subject of a token that `key` signs, for five minutes from now on.
pub fn by_token(id: &str, key: &Key) -> Header {
    let now = real_now().as_second();
    let header = json!({ "alg": ES256, "kid": ES256 }).to_string();
    let claims = json!({ "aud": AUDIENCE, "sub": id, "iat": now, "exp": now + 300 });
    bearer(&token_of(key, ES256, header, claims.to_string()))
}

/// What a hop says with a token.
///
/// # Panics
/// When it is none that a header can have.
pub fn bearer(token: &str) -> Header {
    let value = HeaderValue::try_from(format!("Bearer {token}")).expect("plain letters");
    (AUTHORIZATION, value)
}

/// The same for a TCP listener.
pub fn tcp_document(world: &World) -> Value {
    let rules = json!([{ "name": "caller", "effect": "allow", "from": [format!("spiffe://{OWN}{CALLER}")] }]);
    with(world.document(rules), json!({ "listener": "tcp" }))
}

/// The id of the policy `number` of so many; the last is the caller's.
fn policy_id(number: usize, policies: usize) -> String {
    if number + 1 == policies {
        format!("spiffe://{OWN}{CALLER}")
    } else {
        format!("spiffe://{OWN}/ns/team-{}/sa/service-{number}", number % 97)
    }
}

/// Envoy's RBAC with a policy for each id, the way most people write it. The last one is the caller's. Permissions are
/// left open, which is the cheapest they can be.
pub fn rbac_list(policies: usize) -> Value {
    let policy = |number| {
        let id = policy_id(number, policies);
        let principal = json!({ "authenticated": { "principal_name": { "exact": id } } });
        let policy = json!({ "permissions": [{ "any": true }], "principals": [principal] });
        // Envoy goes through them in the order of their names.
        (format!("policy-{number:06}"), policy)
    };
    let policies: Map<String, Value> = (0..policies).map(policy).collect();
    rbac(json!({ "rules": { "action": "ALLOW", "policies": policies } }))
}

/// Envoy's RBAC that lets pass what svidgate has marked.
fn lock() -> Value {
    let mark = json!({ "key": "wasm.svidgate.passed", "string_match": { "safe_regex": { "regex": ".+" } } });
    let policy = json!({ "permissions": [{ "any": true }], "principals": [{ "filter_state": mark }] });
    rbac(json!({ "rules": { "action": "ALLOW", "policies": { "passed": policy } } }))
}

/// Envoy's RBAC as a matcher tree: one look-up of the URI SAN in a hash map.
pub fn rbac_tree(policies: usize) -> Value {
    let action = |name: &str, action: &str| {
        json!({ "action": { "name": name, "typed_config": {
            "@type": "type.googleapis.com/envoy.config.rbac.v3.Action", "name": name, "action": action,
        } } })
    };
    let entry = |number| (policy_id(number, policies), action("allow", "ALLOW"));
    let map: Map<String, Value> = (0..policies).map(entry).collect();
    let input = "type.googleapis.com/envoy.extensions.matching.common_inputs.ssl.v3.UriSanInput";
    let tree = json!({
        "input": { "name": "uri", "typed_config": { "@type": input } },
        "exact_match_map": { "map": map },
    });
    rbac(json!({ "matcher": { "matcher_tree": tree, "on_no_match": action("deny", "DENY") } }))
}

fn rbac(mut config: Value) -> Value {
    config["@type"] = json!("type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC");
    json!({ "name": "envoy.filters.http.rbac", "typed_config": config })
}

/// External authorisation over gRPC, by the cluster `authorizer`. It is shown the certificate, which is what it decides
/// on.
pub fn external() -> Value {
    json!({ "name": "envoy.filters.http.ext_authz", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
        "transport_api_version": "V3",
        "grpc_service": { "envoy_grpc": { "cluster_name": "authorizer" }, "timeout": "10s" },
        "include_peer_certificate": true,
    } })
}
