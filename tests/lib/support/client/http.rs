//! HTTP/1.1 and HTTP/2 on a connection.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::JoinHandle;

use super::{Connection, Refusal, closed, patient};

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A request. Header values are bytes.
#[derive(Clone, Debug)]
pub struct Request {
    /// Such as `GET`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The authority.
    pub host: String,
    /// Sent in this order, repetitions too.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Sent whole, or as far as it goes.
    pub body: Vec<u8>,
    /// Whether the end of the body never comes.
    pub is_endless: bool,
    /// Sent after the body; over HTTP/1.1 only those that a `trailer` header names.
    pub trailers: Vec<(String, Vec<u8>)>,
}

impl Request {
    /// A request with nothing but a method and a path.
    pub fn new(method: &str, path: &str) -> Self {
        Request {
            method: method.to_owned(),
            path: path.to_owned(),
            host: "localhost".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            trailers: Vec::new(),
            is_endless: false,
        }
    }

    /// A POST with a body that begins and does not end.
    pub fn endless(path: &str) -> Self {
        Request {
            body: b"half".to_vec(),
            is_endless: true,
            ..Request::new("POST", path)
        }
    }

    /// A GET.
    pub fn get(path: &str) -> Self {
        Request::new("GET", path)
    }

    /// With one more header.
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// With one more trailer.
    pub fn trailer(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.trailers.push((name.to_owned(), value.into()));
        self
    }
}

/// A whole response.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Names in lower case, in the order of arrival.
    pub headers: Vec<(String, Vec<u8>)>,
    /// What arrived of it.
    pub body: Vec<u8>,
    /// Whether the body came to its proper end; otherwise it was cut.
    pub complete: bool,
}

impl Response {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_slice())
    }

    /// The body as text, what is not UTF-8 replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// How a request ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// With a response, whatever its status.
    Response(Response),
    /// Without.
    Refused(Refusal),
}

impl Outcome {
    /// The response.
    ///
    /// # Panics
    /// When there was none.
    pub fn response(self) -> Response {
        match self {
            Outcome::Response(response) => response,
            Outcome::Refused(refusal) => panic!("no response: {refusal}"),
        }
    }

    /// The status, if there was a response.
    pub fn status(&self) -> Option<u16> {
        match self {
            Outcome::Response(response) => Some(response.status),
            Outcome::Refused(_) => None,
        }
    }
}

/// A response whose body is still arriving.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Names in lower case, in the order of arrival.
    pub headers: Vec<(String, Vec<u8>)>,
    body: Incoming,
}

/// What comes next in a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// Bytes.
    Data(Bytes),
    /// The proper end.
    End,
    /// The stream or the connection was cut.
    Cut(Refusal),
}

impl Answer {
    fn of(response: hyper::Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        let headers = head
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
            .collect();
        Answer {
            status: head.status.as_u16(),
            headers,
            body,
        }
    }

    /// Waits for the next part of the body.
    pub async fn next(&mut self) -> Chunk {
        loop {
            match patient(self.body.frame()).await {
                Err(refusal) => return Chunk::Cut(refusal),
                Ok(None) => return Chunk::End,
                Ok(Some(Err(error))) => return Chunk::Cut(closed(&error)),
                // Trailers are passed over.
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        return Chunk::Data(data);
                    }
                }
            }
        }
    }

    /// Waits for the rest of the body. A body that does not end is given up after [`super::PATIENCE`] of silence.
    pub async fn collect(mut self) -> Response {
        let mut body = Vec::new();
        let complete = loop {
            match self.next().await {
                Chunk::Data(data) => body.extend_from_slice(&data),
                Chunk::End => break true,
                Chunk::Cut(_) => break false,
            }
        };
        Response {
            status: self.status,
            headers: self.headers,
            body,
            complete,
        }
    }
}

/// An HTTP connection, for any number of requests.
#[derive(Debug)]
pub struct Http {
    sender: Sender,
    driver: JoinHandle<()>,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

impl Connection {
    /// Speaks HTTP/1.1.
    ///
    /// # Errors
    /// When the connection is closed at once.
    pub async fn http1(self) -> Result<Http, Refusal> {
        let (sender, connection) = patient(http1::handshake(TokioIo::new(self.stream)))
            .await?
            .map_err(|error| closed(&error))?;
        let driver = tokio::spawn(async move {
            // How it ended is seen by the request.
            let _ = connection.await;
        });
        Ok(Http {
            sender: Sender::Http1(sender),
            driver,
        })
    }

    /// Speaks HTTP/2.
    ///
    /// # Errors
    /// When the connection is closed at once.
    pub async fn http2(self) -> Result<Http, Refusal> {
        let (sender, connection) = patient(http2::handshake(TokioExecutor::new(), TokioIo::new(self.stream)))
            .await?
            .map_err(|error| closed(&error))?;
        let driver = tokio::spawn(async move {
            // How it ended is seen by the request.
            let _ = connection.await;
        });
        Ok(Http {
            sender: Sender::Http2(sender),
            driver,
        })
    }
}

impl Http {
    /// Sends a GET and waits for the whole response.
    pub async fn get(&mut self, path: &str) -> Outcome {
        self.send(Request::get(path)).await
    }

    /// Sends a request and waits for the whole response.
    pub async fn send(&mut self, request: Request) -> Outcome {
        match self.open(request).await {
            Ok(answer) => Outcome::Response(answer.collect().await),
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    /// Sends a request and waits for the head of the response.
    ///
    /// # Errors
    /// When there is none.
    ///
    /// # Panics
    /// When `request` cannot be written as HTTP: send such as bytes, with [`Connection::raw_http1`].
    pub async fn open(&mut self, request: Request) -> Result<Answer, Refusal> {
        let response = match &mut self.sender {
            Sender::Http1(sender) => {
                patient(sender.ready()).await?.map_err(|error| closed(&error))?;
                patient(sender.send_request(message(&request, &request.path, true))).await?
            }
            Sender::Http2(sender) => {
                let uri = format!("https://{}{}", request.host, request.path);
                return open_stream(sender, message(&request, &uri, false)).await;
            }
        };
        response.map(Answer::of).map_err(|error| closed(&error))
    }

    /// Sends a request, as a client with a pool of connections does, and waits for the head of the response. Gives
    /// `None` where the connection ended, or was told to take no more, before a byte of the request was sent: such a
    /// request is for the next connection.
    ///
    /// # Errors
    /// When it was sent and there is no response.
    ///
    /// # Panics
    /// When `request` cannot be written as HTTP.
    pub async fn offer(&mut self, request: Request) -> Result<Option<Answer>, Refusal> {
        let response = match &mut self.sender {
            Sender::Http1(sender) => {
                if patient(sender.ready()).await?.is_err() {
                    return Ok(None);
                }
                patient(sender.try_send_request(message(&request, &request.path, true))).await?
            }
            Sender::Http2(sender) => {
                if patient(sender.ready()).await?.is_err() {
                    return Ok(None);
                }
                let uri = format!("https://{}{}", request.host, request.path);
                patient(sender.try_send_request(message(&request, &uri, false))).await?
            }
        };
        match response {
            Ok(response) => Ok(Some(Answer::of(response))),
            // Given back: it never left.
            Err(error) if error.message().is_some() => Ok(None),
            Err(error) => Err(closed(error.error())),
        }
    }

    /// Sends these requests side by side over HTTP/2, without waiting for any, and collects each whole response.
    ///
    /// # Panics
    /// When this is not HTTP/2.
    pub fn send_all(&self, requests: impl IntoIterator<Item = Request>) -> Vec<JoinHandle<Outcome>> {
        let Sender::Http2(sender) = &self.sender else {
            panic!("only HTTP/2 has streams")
        };
        let send = |request: Request| {
            let mut sender = sender.clone();
            tokio::spawn(async move {
                let uri = format!("https://{}{}", request.host, request.path);
                match open_stream(&mut sender, message(&request, &uri, false)).await {
                    Ok(answer) => Outcome::Response(answer.collect().await),
                    Err(refusal) => Outcome::Refused(refusal),
                }
            })
        };
        requests.into_iter().map(send).collect()
    }

    /// Opens a tunnel over HTTP/2 (CONNECT). It ends with this connection.
    ///
    /// # Errors
    /// When it is refused.
    ///
    /// # Panics
    /// When this is not HTTP/2.
    pub async fn tunnel(&mut self, authority: &str) -> Result<Connection, Refusal> {
        let Sender::Http2(sender) = &mut self.sender else {
            panic!("only HTTP/2 has streams")
        };
        let request = hyper::Request::connect(authority).body(Full::default().boxed_unsync());
        let request = request.expect("a request that HTTP can say");
        patient(sender.ready()).await?.map_err(|error| closed(&error))?;
        let response = patient(sender.send_request(request))
            .await?
            .map_err(|error| closed(&error))?;
        let status = response.status();
        if !status.is_success() {
            return Err(Refusal::Closed(status.to_string()));
        }
        let upgraded = patient(hyper::upgrade::on(response))
            .await?
            .map_err(|error| closed(&error))?;
        Ok(Connection {
            stream: Box::new(TokioIo::new(upgraded)),
            resumed: false,
            alpn: None,
        })
    }

    /// Whether the other side has closed the connection.
    pub fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.is_closed(),
            Sender::Http2(sender) => sender.is_closed(),
        }
    }

    /// Waits, while nothing is sent, until the other side closes the connection.
    ///
    /// # Errors
    /// [`Refusal::TimedOut`] when it does not.
    pub async fn wait_closed(&mut self) -> Result<(), Refusal> {
        // A driver that panicked has closed the connection too.
        patient(&mut self.driver).await.map(|_| ())
    }
}

async fn open_stream(sender: &mut http2::SendRequest<Body>, request: hyper::Request<Body>) -> Result<Answer, Refusal> {
    patient(sender.ready()).await?.map_err(|error| closed(&error))?;
    let response = patient(sender.send_request(request)).await?;
    response.map(Answer::of).map_err(|error| closed(&error))
}

impl Drop for Http {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

fn message(request: &Request, uri: &str, host_header: bool) -> hyper::Request<Body> {
    let mut builder = hyper::Request::builder().method(request.method.as_str()).uri(uri);
    if host_header {
        builder = builder.header("host", &request.host);
    }
    for (name, value) in &request.headers {
        builder = builder.header(name, value.as_slice());
    }
    builder.body(body(request)).expect("a request that HTTP can say")
}

fn body(request: &Request) -> Body {
    if !request.is_endless && request.trailers.is_empty() {
        return Full::from(request.body.clone()).boxed_unsync();
    }
    let begun = stream::iter([Ok(Frame::data(Bytes::from(request.body.clone())))]);
    if request.is_endless {
        return StreamBody::new(begun.chain(stream::pending())).boxed_unsync();
    }
    let mut trailers = hyper::HeaderMap::new();
    for (name, value) in &request.trailers {
        let name = hyper::header::HeaderName::from_bytes(name.as_bytes()).expect("a name that HTTP can say");
        let value = hyper::header::HeaderValue::from_bytes(value).expect("a value that HTTP can say");
        trailers.append(name, value);
    }
    StreamBody::new(begun.chain(stream::iter([Ok(Frame::trailers(trailers))]))).boxed_unsync()
}
