//! One connection of a peer, in a task of its own: opened, asked on, and seen to its end.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use support::ca::Identity;
use support::client::{Client, ClientOptions, Connection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::document::Who;
use crate::script::{Kind, Name, Protocol};
use crate::stream::{Body, Stream, follow, lock};
use crate::valve::Valve;

/// So much of a ClientHello is its half.
const HALF_HELLO: usize = 60;
/// How often a TCP peer says something.
const PING: Duration = Duration::from_millis(200);

/// A connection.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) listener: Name,
    pub(crate) who: Who,
    /// When its SVID ends.
    pub(crate) until: Option<Instant>,
    /// Whether it has ever stopped reading: when something reached it cannot be known then.
    pub(crate) was_deaf: bool,
    /// Whether it asks without waiting for answers.
    pub(crate) is_pipelined: bool,
    valve: Valve,
    asks: UnboundedSender<(char, Kind)>,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    streams: Mutex<Vec<Arc<Stream>>>,
    closed: Mutex<Option<Instant>>,
}

impl Peer {
    /// Begins to connect.
    pub(crate) fn open(
        addr: SocketAddr,
        (listener, protocol): (Name, Protocol),
        (who, identity, until): (Who, &Identity, Option<Instant>),
        is_half: bool,
    ) -> Self {
        let valve = Valve::new(if is_half { HALF_HELLO } else { usize::MAX });
        let (asks, asked) = unbounded_channel();
        let shared = Arc::<Shared>::default();
        let options = match protocol {
            Protocol::Http2 => ClientOptions::http2(),
            Protocol::Http1 | Protocol::Pipelined | Protocol::Tcp => ClientOptions::default(),
        };
        let client = Client::with(Some(identity), options);
        let (behind, noted) = (valve.clone(), shared.clone());
        let task = tokio::spawn(async move {
            if let Ok(socket) = TcpStream::connect(addr).await
                && let Ok(connection) = client.handshake(behind.on(socket)).await
            {
                match protocol {
                    Protocol::Http1 => speak_http1(connection, asked, &noted).await,
                    Protocol::Pipelined => speak_pipelined(connection, asked, &noted).await,
                    Protocol::Http2 => speak_http2(connection, asked, &noted).await,
                    Protocol::Tcp => speak_tcp(connection, asked, &noted).await,
                }
            }
            *lock(&noted.closed) = Some(Instant::now());
            for stream in lock(&noted.streams).iter() {
                stream.notes().end();
            }
        });
        Peer {
            listener,
            who,
            until,
            was_deaf: false,
            is_pipelined: protocol == Protocol::Pipelined,
            valve,
            asks,
            shared,
            task,
        }
    }

    /// Asks, as soon as the connection is there.
    pub(crate) fn ask(&self, path: char, kind: Kind) {
        // It may be closed.
        let _ = self.asks.send((path, kind));
    }

    /// The rest of the ClientHello.
    pub(crate) fn rest(&self) {
        self.valve.open();
    }

    pub(crate) fn set_deaf(&mut self, is_deaf: bool) {
        self.was_deaf = true;
        self.valve.set_deaf(is_deaf);
    }

    /// Whether it has ended.
    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.shared.closed).is_some()
    }

    /// Does something with every stream.
    pub(crate) fn each(&self, act: impl FnMut(&Arc<Stream>)) {
        lock(&self.shared.streams).iter().for_each(act);
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
        self.each(|stream| stream.reset());
    }
}

impl Shared {
    fn at(&self, place: usize, act: impl FnOnce(&Stream)) {
        if let Some(stream) = lock(&self.streams).get(place) {
            act(stream);
        }
    }

    fn begin(&self, path: Option<char>, kind: Option<Kind>) -> Arc<Stream> {
        let stream = Arc::new(Stream::new(path, kind));
        lock(&self.streams).push(stream.clone());
        stream
    }
}

async fn speak_http2(connection: Connection, mut asked: UnboundedReceiver<(char, Kind)>, shared: &Shared) {
    let io = TokioIo::new(connection.into_stream());
    let Ok((sender, driver)) = http2::handshake::<_, _, Body>(TokioExecutor::new(), io).await else {
        return;
    };
    tokio::pin!(driver);
    loop {
        tokio::select! {
            _ = &mut driver => return,
            Some((path, kind)) = asked.recv() => {
                let stream = shared.begin(Some(path), Some(kind));
                let mut sender = sender.clone();
                let (request, notes) = (stream.request(true), stream.notes());
                let answer = async move {
                    sender.ready().await?;
                    sender.send_request(request).await
                };
                stream.carried_by(tokio::spawn(follow(answer, notes)).abort_handle());
            }
        }
    }
}

async fn speak_http1(connection: Connection, mut asked: UnboundedReceiver<(char, Kind)>, shared: &Shared) {
    let io = TokioIo::new(connection.into_stream());
    let Ok((mut sender, driver)) = http1::handshake::<_, Body>(io).await else {
        return;
    };
    tokio::pin!(driver);
    let mut waiting = None;
    loop {
        tokio::select! {
            _ = &mut driver => return,
            // One at a time, and one waits: what comes while it does takes its place.
            next = asked.recv() => match next {
                Some(next) => waiting = Some(next),
                None => return,
            },
            ready = sender.ready(), if waiting.is_some() => {
                if ready.is_err() {
                    return;
                }
                if let Some((path, kind)) = waiting.take() {
                    let stream = shared.begin(Some(path), Some(kind));
                    let answer = sender.send_request(stream.request(false));
                    stream.carried_by(tokio::spawn(follow(answer, stream.notes())).abort_handle());
                }
            }
        }
    }
}

/// Sends requests without waiting for answers. Which answer is whose, their order tells.
async fn speak_pipelined(connection: Connection, mut asked: UnboundedReceiver<(char, Kind)>, shared: &Shared) {
    let (mut reading, mut writing) = tokio::io::split(connection.into_stream());
    let listen = async {
        let (mut heard, mut bytes) = (Vec::new(), [0; 4096]);
        // Before the first answer there is none.
        let (mut current, mut status) = (usize::MAX, 0);
        while let Ok(count @ 1..) = reading.read(&mut bytes).await {
            heard.extend_from_slice(&bytes[..count]);
            while let Some((next, rest)) = next_status(&heard) {
                heard.drain(..rest);
                // A gRPC call that is refused has the status 200.
                let head = heard
                    .windows(4)
                    .position(|window| window == b"\r\n\r\n")
                    .unwrap_or(heard.len());
                let is_refused_call = String::from_utf8_lossy(&heard[..head]).contains("grpc-status: 7");
                let next = if is_refused_call { 403 } else { next };
                shared.at(current, |stream| stream.notes().end());
                (current, status) = (current.wrapping_add(1), next);
                shared.at(current, |stream| {
                    stream.notes().bytes(status);
                    // Its few bytes come with its head.
                    if stream.kind == Some(Kind::Answer) {
                        stream.notes().end();
                    }
                });
                shared.at(current.wrapping_add(1), |stream| stream.notes().turn());
            }
            shared.at(current, |stream| stream.notes().bytes(status));
        }
    };
    let speak = async {
        while let Some((path, kind)) = asked.recv().await {
            // There is no gRPC over HTTP/1.1.
            let kind = if kind == Kind::Grpc { Kind::Late } else { kind };
            let line = shared.begin(Some(path), Some(kind)).line();
            if writing.write_all(line.as_bytes()).await.is_err() || writing.flush().await.is_err() {
                return;
            }
        }
        // Nothing more is asked, but more may be heard.
        std::future::pending().await
    };
    tokio::select! {
        () = listen => {}
        () = speak => {}
    }
}

/// The next status line that has come whole, and where what follows it begins.
fn next_status(heard: &[u8]) -> Option<(u16, usize)> {
    const BEGIN: &[u8] = b"HTTP/1.1 ";
    let begin = heard.windows(BEGIN.len()).position(|window| window == BEGIN)? + BEGIN.len();
    let digits = heard.get(begin..begin + 3)?;
    let status = String::from_utf8_lossy(digits).parse().ok()?;
    Some((status, begin + 3))
}

/// Says something again and again, and hears it back, from the first time that something is asked.
async fn speak_tcp(connection: Connection, mut asked: UnboundedReceiver<(char, Kind)>, shared: &Shared) {
    let (mut reading, mut writing) = tokio::io::split(connection.into_stream());
    let mut heard = [0; 1024];
    // The other side may close before anything is asked.
    tokio::select! {
        _ = reading.read(&mut heard) => return,
        first = asked.recv() => if first.is_none() { return },
    }
    let stream = shared.begin(None, None);
    let notes = stream.notes();
    let listen = async {
        while let Ok(1..) = reading.read(&mut heard).await {
            notes.bytes(200);
        }
    };
    let speak = async {
        while matches!(
            timeout(Duration::from_secs(60), writing.write_all(b"ping")).await,
            Ok(Ok(()))
        ) {
            if writing.flush().await.is_err() {
                return;
            }
            sleep(PING).await;
        }
    };
    tokio::select! {
        () = listen => {}
        () = speak => {}
    }
}
