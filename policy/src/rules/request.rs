//! What is asked for?

use std::net::IpAddr;

use crate::rules::header::Headers;

/// What is asked for: a request, or (without `http`) a connection.
#[derive(Clone, Copy, Default)]
pub struct Request<'a> {
    /// The HTTP part; none on a TCP listener.
    pub http: Option<HttpRequest<'a>>,
    /// The name of the route that the proxy chose; where it has none, empty.
    pub route: Option<&'a [u8]>,
    /// The local port.
    pub port: Option<u16>,
    /// The server name of the TLS handshake. Where the client sent none it is unknown, as is one that is no host name.
    pub sni: Option<&'a [u8]>,
    /// The peer's address.
    pub source_ip: Option<IpAddr>,
}

/// The HTTP part of a request, in the bytes that came.
#[derive(Clone, Copy)]
pub struct HttpRequest<'a> {
    /// `:method`.
    pub method: &'a [u8],
    /// `:authority`.
    pub authority: &'a [u8],
    /// `:path`, which only a plain CONNECT has not. Which protocol is asked for stands among the headers.
    pub path: Option<&'a [u8]>,
    /// All headers.
    pub headers: &'a dyn Headers,
}
