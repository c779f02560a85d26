//! Streams that a peer holds open on one HTTP/2 connection for as long as it may: when each of them ends, and how.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use support::client::{Client, Outcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use crate::subject::PATH;

/// A path that is never answered, and one that is answered with pieces without an end.
pub const WAIT: &str = "/held/wait";
/// See [`WAIT`].
pub const DOWNLOAD: &str = "/held/download";
/// One stream in so many is a download.
const DOWNLOADS: usize = 10;
/// How long opening may take.
const LIMIT: Duration = Duration::from_secs(10);

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// With an answer of this status where there had been none.
    Answered(u16),
    /// The stream was reset, or its connection closed.
    Reset,
    /// The download came to an end as if it were whole.
    Whole,
}

/// The end of a stream.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// When it was seen.
    pub at: Instant,
    /// How.
    pub how: How,
}

/// The streams of one connection. They are closed when this is dropped.
#[derive(Debug)]
pub struct OpenStreams {
    streams: Vec<Stream>,
    connection: JoinHandle<()>,
}

#[derive(Debug)]
struct Stream {
    task: JoinHandle<End>,
    /// Of a download: how many pieces have come, and how many had when it was last looked at.
    pieces: Option<(Arc<AtomicUsize>, usize)>,
    end: Option<End>,
}

impl OpenStreams {
    /// Connects and opens that many. What has reached the upstreams is theirs to say.
    ///
    /// # Panics
    /// When there is no connection.
    pub async fn open(addr: SocketAddr, client: &Client, count: usize) -> Self {
        let io = client.connect(addr).await.expect("the listener accepts").into_stream();
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(io));
        let handshake = tokio::time::timeout(LIMIT, handshake);
        let (sender, connection) = handshake.await.expect("an end").expect("HTTP/2");
        let connection = tokio::spawn(async move {
            // How it ended is seen by its streams.
            let _ = connection.await;
        });
        let streams = (0..count).map(|number| Stream::open(sender.clone(), number.is_multiple_of(DOWNLOADS)));
        OpenStreams {
            streams: streams.collect(),
            connection,
        }
    }

    /// How many there are, ended ones included.
    pub fn count(&self) -> usize {
        self.streams.len()
    }

    /// Those that have ended by now.
    pub fn ends(&mut self) -> Vec<End> {
        self.streams.iter_mut().filter_map(Stream::end).collect()
    }

    /// How many downloads have got nothing since this was last asked.
    pub fn silent(&mut self) -> usize {
        let mut silent = 0;
        for (pieces, known) in self.streams.iter_mut().filter_map(|stream| stream.pieces.as_mut()) {
            let now = pieces.load(Ordering::Relaxed);
            silent += usize::from(now == *known);
            *known = now;
        }
        silent
    }
}

impl Drop for OpenStreams {
    fn drop(&mut self) {
        self.connection.abort();
        for stream in &self.streams {
            stream.task.abort();
        }
    }
}

impl Stream {
    fn open(sender: SendRequest<Empty<Bytes>>, is_download: bool) -> Self {
        let pieces = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&pieces);
        let path = if is_download { DOWNLOAD } else { WAIT };
        let task = tokio::spawn(async move {
            let how = Self::wait(sender, path, &count).await;
            End {
                at: Instant::now(),
                how,
            }
        });
        Stream {
            task,
            pieces: is_download.then_some((pieces, 0)),
            end: None,
        }
    }

    async fn wait(mut sender: SendRequest<Empty<Bytes>>, path: &str, pieces: &AtomicUsize) -> How {
        let request = hyper::Request::get(format!("https://localhost{path}")).body(Empty::new());
        if sender.ready().await.is_err() {
            return How::Reset;
        }
        let Ok(response) = sender.send_request(request.expect("a request")).await else {
            return How::Reset;
        };
        let status = response.status().as_u16();
        if status != 200 {
            return How::Answered(status);
        }
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            if frame.is_err() {
                return How::Reset;
            }
            pieces.fetch_add(1, Ordering::Relaxed);
        }
        How::Whole
    }

    fn end(&mut self) -> Option<End> {
        if self.end.is_none() {
            let ended = (&mut self.task).now_or_never();
            self.end = ended.map(|end| end.expect("nothing panics there"));
        }
        self.end
    }
}

/// An HTTP/2 server that takes every request and answers none. It keeps nothing of them.
///
/// # Panics
/// When there is no port.
pub async fn sink() -> SocketAddr {
    // SETTINGS with 10,000 streams at a time (RFC 9113, section 6.5).
    const SETTINGS: &[u8] = b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\x27\x10";
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("the port that was bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = vec![0; 256 * 1024];
                // An error is the close.
                let mut is_open = stream.write_all(SETTINGS).await.is_ok();
                while is_open {
                    is_open = matches!(stream.read(&mut bytes).await, Ok(1..));
                }
            });
        }
    });
    addr
}

/// Whether a peer gets an answer of 200 now.
pub async fn is_let_in(addr: SocketAddr, client: &Client) -> bool {
    let Ok(connection) = client.connect(addr).await else {
        return false;
    };
    let Ok(mut http) = connection.http2().await else {
        return false;
    };
    match http.get(PATH).await {
        Outcome::Response(response) => response.status == 200,
        Outcome::Refused(_) => false,
    }
}
