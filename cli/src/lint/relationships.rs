//! Relationships with other trust domains, and lists of revocations.

use svidgate_policy::{Source, analysis::patterns::overlaps};

use crate::{
    codes::{federation as codes, rules::NO_RULE},
    finding::Finding,
    input::tree::Node,
    lint::view::View,
};

pub(super) fn lint(view: &View<'_>, findings: &mut Vec<Finding>) {
    for relationship in &view.federation {
        let name = relationship
            .get("trust_domain")
            .and_then(Node::as_str)
            .unwrap_or_default();
        for (member, code, right) in [
            (
                "scope",
                &codes::NO_SCOPE,
                "write the ids that were agreed on: `scope: [ \"/ns/billing/**\" ]`",
            ),
            (
                "owner",
                &codes::NO_OWNER,
                "write who answers for it, and where: `owner: payments, SEC-123`",
            ),
            (
                "expires",
                &codes::NO_END,
                "write when it is to be looked at again: `expires: 2027-01-31T00:00:00Z`",
            ),
        ] {
            if relationship.get(member).is_none() {
                let sentence = format!("the relationship with `{name}` has no `{member}`");
                let place = view.relationship_place(*relationship);
                findings.push(Finding::new(code, place, sentence).right(right));
            }
        }
        staleness(view, *relationship, name, findings);
        speaks_of(view, *relationship, name, findings);
    }
    staleness(view, view.root, view.configuration.trust_domain.as_str(), findings);
    if let Some(revocations) = view.root.get("revocations")
        && revocations.get("max_staleness").is_none()
    {
        let place = view.name_place(view.root, "revocations");
        let sentence = "how long the list counts while its endpoint is silent is not said";
        let finding = Finding::new(&codes::REVOCATIONS_STALE, place, sentence);
        findings
            .push(finding.right("write it: `max_staleness: 1h`; without it, it is that of the document, or 24 hours"));
    }
}

/// A bundle that may be older than any SVID that is in use.
fn staleness(view: &View<'_>, node: Node<'_>, name: &str, findings: &mut Vec<Finding>) {
    let configuration = view.configuration;
    let mut relationships = configuration.relationships.iter();
    let Some(relationship) = relationships.find(|relationship| relationship.trust_domain.as_str() == name) else {
        return;
    };
    let is_fetched = match configuration.source_of(&relationship.trust_domain) {
        Some(Source::WorkloadApi { .. } | Source::Endpoint(_)) => true,
        None => false,
    };
    if let Some(life) = relationship.svid_max_lifetime
        && is_fetched
        && relationship.max_staleness > life
    {
        let hours = |duration: svidgate_policy::SignedDuration| format!("{:#}", duration);
        let sentence = format!(
            "the bundle of `{name}` may be {} old, and its SVIDs live for {} at most",
            hours(relationship.max_staleness),
            hours(life)
        );
        let place = if node.get("max_staleness").is_some() {
            view.name_place(node, "max_staleness")
        } else {
            view.name_place(node, "svid_max_lifetime")
        };
        let finding = Finding::new(&codes::STALE_FOR_LONG, place, sentence);
        findings.push(finding.right("a `max_staleness` of at most that; without it, it is 24 hours"));
    }
}

fn speaks_of(view: &View<'_>, relationship: Node<'_>, name: &str, findings: &mut Vec<Finding>) {
    let Ok(all) = svidgate_policy::IdPattern::parse(&format!("spiffe://{name}/**")) else {
        return;
    };
    let allows = view.rules.iter().filter(|rule| rule.is_allow);
    let mut from = allows.flat_map(|rule| &rule.from);
    if !from.any(|from| overlaps(&from.pattern, &all)) {
        let sentence = format!("no allow rule speaks of `{name}`");
        let place = view.relationship_place(relationship);
        findings.push(Finding::new(&NO_RULE, place, sentence).right("a rule, or no relationship"));
    }
}
