//! What does a document say that is probably not meant?
//!
//! A compiler refuses what has no meaning. What has one and is probably another than its author's is found here, each kind
//! by itself.

mod bundles;
mod deployment;
mod known;
mod relationships;
mod rules;
mod time;
mod uses;
mod view;

use svidgate_policy::{Timestamp, analysis::Policy};

use crate::{finding::Finding, input::document::Document};

pub use self::known::{KnownIds, read_known};
use self::view::View;

/// Looks at a document that compiles.
pub fn lint(document: &Document, policy: &Policy, now: Timestamp, known: Option<&KnownIds>) -> Vec<Finding> {
    let Some(view) = View::new(document, policy.configuration(), now) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    rules::lint(&view, &mut findings);
    time::lint(&view, &mut findings);
    relationships::lint(&view, &mut findings);
    bundles::lint(&view, &mut findings);
    deployment::lint(&view, &mut findings);
    uses::lint(&view, policy, &mut findings);
    if let Some(known) = known {
        known::lint(&view, known, &mut findings);
    }
    findings
}
