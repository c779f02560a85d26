//! Listeners: TLS, the network filters, and what stands behind them.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::scenario::{ephemeral, socket_address};
use super::wasm::{Place, Wasm};
use crate::ca::Identity;

/// A listener on a loopback port that the system chooses.
#[derive(Clone, Debug)]
pub struct Listener {
    /// What tests call it by; also its `stat_prefix`.
    pub name: String,
    /// `None`: plain text.
    pub tls: Option<Tls>,
    /// How the peer certificate is kept under [`CERTIFICATE_KEY`].
    pub keeps_certificate: Keeping,
    /// The module as a network filter.
    pub wasm: Option<Wasm>,
    /// What stands behind the network filters.
    pub kind: Kind,
    /// Members of the listener that have no field here, as Envoy's configuration has them.
    pub also: Map<String, Value>,
}

/// How `set_filter_state` keeps the peer certificate, for an Envoy that does not show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// Not at all.
    No,
    /// When the handshake is done (Envoy 1.37 and later).
    OnTlsHandshake,
    /// When the connection comes to it, behind the module as `svidgate.hold`.
    BehindHold,
    /// As an HTTP filter, at every request.
    AtRequest,
}

/// The filter state in which [`Listener::keeps_certificate`] keeps the peer certificate.
pub const CERTIFICATE_KEY: &str = "svidgate.peer_certificate";

/// TLS of a listener.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The listener's own certificate.
    pub server: Identity,
    /// What is asked of the client's.
    pub client: ClientCertificate,
}

/// What Envoy asks of a client's certificate.
#[derive(Clone, Debug)]
pub enum ClientCertificate {
    /// It is not asked for.
    NotAsked,
    /// `require_client_certificate` with `ACCEPT_UNTRUSTED`: nothing is verified.
    AcceptUntrusted,
    /// The same of those who show one, and whoever shows none is served, too.
    Optional,
    /// Envoy's SPIFFE validator: trust domains and their authorities, PEM.
    Spiffe(Vec<(String, String)>),
    /// One pool of authorities, PEM.
    TrustedCa(String),
    /// svidgate's native validator, with this as its configuration: nothing is verified, and what came with a leaf is left for
    /// the filters.
    HandedOn(&'static str),
}

/// What stands behind the network filters.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Kind {
    Http(Http),
    Tcp(Tcp),
}

/// An HTTP connection manager.
#[derive(Clone, Debug, Default)]
pub struct Http {
    /// First match wins.
    pub routes: Vec<Route>,
    /// The module as an HTTP filter, the last before the router.
    pub wasm: Option<Wasm>,
    /// What becomes of `x-forwarded-client-cert`.
    pub xfcc: Xfcc,
    /// Filters before the module, as Envoy's configuration has them.
    pub filters_before: Vec<Value>,
    /// Filters between the module and the router, as Envoy's configuration has them.
    pub filters_after: Vec<Value>,
}

/// What an HTTP connection manager does with `x-forwarded-client-cert`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Xfcc {
    /// `SANITIZE`, Envoy's default: removes it.
    #[default]
    Sanitize,
    /// `SANITIZE_SET`: replaces it with certificate, chain and names of this connection's peer.
    SanitizeSet,
    /// `FORWARD_ONLY`: leaves what a client says that has shown a certificate.
    ForwardOnly,
    /// `ALWAYS_FORWARD_ONLY`: leaves the client's own.
    AlwaysForwardOnly,
    /// `APPEND_FORWARD`: adds this connection's peer to the client's own.
    AppendForward,
}

/// A route.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its name, as rules select it.
    pub name: String,
    /// The path prefix that it matches.
    pub prefix: String,
    /// What it leads to.
    pub action: Action,
    /// Whether the module is switched off on it.
    pub opted_out: bool,
}

/// What a route leads to.
#[derive(Clone, Debug)]
pub enum Action {
    /// A cluster, with no time limit.
    Cluster(String),
    /// A response of Envoy's own.
    Direct(u16, String),
}

impl Route {
    /// A route to a cluster.
    pub fn to(name: &str, prefix: &str, cluster: &str) -> Self {
        let action = Action::Cluster(cluster.to_owned());
        Route {
            name: name.to_owned(),
            prefix: prefix.to_owned(),
            action,
            opted_out: false,
        }
    }

    /// A route that Envoy answers itself.
    pub fn direct(name: &str, prefix: &str, status: u16, body: &str) -> Self {
        let action = Action::Direct(status, body.to_owned());
        Route {
            name: name.to_owned(),
            prefix: prefix.to_owned(),
            action,
            opted_out: false,
        }
    }

    fn json(&self) -> Value {
        let mut route = json!({ "name": self.name, "match": { "prefix": self.prefix } });
        match &self.action {
            Action::Cluster(cluster) => route["route"] = json!({ "cluster": cluster, "timeout": "0s" }),
            Action::Direct(status, body) => {
                route["direct_response"] = json!({ "status": status, "body": { "inline_string": body } });
            }
        }
        if self.opted_out {
            route["typed_per_filter_config"] = json!({
                Place::Http.filter_name(): {
                    "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig",
                    "disabled": true,
                },
            });
        }
        route
    }
}

/// A TCP proxy to one cluster.
#[derive(Clone, Debug)]
pub struct Tcp {
    /// Where to.
    pub cluster: String,
    /// When it is dialled.
    pub dial: Dial,
}

/// When a TCP proxy dials its cluster. All but the first need Envoy 1.37.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dial {
    /// When the connection is accepted, before the handshake.
    Immediately,
    /// With the first bytes of the client.
    OnDownstreamData,
    /// After the handshake.
    OnTlsHandshake,
}

/// What a TCP proxy keeps of the client's bytes until its cluster answers.
const MAX_EARLY_DATA_BYTES: u32 = 65_536;

impl Listener {
    /// An HTTP listener without TLS and without the module.
    pub fn http(name: &str, routes: impl IntoIterator<Item = Route>) -> Self {
        let http = Http {
            routes: routes.into_iter().collect(),
            ..Http::default()
        };
        Listener {
            name: name.to_owned(),
            tls: None,
            keeps_certificate: Keeping::No,
            wasm: None,
            kind: Kind::Http(http),
            also: Map::new(),
        }
    }

    /// A TCP listener without TLS and without the module.
    pub fn tcp(name: &str, cluster: &str, dial: Dial) -> Self {
        let kind = Kind::Tcp(Tcp {
            cluster: cluster.to_owned(),
            dial,
        });
        Listener {
            name: name.to_owned(),
            tls: None,
            keeps_certificate: Keeping::No,
            wasm: None,
            kind,
            also: Map::new(),
        }
    }

    /// With TLS.
    pub fn tls(mut self, server: &Identity, client: ClientCertificate) -> Self {
        self.tls = Some(Tls {
            server: server.clone(),
            client,
        });
        self
    }

    /// With the module as a network filter.
    pub fn connection_filter(mut self, wasm: Wasm) -> Self {
        self.wasm = Some(wasm);
        self
    }

    /// With the module as an HTTP filter.
    ///
    /// # Panics
    /// On a TCP listener.
    pub fn request_filter(mut self, wasm: Wasm) -> Self {
        self.http_mut().wasm = Some(wasm);
        self
    }

    /// With another treatment of `x-forwarded-client-cert`.
    ///
    /// # Panics
    /// On a TCP listener.
    pub fn xfcc(mut self, xfcc: Xfcc) -> Self {
        self.http_mut().xfcc = xfcc;
        self
    }

    /// With the peer certificate kept in filter state.
    pub fn keeping_certificate(mut self, how: Keeping) -> Self {
        self.keeps_certificate = how;
        self
    }

    fn http_mut(&mut self) -> &mut Http {
        match &mut self.kind {
            Kind::Http(http) => http,
            Kind::Tcp(_) => panic!("`{}` is a TCP listener", self.name),
        }
    }

    /// The plugins that it holds.
    pub(super) fn plugins(&self) -> impl Iterator<Item = (Place, &Wasm)> {
        let request = match &self.kind {
            Kind::Http(http) => http.wasm.as_ref(),
            Kind::Tcp(_) => None,
        };
        let connection = self.wasm.as_ref().map(|wasm| (Place::Network, wasm));
        connection.into_iter().chain(request.map(|wasm| (Place::Http, wasm)))
    }

    pub(super) fn json(&self, home: &Path) -> Value {
        let mut filters = Vec::new();
        match self.keeps_certificate {
            Keeping::No | Keeping::AtRequest => {}
            Keeping::OnTlsHandshake => filters.push(set_filter_state("on_downstream_tls_handshake")),
            Keeping::BehindHold => {
                filters.extend(
                    self.wasm
                        .as_ref()
                        .map(|wasm| wasm.held().filter(Place::Hold, &self.name, home)),
                );
                filters.push(set_filter_state("on_new_connection"));
            }
        }
        filters.extend(
            self.wasm
                .as_ref()
                .map(|wasm| wasm.filter(Place::Network, &self.name, home)),
        );
        filters.push(match &self.kind {
            Kind::Http(http) => http.json(&self.name, self.keeps_certificate, home),
            Kind::Tcp(tcp) => tcp.json(&self.name),
        });
        let mut chain = json!({ "name": self.name, "filters": filters });
        if let Some(tls) = &self.tls {
            chain["transport_socket"] = tls.json(matches!(self.kind, Kind::Http(_)));
        }
        let mut listener = json!({
            "name": self.name,
            "stat_prefix": self.name,
            "address": socket_address(ephemeral()),
            "filter_chains": [chain],
            "access_log": [access_log(&connection_log_path(home, &self.name))],
        });
        if let Some(members) = listener.as_object_mut() {
            members.extend(self.also.clone());
        }
        listener
    }
}

impl Tls {
    fn json(&self, http: bool) -> Value {
        let mut context = json!({
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "tls_certificates": [{
                    "certificate_chain": { "inline_string": self.server.chain_pem() },
                    "private_key": { "inline_string": self.server.key_pem() },
                }],
            },
        });
        if http {
            context["common_tls_context"]["alpn_protocols"] = json!(["h2", "http/1.1"]);
        }
        if let Some(validation) = self.client.validation() {
            context["require_client_certificate"] = json!(!matches!(self.client, ClientCertificate::Optional));
            context["common_tls_context"]["validation_context"] = validation;
        }
        json!({ "name": "envoy.transport_sockets.tls", "typed_config": context })
    }
}

impl ClientCertificate {
    fn validation(&self) -> Option<Value> {
        match self {
            ClientCertificate::NotAsked => None,
            ClientCertificate::AcceptUntrusted | ClientCertificate::Optional => {
                Some(json!({ "trust_chain_verification": "ACCEPT_UNTRUSTED" }))
            }
            ClientCertificate::TrustedCa(pem) => Some(json!({ "trusted_ca": { "inline_string": pem } })),
            ClientCertificate::HandedOn(configuration) => {
                Some(json!({ "custom_validator_config": native_validator(configuration) }))
            }
            ClientCertificate::Spiffe(trust_domains) => {
                Some(json!({ "custom_validator_config": spiffe_validator(trust_domains) }))
            }
        }
    }
}

fn native_validator(configuration: &str) -> Value {
    let validator =
        "envoy.extensions.transport_sockets.tls.cert_validator.dynamic_modules.v3.DynamicModuleCertValidatorConfig";
    json!({
        "name": "envoy.tls.cert_validator.dynamic_modules",
        "typed_config": {
            "@type": format!("type.googleapis.com/{validator}"),
            "dynamic_module_config": { "name": "svidgate_native", "do_not_close": true },
            "validator_name": "svidgate",
            "validator_config": {
                "@type": "type.googleapis.com/google.protobuf.StringValue",
                "value": configuration,
            },
        },
    })
}

/// Envoy's SPIFFE validator with these trust domains and their authorities, PEM.
pub(super) fn spiffe_validator(trust_domains: &[(String, String)]) -> Value {
    let trust_domains: Vec<Value> = trust_domains
        .iter()
        .map(|(name, pem)| json!({ "name": name, "trust_bundle": { "inline_string": pem } }))
        .collect();
    let validator = "envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig";
    json!({
        "name": "envoy.tls.cert_validator.spiffe",
        "typed_config": {
            "@type": format!("type.googleapis.com/{validator}"),
            "trust_domains": trust_domains,
        },
    })
}

impl Http {
    fn json(&self, name: &str, keeping: Keeping, home: &Path) -> Value {
        let routes: Vec<Value> = self.routes.iter().map(Route::json).collect();
        let wasm = self.wasm.as_ref().map(|wasm| wasm.filter(Place::Http, name, home));
        let router = json!({
            "name": "envoy.filters.http.router",
            "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
        });
        let filters: Vec<Value> = self
            .filters_before
            .iter()
            .cloned()
            .chain((keeping == Keeping::AtRequest).then(set_filter_state_at_request))
            .chain(wasm)
            .chain(self.filters_after.iter().cloned())
            .chain([router])
            .collect();
        let manager =
            "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
        let mut config = json!({
            "@type": manager,
            "stat_prefix": name,
            "route_config": {
                "name": name,
                "virtual_hosts": [{ "name": name, "domains": ["*"], "routes": routes }],
            },
            "http_filters": filters,
            "access_log": [access_log(&request_log_path(home, name))],
        });
        if let Some(mode) = self.xfcc.mode() {
            config["forward_client_cert_details"] = json!(mode);
            config["set_current_client_cert_details"] =
                json!({ "cert": true, "chain": true, "subject": true, "uri": true, "dns": true });
        }
        json!({ "name": "envoy.filters.network.http_connection_manager", "typed_config": config })
    }
}

impl Xfcc {
    fn mode(self) -> Option<&'static str> {
        match self {
            Xfcc::Sanitize => None,
            Xfcc::SanitizeSet => Some("SANITIZE_SET"),
            Xfcc::ForwardOnly => Some("FORWARD_ONLY"),
            Xfcc::AlwaysForwardOnly => Some("ALWAYS_FORWARD_ONLY"),
            Xfcc::AppendForward => Some("APPEND_FORWARD"),
        }
    }
}

impl Tcp {
    fn json(&self, name: &str) -> Value {
        let mut config = json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": name,
            "cluster": self.cluster,
        });
        let mode = match self.dial {
            Dial::Immediately => None,
            Dial::OnDownstreamData => Some("ON_DOWNSTREAM_DATA"),
            Dial::OnTlsHandshake => Some("ON_DOWNSTREAM_TLS_HANDSHAKE"),
        };
        if let Some(mode) = mode {
            config["upstream_connect_mode"] = json!(mode);
            config["max_early_data_bytes"] = json!(MAX_EARLY_DATA_BYTES);
        }
        json!({ "name": "envoy.filters.network.tcp_proxy", "typed_config": config })
    }
}

fn set_filter_state(when: &str) -> Value {
    json!({
        "name": "envoy.filters.network.set_filter_state",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.set_filter_state.v3.Config",
            when: [peer_certificate()],
        },
    })
}

fn set_filter_state_at_request() -> Value {
    json!({
        "name": "envoy.filters.http.set_filter_state",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config",
            "on_request_headers": [peer_certificate()],
        },
    })
}

fn peer_certificate() -> Value {
    json!({
        "object_key": CERTIFICATE_KEY,
        "factory_key": "envoy.string",
        "format_string": { "text_format_source": { "inline_string": "%DOWNSTREAM_PEER_CERT%" } },
    })
}

/// One JSON object a line.
fn access_log(path: &Path) -> Value {
    json!({
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": path,
            "log_format": { "json_format": {
                "status": "%RESPONSE_CODE%",
                "flags": "%RESPONSE_FLAGS%",
                "details": "%RESPONSE_CODE_DETAILS%",
                "termination": "%CONNECTION_TERMINATION_DETAILS%",
                "tls_failure": "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%",
                "method": "%REQ(:METHOD)%",
                "path": "%REQ(:PATH)%",
                "route": "%ROUTE_NAME%",
                "svidgate": "%FILTER_STATE(wasm.svidgate:PLAIN)%",
                "connection_id": "%CONNECTION_ID%",
                "bytes_received": "%BYTES_RECEIVED%",
                "bytes_sent": "%BYTES_SENT%",
                "upstream": "%UPSTREAM_HOST%",
                "peer_uri_san": "%DOWNSTREAM_PEER_URI_SAN%",
            } },
        },
    })
}

pub(super) fn request_log_path(home: &Path, listener: &str) -> PathBuf {
    home.join(format!("{listener}.requests.log"))
}

pub(super) fn connection_log_path(home: &Path, listener: &str) -> PathBuf {
    home.join(format!("{listener}.connections.log"))
}
