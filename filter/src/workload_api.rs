//! Messages of the SPIFFE Workload API (SPIFFE Workload API, sections 4 and 5): the bundles of all trust domains.
//!
//! Each message is complete: what is not in it is gone. One that cannot be read as a whole changes nothing, so that no
//! trust domain keeps an old bundle beside the new ones of others (BN-23). Who trusts which trust domain is not said
//! here.

use std::{collections::BTreeMap, fmt, sync::Arc};

use prost::Message as _;
use rustls_pki_types::CertificateDer;
use svidgate_policy::{
    Bundle, Revocations, SpiffeIdError, TrustDomain,
    bundle::MAX_BUNDLE_KEYS,
    certificate::{CertificateError, split_der},
    claim::Claim,
    revocation::CrlError,
};

use crate::host::Method;

/// Largest message in bytes. Our decision: a thousand trust domains with a few authorities each.
pub const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

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
    bundles: Vec<Entry>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Entry {
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

    /// The name of the status, and what it means of a Workload API (SPIFFE Workload API, 4.1; the others as SPIRE's agent and the
    /// proxy use them). Empty where there is nothing to say.
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
pub struct World {
    /// The bundle of each trust domain.
    pub bundles: BTreeMap<TrustDomain, Arc<Bundle>>,
    /// What the CRLs list.
    pub revocations: Arc<Revocations>,
}

impl World {
    /// Reads a message.
    ///
    /// # Errors
    /// The first thing in it that cannot be read.
    pub fn read(message: &[u8]) -> Result<Self, WorldError> {
        if message.len() > MAX_MESSAGE_BYTES {
            return Err(WorldError::TooLarge { bytes: message.len() });
        }
        let response = Response::decode(message).map_err(|_| WorldError::NotProtobuf)?;
        let mut world = Self::default();
        for entry in response.bundles {
            let name = entry
                .trust_domain
                .strip_prefix("spiffe://")
                .unwrap_or(&entry.trust_domain);
            let trust_domain = TrustDomain::parse(name).map_err(WorldError::Name)?;
            let bundle = read_bundle(&entry.certificates).map_err(|error| WorldError::Bundle {
                trust_domain: trust_domain.clone(),
                error,
            })?;
            if world.bundles.insert(trust_domain.clone(), Arc::new(bundle)).is_some() {
                return Err(WorldError::Twice { trust_domain });
            }
        }
        let mut revocations = Revocations::default();
        for crl in &response.crl {
            revocations.add_crl(crl).map_err(WorldError::Crl)?;
        }
        world.revocations = Arc::new(revocations);
        Ok(world)
    }
}

/// Certificates in DER, one behind the other.
fn read_bundle(certificates: &[u8]) -> Result<Bundle, CertificateError> {
    let split: Vec<CertificateDer<'static>> = split_der(certificates, MAX_BUNDLE_KEYS)?
        .into_iter()
        .map(|der| der.to_vec().into())
        .collect();
    Ok(Bundle::from_certificates(split))
}

/// Why a message cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorldError {
    /// More than [`MAX_MESSAGE_BYTES`].
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Not the message that was expected.
    NotProtobuf,
    /// A key that is no trust domain.
    Name(SpiffeIdError),
    /// Two bundles for one trust domain.
    Twice {
        /// Whose.
        trust_domain: TrustDomain,
    },
    /// A bundle that is no list of certificates.
    Bundle {
        /// Whose.
        trust_domain: TrustDomain,
        /// What is wrong with it.
        error: CertificateError,
    },
    /// A CRL that cannot be read; leaving it out would accept what it revokes.
    Crl(CrlError),
}

impl fmt::Display for WorldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes } => write!(f, "message has {bytes} bytes (at most {MAX_MESSAGE_BYTES})"),
            Self::NotProtobuf => f.write_str("message is no X509BundlesResponse"),
            Self::Name(error) => write!(f, "{error}"),
            Self::Twice { trust_domain } => write!(f, "`{trust_domain}` has two bundles"),
            Self::Bundle { trust_domain, error } => write!(f, "bundle of `{trust_domain}`: {error}"),
            Self::Crl(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for WorldError {}
