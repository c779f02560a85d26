//! gRPC on a connection: the health service, which tonic ships complete.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use support::client::{Connection, PATIENCE, Refusal, closed, patient};
use support::server::{TcpServer, serve_http};
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// A client of the gRPC health service.
#[derive(Clone, Debug)]
pub struct Grpc(HealthClient<Channel>);

impl Grpc {
    /// Speaks gRPC on a connection. Connect with [`support::client::ClientOptions::http2`].
    ///
    /// # Errors
    /// When the connection is closed at once.
    pub async fn on(connection: Connection) -> Result<Self, Refusal> {
        let once = Mutex::new(Some(connection.into_stream()));
        let connector = tower::service_fn(move |_| {
            let stream = once.lock().unwrap_or_else(PoisonError::into_inner).take();
            async move {
                stream
                    .map(TokioIo::new)
                    .ok_or_else(|| std::io::Error::other("the connection is gone"))
            }
        });
        // The scheme only fills `:scheme`; TLS is the connection's.
        let endpoint = Endpoint::from_static("http://localhost").timeout(PATIENCE);
        let channel = patient(endpoint.connect_with_connector(connector))
            .await?
            .map_err(|error| closed(&error))?;
        Ok(Grpc(HealthClient::new(channel)))
    }

    /// One unary call, `/grpc.health.v1.Health/Check`.
    ///
    /// # Errors
    /// The gRPC status, when it is not OK.
    pub async fn check(&mut self) -> Result<(), Status> {
        self.0.check(everything()).await.map(|_| ())
    }

    /// One streaming call, `/grpc.health.v1.Health/Watch`: the server sends once and keeps the stream open.
    ///
    /// # Errors
    /// The gRPC status, when it is not OK.
    pub async fn watch(&mut self) -> Result<Streaming<HealthCheckResponse>, Status> {
        self.0.watch(everything()).await.map(tonic::Response::into_inner)
    }
}

fn everything() -> HealthCheckRequest {
    HealthCheckRequest { service: String::new() }
}

/// A gRPC upstream: the health service, always serving.
#[derive(Debug)]
pub struct GrpcUpstream(TcpServer);

impl GrpcUpstream {
    /// Starts it.
    pub fn start() -> Self {
        let (_, health) = tonic_health::server::health_reporter();
        GrpcUpstream(TcpServer::start(move |stream| {
            serve_http(stream, TowerToHyperService::new(health.clone()))
        }))
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.0.addr()
    }

    /// How many connections it has accepted.
    pub fn connections(&self) -> usize {
        self.0.connections()
    }
}
