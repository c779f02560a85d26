//! What the tests of svidgate stand on, and the demo. It is built before the demo shows anything, so what needs large
//! libraries lies beside it: `grpc` and `operate`.
//!
//! | module | what it gives |
//! |---|---|
//! | [`ca`] | certificates of every shape, right and wrong |
//! | [`envoy`] | a real Envoy with a chosen configuration |
//! | [`process`] | what a process uses |
//! | [`client`] | TLS clients that see how they are refused |
//! | [`upstream`] | servers that tell what reached them |
//! | [`server`] | how all servers here run |
//! | [`bundle_endpoint`] | an HTTPS server of SPIFFE bundles, which fails at will |
//! | [`workload_api`] | a SPIFFE Workload API that hands out bundles, and fails at will |
//! | [`world`] | trust domains and documents for both |

use std::env;
use std::path::{Path, PathBuf};

pub mod bundle_endpoint;
pub mod client;
pub mod envoy;
pub mod process;
pub mod server;
pub mod upstream;
pub mod workload_api;
pub mod world;

pub use ca;

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(3)
        .expect("the package lies three folders deep in the repository")
}

/// The module that the header `x-svidgate-trap` ends, which `make wasm-that-traps` builds.
///
/// # Panics
/// When it is not there.
pub fn trapping_module_path() -> PathBuf {
    let path = repository().join("target/wasm32-wasip1/forced-trap/svidgate.wasm");
    assert!(
        path.is_file(),
        "no wasm module at {}: run `make wasm-that-traps`",
        path.display()
    );
    path
}

/// The wasm module under test: `SVIDGATE_WASM`, or what `make wasm` builds.
///
/// # Panics
/// When it is not there.
pub fn module_path() -> PathBuf {
    let path = env::var_os("SVIDGATE_WASM").map_or_else(
        || repository().join("target/wasm32-wasip1/release/svidgate.wasm"),
        PathBuf::from,
    );
    assert!(path.is_file(), "no wasm module at {}: run `make wasm`", path.display());
    path
}
