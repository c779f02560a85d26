//! What one document holds identities against, now: the bundle of each trust domain and the lists of revocations, from
//! the document itself and from the sources that it names.
//!
//! A trust domain has one bundle at a time. Where it has an endpoint, that is its source; else a Workload API that
//! lists it; else what the document brings. A bundle in the document beside a source is the pin to start from: it goes
//! stale like an answer of that moment, and once the source has spoken it is never used again.

use std::{collections::BTreeMap, fmt, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use svidgate_policy::{
    Bundle, BundleSet, ChainMode, Configuration, Reason, Relationship, Revocations, Source, TrustDomain,
};

use crate::{
    refusal::Refusal,
    sources::{
        feeds::{Feed, Feeds},
        fetched::Fetched,
        key::{Kind, SourceKey},
        want::{Want, wants},
        workload_api::{BundlesMessage, Unusable},
    },
};

/// Bundles and revocations as they are now.
#[derive(Debug, Default)]
pub struct Trusted {
    bundles: BundleSet,
    inline: Arc<Revocations>,
    fetched: FetchedList,
    crls: Option<Arc<Revocations>>,
    /// Why trust domains have no bundle that might have one.
    missing: BTreeMap<TrustDomain, Missing>,
    /// How many bundles a Workload API brings that there is no relationship for.
    unused: u64,
    /// The sources of the document, by key.
    keys: Vec<SourceKey>,
    /// The content and the age of each of them that this was made of.
    seen: Vec<Option<(u64, Timestamp)>>,
}

/// Why a trust domain has no bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Its source has not answered yet.
    NotAnswered,
    /// The document takes ids without certificates, and has no bundle for those of a connection with TLS of its own.
    NotTaken,
    /// The Workload API answers and does not list it.
    NotListed {
        /// Whether it is our own.
        is_own: bool,
    },
    /// The Workload API lists it with what cannot be used, and never listed it otherwise.
    NotUsable,
    /// Who of it is revoked is not known.
    Revocations,
}

impl Missing {
    fn of(message: &BundlesMessage, name: &TrustDomain, is_own: bool) -> Self {
        let is_it = |unusable: &Unusable| unusable.trust_domain.as_ref() == Some(name);
        if message.unusable.iter().any(is_it) {
            Self::NotUsable
        } else {
            Self::NotListed { is_own }
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotTaken => {
                "this connection has TLS of its own, and `peer.filter_state.id` leaves the document without bundles: \
                 give this listener another one"
            }
            Self::NotAnswered => "its source has not answered",
            Self::NotUsable => "what the Workload API lists for it cannot be used; the line about it says why",
            Self::Revocations => {
                "a CRL of it cannot be used, so it is not known who is revoked; the line \
                                 about it says why"
            }
            Self::NotListed { is_own: true } => {
                "the Workload API answers and does not list it: does its agent belong to another trust domain?"
            }
            Self::NotListed { is_own: false } => {
                "the Workload API answers and does not list it: `federatesWith` is missing in the \
                 registration entry of this workload"
            }
        })
    }
}

/// What has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// A source has said what it had said before, which makes it younger.
    Age,
    /// A bundle or a list of revocations.
    Content,
}

/// The list of revocations that is fetched.
#[derive(Debug, Default)]
enum FetchedList {
    /// The document names none.
    #[default]
    NotNamed,
    /// It has not come yet.
    Missing,
    /// The last one that came.
    Known {
        list: Arc<Revocations>,
        stale_from: Timestamp,
    },
}

impl Trusted {
    /// What a document brings by itself.
    pub fn of(configuration: &Configuration) -> Self {
        let mut trusted = Self {
            keys: wants(configuration).iter().map(Want::key).collect(),
            ..Self::default()
        };
        trusted.make(configuration, &Feeds::default());
        trusted
    }

    /// The bundle of each trust domain.
    pub fn bundles(&self) -> &BundleSet {
        &self.bundles
    }

    /// Every list of revocations there is.
    pub fn revocations(&self) -> Vec<&Revocations> {
        let fetched = match &self.fetched {
            FetchedList::Known { list, .. } => Some(&**list),
            FetchedList::NotNamed | FetchedList::Missing => None,
        };
        let lists = [Some(&*self.inline), fetched, self.crls.as_deref()];
        lists.into_iter().flatten().filter(|list| !list.is_empty()).collect()
    }

    /// Whether the fetched list of revocations, where there is to be one, is there and young enough; until when.
    ///
    /// # Errors
    /// Nobody can be accepted, because whoever it is may be revoked.
    pub fn check_revocations_are_known(&self, now: Timestamp) -> Result<Timestamp, Refusal> {
        let refusal = |reason, detail: String| Refusal {
            reason,
            detail,
            claimed: None,
            changes: None,
            for_want_of_issuer: None,
            brought: None,
        };
        match &self.fetched {
            FetchedList::NotNamed => Ok(Timestamp::MAX),
            FetchedList::Missing => {
                let detail = "the list of revocations has not been fetched yet".to_owned();
                Err(refusal(Reason::RevocationsMissing, detail))
            }
            FetchedList::Known { stale_from, .. } if now >= *stale_from => {
                let detail = format!(
                    "the source of the list of revocations has been silent for too long: stale since {stale_from}"
                );
                Err(refusal(Reason::RevocationsStale, detail))
            }
            FetchedList::Known { stale_from, .. } => Ok(stale_from
                .checked_sub(SignedDuration::from_secs(1))
                .unwrap_or(*stale_from)),
        }
    }

    /// Why a trust domain has no bundle, where there is more to say than that it has none.
    pub fn missing(&self, name: &TrustDomain) -> Option<Missing> {
        self.missing.get(name).copied()
    }

    /// How many bundles a Workload API brings that there is no relationship for.
    pub fn unused(&self) -> u64 {
        self.unused
    }

    /// Takes in what the sources have brought.
    pub fn update(&mut self, configuration: &Configuration, feeds: &Feeds) -> Change {
        let seen: Vec<_> = self
            .keys
            .iter()
            .map(|key| feeds.feed(*key).map(|feed| (feed.number(), feed.as_of())))
            .collect();
        if seen == self.seen {
            return Change::None;
        }
        let number = |seen: &Option<(u64, Timestamp)>| seen.map(|(number, _)| number);
        // After a clock was set back, what was good until then may be so no longer.
        let set_back = seen.iter().zip(&self.seen).any(|(seen, before)| {
            let as_of = |seen: &Option<(u64, Timestamp)>| seen.map(|(_, as_of)| as_of);
            as_of(seen) < as_of(before)
        });
        let changed = set_back || !seen.iter().map(number).eq(self.seen.iter().map(number));
        self.make(configuration, feeds);
        self.seen = seen;
        if changed { Change::Content } else { Change::Age }
    }

    fn make(&mut self, configuration: &Configuration, feeds: &Feeds) {
        let followed = |source: &Source| feeds.feed(SourceKey::of_bundles(source));
        let workload_api = configuration.workload_api.as_ref().and_then(followed);
        let message = workload_api.and_then(Feed::fetched).and_then(Fetched::message);
        self.bundles = BundleSet::default();
        self.missing = BTreeMap::new();
        for relationship in configuration.relationships.iter() {
            let name = &relationship.trust_domain;
            let feed = match configuration.source_of(name) {
                Some(endpoint @ Source::Endpoint(_)) => followed(endpoint),
                Some(Source::WorkloadApi { .. }) => workload_api,
                None => None,
            };
            self.choose_bundle(relationship, configuration.bundles.bundle(name), feed);
            let bundle = self.bundles.bundle(name);
            if bundle.is_some_and(|bundle| message.is_some_and(|message| message.is_without_crl(bundle))) {
                self.bundles.remove(name);
                self.missing.insert(name.clone(), Missing::Revocations);
            } else if self.bundles.bundle(name).is_none() && configuration.chain == ChainMode::Verify {
                let is_own = *name == configuration.trust_domain;
                let why = match feed.and_then(Feed::fetched) {
                    _ if !configuration.peer.has_certificate() => Missing::NotTaken,
                    Some(Fetched::WorkloadApi { message, .. }) => Missing::of(message, name, is_own),
                    Some(Fetched::Bundle(_) | Fetched::Revocations(_) | Fetched::JwtBundles(_)) | None => {
                        Missing::NotAnswered
                    }
                };
                self.missing.insert(name.clone(), why);
            }
        }
        self.take_jwt_keys(configuration, feeds);
        self.inline = Arc::clone(&configuration.revoked);
        self.fetched = match &configuration.revocations {
            None => FetchedList::NotNamed,
            Some(named) => match feeds.feed(SourceKey::new(Kind::Revocations, &named.source)) {
                Some(feed) => known_list(feed, named.max_staleness),
                None => FetchedList::Missing,
            },
        };
        self.crls = None;
        self.unused = 0;
        if let Some(Fetched::WorkloadApi { message, .. }) = workload_api.and_then(Feed::fetched) {
            self.crls = Some(Arc::clone(&message.revocations));
            let unused = message
                .bundles
                .keys()
                .filter(|name| configuration.relationships.with(name).is_none());
            self.unused = u64::try_from(unused.count()).unwrap_or(u64::MAX);
        }
    }

    /// Takes the JWT keys of trust domains whose source is the Workload API, which brings them by a stream of their own. Those of
    /// others are in their bundles.
    fn take_jwt_keys(&mut self, configuration: &Configuration, feeds: &Feeds) {
        let Some(source) = configuration
            .workload_api
            .as_ref()
            .filter(|_| configuration.tokens.is_some())
        else {
            return;
        };
        let feed = feeds.feed(SourceKey::new(Kind::JwtBundles, source));
        for relationship in configuration.relationships.iter() {
            let name = &relationship.trust_domain;
            if !matches!(configuration.source_of(name), Some(Source::WorkloadApi { .. })) {
                continue;
            }
            let keys = feed.and_then(|feed| match feed.fetched() {
                Some(Fetched::JwtBundles(bundles)) => {
                    let stale_from = feed.as_of().checked_add(relationship.max_staleness);
                    Some((
                        Arc::clone(bundles.keys.get(name)?),
                        stale_from.unwrap_or(Timestamp::MAX),
                    ))
                }
                Some(Fetched::Bundle(_) | Fetched::WorkloadApi { .. } | Fetched::Revocations(_)) | None => None,
            });
            self.bundles.set_jwt_keys(name.clone(), keys);
        }
    }

    /// Decides which bundle a trust domain has. The *pin* is the bundle that the document brings.
    ///
    /// | its source | what that has said | the bundle |
    /// |---|---|---|
    /// | an endpoint | a bundle | that; the pin where the document has raised it above |
    /// | an endpoint | nothing yet | the pin, which grows old |
    /// | the Workload API | lists it | what is listed |
    /// | the Workload API | nothing yet | the pin, which grows old |
    /// | the Workload API | has never listed it | the pin, which does not grow old |
    /// | the Workload API | lists it no more | none |
    /// | none, or one that is not followed yet | | the pin |
    fn choose_bundle(&mut self, relationship: &Relationship, pin: Option<&Arc<Bundle>>, feed: Option<&Feed>) {
        let name = &relationship.trust_domain;
        let Some(feed) = feed else {
            if let Some(pin) = pin {
                self.bundles.insert(name.clone(), Arc::clone(pin));
            }
            return;
        };
        let (bundle, as_of) = match feed.fetched() {
            // One that was raised above what is held says that it is not to be used any more.
            Some(Fetched::Bundle(bundle)) => {
                let raised = pin.filter(|pin| pin.sequence() > bundle.sequence());
                (Some(raised.unwrap_or(bundle)), feed.as_of())
            }
            Some(Fetched::WorkloadApi { message, listed }) => match (message.bundles.get(name), pin) {
                (Some(listed), _) => (Some(&listed.bundle), listed.since.unwrap_or(feed.as_of())),
                // All that there is for it.
                (None, Some(pin)) if !listed.contains(name) => {
                    self.bundles.insert(name.clone(), Arc::clone(pin));
                    return;
                }
                (None, _) => return,
            },
            Some(Fetched::Revocations(_) | Fetched::JwtBundles(_)) | None => (pin, feed.as_of()),
        };
        if let Some(bundle) = bundle {
            let stale_from = as_of.checked_add(relationship.max_staleness);
            self.bundles
                .insert_until(name.clone(), Arc::clone(bundle), stale_from.unwrap_or(Timestamp::MAX));
        }
    }
}

fn known_list(feed: &Feed, max_staleness: SignedDuration) -> FetchedList {
    match feed.fetched() {
        Some(Fetched::Revocations(list)) => FetchedList::Known {
            list: Arc::clone(list),
            stale_from: feed.as_of().checked_add(max_staleness).unwrap_or(Timestamp::MAX),
        },
        Some(Fetched::Bundle(_) | Fetched::WorkloadApi { .. } | Fetched::JwtBundles(_)) | None => FetchedList::Missing,
    }
}
