//! gRPC on a connection: the health service, which tonic ships complete.

use std::sync::{Mutex, PoisonError};

use hyper_util::rt::TokioIo;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::{Connection, PATIENCE, Refusal, closed, patient};

/// A client of the gRPC health service.
#[derive(Clone, Debug)]
pub struct Grpc(HealthClient<Channel>);

impl Connection {
    /// Speaks gRPC. Connect with [`super::ClientOptions::http2`].
    ///
    /// # Errors
    /// When the connection is closed at once.
    pub async fn grpc(self) -> Result<Grpc, Refusal> {
        let once = Mutex::new(Some(self.stream));
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
}

impl Grpc {
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
