//! The entry points of the module: what the proxy calls, and which plugin, connection or stream it is for.
//!
//! They are ours and not the SDK's, which exports every callback that there is: the proxy calls each one that a module
//! has, for every request, whether anything is done in it or not. One that is not here costs nothing.

#![expect(
    unsafe_code,
    reason = "the proxy finds exports by their names; where more is asked for, it says why it is sound"
)]

use std::{
    alloc::{Layout, alloc},
    cell::RefCell,
    collections::HashMap,
    hash::BuildHasherDefault,
    panic,
    ptr::null_mut,
    rc::Rc,
};

use fnv::FnvHasher;
use svidgate_gate::{
    plugin::{action::Action, connection::ConnectionFilter, hold::HoldFilter, plugin::Plugin, request::RequestFilter},
    proxy::{Level, Telemetry as _},
    stage::Stage,
    worker::worker::Worker,
};
use svidgate_policy::Listener;

use crate::abi::{self, Envoy};

/// What the proxy knows by a number.
#[derive(Clone)]
enum Context {
    Plugin(Rc<Plugin<Envoy>>, Part),
    Held(HoldFilter<Envoy>),
    Connection(Rc<ConnectionFilter<Envoy>>),
    Stream(Rc<RequestFilter<Envoy>>),
}

/// What a plugin is.
#[derive(Clone, Copy)]
enum Part {
    Hold,
    Connection,
    Request,
}

thread_local! {
    static WORKER: Rc<Worker> = Rc::default();
    /// The proxy counts the numbers up, so nobody else chooses them.
    static CONTEXTS: RefCell<HashMap<u32, Context, BuildHasherDefault<FnvHasher>>> = RefCell::default();
}

/// Nothing stays borrowed while a context is at work: it may call the proxy, and the proxy may call back.
fn context(number: u32) -> Option<Context> {
    CONTEXTS.with_borrow(|contexts| contexts.get(&number).cloned())
}

fn plugin(number: u32) -> Option<Rc<Plugin<Envoy>>> {
    match context(number)? {
        Context::Plugin(plugin, _) => Some(plugin),
        Context::Held(_) | Context::Connection(_) | Context::Stream(_) => None,
    }
}

unsafe extern "C" {
    /// Made by the linker: what has to run before anything else of the module.
    fn __wasm_call_ctors();
}

#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    // SAFETY: the proxy calls this once, before all else.
    unsafe { __wasm_call_ctors() };
    // A panic ends the VM. The proxy's log is the only place to say where.
    panic::set_hook(Box::new(|panic| {
        Envoy.log(Level::Error, &format!("svidgate: {panic}"));
    }));
}

/// Which ABI this is, by name.
#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

/// Memory for what the proxy is about to hand over; [`abi`] takes it back as a `Vec` of that many bytes.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    match Layout::array::<u8>(size) {
        // SAFETY: the size is not zero.
        Ok(layout) if size > 0 => unsafe { alloc(layout) },
        Ok(_) | Err(_) => null_mut(),
    }
}

/// A plugin where `parent` is 0, else a connection or stream of the plugin `parent`.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(number: u32, parent: u32) {
    let created = if parent == 0 {
        create_plugin(number, &abi::root_id())
    } else {
        create_below(number, parent)
    };
    if let Some(created) = created {
        CONTEXTS.with_borrow_mut(|contexts| contexts.insert(number, created));
    }
}

fn create_plugin(number: u32, root_id: &[u8]) -> Option<Context> {
    let (part, listener) = match root_id {
        b"svidgate.hold" => (Part::Hold, None),
        b"svidgate.connection" => (Part::Connection, None),
        b"svidgate.connection.http" => (Part::Connection, Some(Listener::Http)),
        b"svidgate.connection.tcp" => (Part::Connection, Some(Listener::Tcp)),
        b"svidgate.connection.tcp_server_first" => (Part::Connection, Some(Listener::TcpServerFirst)),
        b"svidgate.request" => (Part::Request, None),
        _ => return None,
    };
    let plugin = |stage| Plugin::new(Envoy, stage, number, Some(abi::verify), WORKER.with(Rc::clone));
    let plugin = match part {
        Part::Hold => plugin(Stage::Connection).holding(),
        Part::Connection => plugin(Stage::Connection).placed(listener),
        Part::Request => plugin(Stage::Request),
    };
    Some(Context::Plugin(Rc::new(plugin), part))
}

fn create_below(number: u32, parent: u32) -> Option<Context> {
    let Some(Context::Plugin(plugin, part)) = context(parent) else {
        return None;
    };
    Some(match part {
        Part::Hold => Context::Held(HoldFilter::new(plugin, number)),
        Part::Connection => Context::Connection(ConnectionFilter::new(plugin, number)),
        Part::Request => Context::Stream(RequestFilter::new(plugin, number)),
    })
}

/// The last that is heard of a context.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_delete(number: u32) {
    match CONTEXTS.with_borrow_mut(|contexts| contexts.remove(&number)) {
        Some(Context::Plugin(plugin, _)) => plugin.leave(),
        Some(Context::Held(filter)) => filter.on_close(),
        Some(Context::Connection(filter)) => filter.on_close(),
        Some(Context::Stream(filter)) => filter.on_close(),
        None => {}
    }
}

/// Whether the plugin takes its document.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(number: u32, _size: usize) -> u32 {
    let taken = plugin(number).map_or_else(
        || {
            let line = "svidgate: root_id is none of `svidgate.connection` (network filter; with `listener: shared` \
                        followed by `.http`, `.tcp` or `.tcp_server_first`), `svidgate.request` (HTTP filter) and \
                        `svidgate.hold` (network filter, for Envoy 1.36)";
            Envoy.log(Level::Error, line);
            false
        },
        |plugin| plugin.configure(),
    );
    u32::from(taken)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(number: u32) {
    if let Some(plugin) = plugin(number) {
        plugin.tick();
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_http_call_response(number: u32, token: u32, headers: usize, bytes: usize, _trailers: usize) {
    if let Some(plugin) = plugin(number) {
        plugin.on_answer(token, headers, bytes);
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_grpc_receive(number: u32, token: u32, bytes: usize) {
    if let Some(plugin) = plugin(number) {
        plugin.on_message(token, bytes);
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_grpc_close(number: u32, token: u32, status: u32) {
    if let Some(plugin) = plugin(number) {
        plugin.on_stream_close(token, status);
    }
}

/// What the ABI calls an action. What is for nobody that we know of goes no further.
fn number_of(action: Option<Action>) -> u32 {
    match action {
        Some(Action::Continue) => 0,
        Some(Action::Pause) | None => 1,
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_new_connection(number: u32) -> u32 {
    number_of(match context(number) {
        Some(Context::Held(filter)) => Some(filter.on_new_connection()),
        Some(Context::Connection(filter)) => Some(filter.on_new_connection()),
        Some(Context::Plugin(..) | Context::Stream(_)) | None => None,
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_downstream_data(number: u32, bytes: usize, _is_end: u32) -> u32 {
    number_of(match context(number) {
        Some(Context::Held(filter)) => Some(filter.on_downstream_data(bytes)),
        Some(Context::Connection(filter)) => Some(filter.on_downstream_data(bytes)),
        Some(Context::Plugin(..) | Context::Stream(_)) | None => None,
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_upstream_data(number: u32, _bytes: usize, _is_end: u32) -> u32 {
    number_of(match context(number) {
        // It decides nothing, and nothing comes back before its connection has been let through.
        Some(Context::Held(_)) => Some(Action::Continue),
        Some(Context::Connection(filter)) => Some(filter.on_upstream_data()),
        Some(Context::Plugin(..) | Context::Stream(_)) | None => None,
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_downstream_connection_close(number: u32, _by: u32) {
    match context(number) {
        Some(Context::Held(filter)) => filter.on_close(),
        Some(Context::Connection(filter)) => filter.on_close(),
        Some(Context::Plugin(..) | Context::Stream(_)) | None => {}
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(number: u32, _headers: usize, _is_end: u32) -> u32 {
    #[cfg(feature = "forced-trap")]
    if svidgate_gate::proxy::Stream::request_headers(&Envoy)
        .is_ok_and(|headers| headers.first(b"x-svidgate-trap").is_some())
    {
        std::process::abort()
    }
    number_of(match context(number) {
        Some(Context::Stream(filter)) => Some(filter.on_request_headers()),
        Some(Context::Plugin(..) | Context::Held(_) | Context::Connection(_)) | None => None,
    })
}

/// The proxy calls this only where a request has trailers, so it costs nothing to those without.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_trailers(number: u32, _trailers: usize) -> u32 {
    number_of(match context(number) {
        Some(Context::Stream(filter)) => Some(filter.on_request_trailers()),
        Some(Context::Plugin(..) | Context::Held(_) | Context::Connection(_)) | None => None,
    })
}
