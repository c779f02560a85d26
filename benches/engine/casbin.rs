//! Casbin: its model for RBAC with deny override, groups of ids as roles, paths by `keyMatch`.
//!
//! Each demand that costs little stands before one that costs more. Casbin looks at every rule; its manual's advice for
//! many rules is to have fewer, or to load a part of them.

use casbin::{CachedApi as _, CachedEnforcer, CoreApi as _, DefaultCache, DefaultModel, Enforcer, StringAdapter};

use crate::{
    Engine,
    workload::{Asked, Rule, Who, ancestors},
};

const MODEL: &str = "
[request_definition]
r = sub, obj, act

[policy_definition]
p = sub, obj, act, eft

[role_definition]
g = _, _

[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))

[matchers]
m = r.act == p.act && keyMatch(r.obj, p.obj) && g(r.sub, p.sub)
";

/// Loaded rules.
pub struct Casbin(Enforcer);

impl Engine for Casbin {
    type Prepared = Asked;

    const NAME: &'static str = "casbin";

    fn load(rules: &[Rule]) -> Self {
        Self(
            block_on(Enforcer::new(
                block_on(DefaultModel::from_str(MODEL)).expect("a model"),
                adapter(rules),
            ))
            .expect("rules"),
        )
    }

    fn prepare(&self, asked: &Asked) -> Asked {
        asked.clone()
    }

    fn allows(&mut self, asked: &Asked) -> bool {
        self.0
            .enforce((&asked.id, &asked.path, asked.method))
            .expect("an answer")
    }
}

/// Loaded rules, and a memory of answers to requests that came before, letter for letter.
pub struct CasbinCached(CachedEnforcer);

impl Engine for CasbinCached {
    type Prepared = Asked;

    const NAME: &'static str = "casbin, the same request again, from its cache of answers";

    fn load(rules: &[Rule]) -> Self {
        let model = block_on(DefaultModel::from_str(MODEL)).expect("a model");
        let mut enforcer = block_on(CachedEnforcer::new(model, adapter(rules))).expect("rules");
        enforcer.set_cache(Box::new(DefaultCache::new(10_000)));
        Self(enforcer)
    }

    fn prepare(&self, asked: &Asked) -> Asked {
        asked.clone()
    }

    fn allows(&mut self, asked: &Asked) -> bool {
        self.0
            .enforce((&asked.id, &asked.path, asked.method))
            .expect("an answer")
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(future)
}

fn adapter(rules: &[Rule]) -> StringAdapter {
    let mut text = String::new();
    let mut groups: Vec<&str> = Vec::new();
    let mut members: Vec<&str> = Vec::new();
    for rule in rules {
        let sub = match &rule.who {
            Who::Exactly(id) => {
                members.push(id);
                id
            }
            Who::Below(id) => {
                groups.push(id);
                id
            }
        };
        let eft = if rule.allow { "allow" } else { "deny" };
        text.push_str(&format!("p, {sub}, {}/*, {}, {eft}\n", rule.below, rule.method));
    }
    groups.sort_unstable();
    members.sort_unstable();
    members.dedup();
    for member in members {
        for group in ancestors(member, "spiffe://").skip(1) {
            if groups.binary_search(&group).is_ok() {
                text.push_str(&format!("g, {member}, {group}\n"));
            }
        }
    }
    StringAdapter::new(text)
}
