//! `svidgate.hold`: keeps a new connection until its first bytes, for Envoy 1.36.
//!
//! ENVOY: (seen on 1.36.4) `set_filter_state` writes when a connection comes to it and never again, and before the handshake there is no
//! certificate to write. Envoy shows a connection to one filter after the other, so with this one in front it comes to
//! `set_filter_state` when the first bytes are there, and so after the handshake. Nothing is decided here.

use std::rc::Rc;

use svidgate_policy::Listener;

use crate::{
    connection::{Action, ConnectionFilter},
    host::{Host, Level},
    root::Root,
};

/// Where workers and the proxy's trial of a configuration, each in a VM of its own, learn that there is a hold.
const CONFIGURED: &str = "svidgate.hold";

/// Notes that there is a hold in the VMs of this `vm_id`.
pub fn note<H: Host>(host: &H) {
    if let Err(error) = host.set_shared_data(CONFIGURED, b"1", None) {
        host.log(Level::Error, &format!("svidgate: hold: no shared data: {error}"));
    }
}

/// Whether there is, or once was, a hold in the VMs of this `vm_id`.
pub fn is_configured<H: Host>(host: &H) -> bool {
    host.shared_data(CONFIGURED).is_some()
}

/// Why a listener is not to be held.
pub fn refusal(listener: Listener) -> Option<String> {
    match listener {
        Listener::Http => None,
        // tcp_proxy reads nothing before it has dialled, and dials when the connection comes to it.
        Listener::Tcp | Listener::TcpServerFirst => {
            Some("listener: `svidgate.hold` is for `http` only: tcp_proxy does not bear it".to_owned())
        }
    }
}

/// One downstream connection.
#[derive(Clone, Debug)]
pub struct HoldFilter<H>(Rc<ConnectionFilter<H>>);

impl<H: Host> HoldFilter<H> {
    /// A connection that has just been accepted, the handshake not done.
    pub fn new(root: Rc<Root<H>>, context: u32) -> Self {
        Self(ConnectionFilter::new(root, context))
    }

    /// Before the handshake. A dry run holds too, or it would see no certificates; but not for a limited time.
    pub fn on_new_connection(&self) -> Action {
        // A filter in front, a second hold perhaps, has waited for the first bytes. These go to nobody who pauses now.
        if self.0.is_past_handshake() {
            return Action::Continue;
        }
        self.0.on_new_connection();
        Action::Pause
    }

    /// Bytes of the client, decrypted; none at the end of its stream.
    pub fn on_downstream_data(&self, bytes: usize) -> Action {
        self.0.release(bytes)
    }

    /// The connection is gone.
    pub fn on_close(&self) {
        self.0.on_close();
    }
}
