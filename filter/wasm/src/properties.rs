//! Under which names does Envoy keep each thing? A path has its parts in order, each followed by NUL but the last.

/// SHA-256 of the leaf of the handshake, in hexadecimal digits.
pub(crate) const LEAF_DIGEST: &str = "connection\0sha256_peer_certificate_digest";
/// That leaf, as PEM; from Envoy 1.38 on.
pub(crate) const LEAF: &str = "connection\0peer_certificate";
/// `TLSv1.3`, and so on.
pub(crate) const TLS_VERSION: &str = "connection\0tls_version";
/// The server name of the handshake.
pub(crate) const SERVER_NAME: &str = "connection\0requested_server_name";
/// `%CONNECTION_ID%` of access logs, 8 bytes, the least first.
pub(crate) const CONNECTION_ID: &str = "connection\0id";
/// `address:port`. In an HTTP filter what `x-forwarded-for` says, unless the listener was told not to believe it.
pub(crate) const SOURCE_ADDRESS: &str = "source\0address";
/// 8 bytes, the least first.
pub(crate) const LOCAL_PORT: &str = "destination\0port";
/// `HTTP/1.1`, and so on.
pub(crate) const PROTOCOL: &str = "request\0protocol";
/// The cluster that was chosen.
pub(crate) const CLUSTER: &str = "xds\0cluster_name";
/// The name of the route.
pub(crate) const ROUTE: &str = "xds\0route_name";
/// Before the key of a filter state that is not ours.
pub(crate) const FILTER_STATE: &str = "filter_state\0";
/// Envoy tells its version in its node, also where the bootstrap has no node. 8 bytes, the least first.
pub(crate) const MAJOR_VERSION: &str = "xds\0node\0user_agent_build_version\0version\0major_number";
/// The same.
pub(crate) const MINOR_VERSION: &str = "xds\0node\0user_agent_build_version\0version\0minor_number";
/// `name` of the plugin.
pub(crate) const PLUGIN_NAME: &str = "plugin_name";
/// `root_id` of the plugin.
pub(crate) const ROOT_ID: &str = "plugin_root_id";
/// `vm_id` of its VM.
pub(crate) const VM_ID: &str = "plugin_vm_id";
