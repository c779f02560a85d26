//! Which files are meant, and what is in them?

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

/// Largest file in bytes. Our decision: room for two of the largest documents, as a configuration dump has them.
pub const MAX_FILE_BYTES: u64 = 128 * 1024 * 1024;
/// Most files of a folder. Our decision: a folder with more is not one of policies.
pub const MAX_FILES: usize = 10_000;
/// Deepest folder within a folder. Our decision.
pub const MAX_FOLDER_DEPTH: usize = 32;
/// What files in folders are called.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// A file, and what of it is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// `-` is what comes from standard input.
    pub path: PathBuf,
    /// The name of one document in it.
    pub name: Option<String>,
    /// Whether it was named, or found in a folder.
    pub named: bool,
}

/// Why something cannot be read. Not a finding: nothing is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What.
    pub path: PathBuf,
    /// Why.
    pub what: String,
}

impl Trouble {
    fn new(path: &Path, what: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            what: what.into(),
        }
    }
}

/// The files that arguments name: `FILE`, `FILE#NAME`, `-`, and with `recursive` those of folders, in order of their names.
///
/// # Errors
/// What is not there, a folder without `recursive`, a folder with nothing in it.
pub fn wanted(arguments: &[PathBuf], recursive: bool) -> Result<Vec<Wanted>, Vec<Trouble>> {
    let (mut files, mut troubles) = (Vec::new(), Vec::new());
    for argument in arguments {
        let (path, name) = split(argument);
        if path.as_os_str() != "-" && path.is_dir() {
            match folder(&path, recursive) {
                Ok(found) => files.extend(found),
                Err(trouble) => troubles.push(trouble),
            }
        } else {
            let named = true;
            files.push(Wanted { path, name, named });
        }
    }
    if troubles.is_empty() { Ok(files) } else { Err(troubles) }
}

/// `FILE#NAME`, unless that is the name of a file.
pub fn split(argument: &Path) -> (PathBuf, Option<String>) {
    let text = argument.to_string_lossy();
    match text.rsplit_once('#') {
        Some((path, name)) if !path.is_empty() && !argument.exists() => (path.into(), Some(name.to_owned())),
        Some(_) | None => (argument.to_owned(), None),
    }
}

fn folder(path: &Path, recursive: bool) -> Result<Vec<Wanted>, Trouble> {
    if !recursive {
        return Err(Trouble::new(path, "is a folder (with `-r` the files in it are read)"));
    }
    let mut found = Vec::new();
    walk(path, 0, &mut found)?;
    if found.is_empty() {
        let what = "has no file `*.yaml`, `*.yml` or `*.json` (links and hidden files are passed over)";
        return Err(Trouble::new(path, what));
    }
    found.sort();
    let file = |path| Wanted {
        path,
        name: None,
        named: false,
    };
    Ok(found.into_iter().map(file).collect())
}

/// Links are passed over: what a pull request may put into a folder must not lead out of it, nor in circles.
fn walk(path: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), Trouble> {
    if depth > MAX_FOLDER_DEPTH {
        let what = format!("is more than {MAX_FOLDER_DEPTH} folders deep");
        return Err(Trouble::new(path, what));
    }
    let trouble = |error: io::Error| Trouble::new(path, error.to_string());
    for entry in fs::read_dir(path).map_err(trouble)? {
        let entry = entry.map_err(trouble)?;
        let kind = entry.file_type().map_err(trouble)?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let below = entry.path();
        if kind.is_dir() {
            walk(&below, depth.saturating_add(1), found)?;
        } else if kind.is_file() && has_extension(&below) {
            found.push(below);
        }
        if found.len() > MAX_FILES {
            return Err(Trouble::new(path, format!("has more than {MAX_FILES} files")));
        }
    }
    Ok(())
}

pub(crate) fn has_extension(path: &Path) -> bool {
    let extension = path
        .extension()
        .map(|extension| extension.to_string_lossy().to_lowercase());
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
}

/// Reads all bytes of a file, or of standard input.
///
/// # Errors
/// When it cannot be read, or has more bytes than it may have.
pub fn read(path: &Path) -> Result<Vec<u8>, Trouble> {
    let trouble = |error: io::Error| Trouble::new(path, error.to_string());
    if path.as_os_str() == "-" {
        return bounded(io::stdin().lock(), path);
    }
    bounded(File::open(path).map_err(trouble)?, path)
}

fn bounded(reader: impl Read, path: &Path) -> Result<Vec<u8>, Trouble> {
    let mut bytes = Vec::new();
    let mut reader = reader.take(MAX_FILE_BYTES.saturating_add(1));
    reader
        .read_to_end(&mut bytes)
        .map_err(|error| Trouble::new(path, error.to_string()))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_FILE_BYTES {
        return Err(Trouble::new(path, format!("has more than {MAX_FILE_BYTES} bytes")));
    }
    Ok(bytes)
}

/// Reads a file as text.
///
/// # Errors
/// When it cannot be read, or is no UTF-8.
pub fn read_text(path: &Path) -> Result<String, Trouble> {
    String::from_utf8(read(path)?).map_err(|_| Trouble::new(path, "is not UTF-8"))
}

/// What messages call a file.
pub fn shown(path: &Path) -> String {
    if path.as_os_str() == "-" {
        "<stdin>".to_owned()
    } else {
        path.to_string_lossy().into_owned()
    }
}
