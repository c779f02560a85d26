//! The Workload API as clients see it that share no code with it: tonic's, and HTTP/2 frames.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::http::uri::PathAndQuery;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use support::ca::{Authority, FIXED_NOW};
use support::client::PATIENCE;
use support::workload_api::{Bundles, WorkloadApi};
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::time::timeout;
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status, Streaming};

use crate::eventually;

const METHOD: &str = "/SpiffeWorkloadAPI/FetchX509Bundles";
const A_WHILE: Duration = Duration::from_millis(200);

#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(bytes = "vec", repeated, tag = "1")]
    crl: Vec<Vec<u8>>,
    #[prost(map = "string, bytes", tag = "2")]
    bundles: HashMap<String, Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct Empty {}

struct Place {
    socket: PathBuf,
    prod: Authority,
    partner: Authority,
    _home: TempDir,
}

fn place() -> Place {
    let home = TempDir::new().unwrap();
    Place {
        socket: home.path().join("api.sock"),
        prod: Authority::of("prod.example", FIXED_NOW),
        partner: Authority::of("partner.example", FIXED_NOW),
        _home: home,
    }
}

impl Place {
    fn api(&self) -> WorkloadApi {
        let api = WorkloadApi::start(&self.socket);
        api.set(self.bundles());
        api
    }

    fn bundles(&self) -> Bundles {
        Bundles::default().with("prod.example", &[&self.prod, &self.partner])
    }
}

async fn call(
    socket: &Path,
    method: &'static str,
    header: Option<&'static str>,
) -> Result<Streaming<Response>, Status> {
    let socket = socket.to_owned();
    let connector = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    let channel = Endpoint::from_static("http://localhost")
        .connect_with_connector(connector)
        .await
        .map_err(|error| Status::unknown(error.to_string()))?;
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let mut request = Request::new(Empty {});
    if let Some(value) = header {
        request
            .metadata_mut()
            .insert("workload.spiffe.io", value.parse().unwrap());
    }
    let codec = tonic_prost::ProstCodec::<Empty, Response>::default();
    let answer = client
        .server_streaming(request, PathAndQuery::from_static(method), codec)
        .await?;
    Ok(answer.into_inner())
}

async fn open(place: &Place) -> Streaming<Response> {
    call(&place.socket, METHOD, Some("true")).await.unwrap()
}

/// A stream as HTTP/2 sees it.
async fn open_raw(place: &Place) -> (http2::SendRequest<Full<Bytes>>, Incoming) {
    let stream = TokioIo::new(UnixStream::connect(&place.socket).await.unwrap());
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let request = hyper::Request::post(format!("http://localhost{METHOD}"))
        .header("workload.spiffe.io", "true")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(Bytes::from_static(&[0; 5])))
        .unwrap();
    let body = sender.send_request(request).await.unwrap().into_body();
    (sender, body)
}

async fn next_bytes(body: &mut Incoming) -> Bytes {
    let frame = timeout(PATIENCE, body.frame()).await.expect("no hanging");
    frame.unwrap().unwrap().into_data().unwrap()
}

async fn next(stream: &mut Streaming<Response>) -> Response {
    let message = timeout(PATIENCE, stream.message()).await.expect("no hanging");
    message.unwrap().expect("one more message")
}

/// The error with which a stream ends.
async fn ends(stream: &mut Streaming<Response>) -> Status {
    let message = timeout(PATIENCE, stream.message()).await.expect("no hanging");
    message.unwrap_err()
}

async fn is_silent(stream: &mut Streaming<Response>) -> bool {
    timeout(A_WHILE, stream.message()).await.is_err()
}

#[tokio::test]
async fn stream_begins_with_the_present_bundles_and_gets_every_change() {
    let place = place();
    let api = place.api();
    let (mut one, mut other) = (open(&place).await, open(&place).await);
    for stream in [&mut one, &mut other] {
        let first = next(stream).await;
        let both = [place.prod.certificate.clone(), place.partner.certificate.clone()].concat();
        assert_eq!(
            first.bundles,
            HashMap::from([("spiffe://prod.example".to_owned(), both)])
        );
        assert!(is_silent(stream).await);
    }
    let changed = Bundles::default()
        .with("prod.example", &[])
        .with("partner.example", &[&place.partner])
        .crl(b"one")
        .crl(b"two");
    api.set(Bundles::default());
    api.set(changed);
    for stream in [&mut one, &mut other] {
        assert_eq!(next(stream).await, Response::default());
        let second = next(stream).await;
        assert_eq!(second.crl, [b"one", b"two"]);
        assert_eq!(second.bundles["spiffe://prod.example"], b"");
        assert_eq!(second.bundles["spiffe://partner.example"], place.partner.certificate);
    }
}

#[tokio::test]
async fn call_without_the_security_header_is_an_invalid_argument() {
    let place = place();
    let api = place.api();
    for header in [None, Some("false")] {
        let status = call(&place.socket, METHOD, header).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{header:?}");
    }
    assert_eq!(api.opened(), 0);
}

#[tokio::test]
async fn other_methods_are_not_implemented() {
    let place = place();
    let _api = place.api();
    let method = "/SpiffeWorkloadAPI/FetchX509SVID";
    let status = call(&place.socket, method, Some("true")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}

#[tokio::test]
async fn streams_are_counted_until_the_client_leaves() {
    let place = place();
    let api = place.api();
    let (one, other) = (open(&place).await, open(&place).await);
    assert_eq!((api.streams(), api.opened()), (2, 2));
    drop(one);
    eventually("one stream", || api.streams() == 1).await;
    drop(other);
    eventually("no stream", || api.streams() == 0).await;
    assert_eq!(api.opened(), 2);
}

#[tokio::test]
async fn silent_server_accepts_streams_and_sends_nothing() {
    let place = place();
    let api = place.api();
    api.silent(true);
    let mut stream = open(&place).await;
    assert!(is_silent(&mut stream).await);
    api.set(place.bundles());
    assert!(is_silent(&mut stream).await);
    assert_eq!(api.streams(), 1);
    api.silent(false);
    assert_eq!(next(&mut stream).await.bundles.len(), 1);
}

#[tokio::test]
async fn reset_streams_end_with_unavailable() {
    let place = place();
    let api = place.api();
    let mut stream = open(&place).await;
    next(&mut stream).await;
    api.reset_streams();
    assert_eq!(ends(&mut stream).await.code(), Code::Unavailable);
    eventually("no stream", || api.streams() == 0).await;
    assert_eq!(next(&mut open(&place).await).await.bundles.len(), 1);
}

#[tokio::test]
async fn aborted_message_ends_after_half_of_its_bytes() {
    let place = place();
    let api = place.api();
    let (sender, mut body) = open_raw(&place).await;
    let whole = next_bytes(&mut body).await;
    let length = whole.len() - 5;
    assert_eq!(
        whole[..5],
        [&[0], &u32::try_from(length).unwrap().to_be_bytes()[..]].concat()
    );

    api.abort_mid_message();
    let half = next_bytes(&mut body).await;
    assert_eq!(half, whole[..5 + length / 2]);
    let reset = timeout(PATIENCE, body.frame()).await.expect("no hanging");
    reset.expect("a reset, not an end").unwrap_err();
    eventually("no stream", || api.streams() == 0).await;
    // The connection lives: only the stream is reset.
    assert!(!sender.is_closed());
}

#[tokio::test]
async fn aborted_message_is_an_error_to_a_grpc_client() {
    let place = place();
    let api = place.api();
    let mut stream = open(&place).await;
    next(&mut stream).await;
    api.abort_mid_message();
    ends(&mut stream).await;
}

#[tokio::test]
async fn stopped_server_is_gone_until_it_is_started_again() {
    let place = place();
    let mut api = place.api();
    let mut stream = open(&place).await;
    next(&mut stream).await;
    api.stop();
    assert_eq!(api.streams(), 0);
    ends(&mut stream).await;
    assert!(!place.socket.exists());
    call(&place.socket, METHOD, Some("true")).await.unwrap_err();
    api.start_again();
    assert_eq!(next(&mut open(&place).await).await.bundles.len(), 1);
    assert_eq!(api.opened(), 2);
}

#[tokio::test]
async fn raw_entries_are_written_as_they_are() {
    let place = place();
    let api = place.api();
    api.set(Bundles::default().raw("a", "1").raw("a", "2"));
    let (_sender, mut body) = open_raw(&place).await;
    let twice = b"\0\0\0\0\x10\x12\x06\x0a\x01a\x12\x011\x12\x06\x0a\x01a\x12\x012";
    assert_eq!(next_bytes(&mut body).await, twice[..]);
    let mut stream = open(&place).await;
    assert_eq!(next(&mut stream).await.bundles["a"], b"2");
    api.set_raw(b"\x12\x06\x0a\x01b\x12\x013");
    assert_eq!(next(&mut stream).await.bundles["b"], b"3");
    api.set(Bundles::default().raw(*b"spiffe://\xff", "value"));
    assert_eq!(ends(&mut stream).await.code(), Code::Internal);
}
