//! What the compiler of documents refuses. The gate refuses the same and keeps the document that it had.

use crate::finding::{Code, Level};

/// All of them.
pub const ALL: &[&Code] = &[
    &SYNTAX,
    &REPEATED_MEMBER,
    &TOO_LARGE,
    &TOO_MANY,
    &TOO_MANY_PATTERNS,
    &UNKNOWN_FIELD,
    &MISSING,
    &WRONG_TYPE,
    &NOT_ONE_OF,
    &EMPTY,
    &NO_DEMAND,
    &EXPECTED,
    &ID,
    &PATTERN,
    &HOST,
    &BUNDLE,
    &CERTIFICATE,
    &SIGNER,
    &EXPRESSION,
    &TOO_MANY_EXPRESSIONS,
    &UNKNOWN_TRUST_DOMAIN,
    &REPEATED_TRUST_DOMAIN,
    &REPEATED_NAME,
    &ONE_SIDED_CAPTURE,
    &NEVER_MATCHES,
    &TOO_MANY_COMPARISONS,
];

/// The document cannot be read.
pub static SYNTAX: Code = Code {
    number: "SG0010",
    level: Level::Error,
    title: "the document cannot be read",
    why: "The gate keeps the document that it had, and refuses everybody where it had none.",
    example: "rules: [ { name: a",
    mend: "Mend the text where the mark stands.",
};

/// A member appears twice.
pub static REPEATED_MEMBER: Code = Code {
    number: "SG0011",
    level: Level::Error,
    title: "a member appears twice",
    why: "Readers differ in which of the two they take, so two people who read the document read two.",
    example: r"
mode: enforce
mode: dry_run
",
    mend: "Keep one of them.",
};

/// Too many bytes.
pub static TOO_LARGE: Code = Code {
    number: "SG0012",
    level: Level::Error,
    title: "too many bytes",
    why: "Everything that a document could make large has a bound, for memory of a worker is shared by all.",
    example: "version: (more than 128 bytes)",
    mend: "Make it shorter. docs/limits.md has all bounds.",
};

/// Too many entries.
pub static TOO_MANY: Code = Code {
    number: "SG0013",
    level: Level::Error,
    title: "too many entries",
    why: "Each entry of such a list costs something at each new connection.",
    example: "except: (more than 256 patterns)",
    mend: "Write patterns in place of many ids, or several rules.",
};

/// Too many revocations with patterns.
pub static TOO_MANY_PATTERNS: Code = Code {
    number: "SG0014",
    level: Level::Error,
    title: "too many revocations with patterns",
    why: "Each of them is compared with every id, so 256 is the bound.",
    example: "revoked: (more than 256 ids with `*` or `**`)",
    mend: "Revoke with fewer, broader patterns, or end the relationship.",
};

/// A member that does not exist.
pub static UNKNOWN_FIELD: Code = Code {
    number: "SG0015",
    level: Level::Error,
    title: "a member that does not exist",
    why: "A member that nobody reads is a rule that somebody believes in. So none is passed over.",
    example: r"
rules:
  - name: a
    efect: deny
",
    mend: "The message lists the members that there are. `svidgate schema document` lets an editor say so.",
};

/// A member that must be there is missing.
pub static MISSING: Code = Code {
    number: "SG0016",
    level: Level::Error,
    title: "a member that must be there is missing",
    why: "Without it the document has no meaning.",
    example: "rules: []",
    mend: "Add the member that the message names.",
};

/// Another type of value.
pub static WRONG_TYPE: Code = Code {
    number: "SG0017",
    level: Level::Error,
    title: "another type of value",
    why: "YAML turns words into numbers and truth values; the gate does not turn them back.",
    example: "version: 1",
    mend: r#"Put text in quotes: `version: "1"`."#,
};

/// Not one of the words that there are.
pub static NOT_ONE_OF: Code = Code {
    number: "SG0018",
    level: Level::Error,
    title: "not one of the words that there are",
    why: "A word that is not known has no meaning.",
    example: "mode: audit",
    mend: "Write one of the words of the message.",
};

/// An empty list.
pub static EMPTY: Code = Code {
    number: "SG0019",
    level: Level::Error,
    title: "an empty list",
    why: "An empty list may be what a template rendered to nothing. Whether it means nobody or everybody, its \
          readers would guess.",
    example: "from: []",
    mend: "Leave the member out where nothing is to be demanded.",
};

/// An object that demands nothing.
pub static NO_DEMAND: Code = Code {
    number: "SG0020",
    level: Level::Error,
    title: "an object that demands nothing",
    why: "An entry of `to` without a member would match everything, and may be what a template rendered to nothing.",
    example: "to: [ {} ]",
    mend: "Name what is to be demanded, or leave out `to`.",
};

/// A value of another form.
pub static EXPECTED: Code = Code {
    number: "SG0021",
    level: Level::Error,
    title: "a value of another form",
    why: "What has no meaning in its place would be passed over, or guessed at.",
    example: "to: [ { methods: [ get ] } ]",
    mend: "Write what the message says.",
};

/// No trust domain or SPIFFE ID.
pub static ID: Code = Code {
    number: "SG0022",
    level: Level::Error,
    title: "no trust domain or SPIFFE ID",
    why: "Ids are compared as bytes, so one that no certificate can have matches nobody.",
    example: "trust_domain: Prod.Example",
    mend: "Write it in lower case, as the SPIFFE ID specification has it.",
};

/// No pattern.
pub static PATTERN: Code = Code {
    number: "SG0023",
    level: Level::Error,
    title: "no pattern",
    why: "Patterns are no regular expressions: `*` is one whole segment, a final `**` any rest, `{name}` one \
          segment that is the same in the path.",
    example: r#"from: [ "spiffe://prod.example/ns/shop-*" ]"#,
    mend: "Write one pattern for each id, or take the whole segment: `/ns/*`.",
};

/// No host pattern.
pub static HOST: Code = Code {
    number: "SG0024",
    level: Level::Error,
    title: "no host pattern",
    why: "In a host `*` is one whole label and a first `**` any number of them.",
    example: r#"hosts: [ "api.example:8443" ]"#,
    mend: "Write the host without port; the port of the connection is `ports`.",
};

/// No SPIFFE bundle.
pub static BUNDLE: Code = Code {
    number: "SG0025",
    level: Level::Error,
    title: "no SPIFFE bundle",
    why: "A bundle that cannot be read whole brings no authority, and nobody of its trust domain gets in.",
    example: "bundle: { inline: { keys: [ {} ] } }",
    mend: "Take the bundle as SPIRE prints it: `spire-server bundle show -format spiffe`.",
};

/// No certificate.
pub static CERTIFICATE: Code = Code {
    number: "SG0026",
    level: Level::Error,
    title: "no certificate",
    why: "A certificate that cannot be read is part of no path.",
    example: r#"intermediates: [ "-----BEGIN CERTIFICATE-----" ]"#,
    mend: "Write the PEM text as a whole, with its line ends.",
};

/// A certificate that may not sign others.
pub static SIGNER: Code = Code {
    number: "SG0027",
    level: Level::Error,
    title: "a certificate that may not sign others",
    why: "As a hint for paths it would never lead anywhere.",
    example: "intermediates: [ (the certificate of a workload) ]",
    mend: "Take the certificate of the authority that issued the workloads.",
};

/// No regular expression.
pub static EXPRESSION: Code = Code {
    number: "SG0028",
    level: Level::Error,
    title: "no regular expression",
    why: "Expressions of headers match in linear time, so some constructs of others do not exist.",
    example: r#"headers: [ { name: x-env, matches: "(" } ]"#,
    mend: "Mend it as the message says. It is matched against the whole value.",
};

/// Too many regular expressions.
pub static TOO_MANY_EXPRESSIONS: Code = Code {
    number: "SG0029",
    level: Level::Error,
    title: "too many regular expressions",
    why: "A thousand of them may take 100 MiB and seconds to compile.",
    example: "rules: (with more than 1,000 different expressions)",
    mend: "Use `is` where a value is known, or one expression for several rules.",
};

/// A trust domain without a relationship.
pub static UNKNOWN_TRUST_DOMAIN: Code = Code {
    number: "SG0030",
    level: Level::Error,
    title: "a trust domain without a relationship",
    why: "Nobody of a trust domain that is not in `federation` gets in, so the rule would never match.",
    example: r#"from: [ "spiffe://partnr.example/api" ]"#,
    mend: "Mend the name, or add the relationship to `federation`.",
};

/// A trust domain twice.
pub static REPEATED_TRUST_DOMAIN: Code = Code {
    number: "SG0031",
    level: Level::Error,
    title: "a trust domain twice",
    why: "Two relationships with one trust domain would have two scopes and two ends.",
    example: r"
federation:
  - { trust_domain: partner.example }
  - { trust_domain: partner.example }
",
    mend: "Keep one, with the scopes of both.",
};

/// Two rules of one name.
pub static REPEATED_NAME: Code = Code {
    number: "SG0032",
    level: Level::Error,
    title: "two rules of one name",
    why: "The name stands in each record, and tells which rule decided.",
    example: r#"
rules:
  - { name: a, effect: allow, from: [ "spiffe://prod.example/x" ] }
  - { name: a, effect: deny, from: [ "spiffe://prod.example/y" ] }
"#,
    mend: "Give each rule a name of its own.",
};

/// A capture that only one side has.
pub static ONE_SIDED_CAPTURE: Code = Code {
    number: "SG0033",
    level: Level::Error,
    title: "a capture that only one side has",
    why: "A capture compares a segment of the id with one of the path. On one side alone it compares nothing.",
    example: r#"
from: [ "spiffe://prod.example/tenant/{t}" ]
to: [ { paths: [ "/invoices/**" ] } ]
"#,
    mend: "Write it on both sides, or `*` where any segment is meant.",
};

/// A rule that can never match.
pub static NEVER_MATCHES: Code = Code {
    number: "SG0034",
    level: Level::Error,
    title: "a rule that can never match",
    why: "A deny that never matches protects nothing, and the author of such an allow believes that something works.",
    example: r#"
from: [ "spiffe://prod.example/a" ]
except: [ "spiffe://prod.example/**" ]
"#,
    mend: "The message says why. Mend the exception, the scope or the rule.",
};

/// Too much to compare.
pub static TOO_MANY_COMPARISONS: Code = Code {
    number: "SG0035",
    level: Level::Error,
    title: "too much to compare",
    why: "Each `from` is compared with each exception and with the scope, so that none is left that never matches.",
    example: r"
from: (10,000 ids)
except: (256 patterns)
",
    mend: "Write patterns in place of many ids, or fewer exceptions.",
};
