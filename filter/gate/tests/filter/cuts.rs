//! What is under way when its grounds fall: cut within a tick, with the reason; what still may go on is left alone.

use std::rc::Rc;

use jiff::SignedDuration;
use serde_json::{Value, json};
use support::{
    ca::{Identity, Leaf, bundle_json},
    world::{World, with},
};
use svidgate_gate::{
    plugin::{action::Action, connection::ConnectionFilter, plugin::Plugin, request::RequestFilter},
    stage::Stage,
    worker::{cut::MOST_CUT, worker::Worker},
};

use crate::double::{Proxy, accept, connection, stream, sweep};

/// The two filters of one listener on one worker.
struct Gateway {
    world: World,
    proxy: Proxy,
    worker: Rc<Worker>,
    connections: Rc<Plugin<Proxy>>,
    requests: Rc<Plugin<Proxy>>,
}

fn rules() -> Value {
    json!([
        { "name": "all", "effect": "allow", "from": ["spiffe://prod.example/**", "spiffe://partner.example/**"] },
    ])
}

impl Gateway {
    fn start(changes: Value) -> Self {
        let world = World::new();
        let proxy = Proxy::at(&world);
        let worker: Rc<Worker> = Rc::default();
        let document = with(world.document(rules()), changes);
        let connections = proxy.plugin(Stage::Connection, &document, &worker);
        let requests = proxy.plugin(Stage::Request, &document, &worker);
        Self {
            world,
            proxy,
            worker,
            connections,
            requests,
        }
    }

    /// Another document for both filters, as an update brings it: new plugins beside the old ones.
    fn update(&self, changes: Value) -> (Rc<Plugin<Proxy>>, Rc<Plugin<Proxy>>) {
        let document = with(
            self.world.document(rules()),
            with(json!({ "version": "next" }), changes),
        );
        (
            self.proxy.plugin(Stage::Connection, &document, &self.worker),
            self.proxy.plugin(Stage::Request, &document, &self.worker),
        )
    }

    fn connect(&self, context: u32, peer: &Identity) -> Rc<ConnectionFilter<Proxy>> {
        self.proxy.connect(peer);
        self.is_of(context, context.into());
        let filter = connection(&self.connections, context);
        assert_eq!(accept(&self.proxy, &filter), Action::Pause);
        assert_eq!(filter.on_downstream_data(1), Action::Continue);
        filter
    }

    fn ask(&self, context: u32, peer: &Identity, path: &str) -> Rc<RequestFilter<Proxy>> {
        self.proxy.connect(peer);
        self.proxy.ask("GET", path, &[]);
        self.is_of(context, context.into());
        let filter = stream(&self.requests, context);
        assert_eq!(filter.on_request_headers(), Action::Continue);
        filter
    }

    /// Says which connection something belongs to.
    fn is_of(&self, context: u32, connection: u64) {
        self.proxy.change(|state| state.connections.insert(context, connection));
    }

    /// Time passes, and all that is under way is looked at.
    fn pass(&self, seconds: i64) {
        self.proxy
            .change(|state| state.now += SignedDuration::from_secs(seconds));
        sweep(&self.proxy, &[&self.connections, &self.requests]);
    }

    /// The contexts that were ended: connections closed, streams answered.
    fn ended(&self) -> (Vec<u32>, usize) {
        self.proxy.look(|state| (state.closed.clone(), state.responses.len()))
    }

    fn counted(&self, name: &str) -> u64 {
        self.proxy
            .look(|state| state.counters.get(name).copied().unwrap_or_default())
    }
}

#[test]
fn expired_svid_is_cut_at_the_connection_and_in_the_stream() {
    let gateway = Gateway::start(json!({}));
    let api = gateway.world.own_identity("/api");
    let _connection = gateway.connect(10, &api);
    let _stream = gateway.ask(11, &api, "/slow");
    gateway.is_of(11, 10);
    gateway.pass(3600);
    assert_eq!(gateway.ended(), (vec![], 0), "the last second counts");
    gateway.pass(1);
    assert_eq!(gateway.ended(), (vec![10], 1));
    gateway.pass(1);
    assert_eq!(
        gateway.counted("svidgate.decisions_total.connection.cut.svid.expired"),
        1
    );
    assert_eq!(gateway.counted("svidgate.decisions_total.request.cut.svid.expired"), 1);
    assert_eq!(
        gateway.proxy.look(|state| state.responses[0].clone()),
        (403, "svidgate_svid.expired".to_owned(), 7)
    );
    let field = gateway.proxy.look(|state| state.filter_state["svidgate"].clone());
    assert!(
        field.contains(r#""cut":true"#) && field.contains("spiffe://prod.example/api"),
        "{field}"
    );
    assert!(gateway.proxy.look(|state| {
        state.log.iter().any(|line| {
            line.contains(r#"{"stage":"connection","decision":"deny","reason":"svid.expired","#)
                && line.contains(r#""cut":true"#)
        })
    }));
    gateway.pass(1);
    assert_eq!(gateway.ended(), (vec![10], 1), "once");
    let effective = gateway.proxy.look(|state| state.effective);
    assert!([1, 2].contains(&effective), "calls go to a root again: {effective}");
}

#[test]
fn grace_keeps_what_is_under_way_and_lets_nothing_new_in() {
    let gateway = Gateway::start(json!({ "expiry_grace": "30s" }));
    let api = gateway.world.own_identity("/api");
    let _connection = gateway.connect(10, &api);
    let _download = gateway.ask(11, &api, "/download");
    gateway.is_of(11, 10);
    gateway.pass(3630);
    assert_eq!(gateway.ended().0, [0; 0]);
    gateway.proxy.connect(&api);
    gateway.proxy.ask("GET", "/", &[]);
    assert_eq!(stream(&gateway.requests, 12).on_request_headers(), Action::Pause);
    assert_eq!(gateway.proxy.reason(), "svid.expired");
    gateway.pass(0);
    assert_eq!(
        gateway.ended().0,
        [0; 0],
        "a refused request takes nothing else with it"
    );
    gateway.pass(1);
    assert_eq!(gateway.ended().0, [10]);
}

/// The client's next connection comes with its next SVID, so it is sent for one in time.
#[test]
fn connection_with_nothing_under_way_is_closed_in_the_last_second_of_its_svid() {
    let gateway = Gateway::start(json!({}));
    let api = gateway.world.own_identity("/api");
    let _idle = gateway.connect(10, &api);
    let _busy = gateway.connect(12, &api);
    let _slow = gateway.ask(13, &api, "/slow");
    gateway.is_of(13, 12);
    gateway.pass(3599);
    assert_eq!(gateway.ended().0, [0; 0]);
    gateway.pass(1);
    assert_eq!(gateway.ended(), (vec![10], 0), "and what is under way goes on");
    assert_eq!(
        gateway.counted("svidgate.decisions_total.connection.cut.svid.expired"),
        0
    );
}

#[test]
fn in_grace_a_connection_is_closed_as_soon_as_nothing_is_under_way() {
    let gateway = Gateway::start(json!({ "expiry_grace": "30s" }));
    let api = gateway.world.own_identity("/api");
    let _connection = gateway.connect(10, &api);
    gateway.proxy.connect(&api);
    gateway.proxy.ask("GET", "/download", &[]);
    gateway.is_of(11, 10);
    let download = stream(&gateway.requests, 11);
    assert_eq!(download.on_request_headers(), Action::Continue);
    gateway.pass(3610);
    assert_eq!(gateway.ended(), (vec![], 0));
    download.on_close();
    gateway.pass(1);
    assert_eq!(gateway.ended(), (vec![10], 0));
}

#[test]
fn request_near_the_end_of_its_svid_leaves_a_mark_to_drain_by() {
    let gateway = Gateway::start(json!({}));
    let api = gateway.world.own_identity("/api");
    let mark = |context| {
        let _stream = gateway.ask(context, &api, "/");
        gateway
            .proxy
            .change(|state| state.filter_state.remove("svidgate.drain"))
    };
    assert_eq!(mark(20), None);
    gateway.pass(3596);
    assert_eq!(mark(21).as_deref(), Some("1"));
}

#[test]
fn end_of_relationship_and_rule_cut() {
    let ends = |seconds| (World::new().now + SignedDuration::from_secs(seconds)).to_string();
    let gateway = Gateway::start(json!({
        "federation": [{ "trust_domain": "partner.example", "expires": ends(100),
                         "bundle": { "inline": { "keys": [] } } }],
        "rules": [
            { "name": "all", "effect": "allow", "from": ["spiffe://prod.example/api"], "expires": ends(200) },
            { "name": "slow", "effect": "allow", "from": ["spiffe://prod.example/api"], "to": [{ "paths": ["/slow"] }] },
            { "name": "others", "effect": "allow", "from": ["spiffe://prod.example/other"] },
        ],
    }));
    let (api, other) = (gateway.world.own_identity("/api"), gateway.world.own_identity("/other"));
    let _streams = [
        gateway.ask(20, &api, "/slow"),
        gateway.ask(21, &api, "/fast"),
        gateway.ask(22, &other, "/fast"),
    ];
    gateway.pass(198);
    assert_eq!(gateway.ended().1, 0);
    gateway.pass(3);
    assert_eq!(gateway.ended().1, 1, "only what no other rule allows");
    assert_eq!(gateway.counted("svidgate.decisions_total.request.cut.rule.expired"), 1);
}

#[test]
fn partner_whose_relationship_has_ended_is_cut() {
    let world = World::new();
    let ends = (world.now + SignedDuration::from_secs(100)).to_string();
    let gateway = Gateway::start(json!({
        "federation": [{ "trust_domain": "partner.example", "expires": ends,
                         "bundle": { "inline": bundle_json(&[&world.partner]) } }],
    }));
    let partner = world
        .partner
        .issue(Leaf::svid("spiffe://partner.example/x", gateway.world.now));
    let _both = (gateway.connect(10, &partner), gateway.ask(11, &partner, "/"));
    let _own = gateway.connect(12, &gateway.world.own_identity("/api"));
    gateway.pass(97);
    assert_eq!(gateway.ended(), (vec![], 0));
    gateway.pass(4);
    assert_eq!(gateway.ended(), (vec![10], 1));
    assert_eq!(
        gateway.counted("svidgate.decisions_total.connection.cut.federation.expired"),
        1
    );
}

#[test]
fn time_window_that_closes_cuts() {
    // From now to the end of the minute after next.
    let now = World::new().now;
    let minute = |more: i64| {
        let minute = (now.as_second().div_euclid(60) + more).rem_euclid(24 * 60);
        format!("{:02}:{:02}", minute / 60, minute % 60)
    };
    let window = json!([{ "from": minute(0), "until": minute(3) }]);
    let gateway = Gateway::start(json!({
        "rules": [{ "name": "now", "effect": "allow", "from": ["spiffe://prod.example/**"], "when": { "time": window } }],
    }));
    let api = gateway.world.own_identity("/api");
    let _stream = gateway.ask(10, &api, "/");
    gateway.pass(100);
    assert_eq!(gateway.ended().1, 0);
    gateway.pass(90);
    assert_eq!(gateway.ended().1, 1);
    assert_eq!(
        gateway.counted("svidgate.decisions_total.request.cut.rule.none_matched"),
        1
    );
}

#[test]
fn new_document_cuts_only_what_it_does_not_allow() {
    let gateway = Gateway::start(json!({}));
    let (api, other) = (gateway.world.own_identity("/api"), gateway.world.own_identity("/other"));
    let _connections = [gateway.connect(10, &api), gateway.connect(11, &other)];
    let _streams = [
        gateway.ask(20, &api, "/a"),
        gateway.ask(21, &api, "/b"),
        gateway.ask(22, &other, "/a"),
    ];
    gateway.pass(10);
    let only =
        json!([{ "name": "a", "effect": "allow", "from": ["spiffe://prod.example/api"], "to": [{ "paths": ["/a"] }] }]);
    let _new = gateway.update(json!({ "rules": only }));
    gateway.pass(1);
    assert_eq!(gateway.ended(), (vec![11], 2));
    assert_eq!(
        gateway.counted("svidgate.decisions_total.request.cut.rule.none_matched"),
        2
    );
    let _newer = gateway.update(json!({ "revoked": [{ "id": "spiffe://prod.example/api", "reason": "left" }] }));
    gateway.pass(1);
    assert_eq!(gateway.ended(), (vec![11, 10], 3));
    assert_eq!(
        gateway.counted("svidgate.decisions_total.connection.cut.svid.revoked"),
        1
    );
}

#[test]
fn plugins_with_names_of_their_own_are_told_apart() {
    let world = World::new();
    let proxy = Proxy::at(&world);
    let worker: Rc<Worker> = Rc::default();
    let plugin = |name: &str, rules: Value, version: &str| {
        proxy.change(|state| {
            state.properties.clear();
            state.set("plugin_name", name.as_bytes());
        });
        proxy.plugin(
            Stage::Connection,
            &with(world.document(rules), json!({ "version": version })),
            &worker,
        )
    };
    let (one, two) = (plugin("one", rules(), "1"), plugin("two", rules(), "2"));
    proxy.connect(&world.own_identity("/api"));
    let filters = [connection(&one, 10), connection(&two, 11)];
    for filter in &filters {
        accept(&proxy, filter);
        assert_eq!(filter.on_downstream_data(1), Action::Continue);
    }
    let _next = plugin("two", json!([]), "3");
    sweep(&proxy, &[&one]);
    assert_eq!(proxy.look(|state| state.closed.clone()), [11]);
}

#[test]
fn dry_run_tells_what_it_would_cut_and_an_enforcing_document_cuts_it() {
    let gateway = Gateway::start(json!({ "mode": "dry_run" }));
    let expired = gateway.world.own.issue(Leaf {
        not_after: gateway.world.now - SignedDuration::from_secs(1),
        ..Leaf::svid("spiffe://prod.example/api", gateway.world.now)
    });
    gateway.proxy.connect(&expired);
    let filter = connection(&gateway.connections, 10);
    accept(&gateway.proxy, &filter);
    assert_eq!(filter.on_downstream_data(1), Action::Continue);
    let _stream = gateway.ask(11, &expired, "/");
    gateway.pass(10);
    gateway.pass(10);
    assert_eq!(gateway.ended(), (vec![], 0));
    assert_eq!(
        gateway.counted("svidgate.decisions_total.connection.dry_run.svid.expired"),
        1
    );
    let _new = gateway.update(json!({}));
    gateway.pass(1);
    assert_eq!(gateway.ended(), (vec![10], 1));
}

#[test]
fn what_is_gone_is_never_called() {
    let gateway = Gateway::start(json!({}));
    let api = gateway.world.own_identity("/api");
    let closed = gateway.connect(10, &api);
    closed.on_close();
    let finished = gateway.ask(11, &api, "/");
    finished.on_close();
    let _gone = gateway.connect(12, &api);
    gateway.proxy.change(|state| state.gone = vec![12]);
    gateway.pass(7200);
    assert_eq!(gateway.ended(), (vec![], 0));
    assert!(gateway.worker.under_way().is_empty());
}

#[test]
fn sweep_over_ten_thousand_live_connections_makes_no_call() {
    let gateway = Gateway::start(json!({}));
    let api = gateway.world.own_identity("/api");
    let _connections: Vec<_> = (0..10_000).map(|number| gateway.connect(100 + number, &api)).collect();
    // Each is looked at once, for what stands behind it.
    (0..25).for_each(|_| gateway.pass(1));
    gateway.proxy.take_calls();
    gateway.pass(1);
    let calls = gateway.proxy.take_calls();
    assert!(calls.len() < 20, "{}", calls.len());
    // How long it takes is measured on a running proxy (`make measure-sweep`).
}

#[test]
fn one_call_cuts_few_and_the_next_ones_come_soon() {
    let gateway = Gateway::start(json!({}));
    let api = gateway.world.own_identity("/api");
    let _connections: Vec<_> = (0..100).map(|number| gateway.connect(100 + number, &api)).collect();
    let _streams: Vec<_> = (0..100).map(|number| gateway.ask(300 + number, &api, "/")).collect();
    gateway.proxy.change(|state| state.now += SignedDuration::from_hours(2));
    let mut seen = Vec::new();
    for _ in 0..9 {
        let before = gateway.ended();
        gateway.connections.tick();
        let (closed, answered) = gateway.ended();
        seen.push(answered - before.1 + closed.len() - before.0.len());
        let period = gateway.proxy.look(|state| state.tick_period);
        assert_eq!(period == 1, closed.len() < 100, "{seen:?}");
    }
    let most = MOST_CUT;
    let expected = [most, most, most, most, most, most, 200 - 6 * most, 0, 0];
    assert_eq!(seen, expected);
}

/// Where the proxy vouched for a chain nothing was verified here; a document that verifies must not take that over.
#[test]
fn what_the_proxy_vouched_for_is_verified_when_a_new_document_wants_it() {
    let gateway = Gateway::start(json!({ "chain": "proxy" }));
    let (good, forged) = (
        gateway.world.own_identity("/api"),
        gateway
            .world
            .stranger
            .issue(Leaf::svid("spiffe://prod.example/api", gateway.world.now)),
    );
    let _live = [gateway.connect(10, &good), gateway.connect(11, &forged)];
    gateway.pass(10);
    let _new = gateway.update(json!({ "chain": "verify" }));
    gateway.pass(1);
    assert_eq!(gateway.ended().0, [11]);
}

/// A listener that drains keeps its plugins and its clients' connections for minutes.
#[test]
fn new_request_on_an_old_connection_must_please_the_document_that_has_replaced_the_old_one() {
    let gateway = Gateway::start(json!({}));
    let api = gateway.world.own_identity("/api");
    let finished = gateway.ask(20, &api, "/");
    finished.on_close();
    gateway.pass(10);
    let nobody = json!([{ "name": "other", "effect": "allow", "from": ["spiffe://prod.example/other"] }]);
    let _new = gateway.update(json!({ "rules": nobody }));
    for seconds in [1, 60, 600] {
        gateway.pass(seconds);
        gateway.proxy.connect(&api);
        gateway.proxy.ask("GET", "/", &[]);
        assert_eq!(stream(&gateway.requests, 21).on_request_headers(), Action::Pause);
        assert_eq!(gateway.proxy.reason(), "rule.none_matched");
    }
    let kept = gateway.update(json!({ "version": "third", "revoked": [{ "id": "spiffe://prod.example/other" }] }));
    gateway.pass(1);
    let other = gateway.world.own_identity("/other");
    gateway.proxy.connect(&other);
    assert_eq!(stream(&gateway.requests, 22).on_request_headers(), Action::Pause);
    assert_eq!(gateway.proxy.reason(), "svid.revoked");
    drop(kept);
}
