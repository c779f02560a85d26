//! Where the document says that bundles and revocations are fetched from: through which cluster of the proxy, and what.
//!
//! How the connection is made (names, TLS, the endpoint profile) is the cluster's to say. Nothing is fetched here.

use std::fmt;

use jiff::SignedDuration;

use crate::{
    digest::sha256,
    document::{
        reader::{Mistake, Object, Place, Reader},
        values::{read_duration, read_max_staleness},
    },
    json::Json,
};

/// One place that something is fetched from. Equal sources are fetched once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A SPIFFE Workload API, which streams the bundles of all trust domains.
    WorkloadApi {
        /// The cluster that leads to it.
        cluster: String,
    },
    /// A document that is polled by HTTP.
    Endpoint(Endpoint),
}

/// A document that is polled by HTTP GET.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// The cluster that leads to it.
    pub cluster: String,
    /// `:authority` of the request.
    pub authority: String,
    /// `:path` of the request.
    pub path: String,
    /// How often it is asked, whatever a bundle says in `spiffe_refresh_hint`.
    pub refresh: Option<SignedDuration>,
    /// What the operator counts up when its publisher has begun anew, with lower sequences than before.
    pub epoch: u64,
}

impl Source {
    /// Which of its publisher's beginnings is meant.
    pub fn epoch(&self) -> u64 {
        match self {
            Self::WorkloadApi { .. } => 0,
            Self::Endpoint(endpoint) => endpoint.epoch,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WorkloadApi { cluster } => write!(f, "the Workload API of cluster `{cluster}`"),
            Self::Endpoint(endpoint) => write!(
                f,
                "{}{} of cluster `{}`",
                endpoint.authority, endpoint.path, endpoint.cluster
            ),
        }
    }
}

/// Where revocations are fetched, and for how long the source may be silent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationSource {
    /// Where.
    pub source: Source,
    /// From then on everything is refused.
    pub max_staleness: SignedDuration,
}

/// A digest of what a JSON document says, whatever the order of its members and, at its top, of the entries of its
/// lists (`keys` of a bundle, `revoked`). Publishers change these from answer to answer. `None` where it is no JSON.
///
/// ```
/// use svidgate_policy::document::source::content_digest;
///
/// let one = content_digest(br#"{"keys": [{"kid": "a"}, {"kid": "b"}], "spiffe_sequence": 1}"#);
/// let same = content_digest(br#"{"spiffe_sequence":1,"keys":[{"kid":"b"},{"kid":"a"}]}"#);
/// assert_eq!(one, same);
/// assert_ne!(one, content_digest(br#"{"keys": [{"kid": "a"}], "spiffe_sequence": 1}"#));
/// ```
pub fn content_digest(text: &[u8]) -> Option<[u8; 32]> {
    let mut json = Json::parse(text).ok()?;
    if let Json::Object(members) = &mut json {
        for (_, value) in members {
            if let Json::Array(entries) = value {
                entries.sort_by_cached_key(Json::canonical);
            }
        }
    }
    Some(sha256(json.canonical().as_bytes()))
}

/// Longest name of a cluster, authority or path, in bytes. Our decision.
const MAX_NAME_BYTES: usize = 1024;
/// The same of a cluster that a stream is opened through: the way in which its name is handed over has no room for
/// more.
const MAX_GRPC_CLUSTER_BYTES: usize = 120;

pub(crate) const AUTHORITIES_FIELDS: &[&str] = &["workload_api"];
pub(crate) const WORKLOAD_API_FIELDS: &[&str] = &["cluster"];
pub(crate) const ENDPOINT_FIELDS: &[&str] = &["cluster", "path", "authority", "refresh", "epoch"];
pub(crate) const REVOCATIONS_FIELDS: &[&str] = &["endpoint", "max_staleness"];

pub(crate) fn read_workload_api(reader: &mut Reader, json: &Json, at: &Place<'_>) -> Option<Source> {
    let object = reader.object(json, at, AUTHORITIES_FIELDS)?;
    let at = at.member("workload_api");
    let json = object.optional("workload_api").or_else(|| {
        reader.note_missing(&at);
        None
    })?;
    let object = reader.object(json, &at, WORKLOAD_API_FIELDS)?;
    let cluster = read_name(reader, object, "cluster", &at)?;
    if cluster.len() > MAX_GRPC_CLUSTER_BYTES {
        let mistake = Mistake::TooLarge {
            bytes: cluster.len(),
            bound: MAX_GRPC_CLUSTER_BYTES,
        };
        reader.note(&at.member("cluster"), mistake);
    }
    Some(Source::WorkloadApi { cluster })
}

pub(crate) fn read_bundle_source(reader: &mut Reader, json: &Json, at: &Place<'_>) -> Option<Source> {
    let object = reader.object(json, at, ENDPOINT_FIELDS)?;
    let cluster = read_name(reader, object, "cluster", at);
    let path = read_path(reader, object, at);
    let authority = match object.optional("authority") {
        Some(_) => read_name(reader, object, "authority", at),
        None => cluster.clone(),
    };
    let refresh = object
        .optional("refresh")
        .and_then(|json| read_duration(reader, json, &at.member("refresh")));
    let epoch = object
        .optional("epoch")
        .and_then(|json| read_epoch(reader, json, &at.member("epoch")));
    Some(Source::Endpoint(Endpoint {
        cluster: cluster?,
        authority: authority?,
        path: path?,
        refresh,
        epoch: epoch.unwrap_or_default(),
    }))
}

pub(crate) fn read_revocation_source(
    reader: &mut Reader,
    json: &Json,
    at: &Place<'_>,
    max_staleness: SignedDuration,
) -> Option<RevocationSource> {
    let object = reader.object(json, at, REVOCATIONS_FIELDS)?;
    let max_staleness = read_max_staleness(reader, object, at, max_staleness);
    let endpoint = object.required("endpoint", reader, at)?;
    let source = read_bundle_source(reader, endpoint, &at.member("endpoint"))?;
    Some(RevocationSource { source, max_staleness })
}

fn read_epoch(reader: &mut Reader, json: &Json, place: &Place<'_>) -> Option<u64> {
    let epoch = match json {
        Json::Unsigned(epoch) => Some(*epoch),
        Json::Null | Json::Bool(_) | Json::OtherNumber(_) | Json::String(_) | Json::Array(_) | Json::Object(_) => None,
    };
    if epoch.is_none() {
        reader.note(place, Mistake::Expected("a whole number, which only grows"));
    }
    epoch
}

fn read_name(reader: &mut Reader, object: Object<'_>, name: &str, at: &Place<'_>) -> Option<String> {
    let json = object.required(name, reader, at)?;
    reader.parsed(json, &at.member(name), |text| {
        if text.is_empty() || text.len() > MAX_NAME_BYTES || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Mistake::Expected("a name of 1 to 1024 visible ASCII characters"));
        }
        Ok(text.to_owned())
    })
}

fn read_path(reader: &mut Reader, object: Object<'_>, at: &Place<'_>) -> Option<String> {
    let json = object.required("path", reader, at)?;
    reader.parsed(json, &at.member("path"), |text| {
        let valid = text.len() <= MAX_NAME_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        if text.starts_with('/') && valid {
            Ok(text.to_owned())
        } else {
            Err(Mistake::Expected(
                "a path like `/bundle.json`, escaped where it must be, at most 1024 bytes",
            ))
        }
    })
}
