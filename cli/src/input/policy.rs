//! The one policy of a file.

use std::path::Path;

use svidgate_policy::analysis::Policy;

use crate::{
    finding::Finding,
    input::{compiled::compile, document::Document, files::Trouble, load::load},
};

/// A policy, as it is written and as it runs.
pub struct Read {
    /// As it is written.
    pub document: Document,
    /// As it runs.
    pub policy: Policy,
}

/// Why there is none.
#[derive(Debug)]
pub enum NotRead {
    /// What could not be read.
    Troubles(Vec<Trouble>),
    /// What is wrong in what was read.
    Mistakes(Vec<Finding>),
}

impl NotRead {
    /// One trouble with a file.
    pub fn trouble(path: &Path, what: impl Into<String>) -> Self {
        Self::Troubles(vec![Trouble {
            path: path.to_owned(),
            what: what.into(),
        }])
    }
}

/// Reads the one policy of a file.
///
/// # Errors
/// Where there is none, or more than one, or one with mistakes.
pub fn read(path: &Path) -> Result<Read, NotRead> {
    let mut loaded = load(&[path.to_owned()], false);
    if !loaded.troubles.is_empty() {
        return Err(NotRead::Troubles(loaded.troubles));
    }
    match (loaded.documents.pop(), loaded.documents.is_empty()) {
        (Some(document), true) => Read::of(document),
        (Some(_), false) => {
            let what = format!("carries several policies; say which, as {}#NAME", path.display());
            Err(NotRead::trouble(path, what))
        }
        (None, _) => Err(NotRead::Mistakes(loaded.findings)),
    }
}

impl Read {
    /// Compiles a document.
    ///
    /// # Errors
    /// Its mistakes.
    pub fn of(document: Document) -> Result<Self, NotRead> {
        let policy = compile(&document).map_err(NotRead::Mistakes)?;
        Ok(Self { document, policy })
    }
}
