//! Bytes on a connection: TCP protocols, HTTP that a library would refuse to write, and unfinished handshakes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Connection, Outcome, Refusal, Response, closed_io, patient, tcp};

impl Connection {
    /// Sends bytes.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        patient(self.stream.write_all(bytes)).await?.map_err(closed_io)?;
        patient(self.stream.flush()).await?.map_err(closed_io)
    }

    /// Says that nothing more will be sent.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn finish(&mut self) -> Result<(), Refusal> {
        patient(self.stream.shutdown()).await?.map_err(closed_io)
    }

    /// Reads exactly `count` bytes.
    ///
    /// # Errors
    /// When the connection ends before.
    pub async fn read(&mut self, count: usize) -> Result<Vec<u8>, Refusal> {
        let mut bytes = vec![0; count];
        patient(self.stream.read_exact(&mut bytes)).await?.map_err(closed_io)?;
        Ok(bytes)
    }

    /// Reads until the other side closes, and returns what came before. A reset counts as a close.
    ///
    /// # Errors
    /// [`Refusal::TimedOut`] when it stays open for [`super::PATIENCE`].
    pub async fn read_until_close(&mut self) -> Result<Vec<u8>, Refusal> {
        patient(self.drain()).await
    }

    async fn drain(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // An error here is the close; what came before it stays in `bytes`.
        let _ = self.stream.read_to_end(&mut bytes).await;
        bytes
    }

    async fn read_response(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // An error here is the close; what came before it stays in `bytes`.
        while !parse_response(&bytes).is_some_and(|response| is_whole(&response)) {
            if !matches!(self.stream.read_buf(&mut bytes).await, Ok(1..)) {
                break;
            }
        }
        bytes
    }

    /// Whether nothing arrives and the connection stays open for that long.
    pub async fn stays_silent_for(&mut self, span: Duration) -> bool {
        timeout(span, self.stream.read_u8()).await.is_err()
    }

    /// Sends `request` as it is and reads the response to it, to its end or until the connection closes.
    pub async fn raw_http1(mut self, request: &[u8]) -> Outcome {
        // A server may answer and close before it has read everything.
        let written = self.write(request).await;
        match patient(self.read_response()).await {
            Err(refusal) => Outcome::Refused(refusal),
            Ok(bytes) => match (parse_response(&bytes), written) {
                (Some(response), _) => Outcome::Response(response),
                (None, Err(refusal)) => Outcome::Refused(refusal),
                (None, Ok(())) => Outcome::Refused(Refusal::Closed(format!("after {} bytes", bytes.len()))),
            },
        }
    }
}

/// Reads the head of an HTTP/1.1 response; the body is all that follows, its encoding untouched.
fn parse_response(bytes: &[u8]) -> Option<Response> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().as_bytes().to_vec()))
        .collect();
    Some(Response {
        status,
        headers,
        body: bytes[end + 4..].to_vec(),
        complete: true,
    })
}

/// Whether a body of known length has come. A server that says `connection: close` may leave the connection open for a
/// while.
fn is_whole(response: &Response) -> bool {
    let length = response.header("content-length").map(String::from_utf8_lossy);
    match length.and_then(|length| length.parse::<usize>().ok()) {
        Some(length) => response.body.len() >= length,
        None => response.header("transfer-encoding").is_some() && response.body.ends_with(b"0\r\n\r\n"),
    }
}

/// Sends a ClientHello and nothing more. The connection is open as long as the stream is held.
///
/// # Errors
/// When nobody listens.
pub async fn half_handshake(addr: SocketAddr) -> Result<TcpStream, Refusal> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has cipher suites for every version")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a server name");
    let mut session = ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut hello = Vec::new();
    session.write_tls(&mut hello).map_err(closed_io)?;
    let mut stream = tcp(addr).await?;
    patient(stream.write_all(&hello)).await?.map_err(closed_io)?;
    Ok(stream)
}
