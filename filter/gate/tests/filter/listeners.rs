//! Which listener a plugin stands in: what its document says, or, where that is for all, what its `root_id` says.

use std::rc::Rc;

use jiff::SignedDuration;
use serde_json::{Value, json};
use support::world::{World, with};
use svidgate_gate::{
    plugin::{action::Action, hold::HoldFilter, plugin::Plugin},
    stage::Stage,
    worker::worker::Worker,
};
use svidgate_policy::Listener;

use crate::double::{Proxy, accept, connection};

fn document(world: &World, listener: &str) -> Value {
    let rules = json!([
        { "name": "db", "effect": "allow", "from": ["spiffe://prod.example/**"], "to": [{ "ports": [5432] }] },
        { "name": "get", "effect": "allow", "from": ["spiffe://prod.example/**"], "to": [{ "ports": [80], "sni": ["a.example"] }] },
    ]);
    with(world.document(rules), json!({ "listener": listener }))
}

/// What is said where the plugin is refused, else the listener.
fn configured(
    world: &World,
    stage: Stage,
    holds: bool,
    placed: Option<Listener>,
    listener: &str,
) -> Result<Listener, String> {
    let proxy = Proxy::at(world);
    let root = proxy.placed(stage, placed, &Rc::default());
    let root = if holds { root.holding() } else { root };
    proxy.change(|state| state.configuration = document(world, listener).to_string().into_bytes());
    if root.configure() {
        return Ok(root.listener());
    }
    proxy.look(|state| Err(state.log.last().cloned().unwrap_or_default()))
}

#[test]
fn plugin_stands_where_its_document_or_its_root_id_says_and_is_refused_where_they_disagree() {
    use Listener::{Http, Tcp, TcpServerFirst};
    let world = World::new();
    let connection = |placed, listener: &str| configured(&world, Stage::Connection, false, placed, listener);
    for (listener, word) in [(Http, "http"), (Tcp, "tcp"), (TcpServerFirst, "tcp_server_first")] {
        assert_eq!(connection(None, word), Ok(listener));
        assert_eq!(connection(Some(listener), word), Ok(listener));
        assert_eq!(connection(Some(listener), "shared"), Ok(listener));
        for other in [Http, Tcp, TcpServerFirst]
            .into_iter()
            .filter(|other| *other != listener)
        {
            let said = connection(Some(other), word).unwrap_err();
            let disagree = format!(
                "the document is for `{word}`, and the `root_id` of the plugin says `{}`",
                other.as_str()
            );
            assert!(said.contains(&disagree), "{said}");
        }
    }
    let said = connection(None, "shared").unwrap_err();
    assert!(
        said.contains("its `root_id` must be `svidgate.connection.http`"),
        "{said}"
    );

    let request = |listener: &str| configured(&world, Stage::Request, false, None, listener);
    assert_eq!(request("http"), Ok(Http));
    assert_eq!(request("shared"), Ok(Http));
    assert!(request("tcp").unwrap_err().contains("a TCP listener has no requests"));

    let hold = |listener: &str| configured(&world, Stage::Connection, true, None, listener);
    assert_eq!(hold("shared"), Ok(Http));
    assert!(hold("tcp").unwrap_err().contains("`svidgate.hold` is for `http` only"));
}

#[test]
fn document_for_all_listeners_says_once_which_rules_mean_little_at_tcp() {
    let world = World::new();
    let (proxy, worker) = (Proxy::at(&world), Rc::default());
    let rules = json!([
        { "name": "db", "effect": "allow", "from": ["spiffe://prod.example/**"], "to": [{ "ports": [5432] }, { "paths": ["/a"] }] },
        { "name": "get", "effect": "allow", "from": ["spiffe://prod.example/**"], "to": [{ "methods": ["GET"] }] },
        { "name": "no-admin", "effect": "deny", "from": ["spiffe://prod.example/**"], "to": [{ "paths": ["/admin"] }] },
        { "name": "no-debug", "effect": "deny", "from": ["spiffe://prod.example/**"],
          "when": { "headers": [{ "name": "debug", "present": true }] } },
        { "name": "tried", "effect": "deny", "from": ["spiffe://prod.example/**"], "to": [{ "paths": ["/b"] }], "dry_run": true },
    ]);
    let document = with(world.document(rules), json!({ "listener": "shared" }));
    proxy.change(|state| state.configuration = document.to_string().into_bytes());
    let roots = [Listener::Http, Listener::Tcp].map(|placed| proxy.placed(Stage::Connection, Some(placed), &worker));
    assert!(roots.iter().all(Plugin::configure));
    let lines = proxy.look(|state| state.log.clone());
    let said = lines.iter().filter(|line| line.contains("listener: shared: "));
    assert_eq!(
        said.collect::<Vec<_>>(),
        [
            "svidgate: listener: shared: at TCP listeners the allow rules that need a request (1) never match, and the \
             deny rules that need one (2) deny each connection that their `ports` do not rule out"
        ]
    );
}

/// A plugin with a document for all listeners.
fn plugin(proxy: &Proxy, world: &World, placed: Listener, rules: Value, worker: &Rc<Worker>) -> Rc<Plugin<Proxy>> {
    let document = with(world.document(rules), json!({ "listener": "shared" }));
    let root = Rc::new(proxy.placed(Stage::Connection, Some(placed), worker));
    proxy.change(|state| state.configuration = document.to_string().into_bytes());
    assert!(root.configure());
    root
}

fn connect(proxy: &Proxy, world: &World) {
    proxy.connect(&world.own_identity("/api"));
    proxy.change(|state| state.set("destination.port", &5432_i64.to_le_bytes()));
}

fn at_port(port: u16) -> Value {
    json!([{ "name": "db", "effect": "allow", "from": ["spiffe://prod.example/**"], "to": [{ "ports": [port] }] }])
}

/// As with two resources of a mesh, each with a hold: the first bytes are at hand, and go to nobody who pauses now.
#[test]
fn hold_that_comes_after_the_handshake_holds_and_decides_nothing() {
    let world = World::new();
    let proxy = Proxy::at(&world);
    let root = Rc::new(proxy.placed(Stage::Connection, None, &Rc::default()).holding());
    proxy.change(|state| state.configuration = document(&world, "http").to_string().into_bytes());
    assert!(root.configure());
    for peer in [world.own_identity("/api"), world.partner_identity("/stranger")] {
        proxy.connect(&peer);
        let filter = HoldFilter::new(Rc::clone(&root), 10);
        assert_eq!(filter.on_new_connection(), Action::Continue);
        assert_eq!(filter.on_downstream_data(1), Action::Continue);
        filter.on_close();
    }
    assert_eq!(proxy.look(|state| state.closed.len()), 0);
    assert!(!proxy.look(|state| state.filter_state.contains_key("svidgate")));
}

/// Whose bytes come next.
enum Next {
    OfClient,
    OfServer,
    Nothing,
}

/// What would be admitted because each request will be decided on, where none ever is.
#[test]
fn connection_for_http_that_tcp_proxy_reads_gets_no_byte_further_than_the_first() {
    let world = World::new();
    let get = json!([{ "name": "get", "effect": "allow", "from": ["spiffe://prod.example/**"], "to": [{ "methods": ["GET"] }] }]);
    let start = || {
        let (proxy, worker) = (Proxy::at(&world), Rc::default());
        let root = plugin(&proxy, &world, Listener::Http, get.clone(), &worker);
        connect(&proxy, &world);
        let filter = connection(&root, 10);
        assert_eq!(accept(&proxy, &filter), Action::Pause);
        (proxy, root, filter)
    };
    let dialled = |proxy: &Proxy| proxy.change(|state| state.set("xds.cluster_name", b"db"));
    let closed = |proxy: &Proxy, root: &Rc<Plugin<Proxy>>| {
        proxy.change(|state| state.now += SignedDuration::from_secs(1));
        root.tick();
        proxy.look(|state| state.closed.len())
    };

    let (proxy, _root, filter) = start();
    dialled(&proxy);
    assert_eq!(filter.on_downstream_data(1), Action::Pause);
    assert_eq!(proxy.reason(), "connection.not_http");
    assert_eq!(proxy.look(|state| state.closed.len()), 1);

    // It dials with the first bytes. Whatever comes next is kept: the client's, the server's, or nothing.
    for next in [Next::OfClient, Next::OfServer, Next::Nothing] {
        let (proxy, root, filter) = start();
        assert_eq!(filter.on_downstream_data(1), Action::Continue);
        dialled(&proxy);
        match next {
            Next::OfClient => assert_eq!(filter.on_downstream_data(1), Action::Pause),
            Next::OfServer => assert_eq!(filter.on_upstream_data(), Action::Pause),
            Next::Nothing => {}
        }
        assert_eq!(closed(&proxy, &root), 1);
        assert_eq!(proxy.reason(), "connection.not_http");
        assert_eq!(filter.on_downstream_data(1), Action::Pause);
        assert_eq!(filter.on_upstream_data(), Action::Pause);
        assert_eq!(closed(&proxy, &root), 1);
    }
}

/// Whatever a peer does or holds back: only the cluster condemns, and once there was a protocol nothing is asked.
#[test]
fn connection_for_http_goes_on_where_nothing_shows_or_http_does() {
    let world = World::new();
    let get = json!([{ "name": "get", "effect": "allow", "from": ["spiffe://prod.example/**"], "to": [{ "methods": ["GET"] }] }]);
    let (proxy, worker) = (Proxy::at(&world), Rc::default());
    let root = plugin(&proxy, &world, Listener::Http, get, &worker);
    connect(&proxy, &world);
    let filter = connection(&root, 10);
    accept(&proxy, &filter);
    for _ in 0..5 {
        assert_eq!(filter.on_downstream_data(1), Action::Continue);
        proxy.change(|state| state.now += SignedDuration::from_secs(1));
        root.tick();
    }
    proxy.take_calls();
    root.tick();
    assert!(
        !proxy.take_calls().contains(&"property xds.cluster_name".to_owned()),
        "asked on one tick alone"
    );
    proxy.change(|state| state.set("request.protocol", b"HTTP/2"));
    assert_eq!(filter.on_upstream_data(), Action::Continue);
    proxy.take_calls();
    assert_eq!(filter.on_upstream_data(), Action::Continue);
    assert_eq!(filter.on_downstream_data(1), Action::Continue);
    assert_eq!(proxy.take_calls(), Vec::<String>::new());
    assert_eq!(proxy.look(|state| state.closed.len()), 0);
}

#[test]
fn document_for_another_kind_of_listener_judges_nothing_that_began_before() {
    let world = World::new();
    for (placed, cut) in [(Listener::Tcp, 1), (Listener::TcpServerFirst, 0), (Listener::Http, 0)] {
        let (proxy, worker) = (Proxy::at(&world), Rc::default());
        let first = plugin(&proxy, &world, Listener::Tcp, at_port(5432), &worker);
        connect(&proxy, &world);
        let filter = connection(&first, 10);
        assert_eq!(accept(&proxy, &filter), Action::Pause);
        assert_eq!(filter.on_downstream_data(1), Action::Continue);
        let second = plugin(&proxy, &world, placed, at_port(1), &worker);
        proxy.change(|state| state.now += SignedDuration::from_secs(1));
        for root in [&first, &second, &first, &second] {
            root.tick();
        }
        assert_eq!(proxy.look(|state| state.closed.len()), cut, "{placed:?}");
    }
}
