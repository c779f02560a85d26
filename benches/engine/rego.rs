//! Rego in `regorus`: rules as data in nested objects, looked up by key, as OPA's manual recommends for speed ("use
//! objects over arrays"), and the policy compiled once for its entry point.
//!
//! A request brings all spellings of "below" for its id and path, so that no string is taken apart in Rego.

use std::sync::Arc;

use regorus::{
    CompiledPolicy, Rc, Value,
    languages::rego::compiler::Compiler,
    rvm::{program::Program, vm::RegoVM},
};
use serde_json::{Map, json};

use crate::{
    Engine,
    workload::{Asked, Rule, TRUST_DOMAIN, Who, ancestors},
};

const POLICY: &str = r#"
package svidgate

import rego.v1

default allow := false

allow if {
    permitted
    not forbidden
}

permitted if {
    some who in input.who
    some below in input.below
    data.allow[who][below][input.method]
}

forbidden if {
    some who in input.who
    some below in input.below
    data.deny[who][below][input.method]
}
"#;

const ENTRY_POINT: &str = "data.svidgate.allow";

/// A compiled policy with its data, for the interpreter.
#[derive(Debug)]
pub struct Rego(CompiledPolicy);

impl Engine for Rego {
    type Prepared = Value;

    const NAME: &'static str = "rego (regorus), interpreter";

    fn load(rules: &[Rule]) -> Self {
        Self(compiled(&data(rules)))
    }

    fn prepare(&self, asked: &Asked) -> Value {
        input(asked)
    }

    fn allows(&mut self, prepared: &Value) -> bool {
        self.0.eval_with_input(prepared.clone()).expect("an answer") == Value::from(true)
    }
}

/// The same, as a program for its virtual machine.
pub struct RegoMachine(RegoVM);

impl Engine for RegoMachine {
    type Prepared = Value;

    const NAME: &'static str = "rego (regorus), virtual machine";

    fn load(rules: &[Rule]) -> Self {
        let data = data(rules);
        let program: Arc<Program> = Compiler::compile_from_policy(&compiled(&data), &[ENTRY_POINT]).expect("a program");
        let mut machine = RegoVM::new();
        machine.load_program(program);
        machine.set_data(data).expect("data");
        Self(machine)
    }

    fn prepare(&self, asked: &Asked) -> Value {
        input(asked)
    }

    fn allows(&mut self, prepared: &Value) -> bool {
        self.0.set_input(prepared.clone());
        self.0.execute().expect("an answer") == Value::from(true)
    }
}

fn compiled(data: &Value) -> CompiledPolicy {
    let mut engine = regorus::Engine::new();
    engine
        .add_policy("svidgate.rego".to_owned(), POLICY.to_owned())
        .expect("a policy");
    engine.add_data(data.clone()).expect("data");
    engine
        .compile_with_entrypoint(&Rc::from(ENTRY_POINT))
        .expect("a compiled policy")
}

/// `{ "allow": { who: { below: { method: true } } }, "deny": ... }`, by way of its JSON text.
fn data(rules: &[Rule]) -> Value {
    let (mut allow, mut deny) = (Map::new(), Map::new());
    for rule in rules {
        let who = match &rule.who {
            Who::Exactly(id) => id.clone(),
            Who::Below(id) => format!("{id}/**"),
        };
        let effect = if rule.allow { &mut allow } else { &mut deny };
        let paths = effect.entry(who).or_insert_with(|| json!({}));
        paths[&rule.below][rule.method] = json!(true);
    }
    let text = json!({ "allow": allow, "deny": deny }).to_string();
    Value::from_json_str(&text).expect("data")
}

fn input(asked: &Asked) -> Value {
    let own = asked.id.clone();
    let shorter = ancestors(&asked.id, TRUST_DOMAIN).skip(1).map(|id| format!("{id}/**"));
    let who: Vec<String> = std::iter::once(own).chain(shorter).collect();
    let below: Vec<&str> = ancestors(&asked.path, "").collect();
    let input = json!({ "who": who, "below": below, "method": asked.method });
    Value::from_json_str(&input.to_string()).expect("an input")
}
