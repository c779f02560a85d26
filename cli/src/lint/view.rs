//! A document as lints look at it: what was compiled, and the lines that it was compiled of.

use svidgate_policy::{Configuration, IdPattern, Timestamp};

use crate::{
    input::{document::Document, tree::Node},
    source::Place,
};

/// A document that compiles.
pub(super) struct View<'d> {
    pub(super) document: &'d Document,
    pub(super) configuration: &'d Configuration,
    pub(super) now: Timestamp,
    pub(super) root: Node<'d>,
    pub(super) rules: Vec<Rule<'d>>,
    pub(super) federation: Vec<Node<'d>>,
}

/// A rule, as far as lints ask about it.
pub(super) struct Rule<'d> {
    pub(super) node: Node<'d>,
    pub(super) name: &'d str,
    pub(super) is_allow: bool,
    pub(super) from: Vec<Listed<'d>>,
    pub(super) except: Vec<Listed<'d>>,
    pub(super) to: Vec<Node<'d>>,
    pub(super) when: Option<Node<'d>>,
    pub(super) expires: Option<(Node<'d>, Timestamp)>,
}

/// A pattern, and where it stands.
pub(super) struct Listed<'d> {
    pub(super) node: Node<'d>,
    pub(super) text: &'d str,
    pub(super) pattern: IdPattern,
}

impl<'d> View<'d> {
    pub(super) fn new(document: &'d Document, configuration: &'d Configuration, now: Timestamp) -> Option<Self> {
        let root = document.root()?;
        Some(Self {
            document,
            configuration,
            now,
            root,
            rules: root.get("rules").into_iter().flat_map(Node::items).map(rule).collect(),
            federation: root.get("federation").into_iter().flat_map(Node::items).collect(),
        })
    }

    /// Where something stands.
    pub(super) fn place(&self, node: Node<'_>) -> Place {
        Place::new(&self.document.source, node.range())
    }

    /// Where the name of a member stands, or what it is a member of.
    pub(super) fn name_place(&self, node: Node<'_>, name: &str) -> Place {
        let member = node.members().find(|(member, _)| *member.name == *name);
        let range = member.map_or_else(|| node.range(), |(member, _)| member.range.clone());
        Place::new(&self.document.source, range)
    }

    /// Where a rule is called what it is.
    pub(super) fn rule_place(&self, rule: &Rule<'_>) -> Place {
        self.place(rule.node.get("name").unwrap_or(rule.node))
    }

    /// Where a relationship says with whom.
    pub(super) fn relationship_place(&self, relationship: Node<'_>) -> Place {
        self.place(relationship.get("trust_domain").unwrap_or(relationship))
    }
}

fn rule(node: Node<'_>) -> Rule<'_> {
    let text = |name| node.get(name).and_then(Node::as_str);
    Rule {
        node,
        name: text("name").unwrap_or_default(),
        is_allow: text("effect") == Some("allow"),
        from: patterns(node.get("from")),
        except: patterns(node.get("except")),
        to: node.get("to").into_iter().flat_map(Node::items).collect(),
        when: node.get("when"),
        expires: moment(node, "expires"),
    }
}

fn patterns(list: Option<Node<'_>>) -> Vec<Listed<'_>> {
    let items = list.into_iter().flat_map(Node::items);
    let listed = items.filter_map(|node| {
        let text = node.as_str()?;
        let pattern = IdPattern::parse(text).ok()?;
        Some(Listed { node, text, pattern })
    });
    listed.collect()
}

/// A time that a member says.
pub(super) fn moment<'d>(node: Node<'d>, name: &str) -> Option<(Node<'d>, Timestamp)> {
    let value = node.get(name)?;
    Some((value, value.as_str()?.parse().ok()?))
}
