//! The one place that acts on a connection or stream from outside of it: on the tick, where a permission has ended.
//!
//! ENVOY: (seen on 1.36 to 1.40) what a call into the VM asks for is carried out when that call has ended, one after
//! the other. To write the answer of a stream, Envoy calls the network filter of its connection
//! (`proxy_on_upstream_data`), and at the end of *that* call it goes on with what is left to carry out, within the
//! first write. So everything that one tick asks for nests. Two endings of one connection that nest meet its codec
//! half-way through a frame, and end the process; endings of different connections do not touch each other. Hence the
//! rule, which [`Cuts`] keeps and nothing can pass by: **a call ends at most one thing of a connection**, and few
//! things in all, for each nests one deeper.
//!
//! Everywhere else a filter acts only on what it is being called for; `clippy.toml` names the three calls of the proxy
//! that need a reason.

use std::collections::BTreeSet;

use svidgate_policy::Reason;

use crate::{
    peer::surroundings,
    proxy::{Level, Proxy},
};

/// Most things that one call ends. Our decision: a tenth of the depth that exhausts the VM's stack (seen: 1,000 do, 300
/// do not).
pub const MOST_CUT: usize = 32;

const FORBIDDEN: u32 = 403;
const PERMISSION_DENIED: i32 = 7;

/// How something ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// A stream gets the answer for this reason; one that is in mid-answer is reset.
    Answer(Reason),
    /// A connection is closed.
    Close,
}

/// The connection that something belongs to, by the proxy's number. Whatever has none counts as of one connection.
pub type ConnectionId = Option<u64>;

/// What came of going to a connection or stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is there, and may be ended. Calls of the proxy are about it until the next one is gone to.
    There(ConnectionId),
    /// Something of its connection has been ended in this call: not before the next one.
    NotInThisCall(ConnectionId),
    /// It is no more.
    Gone,
}

/// What one call of a plugin ends.
#[derive(Debug)]
pub struct Cuts<'p, P: Proxy> {
    proxy: &'p P,
    plugin: u32,
    touched: BTreeSet<ConnectionId>,
    count: usize,
    is_away: bool,
}

impl<'p, P: Proxy> Cuts<'p, P> {
    /// Nothing yet. `root` is the context that is called, to which calls of the proxy come back.
    pub fn new(proxy: &'p P, plugin: u32) -> Self {
        Self {
            proxy,
            plugin,
            touched: BTreeSet::new(),
            count: 0,
            is_away: false,
        }
    }

    /// The proxy.
    pub fn proxy(&self) -> &'p P {
        self.proxy
    }

    /// Whether this call has ended as much as it may.
    pub fn is_full(&self) -> bool {
        self.count >= MOST_CUT
    }

    /// Whether something of a connection has been ended in this call.
    pub fn has_touched(&self, connection: ConnectionId) -> bool {
        self.touched.contains(&connection)
    }

    /// Goes to a connection or stream.
    pub fn go_to(&mut self, context: u32) -> Arrival {
        if !go_to(self.proxy, context) {
            return Arrival::Gone;
        }
        self.is_away = true;
        let connection = surroundings::connection_id(self.proxy);
        if self.has_touched(connection) {
            Arrival::NotInThisCall(connection)
        } else {
            Arrival::There(connection)
        }
    }

    /// Ends what was gone to. `connection` is what [`Cuts::go_to`] gave: only [`Arrival::There`] has one that may be
    /// given here; for any other nothing is done, and `false` is said.
    pub fn end(&mut self, connection: ConnectionId, ending: Ending) -> bool {
        if self.is_full() || !self.touched.insert(connection) {
            return false;
        }
        self.count = self.count.saturating_add(1);
        // What the proxy does not carry out has gone before.
        #[expect(clippy::disallowed_methods, reason = "this is the place")]
        let _ = match ending {
            Ending::Answer(reason) => answer(self.proxy, reason),
            Ending::Close => self.proxy.close_connection(),
        };
        true
    }
}

impl<P: Proxy> Drop for Cuts<'_, P> {
    /// Calls of the proxy are about the root again.
    fn drop(&mut self) {
        if self.is_away && !go_to(self.proxy, self.plugin) {
            self.proxy.log(
                Level::Error,
                "svidgate: the proxy does not let a tick go back to its root",
            );
        }
    }
}

/// The peer sees a bare 403, or to gRPC `PERMISSION_DENIED`; the reason is for the proxy's own log.
///
/// # Errors
/// The proxy does not carry it out.
pub fn answer<P: Proxy>(proxy: &P, reason: Reason) -> Result<(), crate::proxy::ProxyError> {
    #[expect(
        clippy::disallowed_methods,
        reason = "by `Cuts`, or to the stream that is being served"
    )]
    proxy.respond(FORBIDDEN, &format!("svidgate_{reason}"), PERMISSION_DENIED)
}

/// Ends streams that we opened, each in the context of the plugin that opened it. On the tick only: a proxy that ends
/// one within a message of it goes on with what it has just freed.
pub(crate) fn cancel_streams<P: Proxy>(proxy: &P, plugin: u32, streams: impl IntoIterator<Item = (u32, u32)>) {
    let cuts = &mut Cuts::new(proxy, plugin);
    for (context, token) in streams {
        if go_to(proxy, context) {
            cuts.is_away = true;
            proxy.cancel_stream(token);
        }
    }
}

fn go_to<P: Proxy>(proxy: &P, context: u32) -> bool {
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    proxy.set_effective_context(context).is_ok()
}
