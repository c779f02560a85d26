//! A SPIFFE bundle endpoint (SPIFFE Federation, section 5): HTTPS with any identity, or plain HTTP, and every way to
//! fail.
//!
//! ```
//! # fn example(prod: &support::ca::Authority, identity: &support::ca::Identity) {
//! use support::bundle_endpoint::{BundleEndpoint, Served, bundle_document};
//!
//! let endpoint = BundleEndpoint::start(Some(identity));
//! endpoint.serve("/bundle.json", Served::Document(bundle_document(&[prod], Some(1), Some(300))));
//! assert_eq!(endpoint.requests("/bundle.json"), 0);
//! # }
//! ```

use std::collections::HashMap;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, LOCATION};
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::ca::{Authority, Identity, bundle_json};
use crate::server::{TcpServer, cut, lock, serve_http};
use crate::upstream::Recorded;

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What a path answers.
#[derive(Clone, Debug)]
pub enum Served {
    /// 200 with this.
    Document(Vec<u8>),
    /// This status, and nothing else.
    Status(u16),
    /// 302 to this place.
    Redirect(String),
    /// 200 with the length of this and half of its bytes; then the connection is dropped (HTTP/2: the stream is reset).
    Truncated(Vec<u8>),
    /// Nothing, ever. The connection stays open.
    Never,
    /// 200 with that many bytes, which are no document.
    Large(usize),
}

/// An HTTPS server of documents. A path that was not given answers 404.
#[derive(Debug)]
pub struct BundleEndpoint {
    addr: SocketAddr,
    server: Option<TcpServer>,
    tls: Option<TlsServer>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    served: HashMap<String, Served>,
    requests: Vec<(String, Recorded)>,
}

impl BundleEndpoint {
    /// Listens with this identity; without one, in plain text.
    ///
    /// # Panics
    /// When the key cannot be used for TLS here (P-521).
    pub fn start(tls: Option<&Identity>) -> Self {
        let mut endpoint = BundleEndpoint {
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            server: None,
            tls: tls.map(TlsServer::new),
            state: Arc::default(),
        };
        endpoint.start_again();
        endpoint
    }

    /// Listens at this address, which need not be of the loopback, with a chain and a key in PEM.
    ///
    /// # Panics
    /// When they are not such, or do not belong together.
    pub fn start_at(addr: SocketAddr, chain_pem: &[u8], key_pem: &[u8]) -> Self {
        let chain = CertificateDer::pem_slice_iter(chain_pem).collect::<Result<_, _>>();
        let key = PrivateKeyDer::from_pem_slice(key_pem).expect("a key in PEM");
        let mut endpoint = BundleEndpoint {
            addr,
            server: None,
            tls: Some(TlsServer::of(chain.expect("certificates in PEM"), key)),
            state: Arc::default(),
        };
        endpoint.start_again();
        endpoint
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Changes what a path answers.
    pub fn serve(&self, path: &str, served: Served) {
        lock(&self.state).served.insert(path.to_owned(), served);
    }

    /// How many requests to a path have come, answered or not.
    pub fn requests(&self, path: &str) -> usize {
        let state = lock(&self.state);
        state.requests.iter().filter(|(asked, _)| asked == path).count()
    }

    /// How many requests have come in all.
    pub fn requests_total(&self) -> usize {
        lock(&self.state).requests.len()
    }

    /// The last request to a path.
    pub fn last_request(&self, path: &str) -> Option<Recorded> {
        let state = lock(&self.state);
        let last = state.requests.iter().rfind(|(asked, _)| asked == path);
        last.map(|(_, request)| request.clone())
    }

    /// Closes every connection and the port.
    pub fn stop(&mut self) {
        self.server = None;
    }

    /// Listens again on the same port with another identity. Ends what was there.
    ///
    /// # Panics
    /// As [`BundleEndpoint::start`] and [`BundleEndpoint::start_again`] do.
    pub fn start_again_as(&mut self, identity: &Identity) {
        self.tls = Some(TlsServer::new(identity));
        self.start_again();
    }

    /// Listens again on the same port. Ends what was there.
    ///
    /// # Panics
    /// When another has taken the port.
    pub fn start_again(&mut self) {
        self.stop();
        let (state, tls) = (self.state.clone(), self.tls.clone());
        let server = TcpServer::start_at(self.addr, move |stream| connection(stream, tls.clone(), state.clone()));
        self.addr = server.addr();
        self.server = Some(server);
    }
}

/// The SPIFFE bundle of a trust domain as an endpoint serves it, with what says how old it is.
pub fn bundle_document(authorities: &[&Authority], sequence: Option<u64>, refresh_hint: Option<u64>) -> Vec<u8> {
    let mut document = bundle_json(authorities);
    if let Some(sequence) = sequence {
        document["spiffe_sequence"] = json!(sequence);
    }
    if let Some(seconds) = refresh_hint {
        document["spiffe_refresh_hint"] = json!(seconds);
    }
    document.to_string().into_bytes()
}

#[derive(Clone)]
struct TlsServer(TlsAcceptor);

impl std::fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsServer")
    }
}

impl TlsServer {
    fn new(identity: &Identity) -> Self {
        let chain = identity.chain().into_iter().map(CertificateDer::from).collect();
        let key = PrivatePkcs8KeyDer::from(identity.key.pkcs8());
        TlsServer::of(chain, key.into())
    }

    fn of(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Self {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has cipher suites for every version")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap_or_else(|error| panic!("no TLS with this key: {error}"));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsServer(TlsAcceptor::from(Arc::new(config)))
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsServer>, state: Arc<Mutex<State>>) {
    let service = service_fn(move |request| answer(state.clone(), request));
    match tls {
        None => serve_http(stream, service).await,
        Some(TlsServer(acceptor)) => {
            // A handshake that fails is seen by its client.
            if let Ok(stream) = acceptor.accept(stream).await {
                serve_http(stream, service).await;
            }
        }
    }
}

async fn answer(state: Arc<Mutex<State>>, request: hyper::Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
    let path = request.uri().path().to_owned();
    let recorded = Recorded::read(request).await?;
    let served = {
        let mut state = lock(&state);
        let served = state.served.get(&path).cloned();
        state.requests.push((path, recorded));
        served.unwrap_or(Served::Status(404))
    };
    Ok(match served {
        Served::Document(bytes) => document(bytes),
        Served::Status(status) => empty(StatusCode::from_u16(status).expect("a status")),
        Served::Redirect(place) => {
            let mut response = empty(StatusCode::FOUND);
            let place = HeaderValue::try_from(place).expect("a place that HTTP can say");
            response.headers_mut().insert(LOCATION, place);
            response
        }
        Served::Truncated(bytes) => {
            let mut response =
                Response::new(StreamBody::new(cut(bytes[..bytes.len() / 2].to_vec().into())).boxed_unsync());
            response
                .headers_mut()
                .insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
            response
        }
        Served::Never => pending().await,
        Served::Large(length) => large(length),
    })
}

fn document(bytes: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(whole(bytes));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(whole(Vec::new()));
    *response.status_mut() = status;
    response
}

fn whole(bytes: Vec<u8>) -> Body {
    Full::from(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// Never whole in memory.
fn large(length: usize) -> Response<Body> {
    static SPACES: [u8; 65_536] = [b' '; 65_536];
    let sizes = (0..length)
        .step_by(SPACES.len())
        .map(move |sent| SPACES.len().min(length - sent));
    let frames = sizes.map(|size| Ok(Frame::data(Bytes::from_static(&SPACES[..size]))));
    let mut response = Response::new(StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync());
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}
