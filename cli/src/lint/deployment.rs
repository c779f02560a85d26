//! What the filters that carry a document can see of what it asks for.

use std::collections::HashSet;

use svidgate_policy::PeerOrigin;

use crate::{
    codes::deployment as codes,
    finding::Finding,
    input::{
        carrier::PLAIN,
        document::Carrier,
        tree::{Node, Value},
    },
    lint::view::View,
    source::Place,
};

/// Headers that Envoy writes, or takes from a proxy in front of it.
const OF_THE_PROXY: [&str; 12] = [
    "connection",
    "content-length",
    "forwarded",
    "te",
    "transfer-encoding",
    "via",
    "x-client-trace-id",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-request-id",
];

pub(super) fn lint(view: &View<'_>, findings: &mut Vec<Finding>) {
    headers(view, findings);
    source_addresses(view, findings);
    server_names(view, findings);
    // A document that stands by itself is read by our own reader.
    if view.document.carriers.iter().any(|carrier| carrier.kind != PLAIN) {
        other_words(view, view.root, &mut HashSet::new(), findings);
    }
}

/// Words without quotes that a reader of YAML 1.1 takes for something else than one of 1.2 does.
fn other_words(view: &View<'_>, node: Node<'_>, seen: &mut HashSet<usize>, findings: &mut Vec<Finding>) {
    let written = view.document.source.slice(node.range());
    let becomes = match node.value() {
        Value::Text(text, _) if written == &**text => other_truth(text).map(|truth| truth.to_string()),
        Value::Number(number) if written == &**number => other_number(number).map(|number| number.to_string()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(..) | Value::List(_) | Value::Object(_) => None,
    };
    if let Some(becomes) = becomes {
        let sentence = format!("`{written}` without quotes is `{becomes}` to the reader of Envoy or Kubernetes");
        findings.push(Finding::new(&codes::OTHER_WORD, view.place(node), sentence).right("put it in quotes"));
    }
    for below in node.items().chain(node.members().map(|(_, value)| value)) {
        if seen.insert(below.id()) {
            other_words(view, below, seen, findings);
        }
    }
}

fn other_truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "y" | "yes" | "on" => Some(true),
        "n" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// Digits behind a zero are octal there.
fn other_number(text: &str) -> Option<u64> {
    let digits = text.strip_prefix('0').filter(|digits| !digits.is_empty())?;
    let number = u64::from_str_radix(digits, 8).ok()?;
    (Some(number) != digits.parse().ok()).then_some(number)
}

fn headers(view: &View<'_>, findings: &mut Vec<Finding>) {
    for when in view.rules.iter().filter_map(|rule| rule.when) {
        let lists = ["headers", "not_headers"].into_iter().filter_map(|list| when.get(list));
        for name in lists.flat_map(Node::items).filter_map(|header| header.get("name")) {
            let text = name.as_str().unwrap_or_default();
            let lower = text.to_ascii_lowercase();
            if OF_THE_PROXY.contains(&lower.as_str()) || lower.starts_with("x-envoy-") {
                let sentence = format!("`{text}` is written by the proxy, by one before it, or by the client");
                let finding = Finding::new(&codes::HEADER_OF_PROXY, view.place(name), sentence);
                findings
                    .push(finding.right("`source_ips`, `hosts` or `routes`, or a header that only the client writes"));
            }
        }
    }
}

fn source_addresses(view: &View<'_>, findings: &mut Vec<Finding>) {
    let carriers = &view.document.carriers;
    let is_request = |carrier: &Carrier| carrier.root_id.as_deref() == Some("svidgate.request");
    if carriers.iter().all(is_request) {
        for place in conditions(view, &["source_ips", "not_source_ips"]) {
            let sentence = "the HTTP filter alone does not see the address of a connection: nobody meets this";
            let finding = Finding::new(&codes::NO_SOURCE_ADDRESS, place, sentence);
            findings.push(finding.right("put `svidgate.connection` with the same document in front"));
        }
    }
}

/// Conditions of all rules, by the places of their names.
fn conditions(view: &View<'_>, names: &[&str]) -> Vec<Place> {
    let whens = view.rules.iter().filter_map(|rule| rule.when);
    let named = whens.flat_map(|when| names.iter().map(move |name| (when, *name)));
    named
        .filter(|(when, name)| when.get(name).is_some())
        .map(|(when, name)| view.name_place(when, name))
        .collect()
}

fn server_names(view: &View<'_>, findings: &mut Vec<Finding>) {
    let is_inner = match view.configuration.peer {
        PeerOrigin::Handshake => false,
        PeerOrigin::Certificate { .. } | PeerOrigin::Id { .. } => true,
    };
    let text = view.document.source.text();
    // Envoy adds the inspector itself where filter chains are told apart by server names.
    let has_inspector = text.contains("tls_inspector") || text.contains("server_names");
    let is_listener = text.contains("filter_chains") && !has_inspector;
    let sentence = match (is_inner, is_listener) {
        (true, _) => "behind another listener there is no server name: it is unknown",
        (false, true) => "no listener of this file has the TLS inspector, so the server name is unknown",
        (false, false) => return,
    };
    for target in view.rules.iter().flat_map(|rule| &rule.to) {
        if target.get("sni").is_some() {
            let finding = Finding::new(&codes::NO_SERVER_NAME, view.name_place(*target, "sni"), sentence);
            findings.push(finding.right("`envoy.filters.listener.tls_inspector` among `listener_filters`, or `hosts`"));
        }
    }
}
