//! svidgate as a proxy-wasm module.
