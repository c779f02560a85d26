//! Messages of the SPIFFE Workload API (SPIFFE Workload API, sections 4 and 5): the bundles of all trust domains.
//!
//! Each message is complete: what is not in it is gone. What is wrong with the bundle or the CRL of one trust domain is
//! that trust domain's affair alone: its bundle stays as it was and grows old, whatever the stream says of others;
//! without its revocations nobody of it is accepted. So no partner's publisher shuts anyone out but its own. A message
//! that cannot be read as such changes nothing. Who trusts which trust domain is not said here.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use jiff::Timestamp;
use prost::Message as _;
use rustls_pki_types::CertificateDer;
use svidgate_policy::{
    Bundle, Revocations, TrustDomain,
    certificate::{error::CertificateError, pem::split_der},
    claim::Claim,
    digest::sha256,
    trust::{
        bundle_error::{MAX_BUNDLE_BYTES, MAX_BUNDLE_KEYS},
        revocation::{CrlError, crl_issuer},
    },
};

use crate::proxy::Method;

/// Largest message in bytes. Our decision: thousands of trust domains with a few authorities each, and room for some
/// with as much as a bundle may have.
pub const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;
/// Most trust domains in a message. Our decision: those that a document may have relationships with, and as many again.
pub const MAX_TRUST_DOMAINS: usize = 20_000;

/// The method that streams them. Without the metadata a server refuses, which keeps browsers out.
pub const FETCH_X509_BUNDLES: Method<'static> = Method {
    service: "SpiffeWorkloadAPI",
    name: "FetchX509Bundles",
    metadata: ("workload.spiffe.io", "true"),
};

/// `X509BundlesResponse`. The map is read as the list that it is on the wire: a map would keep the last of two entries
/// for one trust domain without a word (BN-20).
#[derive(Clone, PartialEq, prost::Message)]
struct Response {
    #[prost(bytes = "vec", repeated, tag = "1")]
    crl: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "2")]
    bundles: Vec<BundleEntry>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct BundleEntry {
    #[prost(string, tag = "1")]
    trust_domain: String,
    #[prost(bytes = "vec", tag = "2")]
    certificates: Vec<u8>,
}

/// How a server ended a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamEnd {
    status: u32,
    message: String,
}

impl StreamEnd {
    /// By its gRPC status, and what the server says to it.
    pub fn new(status: u32, message: &[u8]) -> Self {
        Self {
            status,
            message: String::from_utf8_lossy(message).into_owned(),
        }
    }

    /// The name of the status, and what it means of a Workload API (SPIFFE Workload API, 4.1; the others as SPIRE's
    /// agent and the proxy use them). Empty where there is nothing to say.
    fn meaning(&self) -> (&'static str, &'static str) {
        match self.status {
            0 => ("OK", "the agent has closed it"),
            1 => ("CANCELLED", ""),
            3 => (
                "INVALID_ARGUMENT",
                "did the header `workload.spiffe.io: true` get lost on the way?",
            ),
            4 => ("DEADLINE_EXCEEDED", ""),
            7 => (
                "PERMISSION_DENIED",
                "the agent has no registration entry for the workload that this proxy is",
            ),
            8 => ("RESOURCE_EXHAUSTED", ""),
            12 => ("UNIMPLEMENTED", "is this cluster a Workload API?"),
            13 => ("INTERNAL", "the agent went away, or broke the stream"),
            14 => ("UNAVAILABLE", "no agent answers at the socket of this cluster"),
            _ => ("", ""),
        }
    }
}

impl fmt::Display for StreamEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, meaning) = self.meaning();
        write!(f, "the stream ended with gRPC status {}", self.status)?;
        if !name.is_empty() {
            write!(f, " {name}")?;
        }
        if !self.message.is_empty() {
            write!(f, " \"{}\"", Claim(&self.message))?;
        }
        if !meaning.is_empty() {
            write!(f, " ({meaning})")?;
        }
        Ok(())
    }
}

/// The state of the world, as one message tells it.
#[derive(Debug, Default)]
pub struct BundlesMessage {
    /// The bundle of each trust domain.
    pub bundles: BTreeMap<TrustDomain, Listed>,
    /// What the CRLs list.
    pub revocations: Arc<Revocations>,
    /// Issuers of CRLs that cannot be used: of a trust domain with an authority of such a name it is not known who is
    /// revoked, wherever its bundle comes from.
    pub issuers_without_crl: BTreeSet<[u8; 32]>,
    /// The CRLs that were read, and those of before that stand in for others.
    crls: Vec<Vec<u8>>,
    /// What could not be taken, in no order.
    pub unusable: Vec<Unusable>,
}

/// The bundle of one trust domain.
#[derive(Debug)]
pub struct Listed {
    /// What it says.
    pub bundle: Arc<Bundle>,
    /// Since when it has not been heard of, where the newest message could not be used for it.
    pub since: Option<Timestamp>,
    certificates: Vec<u8>,
}

/// What was known before a message that cannot be used for all of it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Kept {
    /// Of trust domains whose bundles cannot be used.
    #[prost(message, repeated, tag = "1")]
    bundles: Vec<KeptBundle>,
    /// Of issuers whose CRLs cannot be used: who was revoked stays so, whatever certificate of that name was meant.
    #[prost(bytes = "vec", repeated, tag = "2")]
    crls: Vec<Vec<u8>>,
}

impl Kept {
    /// Whether there is nothing of it.
    pub(crate) fn is_empty(&self) -> bool {
        self.bundles.is_empty() && self.crls.is_empty()
    }
}

/// The bundle that a trust domain had before a message that cannot be used for it.
#[derive(Clone, PartialEq, prost::Message)]
struct KeptBundle {
    #[prost(string, tag = "1")]
    trust_domain: String,
    #[prost(bytes = "vec", tag = "2")]
    certificates: Vec<u8>,
    /// When it was heard of last. Seconds since 1970.
    #[prost(int64, tag = "3")]
    seconds: i64,
}

impl BundlesMessage {
    /// Reads a message. `kept` is what was known before of what it cannot be used for.
    ///
    /// # Errors
    /// Why it is no message, or leaves it open whose revocations are missing.
    pub fn read(message: &[u8], kept: &Kept) -> Result<Self, WorldError> {
        if message.len() > MAX_MESSAGE_BYTES {
            return Err(WorldError::TooLarge { bytes: message.len() });
        }
        let response = Response::decode(message).map_err(|_| WorldError::NotProtobuf)?;
        if response.bundles.len() > MAX_TRUST_DOMAINS {
            return Err(WorldError::TooManyTrustDomains {
                entries: response.bundles.len(),
            });
        }
        let mut world = Self::default();
        world.take_bundles(response.bundles);
        world.take_kept(&kept.bundles);
        world.take_crls(response.crl, &kept.crls)?;
        Ok(world)
    }

    fn take_bundles(&mut self, entries: Vec<BundleEntry>) {
        let mut seen = BTreeSet::new();
        for entry in entries {
            let trust_domain = match listed_name(&entry.trust_domain) {
                Ok(trust_domain) => trust_domain,
                Err(unusable) => {
                    self.unusable.push(unusable);
                    continue;
                }
            };
            let read = if seen.insert(trust_domain.clone()) {
                read_bundle(&entry.certificates).map_err(|error| format!("{error}; {LEFT}"))
            } else {
                // Which of them counts is not said (BN-20).
                self.bundles.remove(&trust_domain);
                Err(format!("it is listed twice; {LEFT}"))
            };
            match read {
                Ok(bundle) => {
                    let listed = Listed {
                        bundle: Arc::new(bundle),
                        since: None,
                        certificates: entry.certificates,
                    };
                    self.bundles.insert(trust_domain, listed);
                }
                Err(why) => self.unusable.push(Unusable::of(trust_domain, why)),
            }
        }
    }

    fn take_kept(&mut self, kept: &[KeptBundle]) {
        for kept in kept {
            let (Ok(trust_domain), Ok(bundle)) =
                (TrustDomain::parse(&kept.trust_domain), read_bundle(&kept.certificates))
            else {
                continue;
            };
            self.bundles.entry(trust_domain).or_insert_with(|| Listed {
                bundle: Arc::new(bundle),
                since: Some(Timestamp::from_second(kept.seconds).unwrap_or(Timestamp::MIN)),
                certificates: kept.certificates.clone(),
            });
        }
    }

    fn take_crls(&mut self, crls: Vec<Vec<u8>>, kept: &[Vec<u8>]) -> Result<(), WorldError> {
        let mut revocations = Revocations::default();
        let mut refused: BTreeMap<[u8; 32], CrlError> = BTreeMap::new();
        for crl in crls {
            match revocations.add_crl(&crl) {
                Ok(()) => self.crls.push(crl),
                Err(error) => {
                    let issuer = crl_issuer(&crl).ok_or(WorldError::Crl(error))?;
                    refused.insert(issuer, error);
                }
            }
        }
        if !refused.is_empty() {
            for crl in kept {
                revocations.add_crl(crl).map_err(WorldError::Crl)?;
                self.crls.push(crl.clone());
            }
            self.shut_out(refused)?;
        }
        self.revocations = Arc::new(revocations);
        Ok(())
    }

    /// What a CRL that cannot be used revokes is not known: neither what it said before nor that it says nothing would
    /// do.
    fn shut_out(&mut self, refused: BTreeMap<[u8; 32], CrlError>) -> Result<(), WorldError> {
        let names: BTreeMap<&TrustDomain, BTreeSet<[u8; 32]>> = self
            .bundles
            .iter()
            .map(|(name, listed)| (name, listed.bundle.authority_names()))
            .collect();
        let mut unusable = Vec::new();
        for (issuer, error) in refused {
            let issuers = names.iter().filter(|(_, names)| names.contains(&issuer));
            let issuers: Vec<Unusable> = issuers
                .map(|(name, _)| Unusable {
                    trust_domain: Some((*name).clone()),
                    why: format!("{error}, so nobody of it is accepted"),
                })
                .collect();
            // Of no authority that is listed: nobody can tell whose.
            if issuers.is_empty() {
                return Err(WorldError::Crl(error));
            }
            unusable.extend(issuers);
            self.issuers_without_crl.insert(issuer);
        }
        self.unusable.extend(unusable);
        Ok(())
    }

    /// Whether it is not known who of a bundle's trust domain is revoked.
    pub(crate) fn is_without_crl(&self, bundle: &Bundle) -> bool {
        !self.issuers_without_crl.is_empty() && !self.issuers_without_crl.is_disjoint(&bundle.authority_names())
    }

    /// Since when a trust domain has not been heard of, where newer messages could not be used for it.
    pub(crate) fn since(&self, name: &str) -> Option<Timestamp> {
        self.bundles.get(&TrustDomain::parse(name).ok()?)?.since
    }

    /// What is held here of what a newer message cannot be used for; `as_of` is when this one was heard of last.
    pub(crate) fn kept_beside(&self, newer: &Self, as_of: Timestamp) -> Kept {
        let names: BTreeSet<&TrustDomain> = newer
            .unusable
            .iter()
            .filter_map(|unusable| unusable.trust_domain.as_ref())
            .filter(|name| !newer.bundles.contains_key(*name))
            .collect();
        let kept = |name: &TrustDomain| {
            let listed = self.bundles.get(name)?;
            Some(KeptBundle {
                trust_domain: name.to_string(),
                certificates: listed.certificates.clone(),
                seconds: listed.since.unwrap_or(as_of).as_second(),
            })
        };
        let is_wanted =
            |crl: &&Vec<u8>| crl_issuer(crl).is_some_and(|issuer| newer.issuers_without_crl.contains(&issuer));
        Kept {
            bundles: names.into_iter().filter_map(kept).collect(),
            crls: self.crls.iter().filter(is_wanted).cloned().collect(),
        }
    }
}

/// The trust domain that an entry of a message is of.
pub(crate) fn listed_name(listed: &str) -> Result<TrustDomain, Unusable> {
    let name = listed.strip_prefix("spiffe://").unwrap_or(listed);
    TrustDomain::parse(name).map_err(|error| Unusable {
        trust_domain: None,
        why: format!("`{}` is no trust domain: {error}", Claim(name)),
    })
}

const LEFT: &str = "its bundle stays as it was, and grows old";

/// A digest of what a message says, whatever the order of its entries and of the certificates of each: a map has none,
/// and senders make use of it. `None` where it is no message, or no lists of certificates.
pub(crate) fn content_digest(message: &[u8]) -> Option<[u8; 32]> {
    let mut response = Response::decode(message).ok()?;
    response.crl.sort_unstable();
    let mut bundles = Vec::new();
    for entry in &response.bundles {
        let mut certificates: Vec<[u8; 32]> = split_der(&entry.certificates, MAX_BUNDLE_KEYS)
            .ok()?
            .into_iter()
            .map(sha256)
            .collect();
        certificates.sort_unstable();
        bundles.push([
            sha256(entry.trust_domain.as_bytes()),
            sha256(certificates.as_flattened()),
        ]);
    }
    bundles.sort_unstable();
    let crls = response.crl.iter().map(|crl| sha256(crl));
    let said: Vec<[u8; 32]> = bundles.into_iter().flatten().chain([[0; 32]]).chain(crls).collect();
    Some(sha256(said.as_flattened()))
}

/// Something in a message that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// Whose it is, where that can be told.
    pub trust_domain: Option<TrustDomain>,
    why: String,
}

impl Unusable {
    /// Of a trust domain, and why.
    pub(crate) fn of(trust_domain: TrustDomain, why: String) -> Self {
        Self {
            trust_domain: Some(trust_domain),
            why,
        }
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.trust_domain {
            Some(trust_domain) => write!(f, "`{trust_domain}`: {}", self.why),
            None => f.write_str(&self.why),
        }
    }
}

/// Certificates in DER, one behind the other.
fn read_bundle(certificates: &[u8]) -> Result<Bundle, BundleError> {
    if certificates.len() > MAX_BUNDLE_BYTES {
        return Err(BundleError::TooLarge {
            bytes: certificates.len(),
        });
    }
    let split: Vec<CertificateDer<'static>> = split_der(certificates, MAX_BUNDLE_KEYS)
        .map_err(BundleError::Certificates)?
        .into_iter()
        .map(|der| der.to_vec().into())
        .collect();
    Ok(Bundle::from_certificates(split))
}

/// Why the bundle of one trust domain cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
enum BundleError {
    TooLarge { bytes: usize },
    Certificates(CertificateError),
}

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes } => write!(f, "its bundle has {bytes} bytes (at most {MAX_BUNDLE_BYTES})"),
            Self::Certificates(error) => write!(f, "its bundle cannot be read: {error}"),
        }
    }
}

/// Why a message cannot be used at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorldError {
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
    /// A CRL that cannot be read and is of no authority that is known; leaving it out would accept what it revokes.
    Crl(CrlError),
}

impl fmt::Display for WorldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes } => write!(f, "message has {bytes} bytes (at most {MAX_MESSAGE_BYTES})"),
            Self::NotProtobuf => f.write_str("message is no X509BundlesResponse"),
            Self::TooManyTrustDomains { entries } => {
                write!(f, "message lists {entries} trust domains (at most {MAX_TRUST_DOMAINS})")
            }
            Self::Crl(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for WorldError {}
