//! What we ask of a proxy, in a few small traits: bytes in, a result out, never a panic.
//!
//! Everything that a peer or a client can put into a header, a certificate or a name comes through here as bytes, so
//! that no text which is none can end a worker. A host implements these traits for the proxy that it stands in; in
//! tests a double does, and counts what it is asked.
//!
//! The first two act on the connection or the stream that is being served.

use std::{borrow::Cow, fmt};

use jiff::Timestamp;

use crate::header_map::HeaderMap;

/// How loud a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For operators, in the normal course.
    Info,
    /// Refusals.
    Warn,
    /// Something that an operator must see to.
    Error,
}

/// A call that the proxy did not carry out, with its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyError(pub u32);

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the proxy answered with status {}", self.0)
    }
}

/// A gRPC method that streams answers to one message.
#[derive(Clone, Copy, Debug)]
pub struct Method<'a> {
    /// Such as `grpc.health.v1.Health`.
    pub service: &'a str,
    /// Such as `Watch`.
    pub name: &'a str,
    /// Metadata of the call.
    pub metadata: (&'a str, &'a str),
}

/// The version of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProxyVersion {
    /// The first number.
    pub major: i64,
    /// The second.
    pub minor: i64,
}

impl fmt::Display for ProxyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The connection that is being served.
pub trait Connection {
    /// SHA-256 of the leaf that the peer presented in the handshake of this connection, as hexadecimal digits.
    fn leaf_digest(&self) -> Option<Vec<u8>>;
    /// That leaf, as PEM, where the proxy shows it.
    fn leaf(&self) -> Option<Vec<u8>>;
    /// The version of TLS, once the handshake is done; none, or empty, without TLS.
    fn tls_version(&self) -> Option<Vec<u8>>;
    /// What the configuration of the proxy, or another listener, has left for this connection under a key.
    fn shared_state(&self, key: &str) -> Option<Vec<u8>>;
    /// The address of the peer. To a stream some proxies give what the client has said of itself.
    fn source_address(&self) -> Option<Vec<u8>>;
    /// The number by which the proxy knows the connection.
    fn connection_id(&self) -> Option<u64>;
    /// The version of HTTP, once it is known.
    fn protocol(&self) -> Option<Vec<u8>>;
    /// The port that the connection came in on.
    fn local_port(&self) -> Option<u16>;
    /// The server name of the handshake, empty where the client sent none.
    fn server_name(&self) -> Option<Vec<u8>>;
    /// The cluster that the connection goes to, once one has been chosen for all of it.
    fn cluster(&self) -> Option<Vec<u8>>;
    /// What was noted with [`Connection::note`], as far as it lives still.
    fn noted(&self, name: &str) -> Option<Vec<u8>>;
    /// Notes something for access logs and for filters behind this one: under `wasm.NAME` in Envoy's filter state.
    ///
    /// # Errors
    /// The proxy does not take it.
    fn note(&self, name: &str, value: &[u8]) -> Result<(), ProxyError>;
    /// Has what is noted under a name live as long as the connection, seen by all of its streams.
    ///
    /// # Errors
    /// The proxy cannot do that.
    fn keep_for_connection(&self, name: &str) -> Result<(), ProxyError>;
    /// Closes it towards the peer.
    ///
    /// # Errors
    /// It is gone.
    fn close_connection(&self) -> Result<(), ProxyError>;
}

/// The HTTP stream that is being served.
pub trait Stream {
    /// The name of its route, empty where that has none.
    fn route(&self) -> Option<Vec<u8>>;
    /// All request headers, pseudo-headers among them.
    ///
    /// # Errors
    /// There are none at hand.
    fn request_headers(&self) -> Result<HeaderMap, ProxyError>;
    /// Removes every value of a request header.
    ///
    /// # Errors
    /// The proxy does not.
    fn remove_request_header(&self, name: &[u8]) -> Result<(), ProxyError>;
    /// Adds a request header.
    ///
    /// # Errors
    /// The proxy does not.
    fn add_request_header(&self, name: &str, value: &[u8]) -> Result<(), ProxyError>;
    /// All request trailers.
    ///
    /// # Errors
    /// There are none at hand.
    fn request_trailers(&self) -> Result<HeaderMap, ProxyError>;
    /// Removes every value of a request trailer.
    ///
    /// # Errors
    /// The proxy does not.
    fn remove_request_trailer(&self, name: &[u8]) -> Result<(), ProxyError>;
    /// Answers the request, with a gRPC status where the request is gRPC.
    ///
    /// # Errors
    /// It is gone.
    fn respond(&self, status: u32, details: &str, grpc_status: i32) -> Result<(), ProxyError>;
}

/// What all workers share, by key.
pub trait SharedMap {
    /// A value, and the number of its version.
    fn shared_data(&self, key: &str) -> Option<(Vec<u8>, u32)>;
    /// Shares a value with all workers; with a version, only if nobody has written since.
    ///
    /// # Errors
    /// Somebody has written, or there is no room.
    fn set_shared_data(&self, key: &str, value: &[u8], version: Option<u32>) -> Result<(), ProxyError>;
}

/// Questions to sources, through clusters of the proxy. What comes of one comes to the plugin that asked, with its
/// token.
pub trait Client {
    /// Sends a GET.
    ///
    /// # Errors
    /// There is no such cluster, or nobody in it.
    fn http_get(&self, cluster: &str, authority: &str, path: &str, milliseconds: u32) -> Result<u32, ProxyError>;
    /// The headers of the answer at hand.
    ///
    /// # Errors
    /// There is none.
    fn http_answer_headers(&self) -> Result<HeaderMap, ProxyError>;
    /// The body of the answer at hand, at most so many bytes.
    ///
    /// # Errors
    /// There is none.
    fn http_answer_body(&self, bytes: usize) -> Result<Vec<u8>, ProxyError>;
    /// Opens a stream with one message.
    ///
    /// # Errors
    /// There is no such cluster, or nobody in it.
    fn open_stream(&self, cluster: &str, method: Method<'_>, message: &[u8]) -> Result<u32, ProxyError>;
    /// The message at hand, at most so many bytes.
    ///
    /// # Errors
    /// There is none.
    fn stream_message(&self, bytes: usize) -> Result<Vec<u8>, ProxyError>;
    /// What the other side says to the status with which it closes the stream at hand; empty where it says nothing.
    ///
    /// # Errors
    /// There is none.
    fn stream_status_message(&self) -> Result<Vec<u8>, ProxyError>;
    /// Ends a stream from our side.
    fn cancel_stream(&self, token: u32);
}

/// What those who run the gate look at.
pub trait Telemetry {
    /// Defines a gauge, or finds it where it is defined.
    ///
    /// # Errors
    /// The proxy has no room.
    fn define_gauge(&self, name: &str) -> Result<u32, ProxyError>;
    /// Sets a gauge.
    ///
    /// # Errors
    /// There is no such gauge.
    fn set_gauge(&self, gauge: u32, value: u64) -> Result<(), ProxyError>;
    /// Defines a counter, or finds it where it is defined.
    ///
    /// # Errors
    /// The proxy has no room.
    fn define_counter(&self, name: &str) -> Result<u32, ProxyError>;
    /// Adds to a counter.
    ///
    /// # Errors
    /// There is no such counter.
    fn add_to_counter(&self, counter: u32, amount: u64) -> Result<(), ProxyError>;
    /// Defines a histogram, or finds it where it is defined.
    ///
    /// # Errors
    /// The proxy has no room.
    fn define_histogram(&self, name: &str) -> Result<u32, ProxyError>;
    /// Adds a value to a histogram.
    ///
    /// # Errors
    /// There is no such histogram.
    fn add_to_histogram(&self, histogram: u32, value: u64) -> Result<(), ProxyError>;
    /// Writes a line to the proxy's log.
    fn log(&self, level: Level, line: &str);
}

/// What a plugin runs in.
pub trait Runtime {
    /// The configuration of this plugin, as the proxy keeps it: the same bytes for the same configuration.
    ///
    /// # Errors
    /// There is none.
    fn configuration(&self) -> Result<Vec<u8>, ProxyError>;
    /// The text of the document that these bytes of a configuration stand for.
    fn document<'c>(&self, configuration: &'c [u8]) -> Cow<'c, [u8]>;
    /// The name that the configuration of the proxy has for this plugin; empty where it has none.
    fn plugin_name(&self) -> Vec<u8>;
    /// The version of the proxy; `None` where it does not say.
    fn version(&self) -> Option<ProxyVersion>;
    /// The wall clock.
    ///
    /// # Errors
    /// The proxy does not tell the time.
    fn now(&self) -> Result<Timestamp, ProxyError>;
    /// Has the plugin called at this period.
    ///
    /// # Errors
    /// It will not be called.
    fn set_tick_period(&self, milliseconds: u32) -> Result<(), ProxyError>;
    /// Makes later calls act on another connection or stream.
    ///
    /// # Errors
    /// It is gone.
    fn set_effective_context(&self, context: u32) -> Result<(), ProxyError>;
    /// A number that nobody can foretell.
    fn random(&self) -> u64;
}

/// All that we ask of a proxy.
pub trait Proxy: Connection + Stream + SharedMap + Client + Telemetry + Runtime + Clone + 'static {}

impl<P: Connection + Stream + SharedMap + Client + Telemetry + Runtime + Clone + 'static> Proxy for P {}
