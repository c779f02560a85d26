//! What speaks gRPC with tonic: a control plane that delivers the module's configuration, and a client and a server of
//! the health service.

mod health;
pub mod xds;

pub use health::{Grpc, GrpcUpstream};
