//! The proxy-wasm ABI 0.2.1, as far as [`Host`] needs it.
//!
//! The one place with `unsafe`, and the reason for it: a status is read as a number here. The SDK reads it into an enum
//! that does not list all of the host's (undefined behaviour for those) and panics on the others. Contexts, dispatch
//! and memory allocation stay with the SDK.

#![expect(unsafe_code, reason = "calls into the host; each block says why it is sound")]

use std::ptr::{null, null_mut};

use jiff::Timestamp;

use crate::host::{HeaderMap, Host, HostError, Level};

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: u32, message: *const u8, size: usize) -> u32;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_get_buffer_bytes(buffer: u32, start: usize, max: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_remove_header_map_value(map: u32, key: *const u8, key_size: usize) -> u32;
    fn proxy_add_header_map_value(
        map: u32,
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_get_property(path: *const u8, path_size: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_set_property(path: *const u8, path_size: usize, value: *const u8, value_size: usize) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_close_stream(stream: u32) -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, id: *mut u32) -> u32;
    fn proxy_increment_metric(id: u32, amount: i64) -> u32;
    fn proxy_call_foreign_function(
        name: *const u8,
        name_size: usize,
        arguments: *const u8,
        arguments_size: usize,
        results: *mut *mut u8,
        results_size: *mut usize,
    ) -> u32;
}

const REQUEST_HEADERS: u32 = 0;
const PLUGIN_CONFIGURATION: u32 = 7;
const DOWNSTREAM: u32 = 2;
const COUNTER: u32 = 0;

/// The proxy that runs this module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Envoy;

fn checked(status: u32) -> Result<(), HostError> {
    if status == 0 { Ok(()) } else { Err(HostError(status)) }
}

/// Calls for bytes that the host allocates in our memory through the SDK's allocator.
fn bytes(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Vec<u8>, HostError> {
    let mut data: *mut u8 = null_mut();
    let mut size: usize = 0;
    checked(call(&raw mut data, &raw mut size))?;
    if data.is_null() {
        return Ok(Vec::new());
    }
    // SAFETY: the host got `data` from `proxy_on_memory_allocate(size)`, which gives up a boxed slice of that length;
    // nobody else has it.
    Ok(unsafe { Vec::from_raw_parts(data, size, size) })
}

impl Host for Envoy {
    fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
        let path = path.join("\0");
        // SAFETY: the pointers are to live memory of the sizes given, for the time of the call.
        bytes(|data, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), data, size) }).ok()
    }

    fn set_filter_state(&self, name: &str, value: &[u8]) -> Result<(), HostError> {
        // SAFETY: as above.
        checked(unsafe { proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) })
    }

    fn request_headers(&self) -> Result<HeaderMap, HostError> {
        // SAFETY: as above.
        bytes(|data, size| unsafe { proxy_get_header_map_pairs(REQUEST_HEADERS, data, size) }).map(HeaderMap::new)
    }

    fn remove_request_header(&self, name: &str) -> Result<(), HostError> {
        // SAFETY: as above.
        checked(unsafe { proxy_remove_header_map_value(REQUEST_HEADERS, name.as_ptr(), name.len()) })
    }

    fn add_request_header(&self, name: &str, value: &[u8]) -> Result<(), HostError> {
        // SAFETY: as above.
        checked(unsafe {
            proxy_add_header_map_value(REQUEST_HEADERS, name.as_ptr(), name.len(), value.as_ptr(), value.len())
        })
    }

    fn respond(&self, status: u32, details: &str, grpc_status: i32) -> Result<(), HostError> {
        // An empty header map is its count alone.
        let headers = 0u32.to_le_bytes();
        // SAFETY: as above; a null body has no bytes.
        checked(unsafe {
            proxy_send_local_response(
                status,
                details.as_ptr(),
                details.len(),
                null(),
                0,
                headers.as_ptr(),
                headers.len(),
                grpc_status,
            )
        })
    }

    fn close_downstream(&self) -> Result<(), HostError> {
        // SAFETY: no pointers.
        checked(unsafe { proxy_close_stream(DOWNSTREAM) })
    }

    fn configuration(&self) -> Result<Vec<u8>, HostError> {
        // SAFETY: as above.
        bytes(|data, size| unsafe { proxy_get_buffer_bytes(PLUGIN_CONFIGURATION, 0, usize::MAX, data, size) })
    }

    fn now(&self) -> Result<Timestamp, HostError> {
        let mut nanoseconds = 0u64;
        // SAFETY: the pointer is to a live number.
        checked(unsafe { proxy_get_current_time_nanoseconds(&raw mut nanoseconds) })?;
        let seconds = i64::try_from(nanoseconds.div_euclid(1_000_000_000)).map_err(|_| HostError(u32::MAX))?;
        Timestamp::from_second(seconds).map_err(|_| HostError(u32::MAX))
    }

    fn set_tick_period(&self, milliseconds: u32) -> Result<(), HostError> {
        // SAFETY: no pointers.
        checked(unsafe { proxy_set_tick_period_milliseconds(milliseconds) })
    }

    fn set_effective_context(&self, context: u32) -> Result<(), HostError> {
        // SAFETY: no pointers.
        checked(unsafe { proxy_set_effective_context(context) })
    }

    fn define_counter(&self, name: &str) -> Result<u32, HostError> {
        let mut id = 0u32;
        // SAFETY: as above.
        checked(unsafe { proxy_define_metric(COUNTER, name.as_ptr(), name.len(), &raw mut id) })?;
        Ok(id)
    }

    fn add_to_counter(&self, counter: u32, amount: u64) -> Result<(), HostError> {
        let amount = i64::try_from(amount).unwrap_or(i64::MAX);
        // SAFETY: no pointers.
        checked(unsafe { proxy_increment_metric(counter, amount) })
    }

    fn log(&self, level: Level, line: &str) {
        let level = match level {
            Level::Info => 2,
            Level::Warn => 3,
            Level::Error => 4,
        };
        // A line that cannot be written has nowhere to be reported.
        // SAFETY: as above.
        let _ = unsafe { proxy_log(level, line.as_ptr(), line.len()) };
    }
}

/// Calls one of the proxy's own functions; `None` where it has none of that name, or refuses the arguments.
pub(crate) fn call_foreign_function(name: &str, arguments: &[u8]) -> Option<Vec<u8>> {
    // SAFETY: as above.
    bytes(|data, size| unsafe {
        proxy_call_foreign_function(
            name.as_ptr(),
            name.len(),
            arguments.as_ptr(),
            arguments.len(),
            data,
            size,
        )
    })
    .ok()
}
