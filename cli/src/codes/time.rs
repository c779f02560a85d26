//! Lints of what time changes.

use crate::finding::{Code, Level};

/// All of them.
pub const ALL: &[&Code] = &[&OVER, &ENDS_SOON, &NO_WINDOW, &ENDS_BEFORE_RULE, &LONG_LIFE];

/// Something that is over.
pub static OVER: Code = Code {
    number: "SG0201",
    level: Level::Warning,
    title: "something that is over",
    why: "A rule that has ended matches nothing, and a deny that has ended protects nothing. Who reads it may \
          not look at the date.",
    example: "expires: 2024-01-01T00:00:00Z",
    mend: "Take it out, or give it another end.",
};

/// Something that ends within 30 days.
pub static ENDS_SOON: Code = Code {
    number: "SG0202",
    level: Level::Warning,
    title: "something that ends within 30 days",
    why: "What it allows is refused from that moment on, and what is under way is cut.",
    example: "expires: (in 12 days)",
    mend: "Renew it, or let it end knowingly.",
};

/// Windows of time that never meet.
pub static NO_WINDOW: Code = Code {
    number: "SG0203",
    level: Level::Warning,
    title: "windows of time that never meet",
    why: "All of `time` is within `not_time`, so the rule never matches.",
    example: r#"
time: [ { from: "22:00", until: "02:00" } ]
not_time: [ { from: "20:00", until: "04:00" } ]
"#,
    mend: "Mend one of them. Times are in UTC.",
};

/// A relationship that ends before a rule that needs it.
pub static ENDS_BEFORE_RULE: Code = Code {
    number: "SG0204",
    level: Level::Warning,
    title: "a relationship that ends before a rule that needs it",
    why: "The rule says an end that nobody will see: its callers are refused earlier.",
    example: r#"
federation:
  - { trust_domain: partner.example, expires: 2027-01-01T00:00:00Z }
rules:
  - from: [ "spiffe://partner.example/a" ]
    expires: 2027-06-01T00:00:00Z
"#,
    mend: "Give both the same end, or the relationship a later one.",
};

/// A cap on lifetimes above 24 hours.
pub static LONG_LIFE: Code = Code {
    number: "SG0205",
    level: Level::Warning,
    title: "a cap on lifetimes above 24 hours",
    why: "A key that was stolen is good until its SVID ends. SPIRE issues for an hour, Istio for a day.",
    example: "svid_max_lifetime: 720h",
    mend: "Lower it to what the issuer is set to.",
};
