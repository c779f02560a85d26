//! Lints of rules: documents that compile and probably say something else than what is meant.

use crate::finding::{Code, Level};

/// All of them.
pub const ALL: &[&Code] = &[
    &TWIN,
    &IDLE_EXCEPTION,
    &SAME_BUT_NAME,
    &ANY_TRUST_DOMAIN,
    &ALL_OF_FOREIGN,
    &GET_ALONE,
    &CAPTURE_IN_DENY,
    &DRY_RUN,
    &NO_RULE,
];

/// An entry that another one of its list covers.
pub static TWIN: Code = Code {
    number: "SG0104",
    level: Level::Warning,
    title: "an entry that another one of its list covers",
    why: "Who reads the narrower entry believes that it says something. Often the broader one was meant to be \
          another.",
    example: r#"paths: [ "/admin", "/admin/**" ]"#,
    mend: "Leave out the narrower one: `/admin/**` matches `/admin`, too. If the broader one says more than it \
          should, write `/admin/*`.",
};

/// An exception that takes nothing out.
pub static IDLE_EXCEPTION: Code = Code {
    number: "SG0105",
    level: Level::Warning,
    title: "an exception that takes nothing out",
    why: "An exception that overlaps no `from` was probably meant for another rule, or names an id that has moved.",
    example: r#"
from: [ "spiffe://prod.example/ns/shop/**" ]
except: [ "spiffe://prod.example/ns/ops/admin" ]
"#,
    mend: "Leave it out, or mend the pattern.",
};

/// Two rules that differ in their names alone.
pub static SAME_BUT_NAME: Code = Code {
    number: "SG0107",
    level: Level::Warning,
    title: "two rules that differ in their names alone",
    why: "Whoever changes one of them later believes to have changed what is allowed.",
    example: r#"
- { name: a, effect: allow, from: [ "spiffe://prod.example/x" ] }
- { name: b, effect: allow, from: [ "spiffe://prod.example/x" ] }
"#,
    mend: "Keep one.",
};

/// An allow rule for any trust domain.
pub static ANY_TRUST_DOMAIN: Code = Code {
    number: "SG0108",
    level: Level::Warning,
    title: "an allow rule for any trust domain",
    why: "Each relationship that is added later gets this permission, without anybody who reads it thinking of \
          this rule.",
    example: r#"
effect: allow
from: [ "spiffe://*/ns/shop/**" ]
"#,
    mend: "Name the trust domains.",
};

/// An allow rule for all of a foreign trust domain.
pub static ALL_OF_FOREIGN: Code = Code {
    number: "SG0109",
    level: Level::Warning,
    title: "an allow rule for all of a foreign trust domain",
    why: "Who gets which id there is decided by others. Without a scope of the relationship each new workload \
          of theirs is let in.",
    example: r#"
effect: allow
from: [ "spiffe://partner.example/**" ]
"#,
    mend: "Name the part that is meant, or give the relationship a `scope`.",
};

/// GET without HEAD.
pub static GET_ALONE: Code = Code {
    number: "SG0110",
    level: Level::Note,
    title: "GET without HEAD",
    why: "HEAD is GET without the body, and caches, probes and some clients send it first. Methods are \
          compared one by one.",
    example: "methods: [ GET ]",
    mend: "Add HEAD, if it is meant. A page of a browser may need OPTIONS, too.",
};

/// A capture in a deny rule.
pub static CAPTURE_IN_DENY: Code = Code {
    number: "SG0111",
    level: Level::Warning,
    title: "a capture in a deny rule",
    why: "A capture demands that the id and the path have the same segment. So this rule denies to each its \
          own, and lets it to all others.",
    example: r#"
effect: deny
from: [ "spiffe://prod.example/tenant/{t}" ]
to: [ { paths: [ "/invoices/{t}" ] } ]
"#,
    mend: "Write `*` where any segment is meant.",
};

/// A document or a rule in a dry run.
pub static DRY_RUN: Code = Code {
    number: "SG0112",
    level: Level::Note,
    title: "a document or a rule in a dry run",
    why: "It is recorded and blocks nothing. Good for a while, and easily forgotten.",
    example: "mode: dry_run",
    mend: "Enforce it once the records show what was expected.",
};

/// A trust domain that no allow rule speaks of.
pub static NO_RULE: Code = Code {
    number: "SG0113",
    level: Level::Note,
    title: "a trust domain that no allow rule speaks of",
    why: "Its relationship is kept up and lets nobody in.",
    example: r"
federation: [ { trust_domain: partner.example } ]
rules: []
",
    mend: "Add a rule, or end the relationship.",
};
