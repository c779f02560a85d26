//! Upstreams that tell what reached them. Each listens on a loopback port of its own, in a thread of its own, and ends
//! when it is dropped.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::HOST;
use hyper::service::service_fn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::{TcpServer, lock, serve_http};

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Such as `GET`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The `Host` of HTTP/1.1, the `:authority` of HTTP/2.
    pub authority: String,
    /// Names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// How many bytes of body came.
    pub body_length: usize,
    /// What came after the body; names in lower case.
    pub trailers: Vec<(String, Vec<u8>)>,
}

impl Recorded {
    /// All values of a header.
    pub fn header(&self, name: &str) -> Vec<&[u8]> {
        self.headers
            .iter()
            .filter(|(known, _)| known == name)
            .map(|(_, value)| value.as_slice())
            .collect()
    }

    /// Reads a request to its end.
    pub(crate) async fn read(request: hyper::Request<Incoming>) -> Result<Self, hyper::Error> {
        let (head, body) = request.into_parts();
        let host = head
            .headers
            .get(HOST)
            .map(|host| String::from_utf8_lossy(host.as_bytes()));
        let authority = head.uri.authority().map(|authority| authority.as_str().into());
        let body = body.collect().await?;
        let trailers = body.trailers().map(named).unwrap_or_default();
        Ok(Recorded {
            method: head.method.to_string(),
            path: head.uri.path_and_query().map_or_else(String::new, ToString::to_string),
            authority: authority.or(host).unwrap_or_default().into_owned(),
            headers: named(&head.headers),
            body_length: body.to_bytes().len(),
            trailers,
        })
    }
}

fn named(map: &hyper::HeaderMap) -> Vec<(String, Vec<u8>)> {
    map.iter()
        .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
        .collect()
}

/// How an HTTP upstream answers.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// At once, with this status and body.
    Answer(u16, Vec<u8>),
    /// With 200 and `count` chunks, one `every` so often.
    Stream {
        /// The pause before each chunk but the first.
        every: Duration,
        /// How many.
        count: usize,
    },
    /// With the head of the response after that time.
    Late(Duration),
    /// As the last segment of the path says: `late` after ten minutes, `stream` with a chunk every 200 ms for as long,
    /// anything else at once.
    AsAsked,
}

impl Behaviour {
    fn asked_by(path: &str) -> Self {
        match path.rsplit('/').next() {
            Some("late") => Behaviour::Late(Duration::from_secs(600)),
            Some("stream") => Behaviour::Stream {
                every: Duration::from_millis(200),
                count: 3000,
            },
            Some(_) | None => Behaviour::Answer(200, b"ok".to_vec()),
        }
    }
}

/// The chunk that [`Behaviour::Stream`] repeats.
pub const CHUNK: &[u8] = b"chunk\n";

/// An HTTP/1.1 and HTTP/2 upstream.
#[derive(Debug)]
pub struct HttpUpstream {
    server: TcpServer,
    state: Arc<Mutex<HttpState>>,
}

#[derive(Debug)]
struct HttpState {
    behaviour: Behaviour,
    requests: Vec<Recorded>,
}

impl HttpUpstream {
    /// An upstream that answers 200 `hello`.
    pub fn start() -> Self {
        HttpUpstream::start_at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// The same at this address, which need not be of the loopback.
    pub fn start_at(addr: SocketAddr) -> Self {
        let behaviour = Behaviour::Answer(200, b"hello".to_vec());
        let state = Arc::new(Mutex::new(HttpState {
            behaviour,
            requests: Vec::new(),
        }));
        let shared = state.clone();
        let server = TcpServer::start_at(addr, move |stream| {
            let shared = shared.clone();
            serve_http(stream, service_fn(move |request| answer(shared.clone(), request)))
        });
        HttpUpstream { server, state }
    }

    /// Answers like this from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        lock(&self.state).behaviour = behaviour;
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// How many connections it has accepted.
    pub fn connections(&self) -> usize {
        self.server.connections()
    }

    /// The requests that reached it, in order.
    pub fn requests(&self) -> Vec<Recorded> {
        lock(&self.state).requests.clone()
    }
}

async fn answer(
    state: Arc<Mutex<HttpState>>,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Body>, hyper::Error> {
    let recorded = Recorded::read(request).await?;
    let behaviour = {
        let mut state = lock(&state);
        let behaviour = match &state.behaviour {
            Behaviour::AsAsked => Behaviour::asked_by(&recorded.path),
            other => other.clone(),
        };
        state.requests.push(recorded);
        behaviour
    };
    let (status, body) = match behaviour {
        Behaviour::Answer(status, body) => (status, Full::from(body).boxed_unsync()),
        Behaviour::Stream { every, count } => (200, chunks(every, count)),
        Behaviour::Late(pause) => {
            tokio::time::sleep(pause).await;
            (200, Full::from(&b"late"[..]).boxed_unsync())
        }
        // `asked_by` gives one of the others.
        Behaviour::AsAsked => (500, Full::default().boxed_unsync()),
    };
    let mut response = hyper::Response::new(body);
    *response.status_mut() = hyper::StatusCode::from_u16(status).expect("a status");
    Ok(response)
}

fn chunks(every: Duration, count: usize) -> Body {
    let frames = futures_util::stream::unfold(0, move |sent| async move {
        if sent == count {
            return None;
        }
        if sent > 0 {
            tokio::time::sleep(every).await;
        }
        Some((Ok(Frame::data(Bytes::from_static(CHUNK))), sent + 1))
    });
    StreamBody::new(frames).boxed_unsync()
}

/// An external authoriser, `envoy.service.auth.v3.Authorization`, that says yes to everything, without a look.
#[derive(Debug)]
pub struct Authorizer(TcpServer);

/// One gRPC message: a `CheckResponse` whose status is an empty `google.rpc.Status`, which is OK.
const YES: &[u8] = &[0, 0, 0, 0, 2, 0x0a, 0];

impl Authorizer {
    /// Starts it.
    pub fn start() -> Self {
        Authorizer(TcpServer::start(|stream| serve_http(stream, service_fn(say_yes))))
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.0.addr()
    }
}

async fn say_yes(request: hyper::Request<Incoming>) -> Result<hyper::Response<Body>, hyper::Error> {
    request.into_body().collect().await?;
    let mut trailers = hyper::HeaderMap::new();
    trailers.insert("grpc-status", hyper::header::HeaderValue::from_static("0"));
    let frames = [Frame::data(Bytes::from_static(YES)), Frame::trailers(trailers)];
    let frames = futures_util::stream::iter(frames.map(Ok));
    let mut response = hyper::Response::new(StreamBody::new(frames).boxed_unsync());
    let grpc = hyper::header::HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, grpc);
    Ok(response)
}

/// A TCP upstream that reads all that it is sent and, when the client has finished, answers with how many bytes it was.
#[derive(Debug)]
pub struct Sink(TcpServer);

impl Sink {
    /// Starts it.
    pub fn start() -> Self {
        Sink(TcpServer::start(count))
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.0.addr()
    }
}

async fn count(mut stream: TcpStream) {
    let mut buffer = vec![0; 256 * 1024];
    let mut total = 0u64;
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        total += count as u64;
    }
    // A client that has gone sees nothing of it.
    let _ = stream.write_all(&total.to_be_bytes()).await;
}

/// A TCP upstream that sends back what it receives, perhaps after a greeting.
#[derive(Debug)]
pub struct TcpUpstream {
    server: TcpServer,
    received: Arc<Mutex<Vec<u8>>>,
}

impl TcpUpstream {
    /// Waits for the client to speak.
    pub fn echo() -> Self {
        TcpUpstream::greeting(b"")
    }

    /// Speaks first.
    pub fn greeting(words: &'static [u8]) -> Self {
        let received = Arc::new(Mutex::new(Vec::new()));
        let shared = received.clone();
        let server = TcpServer::start(move |stream| echo(stream, words, shared.clone()));
        TcpUpstream { server, received }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// How many connections it has accepted.
    pub fn connections(&self) -> usize {
        self.server.connections()
    }

    /// What it has received, over all connections.
    pub fn received(&self) -> Vec<u8> {
        lock(&self.received).clone()
    }
}

async fn echo(mut stream: TcpStream, greeting: &'static [u8], received: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = [0; 4096];
    if stream.write_all(greeting).await.is_err() {
        return;
    }
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        let bytes = &buffer[..count];
        lock(&received).extend_from_slice(bytes);
        if stream.write_all(bytes).await.is_err() {
            return;
        }
    }
}
