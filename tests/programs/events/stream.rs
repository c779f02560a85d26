//! One request, or what goes over a TCP connection: what has come of it, and when.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{HeaderMap, Request, Response};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;

use crate::script::Kind;

/// What a request carries.
pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Bytes of an upload that are sent at a time.
const PART: &[u8] = &[b'x'; 512];

/// The status that a refused gRPC call is noted with.
const REFUSED: u16 = 403;

/// What has come of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// When it was asked for.
    pub(crate) asked: Instant,
    /// When the proxy could begin with it: of pipelined requests, when the one in front was through.
    pub(crate) turn: Instant,
    /// The head of the answer; a TCP connection has 200 with its first bytes.
    pub(crate) status: Option<u16>,
    /// When bytes came last, those of the head too.
    pub(crate) last: Option<Instant>,
    /// Whether it has ended, however it did.
    pub(crate) has_ended: bool,
    /// Whether we ended it ourselves.
    pub(crate) is_given_up: bool,
}

/// A stream.
#[derive(Debug)]
pub(crate) struct Stream {
    /// `None` on a TCP connection.
    pub(crate) path: Option<char>,
    pub(crate) kind: Option<Kind>,
    seen: Arc<Mutex<Seen>>,
    is_judged: AtomicBool,
    upload: Mutex<Option<UnboundedSender<Frame<Bytes>>>>,
    task: Mutex<Option<AbortHandle>>,
}

/// Where what comes is written down.
#[derive(Clone, Debug)]
pub(crate) struct Notes(Arc<Mutex<Seen>>);

impl Notes {
    fn change(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Bytes have come.
    pub(crate) fn bytes(&self, status: u16) {
        self.change(|seen| {
            seen.status = Some(status);
            seen.last = Some(Instant::now());
        });
    }

    /// The one in front of it is through.
    pub(crate) fn turn(&self) {
        self.change(|seen| seen.turn = Instant::now());
    }

    /// It has ended.
    pub(crate) fn end(&self) {
        self.change(|seen| seen.has_ended = true);
    }
}

impl Stream {
    /// One that is asked for now.
    pub(crate) fn new(path: Option<char>, kind: Option<Kind>) -> Self {
        let now = Instant::now();
        Stream {
            path,
            kind,
            seen: Arc::new(Mutex::new(Seen {
                asked: now,
                turn: now,
                status: None,
                last: None,
                has_ended: false,
                is_given_up: false,
            })),
            is_judged: AtomicBool::new(false),
            upload: Mutex::default(),
            task: Mutex::default(),
        }
    }

    pub(crate) fn seen(&self) -> Seen {
        *lock(&self.seen)
    }

    pub(crate) fn notes(&self) -> Notes {
        Notes(self.seen.clone())
    }

    /// Whether its end has been looked at.
    pub(crate) fn is_judged(&self) -> bool {
        self.is_judged.load(Ordering::Relaxed)
    }

    /// Its end is looked at.
    pub(crate) fn judge(&self) {
        self.is_judged.store(true, Ordering::Relaxed);
    }

    /// What carries it; [`Stream::reset`] ends that.
    pub(crate) fn carried_by(&self, task: AbortHandle) {
        *lock(&self.task) = Some(task);
    }

    /// Where it leads to.
    fn target(&self) -> String {
        let last = match self.kind.unwrap_or(Kind::Answer) {
            Kind::Answer | Kind::Upload | Kind::Grpc => "answer",
            Kind::Late => "late",
            Kind::Stream => "stream",
        };
        format!("/{}/{last}", self.path.unwrap_or('a'))
    }

    /// The request as HTTP/1.1 writes it, without a body.
    pub(crate) fn line(&self) -> String {
        format!("GET {} HTTP/1.1\r\nhost: localhost\r\n\r\n", self.target())
    }

    /// The request. An upload has half of its body in it.
    pub(crate) fn request(&self, is_http2: bool) -> Request<Body> {
        let kind = self.kind.unwrap_or(Kind::Answer);
        let path = self.target();
        let is_upload = matches!(kind, Kind::Upload | Kind::Grpc);
        let mut builder = Request::builder().method(if is_upload { "POST" } else { "GET" });
        builder = if is_http2 {
            builder.uri(format!("https://localhost{path}"))
        } else {
            builder.uri(path).header("host", "localhost")
        };
        if kind == Kind::Grpc {
            builder = builder
                .header("content-type", "application/grpc")
                .header("te", "trailers");
        }
        let body = if is_upload {
            let (sender, parts) = unbounded_channel();
            // The receiver is held.
            let _ = sender.send(Frame::data(Bytes::from_static(PART)));
            *lock(&self.upload) = Some(sender);
            uploaded(parts)
        } else {
            Empty::new().boxed_unsync()
        };
        builder.body(body).expect("a request that HTTP can say")
    }

    /// More of an upload.
    pub(crate) fn data(&self) {
        if let Some(sender) = &*lock(&self.upload) {
            // Nobody may be there any more.
            let _ = sender.send(Frame::data(Bytes::from_static(PART)));
        }
    }

    /// The end of an upload, perhaps with trailers.
    pub(crate) fn finish(&self, with_trailers: bool) {
        if let Some(sender) = lock(&self.upload).take()
            && with_trailers
        {
            let mut trailers = HeaderMap::new();
            trailers.insert("x-trailer", hyper::header::HeaderValue::from_static("yes"));
            let _ = sender.send(Frame::trailers(trailers));
        }
    }

    /// Gives it up.
    pub(crate) fn reset(&self) {
        lock(&self.seen).is_given_up = true;
        if let Some(task) = lock(&self.task).take() {
            task.abort();
        }
    }
}

/// Reads an answer to its end.
pub(crate) async fn follow(answer: impl Future<Output = Result<Response<Incoming>, hyper::Error>>, notes: Notes) {
    if let Ok(answer) = answer.await {
        let (head, mut body) = answer.into_parts();
        // A gRPC call is refused with 200, and says so in a header where nothing else follows.
        let is_refused_call = head.headers.get("grpc-status").is_some_and(|status| status != "0");
        let status = if is_refused_call { REFUSED } else { head.status.as_u16() };
        notes.bytes(status);
        while let Some(Ok(_)) = body.frame().await {
            notes.bytes(status);
        }
    }
    notes.end();
}

fn uploaded(parts: UnboundedReceiver<Frame<Bytes>>) -> Body {
    let frames = stream::unfold(parts, async |mut parts| {
        let frame = parts.recv().await?;
        Some((Ok(frame), parts))
    });
    StreamBody::new(frames).boxed_unsync()
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
