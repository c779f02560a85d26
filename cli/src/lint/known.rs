//! Rules beside the ids that there are: entries of SPIRE, or a plain list.

use std::collections::{HashMap, HashSet};

use svidgate_policy::{
    SpiffeId, Timestamp,
    analysis::{Claimed, ClaimedGrants, ClaimedWay},
};

use crate::{
    codes::known as codes,
    finding::Finding,
    input::{
        tree::{Node, Value},
        yaml,
    },
    lint::view::View,
};

/// Most ids. Our decision: each pattern with a wildcard is held against all of its trust domain.
const MAX_KNOWN: usize = 200_000;
/// How many are named where many are meant.
const SHOWN: usize = 5;

/// Ids that are known, by trust domain.
#[derive(Debug, Default)]
pub struct KnownIds {
    ids: Vec<SpiffeId>,
    exact: HashSet<String>,
    /// Which of them are of a trust domain.
    by_trust_domain: HashMap<String, Vec<usize>>,
    /// Entries that are of no workload: agents, downstream servers, what is over.
    pub passed_over: usize,
}

/// Reads `spire-server entry show -output json`, a file of `entry create -data`, a list of ids in JSON or YAML, or one id a
/// line.
///
/// # Errors
/// What is wrong in it.
pub fn read_known(text: &str, now: Timestamp) -> Result<KnownIds, String> {
    let mut known = KnownIds::default();
    if text.trim_start().starts_with("spiffe://") {
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            known.add(line.trim(), &format!("line {}", index.saturating_add(1)))?;
        }
        return known.checked();
    }
    let tree = match crate::input::json::read(text) {
        Ok(tree) => tree,
        Err(_) => {
            let trees = yaml::read(text).map_err(|error| error.what)?;
            trees.into_iter().next().ok_or("is empty")?
        }
    };
    let root = tree.root().ok_or("is empty")?;
    let entries = root.get("entries").unwrap_or(root);
    if !entries.is_list() {
        return Err("expected a list of ids, or an object with `entries` as SPIRE prints it".to_owned());
    }
    for (index, entry) in entries.items().enumerate() {
        let place = format!("entry {}", index.saturating_add(1));
        match entry.as_str() {
            Some(id) => known.add(id, &place)?,
            None if is_workload(entry, now) => {
                let id = entry.get("spiffe_id").and_then(id);
                known.add(&id.ok_or(format!("{place}: expected `spiffe_id`"))?, &place)?;
            }
            None => known.passed_over = known.passed_over.saturating_add(1),
        }
    }
    known.checked()
}

/// An id, as text or as SPIRE prints it.
fn id(node: Node<'_>) -> Option<String> {
    if let Some(text) = node.as_str() {
        return Some(text.to_owned());
    }
    let part = |name| node.get(name).and_then(Node::as_str);
    Some(format!(
        "spiffe://{}{}",
        part("trust_domain")?,
        part("path").unwrap_or_default()
    ))
}

/// Whether a workload gets this entry's id as its SVID, today.
fn is_workload(entry: Node<'_>, now: Timestamp) -> bool {
    let is = |name| matches!(entry.get(name).map(Node::value), Some(Value::Bool(true)));
    let text = |name| entry.get(name).and_then(id).unwrap_or_default();
    let of_spire = |text: &str| text.split('/').nth(3) == Some("spire");
    let is_alias = text("parent_id").ends_with("/spire/server");
    let ends = match entry.get("expires_at").map(Node::value) {
        Some(Value::Number(seconds) | Value::Text(seconds, _)) => seconds.parse().unwrap_or_default(),
        Some(Value::Null | Value::Bool(_) | Value::List(_) | Value::Object(_)) | None => 0i64,
    };
    let is_over = ends > 0 && ends < now.as_second();
    !(is("downstream") || is("store_svid") || of_spire(&text("spiffe_id")) || is_alias || is_over)
}

impl KnownIds {
    fn add(&mut self, text: &str, place: &str) -> Result<(), String> {
        let id = SpiffeId::parse(text).map_err(|error| format!("{place}: `{text}`: {error}"))?;
        if !self.exact.insert(text.to_owned()) {
            return Ok(());
        }
        let of_domain = self.by_trust_domain.entry(id.trust_domain().to_string()).or_default();
        of_domain.push(self.ids.len());
        self.ids.push(id);
        Ok(())
    }

    fn checked(self) -> Result<Self, String> {
        if self.ids.is_empty() {
            return Err("has no id of a workload".to_owned());
        }
        if self.ids.len() > MAX_KNOWN {
            return Err(format!("has more than {MAX_KNOWN} ids"));
        }
        Ok(self)
    }

    /// How many ids there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    fn of(&self, trust_domain: &str) -> impl Iterator<Item = &SpiffeId> {
        let indices = self.by_trust_domain.get(trust_domain).into_iter().flatten();
        indices.filter_map(|index| self.ids.get(*index))
    }
}

pub(super) fn lint(view: &View<'_>, known: &KnownIds, findings: &mut Vec<Finding>) {
    for rule in &view.rules {
        for listed in rule.from.iter().chain(&rule.except) {
            let Some(name) = listed.pattern.trust_domain() else {
                continue;
            };
            // Of a trust domain of which no id is known nothing can be said.
            let is_known = known.by_trust_domain.contains_key(name.as_str());
            let is_listed = || known.exact.contains(listed.text);
            let is_matched = || known.of(name.as_str()).any(|id| listed.pattern.matches(id));
            if is_known && !is_listed() && !is_matched() {
                let sentence = format!("no known id matches `{}`", listed.text);
                let finding = Finding::new(&codes::MATCHES_NO_KNOWN, view.place(listed.node), sentence);
                findings.push(finding.right("a pattern that matches an id that there is, or none"));
            }
        }
    }
    let refused: Vec<_> = known.ids.iter().filter(|id| !has_grant(view, id)).collect();
    if !refused.is_empty() {
        let names: Vec<_> = refused.iter().take(SHOWN).map(|id| format!("`{id}`")).collect();
        let more = refused.len().saturating_sub(SHOWN);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        let sentence = format!(
            "{} of {} known ids have no grant: {}{more}",
            refused.len(),
            known.len(),
            names.join(", ")
        );
        let finding = Finding::new(&codes::NO_GRANT, view.name_place(view.root, "rules"), sentence);
        findings.push(finding.right("a rule for each that is to get in"));
    }
}

/// Whether anything is allowed to an id, as the gate finds out when it connects, or of what a hop brings.
fn has_grant(view: &View<'_>, id: &SpiffeId) -> bool {
    let configuration = view.configuration;
    let Ok(claimed) = Claimed::new(id.clone(), configuration, view.now) else {
        return false;
    };
    let grants = ClaimedGrants::of(&configuration.rules, &ClaimedWay::direct(claimed));
    grants.admit(view.now).is_allowed() || grants.is_brought(view.now)
}
