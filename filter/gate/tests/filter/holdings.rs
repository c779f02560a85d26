//! What peers make a worker keep: heads of open streams, identities, documents that drain. Each has a bound and a
//! reason.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
};

use jiff::SignedDuration;
use serde_json::{Value, json};
use support::{
    ca::Identity,
    world::{World, with},
};
use svidgate_gate::{
    ledger::{MAX_STREAM_BYTES, MAX_WORKER_BYTES},
    plugin::{action::Action, plugin::Plugin, request::RequestFilter},
    stage::Stage,
    worker::worker::{MAX_DOCUMENTS_BYTES, Worker},
};

use crate::double::{Proxy, stream};

fn everyone() -> Value {
    json!([{ "name": "all", "effect": "allow", "from": ["spiffe://prod.example/**"] }])
}

struct Gateway {
    world: World,
    proxy: Proxy,
    worker: Rc<Worker>,
    root: Rc<Plugin<Proxy>>,
    next: Cell<u32>,
    identities: RefCell<BTreeMap<String, Identity>>,
}

impl Gateway {
    fn start(rules: Value) -> Self {
        let world = World::new();
        let proxy = Proxy::at(&world);
        let worker: Rc<Worker> = Rc::default();
        let root = proxy.plugin(Stage::Request, &world.document(rules), &worker);
        Self {
            world,
            proxy,
            worker,
            root,
            next: Cell::new(1_000),
            identities: RefCell::default(),
        }
    }

    fn open(&self, peer: &str, path: &str, headers: &[(&[u8], &[u8])]) -> Result<Rc<RequestFilter<Proxy>>, String> {
        let mut identities = self.identities.borrow_mut();
        let new = || self.world.own_identity(peer);
        self.proxy
            .connect(identities.entry(peer.to_owned()).or_insert_with(new));
        self.proxy.ask("GET", path, headers);
        let context = self.next.replace(self.next.get() + 1);
        // Each on a connection of its own.
        self.proxy.change(|state| {
            state.connections.insert(context, context.into());
            state.set("connection.id", &u64::from(context).to_le_bytes());
        });
        let filter = stream(&self.root, context);
        match filter.on_request_headers() {
            Action::Continue => Ok(filter),
            Action::Pause => Err(self.proxy.reason()),
        }
    }

    fn update(&self, document: &Value) -> Rc<Plugin<Proxy>> {
        let new = self.proxy.plugin(Stage::Request, document, &self.worker);
        self.proxy.change(|state| state.now += SignedDuration::from_secs(1));
        new.tick();
        new
    }

    fn answered(&self) -> Vec<String> {
        self.proxy
            .look(|state| state.responses.iter().map(|(_, detail, _)| detail.clone()).collect())
    }
}

/// Nineteen thousand heads of 58 KB ended the VM; headers that no rule looks at are not kept at all.
#[test]
fn headers_that_no_rule_looks_at_cost_nothing() {
    let gateway = Gateway::start(everyone());
    let large = vec![b'x'; 58_000];
    let streams: Vec<_> = (0..500)
        .map(|_| gateway.open("/api", "/", &[(b"x-large", &large)]).unwrap())
        .collect();
    assert!(
        gateway.worker.ledger().total() < 500 * 600,
        "{}",
        gateway.worker.ledger().total()
    );
    for stream in &streams {
        stream.on_close();
    }
    drop(streams);
    assert!(gateway.worker.ledger().total() < 20_000, "the identity alone is left");
}

#[test]
fn head_that_is_too_large_to_keep_is_refused_with_its_reason() {
    let gateway = Gateway::start(everyone());
    let path = format!("/{}", "a".repeat(MAX_STREAM_BYTES));
    assert_eq!(
        gateway.open("/api", &path, &[]).err().as_deref(),
        Some("request.head_too_large")
    );
    let path = format!("/{}", "a".repeat(MAX_STREAM_BYTES - 1_000));
    assert!(gateway.open("/api", &path, &[]).is_ok());
}

#[test]
fn peer_that_fills_the_worker_is_refused_and_costs_no_other_a_request() {
    let gateway = Gateway::start(everyone());
    let path = format!("/{}", "a".repeat(60_000));
    let mut streams = Vec::new();
    // What is left by large heads is filled by small ones.
    for path in [path.as_str(), "/short"] {
        let reason = loop {
            match gateway.open("/greedy", path, &[]) {
                Ok(stream) => streams.push(stream),
                Err(reason) => break reason,
            }
            assert!(streams.len() * 60_000 < 2 * MAX_WORKER_BYTES);
        };
        assert_eq!(reason, "worker.full");
    }
    for number in 0..20 {
        let modest = gateway.open(&format!("/modest/{number}"), "/short", &[]);
        streams.push(modest.expect("nobody else is refused"));
    }
    assert_eq!(
        gateway.open("/greedy", "/short", &[]).err().as_deref(),
        Some("worker.full")
    );
    streams.iter().for_each(|stream| stream.on_close());
    drop(streams);
    assert!(gateway.open("/greedy", "/short", &[]).is_ok());
}

#[test]
fn large_heads_of_one_connection_have_a_bound() {
    let gateway = Gateway::start(everyone());
    let path = format!("/{}", "a".repeat(60_000));
    let mut streams = Vec::new();
    let reason = loop {
        gateway.next.set(5_000);
        match gateway.open("/api", &path, &[]) {
            Ok(stream) => streams.push(stream),
            Err(reason) => break reason,
        }
    };
    assert_eq!((reason.as_str(), streams.len()), ("connection.holds_too_much", 69));
}

/// A header that was not kept is unknown to a newer document: a deny rule that names it applies, `not_headers` does not
/// help.
#[test]
fn header_that_was_not_kept_is_unknown_to_a_newer_document_and_never_absent() {
    let named = |effect: &str, member: &str| {
        json!({ "name": format!("{effect}-{member}"), "effect": effect, "from": ["spiffe://prod.example/**"],
                "when": { member: [{ "name": "x-debug", "is": "1" }] } })
    };
    let allow_all = json!({ "name": "all", "effect": "allow", "from": ["spiffe://prod.example/**"] });
    for rules in [
        json!([allow_all, named("deny", "headers")]),
        json!([named("allow", "not_headers")]),
    ] {
        let gateway = Gateway::start(everyone());
        let _stream = gateway.open("/api", "/", &[]).unwrap();
        let document = with(gateway.world.document(rules.clone()), json!({ "version": "next" }));
        let new = gateway.update(&document);
        assert_eq!(gateway.answered().len(), 1, "{rules}");
        // One that began when both were known is judged by what it has.
        gateway.proxy.ask("GET", "/", &[]);
        let filter = stream(&new, 1);
        assert_eq!(filter.on_request_headers(), Action::Continue, "{rules}");
        let newer = with(document, json!({ "version": "newer" }));
        gateway.update(&newer);
        assert_eq!(gateway.answered().len(), 1, "{rules}");
    }
}

/// The text is mostly white space: it costs room as if it were rules.
#[test]
fn new_document_has_room_whatever_is_still_open_under_old_ones() {
    let gateway = Gateway::start(everyone());
    let padded = |version: &str| {
        let document = with(gateway.world.document(everyone()), json!({ "version": version }));
        format!("{}{document}", " ".repeat(MAX_DOCUMENTS_BYTES / 5 * 2 / 5)).into_bytes()
    };
    let configure = |version: &str| {
        let root = gateway.proxy.unconfigured(Stage::Request, &gateway.worker);
        gateway.proxy.change(|state| state.configuration = padded(version));
        assert!(root.configure());
        root
    };
    let open = |root: &Rc<Plugin<Proxy>>, context: u32| {
        gateway.proxy.connect(&gateway.world.own_identity("/api"));
        gateway
            .proxy
            .change(|state| state.connections.insert(context, context.into()));
        gateway.proxy.ask("GET", "/", &[]);
        let filter = stream(root, context);
        (filter.on_request_headers(), filter)
    };
    let first = configure("1");
    let (action, _oldest) = open(&first, 2_001);
    assert_eq!(action, Action::Continue);
    let second = configure("2");
    let (action, _older) = open(&second, 2_002);
    assert_eq!(action, Action::Continue);
    let third = configure("3");
    gateway.proxy.change(|state| state.now += SignedDuration::from_secs(1));
    third.tick();
    assert_eq!(gateway.answered(), ["svidgate_configuration.superseded"]);
    assert_eq!(open(&first, 2_003).0, Action::Pause);
    assert_eq!(gateway.proxy.reason(), "configuration.superseded");
    for root in [&second, &third] {
        assert_eq!(open(root, 2_004).0, Action::Continue);
    }
    assert!(gateway.proxy.look(|state| {
        state
            .log
            .iter()
            .any(|line| line.contains("are given up, because a new one has no room beside them"))
    }));
}
