//! Findings about suppressions.

use crate::finding::{Code, Level};

/// All of them.
pub const ALL: &[&Code] = &[&UNUSED, &UNREADABLE];

/// A suppression of what is not there.
pub static UNUSED: Code = Code {
    number: "SG0041",
    level: Level::Warning,
    title: "a suppression of what is not there",
    why: "It would hide the next finding of its kind, which nobody has looked at.",
    example: r#"
# svidgate: allow SG0301 because agreed with legal
scope: [ "/ns/billing/**" ]
"#,
    mend: "Take it out.",
};

/// A suppression that cannot be read.
pub static UNREADABLE: Code = Code {
    number: "SG0042",
    level: Level::Error,
    title: "a suppression that cannot be read",
    why: "Without a reason nobody can say later whether it still holds.",
    example: "# svidgate: allow SG0301",
    mend: "Write it as `# svidgate: allow SG0301 because ...`, above the place or on its line. Errors cannot be \
          suppressed.",
};
