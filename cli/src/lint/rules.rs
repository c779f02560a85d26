//! Rules by themselves.

use std::collections::HashMap;

use svidgate_policy::{
    IdPattern, Mode,
    analysis::patterns::{covers, covers_path},
    name::path::PathReading,
    pattern::path_pattern::PathPattern,
};

use crate::{
    codes::rules as codes,
    finding::Finding,
    input::{document::canonical, tree::Node},
    lint::view::{Listed, Rule, View},
    source::Place,
};

/// Longest list whose entries are compared with each other. Our decision: longer ones are written by programs.
const MAX_COMPARED: usize = 1_000;

pub(super) fn lint(view: &View<'_>, findings: &mut Vec<Finding>) {
    for rule in &view.rules {
        twins(view, rule, findings);
        who(view, rule, findings);
        methods(view, rule, findings);
        if rule.node.get("dry_run").is_some_and(is_true) {
            let sentence = format!("rule `{}` is in a dry run: it changes nothing", rule.name);
            findings.push(Finding::new(
                &codes::DRY_RUN,
                view.name_place(rule.node, "dry_run"),
                sentence,
            ));
        }
    }
    if view.configuration.mode == Mode::DryRun {
        let place = view.name_place(view.root, "mode");
        findings.push(Finding::new(
            &codes::DRY_RUN,
            place,
            "the document is in a dry run: everybody passes",
        ));
    }
    same_but_name(view, findings);
}

fn is_true(node: Node<'_>) -> bool {
    matches!(node.value(), crate::input::tree::Value::Bool(true))
}

/// Entries of a list that others of it cover.
fn twins(view: &View<'_>, rule: &Rule<'_>, findings: &mut Vec<Finding>) {
    for list in [&rule.from, &rule.except] {
        let entries: Vec<_> = list
            .iter()
            .map(|listed| (listed.node, listed.text, &listed.pattern))
            .collect();
        covered(view, &entries, covers, findings);
    }
    for paths in rule.to.iter().filter_map(|target| target.get("paths")) {
        let read = |node: Node<'_>| {
            // What is compared are segments, which lenient reading keeps as they are.
            PathPattern::parse(node.as_str()?, PathReading::Lenient).ok()
        };
        let patterns: Vec<_> = paths
            .items()
            .filter_map(|node| Some((node, node.as_str()?, read(node)?)))
            .collect();
        let entries: Vec<_> = patterns
            .iter()
            .map(|(node, text, pattern)| (*node, *text, pattern))
            .collect();
        covered(view, &entries, covers_path, findings);
    }
}

fn covered<P: PartialEq>(
    view: &View<'_>,
    entries: &[(Node<'_>, &str, &P)],
    covers: impl Fn(&P, &P) -> bool,
    findings: &mut Vec<Finding>,
) {
    if entries.len() > MAX_COMPARED {
        return;
    }
    for (index, (node, text, pattern)) in entries.iter().enumerate() {
        let broader = entries.iter().enumerate().find(|(other, (_, _, broader))| {
            // Of two that say the same the later one is said to be too much.
            *other != index && covers(broader, pattern) && (!covers(pattern, broader) || *other < index)
        });
        if let Some((_, (other, broader, _))) = broader {
            let sentence = format!("`{text}` says nothing beside `{broader}`");
            let finding = Finding::new(&codes::TWIN, view.place(*node), sentence)
                .right("leave it out, or narrow the other one if that says too much");
            findings.push(finding.also(view.place(*other), "matches all of it"));
        }
    }
}

fn who(view: &View<'_>, rule: &Rule<'_>, findings: &mut Vec<Finding>) {
    for from in &rule.from {
        let place = || view.place(from.node);
        if !rule.is_allow {
            if let Some((_, behind)) = from.text.split_once('{') {
                let name = behind.split('}').next().unwrap_or_default();
                let sentence = format!("`{{{name}}}` in a deny rule denies to each its own and lets it to all others");
                let finding = Finding::new(&codes::CAPTURE_IN_DENY, place(), sentence);
                findings.push(finding.right("write `*` where any segment is meant"));
            }
            continue;
        }
        match from.pattern.trust_domain() {
            None => {
                let sentence = format!("rule `{}` allows ids of any trust domain", rule.name);
                let finding = Finding::new(&codes::ANY_TRUST_DOMAIN, place(), sentence);
                findings.push(finding.right("name the trust domains: whoever federates later gets this, too"));
            }
            Some(name) if is_all_of_foreign(view, from) => {
                let sentence = format!(
                    "rule `{}` allows all ids of `{name}`, which issues them itself",
                    rule.name
                );
                let finding = Finding::new(&codes::ALL_OF_FOREIGN, place(), sentence);
                findings.push(finding.right("name the part that is meant, or give the relationship a `scope`"));
            }
            Some(_) => {}
        }
    }
}

fn is_all_of_foreign(view: &View<'_>, from: &Listed<'_>) -> bool {
    let Some(name) = from.pattern.trust_domain() else {
        return false;
    };
    let relationship = view.configuration.relationships.with(name);
    let is_foreign = *name != view.configuration.trust_domain;
    let all = IdPattern::parse(&format!("spiffe://{name}/**"));
    is_foreign
        && relationship.is_some_and(|relationship| relationship.scope.is_none())
        && all.is_ok_and(|all| covers(&from.pattern, &all))
}

fn methods(view: &View<'_>, rule: &Rule<'_>, findings: &mut Vec<Finding>) {
    if !rule.is_allow {
        return;
    }
    for methods in rule.to.iter().filter_map(|target| target.get("methods")) {
        let named = |wanted| methods.items().find(|method| method.as_str() == Some(wanted));
        if let (Some(get), None) = (named("GET"), named("HEAD")) {
            let sentence = format!("rule `{}` allows GET and not HEAD", rule.name);
            let finding = Finding::new(&codes::GET_ALONE, view.place(get), sentence);
            findings.push(finding.right("add HEAD where it is meant: caches, probes and some clients send it"));
        }
    }
}

fn same_but_name(view: &View<'_>, findings: &mut Vec<Finding>) {
    let mut known: HashMap<String, &Rule<'_>> = HashMap::with_capacity(view.rules.len());
    for rule in &view.rules {
        let said = rule.node.members().filter(|(member, _)| &*member.name != "name");
        let mut said: Vec<String> = said
            .filter_map(|(member, value)| Some(format!("{}:{}", member.name, canonical(value).ok()?)))
            .collect();
        said.sort_unstable();
        if let Some(first) = known.get(&said.join(",")) {
            let sentence = format!("rule `{}` says the same as rule `{}`", rule.name, first.name);
            let place: Place = view.rule_place(rule);
            let finding = Finding::new(&codes::SAME_BUT_NAME, place, sentence).right("keep one of them");
            findings.push(finding.also(view.rule_place(first), "the first one"));
        } else {
            known.insert(said.join(","), rule);
        }
    }
}
