//! What the compiler of documents refuses of hops. The gate refuses the same and keeps the document that it had.

use crate::finding::{Code, Level};

/// All of them.
pub const ALL: &[&Code] = &[&REPEATED, &UNKNOWN, &UNUSED, &BRINGS_HOP, &AMBIGUOUS];

/// Two hops of one name.
pub static REPEATED: Code = Code {
    number: "SG0036",
    level: Level::Error,
    title: "two hops of one name",
    why: "A rule names a hop in `via`, so of two with one name it would not be known which is meant.",
    example: "hops: [ { name: edge, ... }, { name: edge, ... } ]",
    mend: "Give one of them another name.",
};

/// A rule names a hop that is none.
pub static UNKNOWN: Code = Code {
    number: "SG0037",
    level: Level::Error,
    title: "a hop that is not known",
    why: "A rule that names nobody lets nobody through, or forbids nothing.",
    example: "via: [ egde ]",
    mend: "Write the name of an entry of `hops`, or `direct`.",
};

/// A hop that brings nobody.
pub static UNUSED: Code = Code {
    number: "SG0038",
    level: Level::Error,
    title: "a hop that brings nobody",
    why: "A peer that is a hop makes no requests of its own, and no rule lets anybody through whom it brings: it can do \
          nothing at all.",
    example: "hops: [ { name: edge, ... } ], and no rule with `via: [ edge ]`",
    mend: "Name it in `via` of an allow rule, or take it out.",
};

/// A hop that may bring a hop.
pub static BRINGS_HOP: Code = Code {
    number: "SG0039",
    level: Level::Error,
    title: "a hop that may bring a hop",
    why: "Who may speak for others is not spoken for: one hop could act as another, for all whom that one brings.",
    example: r#"
peers: [ "spiffe://prod.example/edge" ]
callers: [ "spiffe://prod.example/**" ]
"#,
    mend: "Take the peers of all hops out of its callers with `except`.",
};

/// One caller by two entries.
pub static AMBIGUOUS: Code = Code {
    number: "SG0040",
    level: Level::Error,
    title: "a caller that one peer may bring by two entries",
    why: "Rules name entries, so which rules there are for the request would be the peer's to choose.",
    example: r#"
- { name: a, peers: [ P ], callers: [ "spiffe://prod.example/**" ], ... }
- { name: b, peers: [ P ], callers: [ "spiffe://prod.example/x" ], ... }
"#,
    mend: "Add `except` to one of them, so that each caller is in one.",
};
