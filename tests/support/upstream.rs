//! Upstreams that tell what reached them. Each listens on a loopback port of its own, in a thread of its own, and ends
//! when it is dropped.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Such as `GET`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// How many bytes of body came.
    pub body_length: usize,
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
}

/// The chunk that [`Behaviour::Stream`] repeats.
pub const CHUNK: &[u8] = b"chunk\n";

/// An HTTP/1.1 and HTTP/2 upstream.
#[derive(Debug)]
pub struct HttpUpstream {
    server: Server,
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
        let behaviour = Behaviour::Answer(200, b"hello".to_vec());
        let state = Arc::new(Mutex::new(HttpState {
            behaviour,
            requests: Vec::new(),
        }));
        let shared = state.clone();
        let server = Server::start(move |stream| {
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
        self.server.addr
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
    let (head, body) = request.into_parts();
    let body_length = body.collect().await?.to_bytes().len();
    let behaviour = {
        let mut state = lock(&state);
        state.requests.push(Recorded {
            method: head.method.to_string(),
            path: head.uri.path_and_query().map_or_else(String::new, ToString::to_string),
            headers: head
                .headers
                .iter()
                .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
                .collect(),
            body_length,
        });
        state.behaviour.clone()
    };
    let (status, body) = match behaviour {
        Behaviour::Answer(status, body) => (status, Full::from(body).boxed_unsync()),
        Behaviour::Stream { every, count } => (200, chunks(every, count)),
        Behaviour::Late(pause) => {
            tokio::time::sleep(pause).await;
            (200, Full::from(&b"late"[..]).boxed_unsync())
        }
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

/// A gRPC upstream: the health service, always serving.
#[derive(Debug)]
pub struct GrpcUpstream(Server);

impl GrpcUpstream {
    /// Starts it.
    pub fn start() -> Self {
        let (_, health) = tonic_health::server::health_reporter();
        GrpcUpstream(Server::start(move |stream| {
            serve_http(stream, TowerToHyperService::new(health.clone()))
        }))
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.0.addr
    }

    /// How many connections it has accepted.
    pub fn connections(&self) -> usize {
        self.0.connections()
    }
}

/// A TCP upstream that sends back what it receives, perhaps after a greeting.
#[derive(Debug)]
pub struct TcpUpstream {
    server: Server,
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
        let server = Server::start(move |stream| echo(stream, words, shared.clone()));
        TcpUpstream { server, received }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr
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

/// Accepts connections in a thread of its own until it is dropped.
#[derive(Debug)]
struct Server {
    addr: SocketAddr,
    connections: Arc<AtomicUsize>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        listener.set_nonblocking(true).expect("a non-blocking listener");
        let addr = listener.local_addr().expect("the port that was bound");
        let connections = Arc::new(AtomicUsize::new(0));
        let accepted = connections.clone();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).expect("a listener");
                tokio::select! {
                    () = accept(listener, accepted, serve) => {}
                    _ = stopped => {}
                }
            });
        });
        Server {
            addr,
            connections,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in it has been printed where it happened.
            let _ = thread.join();
        }
    }
}

async fn accept<F>(listener: TcpListener, accepted: Arc<AtomicUsize>, serve: impl Fn(TcpStream) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    while let Ok((stream, _)) = listener.accept().await {
        accepted.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(serve(stream));
    }
}

async fn serve_http<S, B>(stream: TcpStream, service: S)
where
    S: Service<hyper::Request<Incoming>, Response = hyper::Response<B>> + Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Future: Send + 'static,
    B: hyper::body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // How a connection ends is seen by its client.
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
