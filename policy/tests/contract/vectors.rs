//! Reading test vectors.

use serde::de::DeserializeOwned;

/// Every file of a directory under `vectors/`, with its name.
pub(crate) fn read<T: DeserializeOwned>(directory: &str) -> Vec<(String, T)> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/").to_owned() + directory;
    let mut names = disk::names(&directory);
    names.sort();
    assert!(!names.is_empty(), "no vectors in {directory}");
    let read = |name: String| {
        let text = disk::text(&format!("{directory}/{name}"));
        let read = toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, read)
    };
    names.into_iter().map(read).collect()
}

#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
mod disk {
    use std::fs;

    pub(super) fn names(directory: &str) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    pub(super) fn text(path: &str) -> String {
        fs::read_to_string(path).unwrap()
    }
}

/// This target has no files; Node, which runs it, has.
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
mod disk {
    use wasm_bindgen::prelude::wasm_bindgen;

    #[wasm_bindgen(module = "node:fs")]
    extern "C" {
        #[wasm_bindgen(js_name = readdirSync)]
        pub(super) fn names(directory: &str) -> Vec<String>;
        #[wasm_bindgen(js_name = readFileSync)]
        fn read(path: &str, encoding: &str) -> String;
    }

    pub(super) fn text(path: &str) -> String {
        read(path, "utf8")
    }
}
