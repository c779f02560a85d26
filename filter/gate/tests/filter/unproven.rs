//! Leaves whose issuer only a chain shows: left to the first request where it is certain that one will be judged, and
//! closed where none that is allowed comes in time.

use std::rc::Rc;

use jiff::SignedDuration;
use serde_json::{Value, json};
use support::{
    ca::{Authority, Extension, Identity, Leaf, Profile, bundle_json},
    world::{OWN, PARTNER, World, with},
};
use svidgate_gate::{
    plugin::{action::Action, connection::ConnectionFilter, plugin::Plugin},
    stage::Stage,
    worker::{
        unproven::{MAX_UNPROVEN, MAX_UNPROVEN_OF_ADDRESS},
        worker::Worker,
    },
};

use crate::{
    double::{Proxy, connection, stream, sweep},
    memory::forwarded,
};

const API: &str = "spiffe://prod.example/api";

struct Gateway {
    world: World,
    proxy: Proxy,
    worker: Rc<Worker>,
    connections: Rc<Plugin<Proxy>>,
    requests: Option<Rc<Plugin<Proxy>>>,
    issuer: Authority,
}

fn rules() -> Value {
    json!([{
        "name": "read", "effect": "allow", "from": ["spiffe://prod.example/**", "spiffe://partner.example/**"],
        "to": [{ "methods": ["GET"] }],
    }])
}

/// What leaves leaves to requests.
fn open() -> Value {
    json!({ "xfcc": "own", "mark_passed": true })
}

impl Gateway {
    fn start(changes: Value) -> Self {
        let gateway = Self::without_requests(changes.clone());
        let document = with(gateway.world.document(rules()), changes);
        let requests = gateway.proxy.plugin(Stage::Request, &document, &gateway.worker);
        Self {
            requests: Some(requests),
            ..gateway
        }
    }

    /// The network filter alone.
    fn without_requests(changes: Value) -> Self {
        let world = World::new();
        let proxy = Proxy::at(&world);
        let worker: Rc<Worker> = Rc::default();
        let issuer = world.own.issue_authority(Profile {
            common_name: Some("issuing".to_owned()),
            ..Profile::authority(OWN, world.now)
        });
        let connections = proxy.plugin(Stage::Connection, &with(world.document(rules()), changes), &worker);
        Self {
            world,
            proxy,
            worker,
            connections,
            requests: None,
            issuer,
        }
    }

    /// A peer whose leaf is below an intermediate that nobody has here.
    fn peer(&self) -> Identity {
        self.issuer.issue(Leaf::svid(API, self.world.now))
    }

    fn update(&self, changes: Value) -> [Rc<Plugin<Proxy>>; 2] {
        let document = with(
            self.world.document(rules()),
            with(json!({ "version": "next" }), changes),
        );
        [Stage::Connection, Stage::Request].map(|stage| self.proxy.plugin(stage, &document, &self.worker))
    }

    fn is_of(&self, context: u32, connection: u64) {
        self.proxy.change(|state| {
            state.connections.insert(context, connection);
            state.effective = context;
        });
    }

    /// What comes of the first bytes of a peer.
    fn connect(&self, context: u32, peer: &Identity) -> (Rc<ConnectionFilter<Proxy>>, Action) {
        self.proxy.connect(peer);
        self.is_of(context, context.into());
        let filter = connection(&self.connections, context);
        filter.on_new_connection();
        let action = filter.on_downstream_data(1);
        (filter, action)
    }

    /// The reason for what comes of the first bytes; empty where they were let through.
    fn first_bytes(&self, context: u32, peer: &Identity) -> String {
        self.proxy.change(|state| state.filter_state.remove("svidgate"));
        let (filter, action) = self.connect(context, peer);
        filter.on_close();
        match action {
            Action::Continue => String::new(),
            Action::Pause => self.proxy.reason(),
        }
    }

    /// A request on the connection of that number.
    fn ask(&self, connection: u64, peer: &Identity, method: &str) -> String {
        let requests = self.requests.as_ref().expect("the HTTP filter");
        self.ask_of(requests, connection, peer, method).1
    }

    fn ask_of(&self, requests: &Rc<Plugin<Proxy>>, connection: u64, peer: &Identity, method: &str) -> (Action, String) {
        self.proxy.connect(peer);
        self.proxy
            .ask(method, "/", &[(b"x-forwarded-client-cert", &forwarded(peer))]);
        self.is_of(500, connection);
        let filter = stream(requests, 500);
        let action = filter.on_request_headers();
        let reason = self.proxy.reason();
        filter.on_close();
        (action, reason)
    }

    /// A plugin of another name.
    fn plugin(&self, name: &str, stage: Stage, changes: Value) -> Rc<Plugin<Proxy>> {
        self.proxy.change(|state| state.set("plugin_name", name.as_bytes()));
        let document = with(self.world.document(rules()), changes);
        let plugin = self.proxy.plugin(stage, &document, &self.worker);
        self.proxy.change(|state| state.properties.remove("plugin_name"));
        plugin
    }

    fn pass(&self, seconds: i64) {
        self.proxy
            .change(|state| state.now += SignedDuration::from_secs(seconds));
        sweep(&self.proxy, &[&self.connections]);
    }

    fn closed(&self) -> Vec<u32> {
        self.proxy.look(|state| state.closed.clone())
    }

    fn counted(&self, reason: &str) -> u64 {
        let name = format!("svidgate.connection.denied.{reason}");
        let counters = self.proxy.look(|state| state.counters.clone());
        let known = counters
            .iter()
            .find(|(counter, _)| counter.contains("connection") && counter.contains(reason));
        known.map_or_else(|| panic!("no {name} in {counters:?}"), |(_, value)| *value)
    }
}

#[test]
fn first_allowed_request_proves_a_connection_and_it_lives_on_with_that_identity() {
    let gateway = Gateway::start(open());
    let peer = gateway.peer();
    let (filter, action) = gateway.connect(100, &peer);
    assert_eq!(action, Action::Continue);
    assert_eq!(gateway.worker.unproven().len(), 1);
    assert_eq!(gateway.ask(100, &peer, "GET"), "rule.allowed");
    assert!(gateway.worker.unproven().is_empty());
    gateway.proxy.connect(&peer);
    gateway.pass(30);
    assert_eq!(gateway.closed(), Vec::<u32>::new());
    // Another of the same leaf, and of the same issuer, waits for nothing.
    assert_eq!(gateway.first_bytes(101, &peer), "");
    assert_eq!(gateway.first_bytes(102, &gateway.peer()), "");
    assert!(gateway.worker.unproven().is_empty());
    // It is judged as any other from now on.
    gateway.proxy.connect(&peer);
    let next = gateway.update(with(open(), json!({ "revoked": [{ "id": API }] })));
    gateway.pass(1);
    assert_eq!(gateway.closed(), [100]);
    drop((filter, next));
}

#[test]
fn connection_that_no_allowed_request_has_proven_in_time_is_closed() {
    let gateway = Gateway::start(open());
    let peer = gateway.peer();
    let forger = Authority::root(Profile {
        common_name: Some("issuing".to_owned()),
        ..Profile::authority(OWN, gateway.world.now)
    });
    let forged = forger.issue(Leaf::svid(API, gateway.world.now));
    let mut filters = Vec::new();
    for (context, peer) in [(100, &peer), (101, &peer), (102, &forged)] {
        let (filter, action) = gateway.connect(context, peer);
        assert_eq!(action, Action::Continue);
        filters.push(filter);
    }
    // One sends nothing, of one no rule allows what is asked, and one has no path.
    assert_eq!(gateway.ask(101, &peer, "POST"), "rule.none_matched");
    assert_eq!(gateway.ask(102, &forged, "GET"), "svid.unknown_authority");
    gateway.pass(9);
    assert_eq!(gateway.closed(), Vec::<u32>::new());
    gateway.pass(1);
    assert_eq!(gateway.closed(), [100, 101, 102]);
    gateway.connections.flush();
    assert_eq!(gateway.counted("connection.unproven"), 3);
    assert!(gateway.worker.unproven().is_empty());
    let told = gateway.proxy.look(|state| {
        let lines = state.log.iter().filter(|line| line.contains("connection.unproven"));
        lines.cloned().collect::<Vec<_>>()
    });
    assert!(
        told.iter()
            .any(|line| line.contains("no request that was allowed has shown the chain")),
        "{told:?}"
    );
}

/// What has been proven ends with its authority, as any other does; it does not begin to wait again.
#[test]
fn proven_connection_ends_with_its_authority() {
    let gateway = Gateway::start(open());
    let peer = gateway.peer();
    let (filter, _) = gateway.connect(100, &peer);
    assert_eq!(gateway.ask(100, &peer, "GET"), "rule.allowed");
    gateway.proxy.connect(&peer);
    let other = Authority::of(OWN, gateway.world.now);
    let next = gateway.update(with(open(), json!({ "bundle": { "inline": bundle_json(&[&other]) } })));
    gateway.pass(1);
    assert_eq!(gateway.closed(), [100]);
    drop((filter, next));
}

/// A request that pleases its own documents proves nothing to one of the network filter that refuses the peer, and goes
/// no further.
#[test]
fn request_proves_nothing_to_a_newer_document_that_refuses() {
    let gateway = Gateway::start(open());
    let peer = gateway.peer();
    let (filter, _) = gateway.connect(100, &peer);
    let newer = with(
        gateway.world.document(rules()),
        with(open(), json!({ "version": "next", "revoked": [{ "id": API }] })),
    );
    let next = gateway.proxy.plugin(Stage::Connection, &newer, &gateway.worker);
    assert_eq!(gateway.ask(100, &peer, "GET"), "connection.unproven");
    assert_eq!(gateway.worker.unproven().len(), 1);
    gateway.proxy.connect(&peer);
    gateway.pass(1);
    assert_eq!(gateway.closed(), [100]);
    drop((filter, next));
}

/// Behind the network filter may stand a request filter with another document, while the one with its own stands in
/// another chain.
#[test]
fn request_that_proves_nothing_goes_no_further_while_its_connection_waits() {
    let gateway = Gateway::start(open());
    let forger = Authority::root(Profile {
        common_name: Some("issuing".to_owned()),
        ..Profile::authority(OWN, gateway.world.now)
    });
    let documents = [
        json!({ "version": "staged", "mode": "dry_run" }),
        json!({ "version": "theirs", "bundle": { "inline": bundle_json(&[&forger, &gateway.world.own]) } }),
    ];
    for (context, changes) in (100..).zip(documents) {
        let behind = gateway.plugin("behind", Stage::Request, with(open(), changes));
        let forged = forger.issue(Leaf::svid(API, gateway.world.now));
        let (_filter, action) = gateway.connect(context, &forged);
        assert_eq!(action, Action::Continue);
        gateway.proxy.change(|state| state.filter_state.clear());
        let (action, reason) = gateway.ask_of(&behind, context.into(), &forged, "GET");
        assert_eq!((action, reason.as_str()), (Action::Pause, "connection.unproven"));
        assert!(
            !gateway
                .proxy
                .look(|state| state.filter_state.contains_key("svidgate.passed"))
        );
        // Whom the network filter knows is no affair of this.
        let known = gateway.world.own_identity("/api");
        assert_eq!(gateway.first_bytes(context, &known), "");
        let (action, reason) = gateway.ask_of(&behind, context.into(), &known, "GET");
        assert_eq!((action, reason.as_str()), (Action::Continue, "rule.allowed"));
    }
}

/// It holds nothing, and does not look at what stands behind.
#[test]
fn document_in_a_dry_run_leaves_nothing_to_requests_for_a_newer_one_that_enforces() {
    let gateway = Gateway::start(with(open(), json!({ "mode": "dry_run" })));
    let _next = gateway.update(open());
    assert_eq!(gateway.first_bytes(100, &gateway.peer()), "svid.unknown_authority");
}

#[test]
fn one_request_proves_its_connection_to_each_gate_of_its_chain() {
    let gateway = Gateway::start(open());
    let peer = gateway.peer();
    let second = gateway.plugin("second", Stage::Connection, open());
    let (first, action) = gateway.connect(100, &peer);
    assert_eq!(action, Action::Continue);
    gateway.is_of(101, 100);
    let second = connection(&second, 101);
    assert_eq!(second.on_new_connection(), Action::Continue);
    assert_eq!(gateway.worker.unproven().len(), 2);
    assert_eq!(gateway.ask(100, &peer, "GET"), "rule.allowed");
    assert!(gateway.worker.unproven().is_empty());
    gateway.proxy.connect(&peer);
    gateway.pass(10);
    assert_eq!(gateway.closed(), Vec::<u32>::new());
    drop((first, second));
}

#[test]
fn clock_that_is_set_back_gives_no_more_time_for_a_proof() {
    let gateway = Gateway::start(open());
    let (filter, _) = gateway.connect(100, &gateway.peer());
    gateway.pass(5);
    assert_eq!(gateway.closed(), Vec::<u32>::new());
    gateway.pass(-3600);
    assert_eq!(gateway.closed(), [100]);
    drop(filter);
}

/// The document lists a certificate of an issuer that has ended; the issuer has a new one for its key.
#[test]
fn leaf_whose_issuer_is_known_by_an_ended_certificate_is_left_to_its_request() {
    let world = World::new();
    let hour = SignedDuration::from_hours(1);
    let profile = Profile {
        common_name: Some("issuing".to_owned()),
        ..Profile::authority(OWN, world.now)
    };
    let ended = world.own.issue_authority(Profile {
        not_before: world.now - hour - hour,
        not_after: world.now - hour,
        ..profile.clone()
    });
    let changes = with(
        open(),
        json!({ "bundle": { "inline": bundle_json(&[&world.own]) }, "intermediates": [ended.pem()] }),
    );
    let gateway = Gateway::start(changes);
    let renewed = world.own.issue_authority(Profile {
        key: ended.key.clone(),
        ..profile
    });
    let peer = renewed.issue(Leaf::svid(API, world.now));
    let (filter, action) = gateway.connect(100, &peer);
    assert_eq!(action, Action::Continue);
    assert_eq!(gateway.ask(100, &peer, "GET"), "rule.allowed");
    assert!(gateway.worker.unproven().is_empty());
    // And what was learned helps the next.
    assert_eq!(gateway.first_bytes(101, &renewed.issue(Leaf::svid(API, world.now))), "");
    assert!(gateway.worker.unproven().is_empty());
    drop(filter);
}

/// A request of one connection proves that one alone, though others show the same leaf.
#[test]
fn request_proves_its_own_connection_alone() {
    let gateway = Gateway::start(open());
    let peer = gateway.peer();
    let filters = [100, 101].map(|context| gateway.connect(context, &peer));
    assert_eq!(gateway.worker.unproven().len(), 2);
    assert_eq!(gateway.ask(101, &peer, "GET"), "rule.allowed");
    assert_eq!(gateway.worker.unproven().len(), 1);
    gateway.proxy.connect(&peer);
    gateway.pass(10);
    assert_eq!(gateway.closed(), [100]);
    drop(filters);
}

/// Everything but the issuer is looked at first.
#[test]
fn only_for_want_of_an_issuer_is_a_leaf_left_to_requests() {
    let gateway = Gateway::start(with(
        open(),
        json!({ "revoked": [{ "id": "spiffe://prod.example/revoked" }] }),
    ));
    let now = gateway.world.now;
    let hour = SignedDuration::from_hours(1);
    let profiles = [
        ("", Leaf::svid(API, now)),
        (
            "svid.expired",
            Profile {
                not_after: now - SignedDuration::from_secs(1),
                ..Leaf::svid(API, now)
            },
        ),
        (
            "svid.not_yet_valid",
            Profile {
                not_before: now + hour,
                not_after: now + hour + hour,
                ..Leaf::svid(API, now)
            },
        ),
        ("svid.revoked", Leaf::svid("spiffe://prod.example/revoked", now)),
        ("svid.root_path", Leaf::svid("spiffe://prod.example", now)),
        (
            "federation.out_of_scope",
            Leaf::svid(&format!("spiffe://{PARTNER}/other"), now),
        ),
        (
            "federation.unknown_trust_domain",
            Leaf::svid("spiffe://stranger.example/a", now),
        ),
        (
            "svid.key_usage",
            Profile {
                key_usage: None,
                ..Leaf::svid(API, now)
            },
        ),
    ];
    for (context, (expected, profile)) in (100..).zip(profiles) {
        assert_eq!(gateway.first_bytes(context, &gateway.issuer.issue(profile)), expected);
    }
    // The issuer that it means is at hand, and has not signed it.
    let liar = Authority::of(OWN, now).issue(Profile {
        authority_key_id: false,
        extensions: vec![Extension::authority_key_id(&gateway.world.own.key.id())],
        ..Leaf::svid(API, now)
    });
    assert_eq!(gateway.first_bytes(120, &liar), "svid.bad_signature");
    assert!(gateway.worker.unproven().is_empty());
}

#[test]
fn without_the_certainty_that_requests_are_judged_nothing_is_left_to_them() {
    let refused = |gateway: &Gateway| gateway.first_bytes(100, &gateway.peer());
    for changes in [json!({ "xfcc": "own" }), json!({ "mark_passed": true }), json!({})] {
        assert_eq!(refused(&Gateway::start(changes)), "svid.unknown_authority");
    }
    // The HTTP filter is not configured on this worker, or with another document.
    let alone = Gateway::without_requests(open());
    assert_eq!(refused(&alone), "svid.unknown_authority");
    let other = with(
        alone.world.document(rules()),
        with(open(), json!({ "version": "another" })),
    );
    let _other = alone.proxy.plugin(Stage::Request, &other, &alone.worker);
    assert_eq!(refused(&alone), "svid.unknown_authority");
    // The proxy gives the connection no number, so no request could prove it. That is not said to be too many.
    let unnumbered = Gateway::start(open());
    let peer = unnumbered.peer();
    unnumbered.proxy.connect(&peer);
    let filter = connection(&unnumbered.connections, 100);
    filter.on_new_connection();
    assert_eq!(filter.on_downstream_data(1), Action::Pause);
    assert_eq!(unnumbered.proxy.reason(), "svid.unknown_authority");
    assert!(unnumbered.worker.unproven().is_empty());
    // It is there, and `tcp_proxy` reads this connection all the same.
    let gateway = Gateway::start(open());
    let peer = gateway.peer();
    gateway.proxy.connect(&peer);
    gateway.proxy.change(|state| state.set("xds.cluster_name", b"db"));
    gateway.is_of(100, 100);
    let filter = connection(&gateway.connections, 100);
    filter.on_new_connection();
    assert_eq!(filter.on_downstream_data(1), Action::Pause);
    assert_eq!(gateway.proxy.reason(), "connection.not_http");
    // The HTTP filter went with its listener.
    gateway.requests.as_ref().unwrap().leave();
    assert_eq!(refused(&gateway), "svid.unknown_authority");
}

#[test]
fn tcp_listener_leaves_nothing_to_requests() {
    for listener in ["tcp", "tcp_server_first"] {
        let world = World::new();
        let proxy = Proxy::at(&world);
        let worker: Rc<Worker> = Rc::default();
        let document = with(
            world.document(json!([{
                "name": "db", "effect": "allow", "from": ["spiffe://prod.example/**"], "to": [{ "ports": [5432] }],
            }])),
            with(open(), json!({ "listener": "shared" })),
        );
        let placed = match listener {
            "tcp" => svidgate_policy::Listener::Tcp,
            _ => svidgate_policy::Listener::TcpServerFirst,
        };
        let root = Rc::new(proxy.placed(Stage::Connection, Some(placed), &worker));
        proxy.change(|state| state.configuration = document.to_string().into_bytes());
        assert!(root.configure(), "{:?}", proxy.look(|state| state.log.clone()));
        let _requests = proxy.plugin(Stage::Request, &document, &worker);
        let issuer = world.own.issue_authority(Profile {
            common_name: Some("issuing".to_owned()),
            ..Profile::authority(OWN, world.now)
        });
        proxy.connect(&issuer.issue(Leaf::svid(API, world.now)));
        let filter = connection(&root, 100);
        filter.on_new_connection();
        assert_eq!(filter.on_downstream_data(1), Action::Pause, "{listener}");
        assert_eq!(proxy.reason(), "svid.unknown_authority", "{listener}");
    }
}

#[test]
fn newer_document_judges_what_is_unproven() {
    let ends = [
        (with(open(), json!({ "revoked": [{ "id": API }] })), "svid.revoked"),
        (json!({ "xfcc": "own" }), "svid.unknown_authority"),
    ];
    for (changes, expected) in ends {
        let gateway = Gateway::start(open());
        let (filter, action) = gateway.connect(100, &gateway.peer());
        assert_eq!(action, Action::Continue);
        gateway.pass(1);
        assert_eq!(gateway.closed(), Vec::<u32>::new());
        let next = gateway.update(changes);
        gateway.pass(1);
        assert_eq!(gateway.closed(), [100], "{expected}");
        assert_eq!(gateway.proxy.reason(), expected);
        drop((filter, next));
    }
    // One that leaves as much to requests as this one does ends nothing before its time.
    let gateway = Gateway::start(open());
    let (filter, _) = gateway.connect(100, &gateway.peer());
    let next = gateway.update(open());
    gateway.pass(5);
    assert_eq!(gateway.closed(), Vec::<u32>::new());
    gateway.pass(5);
    assert_eq!(gateway.closed(), [100]);
    assert_eq!(gateway.proxy.reason(), "connection.unproven");
    drop((filter, next));
}

#[test]
fn few_of_one_address_and_so_many_in_all_wait_for_their_first_request() {
    let gateway = Gateway::start(open());
    let peer = gateway.peer();
    let from = |context: u32, address: &str| {
        gateway.proxy.connect(&peer);
        gateway.is_of(context, context.into());
        gateway
            .proxy
            .change(|state| state.set("source.address", address.as_bytes()));
        let filter = connection(&gateway.connections, context);
        filter.on_new_connection();
        let action = filter.on_downstream_data(1);
        (filter, action == Action::Continue)
    };
    let mut contexts = 1000..;
    let mut context = || contexts.next().unwrap();
    let most = MAX_UNPROVEN_OF_ADDRESS;
    let taken: Vec<_> = (0..most + 3).map(|_| from(context(), "192.0.2.7:4711")).collect();
    assert_eq!(taken.iter().filter(|(_, passed)| *passed).count(), most);
    assert_eq!(gateway.proxy.reason(), "connection.too_many_unproven");
    // Of IPv6 a network counts as one; an address that says it is of IPv4 is.
    assert!(!from(context(), "[::ffff:192.0.2.7]:1").1);
    let network: Vec<_> = (0..most + 3)
        .map(|host| from(context(), &format!("[2001:db8::{host:x}]:1")))
        .collect();
    assert_eq!(network.iter().filter(|(_, passed)| *passed).count(), most);
    let next = from(context(), "[2001:db8:0:1::1]:1");
    assert!(next.1);
    // What ends gives its place back.
    taken[0].0.on_close();
    assert!(from(context(), "192.0.2.7:4712").1);

    let all: Vec<_> = (0..MAX_UNPROVEN)
        .map(|host| from(context(), &format!("10.0.{}.{}:1", host / 250, host % 250)))
        .collect();
    assert!(all.iter().filter(|(_, passed)| *passed).count() < MAX_UNPROVEN);
    assert_eq!(gateway.worker.unproven().len(), MAX_UNPROVEN);
    // Nobody who is known is kept out by them.
    assert_eq!(gateway.first_bytes(context(), &gateway.world.own_identity("/api")), "");
}

/// Where nobody waits, an allowed request costs no call more.
#[test]
fn request_asks_for_its_connection_only_where_one_with_its_leaf_waits() {
    let gateway = Gateway::start(open());
    let (known, peer) = (gateway.world.own_identity("/api"), gateway.peer());
    let (filter, _) = gateway.connect(100, &peer);
    let asks = |peer: &Identity| {
        gateway.ask(200, peer, "GET");
        gateway.proxy.take_calls();
        gateway.ask(200, peer, "GET");
        let calls = gateway.proxy.take_calls();
        calls.iter().filter(|call| *call == "property connection.id").count()
    };
    assert_eq!(asks(&known), 0);
    assert_eq!(asks(&peer), 1);
    drop(filter);
}

/// A native validator beside this filter hands on what came with a leaf: then nobody is left to a request.
#[test]
fn chain_that_was_handed_on_leads_to_an_authority_at_the_first_byte() {
    let gateway = Gateway::without_requests(json!({}));
    let world = &gateway.world;
    let peer = gateway.peer();
    let first_bytes = |peer: &Identity, handed_on: Option<Vec<u8>>| {
        gateway.proxy.connect(peer);
        gateway.is_of(1, 1);
        gateway.proxy.change(|state| {
            state.filter_state.remove("svidgate");
            if let Some(der) = handed_on {
                state.set("filter_state.svidgate.peer_chain", &der);
            }
        });
        let filter = connection(&gateway.connections, 1);
        filter.on_new_connection();
        let action = filter.on_downstream_data(1);
        filter.on_close();
        match action {
            Action::Continue => String::new(),
            Action::Pause => gateway.proxy.reason(),
        }
    };
    let stranger = Authority::root(Profile {
        common_name: Some("issuing".to_owned()),
        ..Profile::authority(OWN, world.now)
    });
    let forged = stranger.issue(Leaf::svid(API, world.now));
    let whole = peer.chain().concat();
    assert_eq!(first_bytes(&peer, None), "svid.unknown_authority");
    assert_eq!(first_bytes(&peer, Some(Vec::new())), "svid.unknown_authority");
    // A refusal is remembered of what came, and this is more.
    assert_eq!(first_bytes(&peer, Some(whole.clone())), "");
    // Known now, with or without.
    assert_eq!(first_bytes(&peer, None), "");
    for (handed_on, reason) in [
        // Another's chain, and one's own authority: they prove nothing.
        (whole, "svid.bad_signature"),
        (
            [forged.leaf.clone(), stranger.certificate.clone()].concat(),
            "svid.unknown_authority",
        ),
        (b"no certificate".to_vec(), "connection.certificate_unreadable"),
        (forged.leaf.repeat(10), "svid.chain_too_long"),
    ] {
        assert_eq!(first_bytes(&forged, Some(handed_on)), reason);
    }
}
