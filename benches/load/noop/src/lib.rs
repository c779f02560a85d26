//! A filter that does nothing, as a network filter and as an HTTP filter, written as the SDK has everyone write one.

#![cfg(target_arch = "wasm32")]

use proxy_wasm::{
    hostcalls::get_property,
    traits::{Context, HttpContext, RootContext, StreamContext},
    types::{ContextType, LogLevel},
};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Warn);
    proxy_wasm::set_root_context(|_| {
        let root_id = get_property(vec!["plugin_root_id"]).ok().flatten().unwrap_or_default();
        Box::new(Plugin { is_network: root_id.ends_with(b".connection") })
    });
}}

struct Plugin {
    is_network: bool,
}

struct Nothing;

impl Context for Plugin {}

impl RootContext for Plugin {
    fn get_type(&self) -> Option<ContextType> {
        Some(if self.is_network {
            ContextType::StreamContext
        } else {
            ContextType::HttpContext
        })
    }

    fn create_stream_context(&self, _context: u32) -> Option<Box<dyn StreamContext>> {
        Some(Box::new(Nothing))
    }

    fn create_http_context(&self, _context: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Nothing))
    }
}

impl Context for Nothing {}

impl StreamContext for Nothing {}

impl HttpContext for Nothing {}
