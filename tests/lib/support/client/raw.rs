//! Bytes on a connection: TCP protocols, HTTP that a library would refuse to write, and unfinished handshakes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, WriteHalf};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::{Connection, Outcome, Refusal, Response, Stream, closed_io, patient, tcp};

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

/// What an HTTP/2 connection begins with: the preface, and settings that change nothing (RFC 9113, section 3.4).
const HTTP2_START: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// Types of frames (RFC 9113, section 6).
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
/// Their flags: the last frame of a stream, and the last of its head.
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// What a server takes in one frame, where it has not said that it takes more (RFC 9113, section 4.2).
const MAX_FRAME_BYTES: usize = 16_384;

impl Connection {
    /// Sends one HTTP/2 request whose fields, pseudo-headers among them, are written as they are, and waits until the
    /// stream or the connection has ended. What was answered is in the access log.
    ///
    /// # Errors
    /// [`Refusal::TimedOut`] when nothing ends.
    pub async fn raw_http2(mut self, fields: &[(&[u8], &[u8])]) -> Result<(), Refusal> {
        let block: Vec<u8> = fields.iter().flat_map(|(name, value)| literal(name, value)).collect();
        let mut bytes = HTTP2_START.to_vec();
        bytes.extend(request_frames(1, &block));
        // A server may answer and close before it has read everything.
        let _ = self.write(&bytes).await;
        patient(self.stream_one_ends()).await
    }

    async fn stream_one_ends(&mut self) {
        while let Some((kind, ends, stream)) = read_frame(&mut self.stream).await {
            if kind == GOAWAY || (ends && stream == [0, 0, 0, 1]) {
                return;
            }
        }
    }

    /// Begins HTTP/2 for any number of requests whose heads are written byte by byte.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn raw_streams(mut self) -> Result<RawStreams, Refusal> {
        self.write(HTTP2_START).await?;
        let (mut from, to) = tokio::io::split(self.stream);
        let ended = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&ended);
        let reader = tokio::spawn(async move {
            while let Some((_, ends, _)) = read_frame(&mut from).await {
                count.fetch_add(usize::from(ends), Ordering::SeqCst);
            }
        });
        Ok(RawStreams {
            to,
            next: 1,
            ended,
            reader,
        })
    }
}

/// Streams of one HTTP/2 connection, open until they are answered or this is dropped. Of answers, only the ends are
/// looked at.
#[derive(Debug)]
pub struct RawStreams {
    to: WriteHalf<Box<dyn Stream>>,
    next: u32,
    ended: Arc<AtomicUsize>,
    reader: JoinHandle<()>,
}

impl RawStreams {
    /// Opens a stream without a body. The head is an HPACK block: see [`literal`], [`remembered`] and
    /// [`LAST_REMEMBERED`].
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn open(&mut self, block: &[u8]) -> Result<(), Refusal> {
        let bytes = request_frames(self.next, block);
        self.next += 2;
        patient(self.to.write_all(&bytes)).await?.map_err(closed_io)?;
        patient(self.to.flush()).await?.map_err(closed_io)
    }

    /// How many streams the other side has ended.
    pub fn ended(&self) -> usize {
        self.ended.load(Ordering::SeqCst)
    }

    /// Whether the other side has closed the connection.
    pub fn is_closed(&self) -> bool {
        self.reader.is_finished()
    }
}

impl Drop for RawStreams {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// The frames of a request without a body.
fn request_frames(stream: u32, block: &[u8]) -> Vec<u8> {
    let last = block.len().div_ceil(MAX_FRAME_BYTES) - 1;
    let frame = |(place, part): (usize, &[u8])| {
        let (kind, first) = if place == 0 {
            (HEADERS, END_STREAM)
        } else {
            (CONTINUATION, 0)
        };
        let flags = if place == last { first | END_HEADERS } else { first };
        let [_, length @ ..] = u32::try_from(part.len()).expect("a part of a frame").to_be_bytes();
        [&length[..], &[kind, flags], &stream.to_be_bytes(), part].concat()
    };
    block.chunks(MAX_FRAME_BYTES).enumerate().flat_map(frame).collect()
}

/// The type of the next frame, whether it ends its stream, and the number of that; `None` at the close.
async fn read_frame(from: &mut (impl AsyncRead + Unpin)) -> Option<(u8, bool, [u8; 4])> {
    let mut head = [0; 9];
    from.read_exact(&mut head).await.ok()?;
    let [high, middle, low, kind, flags, stream @ ..] = head;
    let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, high, middle, low])).unwrap_or_default()];
    from.read_exact(&mut payload).await.ok()?;
    let ends = kind == RST_STREAM || (kind <= HEADERS && flags & END_STREAM != 0);
    Some((kind, ends, stream))
}

/// The field that came last as [`remembered`] (RFC 7541, section 6.1).
pub const LAST_REMEMBERED: u8 = 0x80 | 62;

/// A field that goes into the dynamic table, where it and 32 bytes fit into 4,096 (RFC 7541, section 6.2.1).
pub fn remembered(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut bytes = literal(name, value);
    bytes[0] = 0x40;
    bytes
}

/// A field that is not indexed and not Huffman-coded (RFC 7541, section 6.2.2).
pub fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    let string = |text: &[u8]| [integer(text.len()), text.to_vec()].concat();
    [vec![0], string(name), string(value)].concat()
}

/// An integer with a prefix of seven bits (RFC 7541, section 5.1).
fn integer(value: usize) -> Vec<u8> {
    let Some(mut rest) = value.checked_sub(127) else {
        return vec![value as u8];
    };
    let mut bytes = vec![127];
    while rest >= 128 {
        bytes.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    bytes.push(rest as u8);
    bytes
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
