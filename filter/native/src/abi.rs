//! The C ABI of Envoy's dynamic modules, as far as it is used: what Envoy calls, and what it offers.
//!
//! Every function of Envoy is looked up once, when the module is loaded: one that a host lacks would end the process at its first use.
//! Nothing unwinds into Envoy, which would end the process too: what panics refuses.

#![expect(
    unsafe_code,
    reason = "calls from and into the host; each block says why it is sound"
)]

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr, slice,
    sync::OnceLock,
};

use crate::{
    chain::{FILTER_STATE_KEY, handed_on},
    host::{self, Host},
};

/// Bytes of Envoy or of ours. Whoever is given them copies what it keeps.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Buffer {
    start: *const c_char,
    length: usize,
}

impl Buffer {
    fn of(bytes: &[u8]) -> Self {
        Self {
            start: bytes.as_ptr().cast(),
            length: bytes.len(),
        }
    }

    /// # Safety
    /// Envoy has given it to the call that is being served, and it lives as long as that.
    unsafe fn bytes<'b>(self) -> &'b [u8] {
        if self.start.is_null() {
            return &[];
        }
        // SAFETY: see above; it is `length` bytes long.
        unsafe { slice::from_raw_parts(self.start.cast(), self.length) }
    }
}

/// What a validator answers.
#[repr(C)]
pub(crate) struct Validation {
    status: c_int,
    detailed_status: c_int,
    tls_alert: u8,
    has_tls_alert: bool,
}

/// The handshake goes on.
const SUCCESSFUL: c_int = 0;
/// It ends.
const FAILED: c_int = 1;
/// Nothing was verified: whoever asks Envoy whether it was is told no.
const NOT_VALIDATED: c_int = 0;
/// What ends it is ours (RFC 8446 6.2).
const INTERNAL_ERROR: u8 = 80;
/// A peer is asked for its certificate (BoringSSL: `SSL_VERIFY_PEER`). Whether it must have one says `require_client_certificate`.
const VERIFY_PEER: c_int = 1;
/// Of Envoy's log.
const WARNING: c_int = 3;
const ERROR: c_int = 4;

/// The functions of Envoy.
struct Callbacks {
    log: unsafe extern "C" fn(level: c_int, message: Buffer),
    set_filter_state: unsafe extern "C" fn(validator: *mut c_void, key: Buffer, value: Buffer) -> bool,
}

static CALLBACKS: OnceLock<Callbacks> = OnceLock::new();

impl Callbacks {
    /// Looks all up. `None` where one is not there.
    fn find() -> Option<Self> {
        let find = |name: &CStr| {
            // SAFETY: the name ends with a zero, and the handle is the one for all that is loaded.
            let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
            (!found.is_null()).then_some(found)
        };
        let log = find(c"envoy_dynamic_module_callback_log")?;
        let set_filter_state = find(c"envoy_dynamic_module_callback_cert_validator_set_filter_state")?;
        // SAFETY: they are functions of these types in the header of every host that is known (`host`); no other is called.
        unsafe {
            Some(Self {
                log: mem::transmute::<*mut c_void, unsafe extern "C" fn(c_int, Buffer)>(log),
                set_filter_state: mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn(*mut c_void, Buffer, Buffer) -> bool,
                >(set_filter_state),
            })
        }
    }
}

/// Puts a line into Envoy's log.
fn log(level: c_int, message: &str) {
    if let Some(callbacks) = CALLBACKS.get() {
        // SAFETY: Envoy copies the message before it returns.
        unsafe { (callbacks.log)(level, Buffer::of(message.as_bytes())) }
    }
}

/// What Envoy has called ends with `otherwise` where it panics.
fn guarded<T>(hook: &str, otherwise: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| {
        // The log may be what has panicked.
        let _ = catch_unwind(|| log(ERROR, &format!("svidgate: internal.panic in {hook}: refused")));
        otherwise
    })
}

/// The module is loaded. Null, and Envoy refuses it.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn envoy_dynamic_module_on_program_init() -> *const c_char {
    guarded("program_init", ptr::null(), || match Callbacks::find() {
        Some(callbacks) => {
            CALLBACKS.get_or_init(|| callbacks);
            Host::present().abi_version().as_ptr()
        }
        None => ptr::null(),
    })
}

/// A validator is configured. Null, and Envoy refuses the configuration. Nothing is kept for it.
///
/// # Safety
/// As the header has it: the buffers live as long as the call.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn envoy_dynamic_module_on_cert_validator_config_new(
    _envoy: *mut c_void,
    _name: Buffer,
    configuration: Buffer,
) -> *const c_void {
    guarded("cert_validator_config_new", ptr::null(), || {
        // SAFETY: it was given to this call.
        let configuration = unsafe { configuration.bytes() };
        match host::check(Host::present(), configuration) {
            Ok(()) => ptr::from_ref(&CALLBACKS).cast(),
            Err(mistake) => {
                log(ERROR, &format!("svidgate: {mistake}"));
                ptr::null()
            }
        }
    })
}

/// A validator's configuration is gone.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn envoy_dynamic_module_on_cert_validator_config_destroy(_configuration: *const c_void) {}

/// A peer has shown its certificates.
///
/// # Safety
/// As the header has it: `certificates` are `count` buffers, and all live as long as the call.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn envoy_dynamic_module_on_cert_validator_do_verify_cert_chain(
    validator: *mut c_void,
    _configuration: *const c_void,
    certificates: *mut Buffer,
    count: usize,
    _host_name: Buffer,
    _is_server: bool,
) -> Validation {
    let answer = |status| Validation {
        status,
        detailed_status: NOT_VALIDATED,
        tls_alert: INTERNAL_ERROR,
        has_tls_alert: status == FAILED,
    };
    guarded("cert_validator_do_verify_cert_chain", answer(FAILED), || {
        let certificates: &[Buffer] = if certificates.is_null() {
            &[]
        } else {
            // SAFETY: they were given to this call, `count` of them.
            unsafe { slice::from_raw_parts(certificates, count) }
        };
        // SAFETY: each was given to this call.
        let chain = handed_on(certificates.iter().map(|certificate| unsafe { certificate.bytes() }));
        let is_kept = CALLBACKS.get().is_some_and(|callbacks| {
            let (key, value) = (Buffer::of(FILTER_STATE_KEY.as_bytes()), Buffer::of(&chain));
            // SAFETY: `validator` is that of this call; Envoy copies key and value before it returns.
            unsafe { (callbacks.set_filter_state)(validator, key, value) }
        });
        if !is_kept {
            // The filter behind finds no chain, and judges the leaf alone.
            log(
                WARNING,
                "svidgate: Envoy has not kept the certificates that came with a leaf",
            );
        }
        answer(SUCCESSFUL)
    })
}

/// What the TLS stack asks of peers.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn envoy_dynamic_module_on_cert_validator_get_ssl_verify_mode(
    _configuration: *const c_void,
    _handshaker_provides_certificates: bool,
) -> c_int {
    VERIFY_PEER
}

/// What sessions of this validator are told from others' by, beside its name and configuration.
///
/// # Safety
/// As the header has it: `digest` can be written to.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn envoy_dynamic_module_on_cert_validator_update_digest(
    _configuration: *const c_void,
    digest: *mut Buffer,
) {
    // SAFETY: Envoy gives a buffer of its own; null would be left alone.
    if let Some(digest) = unsafe { digest.as_mut() } {
        *digest = Buffer::of(b"svidgate");
    }
}
