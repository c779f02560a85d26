//! Cedar, with the scopes that its manual recommends: `==` for one principal or action, `in` for groups.
//!
//! Ids and paths are entities whose parents are the shorter ids and paths. Each request comes with the entities that it
//! speaks of and no others.

use std::collections::{BTreeMap, HashSet};

use cedar_policy::{Authorizer, Context, Decision, Entities, Entity, EntityUid, PolicySet, Request};

use crate::{
    Engine,
    workload::{Asked, Rule, TRUST_DOMAIN, Who, ancestors},
};

/// Parsed policies.
#[derive(Debug)]
pub struct Cedar {
    authorizer: Authorizer,
    policies: PolicySet,
}

/// A request with its entities.
#[derive(Debug)]
pub struct Prepared {
    request: Request,
    entities: Entities,
}

impl Engine for Cedar {
    type Prepared = Prepared;

    const NAME: &'static str = "cedar";

    fn load(rules: &[Rule]) -> Self {
        let text: String = rules.iter().map(policy).collect();
        Self {
            authorizer: Authorizer::new(),
            policies: text.parse().expect("policies"),
        }
    }

    fn prepare(&self, asked: &Asked) -> Prepared {
        let mut entities = BTreeMap::new();
        add_with_ancestors(&mut entities, "Workload", &asked.id, TRUST_DOMAIN);
        add_with_ancestors(&mut entities, "Path", &asked.path, "");
        let action = uid("Action", asked.method);
        entities.insert(action.to_string(), Entity::new_no_attrs(action.clone(), HashSet::new()));
        let (principal, resource) = (uid("Workload", &asked.id), uid("Path", &asked.path));
        Prepared {
            request: Request::new(principal, action, resource, Context::empty(), None).expect("a request"),
            entities: Entities::from_entities(entities.into_values(), None).expect("entities"),
        }
    }

    fn allows(&mut self, prepared: &Prepared) -> bool {
        let Prepared { request, entities } = prepared;
        let response = self.authorizer.is_authorized(request, &self.policies, entities);
        response.decision() == Decision::Allow
    }
}

fn policy(rule: &Rule) -> String {
    let effect = if rule.allow { "permit" } else { "forbid" };
    let principal = match &rule.who {
        Who::Exactly(id) => format!("principal == Workload::\"{id}\""),
        Who::Below(id) => format!("principal in Workload::\"{id}\""),
    };
    let (method, below) = (rule.method, &rule.below);
    format!("{effect}({principal}, action == Action::\"{method}\", resource in Path::\"{below}\");\n")
}

fn uid(kind: &str, id: &str) -> EntityUid {
    let kind = kind.parse().expect("an entity type");
    EntityUid::from_type_name_and_id(kind, cedar_policy::EntityId::new(id))
}

fn add_with_ancestors(entities: &mut BTreeMap<String, Entity>, kind: &str, id: &str, root: &str) {
    let mut chain = ancestors(id, root).peekable();
    while let Some(id) = chain.next() {
        let parents = chain.peek().map(|parent| uid(kind, parent)).into_iter().collect();
        let own = uid(kind, id);
        entities.insert(own.to_string(), Entity::new_no_attrs(own, parents));
    }
}
