//! What we ask of the proxy, as a small trait: bytes in, a result out, never a panic.
//!
//! Everything that a peer or a client can put into a header, a certificate or a name comes through here as bytes. The
//! SDK for Rust turns header names into strings and ends the VM, with every stream of the worker, on a byte that is not
//! UTF-8 or a status that it does not list; so the calls are made in `filter/wasm/src/abi.rs`, and behind this trait a double
//! can stand in tests and count them.

use std::fmt;

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
pub struct HostError(pub u32);

impl fmt::Display for HostError {
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

/// The calls we make. The first group acts on the connection or stream that is being served.
pub trait Host: Clone + 'static {
    /// Reads a property; `None` where the proxy has no such thing here.
    fn property(&self, path: &[&str]) -> Option<Vec<u8>>;
    /// Writes filter state `wasm.NAME`.
    fn set_filter_state(&self, name: &str, value: &[u8]) -> Result<(), HostError>;
    /// Has a filter state `wasm.NAME` that this plugin writes live as long as the connection, seen by all of its streams.
    fn declare_connection_state(&self, name: &str) -> Result<(), HostError>;
    /// All request headers, pseudo-headers among them.
    fn request_headers(&self) -> Result<HeaderMap, HostError>;
    /// Removes every value of a request header.
    fn remove_request_header(&self, name: &[u8]) -> Result<(), HostError>;
    /// All request trailers.
    fn request_trailers(&self) -> Result<HeaderMap, HostError>;
    /// Removes every value of a request trailer.
    fn remove_request_trailer(&self, name: &[u8]) -> Result<(), HostError>;
    /// Adds a request header.
    fn add_request_header(&self, name: &str, value: &[u8]) -> Result<(), HostError>;
    /// Answers the request, with a gRPC status where the request is gRPC.
    fn respond(&self, status: u32, details: &str, grpc_status: i32) -> Result<(), HostError>;
    /// Closes the downstream connection.
    fn close_downstream(&self) -> Result<(), HostError>;

    /// The document that this plugin was configured with.
    fn configuration(&self) -> Result<Vec<u8>, HostError>;
    /// The wall clock.
    fn now(&self) -> Result<Timestamp, HostError>;
    /// Has the root called at this period.
    fn set_tick_period(&self, milliseconds: u32) -> Result<(), HostError>;
    /// Makes later calls act on another connection or stream.
    fn set_effective_context(&self, context: u32) -> Result<(), HostError>;
    /// A number that nobody can foretell.
    fn random(&self) -> u64;

    /// What all workers share under a key, and the number of its version.
    fn shared_data(&self, key: &str) -> Option<(Vec<u8>, u32)>;
    /// Shares a value with all workers; with a version, only if nobody has written since.
    fn set_shared_data(&self, key: &str, value: &[u8], version: Option<u32>) -> Result<(), HostError>;
    /// Sends a GET through a cluster. The answer comes to the root context that asked, with this token.
    fn http_get(&self, cluster: &str, authority: &str, path: &str, milliseconds: u32) -> Result<u32, HostError>;
    /// The headers of the answer at hand.
    fn http_answer_headers(&self) -> Result<HeaderMap, HostError>;
    /// The body of the answer at hand.
    fn http_answer_body(&self, bytes: usize) -> Result<Vec<u8>, HostError>;
    /// Opens a stream with one message through a cluster. Messages come to the root context that asked, with this token.
    fn open_stream(&self, cluster: &str, method: Method<'_>, message: &[u8]) -> Result<u32, HostError>;
    /// What the other side says to the status with which it closes the stream at hand; empty where it says nothing.
    fn stream_status_message(&self) -> Result<Vec<u8>, HostError>;
    /// The message at hand.
    fn stream_message(&self, bytes: usize) -> Result<Vec<u8>, HostError>;
    /// Ends a stream from our side.
    fn cancel_stream(&self, token: u32);

    /// Defines a gauge, or finds it where it is defined.
    fn define_gauge(&self, name: &str) -> Result<u32, HostError>;
    /// Sets a gauge.
    fn set_gauge(&self, gauge: u32, value: u64) -> Result<(), HostError>;
    /// Defines a counter, or finds it where it is defined.
    fn define_counter(&self, name: &str) -> Result<u32, HostError>;
    /// Adds to a counter.
    fn add_to_counter(&self, counter: u32, amount: u64) -> Result<(), HostError>;
    /// Defines a histogram, or finds it where it is defined.
    fn define_histogram(&self, name: &str) -> Result<u32, HostError>;
    /// Adds a value to a histogram.
    fn add_to_histogram(&self, histogram: u32, value: u64) -> Result<(), HostError>;
    /// Writes a line to the proxy's log.
    fn log(&self, level: Level, line: &str);
}
