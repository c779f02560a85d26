//! The rooms of each crate, and the arrows between them: what is below knows nothing of what stands on it.

mod graph;

use std::fs;

use support::repository;

use self::graph::{Graph, Sources, circles, graph};

/// The sources of a crate, by their names below its folder.
fn sources(folder: &str) -> Sources {
    let root = repository().join(folder);
    let mut sources = Sources::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(&root).expect("below the root");
                sources.insert(name.display().to_string(), fs::read_to_string(&path).expect("a source"));
            }
        }
    }
    sources
}

/// The arrows of a crate between files.
fn of_crate(folder: &str) -> Graph {
    let found = graph(&sources(folder));
    assert!(found.len() > 5 && found.values().any(|files| !files.is_empty()));
    found
}

const CRATES: [&str; 1] = ["policy/src"];

#[test]
fn no_files_lead_back_to_themselves() {
    for folder in CRATES {
        let circles = circles(&of_crate(folder));
        assert!(circles.is_empty(), "{folder}: {circles:#?}");
    }
}
