//! Reading test vectors.

use std::{fs, path::Path};

use serde::de::DeserializeOwned;

/// Every file of a directory under `vectors/`, with its name.
pub(crate) fn read<T: DeserializeOwned>(directory: &str) -> Vec<(String, T)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/vectors")
        .join(directory);
    let mut files: Vec<(String, T)> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let text = fs::read_to_string(&path).unwrap();
            let read = toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            (name, read)
        })
        .collect();
    files.sort_by(|(one, _), (two, _)| one.cmp(two));
    assert!(!files.is_empty(), "no vectors in {}", directory.display());
    files
}
