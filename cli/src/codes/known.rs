//! Lints with a list of ids that are known (`--known`).

use crate::finding::{Code, Level};

/// All of them.
pub const ALL: &[&Code] = &[&MATCHES_NO_KNOWN, &NO_GRANT];

/// A pattern that no known id matches.
pub static MATCHES_NO_KNOWN: Code = Code {
    number: "SG0501",
    level: Level::Warning,
    title: "a pattern that no known id matches",
    why: "It may have a slip, or name a workload that has moved.",
    example: r#"from: [ "spiffe://prod.example/ns/shpo/sa/api" ]"#,
    mend: "Mend the pattern, or take it out.",
};

/// Known ids that no allow rule speaks of.
pub static NO_GRANT: Code = Code {
    number: "SG0502",
    level: Level::Note,
    title: "known ids that no allow rule speaks of",
    why: "They are refused at the connection. Right for most, if not for all of them.",
    example: "(an entry of SPIRE that no rule matches)",
    mend: "Add a rule, if they are to get in.",
};
