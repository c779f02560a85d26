//! What stands behind the network filter, as far as the proxy shows it.
//!
//! ENVOY: (seen on 1.36.4, 1.37.0, 1.38.2, 1.39.3 and 1.40.0) the connection has a cluster once `tcp_proxy` has chosen
//! one, and a protocol once the HTTP connection manager has bytes; never both, whatever the handshake agreed on. A peer
//! can forge neither. Where `tcp_proxy` dials with the first bytes, both are silent until these have been passed.

use crate::proxy::Proxy;

/// What reads the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// The HTTP connection manager. Whether our HTTP filter is in it this does not tell.
    Http,
    /// `tcp_proxy`, which knows no requests.
    Tcp,
}

impl Behind {
    /// Looks at the connection being served. `None` where nothing shows it yet.
    pub fn look<P: Proxy>(proxy: &P) -> Option<Self> {
        let is_said = |value: Option<Vec<u8>>| value.is_some_and(|value| !value.is_empty());
        if is_said(proxy.protocol()) {
            Some(Self::Http)
        } else if is_said(proxy.cluster()) {
            Some(Self::Tcp)
        } else {
            None
        }
    }
}
