//! The proxy-wasm ABI 0.2.1, as far as [`svidgate_gate::proxy`] needs it.
//!
//! A status is read as a number here, because the host has more of them than any list: one that we do not know is a
//! failed call, not the end of the VM. The other way, from the host to us, is `entry`.

#![expect(unsafe_code, reason = "calls into the host; each block says why it is sound")]

use std::{
    borrow::Cow,
    cell::RefCell,
    collections::BTreeMap,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    ptr::{null, null_mut},
};

use jiff::Timestamp;
use prost::Message as _;

use svidgate_gate::{
    header_map::HeaderMap,
    identity::algorithms::Question,
    proxy::{Client, Connection, Level, Method, ProxyError, ProxyVersion, Runtime, SharedMap, Stream, Telemetry},
};

use crate::{properties, struct_value, verify_signature};

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
    fn proxy_record_metric(id: u32, value: u64) -> u32;
    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
        version: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(key: *const u8, key_size: usize, data: *const u8, size: usize, version: u32) -> u32;
    fn proxy_http_call(
        cluster: *const u8,
        cluster_size: usize,
        headers: *const u8,
        headers_size: usize,
        body: *const u8,
        body_size: usize,
        trailers: *const u8,
        trailers_size: usize,
        milliseconds: u32,
        token: *mut u32,
    ) -> u32;
    fn proxy_grpc_stream(
        grpc_service: *const u8,
        grpc_service_size: usize,
        service: *const u8,
        service_size: usize,
        method: *const u8,
        method_size: usize,
        metadata: *const u8,
        metadata_size: usize,
        token: *mut u32,
    ) -> u32;
    fn proxy_grpc_send(token: u32, message: *const u8, size: usize, is_last: u32) -> u32;
    fn proxy_grpc_cancel(token: u32) -> u32;
    fn proxy_get_status(code: *mut u32, message: *mut *mut u8, size: *mut usize) -> u32;
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
const REQUEST_TRAILERS: u32 = 1;
const HTTP_ANSWER_HEADERS: u32 = 6;
const HTTP_ANSWER_BODY: u32 = 4;
const STREAM_MESSAGE: u32 = 5;
const PLUGIN_CONFIGURATION: u32 = 7;
const DOWNSTREAM: u32 = 2;
const COUNTER: u32 = 0;
const GAUGE: u32 = 1;
const HISTOGRAM: u32 = 2;

/// The proxy that runs this module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Envoy;

fn checked(status: u32) -> Result<(), ProxyError> {
    if status == 0 { Ok(()) } else { Err(ProxyError(status)) }
}

/// Calls for bytes that the host allocates in our memory.
fn bytes(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Vec<u8>, ProxyError> {
    let mut data: *mut u8 = null_mut();
    let mut size: usize = 0;
    checked(call(&raw mut data, &raw mut size))?;
    if data.is_null() {
        return Ok(Vec::new());
    }
    // SAFETY: the host got `data` from `proxy_on_memory_allocate(size)`, which allocates just so many bytes; nobody
    // else has it.
    Ok(unsafe { Vec::from_raw_parts(data, size, size) })
}

fn header_map(map: u32) -> Result<HeaderMap, ProxyError> {
    // SAFETY: the pointers are to live memory, for the time of the call.
    bytes(|data, size| unsafe { proxy_get_header_map_pairs(map, data, size) }).map(HeaderMap::new)
}

fn buffer(buffer: u32, max: usize) -> Result<Vec<u8>, ProxyError> {
    // SAFETY: as above.
    bytes(|data, size| unsafe { proxy_get_buffer_bytes(buffer, 0, max, data, size) })
}

thread_local! {
    /// The proxy gives a metric another number each time that it is named, and keeps all of them. Whoever names some by
    /// what a document says bounds how many: [`svidgate_gate::worker::endings::MOST_GAUGES`],
    /// [`svidgate_gate::record::document_version::MOST_VERSIONS`]. The others are as many as there are codes.
    static METRICS: RefCell<BTreeMap<String, u32>> = const { RefCell::new(BTreeMap::new()) };
}

fn metric(kind: u32, name: &str) -> Result<u32, ProxyError> {
    if let Some(id) = METRICS.with_borrow(|metrics| metrics.get(name).copied()) {
        return Ok(id);
    }
    let mut id = 0u32;
    // SAFETY: as above.
    checked(unsafe { proxy_define_metric(kind, name.as_ptr(), name.len(), &raw mut id) })?;
    METRICS.with_borrow_mut(|metrics| metrics.insert(name.to_owned(), id));
    Ok(id)
}

/// `envoy.config.core.v3.GrpcService`, as far as we need it.
///
/// The host would take the bare name of a cluster, too, but only where its bytes are no protobuf by accident: the name
/// `empty` is, and ends the proxy.
#[derive(Clone, PartialEq, prost::Message)]
struct GrpcService {
    #[prost(message, optional, tag = "1")]
    envoy_grpc: Option<EnvoyGrpc>,
}

/// `envoy.config.core.v3.GrpcService.EnvoyGrpc`.
#[derive(Clone, PartialEq, prost::Message)]
struct EnvoyGrpc {
    #[prost(string, tag = "1")]
    cluster_name: String,
}

/// Reads a property; `None` where the proxy has no such thing here.
fn property(path: &str) -> Option<Vec<u8>> {
    // SAFETY: the pointers are to live memory of the sizes given, for the time of the call.
    bytes(|data, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), data, size) }).ok()
}

/// A property that is a number.
fn whole_number(path: &str) -> Option<i64> {
    property(path)?.try_into().map(i64::from_le_bytes).ok()
}

/// Who a plugin is: its `root_id`.
pub(crate) fn root_id() -> Vec<u8> {
    property(properties::ROOT_ID).unwrap_or_default()
}

/// Has the proxy verify a signature.
pub(crate) fn verify(question: Question<'_>) -> Option<bool> {
    let result = foreign_function("verify_signature", &verify_signature::arguments(question)).ok()?;
    verify_signature::answer(&result)
}

impl Connection for Envoy {
    fn leaf_digest(&self) -> Option<Vec<u8>> {
        property(properties::LEAF_DIGEST)
    }

    fn leaf(&self) -> Option<Vec<u8>> {
        property(properties::LEAF)
    }

    fn tls_version(&self) -> Option<Vec<u8>> {
        property(properties::TLS_VERSION)
    }

    fn shared_state(&self, key: &str) -> Option<Vec<u8>> {
        property(&[properties::FILTER_STATE, key].concat())
    }

    fn source_address(&self) -> Option<Vec<u8>> {
        property(properties::SOURCE_ADDRESS)
    }

    fn connection_id(&self) -> Option<u64> {
        property(properties::CONNECTION_ID)?
            .try_into()
            .map(u64::from_le_bytes)
            .ok()
    }

    fn protocol(&self) -> Option<Vec<u8>> {
        property(properties::PROTOCOL)
    }

    fn local_port(&self) -> Option<u16> {
        u16::try_from(whole_number(properties::LOCAL_PORT)?).ok()
    }

    fn server_name(&self) -> Option<Vec<u8>> {
        property(properties::SERVER_NAME)
    }

    fn cluster(&self) -> Option<Vec<u8>> {
        property(properties::CLUSTER)
    }

    /// What a plugin wrote itself has no path but its name.
    fn noted(&self, name: &str) -> Option<Vec<u8>> {
        property(name)
    }

    fn note(&self, name: &str, value: &[u8]) -> Result<(), ProxyError> {
        // SAFETY: as above.
        checked(unsafe { proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) })
    }

    fn keep_for_connection(&self, name: &str) -> Result<(), ProxyError> {
        let declaration = Declaration {
            name: name.to_owned(),
            span: DOWNSTREAM_CONNECTION,
        };
        foreign_function("declare_property", &declaration.encode_to_vec()).map(drop)
    }

    fn close_connection(&self) -> Result<(), ProxyError> {
        // SAFETY: no pointers.
        checked(unsafe { proxy_close_stream(DOWNSTREAM) })
    }
}

impl Stream for Envoy {
    fn route(&self) -> Option<Vec<u8>> {
        property(properties::ROUTE)
    }

    fn request_headers(&self) -> Result<HeaderMap, ProxyError> {
        header_map(REQUEST_HEADERS)
    }

    fn remove_request_header(&self, name: &[u8]) -> Result<(), ProxyError> {
        // SAFETY: as above.
        checked(unsafe { proxy_remove_header_map_value(REQUEST_HEADERS, name.as_ptr(), name.len()) })
    }

    fn add_request_header(&self, name: &str, value: &[u8]) -> Result<(), ProxyError> {
        // SAFETY: as above.
        checked(unsafe {
            proxy_add_header_map_value(REQUEST_HEADERS, name.as_ptr(), name.len(), value.as_ptr(), value.len())
        })
    }

    fn request_trailers(&self) -> Result<HeaderMap, ProxyError> {
        header_map(REQUEST_TRAILERS)
    }

    fn remove_request_trailer(&self, name: &[u8]) -> Result<(), ProxyError> {
        // SAFETY: as above.
        checked(unsafe { proxy_remove_header_map_value(REQUEST_TRAILERS, name.as_ptr(), name.len()) })
    }

    fn respond(&self, status: u32, details: &str, grpc_status: i32) -> Result<(), ProxyError> {
        let headers = HeaderMap::from_pairs(&[]);
        let headers = headers.as_bytes();
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
}

impl SharedMap for Envoy {
    fn shared_data(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        let mut version = 0u32;
        // SAFETY: as above.
        let data =
            bytes(|data, size| unsafe { proxy_get_shared_data(key.as_ptr(), key.len(), data, size, &raw mut version) });
        Some((data.ok()?, version))
    }

    fn set_shared_data(&self, key: &str, value: &[u8], version: Option<u32>) -> Result<(), ProxyError> {
        // To the host, no version is 0.
        let version = version.unwrap_or_default();
        // SAFETY: as above.
        checked(unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), version) })
    }
}

impl Client for Envoy {
    fn http_get(&self, cluster: &str, authority: &str, path: &str, milliseconds: u32) -> Result<u32, ProxyError> {
        let headers = HeaderMap::from_pairs(&[
            (b":method", b"GET"),
            (b":scheme", b"https"),
            (b":authority", authority.as_bytes()),
            (b":path", path.as_bytes()),
            (b"accept", b"application/json"),
        ]);
        let (headers, trailers) = (headers.as_bytes(), HeaderMap::from_pairs(&[]));
        let trailers = trailers.as_bytes();
        let mut token = 0u32;
        // SAFETY: as above; a null body has no bytes.
        checked(unsafe {
            proxy_http_call(
                cluster.as_ptr(),
                cluster.len(),
                headers.as_ptr(),
                headers.len(),
                null(),
                0,
                trailers.as_ptr(),
                trailers.len(),
                milliseconds,
                &raw mut token,
            )
        })?;
        Ok(token)
    }

    fn http_answer_headers(&self) -> Result<HeaderMap, ProxyError> {
        header_map(HTTP_ANSWER_HEADERS)
    }

    fn http_answer_body(&self, bytes: usize) -> Result<Vec<u8>, ProxyError> {
        buffer(HTTP_ANSWER_BODY, bytes)
    }

    fn open_stream(&self, cluster: &str, method: Method<'_>, message: &[u8]) -> Result<u32, ProxyError> {
        let (name, value) = method.metadata;
        let metadata = HeaderMap::from_pairs(&[(name.as_bytes(), value.as_bytes())]);
        let metadata = metadata.as_bytes();
        let cluster_name = cluster.to_owned();
        let envoy_grpc = Some(EnvoyGrpc { cluster_name });
        let grpc_service = GrpcService { envoy_grpc }.encode_to_vec();
        let mut token = 0u32;
        // SAFETY: as above.
        checked(unsafe {
            proxy_grpc_stream(
                grpc_service.as_ptr(),
                grpc_service.len(),
                method.service.as_ptr(),
                method.service.len(),
                method.name.as_ptr(),
                method.name.len(),
                metadata.as_ptr(),
                metadata.len(),
                &raw mut token,
            )
        })?;
        // SAFETY: as above.
        checked(unsafe { proxy_grpc_send(token, message.as_ptr(), message.len(), 1) })?;
        Ok(token)
    }

    fn stream_message(&self, bytes: usize) -> Result<Vec<u8>, ProxyError> {
        buffer(STREAM_MESSAGE, bytes)
    }

    fn stream_status_message(&self) -> Result<Vec<u8>, ProxyError> {
        let mut code: u32 = 0;
        // SAFETY: the pointers are to live memory, for the time of the call.
        bytes(|data, size| unsafe { proxy_get_status(&raw mut code, data, size) })
    }

    fn cancel_stream(&self, token: u32) {
        // A stream that is gone is what was wanted.
        // SAFETY: no pointers.
        let _ = unsafe { proxy_grpc_cancel(token) };
    }
}

impl Telemetry for Envoy {
    fn define_gauge(&self, name: &str) -> Result<u32, ProxyError> {
        metric(GAUGE, name)
    }

    fn set_gauge(&self, gauge: u32, value: u64) -> Result<(), ProxyError> {
        // SAFETY: no pointers.
        checked(unsafe { proxy_record_metric(gauge, value) })
    }

    fn define_counter(&self, name: &str) -> Result<u32, ProxyError> {
        metric(COUNTER, name)
    }

    fn add_to_counter(&self, counter: u32, amount: u64) -> Result<(), ProxyError> {
        let amount = i64::try_from(amount).unwrap_or(i64::MAX);
        // SAFETY: no pointers.
        checked(unsafe { proxy_increment_metric(counter, amount) })
    }

    fn define_histogram(&self, name: &str) -> Result<u32, ProxyError> {
        metric(HISTOGRAM, name)
    }

    fn add_to_histogram(&self, histogram: u32, value: u64) -> Result<(), ProxyError> {
        // SAFETY: no pointers.
        checked(unsafe { proxy_record_metric(histogram, value) })
    }

    fn log(&self, level: Level, line: &str) {
        // The proxy writes the `vm_id` before each line: `svidgate: ` once is enough, whatever that is.
        let is_named = property(properties::VM_ID).as_deref() == Some(b"svidgate");
        let line = if is_named {
            line.strip_prefix("svidgate: ").unwrap_or(line)
        } else {
            line
        };
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

impl Runtime for Envoy {
    fn configuration(&self) -> Result<Vec<u8>, ProxyError> {
        buffer(PLUGIN_CONFIGURATION, usize::MAX)
    }

    /// ENVOY: (seen on 1.36 to 1.40) what is written as a `Struct` arrives in the protobuf encoding.
    fn document<'c>(&self, configuration: &'c [u8]) -> Cow<'c, [u8]> {
        struct_value::document(configuration)
    }

    fn plugin_name(&self) -> Vec<u8> {
        property(properties::PLUGIN_NAME).unwrap_or_default()
    }

    fn version(&self) -> Option<ProxyVersion> {
        Some(ProxyVersion {
            major: whole_number(properties::MAJOR_VERSION)?,
            minor: whole_number(properties::MINOR_VERSION)?,
        })
    }

    fn now(&self) -> Result<Timestamp, ProxyError> {
        let mut nanoseconds = 0u64;
        // SAFETY: the pointer is to a live number.
        checked(unsafe { proxy_get_current_time_nanoseconds(&raw mut nanoseconds) })?;
        Timestamp::from_nanosecond(i128::from(nanoseconds)).map_err(|_| ProxyError(u32::MAX))
    }

    fn set_tick_period(&self, milliseconds: u32) -> Result<(), ProxyError> {
        // SAFETY: no pointers.
        checked(unsafe { proxy_set_tick_period_milliseconds(milliseconds) })
    }

    fn set_effective_context(&self, context: u32) -> Result<(), ProxyError> {
        // SAFETY: no pointers.
        checked(unsafe { proxy_set_effective_context(context) })
    }

    fn random(&self) -> u64 {
        // Its keys come from the proxy's own source of randomness.
        RandomState::new().build_hasher().finish()
    }
}

/// Calls one of the proxy's own functions.
fn foreign_function(name: &str, arguments: &[u8]) -> Result<Vec<u8>, ProxyError> {
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
}

/// `envoy.source.extensions.common.wasm.DeclarePropertyArguments`.
#[derive(Clone, PartialEq, prost::Message)]
struct Declaration {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int32, tag = "5")]
    span: i32,
}

/// The life span of a connection, in the same.
const DOWNSTREAM_CONNECTION: i32 = 2;
