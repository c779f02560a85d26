//! What does a document need of its sources?

use std::cmp::Ordering;

use jiff::SignedDuration;
use svidgate_policy::{Configuration, Source, TrustDomain};

use crate::sources::key::{Kind, SourceKey};

/// What a document needs from a source.
#[derive(Clone, Debug)]
pub struct Want {
    /// What it gives.
    pub kind: Kind,
    /// Where it is.
    pub source: Source,
    /// How long it may be silent.
    pub max_staleness: SignedDuration,
    /// The sequence of the bundle to start from, below which nothing is taken.
    pub pinned_sequence: Option<u64>,
}

impl Want {
    /// The key of the source.
    pub fn key(&self) -> SourceKey {
        SourceKey::new(self.kind, &self.source)
    }

    /// The same source wanted by two documents: the stricter demand counts.
    pub(crate) fn and(self, other: &Self) -> Self {
        Self {
            max_staleness: self.max_staleness.min(other.max_staleness),
            // What a document pins is of the publisher that it means.
            pinned_sequence: match self.source.epoch().cmp(&other.source.epoch()) {
                Ordering::Less => other.pinned_sequence,
                Ordering::Equal => self.pinned_sequence.max(other.pinned_sequence),
                Ordering::Greater => self.pinned_sequence,
            },
            source: sooner(self.source, &other.source),
            ..self
        }
    }
}

/// Of two endpoints that differ in how often they are asked, the one that is asked more often; in the later epoch.
fn sooner(source: Source, other: &Source) -> Source {
    match (source, other) {
        (Source::Endpoint(mut endpoint), Source::Endpoint(other)) => {
            endpoint.refresh = endpoint.refresh.into_iter().chain(other.refresh).min();
            endpoint.epoch = endpoint.epoch.max(other.epoch);
            Source::Endpoint(endpoint)
        }
        (source, _) => source,
    }
}

/// The sources of a document.
pub fn wants(configuration: &Configuration) -> Vec<Want> {
    let sequence = |name: &TrustDomain| configuration.bundles.bundle(name).and_then(|bundle| bundle.sequence());
    let max_staleness = |name: &TrustDomain| {
        let relationship = configuration.relationships.with(name);
        relationship.map_or(SignedDuration::ZERO, |relationship| relationship.max_staleness)
    };
    let bundles = configuration.endpoints.iter().map(|(name, source)| Want {
        kind: Kind::Bundle,
        source: source.clone(),
        max_staleness: max_staleness(name),
        pinned_sequence: sequence(name),
    });
    let workload_api = configuration.workload_api.iter().map(|source| Want {
        kind: Kind::WorkloadApi,
        source: source.clone(),
        max_staleness: max_staleness(&configuration.trust_domain),
        pinned_sequence: None,
    });
    let jwt_bundles = configuration
        .workload_api
        .iter()
        .filter(|_| configuration.tokens.is_some());
    let jwt_bundles = jwt_bundles.map(|source| Want {
        kind: Kind::JwtBundles,
        source: source.clone(),
        max_staleness: max_staleness(&configuration.trust_domain),
        pinned_sequence: None,
    });
    let revocations = configuration.revocations.iter().map(|revocations| Want {
        kind: Kind::Revocations,
        source: revocations.source.clone(),
        max_staleness: revocations.max_staleness,
        pinned_sequence: None,
    });
    bundles
        .chain(workload_api)
        .chain(jwt_bundles)
        .chain(revocations)
        .collect()
}
