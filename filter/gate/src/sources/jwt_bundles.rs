//! Messages of the SPIFFE Workload API with the JWT keys of all trust domains (SPIFFE Workload API, 6.2.3).
//!
//! A stream of its own beside that of the X.509 bundles: a trust domain may be in one and not yet in the other. Each message is
//! complete. Of a trust domain whose keys cannot be read there are none, so its tokens are refused, and nobody else's.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use prost::Message as _;
use svidgate_policy::{TrustDomain, claim::Claim, digest::sha256, document::source, trust::jwt_key::JwtKeys};

use crate::{
    proxy::Method,
    sources::workload_api::{MAX_MESSAGE_BYTES, MAX_TRUST_DOMAINS, Unusable, listed_name},
};

/// The method that streams them.
pub const FETCH_JWT_BUNDLES: Method<'static> = Method {
    service: "SpiffeWorkloadAPI",
    name: "FetchJWTBundles",
    metadata: ("workload.spiffe.io", "true"),
};

/// `JWTBundlesResponse`, whose map is read as the list that it is on the wire, so that two entries for one trust domain do not
/// go unseen (BN-20).
#[derive(Clone, PartialEq, prost::Message)]
struct Response {
    #[prost(message, repeated, tag = "1")]
    bundles: Vec<Entry>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Entry {
    #[prost(string, tag = "1")]
    trust_domain: String,
    /// A JWK set.
    #[prost(bytes = "vec", tag = "2")]
    keys: Vec<u8>,
}

/// The JWT keys of all trust domains, as one message tells them.
#[derive(Debug, Default)]
pub struct JwtBundles {
    /// Of each trust domain.
    pub keys: BTreeMap<TrustDomain, Arc<JwtKeys>>,
    /// What could not be taken.
    pub unusable: Vec<Unusable>,
}

impl JwtBundles {
    /// Reads a message.
    ///
    /// # Errors
    /// Why it is no such message.
    pub fn read(message: &[u8]) -> Result<Self, JwtBundlesError> {
        if message.len() > MAX_MESSAGE_BYTES {
            return Err(JwtBundlesError::TooLarge { bytes: message.len() });
        }
        let response = Response::decode(message).map_err(|_| JwtBundlesError::NotProtobuf)?;
        if response.bundles.len() > MAX_TRUST_DOMAINS {
            let entries = response.bundles.len();
            return Err(JwtBundlesError::TooManyTrustDomains { entries });
        }
        let mut bundles = Self::default();
        let mut seen = BTreeSet::new();
        for entry in response.bundles {
            match listed_name(&entry.trust_domain) {
                Ok(name) => bundles.take(name, &entry.keys, &mut seen),
                Err(unusable) => bundles.unusable.push(unusable),
            }
        }
        Ok(bundles)
    }

    fn take(&mut self, name: TrustDomain, keys: &[u8], seen: &mut BTreeSet<TrustDomain>) {
        let read = if seen.insert(name.clone()) {
            JwtKeys::parse_workload_api(keys).map_err(|error| error.to_string())
        } else {
            // Which of them counts is not said (BN-20).
            self.keys.remove(&name);
            Err("it is listed twice".to_owned())
        };
        match read {
            Ok(keys) => {
                self.keys.insert(name, Arc::new(keys));
            }
            Err(error) => {
                let why = format!("its JWT keys cannot be used: {error}; its tokens are refused");
                self.unusable.push(Unusable::of(name, why));
            }
        }
    }

    /// How many keys there are, of all.
    pub(crate) fn count(&self) -> usize {
        self.keys.values().map(|keys| keys.len()).fold(0, usize::saturating_add)
    }

    /// How many were meant for us and cannot be used.
    pub(crate) fn skipped(&self) -> usize {
        let skipped = self.keys.values().map(|keys| keys.skipped().len());
        skipped.fold(0, usize::saturating_add)
    }

    /// A line for each key that cannot be used.
    pub(crate) fn remarks(&self) -> impl Iterator<Item = String> {
        self.keys.iter().flat_map(|(name, keys)| {
            let skipped = keys.skipped().iter();
            skipped.map(move |skipped| {
                format!(
                    "svidgate: JWT keys of `{}`: {skipped}; the key is not used",
                    Claim(name.as_str())
                )
            })
        })
    }
}

/// A digest of what a message says, whatever the order of its entries and of the keys of each: SPIRE changes these from answer to
/// answer. `None` where it is no message, or a set is no JSON.
pub(crate) fn content_digest(message: &[u8]) -> Option<[u8; 32]> {
    let response = Response::decode(message).ok()?;
    let mut said = Vec::new();
    for entry in &response.bundles {
        said.push([
            sha256(entry.trust_domain.as_bytes()),
            source::content_digest(&entry.keys)?,
        ]);
    }
    said.sort_unstable();
    let said: Vec<[u8; 32]> = said.into_iter().flatten().collect();
    Some(sha256(said.as_flattened()))
}

/// Why a message cannot be used at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwtBundlesError {
    /// More than [`MAX_MESSAGE_BYTES`].
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Not the message that was expected.
    NotProtobuf,
    /// More than [`MAX_TRUST_DOMAINS`].
    TooManyTrustDomains {
        /// How many.
        entries: usize,
    },
}

impl fmt::Display for JwtBundlesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes } => write!(f, "message has {bytes} bytes (at most {MAX_MESSAGE_BYTES})"),
            Self::NotProtobuf => f.write_str("message is no JWTBundlesResponse"),
            Self::TooManyTrustDomains { entries } => {
                write!(f, "message lists {entries} trust domains (at most {MAX_TRUST_DOMAINS})")
            }
        }
    }
}

impl std::error::Error for JwtBundlesError {}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use svidgate_policy::TrustDomain;

    use super::{Entry, JwtBundles, JwtBundlesError, MAX_TRUST_DOMAINS, Response, content_digest};

    const KEY: &str = r#"{"kty": "EC", "kid": "a", "crv": "P-256", "x": "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY",
        "y": "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU"}"#;

    fn message(entries: &[(&str, &str)]) -> Vec<u8> {
        let bundles = entries.iter().map(|(name, keys)| Entry {
            trust_domain: (*name).to_owned(),
            keys: keys.as_bytes().to_vec(),
        });
        let bundles = bundles.collect();
        Response { bundles }.encode_to_vec()
    }

    fn set(keys: &[&str]) -> String {
        format!(r#"{{"keys": [{}]}}"#, keys.join(","))
    }

    #[test]
    fn keys_of_each_trust_domain_are_read() {
        let read = JwtBundles::read(&message(&[
            ("spiffe://prod.example", &set(&[KEY])),
            ("partner.example", &set(&[])),
        ]));
        let read = read.unwrap();
        let count = |name: &str| read.keys.get(&TrustDomain::parse(name).unwrap()).map(|keys| keys.len());
        assert_eq!((count("prod.example"), count("partner.example")), (Some(1), Some(0)));
        assert_eq!(read.unusable, []);
    }

    #[test]
    fn what_is_wrong_with_one_trust_domain_leaves_the_others_theirs() {
        let read = JwtBundles::read(&message(&[
            ("spiffe://prod.example", &set(&[KEY])),
            ("partner.example", "no keys"),
            ("Wrong.example", &set(&[KEY])),
            ("twice.example", &set(&[KEY])),
            ("spiffe://twice.example", &set(&[KEY])),
            ("twice.example", &set(&[KEY])),
        ]));
        let read = read.unwrap();
        let names: Vec<&str> = read.keys.keys().map(TrustDomain::as_str).collect();
        assert_eq!(names, ["prod.example"]);
        assert_eq!(read.unusable.len(), 4);
    }

    #[test]
    fn what_is_no_message_is_refused_whole() {
        assert_eq!(JwtBundles::read(b"\xff").unwrap_err(), JwtBundlesError::NotProtobuf);
        let many = vec![("a.example", ""); MAX_TRUST_DOMAINS + 1];
        let entries = MAX_TRUST_DOMAINS + 1;
        assert_eq!(
            JwtBundles::read(&message(&many)).unwrap_err(),
            JwtBundlesError::TooManyTrustDomains { entries }
        );
        assert!(JwtBundles::read(b"").unwrap().keys.is_empty());
    }

    #[test]
    fn order_of_keys_and_of_trust_domains_says_nothing() {
        let other = KEY.replace("\"a\"", "\"b\"");
        let one = message(&[("a.example", &set(&[KEY, &other])), ("b.example", &set(&[]))]);
        let two = message(&[("b.example", &set(&[])), ("a.example", &set(&[&other, KEY]))]);
        assert_eq!(content_digest(&one), content_digest(&two));
        let three = message(&[("b.example", &set(&[])), ("a.example", &set(&[KEY]))]);
        assert_ne!(content_digest(&one), content_digest(&three));
    }
}
