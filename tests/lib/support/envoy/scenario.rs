//! What an Envoy is to do: listeners, clusters, and how they become a bootstrap document.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::listener::{Listener, spiffe_validator};
use crate::ca::Identity;

/// The cluster that [`super::Delivery::Ads`] gets its configuration from.
pub const CONTROL_PLANE: &str = "control_plane";

/// The whole of one Envoy. Start from [`Scenario::default`] and add.
#[derive(Debug)]
pub struct Scenario {
    /// Each with a name of its own.
    pub listeners: Vec<Listener>,
    /// What routes and TCP listeners lead to, and what the filter calls.
    pub clusters: Vec<Cluster>,
    /// How many workers.
    pub concurrency: u32,
    /// The level of Envoy's log.
    pub log_level: String,
    /// The level of the log of wasm plugins.
    pub wasm_log_level: String,
    /// A whole configuration as people write it, in YAML, in place of listeners and clusters. `${HOME}` is where the
    /// access logs go.
    pub text: Option<String>,
    /// Whether the listeners come from a file that Envoy watches, so that [`super::Envoy::replace_listeners`] can
    /// change them (LDS). [`Scenario::amend`] does not see them then.
    pub lds: bool,
    /// How long what is replaced may go on. `None`: Envoy's default, ten minutes.
    pub drain_time: Option<Duration>,
    /// The last word on the bootstrap document, for what has no field here.
    pub amend: Option<fn(&mut Value)>,
}

impl Default for Scenario {
    fn default() -> Self {
        Scenario {
            listeners: Vec::new(),
            clusters: Vec::new(),
            concurrency: 1,
            log_level: "info".to_owned(),
            wasm_log_level: "debug".to_owned(),
            text: None,
            lds: false,
            drain_time: None,
            amend: None,
        }
    }
}

/// A named set of endpoints, here of one.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub endpoint: Endpoint,
    /// Whether to speak HTTP/2 (gRPC needs it).
    pub http2: bool,
    /// A transport socket, as Envoy's configuration has it. `None`: plain text.
    pub transport_socket: Option<Value>,
}

/// Where a cluster is.
#[derive(Clone, Debug)]
pub enum Endpoint {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(String),
}

impl Cluster {
    /// A plain-text cluster at a TCP address.
    pub fn new(name: &str, addr: SocketAddr) -> Self {
        Cluster {
            name: name.to_owned(),
            endpoint: Endpoint::Tcp(addr),
            http2: false,
            transport_socket: None,
        }
    }

    /// The same, speaking HTTP/2.
    pub fn http2(name: &str, addr: SocketAddr) -> Self {
        Cluster {
            http2: true,
            ..Cluster::new(name, addr)
        }
    }

    /// A plain-text HTTP/2 cluster at a unix socket.
    pub fn unix(name: &str, path: &Path) -> Self {
        let endpoint = Endpoint::Unix(path.display().to_string());
        Cluster {
            name: name.to_owned(),
            endpoint,
            http2: true,
            transport_socket: None,
        }
    }

    /// A bundle endpoint of the profile `https_web`: a certificate for the DNS name `server_name`, which is also asked
    /// for (SNI), from this authority.
    pub fn bundle_endpoint_web(name: &str, addr: SocketAddr, ca_pem: &str, server_name: &str) -> Self {
        let validation = json!({
            "trusted_ca": { "inline_string": ca_pem },
            "match_typed_subject_alt_names": [{ "san_type": "DNS", "matcher": { "exact": server_name } }],
        });
        let mut socket = upstream_tls(validation);
        socket["typed_config"]["sni"] = json!(server_name);
        Cluster {
            transport_socket: Some(socket),
            ..Cluster::new(name, addr)
        }
    }

    /// A bundle endpoint of the profile `https_spiffe`: an X.509-SVID of `trust_domain` with exactly this id. The
    /// bundle is that of the trust domain, PEM.
    pub fn bundle_endpoint_spiffe(
        name: &str,
        addr: SocketAddr,
        trust_domain: &str,
        bundle_pem: &str,
        endpoint_id: &str,
    ) -> Self {
        let validation = json!({
            "custom_validator_config": spiffe_validator(&[(trust_domain.to_owned(), bundle_pem.to_owned())]),
            "match_typed_subject_alt_names": [{ "san_type": "URI", "matcher": { "exact": endpoint_id } }],
        });
        Cluster {
            transport_socket: Some(upstream_tls(validation)),
            ..Cluster::new(name, addr)
        }
    }

    /// A server that is asked with this identity, whoever the server is.
    pub fn mutual_tls(name: &str, addr: SocketAddr, identity: &Identity) -> Self {
        let mut socket = upstream_tls(json!({}));
        socket["typed_config"]["common_tls_context"] = json!({
            "tls_certificates": [{
                "certificate_chain": { "inline_string": identity.chain_pem() },
                "private_key": { "inline_string": identity.key_pem() },
            }],
        });
        Cluster {
            transport_socket: Some(socket),
            ..Cluster::new(name, addr)
        }
    }

    fn json(&self) -> Value {
        let address = match &self.endpoint {
            Endpoint::Tcp(addr) => socket_address(*addr),
            Endpoint::Unix(path) => json!({ "pipe": { "path": path } }),
        };
        let endpoints = json!([{ "lb_endpoints": [{ "endpoint": { "address": address } }] }]);
        let mut cluster = json!({
            "name": self.name,
            "type": "STATIC",
            "connect_timeout": "5s",
            "load_assignment": { "cluster_name": self.name, "endpoints": endpoints },
        });
        if self.http2 {
            cluster["typed_extension_protocol_options"] = json!({
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": { "http2_protocol_options": {} },
                },
            });
        }
        if let Some(socket) = &self.transport_socket {
            cluster["transport_socket"] = socket.clone();
        }
        cluster
    }
}

impl Scenario {
    /// One listener and its clusters.
    pub fn of(listener: Listener, clusters: impl IntoIterator<Item = Cluster>) -> Self {
        Scenario {
            listeners: vec![listener],
            clusters: clusters.into_iter().collect(),
            ..Scenario::default()
        }
    }

    /// The bootstrap document of an Envoy that keeps its files in `home`.
    pub fn bootstrap(&self, home: &Path) -> Value {
        let listeners: Vec<Value> = self.listeners.iter().map(|listener| listener.json(home)).collect();
        let clusters: Vec<Value> = self.clusters.iter().map(Cluster::json).collect();
        let mut bootstrap = json!({
            "node": { "id": "svidgate-test", "cluster": "svidgate-test" },
            "admin": { "address": socket_address(ephemeral()) },
            "static_resources": { "clusters": clusters },
        });
        if self.lds {
            bootstrap["dynamic_resources"] = json!({ "lds_config": {
                "resource_api_version": "V3",
                "path_config_source": { "path": lds_path(home) },
            } });
        } else {
            bootstrap["static_resources"]["listeners"] = json!(listeners);
        }
        if self.clusters.iter().any(|cluster| cluster.name == CONTROL_PLANE) {
            bootstrap["dynamic_resources"]["ads_config"] = json!({
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{ "envoy_grpc": { "cluster_name": CONTROL_PLANE } }],
            });
        }
        if let Some(amend) = self.amend {
            amend(&mut bootstrap);
        }
        bootstrap
    }
}

/// The file that Envoy watches for its listeners.
pub(super) fn lds_path(home: &Path) -> PathBuf {
    home.join("listeners.json")
}

/// What Envoy reads there.
pub(super) fn lds_response(listeners: &[Listener], home: &Path, version: u64) -> Value {
    let resources: Vec<Value> = listeners
        .iter()
        .map(|listener| {
            let mut resource = listener.json(home);
            resource["@type"] = json!("type.googleapis.com/envoy.config.listener.v3.Listener");
            resource
        })
        .collect();
    json!({ "version_info": version.to_string(), "resources": resources })
}

fn upstream_tls(validation_context: Value) -> Value {
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "common_tls_context": { "validation_context": validation_context },
        },
    })
}

pub(super) fn ephemeral() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub(super) fn socket_address(addr: SocketAddr) -> Value {
    json!({ "socket_address": { "address": addr.ip().to_string(), "port_value": addr.port() } })
}
