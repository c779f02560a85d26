//! The entry points: which plugin for which `root_id`, and the SDK's callbacks handed on to it.

use std::rc::Rc;

use proxy_wasm::{
    traits::{Context, HttpContext, RootContext, StreamContext},
    types,
};

use crate::{
    abi::{self, Envoy},
    connection::{Action, ConnectionFilter},
    host::{Host as _, Level},
    record::Stage,
    request::RequestFilter,
    root::{Root, Worker},
};

thread_local! {
    static WORKER: Rc<Worker> = Rc::default();
}

proxy_wasm::main! {{
    proxy_wasm::set_log_level(types::LogLevel::Info);
    proxy_wasm::set_root_context(plugin);
}}

fn plugin(context: u32) -> Box<dyn RootContext> {
    let root_id = Envoy.property(&["plugin_root_id"]).unwrap_or_default();
    let stage = match root_id.as_slice() {
        b"svidgate.connection" => Some(Stage::Connection),
        b"svidgate.request" => Some(Stage::Request),
        _ => None,
    };
    let call = |arguments: &[u8]| abi::call_foreign_function("verify_signature", arguments);
    let root = |stage| Rc::new(Root::new(Envoy, stage, context, Some(call), WORKER.with(Rc::clone)));
    Box::new(Plugin {
        root: stage.map(root),
        stage,
    })
}

/// The SDK's side of a [`Root`]; without one where the `root_id` is not ours.
struct Plugin {
    root: Option<Rc<Root<Envoy>>>,
    stage: Option<Stage>,
}

impl Context for Plugin {
    fn on_done(&mut self) -> bool {
        if let Some(root) = &self.root {
            root.flush();
        }
        true
    }
}

impl RootContext for Plugin {
    fn on_configure(&mut self, _size: usize) -> bool {
        match &self.root {
            Some(root) => root.configure(),
            None => {
                let line = "svidgate: root_id is neither `svidgate.connection` (network filter) nor `svidgate.request` (HTTP filter)";
                Envoy.log(Level::Error, line);
                false
            }
        }
    }

    fn on_tick(&mut self) {
        if let Some(root) = &self.root {
            root.tick();
        }
    }

    fn get_type(&self) -> Option<types::ContextType> {
        Some(match self.stage {
            Some(Stage::Connection) => types::ContextType::StreamContext,
            Some(Stage::Request) | None => types::ContextType::HttpContext,
        })
    }

    fn create_stream_context(&self, context: u32) -> Option<Box<dyn StreamContext>> {
        let root = Rc::clone(self.root.as_ref()?);
        Some(Box::new(Connection(ConnectionFilter::new(root, context))))
    }

    fn create_http_context(&self, _context: u32) -> Option<Box<dyn HttpContext>> {
        let root = Rc::clone(self.root.as_ref()?);
        Some(Box::new(Stream(RequestFilter::new(root))))
    }
}

impl From<Action> for types::Action {
    fn from(action: Action) -> Self {
        match action {
            Action::Continue => Self::Continue,
            Action::Pause => Self::Pause,
        }
    }
}

struct Connection(ConnectionFilter<Envoy>);

impl Context for Connection {
    fn on_done(&mut self) -> bool {
        self.0.on_close();
        true
    }
}

impl StreamContext for Connection {
    fn on_new_connection(&mut self) -> types::Action {
        self.0.on_new_connection().into()
    }

    fn on_downstream_data(&mut self, bytes: usize, _end_of_stream: bool) -> types::Action {
        self.0.on_downstream_data(bytes).into()
    }

    fn on_upstream_data(&mut self, _bytes: usize, _end_of_stream: bool) -> types::Action {
        self.0.on_upstream_data().into()
    }

    fn on_downstream_close(&mut self, _by: types::PeerType) {
        self.0.on_close();
    }
}

struct Stream(RequestFilter<Envoy>);

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _headers: usize, _end_of_stream: bool) -> types::Action {
        self.0.on_request_headers().into()
    }
}
