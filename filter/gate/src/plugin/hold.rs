//! `svidgate.hold`: keeps a new connection until its first bytes, for Envoy 1.36.
//!
//! ENVOY: (seen on 1.36.4) `set_filter_state` writes when a connection comes to it and never again, and before the
//! handshake there is no certificate to write. Envoy shows a connection to one filter after the other, so with this one
//! in front it comes to `set_filter_state` when the first bytes are there, and so after the handshake. Nothing is
//! decided here.

use std::rc::Rc;

use crate::{
    plugin::{action::Action, connection::ConnectionFilter, plugin::Plugin},
    proxy::Proxy,
};

/// One downstream connection.
#[derive(Clone, Debug)]
pub struct HoldFilter<P>(Rc<ConnectionFilter<P>>);

impl<P: Proxy> HoldFilter<P> {
    /// A connection that has just been accepted, the handshake not done.
    pub fn new(plugin: Rc<Plugin<P>>, context: u32) -> Self {
        Self(ConnectionFilter::new(plugin, context))
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
