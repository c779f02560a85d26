//! What the tests of svidgate stand on.
//!
//! | module | what it gives |
//! |---|---|
//! | [`ca`] | certificates of every shape, right and wrong |
//! | [`envoy`] | a real Envoy with a chosen configuration |
//! | [`client`] | TLS clients that see how they are refused |
//! | [`upstream`] | servers that tell what reached them |
//! | [`world`] | trust domains and documents for both |

use std::env;
use std::path::{Path, PathBuf};

pub mod ca;
pub mod client;
pub mod envoy;
pub mod upstream;
pub mod world;

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests package lies in the repository")
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
