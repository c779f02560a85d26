//! The load generator: keep-alive requests, connections one after another, and one long stream. One thread, and it
//! checks every answer, for a filter that refuses is cheap.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::{http1, http2};
use hyper::header::{HeaderName, HeaderValue};
use hyper_util::rt::{TokioExecutor, TokioIo};
use support::ca::Identity;
use support::client::{Client, ClientOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::process::cpu;
use crate::subject::PATH;

/// Connections of an HTTP/1.1 load, one request at a time on each.
const HTTP1_CONNECTIONS: usize = 8;
/// Connections of an HTTP/2 load, and requests at a time on each.
const HTTP2_CONNECTIONS: usize = 2;
const HTTP2_STREAMS: usize = 4;
/// Requests before anything is measured.
const WARM_UP: usize = 2_000;
/// Connections under way at a time, where connections are measured.
const HANDSHAKES_AT_A_TIME: usize = 4;
/// Bytes that a long stream writes at a time.
const PIECE: usize = 64 * 1024;
/// How long one piece of load may take before it counts as hanging.
const LIMIT: Duration = Duration::from_secs(300);

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Protocol {
    Http1,
    Http2,
}

impl Protocol {
    /// As tables show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Http1 => "HTTP/1.1",
            Protocol::Http2 => "HTTP/2",
        }
    }

    /// A client that speaks it with this identity, every handshake a full one.
    pub fn client(self, identity: &Identity) -> Client {
        match self {
            Protocol::Http1 => Client::new(Some(identity)),
            Protocol::Http2 => Client::with(Some(identity), ClientOptions::http2()),
        }
    }
}

/// What one piece of load came to.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// CPU time of the Envoy process for each request, connection or MiB, in microseconds.
    pub cpu_us: f64,
    /// How many of them a second.
    pub rate: f64,
    /// Half were answered within this.
    pub p50_ms: f64,
    /// 99 in a hundred were.
    pub p99_ms: f64,
}

/// What a request says more.
pub type Header = (HeaderName, HeaderValue);

/// Connections that are kept, and what can be asked on them.
pub struct KeptAlive(Vec<Sender>);

#[derive(Clone)]
enum Sender {
    Http1(std::rc::Rc<tokio::sync::Mutex<http1::SendRequest<Empty<Bytes>>>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

impl KeptAlive {
    /// Connects as often as the load of this protocol has it.
    pub async fn open(addr: SocketAddr, client: &Client, protocol: Protocol) -> Self {
        let mut senders = Vec::new();
        match protocol {
            Protocol::Http1 => {
                for _ in 0..HTTP1_CONNECTIONS {
                    let io = TokioIo::new(connect(addr, client).await.into_stream());
                    let (sender, connection) = http1::handshake(io).await.expect("HTTP/1.1");
                    tokio::spawn(connection);
                    senders.push(Sender::Http1(std::rc::Rc::new(tokio::sync::Mutex::new(sender))));
                }
            }
            Protocol::Http2 => {
                for _ in 0..HTTP2_CONNECTIONS {
                    let io = TokioIo::new(connect(addr, client).await.into_stream());
                    let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
                    tokio::spawn(connection);
                    senders.extend(std::iter::repeat_n(Sender::Http2(sender), HTTP2_STREAMS));
                }
            }
        }
        Self(senders)
    }

    /// Asks that often, over all connections, and gives how long each answer took.
    ///
    /// # Panics
    /// When any answer is not 200.
    pub async fn ask(&self, requests: usize) -> Vec<Duration> {
        self.ask_with(requests, &[]).await
    }

    /// The same; each request has the next of these headers, in turn.
    ///
    /// # Panics
    /// When any answer is not 200.
    pub async fn ask_with(&self, requests: usize, headers: &[Header]) -> Vec<Duration> {
        let each = requests.div_ceil(self.0.len());
        let all = self.0.iter().enumerate().map(|(number, sender)| {
            let own = headers.iter().cycle().skip(number * each);
            sender.clone().ask(each, own)
        });
        let all = join_all(all);
        let times = tokio::time::timeout(LIMIT, all)
            .await
            .expect("the load comes to an end");
        times.into_iter().flatten().collect()
    }
}

impl Sender {
    async fn ask(mut self, requests: usize, mut headers: impl Iterator<Item = &Header>) -> Vec<Duration> {
        let mut times = Vec::with_capacity(requests);
        for _ in 0..requests {
            let header = headers.next();
            let begun = Instant::now();
            let response = match &mut self {
                Sender::Http1(sender) => {
                    let mut sender = sender.lock().await;
                    sender.ready().await.expect("the connection is kept");
                    sender.send_request(request(PATH, header)).await
                }
                Sender::Http2(sender) => {
                    sender.ready().await.expect("the connection is kept");
                    sender
                        .send_request(request(&format!("https://localhost{PATH}"), header))
                        .await
                }
            };
            let response = response.expect("an answer");
            assert_eq!(response.status(), 200, "the load is allowed");
            response.into_body().collect().await.expect("the whole answer");
            times.push(begun.elapsed());
        }
        times
    }
}

/// What a service usually sends.
fn request(uri: &str, header: Option<&Header>) -> hyper::Request<Empty<Bytes>> {
    let mut request = hyper::Request::builder()
        .uri(uri)
        .header("host", "localhost")
        .header("user-agent", "svidgate-load/1")
        .header("accept", "application/json")
        .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        .body(Empty::new())
        .expect("a request");
    request.headers_mut().extend(header.cloned());
    request
}

async fn connect(addr: SocketAddr, client: &Client) -> support::client::Connection {
    client.connect(addr).await.expect("the listener accepts")
}

/// Keep-alive requests to a listener of the Envoy `pid`.
pub async fn requests(pid: u32, addr: SocketAddr, client: &Client, protocol: Protocol, count: usize) -> Sample {
    let kept = KeptAlive::open(addr, client, protocol).await;
    measured(pid, &kept, count, &[]).await
}

/// The same with HTTP/1.1, each request with the next of these headers. Before anything is measured, all have the first.
pub async fn requests_with(pid: u32, addr: SocketAddr, client: &Client, count: usize, headers: &[Header]) -> Sample {
    let kept = KeptAlive::open(addr, client, Protocol::Http1).await;
    measured(pid, &kept, count, headers).await
}

async fn measured(pid: u32, kept: &KeptAlive, count: usize, headers: &[Header]) -> Sample {
    let (first, rest) = headers.split_at(headers.len().min(1));
    kept.ask_with(WARM_UP, first).await;
    let headers = if rest.is_empty() { first } else { rest };
    let (before, begun) = (cpu(pid), Instant::now());
    let times = kept.ask_with(count, headers).await;
    let (spent, took) = (cpu(pid) - before, begun.elapsed());
    sample(spent, took, times)
}

/// Full handshakes, each by the next of these clients, with one request, and closed.
///
/// # Panics
/// When any is not answered with 200.
pub async fn connections(pid: u32, addr: SocketAddr, clients: &[&Client]) -> Sample {
    let (before, begun) = (cpu(pid), Instant::now());
    let line = clients.chunks(clients.len().div_ceil(HANDSHAKES_AT_A_TIME));
    let lines = join_all(line.map(async |clients| {
        let mut times = Vec::with_capacity(clients.len());
        for client in clients {
            let begun = Instant::now();
            let head = format!("GET {PATH} HTTP/1.1\r\nhost: localhost\r\n\r\n");
            let outcome = connect(addr, client).await.raw_http1(head.as_bytes()).await;
            assert_eq!(outcome.status(), Some(200), "{outcome:?}");
            times.push(begun.elapsed());
        }
        times
    }));
    let times = tokio::time::timeout(LIMIT, lines)
        .await
        .expect("the load comes to an end");
    let (spent, took) = (cpu(pid) - before, begun.elapsed());
    sample(spent, took, times.into_iter().flatten().collect())
}

/// One stream of that many MiB through a TCP listener to a [`support::upstream::Sink`]. A rate is MiB a second; an
/// answer is the whole of it.
///
/// # Panics
/// When not all of it arrives.
pub async fn stream(pid: u32, addr: SocketAddr, client: &Client, mebibytes: usize) -> Sample {
    let mut stream = connect(addr, client).await.into_stream();
    let piece = vec![0x5a; PIECE];
    // The handshake, the dial and the decision come before.
    stream.write_all(&piece).await.expect("the stream is open");
    tokio::time::sleep(Duration::from_millis(100)).await;
    let pieces = mebibytes * 1024 * 1024 / PIECE;
    let (before, begun) = (cpu(pid), Instant::now());
    let transfer = async {
        for _ in 0..pieces {
            stream.write_all(&piece).await.expect("the stream is open");
        }
        stream.shutdown().await.expect("the stream is open");
        stream.read_u64().await.expect("the upstream has counted")
    };
    let arrived = tokio::time::timeout(LIMIT, transfer)
        .await
        .expect("the stream comes to an end");
    let (spent, took) = (cpu(pid) - before, begun.elapsed());
    assert_eq!(arrived, ((pieces + 1) * PIECE) as u64);
    let each = took / u32::try_from(mebibytes).expect("few MiB");
    sample(spent, took, vec![each; mebibytes])
}

fn sample(spent: Duration, took: Duration, mut times: Vec<Duration>) -> Sample {
    times.sort_unstable();
    let count = times.len();
    let at = |hundredth: usize| times[(count * hundredth / 100).min(count - 1)].as_secs_f64() * 1e3;
    Sample {
        cpu_us: spent.as_secs_f64() * 1e6 / count as f64,
        rate: count as f64 / took.as_secs_f64(),
        p50_ms: at(50),
        p99_ms: at(99),
    }
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}
