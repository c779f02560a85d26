//! What was read: a document as it runs, and its rules as they were written.
//!
//! What is compiled answers requests fast and has forgotten how its rules were written; an analysis needs both. Both
//! come of one reading of the same bytes, so that they cannot differ.

use crate::{
    document::{configuration::Configuration, reader::CompileError, settings::Format},
    rules::{reading::Reading, rule::Rule},
};

/// A document that compiles, with its rules.
#[derive(Debug)]
pub struct Policy {
    configuration: Configuration,
    /// In the order of the document, so that a rule's place here is its place there.
    pub(crate) rules: Vec<Rule>,
}

impl Policy {
    /// Compiles a document and keeps its rules.
    ///
    /// ```
    /// use svidgate_policy::{Format, analysis::Policy};
    ///
    /// let document = br#"{
    ///     "trust_domain": "prod.example", "chain": "proxy",
    ///     "rules": [{ "name": "all", "effect": "allow", "from": ["spiffe://prod.example/**"] }]
    /// }"#;
    /// let policy = Policy::read(document, Format::Json).unwrap();
    /// assert_eq!(policy.rule_names().collect::<Vec<_>>(), ["all"]);
    /// ```
    ///
    /// # Errors
    /// As [`Configuration::compile`].
    pub fn read(text: &[u8], format: Format) -> Result<Self, Vec<CompileError>> {
        let mut rules = Vec::new();
        let configuration = Configuration::compile_showing(text, format, |rule| rules.push(rule.clone()))?;
        Ok(Self { configuration, rules })
    }

    /// What runs.
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    pub(crate) fn reading(&self) -> Reading {
        self.configuration.rules.0.reading
    }

    /// The names of all rules, in the order of the document.
    pub fn rule_names(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| rule.name.as_ref())
    }
}
