//! What is one rule?

use jiff::Timestamp;

use crate::{
    pattern::{id_pattern::IdPattern, path_pattern::PathPattern},
    rules::{
        condition::{Conditions, When},
        effect::Effect,
        hop::Via,
    },
};

/// A rule: who (`from`, not `except`) may or may not do what (`to`, `when`), through whom (`via`), until when.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Rule {
    pub(crate) name: Box<str>,
    pub(crate) effect: Effect,
    pub(crate) from: Vec<IdPattern>,
    pub(crate) except: Vec<IdPattern>,
    pub(crate) via: Option<Via>,
    pub(crate) to: Vec<Target>,
    pub(crate) when: When,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) dry_run: bool,
    /// Whether it was read without a mistake.
    pub(crate) whole: bool,
}

/// What a rule is about. All that is demanded must hold; of a list, one entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    /// `None` is any path, and no path at all.
    pub(crate) paths: Option<Vec<PathPattern>>,
    pub(crate) conditions: Conditions,
}

impl Rule {
    /// Whether what it says of a target can only be known of a request.
    pub(crate) fn needs_request(&self, target: &Target) -> bool {
        let Conditions {
            methods,
            hosts,
            routes,
            ports: _,
            sni: _,
            encoded_slashes: _,
        } = &target.conditions;
        // A connection comes through nobody.
        let of_way = self.via.is_some_and(|via| !via.direct);
        let of_target = target.paths.is_some() || methods.is_some() || hosts.is_some() || routes.is_some();
        of_way || of_target || !self.when.headers.is_empty() || !self.when.not_headers.is_empty()
    }
}

/// A method or the name of a header (RFC 9110 5.6.2).
pub(crate) fn is_token(text: &[u8]) -> bool {
    let is_token_byte = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    !text.is_empty() && text.iter().all(is_token_byte)
}
