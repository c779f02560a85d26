//! Lints of relationships, bundles and revocations.

use crate::finding::{Code, Level};

/// All of them.
pub const ALL: &[&Code] = &[
    &NO_SCOPE,
    &NO_OWNER,
    &NO_END,
    &STALE_FOR_LONG,
    &ONE_AUTHORITY,
    &AUTHORITY_ENDS,
    &KEY_NOT_USED,
    &REVOCATIONS_STALE,
];

/// A relationship without a scope.
pub static NO_SCOPE: Code = Code {
    number: "SG0301",
    level: Level::Warning,
    title: "a relationship without a scope",
    why: "All ids of the trust domain count, also those that it makes up tomorrow.",
    example: "federation: [ { trust_domain: partner.example } ]",
    mend: r#"Write the ids that were agreed on: `scope: [ "/ns/billing/**" ]`."#,
};

/// A relationship without an owner.
pub static NO_OWNER: Code = Code {
    number: "SG0302",
    level: Level::Note,
    title: "a relationship without an owner",
    why: "When its bundle goes stale or its end comes, the log names nobody to ask.",
    example: "federation: [ { trust_domain: partner.example } ]",
    mend: "Write who answers for it: `owner: payments platform, SEC-123`.",
};

/// A relationship without an end.
pub static NO_END: Code = Code {
    number: "SG0303",
    level: Level::Note,
    title: "a relationship without an end",
    why: "Contracts end and relationships are forgotten.",
    example: "federation: [ { trust_domain: partner.example } ]",
    mend: "Write when it is to be looked at again: `expires: 2027-01-31T00:00:00Z`.",
};

/// A bundle may be older than any SVID.
pub static STALE_FOR_LONG: Code = Code {
    number: "SG0304",
    level: Level::Warning,
    title: "a bundle may be older than any SVID",
    why: "What a publisher withdraws stays good while its source is silent. Longer than an SVID lives, every \
          SVID in use was issued after the last news.",
    example: r"
svid_max_lifetime: 1h
max_staleness: 24h
",
    mend: "Lower `max_staleness`. Without it, it is 24 hours.",
};

/// An inline bundle with one authority and no source.
pub static ONE_AUTHORITY: Code = Code {
    number: "SG0305",
    level: Level::Note,
    title: "an inline bundle with one authority and no source",
    why: "When the authority rotates, everybody is refused until a document with the next one is there.",
    example: "bundle: { inline: { keys: [ (one) ] } }",
    mend: "Add an `endpoint` or a Workload API, or write the next authority beside it before the rotation.",
};

/// An authority of an inline bundle that is over or ends within 30 days.
pub static AUTHORITY_ENDS: Code = Code {
    number: "SG0306",
    level: Level::Warning,
    title: "an authority of an inline bundle that is over or ends within 30 days",
    why: "Leaves that it issued are refused once it has ended.",
    example: "bundle: { inline: { keys: [ (one that ends in 12 days) ] } }",
    mend: "Write the bundle anew, with the next authority.",
};

/// A key of an inline bundle that is not used.
pub static KEY_NOT_USED: Code = Code {
    number: "SG0307",
    level: Level::Warning,
    title: "a key of an inline bundle that is not used",
    why: "It is meant for us and cannot be read, or is weaker than what is accepted. Leaves that it issued are \
          refused.",
    example: "keys: [ { kty: RSA, use: x509-svid, x5c: [ (1,024 bits) ] } ]",
    mend: "Ask the publisher for a bundle without it, or with another key in its place.",
};

/// Revocations without `max_staleness`.
pub static REVOCATIONS_STALE: Code = Code {
    number: "SG0308",
    level: Level::Note,
    title: "revocations without `max_staleness`",
    why: "How long a list counts while its endpoint is silent is then 24 hours: an attacker who silences it \
          has as much.",
    example: "revocations: { endpoint: { cluster: revocations, path: /revoked.json } }",
    mend: "Write it: `max_staleness: 1h`.",
};
