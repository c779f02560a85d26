//! A SPIFFE Workload API: `SpiffeWorkloadAPI/FetchX509Bundles` and `FetchJWTBundles` on a unix socket (SPIFFE Workload API,
//! sections 5.2.2 and 6.2.3).
//!
//! gRPC is written by hand over HTTP/2, because a gRPC library cannot be made to break off in the middle of a message.
//!
//! ```
//! # fn example(socket: &std::path::Path, prod: &support::ca::Authority) {
//! use support::workload_api::{Bundles, WorkloadApi};
//!
//! let api = WorkloadApi::start(socket);
//! api.set(Bundles::default().with("prod.example", &[prod]));
//! assert_eq!(api.streams(), 0);
//! # }
//! ```

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use prost::Message;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::ca::Authority;
use crate::server::{UnixServer, cut, lock, serve_http};

/// What is served, each as a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Method {
    X509Bundles,
    JwtBundles,
}

impl Method {
    fn of_path(path: &str) -> Option<Self> {
        match path {
            "/SpiffeWorkloadAPI/FetchX509Bundles" => Some(Self::X509Bundles),
            "/SpiffeWorkloadAPI/FetchJWTBundles" => Some(Self::JwtBundles),
            _ => None,
        }
    }
}

/// The metadata that every call must carry (SPIFFE Workload Endpoint, section 3).
const SECURITY_HEADER: &str = "workload.spiffe.io";

/// A gRPC message has a byte for compression and four for its length in front.
const FRAME_HEADER: usize = 5;

const INVALID_ARGUMENT: u16 = 3;
const UNIMPLEMENTED: u16 = 12;
const UNAVAILABLE: u16 = 14;

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// One complete message of the Workload API.
#[derive(Clone, Debug, Default)]
pub struct Bundles(X509BundlesResponse);

/// As the Workload API defines it. Its map is written as the list of entries that it is on the wire, so that a key may
/// come twice and need not be text.
#[derive(Clone, PartialEq, Message)]
struct X509BundlesResponse {
    #[prost(bytes = "vec", repeated, tag = "1")]
    crl: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "2")]
    bundles: Vec<Entry>,
}

#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct JwtBundlesResponse {
    #[prost(message, repeated, tag = "1")]
    bundles: Vec<Entry>,
}

/// What asks for either has nothing in it.
#[derive(Clone, PartialEq, Message)]
struct BundlesRequest {}

impl Bundles {
    /// With the bundle of one more trust domain.
    pub fn with(self, trust_domain: &str, authorities: &[&Authority]) -> Self {
        let certificates: Vec<&[u8]> = authorities.iter().map(|authority| &*authority.certificate).collect();
        self.raw(format!("spiffe://{trust_domain}"), certificates.concat())
    }

    /// With one more entry, key and value as they are. A key that is there already is written again.
    pub fn raw(mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        self.0.bundles.push(Entry {
            key: key.into(),
            value: value.into(),
        });
        self
    }

    /// With one more revocation list, DER.
    pub fn crl(mut self, der: impl Into<Vec<u8>>) -> Self {
        self.0.crl.push(der.into());
        self
    }
}

/// A Workload API that hands out bundles and nothing else.
#[derive(Debug)]
pub struct WorkloadApi {
    path: PathBuf,
    server: Option<UnixServer>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// The message that streams of a method begin with, in its frame.
    messages: BTreeMap<Method, Bytes>,
    /// The status that new streams get, in place of anything else.
    refusing: Option<(u16, &'static str)>,
    silent: bool,
    opened: usize,
    streams: BTreeMap<usize, (Method, UnboundedSender<Push>)>,
}

/// What a stream is to do next.
#[derive(Clone, Debug)]
enum Push {
    Message(Bytes),
    HalfMessage(Bytes),
    End(u16, &'static str),
}

impl WorkloadApi {
    /// Listens at `path`. Until [`WorkloadApi::set`], streams get nothing.
    ///
    /// # Panics
    /// When there can be no socket at `path`: it may have about 100 bytes.
    pub fn start(path: &Path) -> Self {
        let mut api = WorkloadApi {
            path: path.to_owned(),
            server: None,
            state: Arc::default(),
        };
        api.start_again();
        api
    }

    /// Sends this to every open stream, and to new ones first.
    pub fn set(&self, bundles: Bundles) {
        self.set_raw(&bundles.0.encode_to_vec());
    }

    /// The same with any bytes in place of the message.
    pub fn set_raw(&self, message: &[u8]) {
        self.set_message(Method::X509Bundles, message);
    }

    /// Sends the JWT keys of trust domains, each a JWK set, to every open stream of these, and to new ones first.
    pub fn set_jwt(&self, keys: &[(&str, &str)]) {
        let bundles = keys.iter().map(|(name, keys)| Entry {
            key: format!("spiffe://{name}").into_bytes(),
            value: keys.as_bytes().to_vec(),
        });
        let bundles = bundles.collect();
        self.set_message(Method::JwtBundles, &JwtBundlesResponse { bundles }.encode_to_vec());
    }

    fn set_message(&self, method: Method, message: &[u8]) {
        let mut state = lock(&self.state);
        state.messages.insert(method, framed(message));
        state.push_message(method);
    }

    /// Whether streams are accepted and get nothing. Those that are open when this ends get the present message.
    pub fn silent(&self, silent: bool) {
        let mut state = lock(&self.state);
        state.silent = silent;
        state.push_message(Method::X509Bundles);
        state.push_message(Method::JwtBundles);
    }

    /// Refuses new streams with a gRPC status and these words; `None` ends that.
    pub fn refuse(&self, status: Option<(u16, &'static str)>) {
        lock(&self.state).refusing = status;
    }

    /// How many streams are open.
    pub fn streams(&self) -> usize {
        lock(&self.state).streams.len()
    }

    /// How many streams have ever been opened, those before a [`WorkloadApi::stop`] too.
    pub fn opened(&self) -> usize {
        lock(&self.state).opened
    }

    /// Ends every open stream with the gRPC status Unavailable.
    pub fn reset_streams(&self) {
        lock(&self.state).push(&Push::End(UNAVAILABLE, "the server goes away"));
    }

    /// Sends half of the present message on every open stream, then resets the stream.
    ///
    /// # Panics
    /// When there is none.
    pub fn abort_mid_message(&self) {
        let state = lock(&self.state);
        let message = state.messages.get(&Method::X509Bundles).cloned();
        let message = message.expect("a message to send half of");
        let half = FRAME_HEADER + (message.len() - FRAME_HEADER) / 2;
        state.push(&Push::HalfMessage(message.slice(..half)));
    }

    /// Closes every connection and removes the socket.
    pub fn stop(&mut self) {
        self.server = None;
    }

    /// Listens again at the same path, with the same message. Ends what was there.
    pub fn start_again(&mut self) {
        self.stop();
        let state = self.state.clone();
        self.server = Some(UnixServer::start(&self.path, move |stream| {
            let state = state.clone();
            serve_http(stream, service_fn(move |request| answer(state.clone(), request)))
        }));
    }
}

impl State {
    fn push(&self, push: &Push) {
        for (_, stream) in self.streams.values() {
            // A stream whose client has just left.
            let _ = stream.send(push.clone());
        }
    }

    fn push_message(&self, method: Method) {
        let Some(message) = self.to_send(method) else { return };
        for (_, stream) in self.streams.values().filter(|(of, _)| *of == method) {
            let _ = stream.send(Push::Message(message.clone()));
        }
    }

    fn to_send(&self, method: Method) -> Option<Bytes> {
        self.messages.get(&method).cloned().filter(|_| !self.silent)
    }
}

async fn answer(
    state: Arc<Mutex<State>>,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let Some(method) = Method::of_path(head.uri.path()) else {
        return Ok(refusal(UNIMPLEMENTED, "only streams of bundles are served"));
    };
    if head.headers.get(SECURITY_HEADER).is_none_or(|value| value != "true") {
        return Ok(refusal(INVALID_ARGUMENT, "security header missing from request"));
    }
    let sent = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    if !is_request(&sent) {
        return Ok(refusal(INVALID_ARGUMENT, "not one request for bundles"));
    }
    let refusing = lock(&state).refusing;
    Ok(match refusing {
        Some((code, message)) => refusal(code, message),
        None => response(Stream::open(state, method).into_body()),
    })
}

/// Whether these bytes are one message in its frame, not compressed.
fn is_request(bytes: &[u8]) -> bool {
    bytes
        .split_at_checked(FRAME_HEADER)
        .is_some_and(|(header, message)| *header == framed(message)[..FRAME_HEADER] && is_message(message))
}

fn is_message(bytes: &[u8]) -> bool {
    BundlesRequest::decode(bytes).is_ok()
}

fn response(body: Body) -> hyper::Response<Body> {
    let mut response = hyper::Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// A response of headers alone ("Trailers-Only").
fn refusal(code: u16, message: &'static str) -> hyper::Response<Body> {
    let mut response = response(Full::default().map_err(|never| match never {}).boxed_unsync());
    response.headers_mut().extend(status(code, message));
    response
}

fn status(code: u16, message: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("grpc-status", HeaderValue::from(code));
    headers.insert("grpc-message", HeaderValue::from_static(message));
    headers
}

fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).expect("a message below 4 GiB");
    [&[0], &length.to_be_bytes()[..], message].concat().into()
}

/// A stream of the server, counted as long as it is held.
struct Stream {
    number: usize,
    pushes: UnboundedReceiver<Push>,
    state: Arc<Mutex<State>>,
}

impl Stream {
    fn open(state: Arc<Mutex<State>>, method: Method) -> Self {
        let (push, pushes) = unbounded_channel();
        let mut opened = lock(&state);
        if let Some(message) = opened.to_send(method) {
            // The receiver is held.
            let _ = push.send(Push::Message(message));
        }
        opened.opened += 1;
        let number = opened.opened;
        opened.streams.insert(number, (method, push));
        drop(opened);
        Stream { number, pushes, state }
    }

    fn into_body(self) -> Body {
        let pushes = futures_util::stream::unfold(Some(self), async |stream| {
            let mut stream = stream?;
            let push = stream.pushes.recv().await?;
            let rest = matches!(push, Push::Message(_)).then_some(stream);
            Some((push, rest))
        });
        let frames = pushes.flat_map(|push| match push {
            Push::Message(message) => once(Frame::data(message)).left_stream(),
            Push::End(code, message) => once(Frame::trailers(status(code, message))).left_stream(),
            Push::HalfMessage(half) => cut(half).right_stream(),
        });
        StreamBody::new(frames).boxed_unsync()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        lock(&self.state).streams.remove(&self.number);
    }
}

fn once(frame: Frame<Bytes>) -> impl futures_util::Stream<Item = io::Result<Frame<Bytes>>> + Send {
    futures_util::stream::iter([Ok(frame)])
}
