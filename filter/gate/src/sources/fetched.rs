//! What came from a source, parsed.

use std::{collections::BTreeSet, sync::Arc};

use svidgate_policy::{Bundle, Revocations, TrustDomain};

use crate::sources::{
    index::Content,
    jwt_bundles::{self, JwtBundles},
    key::Kind,
    workload_api::{self, BundlesMessage},
};

/// What came from a source, parsed.
#[derive(Clone, Debug)]
pub enum Fetched {
    /// The bundle of one trust domain.
    Bundle(Arc<Bundle>),
    /// A list of revocations.
    Revocations(Arc<Revocations>),
    /// The state of the world.
    WorkloadApi {
        /// As the newest message tells it.
        message: Arc<BundlesMessage>,
        /// Every trust domain that was ever in one.
        listed: Arc<BTreeSet<TrustDomain>>,
    },
    /// JWT keys of all trust domains.
    JwtBundles(Arc<JwtBundles>),
}

impl Fetched {
    /// Parses what a source sent.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn parse(kind: Kind, content: &Content) -> Result<Self, String> {
        let bytes = content.bytes.as_slice();
        match kind {
            Kind::Bundle => Bundle::parse(bytes)
                .map(|bundle| Self::Bundle(Arc::new(bundle)))
                .map_err(|error| error.to_string()),
            Kind::Revocations => Revocations::parse(bytes)
                .map(|list| Self::Revocations(Arc::new(list)))
                .map_err(|mistakes| mistakes.first().map(ToString::to_string).unwrap_or_default()),
            Kind::Document => Err("a document is no source".to_owned()),
            Kind::JwtBundles => JwtBundles::read(bytes)
                .map(|bundles| Self::JwtBundles(Arc::new(bundles)))
                .map_err(|error| error.to_string()),
            Kind::WorkloadApi => {
                let kept = content.kept.clone().unwrap_or_default();
                let message = BundlesMessage::read(bytes, &kept).map_err(|error| error.to_string())?;
                let before = content.listed.iter().filter_map(|name| TrustDomain::parse(name).ok());
                let unusable = message
                    .unusable
                    .iter()
                    .filter_map(|unusable| unusable.trust_domain.clone());
                let listed = before.chain(message.bundles.keys().cloned()).chain(unusable).collect();
                Ok(Self::WorkloadApi {
                    message: Arc::new(message),
                    listed: Arc::new(listed),
                })
            }
        }
    }

    /// The number that its publisher gave it.
    pub fn sequence(&self) -> Option<u64> {
        match self {
            Self::Bundle(bundle) => bundle.sequence(),
            Self::Revocations(list) => list.sequence(),
            Self::WorkloadApi { .. } | Self::JwtBundles(_) => None,
        }
    }

    /// How often its publisher wants to be asked, in seconds.
    pub fn refresh_hint(&self) -> Option<u64> {
        match self {
            Self::Bundle(bundle) => bundle.refresh_hint(),
            Self::Revocations(_) | Self::WorkloadApi { .. } | Self::JwtBundles(_) => None,
        }
    }

    /// The state of the world, where it is that.
    pub fn message(&self) -> Option<&BundlesMessage> {
        match self {
            Self::WorkloadApi { message, .. } => Some(message),
            Self::Bundle(_) | Self::Revocations(_) | Self::JwtBundles(_) => None,
        }
    }

    /// Every trust domain that a Workload API has ever listed.
    pub fn listed(&self) -> Vec<String> {
        match self {
            Self::WorkloadApi { listed, .. } => listed.iter().map(ToString::to_string).collect(),
            Self::Bundle(_) | Self::Revocations(_) | Self::JwtBundles(_) => Vec::new(),
        }
    }
}

/// A digest of what a source sent says.
pub(crate) fn content_digest(kind: Kind, bytes: &[u8]) -> Option<[u8; 32]> {
    match kind {
        Kind::Bundle | Kind::Revocations | Kind::Document => svidgate_policy::document::source::content_digest(bytes),
        Kind::WorkloadApi => workload_api::content_digest(bytes),
        Kind::JwtBundles => jwt_bundles::content_digest(bytes),
    }
}

/// What has been parsed can be handed to any thread of a host that has several.
const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<Fetched>();
};
