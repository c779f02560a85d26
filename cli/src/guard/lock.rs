//! Does Envoy's RBAC behind svidgate let only what svidgate has let through pass?
//!
//! A lock counts where each way through it demands the mark. One that also lets others pass, or that denies what has a mark, is
//! none.

use super::{
    kinds::HTTP_RBAC_PER_ROUTE,
    message::{Node, Typed, Unread},
};

/// What svidgate leaves on a request that it lets through.
const MARK: &str = "wasm.svidgate.passed";
/// Its record of a connection.
const RECORD: &str = "wasm.svidgate";
/// What the record of a connection that was let through has.
const ALLOWED: &str = "\"decision\":\"allow\"";

/// What an RBAC filter comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lock {
    /// It lets through what svidgate let through, and nothing else.
    DemandsMark,
    /// It lets nothing through.
    DeniesAll,
    /// It is about something else, or lets all pass.
    Other,
}

impl Lock {
    /// An RBAC filter of a connection manager.
    pub(crate) fn of_requests(rbac: Node<'_>) -> Result<Self, Unread> {
        let matcher = rbac.member("matcher")?;
        if matcher.is_there() {
            return of_matcher(matcher);
        }
        of_rules(rbac.member("rules")?, &demands_mark)
    }

    /// What a route makes of it.
    pub(crate) fn of_route(typed: Typed<'_>) -> Result<Self, Unread> {
        if typed.kind != HTTP_RBAC_PER_ROUTE {
            return Ok(Self::Other);
        }
        let rbac = typed.message.member("rbac")?;
        if rbac.is_there() {
            Self::of_requests(rbac)
        } else {
            Ok(Self::Other)
        }
    }

    /// An RBAC filter of a chain.
    pub(crate) fn of_connections(rbac: Node<'_>) -> Result<Self, Unread> {
        if rbac.member("matcher")?.is_there() {
            return Ok(Self::Other);
        }
        of_rules(rbac.member("rules")?, &demands_record)
    }
}

type Demands = dyn Fn(Node<'_>) -> Result<bool, Unread>;

fn of_rules(rules: Node<'_>, demands: &Demands) -> Result<Lock, Unread> {
    // Without rules all pass; rules without a policy let nobody.
    if !rules.is_there() || rules.member("action")?.choice(&["ALLOW", "DENY", "LOG"])? != "ALLOW" {
        return Ok(Lock::Other);
    }
    let policies = rules.member("policies")?.entries()?;
    if policies.is_empty() {
        return Ok(Lock::DeniesAll);
    }
    for (_, policy) in policies {
        let principals = policy.member("principals")?.items()?;
        if principals.is_empty() {
            return Ok(Lock::Other);
        }
        for principal in principals {
            if !demands(principal)? {
                return Ok(Lock::Other);
            }
        }
    }
    Ok(Lock::DemandsMark)
}

fn demands_mark(principal: Node<'_>) -> Result<bool, Unread> {
    // Whatever the value: without the mark nothing matches.
    if principal.path(&["filter_state", "key"])?.text()? == MARK {
        return Ok(true);
    }
    any_of_and(principal, &demands_mark)
}

fn demands_record(principal: Node<'_>) -> Result<bool, Unread> {
    let state = principal.member("filter_state")?;
    if state.member("key")?.text()? == RECORD {
        let regex = state.path(&["string_match", "safe_regex", "regex"])?.text()?;
        // Each alternative is a decision to let through.
        return Ok(regex
            .trim_matches(['.', '*', '(', ')'])
            .split('|')
            .all(|one| one == ALLOWED || one == "\"dry_run\":true"));
    }
    any_of_and(principal, &demands_record)
}

fn any_of_and(principal: Node<'_>, demands: &Demands) -> Result<bool, Unread> {
    for id in principal.path(&["and_ids", "ids"])?.items()? {
        if demands(id)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Envoy Gateway writes a list of matchers: each one that allows must demand the mark, and what no one matches is denied.
fn of_matcher(matcher: Node<'_>) -> Result<Lock, Unread> {
    if matcher.member("matcher_tree")?.is_there() || !denies(matcher.path(&["on_no_match"])?)? {
        return Ok(Lock::Other);
    }
    let matchers = matcher.path(&["matcher_list", "matchers"])?.items()?;
    let mut allows = false;
    for one in matchers {
        if denies(one.member("on_match")?)? {
            continue;
        }
        allows = true;
        if !predicate_demands_mark(one.member("predicate")?)? {
            return Ok(Lock::Other);
        }
    }
    Ok(if allows { Lock::DemandsMark } else { Lock::DeniesAll })
}

/// What is not said to deny is taken for an allow. Nothing at all denies.
fn denies(on_match: Node<'_>) -> Result<bool, Unread> {
    if !on_match.is_there() {
        return Ok(true);
    }
    let Some(action) = on_match.path(&["action", "typed_config"])?.typed()? else {
        return Ok(false);
    };
    if action.kind != "envoy.config.rbac.v3.Action" {
        return Ok(false);
    }
    Ok(action.message.member("action")?.choice(&["ALLOW", "DENY", "LOG"])? == "DENY")
}

fn predicate_demands_mark(predicate: Node<'_>) -> Result<bool, Unread> {
    for one in predicate.path(&["and_matcher", "predicate"])?.items()? {
        if predicate_demands_mark(one)? {
            return Ok(true);
        }
    }
    let custom = predicate.path(&["single_predicate", "custom_match", "typed_config"])?;
    let Some(custom) = custom.typed()? else {
        return Ok(false);
    };
    let call = custom
        .message
        .path(&["expr_match", "cel_expr_parsed", "expr", "call_expr"])?;
    let [wanted, place] = &call.member("args")?.items()?[..] else {
        return Ok(false);
    };
    // `"wasm.svidgate.passed" in filter_state`
    Ok(call.member("function")?.text()? == "@in"
        && wanted.path(&["const_expr", "string_value"])?.text()? == MARK
        && place.path(&["ident_expr", "name"])?.text()? == "filter_state")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn marked() -> Value {
        json!({ "filter_state": { "key": "wasm.svidgate.passed", "string_match": { "safe_regex": { "regex": ".+" } } } })
    }

    fn of_rules(rules: Value) -> Lock {
        Lock::of_requests(Node::of(&json!({ "rules": rules }))).unwrap()
    }

    #[test]
    fn each_way_through_must_demand_the_mark() {
        let any = json!({ "any": true });
        let policy = |principals: Value| json!({ "permissions": [{ "any": true }], "principals": principals });
        for (policies, expected) in [
            (json!({ "a": policy(json!([marked()])) }), Lock::DemandsMark),
            (
                json!({ "a": policy(json!([{ "and_ids": { "ids": [any, marked()] } }])) }),
                Lock::DemandsMark,
            ),
            (
                json!({ "a": policy(json!([{ "or_ids": { "ids": [any, marked()] } }])) }),
                Lock::Other,
            ),
            (json!({ "a": policy(json!([marked(), any])) }), Lock::Other),
            (
                json!({ "a": policy(json!([marked()])), "b": policy(json!([any])) }),
                Lock::Other,
            ),
            (json!({ "a": policy(json!([{ "not_id": marked() }])) }), Lock::Other),
            (json!({ "a": policy(json!([])) }), Lock::Other),
            (json!({}), Lock::DeniesAll),
        ] {
            assert_eq!(of_rules(json!({ "policies": policies })), expected, "{policies}");
        }
    }

    #[test]
    fn denial_of_what_has_no_mark_is_no_lock() {
        let policies = json!({ "a": { "principals": [{ "not_id": marked() }] } });
        assert_eq!(of_rules(json!({ "action": "DENY", "policies": policies })), Lock::Other);
        assert_eq!(Lock::of_requests(Node::of(&json!({}))).unwrap(), Lock::Other);
    }

    #[test]
    fn lock_of_connections_lets_through_records_of_what_was_let_through() {
        let of = |regex: &str| {
            let principal = json!({ "filter_state": { "key": "wasm.svidgate", "string_match": { "safe_regex": { "regex": regex } } } });
            let rbac = json!({ "rules": { "policies": { "a": { "principals": [principal] } } } });
            Lock::of_connections(Node::of(&rbac)).unwrap()
        };
        assert_eq!(of(r#".*("decision":"allow"|"dry_run":true).*"#), Lock::DemandsMark);
        assert_eq!(of(r#".*("decision":"allow"|"decision":"deny").*"#), Lock::Other);
        assert_eq!(of(".+"), Lock::Other);
    }

    #[test]
    fn matcher_of_envoy_gateway_demands_the_mark() {
        let cel = |name: &str| {
            json!({ "onMatch": { "action": { "typedConfig": { "@type": "x/envoy.config.rbac.v3.Action", "name": "ALLOW" } } },
                "predicate": { "singlePredicate": { "customMatch": { "typedConfig": {
                    "@type": "x/xds.type.matcher.v3.CelMatcher", "exprMatch": { "celExprParsed": { "expr": { "callExpr": {
                        "function": "@in", "args": [ { "constExpr": { "stringValue": name } }, { "identExpr": { "name": "filter_state" } } ] } } } } } } } } })
        };
        let deny =
            json!({ "action": { "typedConfig": { "@type": "x/envoy.config.rbac.v3.Action", "action": "DENY" } } });
        let allow =
            json!({ "action": { "typedConfig": { "@type": "x/envoy.config.rbac.v3.Action", "name": "ALLOW" } } });
        let of = |name: &str, otherwise: &Value| {
            let rbac = json!({ "matcher": { "matcherList": { "matchers": [cel(name)] }, "onNoMatch": otherwise } });
            Lock::of_requests(Node::of(&rbac)).unwrap()
        };
        assert_eq!(of("wasm.svidgate.passed", &deny), Lock::DemandsMark);
        assert_eq!(of("wasm.svidgate.passed", &allow), Lock::Other);
        assert_eq!(of("wasm.other", &deny), Lock::Other);
    }
}
