//! Which source is it, and what does it give?

use std::fmt;

use svidgate_policy::{Source, digest::sha256};

/// What a source gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The bundle of one trust domain.
    Bundle,
    /// A list of revocations.
    Revocations,
    /// The bundles of all trust domains, with CRLs.
    WorkloadApi,
    /// The JWT keys of all trust domains.
    JwtBundles,
    /// No source: the lease says which worker speaks for a document.
    Document,
}

/// A source by what it gives and where it is; how often it is asked makes no other source of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceKey([u8; 16]);

impl Kind {
    /// What a source of bundles gives.
    pub fn of_bundles(source: &Source) -> Self {
        match source {
            Source::Endpoint(_) => Self::Bundle,
            Source::WorkloadApi { .. } => Self::WorkloadApi,
        }
    }
}

impl SourceKey {
    /// The key of a source of bundles.
    pub fn of_bundles(source: &Source) -> Self {
        Self::new(Kind::of_bundles(source), source)
    }

    /// The key of a source.
    pub fn new(kind: Kind, source: &Source) -> Self {
        let text = match source {
            Source::WorkloadApi { cluster } => format!("{kind:?}\0{cluster}"),
            Source::Endpoint(endpoint) => {
                format!(
                    "{kind:?}\0{}\0{}\0{}",
                    endpoint.cluster, endpoint.authority, endpoint.path
                )
            }
        };
        Self::of(&text)
    }

    /// The key of the lease for a document.
    pub fn of_document(digest: &[u8; 32]) -> Self {
        Self::of(&format!("{:?}\0{digest:?}", Kind::Document))
    }

    /// The key of what workers have learned of intermediates ([`crate::identity::hints`]).
    pub fn of_hints() -> Self {
        Self::of("hints")
    }

    /// The key of these bytes, where they are one.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().map(Self).ok()
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn of(text: &str) -> Self {
        let mut key = [0; 16];
        key.iter_mut()
            .zip(sha256(text.as_bytes()))
            .for_each(|(to, from)| *to = from);
        Self(key)
    }
}

impl fmt::Display for SourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
