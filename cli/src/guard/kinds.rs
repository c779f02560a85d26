//! What do Envoy's own filters do with what comes in?
//!
//! By the name of their type. What is not here is not known, and nothing is assumed of it.

/// What a filter that is none of ours does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conduct {
    /// Lets pass or refuses, and says nothing of its own but a refusal.
    Passes,
    /// Answers some things by itself, and says which.
    Answers(&'static str),
    /// Nobody here knows.
    Unknown,
}

pub(crate) const NETWORK_WASM: &str = "envoy.extensions.filters.network.wasm.v3.Wasm";
pub(crate) const HTTP_WASM: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";
pub(crate) const NETWORK_RBAC: &str = "envoy.extensions.filters.network.rbac.v3.RBAC";
pub(crate) const HTTP_RBAC: &str = "envoy.extensions.filters.http.rbac.v3.RBAC";
pub(crate) const HTTP_RBAC_PER_ROUTE: &str = "envoy.extensions.filters.http.rbac.v3.RBACPerRoute";
pub(crate) const CONNECTION_MANAGER: &str =
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
pub(crate) const TCP_PROXY: &str = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
pub(crate) const ROUTER: &str = "envoy.extensions.filters.http.router.v3.Router";
pub(crate) const WITH_MATCHER: &str = "envoy.extensions.common.matching.v3.ExtensionWithMatcher";
pub(crate) const COMPOSITE: &str = "envoy.extensions.filters.http.composite.v3.Composite";
pub(crate) const FILTER_CONFIG: &str = "envoy.config.route.v3.FilterConfig";
pub(crate) const NETWORK_SET_FILTER_STATE: &str = "envoy.extensions.filters.network.set_filter_state.v3.Config";
pub(crate) const HTTP_SET_FILTER_STATE: &str = "envoy.extensions.filters.http.set_filter_state.v3.Config";
pub(crate) const ON_DEMAND: &str = "envoy.extensions.filters.http.on_demand.v3.OnDemand";
/// The beginnings of the types by which Envoy loads native modules.
pub(crate) const DYNAMIC_MODULES: [&str; 2] = [
    "envoy.extensions.filters.network.dynamic_modules.",
    "envoy.extensions.filters.http.dynamic_modules.",
];
pub(crate) const DOWNSTREAM_TLS: &str = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
pub(crate) const RAW_BUFFER: &str = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer";
pub(crate) const QUIC: &str = "envoy.extensions.transport_sockets.quic.v3.QuicDownstreamTransport";
/// Of a native module.
pub(crate) const NATIVE_VALIDATOR: &str =
    "envoy.extensions.transport_sockets.tls.cert_validator.dynamic_modules.v3.DynamicModuleCertValidatorConfig";
pub(crate) const SPIFFE_VALIDATOR: &str = "envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig";

const NETWORK_PASSES: [&str; 12] = [
    NETWORK_RBAC,
    NETWORK_SET_FILTER_STATE,
    "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit",
    "envoy.extensions.filters.network.ext_authz.v3.ExtAuthz",
    "envoy.extensions.filters.network.geoip.v3.Geoip",
    "envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit",
    "envoy.extensions.filters.network.ratelimit.v3.RateLimit",
    "envoy.extensions.filters.network.sni_cluster.v3.SniCluster",
    "envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig",
    "envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3alpha.FilterConfig",
    "stats.PluginConfig",
    "istio.stats.PluginConfig",
];

const HTTP_PASSES: [&str; 42] = [
    HTTP_RBAC,
    HTTP_SET_FILTER_STATE,
    "envoy.extensions.filters.http.adaptive_concurrency.v3.AdaptiveConcurrency",
    "envoy.extensions.filters.http.admission_control.v3.AdmissionControl",
    "envoy.extensions.filters.http.alternate_protocols_cache.v3.FilterConfig",
    "envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth",
    "envoy.extensions.filters.http.bandwidth_limit.v3.BandwidthLimit",
    "envoy.extensions.filters.http.basic_auth.v3.BasicAuth",
    "envoy.extensions.filters.http.buffer.v3.Buffer",
    "envoy.extensions.filters.http.cdn_loop.v3.CdnLoopConfig",
    "envoy.extensions.filters.http.compressor.v3.Compressor",
    "envoy.extensions.filters.http.connect_grpc_bridge.v3.FilterConfig",
    "envoy.extensions.filters.http.credential_injector.v3.CredentialInjector",
    "envoy.extensions.filters.http.csrf.v3.CsrfPolicy",
    "envoy.extensions.filters.http.decompressor.v3.Decompressor",
    "envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig",
    "envoy.extensions.filters.http.fault.v3.HTTPFault",
    "envoy.extensions.filters.http.gcp_authn.v3.GcpAuthnFilterConfig",
    "envoy.extensions.filters.http.geoip.v3.Geoip",
    "envoy.extensions.filters.http.grpc_field_extraction.v3.GrpcFieldExtractionConfig",
    "envoy.extensions.filters.http.grpc_http1_bridge.v3.Config",
    "envoy.extensions.filters.http.grpc_http1_reverse_bridge.v3.FilterConfig",
    "envoy.extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
    "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",
    "envoy.extensions.filters.http.grpc_web.v3.GrpcWeb",
    "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
    "envoy.extensions.filters.http.header_to_metadata.v3.Config",
    "envoy.extensions.filters.http.ip_tagging.v3.IPTagging",
    "envoy.extensions.filters.http.json_to_metadata.v3.JsonToMetadata",
    "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
    "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
    "envoy.extensions.filters.http.original_src.v3.OriginalSrc",
    "envoy.extensions.filters.http.rate_limit_quota.v3.RateLimitQuotaFilterConfig",
    "envoy.extensions.filters.http.ratelimit.v3.RateLimit",
    "envoy.extensions.filters.http.set_metadata.v3.Config",
    "envoy.extensions.filters.http.stateful_session.v3.StatefulSession",
    "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig",
    "istio.envoy.config.filter.http.authn.v2alpha1.FilterConfig",
    "io.istio.http.peer_metadata.Config",
    "stats.PluginConfig",
    "istio.stats.PluginConfig",
    "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec",
];

/// Filters of the connection, by their type.
pub(crate) fn network(kind: &str) -> Conduct {
    if NETWORK_PASSES.contains(&kind) {
        return Conduct::Passes;
    }
    match kind {
        "envoy.tcp.metadataexchange.config.MetadataExchange" => {
            Conduct::Answers("tells its workload's metadata to whoever asks by the ALPN `istio-peer-exchange`")
        }
        _ => Conduct::Unknown,
    }
}

/// Filters of the request, by their type.
pub(crate) fn http(kind: &str) -> Conduct {
    if HTTP_PASSES.contains(&kind) {
        return Conduct::Passes;
    }
    match kind {
        "envoy.extensions.filters.http.cors.v3.Cors" => Conduct::Answers("answers CORS preflights"),
        "envoy.extensions.filters.http.health_check.v3.HealthCheck" => Conduct::Answers("may answer health checks"),
        "envoy.extensions.filters.http.oauth2.v3.OAuth2" => Conduct::Answers("redirects to a login and takes it back"),
        "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz" => {
            Conduct::Answers("answers with what its server says where that refuses")
        }
        _ => Conduct::Unknown,
    }
}
