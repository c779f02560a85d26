//! Lints of rules: documents that compile and probably say something else than what is meant.

use crate::finding::{Code, Level};

/// All of them.
pub const ALL: &[&Code] = &[
    &SHADOWED,
    &REDUNDANT,
    &DEAD,
    &TWIN,
    &IDLE_EXCEPTION,
    &IDLE_DENY,
    &SAME_BUT_NAME,
    &ANY_TRUST_DOMAIN,
    &ALL_OF_FOREIGN,
    &GET_ALONE,
    &CAPTURE_IN_DENY,
    &DRY_RUN,
    &NO_RULE,
    &USE_NOT_DECIDED,
    &FAULT,
];

/// An allow rule of which everything is denied.
pub static SHADOWED: Code = Code {
    number: "SG0101",
    level: Level::Warning,
    title: "an allow rule of which everything is denied",
    why: "Deny rules come first, whatever the order. Whoever wrote the rule believes that something works. This was \
          decided for all identities and all requests, from now on; the finding has one of them.",
    example: r#"
- name: api
  effect: allow
  from: [ "spiffe://prod.example/api" ]
  to: [ { paths: [ "/admin/x" ] } ]
- name: no-admin
  effect: deny
  from: [ "spiffe://*/**" ]
  to: [ { paths: [ "/admin/**" ] } ]
"#,
    mend: "Leave the rule out, or take its callers out of the deny rule by `except`.",
};

/// A rule without which nothing is decided otherwise.
pub static REDUNDANT: Code = Code {
    number: "SG0102",
    level: Level::Warning,
    title: "a rule without which nothing is decided otherwise",
    why: "Other rules say all of it, too. Whoever takes it out later believes to have taken something from somebody. Of \
          rules that come to the same, the last is found: all that is found can go at once. This was decided for all \
          identities and all requests, from now on; the reason for which one is refused may be another without the \
          rule.",
    example: r#"
- { name: shop, effect: allow, from: [ "spiffe://prod.example/shop/**" ] }
- { name: api, effect: allow, from: [ "spiffe://prod.example/shop/api" ] }
"#,
    mend: "Leave it out, or narrow the other rules if they say more than they should.",
};

/// A rule that matches nothing.
pub static DEAD: Code = Code {
    number: "SG0103",
    level: Level::Warning,
    title: "a rule that matches nothing",
    why: "No request of anybody who may come in matches all that it demands: its \
          conditions contradict each other, its exceptions leave nobody, or relationships leave out whom it names. This \
          was decided for all identities and all requests, from now on.",
    example: r#"
from: [ "spiffe://prod.example/a" ]
when: { headers: [ { name: stage, is: test }, { name: stage, is: live } ] }
"#,
    mend: "Mend what contradicts, or leave the rule out.",
};

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
    why: "No id that `from` matches and that may come in is matched by the exception. It was probably meant for another \
          rule, or names an id that has moved.",
    example: r#"
from: [ "spiffe://prod.example/ns/shop/**" ]
except: [ "spiffe://prod.example/ns/ops/admin" ]
"#,
    mend: "Leave it out, or mend the pattern.",
};

/// A deny rule that denies nothing that is allowed.
pub static IDLE_DENY: Code = Code {
    number: "SG0106",
    level: Level::Note,
    title: "a deny rule that denies nothing that is allowed",
    why: "What no rule allows is refused without it. As a guard against rules that are added later it may well be meant; \
          else it was meant for something that is written differently. This was decided for all identities and all \
          requests, from now on.",
    example: r#"
- name: orders
  effect: allow
  from: [ "spiffe://prod.example/a" ]
  to: [ { paths: [ "/orders/**" ] } ]
- name: not-the-first
  effect: deny
  from: [ "spiffe://prod.example/a" ]
  to: [ { paths: [ "/order/1" ] } ]
"#,
    mend: "Compare what it says with the rules that allow something. Where it is a guard, bear the finding and say so.",
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

/// Whether rules are of use was not decided.
pub static USE_NOT_DECIDED: Code = Code {
    number: "SG0114",
    level: Level::Warning,
    title: "whether rules are of use was not decided",
    why: "To find out whether a rule comes to nothing beside all others takes a search, which is bounded. It also gives \
          no answer where that hangs on values of a header that a regular expression may match, or on paths with an \
          encoded slash. Such a rule may be shadowed, redundant, or of use.",
    example: r#"
- name: some
  effect: allow
  from: [ "spiffe://prod.example/a" ]
  when: { headers: [ { name: x, matches: "[a-f]{9}z+" } ] }
- name: but-not-these
  effect: deny
  from: [ "spiffe://prod.example/a" ]
  when: { headers: [ { name: x, matches: ".*a.*z" } ] }
"#,
    mend: "Nothing has to be mended. `svidgate diff` with a document without the rule may tell more.",
};

/// The gate decides otherwise than the analysis.
pub static FAULT: Code = Code {
    number: "SG0115",
    level: Level::Error,
    title: "the gate decides otherwise than the analysis says",
    why: "Each answer of the analysis is put before the code that decides in the proxy. Here the two do not agree: a \
          fault of svidgate. What the proxy does is what the gate says.",
    example: "A document for which this is found.",
    mend: "Please report it, with the document. Until it is mended, do not lean on SG0101 to SG0106 for this rule.",
};
