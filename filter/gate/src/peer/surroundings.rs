//! What else is known of the connection?

use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;

use crate::proxy::{Proxy, ProxyError};

/// The filter state that says since when a connection is known whose peer has no certificate that ends: `wasm.` and
/// this. It is declared to live as long as the connection, so that each of its streams sees what the first has written.
pub const SINCE_STATE: &str = "svidgate.since";

/// Since when this connection is known, in whole seconds; from now on where it was not, or where that is still to come:
/// the clock was set back, or somebody else has written it.
///
/// # Errors
/// It cannot be noted, so the connection would be new for ever.
pub fn since<P: Proxy>(proxy: &P, now: Timestamp) -> Result<Timestamp, ProxyError> {
    let noted = proxy.noted(SINCE_STATE);
    let noted = noted.and_then(|bytes| Timestamp::from_second(std::str::from_utf8(&bytes).ok()?.parse().ok()?).ok());
    match noted.filter(|since| *since <= now) {
        Some(since) => Ok(since),
        None => {
            proxy.note(SINCE_STATE, now.as_second().to_string().as_bytes())?;
            Ok(now)
        }
    }
}

/// The filter state in which the network filter leaves the peer's address for the HTTP filter: `wasm.` and this.
pub const ADDRESS_STATE: &str = "svidgate_peer_address";

/// The peer's address. Only the network filter may ask: to an HTTP filter the proxy gives as the peer's address what
/// the client wrote into `x-forwarded-for`, unless the listener was told not to believe it.
pub fn source_address<P: Proxy>(proxy: &P) -> Option<String> {
    address(proxy.source_address()?)
}

/// Leaves the peer's address for the requests of this connection.
pub fn note_address<P: Proxy>(proxy: &P) {
    if let Some(address) = proxy.source_address() {
        // Without it a condition on the address is met by nobody.
        let _ = proxy.note(ADDRESS_STATE, &address);
    }
}

/// The peer's address as the network filter noted it; `None` where there is none in front of this listener.
pub fn noted_address<P: Proxy>(proxy: &P) -> Option<String> {
    address(proxy.noted(ADDRESS_STATE)?)
}

/// An address is ASCII; anything else is not shown.
fn address(bytes: Vec<u8>) -> Option<String> {
    String::from_utf8(bytes)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()))
}

/// The IP address in `ip:port` or `ip`.
pub fn ip(address: &str) -> Option<IpAddr> {
    address
        .parse::<SocketAddr>()
        .map(|address| address.ip())
        .or_else(|_| address.parse())
        .ok()
}

/// The proxy's number of the connection, `%CONNECTION_ID%` in its access logs.
pub fn connection_id<P: Proxy>(proxy: &P) -> Option<u64> {
    proxy.connection_id()
}

/// Whether a connection is one of HTTP/3, when it is new: any other has no protocol yet.
///
/// ENVOY: (seen on 1.40.0) over QUIC a network filter is called when the connection is new and never with bytes of it.
/// To read the peer's certificate of such a connection then ends the process, so this is asked before anything else.
pub fn is_http3<P: Proxy>(proxy: &P) -> bool {
    proxy.protocol().is_some_and(|protocol| protocol == b"HTTP/3")
}

/// The port that the connection came in on.
pub fn local_port<P: Proxy>(proxy: &P) -> Option<u16> {
    proxy.local_port()
}

/// The server name of the handshake, empty where the client sent none; `None` where it cannot be known.
pub fn sni<P: Proxy>(proxy: &P) -> Option<Vec<u8>> {
    proxy.server_name()
}

/// The name of the route, empty where it has none; `None` where it cannot be known.
pub fn route<P: Proxy>(proxy: &P) -> Option<Vec<u8>> {
    proxy.route()
}
