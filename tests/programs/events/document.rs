//! A document of the module, simple enough that what it says can be known without asking the module.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};
use support::ca::{Authority, bundle_json};
use support::world::{OWN, PARTNER, World, with};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Api,
    Other,
    /// Of the federated trust domain.
    Partner,
}

impl Who {
    pub(crate) const ALL: [Who; 3] = [Who::Api, Who::Other, Who::Partner];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Who::Api => "api",
            Who::Other => "other",
            Who::Partner => "partner",
        }
    }

    pub(crate) fn id(self) -> String {
        match self {
            Who::Api | Who::Other => format!("spiffe://{OWN}/{}", self.name()),
            Who::Partner => format!("spiffe://{PARTNER}/ns/billing/partner"),
        }
    }

    fn place(self) -> usize {
        match self {
            Who::Api => 0,
            Who::Other => 1,
            Who::Partner => 2,
        }
    }
}

/// Where the bundle of the partner comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Inline,
    Endpoint,
    Workload,
}

/// The paths that there are.
pub(crate) const PATHS: [char; 3] = ['a', 'b', 'c'];

/// What a document says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Document {
    /// The paths that each may use.
    pub(crate) may: [String; 3],
    /// Whose ids are revoked.
    pub(crate) revoked: Option<Who>,
    /// Whether the authority of our own trust domain is no longer in its bundle.
    pub(crate) is_withdrawn: bool,
    /// After how many seconds of the episode its rules end.
    pub(crate) rules_end: Option<u64>,
    /// The same of the relationship with the partner's trust domain.
    pub(crate) relation_ends: Option<u64>,
    pub(crate) partner_from: Source,
}

impl Document {
    /// One that lets everyone do everything.
    pub(crate) fn open() -> Self {
        Document {
            may: ["abc".into(), "abc".into(), "abc".into()],
            revoked: None,
            is_withdrawn: false,
            rules_end: None,
            relation_ends: None,
            partner_from: Source::Inline,
        }
    }

    /// The paths that one may use.
    pub(crate) fn may_mut(&mut self, who: Who) -> &mut String {
        &mut self.may[who.place()]
    }

    /// Whether it surely denies: that a bundle may not be there yet is never held against the proxy. `path` is `None`
    /// for a TCP connection, `since` is the time of the episode.
    pub(crate) fn denies(&self, who: Who, path: Option<char>, since: Duration) -> bool {
        let paths = &self.may[who.place()];
        let is_over =
            |end: Option<u64>| end.is_some_and(|end| since > Duration::from_secs(end) + Duration::from_secs(1));
        let no_rule = match path {
            Some(path) => !paths.contains(path),
            None => paths.is_empty(),
        };
        no_rule
            || self.revoked == Some(who)
            || is_over(self.rules_end)
            || match who {
                // Where a Workload API lists our own trust domain, what the document brings for it counts no more.
                Who::Api | Who::Other => self.is_withdrawn && self.partner_from != Source::Workload,
                Who::Partner => is_over(self.relation_ends),
            }
    }

    /// As the module reads it. `successor` stands in for a withdrawn authority.
    pub(crate) fn json(&self, world: &World, successor: &Authority, is_tcp: bool) -> Value {
        let at = |seconds: u64| (world.now + SignedDuration::from_secs(seconds as i64)).to_string();
        let mut rules = Vec::new();
        for who in Who::ALL {
            let paths = &self.may[who.place()];
            if paths.is_empty() {
                continue;
            }
            let mut rule = json!({ "name": who.name(), "effect": "allow", "from": [who.id()] });
            if !is_tcp {
                let paths: Vec<String> = paths.chars().map(|path| format!("/{path}/**")).collect();
                rule["to"] = json!([{ "paths": paths }]);
            }
            if let Some(end) = self.rules_end {
                rule["expires"] = json!(at(end));
            }
            rules.push(rule);
        }
        let own = if self.is_withdrawn { successor } else { &world.own };
        let mut document = with(
            world.document(json!(rules)),
            json!({ "bundle": { "inline": bundle_json(&[own]) } }),
        );
        if is_tcp {
            document["listener"] = json!("tcp");
        }
        if let Some(who) = self.revoked {
            document["revoked"] = json!([{ "id": who.id(), "reason": "on purpose" }]);
        }
        let relation = &mut document["federation"][0];
        if let Some(end) = self.relation_ends {
            relation["expires"] = json!(at(end));
        }
        match self.partner_from {
            Source::Inline => {}
            Source::Endpoint => {
                relation["bundle"] =
                    json!({ "endpoint": { "cluster": "endpoint", "path": "/partner.json", "refresh": "1s" } });
            }
            Source::Workload => {
                relation.as_object_mut().expect("an object").remove("bundle");
                document["authorities"] = json!({ "workload_api": { "cluster": "agent" } });
            }
        }
        document
    }
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for who in Who::ALL {
            write!(f, "{}={} ", who.name(), self.may[who.place()])?;
        }
        let source = match self.partner_from {
            Source::Inline => "inline",
            Source::Endpoint => "endpoint",
            Source::Workload => "workload",
        };
        write!(f, "partner-from={source}")?;
        if let Some(who) = self.revoked {
            write!(f, " revoked={}", who.name())?;
        }
        if self.is_withdrawn {
            write!(f, " withdrawn=yes")?;
        }
        if let Some(end) = self.rules_end {
            write!(f, " rules-end={end}")?;
        }
        if let Some(end) = self.relation_ends {
            write!(f, " relation-ends={end}")?;
        }
        Ok(())
    }
}

impl FromStr for Document {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut document = Document {
            may: Default::default(),
            ..Document::open()
        };
        for word in text.split_whitespace() {
            let (name, value) = word.split_once('=').ok_or(format!("`{word}` is not name=value"))?;
            let seconds = || value.parse().map(Some).map_err(|_| format!("`{value}` is no number"));
            match name {
                "partner-from" => {
                    document.partner_from = match value {
                        "inline" => Source::Inline,
                        "endpoint" => Source::Endpoint,
                        "workload" => Source::Workload,
                        _ => return Err(format!("no source `{value}`")),
                    }
                }
                "revoked" => document.revoked = Some(value.parse()?),
                "withdrawn" => document.is_withdrawn = value == "yes",
                "rules-end" => document.rules_end = seconds()?,
                "relation-ends" => document.relation_ends = seconds()?,
                who => *document.may_mut(who.parse()?) = value.to_owned(),
            }
        }
        Ok(document)
    }
}

impl FromStr for Who {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Who::ALL.into_iter().find(|who| who.name() == text);
        found.ok_or(format!("nobody is called `{text}`"))
    }
}
