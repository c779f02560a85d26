//! Bundles that stand in the document.

use svidgate_policy::Bundle;

use crate::{
    codes::federation as codes,
    finding::{Finding, Level},
    input::{document::to_json, tree::Node},
    lint::{
        time::{SOON, days},
        view::View,
    },
};

pub(super) fn lint(view: &View<'_>, findings: &mut Vec<Finding>) {
    let own = view.configuration.trust_domain.as_str();
    bundle(view, view.root, own, findings);
    for relationship in &view.federation {
        let name = relationship
            .get("trust_domain")
            .and_then(Node::as_str)
            .unwrap_or_default();
        bundle(view, *relationship, name, findings);
    }
}

fn bundle(view: &View<'_>, node: Node<'_>, name: &str, findings: &mut Vec<Finding>) {
    let Some(inline) = node.at(&["bundle", "inline"]) else {
        return;
    };
    let Ok(text) = to_json(inline) else { return };
    let Ok(bundle) = Bundle::parse(text.as_bytes()) else {
        return;
    };
    let mut relationships = view.configuration.relationships.iter();
    let relationship = relationships.find(|relationship| relationship.trust_domain.as_str() == name);
    let source = relationship.and_then(|relationship| view.configuration.source_of(&relationship.trust_domain));
    let keys: Vec<Node<'_>> = inline.get("keys").into_iter().flat_map(Node::items).collect();
    for skipped in bundle.skipped() {
        let place = keys
            .get(skipped.index)
            .map_or_else(|| view.place(inline), |key| view.place(*key));
        let finding = Finding::new(
            &codes::KEY_NOT_USED,
            place,
            format!("the bundle of `{name}`: {skipped}"),
        );
        findings.push(finding.right("a bundle in which each key can be used; ask its publisher"));
    }
    if bundle.authority_count() == 1 && source.is_none() {
        let place = view.name_place(node, "bundle");
        let sentence = format!("the bundle of `{name}` has one authority, and no source to bring the next one");
        let finding = Finding::new(&codes::ONE_AUTHORITY, place, sentence);
        findings.push(finding.right("an `endpoint`, a Workload API, or the next authority beside it"));
    }
    // What is over is fetched anew where there is a source: the pin is only what counts until then.
    let is_all = source.is_none() && bundle.last_authority().is_some_and(|(_, end)| end < view.now);
    for key in keys {
        authority(view, key, name, is_all, findings);
    }
}

/// What is to be said of one authority.
fn authority(view: &View<'_>, key: Node<'_>, name: &str, is_all: bool, findings: &mut Vec<Finding>) {
    let Ok(text) = to_json(key) else { return };
    let Ok(alone) = Bundle::parse(format!("{{\"keys\":[{text}]}}").as_bytes()) else {
        return;
    };
    let Some((_, end)) = alone.last_authority() else { return };
    if alone.unusable_authorities() > 0 {
        let sentence =
            format!("an authority of `{name}` has a key that is too small, or of a kind that is not verified");
        let finding = Finding::new(&codes::KEY_NOT_USED, view.place(key), sentence);
        findings.push(finding.right("RSA from 2,048 to 4,096 bits, ECDSA on P-256, P-384 or P-521, or Ed25519"));
    }
    let sentence = if end < view.now {
        format!("an authority of `{name}` is over since {end}")
    } else if end.duration_since(view.now) <= SOON {
        format!("an authority of `{name}` ends in {}", days(view.now, end))
    } else {
        return;
    };
    let mut finding = Finding::new(&codes::AUTHORITY_ENDS, view.place(key), sentence)
        .right("the bundle as its publisher has it now, with the next authority");
    if is_all {
        // Nobody of this trust domain gets in.
        finding.level = Level::Error;
    }
    findings.push(finding);
}
