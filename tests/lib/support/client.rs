//! Real clients: what a peer of the proxy can do, and what it sees.
//!
//! Every wait ends after [`PATIENCE`]. Any server certificate is accepted: who the server is, is not under test.
//!
//! ```
//! # async fn example(addr: std::net::SocketAddr, identity: &support::ca::Identity) {
//! use support::client::{Client, Outcome};
//!
//! let mut http = Client::new(Some(identity)).connect(addr).await.unwrap().http1().await.unwrap();
//! let Outcome::Response(response) = http.get("/invoices").await else { panic!("refused") };
//! assert_eq!(response.status, 200);
//! # }
//! ```

mod http;
mod raw;
mod tls;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub use http::{Answer, Chunk, Http, Outcome, Request, Response};
pub use raw::{LAST_REMEMBERED, RawStreams, half_handshake, literal, remembered};
pub use tls::{Client, ClientOptions, Sessions, TlsVersions};

/// How long anything may take before it counts as hanging.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How a connection or a request ended without an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody listens.
    Connect(String),
    /// The TLS handshake failed.
    Handshake(String),
    /// Closed or reset before an answer.
    Closed(String),
    /// Nothing happened for [`PATIENCE`], or as long as the caller was ready to wait.
    TimedOut,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Connect(why) => write!(f, "cannot connect: {why}"),
            Refusal::Handshake(why) => write!(f, "handshake failed: {why}"),
            Refusal::Closed(why) => write!(f, "closed: {why}"),
            Refusal::TimedOut => write!(f, "timed out"),
        }
    }
}

impl std::error::Error for Refusal {}

/// A connection, with TLS or without. Choose what to speak on it: [`Connection::http1`], [`Connection::http2`],
/// or bytes.
#[derive(Debug)]
pub struct Connection {
    stream: Box<dyn Stream>,
    resumed: bool,
    alpn: Option<Vec<u8>>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin + fmt::Debug {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + fmt::Debug> Stream for T {}

impl Connection {
    /// A connection without TLS.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn plain(addr: SocketAddr) -> Result<Self, Refusal> {
        let stream = tcp(addr).await?;
        Ok(Connection {
            stream: Box::new(stream),
            resumed: false,
            alpn: None,
        })
    }

    /// The bytes themselves, with no limit on how long they may take.
    pub fn into_stream(self) -> impl AsyncRead + AsyncWrite + Send + Unpin + 'static {
        self.stream
    }

    /// Whether the handshake resumed an earlier session.
    pub fn resumed(&self) -> bool {
        self.resumed
    }

    /// The application protocol that the server chose.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.alpn.as_deref()
    }
}

async fn tcp(addr: SocketAddr) -> Result<TcpStream, Refusal> {
    let stream = patient(TcpStream::connect(addr))
        .await?
        .map_err(|error| Refusal::Connect(error.to_string()))?;
    stream
        .set_nodelay(true)
        .map_err(|error| Refusal::Connect(error.to_string()))?;
    Ok(stream)
}

/// What comes of it within [`PATIENCE`].
///
/// # Errors
/// When nothing does.
pub async fn patient<T>(future: impl Future<Output = T>) -> Result<T, Refusal> {
    timeout(PATIENCE, future).await.map_err(|_| Refusal::TimedOut)
}

/// A connection was closed for this reason, and for what caused it.
pub fn closed(error: &(dyn std::error::Error + 'static)) -> Refusal {
    let mut why = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        why = format!("{why}: {error}");
        cause = error.source();
    }
    Refusal::Closed(why)
}

fn closed_io(error: io::Error) -> Refusal {
    closed(&error)
}
