//! Finds the Envoy to run: `SVIDGATE_ENVOY` is a binary, else `envoy/get-envoy.sh` gets version `ENVOY_VERSION`.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::repository;

const DEFAULT_VERSION: &str = "1.40.0";

/// The version under test, as major and minor, so that a test can expect what that version does.
///
/// # Panics
/// When there is no Envoy.
pub fn envoy_version() -> (u32, u32) {
    static VERSION: OnceLock<(u32, u32)> = OnceLock::new();
    *VERSION.get_or_init(|| {
        let output = Command::new(binary())
            .arg("--version")
            .output()
            .expect("Envoy tells its version");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // `PATH  version: COMMIT/1.40.0/Clean/RELEASE/BoringSSL`
        let build = text.split_once("version: ").map_or("", |(_, build)| build);
        let mut numbers = build.split('/').nth(1).unwrap_or_default().split('.').map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
            _ => panic!("cannot read the version of Envoy in `{text}`"),
        }
    })
}

pub(super) fn binary() -> PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY
        .get_or_init(|| env::var_os("SVIDGATE_ENVOY").map_or_else(fetched, own))
        .clone()
}

fn own(path: OsString) -> PathBuf {
    let path = PathBuf::from(path);
    assert!(path.is_file(), "SVIDGATE_ENVOY names no file: {}", path.display());
    path
}

fn fetched() -> PathBuf {
    let script = repository().join("envoy/get-envoy.sh");
    let version = env::var("ENVOY_VERSION").unwrap_or_else(|_| DEFAULT_VERSION.to_owned());
    let output = Command::new(&script)
        .arg(&version)
        .stderr(Stdio::inherit())
        .output()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", script.display()));
    assert!(
        output.status.success(),
        "no Envoy {version}: run envoy/get-envoy.sh {version} to see why, or set SVIDGATE_ENVOY to the path of one"
    );
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}
