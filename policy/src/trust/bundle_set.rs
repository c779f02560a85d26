//! Which bundle has a trust domain now?

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;

use crate::{
    json::Json,
    name::id::TrustDomain,
    trust::{
        bundle::Bundle,
        bundle_error::{BundleError, MAX_BUNDLE_BYTES},
        jwt_key::JwtKeys,
    },
};

/// The bundles of several trust domains, each kept apart from the others (PV-3, FE-18).
#[derive(Debug, Default)]
pub struct BundleSet {
    bundles: BTreeMap<TrustDomain, Held>,
    /// The JWT keys of trust domains that have them from elsewhere than their bundle; `None` where they have not come.
    jwt_keys: BTreeMap<TrustDomain, Option<(Arc<JwtKeys>, Timestamp)>>,
}

/// A bundle, and until when its source may stay silent.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) bundle: Arc<Bundle>,
    /// From this moment on nothing of the trust domain is accepted (FE-15); `None` where the bundle has no source that
    /// could fall silent.
    pub(crate) stale_from: Option<Timestamp>,
}

impl BundleSet {
    /// Sets the bundle of a trust domain in place of any earlier one. It does not go stale.
    pub fn insert(&mut self, trust_domain: TrustDomain, bundle: impl Into<Arc<Bundle>>) {
        self.put(trust_domain, bundle.into(), None);
    }

    /// Sets the bundle of a trust domain in place of any earlier one, good until its source has been silent for too
    /// long.
    pub fn insert_until(&mut self, trust_domain: TrustDomain, bundle: impl Into<Arc<Bundle>>, stale_from: Timestamp) {
        self.put(trust_domain, bundle.into(), Some(stale_from));
    }

    fn put(&mut self, trust_domain: TrustDomain, bundle: Arc<Bundle>, stale_from: Option<Timestamp>) {
        self.bundles.insert(trust_domain, Held { bundle, stale_from });
    }

    /// Says that the JWT keys of a trust domain are these, good until their source has been silent for too long, or that they have
    /// not come, and never those of its bundle.
    pub fn set_jwt_keys(&mut self, trust_domain: TrustDomain, keys: Option<(Arc<JwtKeys>, Timestamp)>) {
        self.jwt_keys.insert(trust_domain, keys);
    }

    /// The JWT keys of a trust domain, and from when on they are stale.
    pub(crate) fn jwt_keys(&self, trust_domain: &TrustDomain) -> Option<(&JwtKeys, Option<Timestamp>)> {
        match self.jwt_keys.get(trust_domain) {
            Some(keys) => keys.as_ref().map(|(keys, stale_from)| (&**keys, Some(*stale_from))),
            None => self
                .held(trust_domain)
                .map(|held| (held.bundle.jwt_keys(), held.stale_from)),
        }
    }

    /// Takes the bundle of a trust domain away: nothing of it is accepted.
    pub fn remove(&mut self, trust_domain: &TrustDomain) {
        self.bundles.remove(trust_domain);
    }

    /// The bundle of a trust domain; none means that there is none, never that another would do.
    pub fn bundle(&self, trust_domain: &TrustDomain) -> Option<&Arc<Bundle>> {
        self.bundles.get(trust_domain).map(|held| &held.bundle)
    }

    pub(crate) fn held(&self, trust_domain: &TrustDomain) -> Option<&Held> {
        self.bundles.get(trust_domain)
    }

    /// All bundles, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&TrustDomain, &Bundle)> {
        self.bundles.iter().map(|(name, held)| (name, &*held.bundle))
    }

    /// Reads a SPIFFE bundle map, the state of the world for all its trust domains (Trust Domain and Bundle, 5.1.1).
    ///
    /// A member that is no bundle leaves its trust domain without one, which refuses its SVIDs; the errors come back
    /// beside the set (BN-23).
    ///
    /// # Errors
    /// When the document as a whole is no bundle map, or a name appears twice (BN-20).
    pub fn parse_map(text: &[u8]) -> Result<(Self, Vec<MemberError>), BundleError> {
        if text.len() > MAX_BUNDLE_BYTES {
            return Err(BundleError::TooLarge { bytes: text.len() });
        }
        let document = Json::parse(text).map_err(BundleError::Json)?;
        let Some(Json::Object(members)) = document.member("trust_domains") else {
            return Err(BundleError::NoTrustDomains);
        };
        let mut set = Self::default();
        let mut errors = Vec::new();
        for (name, member) in members {
            match (TrustDomain::parse(name.as_ref()), Bundle::from_json(member)) {
                (Ok(trust_domain), Ok(bundle)) => set.insert(trust_domain, bundle),
                (Err(_), _) => errors.push(MemberError {
                    name: name.to_string(),
                    error: None,
                }),
                (Ok(_), Err(error)) => errors.push(MemberError {
                    name: name.to_string(),
                    error: Some(error),
                }),
            }
        }
        Ok((set, errors))
    }
}

/// A member of a bundle map that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberError {
    /// The member's name.
    pub name: String,
    /// What is wrong with the bundle; `None` where the name is no trust domain.
    pub error: Option<BundleError>,
}
