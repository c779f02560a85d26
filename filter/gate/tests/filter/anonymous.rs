//! Tokens on connections without a client certificate: what they open, and what without them stays shut.

use std::rc::Rc;

use jiff::SignedDuration;
use serde_json::{Value, json};
use support::{
    ca::{Identity, Key, KeyKind, Leaf, bundle_json, thumbprint, token_of},
    world::{World, with},
};
use svidgate_gate::{
    plugin::{action::Action, plugin::Plugin},
    stage::Stage,
    worker::worker::Worker,
};

use crate::double::{Proxy, accept, connection, stream, sweep};

const CALLER: &str = "spiffe://prod.example/ns/batch/7";
const AUDIENCE: &str = "spiffe://prod.example/ns/shop/sa/orders";

/// One listener behind a load balancer that ends TLS and begins it anew.
struct Behind {
    world: World,
    proxy: Proxy,
    worker: Rc<Worker>,
    document: Value,
    connections: Rc<Plugin<Proxy>>,
    requests: Option<Rc<Plugin<Proxy>>>,
    key: Key,
}

fn rules() -> Value {
    json!([
        { "name": "batch", "effect": "allow", "from": ["spiffe://prod.example/ns/batch/{job}"], "via": ["balancer"],
          "to": [{ "paths": ["/jobs/{job}"] }] },
        { "name": "edge", "effect": "allow", "from": ["spiffe://prod.example/ns/batch/*"], "via": ["edge"],
          "to": [{ "paths": ["/edge"] }] },
        { "name": "own", "effect": "allow", "from": ["spiffe://prod.example/**"], "to": [{ "paths": ["/own"] }] },
    ])
}

fn hops() -> Value {
    json!([
        { "name": "balancer", "peers": "anonymous", "callers": ["spiffe://prod.example/ns/batch/*"], "assertion": "jwt_svid" },
        { "name": "edge", "peers": ["spiffe://prod.example/edge"], "callers": ["spiffe://prod.example/ns/batch/*"],
          "assertion": "jwt_svid" },
    ])
}

impl Behind {
    fn start(changes: Value) -> Self {
        Self::with_requests(changes, true)
    }

    fn with_requests(changes: Value, has_requests: bool) -> Self {
        let world = World::new();
        let (proxy, worker, key) = (Proxy::at(&world), Rc::<Worker>::default(), Key::generate(KeyKind::P256));
        let mut bundle = bundle_json(&[&world.own]);
        let jwk = with(key.jwk(), json!({ "kid": "k", "use": "jwt-svid" }));
        bundle["keys"].as_array_mut().unwrap().push(jwk);
        let tokens = json!({
            "bundle": { "inline": bundle }, "hops": hops(), "jwt_svid": { "audiences": [AUDIENCE] }, "mark_passed": true,
            "forward_id": true, "forward_via": true,
        });
        let document = with(with(world.document(rules()), tokens), changes);
        let connections = proxy.plugin(Stage::Connection, &document, &worker);
        let requests = has_requests.then(|| proxy.plugin(Stage::Request, &document, &worker));
        Self {
            world,
            proxy,
            worker,
            document,
            connections,
            requests,
            key,
        }
    }

    fn token(&self, changes: Value) -> String {
        let now = self.proxy.look(|state| state.now).as_second();
        let claims = json!({ "aud": [AUDIENCE], "exp": now + 60, "iat": now, "sub": CALLER });
        let header = json!({ "alg": "ES256", "kid": "k", "typ": "JWT" }).to_string();
        format!(
            "Bearer {}",
            token_of(&self.key, "ES256", header, with(claims, changes).to_string())
        )
    }

    /// A connection in front of HTTP; gives why it was closed, or nothing.
    fn connect(&self, peer: Option<&Identity>) -> String {
        match peer {
            Some(peer) => self.proxy.connect(peer),
            None => self.proxy.connect_anonymous(),
        }
        let filter = connection(&self.connections, 5);
        accept(&self.proxy, &filter);
        let action = filter.on_downstream_data(1);
        let closed = (action == Action::Pause).then(|| self.proxy.reason());
        filter.on_close();
        closed.unwrap_or_default()
    }

    fn ask(&self, context: u32, peer: Option<&Identity>, path: &str, tokens: &[&str]) -> String {
        match peer {
            Some(peer) => self.proxy.connect(peer),
            None => self.proxy.connect_anonymous(),
        }
        self.proxy.change(|state| {
            state.connections.insert(context, 7);
            state.filter_state.clear();
            (state.removed, state.added) = (Vec::new(), Vec::new());
        });
        let lines: Vec<(&[u8], &[u8])> = tokens
            .iter()
            .map(|token| (&b"authorization"[..], token.as_bytes()))
            .collect();
        self.proxy.ask("GET", path, &lines);
        let action = stream(self.requests.as_ref().unwrap(), context).on_request_headers();
        let reason = self.proxy.reason();
        assert_eq!(action == Action::Continue, reason == "rule.allowed", "{reason}");
        reason
    }

    fn record(&self) -> Value {
        let field = self.proxy.look(|state| state.filter_state["svidgate"].clone());
        serde_json::from_str(&field).unwrap()
    }

    fn pass(&self, seconds: i64, roots: &[&Rc<Plugin<Proxy>>]) -> Vec<u32> {
        self.proxy.change(|state| {
            state.now += SignedDuration::from_secs(seconds);
            state.answered.clear();
        });
        let requests = self.requests.iter();
        let all: Vec<_> = roots
            .iter()
            .copied()
            .chain([&self.connections])
            .chain(requests)
            .collect();
        for _ in 0..4 {
            sweep(&self.proxy, &all);
        }
        self.proxy.look(|state| state.answered.clone())
    }

    fn update(&self, changes: Value) -> [Rc<Plugin<Proxy>>; 2] {
        let document = with(self.document.clone(), with(json!({ "version": "next" }), changes));
        [Stage::Connection, Stage::Request].map(|stage| self.proxy.plugin(stage, &document, &self.worker))
    }
}

#[test]
fn token_on_a_connection_without_a_certificate_is_its_subjects() {
    let behind = Behind::start(json!({}));
    assert_eq!(behind.connect(None), "");
    let token = behind.token(json!({}));
    for _ in 0..2 {
        assert_eq!(behind.ask(1000, None, "/jobs/7", &[&token]), "rule.allowed");
        assert_eq!(
            behind.record(),
            json!({ "id": CALLER, "via": "anonymous", "evidence": "token", "decision": "allow", "reason": "rule.allowed",
                    "rule": "batch", "version": "test" })
        );
        let (removed, added) = behind.proxy.look(|state| (state.removed.clone(), state.added.clone()));
        assert_eq!(removed, ["authorization"]);
        let sent = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            added,
            [sent("x-svidgate-id", CALLER), sent("x-svidgate-via", "anonymous")]
        );
    }
    behind.pass(1, &[]);
    let counted = behind
        .proxy
        .look(|state| state.counters.get("svidgate.brought_total.allow.balancer").copied());
    assert_eq!(counted, Some(2));
}

/// Rules that name the hop, and no others: neither those for who connects, nor those of another hop.
#[test]
fn such_a_connection_has_the_rules_that_name_its_hop_and_no_others() {
    let behind = Behind::start(json!({}));
    let token = behind.token(json!({}));
    for (path, tokens, reason) in [
        ("/jobs/8", vec![token.as_str()], "rule.none_matched"),
        ("/own", vec![token.as_str()], "rule.none_matched"),
        ("/edge", vec![token.as_str()], "rule.none_matched"),
        ("/own", vec![], "assertion.missing"),
        ("/jobs/7", vec![], "assertion.missing"),
        ("/jobs/7", vec![token.as_str(), token.as_str()], "assertion.ambiguous"),
        ("/jobs/7", vec!["Basic eDp5"], "assertion.malformed"),
        ("/jobs/7", vec!["Bearer a.b.c"], "token.malformed"),
    ] {
        assert_eq!(behind.ask(1000, None, path, &tokens), reason, "{path} {tokens:?}");
        if reason.starts_with("assertion.") {
            let expected = json!({ "via": "anonymous", "decision": "deny", "reason": reason, "version": "test" });
            assert_eq!(behind.record(), expected);
        }
    }
    let not_its = json!({ "sub": "spiffe://prod.example/ns/other/7" });
    assert_eq!(
        behind.ask(1000, None, "/jobs/7", &[&behind.token(not_its)]),
        "assertion.not_allowed"
    );
    let expired = json!({ "exp": behind.world.now.as_second() - 60, "iat": behind.world.now.as_second() - 120 });
    assert_eq!(
        behind.ask(1000, None, "/jobs/7", &[&behind.token(expired)]),
        "token.expired"
    );
    // There is no certificate that it could be bound to.
    let bound = json!({ "cnf": { "x5t#S256": thumbprint(&behind.world.own_identity("/x").leaf) } });
    assert_eq!(
        behind.ask(1000, None, "/jobs/7", &[&behind.token(bound)]),
        "token.not_bound"
    );
}

/// Who shows a certificate is judged by it, whatever token it has.
#[test]
fn certificate_that_is_refused_is_not_taken_for_none() {
    let behind = Behind::start(json!({}));
    let token = behind.token(json!({}));
    let stranger = behind
        .world
        .stranger
        .issue(Leaf::svid("spiffe://stranger.example/x", behind.world.now));
    let forged = behind
        .world
        .stranger
        .issue(Leaf::svid("spiffe://prod.example/edge", behind.world.now));
    for (peer, reason) in [
        (&stranger, "federation.unknown_trust_domain"),
        (&forged, "svid.unknown_authority"),
    ] {
        assert_eq!(behind.connect(Some(peer)), reason);
        assert_eq!(behind.ask(1000, Some(peer), "/jobs/7", &[&token]), reason);
    }
    // Nor does one that is good bring anybody by the entry of those who have none.
    let api = behind.world.own_identity("/api");
    assert_eq!(behind.ask(1000, Some(&api), "/jobs/7", &[&token]), "rule.none_matched");
    assert_eq!(behind.record()["id"], "spiffe://prod.example/api");
    let edge = behind.world.own_identity("/edge");
    assert_eq!(behind.ask(1000, Some(&edge), "/jobs/7", &[&token]), "rule.none_matched");
    assert_eq!(behind.ask(1000, Some(&edge), "/edge", &[&token]), "rule.allowed");
}

#[test]
fn connection_without_a_certificate_is_refused_where_nothing_could_come_of_it() {
    let connected = |changes: Value, has_requests: bool| Behind::with_requests(changes, has_requests).connect(None);
    assert_eq!(connected(json!({}), true), "");
    // Nobody on this worker would judge its requests.
    assert_eq!(connected(json!({}), false), "connection.no_certificate");
    // No hop is of that kind, or none that is in force, or its rules are over.
    let known = json!({ "hops": [hops()[1]], "rules": [rules()[1], rules()[2]] });
    assert_eq!(connected(known, true), "connection.no_certificate");
    let mut ended = hops();
    ended[0]["expires"] = json!("2020-01-01T00:00:00Z");
    assert_eq!(connected(json!({ "hops": ended }), true), "rule.none_matched");
    let mut over = rules();
    over[0]["expires"] = json!("2020-01-01T00:00:00Z");
    assert_eq!(connected(json!({ "rules": over }), true), "rule.expired");
}

#[test]
fn plain_text_and_tcp_have_nobody() {
    let behind = Behind::start(json!({}));
    let token = behind.token(json!({}));
    behind.proxy.connect_anonymous();
    behind.proxy.change(|state| {
        state.properties.remove("connection.tls_version");
        state.filter_state.clear();
    });
    behind
        .proxy
        .ask("GET", "/jobs/7", &[(b"authorization", token.as_bytes())]);
    let requests = behind.requests.as_ref().unwrap();
    assert_eq!(stream(requests, 1000).on_request_headers(), Action::Pause);
    assert_eq!(behind.proxy.reason(), "connection.plaintext");
    // A TCP listener with the same document.
    let mut rules = rules();
    for rule in rules.as_array_mut().unwrap() {
        rule["to"][0]["ports"] = json!([8443]);
    }
    let shared = Behind::start(json!({}));
    let document = with(
        shared.document.clone(),
        json!({ "listener": "shared", "rules": rules, "version": "tcp" }),
    );
    let plugin = shared
        .proxy
        .placed(Stage::Connection, Some(svidgate_policy::Listener::Tcp), &shared.worker);
    shared
        .proxy
        .change(|state| state.configuration = document.to_string().into_bytes());
    assert!(plugin.configure());
    shared.proxy.connect_anonymous();
    let filter = connection(&Rc::new(plugin), 9);
    accept(&shared.proxy, &filter);
    assert_eq!(filter.on_downstream_data(1), Action::Pause);
    assert_eq!(shared.proxy.reason(), "connection.no_certificate");
}

#[test]
fn streams_and_connections_end_with_what_they_stand_on() {
    let revoked = json!({ "revoked": [{ "id": CALLER }] });
    let gone = json!({ "hops": [hops()[1]], "rules": [rules()[1], rules()[2]] });
    for (changes, reason) in [(revoked, "svid.revoked"), (gone.clone(), "connection.no_certificate")] {
        let behind = Behind::start(json!({}));
        assert_eq!(
            behind.ask(2001, None, "/jobs/7", &[&behind.token(json!({}))]),
            "rule.allowed"
        );
        assert_eq!(behind.pass(10, &[]), [0; 0]);
        let plugins = behind.update(changes);
        assert_eq!(behind.pass(1, &plugins.iter().collect::<Vec<_>>()), [2001]);
        assert_eq!(behind.proxy.reason(), reason);
    }
    let behind = Behind::start(json!({}));
    behind.proxy.connect_anonymous();
    let filter = connection(&behind.connections, 2005);
    accept(&behind.proxy, &filter);
    assert_eq!(filter.on_downstream_data(1), Action::Continue);
    let plugins = behind.update(gone);
    behind.pass(1, &plugins.iter().collect::<Vec<_>>());
    assert_eq!(behind.proxy.look(|state| state.closed.clone()), [2005]);
}
