//! Findings of `svidgate test`.

use crate::finding::{Code, Level};

/// All of them.
pub const ALL: &[&Code] = &[
    &NOT_SO,
    &NOT_DECIDED,
    &DONE,
    &NOT_REACHED,
    &SURVIVED,
    &NO_TESTS,
    &NOT_TRIED,
];

/// A test claims what is not so.
pub static NOT_SO: Code = Code {
    number: "SG0701",
    level: Level::Error,
    title: "a test claims what is not so",
    why: "The policy answers otherwise than the test expects. Either has to change, and the test is what somebody once \
          wanted.",
    example: r"
- name: the shop reads orders
  id: spiffe://prod.example/ns/shop/sa/api
  deny: [ GET /orders/1 ]
",
    mend: "`svidgate explain --id ID REQUEST POLICY` says which rule answers, and which are near to answering otherwise.",
};

/// It could not be decided whether a claim holds.
pub static NOT_DECIDED: Code = Code {
    number: "SG0702",
    level: Level::Error,
    title: "it could not be decided whether a claim holds",
    why: "A claim about all identities and all requests is proved or disproved by a search, which has a bound. Over the \
          bound nothing is known, and that is never taken for a yes.",
    example: r"
- name: nobody near admin
  never: { from: [ spiffe://*/** ] }
",
    mend: "Say less at once: a narrower `from`, fewer paths. Several claims that each are decided say the same.",
};

/// A test that is marked as not holding holds.
pub static DONE: Code = Code {
    number: "SG0703",
    level: Level::Warning,
    title: "a test that is marked `todo` holds",
    why: "`todo: true` lets a test fail. This one does not need it, and would not tell if it failed again.",
    example: r"
- name: the shop reads orders
  todo: true
",
    mend: "Take `todo` out.",
};

/// A part of the policy that no request of the tests reaches.
pub static NOT_REACHED: Code = Code {
    number: "SG0704",
    level: Level::Note,
    title: "no request of the tests reaches this",
    why: "What no test meets could be taken out, and what keeps nobody out could be widened, without a test that says so.",
    example: r"
rules:
  - name: shop-reads-orders
    to: [ { methods: [ GET, HEAD ] } ]
",
    mend: "Add a request that meets it, and one that is denied because of it.",
};

/// A change that no test notices.
pub static SURVIVED: Code = Code {
    number: "SG0705",
    level: Level::Error,
    title: "no test notices this change",
    why: "The policy was changed in this one place, and answers some requests otherwise. All tests still passed.",
    example: r"
rules:
  - name: nobody-foreign-near-admin
    effect: deny
",
    mend: "Add a request, or a `never`, that fails when this is changed.",
};

/// Nothing tests a policy.
pub static NO_TESTS: Code = Code {
    number: "SG0706",
    level: Level::Error,
    title: "there are no tests",
    why: "`--require-tests` asks for them: a policy without tests passes all of them while it revokes everyone.",
    example: "svidgate test --require-tests deploy/",
    mend: "Write a file that ends in `.test.yaml` with `policy: FILE` and `tests:`; `svidgate new` writes one to begin with.",
};

/// Some of what was asked for was not looked at.
pub static NOT_TRIED: Code = Code {
    number: "SG0707",
    level: Level::Error,
    title: "not all was looked at, for want of time",
    why: "Each change of a policy is a policy of its own that is asked all tests, so that ten thousand rules would take hours. \
          What is left is never taken for what was noticed, or reached.",
    example: "svidgate test --mutants --max-seconds 60",
    mend: "Give it more time by `--max-seconds`, or split the policy.",
};
