//! The naive evaluator that the tests of `policy` use.

#[path = "../../policy/tests/contract/reference/compiled.rs"]
#[allow(dead_code, reason = "tests ask for more of it")]
pub(crate) mod compiled;
#[path = "../../policy/tests/contract/reference/evaluator.rs"]
pub(crate) mod evaluator;
