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
            Protocol::Http1 | Protocol::Tcp => ClientOptions::default(),
        };
        let client = Client::with(Some(identity), options);
        let (behind, noted) = (valve.clone(), shared.clone());
        let task = tokio::spawn(async move {
            if let Ok(socket) = TcpStream::connect(addr).await
                && let Ok(connection) = client.handshake(behind.on(socket)).await
            {
                match protocol {
                    Protocol::Http1 => speak_http1(connection, asked, &noted).await,
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
    loop {
        tokio::select! {
            _ = &mut driver => return,
            // One at a time: what comes while another is under way is not asked.
            Some((path, kind)) = asked.recv() => {
                if !sender.is_ready() {
                    continue;
                }
                let stream = shared.begin(Some(path), Some(kind));
                let answer = sender.send_request(stream.request(false));
                stream.carried_by(tokio::spawn(follow(answer, stream.notes())).abort_handle());
            }
        }
    }
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
