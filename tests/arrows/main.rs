//! The rooms of each crate, and the arrows between them: what is below knows nothing of what stands on it.

mod graph;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use support::repository;

use self::graph::{Graph, Sources, circles, graph};

/// What lies in the folder of a crate itself, beside its rooms.
const GROUND: &str = "ground";

/// A room, and the rooms that it may speak of.
type Room = (&'static str, &'static [&'static str]);

/// The crates, by the folder of their sources, and their rooms from the bottom up.
const HOUSE: [(&str, &[Room]); 5] = [
    (
        "policy/src",
        &[
            (GROUND, &[]),
            ("name", &[GROUND]),
            ("pattern", &[GROUND, "name"]),
            ("certificate", &[GROUND, "name"]),
            ("trust", &[GROUND, "name", "pattern", "certificate"]),
            ("rules", &[GROUND, "name", "pattern", "trust"]),
            (
                "document",
                &[GROUND, "name", "pattern", "certificate", "trust", "rules"],
            ),
            ("analysis", &[GROUND, "name", "pattern", "trust", "rules", "document"]),
        ],
    ),
    (
        "filter/gate/src",
        &[
            (GROUND, &[]),
            ("peer", &[GROUND]),
            ("record", &[GROUND]),
            ("sources", &[GROUND]),
            ("identity", &[GROUND, "peer", "record", "sources"]),
            ("worker", &[GROUND, "peer", "record", "sources", "identity"]),
            ("plugin", &[GROUND, "peer", "record", "identity", "worker"]),
        ],
    ),
    (
        "cli/src",
        &[
            (GROUND, &[]),
            ("codes", &[GROUND]),
            ("input", &[GROUND, "codes"]),
            ("report", &[GROUND]),
            ("options", &[GROUND, "report"]),
            ("suppression", &[GROUND, "codes", "input"]),
            ("lint", &[GROUND, "codes", "input"]),
            ("testing", &[GROUND, "input"]),
            ("schema", &["testing"]),
            ("explaining", &[GROUND, "input", "report"]),
            ("comparing", &[GROUND, "codes", "input", "report"]),
            ("guard", &[GROUND, "codes", "input", "report"]),
            ("render", &[GROUND, "input"]),
            (
                "command",
                &[
                    GROUND,
                    "codes",
                    "input",
                    "report",
                    "options",
                    "suppression",
                    "lint",
                    "testing",
                    "schema",
                    "explaining",
                    "comparing",
                    "guard",
                    "render",
                ],
            ),
            ("arguments", &[GROUND, "command"]),
        ],
    ),
    ("filter/wasm/src", &[(GROUND, &[])]),
    ("filter/native/src", &[(GROUND, &[])]),
];

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

/// The room of a file; none for `lib.rs`, in which all stand.
fn room<'f>(file: &'f str, rooms: &[Room]) -> Option<&'f str> {
    let name = file
        .split_once('/')
        .map_or(file.trim_end_matches(".rs"), |(room, _)| room);
    match name {
        "lib" => None,
        name if rooms.iter().any(|(room, _)| *room == name) => Some(name),
        _ => Some(GROUND),
    }
}

/// Between rooms, with the files that one is drawn for.
fn arrows<'g>(graph: &'g Graph, rooms: &[Room]) -> BTreeMap<(&'g str, &'g str), BTreeSet<String>> {
    let mut arrows: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for (file, others) in graph {
        for other in others {
            if let (Some(from), Some(to)) = (room(file, rooms), room(other, rooms))
                && from != to
            {
                arrows
                    .entry((from, to))
                    .or_default()
                    .insert(format!("{file} -> {other}"));
            }
        }
    }
    arrows
}

#[test]
fn no_files_lead_back_to_themselves() {
    for (folder, _) in HOUSE {
        let circles = circles(&graph(&sources(folder)));
        assert!(circles.is_empty(), "{folder}: {circles:#?}");
    }
}

/// What is allowed and not drawn is a line of the table that has outlived its reason.
#[test]
fn rooms_speak_of_those_below_them_and_of_no_other() {
    for (folder, rooms) in HOUSE {
        let graph = graph(&sources(folder));
        let drawn = arrows(&graph, rooms);
        let allowed: BTreeSet<_> = rooms
            .iter()
            .flat_map(|(from, below)| below.iter().map(move |to| (*from, *to)))
            .collect();
        let breaches: Vec<_> = drawn.iter().filter(|(arrow, _)| !allowed.contains(*arrow)).collect();
        assert!(breaches.is_empty(), "{folder}: {breaches:#?}");
        let idle: Vec<_> = allowed.iter().filter(|arrow| !drawn.contains_key(*arrow)).collect();
        assert!(idle.is_empty(), "{folder}: nothing is drawn for {idle:?}");
    }
}

/// `a.rs` speaks of `b.rs`, and `b.rs` has this.
fn planted(lib: &str, back: &str) -> Vec<BTreeSet<String>> {
    let source = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    circles(&graph(&Sources::from([
        source("lib.rs", &format!("mod a;\nmod b;\nmod c;\n{lib}")),
        source(
            "a.rs",
            "use crate::b::Thing;\npub struct Other(Thing);\npub const N: usize = 1;\n",
        ),
        source("b.rs", &format!("{back}\npub struct Thing;\n")),
        source("c.rs", "pub use crate::a::Other as Handed;\npub mod d;\n"),
        source("c/d.rs", "pub struct Deep;\n"),
    ])))
}

#[test]
fn circle_of_every_kind_is_seen() {
    for (lib, back) in [
        ("", "use crate::a::Other;"),
        ("", "use crate::{a::Other as Renamed};"),
        ("", "use crate::a::*;"),
        ("", "use super::a::Other;"),
        ("", "use crate::a;"),
        ("", "fn f() -> usize { crate::a::N }"),
        ("", "fn f(_: &super::a::Other) {}"),
        ("", "fn f() { println!(\"{}\", crate::a::N); }"),
        ("", "mod inner { use super::super::a::Other; }"),
        ("", "use crate::c::Handed;"),
        ("pub use a::Other;", "use crate::Other;"),
        ("pub use a::*;", "fn f(_: crate::Other) {}"),
        ("pub use c::Handed;", "fn f(_: crate::Handed) {}"),
    ] {
        let found = planted(lib, back);
        assert_eq!(found.len(), 1, "{lib} {back}");
        assert!(
            found[0].contains("a.rs") && found[0].contains("b.rs"),
            "{lib} {back}: {found:?}"
        );
    }
}

#[test]
fn what_leads_elsewhere_is_no_circle() {
    for back in [
        "",
        "use std::a::Other;",
        "pub(crate) struct Mine;",
        "#[cfg(test)]\nmod tests { use crate::a::Other; }",
        "use crate::c::d::Deep;",
        "fn a() {}",
    ] {
        assert_eq!(planted("", back), Vec::<BTreeSet<String>>::new(), "{back}");
    }
}
