//! Tokens that hops bring: whose they are, who may show them, and what ends with them.

use std::rc::Rc;

use jiff::SignedDuration;
use serde_json::{Value, json};
use support::{
    ca::{Identity, Key, KeyKind, Leaf, bundle_json, thumbprint, token_of},
    world::{PARTNER, World, with},
};
use svidgate_gate::{
    header_map::HeaderMap,
    plugin::{action::Action, plugin::Plugin, request::RequestFilter},
    stage::Stage,
    worker::worker::Worker,
};

use crate::double::{Proxy, stream, sweep};

const EDGE: &str = "spiffe://prod.example/edge";
const CALLER: &str = "spiffe://partner.example/ns/billing/tenant/7";
const AUDIENCE: &str = "spiffe://prod.example/ns/shop/sa/orders";

/// One listener, and what is asked of it.
struct Gateway {
    world: World,
    proxy: Proxy,
    worker: Rc<Worker>,
    document: Value,
    requests: Rc<Plugin<Proxy>>,
    edge: Identity,
    /// The key that signs the partner's tokens.
    key: Key,
}

fn with_keys(bundle: &Value, keys: &[(&str, &Key)]) -> Value {
    let mut bundle = bundle.clone();
    for (kid, key) in keys {
        let mut jwk = key.jwk();
        (jwk["kid"], jwk["use"]) = (json!(kid), json!("jwt-svid"));
        bundle["keys"].as_array_mut().unwrap().push(jwk);
    }
    bundle
}

fn partner(world: &World, keys: &[(&str, &Key)]) -> Value {
    let bundle = with_keys(&bundle_json(&[&world.partner]), keys);
    json!([{ "trust_domain": PARTNER, "bundle": { "inline": bundle }, "scope": ["/ns/billing/**"] }])
}

impl Gateway {
    fn start(changes: Value) -> Self {
        let world = World::new();
        let (proxy, worker, key) = (Proxy::at(&world), Rc::<Worker>::default(), Key::generate(KeyKind::P256));
        let rules = json!([
            { "name": "partners", "effect": "allow", "from": ["spiffe://partner.example/ns/billing/tenant/{tenant}"],
              "via": ["edge"], "to": [{ "paths": ["/invoices/{tenant}/**"] }] },
            { "name": "own", "effect": "allow", "from": ["spiffe://prod.example/**", "spiffe://partner.example/**"] },
        ]);
        let tokens = json!({
            "hops": [{ "name": "edge", "peers": [EDGE], "callers": ["spiffe://partner.example/ns/billing/**"],
                       "assertion": "jwt_svid" }],
            "jwt_svid": { "audiences": [AUDIENCE], "max_stream": "2m" },
            "federation": partner(&world, &[("k", &key)]),
            "forward_id": true,
        });
        let mut document = with(with(world.document(rules), tokens), changes);
        // What is not there.
        document.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let requests = proxy.plugin(Stage::Request, &document, &worker);
        let edge = world.own_identity("/edge");
        Self {
            world,
            proxy,
            worker,
            document,
            requests,
            edge,
            key,
        }
    }

    fn claims(&self) -> Value {
        let now = self.proxy.look(|state| state.now).as_second();
        json!({ "aud": [AUDIENCE], "exp": now + 60, "iat": now, "sub": CALLER })
    }

    fn token(&self, changes: Value) -> String {
        let header = json!({ "alg": "ES256", "kid": "k", "typ": "JWT" }).to_string();
        token_of(&self.key, "ES256", header, with(self.claims(), changes).to_string())
    }

    /// A request of a peer with these headers.
    fn ask(&self, peer: &Identity, path: &str, headers: &[(&str, &str)]) -> (Action, Rc<RequestFilter<Proxy>>) {
        self.ask_as(1000, peer, path, headers)
    }

    fn ask_as(
        &self,
        context: u32,
        peer: &Identity,
        path: &str,
        headers: &[(&str, &str)],
    ) -> (Action, Rc<RequestFilter<Proxy>>) {
        self.proxy.connect(peer);
        self.proxy.change(|state| {
            state.connections.insert(context, 7);
            state.filter_state.clear();
            (state.removed, state.added) = (Vec::new(), Vec::new());
        });
        let lines: Vec<(&[u8], &[u8])> = headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
            .collect();
        self.proxy.ask("GET", path, &lines);
        let filter = stream(&self.requests, context);
        (filter.on_request_headers(), filter)
    }

    /// What comes of a request that the gateway of the edge brings with this in `authorization`.
    fn brought(&self, authorization: &str) -> String {
        let (action, _) = self.ask(&self.edge, "/invoices/7/1", &[("authorization", authorization)]);
        let reason = self.proxy.reason();
        assert_eq!(action == Action::Continue, reason == "rule.allowed", "{reason}");
        reason
    }

    fn shown(&self, changes: Value) -> String {
        self.brought(&format!("Bearer {}", self.token(changes)))
    }

    fn removed(&self) -> Vec<String> {
        self.proxy.look(|state| state.removed.clone())
    }

    fn record(&self) -> Value {
        let field = self.proxy.look(|state| state.filter_state["svidgate"].clone());
        serde_json::from_str(&field).unwrap()
    }

    /// Time passes, and all that is under way is looked at; gives what was answered.
    fn pass(&self, seconds: i64, roots: &[&Rc<Plugin<Proxy>>]) -> Vec<u32> {
        self.proxy.change(|state| {
            state.now += SignedDuration::from_secs(seconds);
            state.answered.clear();
        });
        let all: Vec<&Rc<Plugin<Proxy>>> = roots.iter().copied().chain([&self.requests]).collect();
        for _ in 0..4 {
            sweep(&self.proxy, &all);
        }
        let mut answered = self.proxy.look(|state| state.answered.clone());
        answered.sort_unstable();
        answered
    }

    /// Another document, as an update brings it.
    fn update(&self, changes: Value) -> Rc<Plugin<Proxy>> {
        let document = with(self.document.clone(), with(json!({ "version": "next" }), changes));
        self.proxy.plugin(Stage::Request, &document, &self.worker)
    }
}

#[test]
fn request_with_a_token_is_its_subjects() {
    let gateway = Gateway::start(json!({}));
    for scheme in ["Bearer", "bearer", "BEARER"] {
        assert_eq!(
            gateway.brought(&format!("{scheme} {}", gateway.token(json!({})))),
            "rule.allowed"
        );
    }
    assert_eq!(
        gateway.record(),
        json!({ "id": CALLER, "via": EDGE, "evidence": "token", "decision": "allow", "reason": "rule.allowed",
                "rule": "partners", "version": "test" })
    );
    assert_eq!(
        gateway.removed(),
        ["authorization"],
        "it is for us, and for nobody behind us"
    );
    let added = gateway.proxy.look(|state| state.added.clone());
    assert_eq!(added, [("x-svidgate-id".to_owned(), CALLER.to_owned())]);
    // Neither the rights of the hop nor those that the caller has by itself.
    let token = format!("Bearer {}", gateway.token(json!({})));
    let (action, _) = gateway.ask(&gateway.edge, "/other", &[("authorization", &token)]);
    assert_eq!(
        (action, gateway.proxy.reason().as_str()),
        (Action::Pause, "rule.none_matched")
    );
}

#[test]
fn token_goes_on_where_the_document_says_so() {
    let gateway = Gateway::start(json!({ "jwt_svid": { "audiences": [AUDIENCE], "forward": true } }));
    assert_eq!(gateway.shown(json!({})), "rule.allowed");
    assert_eq!(gateway.removed(), [""; 0]);
}

/// A dry run lets pass what it would refuse, and no token that was meant for us.
#[test]
fn token_that_is_refused_in_a_dry_run_goes_no_further() {
    let gateway = Gateway::start(json!({ "mode": "dry_run" }));
    let good = format!("Bearer {}", gateway.token(json!({})));
    let expired = format!("Bearer {}", gateway.token(json!({ "exp": 1 })));
    for authorization in [good.as_str(), &expired, "Bearer x", "Basic eDp5"] {
        let (action, _) = gateway.ask(&gateway.edge, "/invoices/7/1", &[("authorization", authorization)]);
        assert_eq!(action, Action::Continue, "{authorization}");
        assert_eq!(gateway.removed(), ["authorization"], "{authorization}");
    }
    let api = gateway.world.own_identity("/api");
    gateway.ask(&api, "/invoices/7/1", &[("authorization", &good)]);
    assert_eq!(gateway.removed(), [""; 0], "it is no hop");
}

/// Applications have tokens of their own.
#[test]
fn authorization_of_a_peer_that_is_no_hop_is_neither_read_nor_removed() {
    let gateway = Gateway::start(json!({}));
    let api = gateway.world.own_identity("/api");
    let token = format!("Bearer {}", gateway.token(json!({})));
    for value in [token.as_str(), "Basic eDp5", "", "Bearer x"] {
        let (action, _) = gateway.ask(&api, "/other", &[("authorization", value)]);
        assert_eq!(
            (action, gateway.proxy.reason().as_str()),
            (Action::Continue, "rule.allowed")
        );
        assert_eq!(gateway.record()["id"], "spiffe://prod.example/api", "its own request");
        assert_eq!(gateway.removed(), [""; 0]);
    }
    // Nor does it give who shows it anything.
    let (action, _) = gateway.ask(
        &gateway
            .world
            .stranger
            .issue(Leaf::svid("spiffe://stranger.example/x", gateway.world.now)),
        "/invoices/7/1",
        &[("authorization", &token)],
    );
    assert_eq!(
        (action, gateway.proxy.reason().as_str()),
        (Action::Pause, "federation.unknown_trust_domain")
    );
}

#[test]
fn what_a_hop_has_not_shown_is_never_its_own_request() {
    let gateway = Gateway::start(json!({}));
    let token = format!("Bearer {}", gateway.token(json!({})));
    let long = format!("Bearer {}", "a.".repeat(4097));
    for (lines, reason) in [
        (vec![], "assertion.missing"),
        (vec![token.as_str(), token.as_str()], "assertion.ambiguous"),
        (vec![token.as_str(), "Basic eDp5"], "assertion.ambiguous"),
        (vec![""], "assertion.malformed"),
        (vec!["Bearer"], "assertion.malformed"),
        (vec!["Bearer "], "assertion.malformed"),
        (vec!["Basic eDp5"], "assertion.malformed"),
        (vec![&token[7..]], "assertion.malformed"),
        (vec!["Bearer a.b.c d"], "assertion.malformed"),
        (vec!["Bearer  a.b.c"], "assertion.malformed"),
        (vec!["Bearer a.b.c,a.b.c"], "assertion.malformed"),
        (vec!["Bearer a.b.c"], "token.malformed"),
        (vec!["Bearer opaque"], "token.malformed"),
        (vec![long.as_str()], "token.malformed"),
    ] {
        for path in ["/invoices/7/1", "/other"] {
            let headers: Vec<(&str, &str)> = lines.iter().map(|line| ("authorization", *line)).collect();
            let (action, _) = gateway.ask(&gateway.edge, path, &headers);
            assert_eq!(
                (action, gateway.proxy.reason().as_str()),
                (Action::Pause, reason),
                "{lines:?}"
            );
            let record = gateway.record();
            assert_eq!((&record["via"], record.get("id")), (&json!(EDGE), None), "{lines:?}");
        }
    }
}

#[test]
fn each_thing_that_is_wrong_with_a_token_has_a_reason_of_its_own() {
    let gateway = Gateway::start(json!({}));
    let now = gateway.world.now.as_second();
    for (changes, reason) in [
        (
            json!({ "aud": ["spiffe://prod.example/other"] }),
            "token.wrong_audience",
        ),
        (json!({ "exp": now - 31, "iat": now - 100 }), "token.expired"),
        (json!({ "nbf": now + 100 }), "token.not_yet_valid"),
        (json!({ "exp": now + 3600 }), "token.lifetime_too_long"),
        (json!({ "sub": "https://partner.example/x" }), "token.invalid_id"),
        (json!({ "sub": "spiffe://partner.example" }), "token.invalid_id"),
        (json!({ "exp": "soon" }), "token.malformed"),
        (json!({ "cnf": { "jwk": {} } }), "token.not_bound"),
        (
            json!({ "sub": "spiffe://stranger.example/x" }),
            "federation.unknown_trust_domain",
        ),
        (
            json!({ "sub": "spiffe://partner.example/ns/research" }),
            "federation.out_of_scope",
        ),
        (json!({ "sub": "spiffe://prod.example/api" }), "token.unknown_key"),
        (
            json!({ "sub": "spiffe://partner.example/ns/billing/tenant/8" }),
            "rule.none_matched",
        ),
    ] {
        assert_eq!(gateway.shown(changes.clone()), reason, "{changes}");
        // Again, from what is remembered.
        assert_eq!(gateway.shown(changes.clone()), reason, "{changes}");
    }
    let other = Key::generate(KeyKind::P256);
    let by_other = |header: Value| {
        let token = token_of(&other, "ES256", header.to_string(), gateway.claims().to_string());
        gateway.brought(&format!("Bearer {token}"))
    };
    assert_eq!(by_other(json!({ "alg": "ES256", "kid": "k" })), "token.bad_signature");
    assert_eq!(by_other(json!({ "alg": "ES256", "kid": "l" })), "token.unknown_key");
    assert_eq!(
        by_other(json!({ "alg": "none", "kid": "k" })),
        "token.unsupported_algorithm"
    );
    assert_eq!(
        by_other(json!({ "alg": "ES256", "kid": "k", "typ": "wit+jwt" })),
        "token.wrong_type"
    );
    assert_eq!(
        by_other(json!({ "alg": "ES256", "kid": "k", "crit": ["x"] })),
        "token.critical_header"
    );
}

#[test]
fn hop_brings_only_whom_it_may_bring() {
    let gateway = Gateway::start(json!({}));
    let key = Key::generate(KeyKind::P256);
    let own = json!({ "inline": with_keys(&bundle_json(&[&gateway.world.own]), &[("o", &key)]) });
    let gateway = Gateway::start(json!({ "bundle": own }));
    // A bundle of another world; the key is what counts.
    let header = json!({ "alg": "ES256", "kid": "o" }).to_string();
    let claims = with(gateway.claims(), json!({ "sub": "spiffe://prod.example/api" })).to_string();
    let token = format!("Bearer {}", token_of(&key, "ES256", header, claims));
    gateway.proxy.connect(&gateway.edge);
    let (action, _) = gateway.ask(&gateway.edge, "/other", &[("authorization", &token)]);
    assert_eq!(action, Action::Pause);
}

/// RFC 8705: a token that is bound and is taken from anybody is a hole.
#[test]
fn bound_token_counts_from_its_certificate_alone_each_time() {
    let gateway = Gateway::start(json!({ "hops": [
        { "name": "edge", "peers": ["spiffe://prod.example/edge/**"], "callers": ["spiffe://partner.example/ns/billing/**"],
          "assertion": "jwt_svid" }] }));
    let [one, two] = ["/edge/1", "/edge/2"].map(|path| gateway.world.own_identity(path));
    let thumbprint = thumbprint(&one.leaf);
    let token = format!("Bearer {}", gateway.token(json!({ "cnf": { "x5t#S256": thumbprint } })));
    for (peer, reason) in [
        (&one, "rule.allowed"),
        (&two, "token.not_bound"),
        (&one, "rule.allowed"),
        (&two, "token.not_bound"),
    ] {
        gateway.ask(peer, "/invoices/7/1", &[("authorization", &token)]);
        assert_eq!(gateway.proxy.reason(), reason);
    }
}

#[test]
fn hop_that_may_bring_both_brings_one() {
    let both = |assertion: &str, name: &str| json!({ "name": name, "peers": [EDGE], "callers": ["spiffe://partner.example/ns/billing/**"], "assertion": assertion });
    let rules = json!([
        { "name": "by-token", "effect": "allow", "from": ["spiffe://partner.example/**"], "via": ["tokens"] },
        { "name": "by-certificate", "effect": "allow", "from": ["spiffe://partner.example/**"], "via": ["certificates"],
          "to": [{ "paths": ["/certificates/**"] }] },
    ]);
    let gateway = Gateway::start(json!({ "xfcc": "hop", "rules": rules,
        "hops": [both("jwt_svid", "tokens"), both("xfcc", "certificates")] }));
    let caller = gateway.world.partner_identity("/ns/billing/tenant/7");
    let escaped = caller
        .leaf_pem()
        .replace('\n', "%0A")
        .replace(' ', "%20")
        .replace('+', "%2B")
        .replace('=', "%3D")
        .replace('/', "%2F");
    let xfcc = format!("Hash={};Cert=\"{escaped}\"", caller.leaf_sha256());
    let token = format!("Bearer {}", gateway.token(json!({})));
    let ask = |path: &str, headers: &[(&str, &str)]| {
        gateway.ask(&gateway.edge, path, headers);
        (
            gateway.proxy.reason(),
            gateway.record()["rule"].clone(),
            gateway.removed(),
        )
    };
    let (certificate, token) = (
        ("x-forwarded-client-cert", xfcc.as_str()),
        ("authorization", token.as_str()),
    );
    let no: [String; 0] = [];
    assert_eq!(
        ask("/certificates/1", &[certificate]),
        (
            "rule.allowed".into(),
            json!("by-certificate"),
            vec!["x-forwarded-client-cert".into()]
        )
    );
    assert_eq!(
        ask("/x", &[token]),
        ("rule.allowed".into(), json!("by-token"), vec!["authorization".into()])
    );
    // What one entry opens the other does not.
    assert_eq!(ask("/x", &[certificate]).0, "rule.none_matched");
    assert_eq!(
        ask("/certificates/1", &[certificate, token]),
        ("assertion.ambiguous".into(), Value::Null, no.to_vec())
    );
    assert_eq!(
        ask("/x", &[certificate, ("authorization", "Basic eDp5")]).0,
        "assertion.ambiguous"
    );
    assert_eq!(ask("/x", &[]).0, "assertion.missing");
}

#[test]
fn hop_of_certificates_has_its_authorization_left_alone() {
    let gateway = Gateway::start(json!({ "xfcc": "hop", "jwt_svid": null, "hops": [
        { "name": "edge", "peers": [EDGE], "callers": ["spiffe://partner.example/ns/billing/**"], "assertion": "xfcc" }] }));
    let token = format!("Bearer {}", gateway.token(json!({})));
    gateway.ask(&gateway.edge, "/invoices/7/1", &[("authorization", &token)]);
    assert_eq!(gateway.proxy.reason(), "assertion.missing", "a token is no certificate");
}

#[test]
fn trailer_under_the_name_of_the_token_goes_no_further() {
    let gateway = Gateway::start(json!({}));
    let token = format!("Bearer {}", gateway.token(json!({})));
    let api = gateway.world.own_identity("/api");
    for (peer, path, removed) in [(&gateway.edge, "/invoices/7/1", true), (&api, "/other", false)] {
        let (action, filter) = gateway.ask(peer, path, &[("authorization", &token)]);
        assert_eq!(action, Action::Continue);
        let trailers = HeaderMap::from_pairs(&[(b"authorization", b"x")]);
        gateway.proxy.change(|state| state.trailers = Some(trailers));
        filter.on_request_trailers();
        let trailers = gateway.proxy.look(|state| state.removed_trailers.clone());
        assert_eq!(trailers.contains(&"authorization".to_owned()), removed);
        gateway.proxy.change(|state| state.removed_trailers.clear());
    }
}

/// A token lives for minutes, a stream that watches something for hours.
#[test]
fn stream_goes_on_after_its_token_for_as_long_as_the_document_says() {
    let gateway = Gateway::start(json!({}));
    let token = format!("Bearer {}", gateway.token(json!({})));
    let (action, _stream) = gateway.ask_as(1, &gateway.edge, "/invoices/7/1", &[("authorization", &token)]);
    assert_eq!(action, Action::Continue);
    // 60 s of the token and 30 of leeway.
    assert_eq!(gateway.pass(89, &[]), [0_u32; 0]);
    assert_eq!(gateway.brought(&token), "rule.allowed");
    assert_eq!(gateway.pass(1, &[]), [0_u32; 0]);
    assert_eq!(
        gateway.brought(&token),
        "token.expired",
        "a new request needs a new one"
    );
    // And two minutes of `max_stream`.
    assert_eq!(gateway.pass(119, &[]), [0_u32; 0]);
    assert_eq!(gateway.pass(1, &[]), [1, 1000]);
    assert_eq!(gateway.proxy.reason(), "token.expired");
}

#[test]
fn stream_ends_with_what_stands_behind_its_token() {
    for (changes, reason) in [
        (json!({ "revoked": [{ "id": CALLER }] }), "svid.revoked"),
        (json!({ "revoked": [{ "id": EDGE }] }), "svid.revoked"),
        (
            json!({ "jwt_svid": { "audiences": ["another"] } }),
            "token.wrong_audience",
        ),
        (
            json!({ "jwt_svid": { "audiences": [AUDIENCE], "max_lifetime": "59s" } }),
            "token.lifetime_too_long",
        ),
        (
            json!({ "jwt_svid": { "audiences": [AUDIENCE], "max_stream": "1s" } }),
            "",
        ),
        (
            json!({ "federation": [] , "rules": [
            { "name": "own", "effect": "allow", "from": ["spiffe://prod.example/**"], "via": ["edge"] }],
            "hops": [{ "name": "edge", "peers": [EDGE], "callers": ["spiffe://prod.example/**"],
                       "except": [EDGE], "assertion": "jwt_svid" }] }),
            "federation.unknown_trust_domain",
        ),
    ] {
        let gateway = Gateway::start(json!({}));
        let token = format!("Bearer {}", gateway.token(json!({})));
        let (action, _stream) = gateway.ask_as(1, &gateway.edge, "/invoices/7/1", &[("authorization", &token)]);
        assert_eq!(action, Action::Continue);
        assert_eq!(gateway.pass(1, &[]), [0_u32; 0]);
        let next = gateway.update(changes.clone());
        let answered = gateway.pass(1, &[&next]);
        if reason.is_empty() {
            assert_eq!(answered, [0_u32; 0], "{changes}");
        } else {
            assert_eq!(answered, [1], "{changes}");
            assert_eq!(gateway.proxy.reason(), reason, "{changes}");
        }
    }
    // The key that signed it is withdrawn; another takes its name.
    for keys in [vec![], vec!["k"]] {
        let gateway = Gateway::start(json!({}));
        let token = format!("Bearer {}", gateway.token(json!({})));
        let (action, _stream) = gateway.ask_as(1, &gateway.edge, "/invoices/7/1", &[("authorization", &token)]);
        assert_eq!(action, Action::Continue);
        let other = Key::generate(KeyKind::P256);
        let keys: Vec<(&str, &Key)> = keys.iter().map(|kid| (*kid, &other)).collect();
        let next = gateway.update(json!({ "federation": partner(&gateway.world, &keys) }));
        assert_eq!(gateway.pass(1, &[&next]), [1]);
        assert_eq!(gateway.proxy.reason(), "token.unknown_key");
    }
}
