//! Files of a folder, wherever this runs.

#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
mod host {
    use std::fs;
    use std::path::Path;

    pub(crate) fn exists(path: &str) -> bool {
        Path::new(path).exists()
    }

    pub(crate) fn read(path: &str) -> Result<Vec<u8>, String> {
        fs::read(path).map_err(|error| error.to_string())
    }

    pub(crate) fn names(path: &str) -> Vec<String> {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect()
    }
}

/// This target has no files; Node, which runs it, has.
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
mod host {
    use wasm_bindgen::prelude::{JsValue, wasm_bindgen};

    #[wasm_bindgen(module = "node:fs")]
    extern "C" {
        #[wasm_bindgen(js_name = existsSync)]
        pub(crate) fn exists(path: &str) -> bool;
        #[wasm_bindgen(js_name = readFileSync, catch)]
        fn read_file(path: &str) -> Result<Vec<u8>, JsValue>;
        #[wasm_bindgen(js_name = readdirSync, catch)]
        fn read_directory(path: &str) -> Result<Vec<String>, JsValue>;
    }

    pub(crate) fn read(path: &str) -> Result<Vec<u8>, String> {
        read_file(path).map_err(|error| format!("{error:?}"))
    }

    pub(crate) fn names(path: &str) -> Vec<String> {
        read_directory(path).unwrap_or_default()
    }
}

/// Whether there is a file or folder.
pub(crate) use host::exists;
/// The names of what is in a folder, in any order; none when it is not there.
pub(crate) use host::names;
/// The bytes of a file.
pub(crate) use host::read;
