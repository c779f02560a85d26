//! The configuration document: what its members are, and reading them from JSON or YAML.
//!
//! What each member means stands in docs/document.md, by example. What can be seen from one member alone is checked
//! here; what needs two, in [`crate::document::configuration`].

use std::collections::BTreeSet;

use jiff::SignedDuration;
use rustls_pki_types::CertificateDer;

use crate::{
    document::{
        federation::{BundleOrigin, Federated, read_bundle, read_federation, read_intermediates, read_max_lifetime},
        hops::{ReadHop, read_hops},
        jwt_svid::{Tokens, read_tokens},
        peer::{Peer, check_needs_no_certificate, read_peer},
        reader::{CompileError, Mistake, Object, Place, Reader},
        revoked::read_revoked,
        settings::{AccessLog, ChainMode, Format, Listener, Listeners, Mode, XfccMode},
        source::{RevocationSource, Source, read_revocation_source, read_workload_api},
        values::{read_duration, read_max_staleness, read_text, read_trust_domain},
    },
    json::{Json, Parts},
    name::{id::TrustDomain, path::PathReading},
    rules::reading::{Overrides, Reading},
    trust::{relationship::MAX_STALENESS, revocation::Revocations},
};

/// Largest document in bytes. Our decision: 100,000 ordinary rules stay under it.
pub const MAX_DOCUMENT_BYTES: usize = 48 * 1024 * 1024;

/// A document, member by member, but for its rules.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) version: String,
    pub(crate) trust_domain: Option<TrustDomain>,
    pub(crate) mode: Mode,
    pub(crate) listener: Listeners,
    pub(crate) chain: ChainMode,
    pub(crate) xfcc: XfccMode,
    pub(crate) peer: Peer,
    pub(crate) hops: Vec<ReadHop>,
    pub(crate) tokens: Option<Tokens>,
    pub(crate) forward_id: bool,
    pub(crate) forward_via: bool,
    pub(crate) forward_xfcc: bool,
    pub(crate) mark_passed: bool,
    pub(crate) access_log: AccessLog,
    pub(crate) first_bytes_timeout: SignedDuration,
    pub(crate) expiry_grace: SignedDuration,
    pub(crate) warn_before: Vec<SignedDuration>,
    pub(crate) reading: Reading,
    pub(crate) bundle: BundleOrigin,
    pub(crate) intermediates: Vec<CertificateDer<'static>>,
    pub(crate) svid_max_lifetime: Option<SignedDuration>,
    pub(crate) max_staleness: SignedDuration,
    pub(crate) workload_api: Option<Source>,
    pub(crate) federation: Vec<Federated>,
    pub(crate) revoked: Revocations,
    pub(crate) revocations: Option<RevocationSource>,
}

impl Document {
    /// Our own trust domain and those that we have a relationship with.
    fn trust_domains(&self) -> BTreeSet<TrustDomain> {
        let foreign = self
            .federation
            .iter()
            .map(|federated| &federated.relationship.trust_domain);
        self.trust_domain.iter().chain(foreign).cloned().collect()
    }
}

pub(crate) const FIELDS: &[&str] = &[
    "version",
    "trust_domain",
    "mode",
    "listener",
    "chain",
    "xfcc",
    "peer",
    "hops",
    "jwt_svid",
    "forward_id",
    "forward_via",
    "forward_xfcc",
    "mark_passed",
    "access_log",
    "first_bytes_timeout",
    "expiry_grace",
    "warn_before",
    "paths",
    "overrides",
    "bundle",
    "intermediates",
    "svid_max_lifetime",
    "max_staleness",
    "authorities",
    "federation",
    "revoked",
    "revocations",
    "rules",
];

// The words that members take.
pub(crate) const MODES: &[&str] = &["enforce", "dry_run"];
pub(crate) const LISTENERS: &[&str] = &["http", "tcp", "tcp_server_first", "shared"];
pub(crate) const CHAINS: &[&str] = &["verify", "proxy"];
pub(crate) const XFCC: &[&str] = &["ignore", "own", "hop", "hop_appended"];
pub(crate) const ACCESS_LOGS: &[&str] = &["all", "refusals"];
pub(crate) const PATHS: &[&str] = &["strict", "lenient"];
pub(crate) const OVERRIDES: &[&str] = &["read", "ignore"];

/// Reads the tree and the rules' texts, or says why there are none.
pub(crate) fn parse(text: &[u8], format: Format) -> Result<Parts<'_>, CompileError> {
    let whole = |mistake| CompileError {
        place: String::new(),
        mistake,
    };
    if text.len() > MAX_DOCUMENT_BYTES {
        return Err(whole(Mistake::TooLarge {
            bytes: text.len(),
            bound: MAX_DOCUMENT_BYTES,
        }));
    }
    let parsed = match format {
        Format::Json => Parts::parse(text),
        #[cfg(feature = "yaml")]
        Format::Yaml => {
            let text = std::str::from_utf8(text).map_err(|error| whole(Mistake::Syntax(error.to_string())))?;
            Parts::parse_yaml(text)
        }
    };
    parsed.map_err(|error| whole(Mistake::Syntax(error.to_string())))
}

/// Reads what can be read, without the rules; mistakes are with the reader.
pub(crate) fn read_document(json: &Json, reader: &mut Reader) -> Option<Document> {
    let root = Place::Root;
    let object = reader.object(json, &root, FIELDS)?;
    let trust_domain = object.required("trust_domain", reader, &root);
    let trust_domain = trust_domain.and_then(|json| read_trust_domain(reader, json, &root.member("trust_domain")));
    let reading = read_reading(reader, object);
    let listener = read_listeners(reader, object);
    let max_staleness = read_max_staleness(reader, object, &root, MAX_STALENESS);
    let mut document = Document {
        version: read_text(reader, object, "version", &root).unwrap_or_default(),
        mode: read_word(reader, object, "mode", MODES, &[Mode::Enforce, Mode::DryRun]),
        listener,
        chain: read_word(reader, object, "chain", CHAINS, &[ChainMode::Verify, ChainMode::Proxy]),
        xfcc: read_word(
            reader,
            object,
            "xfcc",
            XFCC,
            &[XfccMode::Ignore, XfccMode::Own, XfccMode::Hop, XfccMode::HopAppended],
        ),
        peer: object
            .optional("peer")
            .map(|json| read_peer(reader, json))
            .unwrap_or_default(),
        hops: read_hops(reader, object),
        tokens: read_tokens(reader, object),
        forward_id: read_flag(reader, object, "forward_id"),
        forward_via: read_flag(reader, object, "forward_via"),
        forward_xfcc: read_flag(reader, object, "forward_xfcc"),
        mark_passed: read_flag(reader, object, "mark_passed"),
        access_log: read_word(
            reader,
            object,
            "access_log",
            ACCESS_LOGS,
            &[AccessLog::All, AccessLog::Refusals],
        ),
        first_bytes_timeout: read_timeout(reader, object),
        expiry_grace: object
            .optional("expiry_grace")
            .and_then(|json| read_duration(reader, json, &root.member("expiry_grace")))
            .unwrap_or_default(),
        warn_before: read_warn_before(reader, object),
        reading,
        bundle: read_bundle(reader, object, &root),
        intermediates: read_intermediates(reader, object, &root),
        svid_max_lifetime: read_max_lifetime(reader, object, &root),
        max_staleness,
        workload_api: object
            .optional("authorities")
            .and_then(|json| read_workload_api(reader, json, &root.member("authorities"))),
        federation: read_federation(reader, object, max_staleness),
        revoked: Revocations::default(),
        revocations: object
            .optional("revocations")
            .and_then(|json| read_revocation_source(reader, json, &root.member("revocations"), max_staleness)),
        trust_domain,
    };
    if let Some(json) = object.required("rules", reader, &root) {
        // They are read one by one, later.
        reader.list_or_none(json, &root.member("rules"), |_, _, _| None::<()>);
    }
    if let Some(json) = object.optional("revoked") {
        document.revoked = read_revoked(reader, json, &root.member("revoked"), Some(&document.trust_domains()));
    }
    check_needs_no_certificate(reader, &document.peer, object);
    Some(document)
}

/// When the end of an authority, a relationship or a rule is announced.
const WARN_BEFORE: [SignedDuration; 2] = [SignedDuration::from_hours(7 * 24), SignedDuration::from_hours(24)];
/// Most such moments. Our decision: each is a line in the log.
const MAX_WARNINGS: usize = 8;

fn read_warn_before(reader: &mut Reader, object: Object<'_>) -> Vec<SignedDuration> {
    let place = Place::Root.member("warn_before");
    let read = object.optional("warn_before").and_then(|json| {
        reader.check_length(&place, json.as_array().map_or(0, <[_]>::len), MAX_WARNINGS);
        reader.list_or_none(json, &place, read_duration)
    });
    read.unwrap_or_else(|| WARN_BEFORE.to_vec())
}

fn read_word<T: Copy + Default>(
    reader: &mut Reader,
    object: Object<'_>,
    name: &str,
    words: &'static [&'static str],
    values: &[T],
) -> T {
    let value = object
        .optional(name)
        .and_then(|json| reader.word(json, &Place::Root.member(name), words, values));
    value.unwrap_or_default()
}

fn read_reading(reader: &mut Reader, object: Object<'_>) -> Reading {
    Reading {
        paths: read_word(
            reader,
            object,
            "paths",
            PATHS,
            &[PathReading::Strict, PathReading::Lenient],
        ),
        overrides: read_word(
            reader,
            object,
            "overrides",
            OVERRIDES,
            &[Overrides::Read, Overrides::Ignore],
        ),
    }
}

fn read_listeners(reader: &mut Reader, object: Object<'_>) -> Listeners {
    let values = [
        Listeners::Only(Listener::Http),
        Listeners::Only(Listener::Tcp),
        Listeners::Only(Listener::TcpServerFirst),
        Listeners::Shared,
    ];
    read_word(reader, object, "listener", LISTENERS, &values)
}

fn read_flag(reader: &mut Reader, object: Object<'_>, name: &str) -> bool {
    object
        .optional(name)
        .and_then(|json| reader.flag(json, &Place::Root.member(name)))
        .unwrap_or_default()
}

/// A peer is held for this long from when its connection is accepted, whether it has finished the handshake or not.
const FIRST_BYTES_TIMEOUT: SignedDuration = SignedDuration::from_secs(10);

fn read_timeout(reader: &mut Reader, object: Object<'_>) -> SignedDuration {
    let place = Place::Root.member("first_bytes_timeout");
    let read = object
        .optional("first_bytes_timeout")
        .and_then(|json| read_duration(reader, json, &place));
    read.unwrap_or(FIRST_BYTES_TIMEOUT)
}
