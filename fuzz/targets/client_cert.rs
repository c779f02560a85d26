#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| svidgate_fuzz::client_cert::holds(data));
