//! A proxy that answers what a test says, and counts what it is asked.

use std::{borrow::Cow, cell::RefCell, collections::BTreeMap, rc::Rc};

use jiff::SignedDuration;
use serde_json::Value;
use support::{
    ca::{Identity, pem},
    world::World,
};
use svidgate_gate::{
    header_map::HeaderMap,
    plugin::{action::Action, connection::ConnectionFilter, plugin::Plugin, request::RequestFilter},
    proxy::{Client, Connection, Level, Method, ProxyError, ProxyVersion, Runtime, SharedMap, Stream, Telemetry},
    stage::Stage,
    worker::worker::Worker,
};
use svidgate_policy::{Listener, Timestamp};

/// The double. Clones are the same proxy.
#[derive(Clone, Default)]
pub(crate) struct Proxy(Rc<RefCell<State>>);

#[derive(Default)]
pub(crate) struct State {
    pub(crate) properties: BTreeMap<String, Vec<u8>>,
    pub(crate) headers: Option<HeaderMap>,
    pub(crate) trailers: Option<HeaderMap>,
    pub(crate) configuration: Vec<u8>,
    pub(crate) now: Timestamp,
    /// Every call since the last look, by name.
    pub(crate) calls: Vec<String>,
    pub(crate) responses: Vec<(u32, String, i32)>,
    /// The contexts that they were for.
    pub(crate) answered: Vec<u32>,
    pub(crate) filter_state: BTreeMap<String, String>,
    /// Filter states that live as long as the connection.
    pub(crate) declared: Vec<String>,
    pub(crate) counters: BTreeMap<String, u64>,
    pub(crate) log: Vec<String>,
    /// What is said to the status of a stream that is closed.
    pub(crate) status_message: Vec<u8>,
    pub(crate) closed: Vec<u32>,
    pub(crate) effective: u32,
    /// Whether the handshake is still under way: no certificate is known then.
    handshaking: bool,
    pub(crate) removed: Vec<String>,
    pub(crate) removed_trailers: Vec<String>,
    pub(crate) added: Vec<(String, String)>,
    /// Calls that fail, by name.
    pub(crate) failing: Vec<&'static str>,
    /// Contexts that are gone.
    pub(crate) gone: Vec<u32>,
    /// The connections that contexts belong to.
    pub(crate) connections: BTreeMap<u32, u64>,
    /// Connections of which something was ended in this call. Envoy does not bear a second one.
    touched: Vec<Option<Vec<u8>>>,
    /// How many plugins there have been; their contexts are counted up from 1.
    plugins: u32,
    /// What the workers share, with the version of each value.
    pub(crate) shared: BTreeMap<String, (Vec<u8>, u32)>,
    /// What was asked of endpoints and streams, in order; the token is the place in it, from 1.
    pub(crate) asked: Vec<String>,
    pub(crate) cancelled: Vec<u32>,
    /// The answer or message at hand.
    pub(crate) answer: (Option<HeaderMap>, Vec<u8>),
    pub(crate) gauges: BTreeMap<String, u64>,
    /// Their names; the number of a gauge is its place in it.
    pub(crate) gauge_names: Vec<String>,
    /// The one histogram that we have.
    pub(crate) histogram: Vec<u64>,
    pub(crate) tick_period: u32,
    pub(crate) random: u64,
}

impl Proxy {
    /// A proxy at the time of a world.
    pub(crate) fn at(world: &World) -> Self {
        let proxy = Self::default();
        proxy.change(|state| state.now = world.now);
        proxy
    }

    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.borrow_mut())
    }

    pub(crate) fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.0.borrow())
    }

    /// A TLS connection of this peer, as Envoy 1.38 and later show it.
    pub(crate) fn connect(&self, peer: &Identity) {
        self.change(|state| {
            state.properties.clear();
            state.set("connection.tls_version", b"TLSv1.3");
            state.set(
                "connection.sha256_peer_certificate_digest",
                peer.leaf_sha256().as_bytes(),
            );
            state.set("connection.peer_certificate", pem("CERTIFICATE", &peer.leaf).as_bytes());
            state.set("source.address", b"192.0.2.7:4711");
            state.set("connection.requested_server_name", b"shop.example");
        });
    }

    /// A TLS connection of one who has shown no certificate.
    pub(crate) fn connect_anonymous(&self) {
        self.change(|state| {
            state.properties.clear();
            state.set("connection.tls_version", b"TLSv1.3");
            state.set("source.address", b"192.0.2.7:4711");
        });
    }

    pub(crate) fn ask(&self, method: &str, path: &str, more: &[(&[u8], &[u8])]) {
        let mut pairs: Vec<(&[u8], &[u8])> = vec![
            (b":method", method.as_bytes()),
            (b":authority", b"shop.example"),
            (b":path", path.as_bytes()),
        ];
        pairs.extend_from_slice(more);
        self.change(|state| state.headers = Some(HeaderMap::from_pairs(&pairs)));
    }

    /// The plugin with a document, configured.
    pub(crate) fn plugin(&self, stage: Stage, document: &Value, worker: &Rc<Worker>) -> Rc<Plugin<Self>> {
        let root = self.unconfigured(stage, worker);
        self.change(|state| state.configuration = document.to_string().into_bytes());
        assert!(root.configure(), "{:#?}", self.look(|state| state.log.clone()));
        root
    }

    pub(crate) fn unconfigured(&self, stage: Stage, worker: &Rc<Worker>) -> Rc<Plugin<Self>> {
        Rc::new(self.placed(stage, None, worker))
    }

    /// A plugin without a document, whose `root_id` says what it stands in.
    pub(crate) fn placed(&self, stage: Stage, listener: Option<Listener>, worker: &Rc<Worker>) -> Plugin<Self> {
        let context = self.change(|state| {
            state.plugins += 1;
            state.plugins
        });
        Plugin::new(self.clone(), stage, context, None, Rc::clone(worker)).placed(listener)
    }

    /// The calls since the last look.
    pub(crate) fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut self.0.borrow_mut().calls)
    }

    /// The reason in the access-log field, and whether anything was refused.
    pub(crate) fn reason(&self) -> String {
        let field = self
            .look(|state| state.filter_state.get("svidgate").cloned())
            .unwrap_or_default();
        let json: Value = serde_json::from_str(&field).expect("the field is JSON");
        json["reason"].as_str().unwrap_or_default().to_owned()
    }

    fn ask_for(&self, what: String) -> Result<u32, ProxyError> {
        self.change(|state| {
            state.asked.push(what);
            Ok(u32::try_from(state.asked.len()).expect("few are asked"))
        })
    }

    /// Something of another context than the one that is called is ended.
    fn touch(&self) {
        let connection = self.look(|state| {
            let id = state.connections.get(&state.effective);
            id.map(|id| id.to_le_bytes().to_vec())
        });
        self.change(|state| {
            if state.effective > state.plugins {
                assert!(!state.touched.contains(&connection), "a second end of one connection");
                state.touched.push(connection);
            }
        });
    }

    fn call(&self, name: &str) -> Result<(), ProxyError> {
        let mut state = self.0.borrow_mut();
        state.calls.push(name.to_owned());
        if state.failing.contains(&name) {
            Err(ProxyError(10))
        } else {
            Ok(())
        }
    }
}

impl State {
    pub(crate) fn set(&mut self, path: &str, value: &[u8]) {
        self.properties.insert(path.to_owned(), value.to_vec());
    }
}

impl Proxy {
    /// What the proxy keeps under a name, by Envoy's names.
    fn property(&self, name: &str) -> Option<Vec<u8>> {
        self.call(&format!("property {name}")).ok()?;
        self.look(|state| {
            let connection = state
                .connections
                .get(&state.effective)
                .filter(|_| name == "connection.id");
            let id = connection.map(|id| id.to_le_bytes().to_vec());
            let certificate = state
                .properties
                .get(name)
                .filter(|_| !state.handshaking || !name.contains("peer_certificate"));
            id.or_else(|| certificate.cloned())
        })
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.property(name)?.try_into().map(i64::from_le_bytes).ok()
    }
}

impl Connection for Proxy {
    fn leaf_digest(&self) -> Option<Vec<u8>> {
        self.property("connection.sha256_peer_certificate_digest")
    }

    fn leaf(&self) -> Option<Vec<u8>> {
        self.property("connection.peer_certificate")
    }

    fn tls_version(&self) -> Option<Vec<u8>> {
        self.property("connection.tls_version")
    }

    fn shared_state(&self, key: &str) -> Option<Vec<u8>> {
        self.property(&format!("filter_state.{key}"))
    }

    fn source_address(&self) -> Option<Vec<u8>> {
        self.property("source.address")
    }

    fn connection_id(&self) -> Option<u64> {
        self.property("connection.id")?.try_into().map(u64::from_le_bytes).ok()
    }

    fn protocol(&self) -> Option<Vec<u8>> {
        self.property("request.protocol")
    }

    fn local_port(&self) -> Option<u16> {
        u16::try_from(self.number("destination.port")?).ok()
    }

    fn server_name(&self) -> Option<Vec<u8>> {
        self.property("connection.requested_server_name")
    }

    fn cluster(&self) -> Option<Vec<u8>> {
        self.property("xds.cluster_name")
    }

    fn noted(&self, name: &str) -> Option<Vec<u8>> {
        self.property(name)
    }

    fn note(&self, name: &str, value: &[u8]) -> Result<(), ProxyError> {
        self.call("set_filter_state")?;
        let value = String::from_utf8(value.to_vec()).expect("the field is text");
        self.change(|state| {
            // Until the next connection; the double has one at a time.
            if state.declared.iter().any(|declared| declared == name) {
                state.set(name, value.as_bytes());
            }
            state.filter_state.insert(name.to_owned(), value);
        });
        Ok(())
    }

    fn keep_for_connection(&self, name: &str) -> Result<(), ProxyError> {
        self.call("declare_connection_state")?;
        self.change(|state| state.declared.push(name.to_owned()));
        Ok(())
    }

    fn close_connection(&self) -> Result<(), ProxyError> {
        self.call("close_downstream")?;
        self.touch();
        self.change(|state| state.closed.push(state.effective));
        Ok(())
    }
}

impl Stream for Proxy {
    fn route(&self) -> Option<Vec<u8>> {
        self.property("xds.route_name")
    }

    fn request_headers(&self) -> Result<HeaderMap, ProxyError> {
        self.call("request_headers")?;
        self.look(|state| state.headers.clone()).ok_or(ProxyError(1))
    }

    fn remove_request_header(&self, name: &[u8]) -> Result<(), ProxyError> {
        self.call("remove_request_header")?;
        self.change(|state| state.removed.push(String::from_utf8_lossy(name).into_owned()));
        Ok(())
    }

    fn add_request_header(&self, name: &str, value: &[u8]) -> Result<(), ProxyError> {
        self.call("add_request_header")?;
        let value = String::from_utf8(value.to_vec()).expect("our own header is text");
        self.change(|state| state.added.push((name.to_owned(), value)));
        Ok(())
    }

    fn request_trailers(&self) -> Result<HeaderMap, ProxyError> {
        self.call("request_trailers")?;
        self.look(|state| state.trailers.clone()).ok_or(ProxyError(1))
    }

    fn remove_request_trailer(&self, name: &[u8]) -> Result<(), ProxyError> {
        self.call("remove_request_trailer")?;
        self.change(|state| state.removed_trailers.push(String::from_utf8_lossy(name).into_owned()));
        Ok(())
    }

    fn respond(&self, status: u32, details: &str, grpc_status: i32) -> Result<(), ProxyError> {
        self.call("respond")?;
        self.touch();
        self.change(|state| {
            state.responses.push((status, details.to_owned(), grpc_status));
            state.answered.push(state.effective);
        });
        Ok(())
    }
}

impl SharedMap for Proxy {
    fn shared_data(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        self.call("shared_data").ok()?;
        self.look(|state| state.shared.get(key).cloned())
    }

    fn set_shared_data(&self, key: &str, value: &[u8], version: Option<u32>) -> Result<(), ProxyError> {
        self.call("set_shared_data")?;
        self.change(|state| {
            let known = state.shared.get(key).map(|(_, version)| *version);
            if version.is_some() && known.is_some() && known != version {
                return Err(ProxyError(8));
            }
            let next = known.unwrap_or_default() + 1;
            state.shared.insert(key.to_owned(), (value.to_vec(), next));
            Ok(())
        })
    }
}

impl Client for Proxy {
    fn http_get(&self, cluster: &str, authority: &str, path: &str, _milliseconds: u32) -> Result<u32, ProxyError> {
        self.call("http_get")?;
        self.ask_for(format!("GET {authority}{path} of {cluster}"))
    }

    fn http_answer_headers(&self) -> Result<HeaderMap, ProxyError> {
        self.look(|state| state.answer.0.clone()).ok_or(ProxyError(1))
    }

    fn http_answer_body(&self, bytes: usize) -> Result<Vec<u8>, ProxyError> {
        Ok(self.look(|state| state.answer.1[..bytes].to_vec()))
    }

    fn open_stream(&self, cluster: &str, method: Method<'_>, _message: &[u8]) -> Result<u32, ProxyError> {
        self.call("open_stream")?;
        self.ask_for(format!("{}/{} of {cluster}", method.service, method.name))
    }

    fn stream_message(&self, bytes: usize) -> Result<Vec<u8>, ProxyError> {
        self.http_answer_body(bytes)
    }

    fn stream_status_message(&self) -> Result<Vec<u8>, ProxyError> {
        Ok(self.look(|state| state.status_message.clone()))
    }

    fn cancel_stream(&self, token: u32) {
        self.change(|state| state.cancelled.push(token));
    }
}

impl Telemetry for Proxy {
    fn define_gauge(&self, name: &str) -> Result<u32, ProxyError> {
        self.call("define_gauge")?;
        self.change(|state| {
            // As the proxy does: another number each time that it is named.
            state.gauges.entry(name.to_owned()).or_default();
            state.gauge_names.push(name.to_owned());
            Ok(u32::try_from(state.gauge_names.len() - 1).expect("few are named"))
        })
    }

    fn set_gauge(&self, gauge: u32, value: u64) -> Result<(), ProxyError> {
        self.call("set_gauge")?;
        self.change(|state| {
            let name = state.gauge_names[usize::try_from(gauge).expect("a place")].clone();
            state.gauges.insert(name, value);
        });
        Ok(())
    }

    fn define_counter(&self, name: &str) -> Result<u32, ProxyError> {
        self.call("define_counter")?;
        self.change(|state| {
            state.counters.entry(name.to_owned()).or_default();
        });
        // Names, not numbers, tell counters apart in a test.
        Ok(number(name))
    }

    fn add_to_counter(&self, counter: u32, amount: u64) -> Result<(), ProxyError> {
        self.call("add_to_counter")?;
        self.change(|state| {
            for (name, value) in &mut state.counters {
                if number(name) == counter {
                    *value += amount;
                }
            }
        });
        Ok(())
    }

    fn define_histogram(&self, name: &str) -> Result<u32, ProxyError> {
        self.call("define_histogram")?;
        Ok(number(name))
    }

    fn add_to_histogram(&self, _histogram: u32, value: u64) -> Result<(), ProxyError> {
        self.call("add_to_histogram")?;
        self.change(|state| state.histogram.push(value));
        Ok(())
    }

    fn log(&self, _level: Level, line: &str) {
        self.change(|state| state.log.push(line.to_owned()));
    }
}

impl Runtime for Proxy {
    fn configuration(&self) -> Result<Vec<u8>, ProxyError> {
        self.call("configuration")?;
        Ok(self.look(|state| state.configuration.clone()))
    }

    fn document<'c>(&self, configuration: &'c [u8]) -> Cow<'c, [u8]> {
        Cow::Borrowed(configuration)
    }

    fn plugin_name(&self) -> Vec<u8> {
        self.property("plugin_name").unwrap_or_default()
    }

    fn version(&self) -> Option<ProxyVersion> {
        let number = |name: &str| self.number(&format!("xds.node.user_agent_build_version.version.{name}"));
        Some(ProxyVersion {
            major: number("major_number")?,
            minor: number("minor_number")?,
        })
    }

    fn now(&self) -> Result<Timestamp, ProxyError> {
        self.call("now")?;
        // A tick begins with it.
        self.change(|state| state.touched.clear());
        Ok(self.look(|state| state.now))
    }

    fn set_tick_period(&self, milliseconds: u32) -> Result<(), ProxyError> {
        self.call("set_tick_period")?;
        self.change(|state| state.tick_period = milliseconds);
        Ok(())
    }

    fn set_effective_context(&self, context: u32) -> Result<(), ProxyError> {
        self.call("set_effective_context")?;
        if self.look(|state| state.gone.contains(&context)) {
            return Err(ProxyError(2));
        }
        self.change(|state| state.effective = context);
        Ok(())
    }

    fn random(&self) -> u64 {
        self.change(|state| state.random += 1);
        self.look(|state| state.random)
    }
}

fn number(name: &str) -> u32 {
    name.bytes()
        .fold(7, |hash: u32, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)))
}

/// A second of ticks, after which streams and connections have all been looked at; then the time is what it was.
pub(crate) fn sweep(proxy: &Proxy, roots: &[&Rc<Plugin<Proxy>>]) {
    let now = proxy.look(|state| state.now);
    for root in roots.iter().cycle().take(4) {
        root.tick();
        proxy.change(|state| state.now += SignedDuration::from_millis(249));
    }
    proxy.change(|state| state.now = now);
}

/// Sends the request at hand through a new stream.
pub(crate) fn request(root: &Rc<Plugin<Proxy>>) -> Action {
    stream(root, 1000).on_request_headers()
}

/// A new stream.
pub(crate) fn stream(root: &Rc<Plugin<Proxy>>, context: u32) -> Rc<RequestFilter<Proxy>> {
    RequestFilter::new(Rc::clone(root), context)
}

/// A new connection.
pub(crate) fn connection(root: &Rc<Plugin<Proxy>>, context: u32) -> Rc<ConnectionFilter<Proxy>> {
    ConnectionFilter::new(Rc::clone(root), context)
}

/// The connection is accepted, its handshake not done.
pub(crate) fn accept(proxy: &Proxy, filter: &Rc<ConnectionFilter<Proxy>>) -> Action {
    proxy.change(|state| state.handshaking = true);
    let action = filter.on_new_connection();
    proxy.change(|state| state.handshaking = false);
    action
}
