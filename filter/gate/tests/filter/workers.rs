//! Several workers of one proxy, and the sources that answer them.

use std::rc::Rc;

use jiff::SignedDuration;
use serde_json::{Value, json};
use support::{
    ca::{Authority, Identity, bundle_json},
    world::{World, with},
};
use svidgate_gate::{
    header_map::HeaderMap,
    plugin::{action::Action, plugin::Plugin},
    stage::Stage,
    worker::worker::Worker,
};

use crate::double::Proxy;

pub(crate) const ENDPOINT: &str = "GET bundles.prod.example/bundle.json of own_bundle";

/// Several workers of one proxy, each with the HTTP filter.
pub(crate) struct Workers {
    pub(crate) world: World,
    pub(crate) proxy: Proxy,
    pub(crate) roots: Vec<Rc<Plugin<Proxy>>>,
    pub(crate) workers: Vec<Rc<Worker>>,
}

pub(crate) fn everyone() -> Value {
    json!([{ "name": "all", "effect": "allow", "from": ["spiffe://*/**"] }])
}

impl Workers {
    pub(crate) fn start(count: usize, changes: Value) -> Self {
        let world = World::new();
        let proxy = Proxy::at(&world);
        let mut workers = Self {
            world,
            proxy,
            roots: Vec::new(),
            workers: Vec::new(),
        };
        for _ in 0..count {
            let worker = Rc::default();
            let root = workers.plugin(&worker, changes.clone());
            workers.roots.push(root);
            workers.workers.push(worker);
        }
        workers
    }

    pub(crate) fn plugin(&self, worker: &Rc<Worker>, changes: Value) -> Rc<Plugin<Proxy>> {
        self.proxy.plugin(Stage::Request, &self.document(changes), worker)
    }

    fn document(&self, changes: Value) -> Value {
        let mut document = with(self.world.document(everyone()), changes);
        document["bundle"]
            .as_object_mut()
            .unwrap()
            .retain(|_, value| !value.is_null());
        document
    }

    /// A worker's plugin gets another document.
    pub(crate) fn configure(&self, worker: usize, changes: Value) {
        let document = self.document(changes).to_string().into_bytes();
        self.proxy.change(|state| state.configuration = document);
        assert!(self.roots[worker].configure());
    }

    pub(crate) fn pass(&self, seconds: i64) {
        self.proxy
            .change(|state| state.now += SignedDuration::from_secs(seconds));
    }

    pub(crate) fn tick(&self) {
        self.roots.iter().for_each(|root| root.tick());
    }

    /// What was asked since the last look, with the tokens.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.proxy.look(|state| state.asked.clone())
    }

    /// Lets time pass until more is asked than `before`; gives the seconds.
    pub(crate) fn wait_until_asked(&self, before: usize) -> i64 {
        let mut seconds = 0;
        while self.asked().len() == before {
            assert!(seconds < 4_000, "no source is asked any more");
            self.pass(1);
            seconds += 1;
            self.tick();
        }
        seconds
    }

    pub(crate) fn last_token(&self) -> u32 {
        u32::try_from(self.asked().len()).unwrap()
    }

    /// The endpoint that was asked last answers the worker that asked.
    pub(crate) fn answer(&self, worker: usize, status: &str, body: &str) {
        self.answer_to(self.last_token(), worker, status, body);
    }

    /// The endpoint that was asked with this token answers.
    pub(crate) fn answer_to(&self, token: u32, worker: usize, status: &str, body: &str) {
        self.proxy.change(|state| {
            state.answer = (
                Some(HeaderMap::from_pairs(&[(b":status", status.as_bytes())])),
                body.as_bytes().to_vec(),
            );
        });
        self.roots[worker].on_answer(token, 1, body.len());
    }

    /// The stream that was opened last brings a message.
    pub(crate) fn message(&self, worker: usize, message: Vec<u8>) {
        self.message_to(self.last_token(), worker, message);
    }

    /// The stream that was opened with this token brings a message.
    pub(crate) fn message_to(&self, token: u32, worker: usize, message: Vec<u8>) {
        let bytes = message.len();
        self.proxy.change(|state| state.answer.1 = message);
        self.roots[worker].on_message(token, bytes);
    }

    /// What a worker answers a peer.
    pub(crate) fn reason(&self, worker: usize, peer: &Identity) -> String {
        self.proxy.connect(peer);
        self.proxy.ask("GET", "/", &[]);
        let filter = crate::double::stream(&self.roots[worker], 77);
        let action = filter.on_request_headers();
        filter.on_close();
        let reason = self.proxy.reason();
        assert_eq!(action == Action::Continue, reason == "rule.allowed", "{reason}");
        reason
    }

    pub(crate) fn counted(&self, name: &str) -> u64 {
        self.proxy
            .look(|state| state.counters.get(name).copied().unwrap_or_default())
    }

    pub(crate) fn logged(&self, text: &str) -> bool {
        self.proxy
            .look(|state| state.log.iter().any(|line| line.contains(text)))
    }
}

pub(crate) fn endpoint() -> Value {
    json!({ "cluster": "own_bundle", "authority": "bundles.prod.example", "path": "/bundle.json" })
}

/// Our own bundle from an endpoint, with no pin.
pub(crate) fn own_endpoint() -> Value {
    json!({ "bundle": { "endpoint": endpoint() }, "max_staleness": "1h" })
}

pub(crate) fn bundle(authorities: &[&Authority], sequence: Option<u64>) -> String {
    let mut bundle = bundle_json(authorities);
    if let Some(sequence) = sequence {
        bundle["spiffe_sequence"] = json!(sequence);
    }
    bundle.to_string()
}
