//! Requests that hops bring: whose they are, what a hop must say and may not, and what ends when a caller or a hop
//! falls.

use std::rc::Rc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use support::{
    ca::{Authority, Identity, Leaf, Profile, bundle_json, pem},
    world::{PARTNER, World, with},
};
use svidgate_gate::{
    plugin::{action::Action, plugin::Plugin, request::RequestFilter},
    stage::Stage,
    worker::worker::Worker,
};

use crate::double::{Proxy, accept, connection, stream, sweep};

pub(crate) const EDGE: &str = "spiffe://prod.example/edge";
pub(crate) const CALLER: &str = "spiffe://partner.example/ns/billing/tenant/7";

fn rules() -> Value {
    json!([
        { "name": "partners", "effect": "allow", "from": ["spiffe://partner.example/ns/billing/tenant/{tenant}"],
          "via": ["edge"], "to": [{ "paths": ["/invoices/{tenant}/**"] }] },
        { "name": "inside", "effect": "allow", "from": ["spiffe://prod.example/api/**"], "via": ["inner"] },
        { "name": "own", "effect": "allow", "from": ["spiffe://prod.example/**", "spiffe://partner.example/**"] },
    ])
}

fn hops() -> Value {
    json!([
        { "name": "edge", "peers": [EDGE], "callers": ["spiffe://partner.example/ns/billing/**"],
          "except": ["spiffe://partner.example/ns/billing/batch"], "assertion": "xfcc" },
        { "name": "inner", "peers": ["spiffe://prod.example/inner"], "callers": ["spiffe://prod.example/api/**"],
          "assertion": "xfcc" },
    ])
}

/// One listener, and what is asked of it.
pub(crate) struct Gateway {
    pub(crate) world: World,
    pub(crate) proxy: Proxy,
    worker: Rc<Worker>,
    document: Value,
    connections: Rc<Plugin<Proxy>>,
    pub(crate) requests: Rc<Plugin<Proxy>>,
    pub(crate) edge: Identity,
}

impl Gateway {
    pub(crate) fn start(changes: Value) -> Self {
        Self::start_in(World::new(), changes)
    }

    pub(crate) fn start_in(world: World, changes: Value) -> Self {
        let (proxy, worker) = (Proxy::at(&world), Rc::<Worker>::default());
        let hops = json!({ "xfcc": "hop", "hops": hops(), "forward_id": true, "forward_via": true });
        let document = with(with(world.document(rules()), hops), changes);
        let connections = proxy.plugin(Stage::Connection, &document, &worker);
        let requests = proxy.plugin(Stage::Request, &document, &worker);
        let edge = world.own_identity("/edge");
        Self {
            world,
            proxy,
            worker,
            document,
            connections,
            requests,
            edge,
        }
    }

    /// Another document, as an update brings it.
    pub(crate) fn update(&self, changes: Value) -> [Rc<Plugin<Proxy>>; 2] {
        let document = with(self.document.clone(), with(json!({ "version": "next" }), changes));
        [Stage::Connection, Stage::Request].map(|stage| self.proxy.plugin(stage, &document, &self.worker))
    }

    /// A request of a peer with these lines of the header.
    pub(crate) fn ask(&self, peer: &Identity, path: &str, xfcc: &[&str]) -> (Action, Rc<RequestFilter<Proxy>>) {
        self.ask_as(1000, peer, path, xfcc)
    }

    pub(crate) fn ask_as(
        &self,
        context: u32,
        peer: &Identity,
        path: &str,
        xfcc: &[&str],
    ) -> (Action, Rc<RequestFilter<Proxy>>) {
        let lines: Vec<_> = xfcc.iter().map(|line| ("x-forwarded-client-cert", *line)).collect();
        self.ask_with(context, peer, path, &lines)
    }

    /// A request of a peer with these headers.
    pub(crate) fn ask_with(
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
        let lines = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        self.proxy.ask("GET", path, &lines.collect::<Vec<_>>());
        let filter = stream(&self.requests, context);
        (filter.on_request_headers(), filter)
    }

    /// What comes of a request that the gateway of the edge brings.
    pub(crate) fn brought(&self, xfcc: &str) -> String {
        let (action, _) = self.ask(&self.edge, "/invoices/7/1", &[xfcc]);
        let reason = self.proxy.reason();
        assert_eq!(action == Action::Continue, reason == "rule.allowed", "{reason}");
        reason
    }

    pub(crate) fn record(&self) -> Value {
        let field = self.proxy.look(|state| state.filter_state["svidgate"].clone());
        serde_json::from_str(&field).unwrap()
    }

    /// Time passes, and all that is under way is looked at; gives what was answered.
    pub(crate) fn pass(&self, seconds: i64, roots: &[&Rc<Plugin<Proxy>>]) -> Vec<u32> {
        self.proxy.change(|state| {
            state.now += SignedDuration::from_secs(seconds);
            state.answered.clear();
        });
        let all: Vec<&Rc<Plugin<Proxy>>> = roots
            .iter()
            .copied()
            .chain([&self.connections, &self.requests])
            .collect();
        for _ in 0..4 {
            sweep(&self.proxy, &all);
        }
        let mut answered = self.proxy.look(|state| state.answered.clone());
        answered.sort_unstable();
        answered
    }
}

pub(crate) fn escaped(pem: &str) -> String {
    pem.replace('%', "%25")
        .replace('\n', "%0A")
        .replace(' ', "%20")
        .replace('+', "%2B")
        .replace('=', "%3D")
        .replace('/', "%2F")
}

/// What the gateway of the edge writes of who has connected to it.
fn element(caller: &Identity) -> String {
    element_by(EDGE, caller)
}

/// What a gateway writes of who has connected to it.
pub(crate) fn element_by(hop: &str, caller: &Identity) -> String {
    format!(
        "By={hop};Hash={};Cert=\"{}\";Subject=\"CN=x\";URI=spiffe://anything/at/all",
        caller.leaf_sha256(),
        escaped(&caller.leaf_pem())
    )
}

pub(crate) fn caller(world: &World) -> Identity {
    world.partner_identity("/ns/billing/tenant/7")
}

#[test]
fn request_that_a_hop_brings_is_its_callers() {
    let gateway = Gateway::start(json!({}));
    let caller = caller(&gateway.world);
    assert_eq!(gateway.brought(&element(&caller)), "rule.allowed");
    assert_eq!(
        gateway.record(),
        json!({ "id": CALLER, "via": EDGE, "evidence": "certificate", "decision": "allow", "reason": "rule.allowed",
                "rule": "partners", "version": "test" })
    );
    let (removed, added) = gateway.proxy.look(|state| (state.removed.clone(), state.added.clone()));
    assert_eq!(removed, ["x-forwarded-client-cert"]);
    let sent = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(added, [sent("x-svidgate-id", CALLER), sent("x-svidgate-via", EDGE)]);
    // Neither the rights of the hop nor those that the caller has by itself.
    let (action, _) = gateway.ask(&gateway.edge, "/other", &[&element(&caller)]);
    assert_eq!(
        (action, gateway.proxy.reason().as_str()),
        (Action::Pause, "rule.none_matched")
    );
    assert_eq!(gateway.record()["id"], CALLER);
    let (action, _) = gateway.ask(&caller, "/other", &[]);
    assert_eq!(
        (action, gateway.record()["via"].clone()),
        (Action::Continue, Value::Null)
    );
    // It is counted by the name of the hop.
    gateway.pass(1, &[]);
    let counted = |name: &str| gateway.proxy.look(|state| state.counters.get(name).copied());
    assert_eq!(counted("svidgate.brought_total.allow.edge"), Some(1));
    assert_eq!(counted("svidgate.brought_total.deny.edge"), Some(1));
}

#[test]
fn what_a_hop_has_not_said_is_never_its_own_request() {
    let gateway = Gateway::start(json!({}));
    for path in ["/invoices/7/1", "/other"] {
        let (action, _) = gateway.ask(&gateway.edge, path, &[]);
        assert_eq!(
            (action, gateway.proxy.reason().as_str()),
            (Action::Pause, "assertion.missing")
        );
        assert_eq!(
            gateway.record(),
            json!({ "via": EDGE, "decision": "deny", "reason": "assertion.missing", "version": "test" })
        );
    }
    let caller = element(&caller(&gateway.world));
    gateway.ask(&gateway.edge, "/invoices/7/1", &[&caller, &caller]);
    assert_eq!(gateway.proxy.reason(), "assertion.ambiguous");
    let told = gateway.proxy.look(|state| state.log.clone()).join("\n");
    assert!(
        told.contains(r#""via":"spiffe://prod.example/edge","version":"test","detail":"the peer is a hop"#),
        "{told}"
    );
}

#[test]
fn assertion_that_is_not_one_certificate_of_one_caller_is_refused() {
    let gateway = Gateway::start(json!({}));
    let world = &gateway.world;
    let (caller, other) = (caller(world), world.partner_identity("/ns/billing/tenant/8"));
    let (good, cert, hash) = (element(&caller), escaped(&caller.leaf_pem()), caller.leaf_sha256());
    assert_eq!(gateway.brought(&good), "rule.allowed");
    let json = |object: Value| json!([object]).to_string();
    let other_cert = escaped(&other.leaf_pem());
    for (xfcc, reason) in [
        // Its word alone.
        (format!("By={EDGE};URI={CALLER}"), "assertion.missing"),
        (format!("By={EDGE};Hash={hash};URI={CALLER}"), "assertion.missing"),
        (String::new(), "assertion.missing"),
        ("[]".to_owned(), "assertion.missing"),
        // More than one.
        (format!("{good},{good}"), "assertion.too_many_hops"),
        (format!("{},{good}", element(&other)), "assertion.too_many_hops"),
        (format!("URI={CALLER},{good}"), "assertion.too_many_hops"),
        ([good.as_str(); 5].join(","), "assertion.too_many_hops"),
        // Names of a leaf that look like more.
        (
            format!("{good};DNS=x;URI=spiffe://prod.example/api/x"),
            "assertion.malformed",
        ),
        (format!("{good};Cert=\"{other_cert}\""), "assertion.malformed"),
        (format!("Cert=\"{other_cert}\";{good}"), "assertion.malformed"),
        // What does not fit together.
        (good.replace(&hash, &other.leaf_sha256()), "assertion.broken_chain"),
        (good.replace(&hash, "ab"), "assertion.broken_chain"),
        (
            good.replace(EDGE, "spiffe://prod.example/inner"),
            "assertion.broken_chain",
        ),
        (
            good.replace(&format!("By={EDGE}"), &format!("By={EDGE};By=x")),
            "assertion.broken_chain",
        ),
        // What no proxy writes.
        (format!(" {good}"), "assertion.malformed"),
        (format!("{good};"), "assertion.malformed"),
        (format!("{good};Role=admin"), "assertion.malformed"),
        (good.to_lowercase(), "assertion.malformed"),
        (format!("Cert=\"{}\"", &cert[..cert.len() / 2]), "assertion.malformed"),
        (format!("Cert=\"{cert}{other_cert}\""), "assertion.malformed"),
        (format!("Cert=\"{cert}\";Chain=\"{other_cert}\""), "assertion.malformed"),
        (format!("Hash={hash};Subject=\"{good}"), "assertion.malformed"),
        (json(json!({ "cert": cert })), "assertion.malformed"),
        (
            json(json!({ "hash": hash, "cert": caller.leaf_pem(), "role": "x" })),
            "assertion.malformed",
        ),
        (format!("{},{good}", json(json!({}))), "assertion.malformed"),
        (format!("{good}{}", "x".repeat(40_000)), "assertion.malformed"),
    ] {
        assert_eq!(gateway.brought(&xfcc), reason, "{xfcc}");
        let record = gateway.record();
        assert_eq!((&record["via"], record.get("id")), (&json!(EDGE), None), "{xfcc}");
    }
    // The other format, and what else may be there.
    let chain = json!([caller.leaf_pem()]);
    for xfcc in [
        json(json!({ "by": [EDGE], "hash": hash, "cert": caller.leaf_pem(), "uri": ["x,URI=y"] })),
        json(json!({ "chain": chain })),
        format!("Cert=\"{cert}\""),
        format!("Chain=\"{cert}\""),
        format!("{good};DNS=a;DNS=b;Issuer=\"CN=i\""),
    ] {
        assert_eq!(gateway.brought(&xfcc), "rule.allowed", "{xfcc}");
    }
}

#[test]
fn caller_is_a_peer_in_full() {
    let world = World::new();
    let now = world.now;
    let minutes = |minutes: i64| SignedDuration::from_mins(minutes);
    let of = |authority: &Authority, id: &str| authority.issue(Leaf::svid(id, now));
    let lived = |id: &str, from: Timestamp, until: Timestamp| Profile {
        not_before: from,
        not_after: until,
        ..Leaf::svid(id, now)
    };
    let two_names = Profile {
        uri_sans: vec![CALLER.to_owned(), "spiffe://partner.example/ns/billing/x".to_owned()],
        ..Leaf::svid(CALLER, now)
    };
    let revoked = of(&world.partner, CALLER);
    let cases = [
        (of(&world.own, CALLER), "svid.unknown_authority"),
        (of(&world.stranger, CALLER), "svid.unknown_authority"),
        (
            of(&world.stranger, "spiffe://stranger.example/x"),
            "federation.unknown_trust_domain",
        ),
        (
            of(&world.partner, "spiffe://partner.example/ns/research"),
            "federation.out_of_scope",
        ),
        (of(&world.partner, "spiffe://partner.example"), "svid.root_path"),
        (of(&world.partner, "https://partner.example/x"), "svid.invalid_id"),
        (
            of(
                &world.partner,
                "spiffe://partner.example/ns/billing/a,URI=spiffe://prod.example/api/x",
            ),
            "svid.invalid_id",
        ),
        (world.partner.issue(two_names), "svid.multiple_uri_sans"),
        (
            world.partner.issue(lived(CALLER, now - minutes(60), now - minutes(1))),
            "svid.expired",
        ),
        (
            world.partner.issue(lived(CALLER, now + minutes(1), now + minutes(60))),
            "svid.not_yet_valid",
        ),
        (revoked.clone(), "svid.revoked"),
    ];
    let gateway = Gateway::start_in(world, json!({ "revoked": [{ "sha256": revoked.leaf_sha256() }] }));
    for (caller, reason) in cases {
        for _ in 0..2 {
            assert_eq!(gateway.brought(&element(&caller)), reason);
            let record = gateway.record();
            assert_eq!(
                (&record["of"], &record["via"]),
                (&json!("caller"), &json!(EDGE)),
                "{record}"
            );
        }
    }
    // Of those who are, the hop brings some.
    for path in ["/ns/billing/batch", "/ns/billing/tenant/7"] {
        let caller = gateway.world.partner_identity(path);
        let expected = if path.ends_with("batch") {
            "assertion.not_allowed"
        } else {
            "rule.allowed"
        };
        assert_eq!(gateway.brought(&element(&caller)), expected);
        assert_eq!(gateway.record()["id"], format!("spiffe://{PARTNER}{path}"));
    }
    let inside = gateway.world.own_identity("/api/x");
    assert_eq!(gateway.brought(&element(&inside)), "assertion.not_allowed");
}

/// A public certificate is no proof that its owner was there; nor may one hop use what another has said.
#[test]
fn what_another_hop_has_said_is_not_taken_from_memory() {
    let gateway = Gateway::start(json!({}));
    let api = gateway.world.own_identity("/api/x");
    let inner = gateway.world.own_identity("/inner");
    let said = element(&api).replace(EDGE, "spiffe://prod.example/inner");
    let (action, _) = gateway.ask(&inner, "/any", &[&said]);
    assert_eq!(
        (action, gateway.proxy.reason().as_str()),
        (Action::Continue, "rule.allowed")
    );
    assert_eq!(gateway.brought(&said), "assertion.broken_chain");
    let without = said.replace("By=spiffe://prod.example/inner;", "");
    let (action, _) = gateway.ask(&inner, "/any", &[&without]);
    assert_eq!(action, Action::Continue);
    assert_eq!(gateway.brought(&without), "assertion.not_allowed");
}

#[test]
fn refusal_of_a_caller_is_of_the_chain_that_came_with_it() {
    let gateway = Gateway::start(json!({}));
    let now = gateway.world.now;
    let issuing = gateway.world.partner.issue_authority(Profile::authority(PARTNER, now));
    let caller = issuing.issue(Leaf::svid(CALLER, now));
    let alone = element(&caller);
    assert_eq!(
        gateway.brought(&alone),
        "svid.bad_signature",
        "the two authorities have one name"
    );
    let chain: String = caller.chain().iter().map(|der| pem("CERTIFICATE", der)).collect();
    let whole = format!("Cert=\"{}\";Chain=\"{}\"", escaped(&caller.leaf_pem()), escaped(&chain));
    assert_eq!(gateway.brought(&whole), "rule.allowed");
}

#[test]
fn header_of_a_peer_that_is_no_hop_is_removed_and_unread() {
    let gateway = Gateway::start(json!({ "forward_xfcc": true }));
    let peer = gateway.world.own_identity("/api/x");
    let forged = element(&caller(&gateway.world));
    for lines in [&[forged.as_str()][..], &["garbage", ""], &[]] {
        let (action, _) = gateway.ask(&peer, "/any", lines);
        assert_eq!(action, Action::Continue);
        let record = gateway.record();
        assert_eq!(
            (&record["id"], record.get("via")),
            (&json!("spiffe://prod.example/api/x"), None)
        );
        let removed = gateway.proxy.look(|state| state.removed.clone());
        assert_eq!(removed.len(), usize::from(!lines.is_empty()), "{removed:?}");
    }
    gateway.proxy.ask(
        "GET",
        "/any",
        &[
            (b"x_forwarded_client_cert", forged.as_bytes()),
            (b"X-Svidgate_Via", b"spiffe://prod.example/edge"),
        ],
    );
    assert_eq!(stream(&gateway.requests, 1001).on_request_headers(), Action::Continue);
    let removed = gateway.proxy.look(|state| state.removed.clone());
    assert!(removed.contains(&"x_forwarded_client_cert".to_owned()), "{removed:?}");
    assert!(removed.contains(&"X-Svidgate_Via".to_owned()), "{removed:?}");
    // Of a hop it was read, and is passed on where the document says so.
    assert_eq!(gateway.brought(&forged), "rule.allowed");
    assert_eq!(gateway.proxy.look(|state| state.removed.clone()), [""; 0]);
}

#[test]
fn where_this_listener_appends_the_last_element_is_about_its_own_peer() {
    let gateway = Gateway::start(json!({ "xfcc": "hop_appended" }));
    let said = element(&caller(&gateway.world));
    let own = format!(
        "By=spiffe://prod.example/us;Hash={};URI={EDGE}",
        gateway.edge.leaf_sha256()
    );
    let json = |element: &Value| json!([{ "cert": caller(&gateway.world).leaf_pem() }, element]).to_string();
    let of_edge = json!({ "hash": gateway.edge.leaf_sha256(), "uri": [EDGE] });
    for xfcc in [format!("{said},{own}"), json(&of_edge)] {
        assert_eq!(gateway.brought(&xfcc), "rule.allowed");
    }
    for (xfcc, reason) in [
        (said.clone(), "assertion.missing"),
        (own.clone(), "assertion.missing"),
        (format!("{own},{said}"), "assertion.missing"),
        (format!("{said},{said},{own}"), "assertion.too_many_hops"),
        (
            format!("{said},By=spiffe://prod.example/us;URI={EDGE}"),
            "assertion.broken_chain",
        ),
        (format!("{said},{said}"), "assertion.broken_chain"),
        (json(&json!({ "uri": [EDGE] })), "assertion.broken_chain"),
        // An open quote of the client's, behind which the genuine element begins.
        (
            format!("{said};Issuer=\",{own};Subject=\"CN=c\""),
            "assertion.malformed",
        ),
    ] {
        assert_eq!(gateway.brought(&xfcc), reason, "{xfcc}");
    }
    // Remembered or not, it is held against this connection.
    let another = gateway.world.own_identity("/edge");
    gateway.ask(&another, "/invoices/7/1", &[&format!("{said},{own}")]);
    assert_eq!(gateway.proxy.reason(), "assertion.broken_chain");
    // Without the mode the same is one element too many.
    let plain = Gateway::start_in(gateway.world, json!({}));
    assert_eq!(plain.brought(&format!("{said},{own}")), "assertion.too_many_hops");
}

#[test]
fn connection_of_a_hop_is_worth_having_where_it_brings_somebody() {
    let admitted = |changes: Value, peer: &str| {
        let gateway = Gateway::start(changes);
        gateway.proxy.connect(&gateway.world.own_identity(peer));
        let filter = connection(&gateway.connections, 5);
        accept(&gateway.proxy, &filter);
        let action = filter.on_downstream_data(1);
        let closed = (action == Action::Pause).then(|| gateway.proxy.reason());
        closed.unwrap_or_default()
    };
    assert_eq!(admitted(json!({}), "/edge"), "");
    let ended = |expires: &str| {
        let mut hops = hops();
        hops[0]["expires"] = json!(expires);
        json!({ "hops": hops })
    };
    assert_eq!(admitted(ended("2020-01-01T00:00:00Z"), "/edge"), "rule.none_matched");
    let mut over = rules();
    over[0]["expires"] = json!("2020-01-01T00:00:00Z");
    assert_eq!(admitted(json!({ "rules": over }), "/edge"), "rule.expired");
    assert_eq!(admitted(json!({ "rules": over }), "/inner"), "");
}

/// The two certificates have a second of their own each, and the entry of the document has one.
#[test]
fn streams_are_cut_when_the_caller_or_the_hop_falls() {
    let minutes = |minutes: i64| SignedDuration::from_mins(minutes);
    // Of a caller, until when its leaf is good.
    let until = |gateway: &Gateway, authority: &Authority, id: &str, end: i64| {
        authority.issue(Profile {
            not_after: gateway.world.now + minutes(end),
            ..Leaf::svid(id, gateway.world.now)
        })
    };
    let gateway = Gateway::start(json!({}));
    let short = until(&gateway, &gateway.world.partner, CALLER, 10);
    let long = caller(&gateway.world);
    for (context, caller) in [(2001, &short), (2002, &long)] {
        assert_eq!(
            gateway
                .ask_as(context, &gateway.edge, "/invoices/7/1", &[&element(caller)])
                .0,
            Action::Continue
        );
    }
    assert_eq!(gateway.pass(9 * 60, &[]), [0; 0]);
    assert_eq!(gateway.pass(2 * 60, &[]), [2001]);
    let record = gateway.record();
    assert_eq!((&record["id"], &record["via"]), (&json!(CALLER), &json!(EDGE)));
    assert_eq!(
        (&record["reason"], &record["of"]),
        (&json!("svid.expired"), &json!("caller"))
    );

    let gateway = Gateway::start(json!({}));
    let edge = until(&gateway, &gateway.world.own, EDGE, 10);
    let long = caller(&gateway.world);
    assert_eq!(
        gateway.ask_as(2001, &edge, "/invoices/7/1", &[&element(&long)]).0,
        Action::Continue
    );
    assert_eq!(gateway.pass(11 * 60, &[]), [2001]);
    assert_eq!(gateway.record().get("of"), None);

    let world = World::new();
    let mut ends = hops();
    ends[0]["expires"] = json!((world.now + minutes(10)).to_string());
    let gateway = Gateway::start_in(world, json!({ "hops": ends }));
    let long = caller(&gateway.world);
    assert_eq!(
        gateway
            .ask_as(2001, &gateway.edge, "/invoices/7/1", &[&element(&long)])
            .0,
        Action::Continue
    );
    assert_eq!(gateway.pass(9 * 60, &[]), [0; 0]);
    assert_eq!(gateway.pass(60, &[]), [2001]);
    assert_eq!(gateway.proxy.reason(), "assertion.not_allowed");
}

/// Whatever an update takes away ends what stood on it, and nothing else.
#[test]
fn update_ends_what_it_takes_away() {
    let other = "spiffe://partner.example/ns/billing/tenant/8";
    let cases = [
        (json!({}), &[][..], ""),
        (json!({ "revoked": [{ "id": CALLER }] }), &[2001][..], "svid.revoked"),
        (json!({ "revoked": [{ "id": EDGE }] }), &[2001, 2002], "svid.revoked"),
        (json!({ "hops": [hops()[0], hops()[1]] }), &[], ""),
        (
            json!({ "federation": [{ "trust_domain": PARTNER, "expires": "2020-01-01T00:00:00Z",
                                     "bundle": { "inline": { "keys": [] } }, "scope": ["/ns/billing/**"] }] }),
            &[2001, 2002],
            "federation.expired",
        ),
        (
            json!({ "rules": [rules()[1], rules()[2]], "hops": [hops()[1]] }),
            &[2001, 2002],
            "assertion.not_allowed",
        ),
        (
            json!({ "rules": [rules()[0], rules()[1], { "name": "no", "effect": "deny", "from": [EDGE] }] }),
            &[2001, 2002],
            "rule.denied",
        ),
        (
            json!({ "rules": [rules()[0], rules()[1], { "name": "no", "effect": "deny", "from": [other], "via": ["edge"] }] }),
            &[2002],
            "rule.denied",
        ),
    ];
    for (changes, cut, reason) in cases {
        let gateway = Gateway::start(json!({}));
        let two = gateway.world.partner_identity("/ns/billing/tenant/8");
        let callers = [
            (2001, caller(&gateway.world), "/invoices/7/1"),
            (2002, two, "/invoices/8/1"),
        ];
        for (context, caller, path) in &callers {
            assert_eq!(
                gateway.ask_as(*context, &gateway.edge, path, &[&element(caller)]).0,
                Action::Continue
            );
        }
        let plugins = gateway.update(changes.clone());
        let cut_streams = gateway.pass(1, &plugins.iter().collect::<Vec<_>>());
        assert_eq!(cut_streams, cut, "{changes}");
        if !cut.is_empty() {
            assert_eq!(gateway.proxy.reason(), reason, "{changes}");
        }
    }
}

/// A peer that becomes a hop makes no requests of its own any more, and what it has under way ends.
#[test]
fn peer_that_becomes_a_hop_loses_its_own_streams() {
    let gateway = Gateway::start(json!({ "hops": [hops()[1]], "rules": [rules()[1], rules()[2]] }));
    let (action, _) = gateway.ask_as(2001, &gateway.edge, "/any", &[]);
    assert_eq!(action, Action::Continue);
    let plugins = gateway.update(json!({ "hops": hops(), "rules": rules() }));
    assert_eq!(gateway.pass(1, &plugins.iter().collect::<Vec<_>>()), [2001]);
    assert_eq!(gateway.proxy.reason(), "assertion.missing");
}

#[test]
fn one_connection_carries_many_callers_and_loses_one() {
    let gateway = Gateway::start(json!({}));
    let callers: Vec<Identity> = (0..300)
        .map(|number| gateway.world.partner_identity(&format!("/ns/billing/tenant/{number}")))
        .collect();
    for (context, number) in (3000..).zip(0..300) {
        let path = format!("/invoices/{number}/1");
        let (action, _) = gateway.ask_as(context, &gateway.edge, &path, &[&element(&callers[number])]);
        assert_eq!(action, Action::Continue);
    }
    let plugins = gateway.update(json!({ "revoked": [{ "id": "spiffe://partner.example/ns/billing/tenant/150" }] }));
    let plugins: Vec<_> = plugins.iter().collect();
    let mut cut = Vec::new();
    for _ in 0..4 {
        cut.extend(gateway.pass(1, &plugins));
    }
    assert_eq!(cut, [3150]);
    assert_eq!(gateway.proxy.look(|state| state.closed.clone()), [0; 0]);
}

#[test]
fn caller_that_fills_the_worker_is_refused_and_costs_no_other_caller_of_its_hop_a_request() {
    let gateway = Gateway::start(json!({}));
    let callers = [7, 8].map(|number| gateway.world.partner_identity(&format!("/ns/billing/tenant/{number}")));
    let (greedy, modest) = (element(&callers[0]), element(&callers[1]));
    let mut streams = Vec::new();
    for length in [60_000, 0] {
        let path = format!("/invoices/7/{}", "a".repeat(length));
        let refused = loop {
            let context = 3_000 + u32::try_from(streams.len()).unwrap();
            let (action, stream) = gateway.ask_as(context, &gateway.edge, &path, &[&greedy]);
            if action == Action::Pause {
                break gateway.proxy.reason();
            }
            streams.push(stream);
        };
        assert_eq!(refused, "worker.full");
    }
    for context in 1_000..1_020 {
        let (action, stream) = gateway.ask_as(context, &gateway.edge, "/invoices/8/1", &[&modest]);
        assert_eq!(action, Action::Continue);
        streams.push(stream);
    }
    let (action, _) = gateway.ask_as(1_100, &gateway.edge, "/invoices/7/1", &[&greedy]);
    assert_eq!(
        (action, gateway.proxy.reason().as_str()),
        (Action::Pause, "worker.full")
    );
}

/// Beside a direct request: the header is removed. Nothing is read or verified again.
#[test]
fn warm_request_through_a_hop_costs_one_call_more() {
    let gateway = Gateway::start(json!({ "forward_id": false, "forward_via": false }));
    let xfcc = element(&caller(&gateway.world));
    assert_eq!(gateway.brought(&xfcc), "rule.allowed");
    gateway.proxy.take_calls();
    assert_eq!(stream(&gateway.requests, 1002).on_request_headers(), Action::Continue);
    let calls = gateway.proxy.take_calls();
    assert_eq!(calls.len(), 4, "{calls:?}");
}

#[test]
fn dry_run_lets_a_bad_assertion_pass_as_nobodys_request() {
    let gateway = Gateway::start(json!({ "mode": "dry_run" }));
    let (action, _) = gateway.ask(&gateway.edge, "/any", &["garbage"]);
    assert_eq!(action, Action::Continue);
    assert_eq!(gateway.record()["reason"], "assertion.malformed");
    let (removed, added) = gateway.proxy.look(|state| (state.removed.clone(), state.added.clone()));
    assert_eq!(removed, ["x-forwarded-client-cert"], "nobody believes it behind us");
    assert!(added.is_empty(), "{added:?}");
}

/// The bundle of the caller's trust domain is what its path leads to, and nothing of ours.
#[test]
fn caller_is_held_against_the_bundle_of_its_own_trust_domain() {
    let world = World::new();
    let other = Authority::of(PARTNER, world.now);
    let federation = json!([{ "trust_domain": PARTNER, "bundle": { "inline": bundle_json(&[&other]) },
                              "scope": ["/ns/billing/**"] }]);
    let gateway = Gateway::start_in(world, json!({ "federation": federation }));
    let refused = caller(&gateway.world);
    assert_eq!(gateway.brought(&element(&refused)), "svid.bad_signature");
    let known = other.issue(Leaf::svid(CALLER, gateway.world.now));
    assert_eq!(gateway.brought(&element(&known)), "rule.allowed");
}
