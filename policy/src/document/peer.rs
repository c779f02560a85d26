//! Where a listener learns who its peer is: from the TLS of the connection, or, where that ends at another listener of
//! the same proxy, from the filter state which that one shares.
//!
//! Filter state is never read unless the document says so, and says under which key. A client can set none. What any
//! other wasm module may write (`wasm.*`) is no place for an identity.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use crate::{
    document::{
        reader::{Mistake, Object, Place, Reader},
        values::read_duration,
    },
    json::Json,
    name::id::TrustDomain,
};

/// Longest key of filter state, in bytes. Our decision.
const MAX_KEY_BYTES: usize = 128;
/// What Envoy puts before the key of each property that a wasm module writes.
const WASM_PREFIX: &str = "wasm.";
/// How long a connection may be open whose peer has no certificate here that ends. Our decision: the life of an SVID
/// where SPIRE is not told otherwise.
const MAX_CONNECTION_AGE: SignedDuration = SignedDuration::from_hours(1);

/// Where the peer of a connection without TLS of its own stands. A connection with TLS is judged by that, whatever
/// stands here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PeerOrigin {
    /// Nowhere.
    #[default]
    Handshake,
    /// Another listener shares the certificate that it was shown.
    Certificate {
        /// The key of the certificate, PEM (%-encoded, as `%DOWNSTREAM_PEER_CERT%` is).
        certificate: String,
        /// The key of its SHA-256 in hexadecimal digits (`%DOWNSTREAM_PEER_FINGERPRINT_256%`).
        sha256: String,
    },
    /// Another listener shares the id that its TLS has verified, and nothing else.
    Id {
        /// The key.
        key: String,
        /// How long a connection may be open.
        max_connection_age: SignedDuration,
    },
}

impl PeerOrigin {
    /// Whether whoever is let in has shown a certificate, here or at another listener.
    pub fn has_certificate(&self) -> bool {
        match self {
            Self::Handshake | Self::Certificate { .. } => true,
            Self::Id { .. } => false,
        }
    }
}

/// The member `peer`, and the foreign trust domains of which ids are taken.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    pub(crate) origin: PeerOrigin,
    pub(crate) trust_domains: Vec<TrustDomain>,
}

pub(crate) const PEER_FIELDS: &[&str] = &["filter_state"];
pub(crate) const FILTER_STATE_FIELDS: &[&str] = &["id", "trust_domains", "max_connection_age", "certificate", "sha256"];
const OF_ID: [&str; 2] = ["trust_domains", "max_connection_age"];

pub(crate) fn read_peer(reader: &mut Reader, json: &Json) -> Peer {
    read(reader, json).unwrap_or_default()
}

fn read(reader: &mut Reader, json: &Json) -> Option<Peer> {
    let at = Place::Root;
    let at = at.member("peer");
    let object = reader.object(json, &at, PEER_FIELDS)?;
    let json = object.required("filter_state", reader, &at)?;
    let at = at.member("filter_state");
    let object = reader.object(json, &at, FILTER_STATE_FIELDS)?;
    let has = |name| object.optional(name).is_some();
    match (has("id"), has("certificate") || has("sha256")) {
        (true, false) => read_id(reader, object, &at),
        (false, true) => read_certificate(reader, object, &at),
        (true, true) | (false, false) => {
            reader.note(&at, Mistake::Expected("`id`, or `certificate` and `sha256`"));
            None
        }
    }
}

fn read_id(reader: &mut Reader, object: Object<'_>, at: &Place<'_>) -> Option<Peer> {
    let key = read_key(reader, object, "id", at);
    let trust_domains = object.optional("trust_domains").and_then(|json| {
        reader.list(json, &at.member("trust_domains"), |reader, json, place| {
            reader.parsed(json, place, |text| TrustDomain::parse(text).map_err(Mistake::Id))
        })
    });
    let max_connection_age = object
        .optional("max_connection_age")
        .and_then(|json| read_duration(reader, json, &at.member("max_connection_age")));
    let origin = PeerOrigin::Id {
        key: key?,
        max_connection_age: max_connection_age.unwrap_or(MAX_CONNECTION_AGE),
    };
    let trust_domains = trust_domains.unwrap_or_default();
    Some(Peer { origin, trust_domains })
}

fn read_certificate(reader: &mut Reader, object: Object<'_>, at: &Place<'_>) -> Option<Peer> {
    let certificate = read_key(reader, object, "certificate", at);
    let sha256 = read_key(reader, object, "sha256", at);
    for name in OF_ID.into_iter().filter(|name| object.optional(name).is_some()) {
        let mistake = Mistake::Expected("`id` beside it (a certificate says itself whose it is and when it ends)");
        reader.note(&at.member(name), mistake);
    }
    let (certificate, sha256) = (certificate?, sha256?);
    if certificate == sha256 {
        reader.note(
            &at.member("sha256"),
            Mistake::Expected("another key than that of `certificate`"),
        );
    }
    let origin = PeerOrigin::Certificate { certificate, sha256 };
    Some(Peer {
        origin,
        ..Peer::default()
    })
}

fn read_key(reader: &mut Reader, object: Object<'_>, name: &str, at: &Place<'_>) -> Option<String> {
    let json = object.required(name, reader, at)?;
    reader.parsed(json, &at.member(name), |text| {
        if text.starts_with(WASM_PREFIX) {
            return Err(Mistake::Expected(
                "a key that does not begin with `wasm.` (any module in the proxy may write that)",
            ));
        }
        if text.is_empty() || text.len() > MAX_KEY_BYTES || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Mistake::Expected("a key of 1 to 128 visible ASCII characters"));
        }
        Ok(text.to_owned())
    })
}

/// Members that are about certificates, of a document and of a relationship.
const NEEDS_CERTIFICATE: [&str; 10] = [
    "chain",
    "xfcc",
    "forward_xfcc",
    "hops",
    "forward_via",
    "expiry_grace",
    "bundle",
    "intermediates",
    "svid_max_lifetime",
    "authorities",
];
const RELATIONSHIP_NEEDS_CERTIFICATE: [&str; 4] = ["bundle", "intermediates", "svid_max_lifetime", "max_staleness"];
const REVOKED_BY_CERTIFICATE: [&str; 4] = ["sha256", "public_key_sha256", "serial", "issuer"];

/// Notes whatever needs a certificate where there is none: whoever writes it believes that something works.
pub(crate) fn check_needs_no_certificate(reader: &mut Reader, peer: &Peer, document: Object<'_>) {
    if peer.origin.has_certificate() {
        return;
    }
    let root = Place::Root;
    note_each(reader, document, &NEEDS_CERTIFICATE, &root);
    for (list, names) in [
        ("federation", &RELATIONSHIP_NEEDS_CERTIFICATE),
        ("revoked", &REVOKED_BY_CERTIFICATE),
    ] {
        let place = root.member(list);
        let entries = document.optional(list).and_then(Json::as_array).unwrap_or_default();
        for (index, entry) in entries.iter().enumerate() {
            if let Some(entry) = Object::of(entry) {
                note_each(reader, entry, names, &place.item(index));
            }
        }
    }
}

fn note_each(reader: &mut Reader, object: Object<'_>, names: &[&str], at: &Place<'_>) {
    for name in names.iter().filter(|name| object.optional(name).is_some()) {
        let mistake =
            Mistake::Expected("no such member beside `peer.filter_state.id`, which comes without a certificate");
        reader.note(&at.member(name), mistake);
    }
}

/// The TLS that has verified an id pools its authorities: whoever may issue for one trust domain could for another. So
/// foreign ones are named, and those that are named are the ones that there is a relationship with.
pub(crate) fn check_trust_domains<'d>(
    reader: &mut Reader,
    peer: &Peer,
    own: Option<&TrustDomain>,
    foreign: impl Iterator<Item = (usize, &'d TrustDomain)> + Clone,
) {
    if peer.origin.has_certificate() {
        return;
    }
    let root = Place::Root;
    let (peer_place, federation) = (root.member("peer"), root.member("federation"));
    let filter_state = peer_place.member("filter_state");
    let named = filter_state.member("trust_domains");
    let mut seen: BTreeSet<&TrustDomain> = own.into_iter().collect();
    for (index, name) in peer.trust_domains.iter().enumerate() {
        let place = named.item(index);
        let shown = name.to_string();
        if !seen.insert(name) {
            reader.note(&place, Mistake::RepeatedTrustDomain { name: shown });
        } else if !foreign.clone().any(|(_, known)| known == name) {
            let known = foreign.clone().take(10).map(|(_, known)| known.to_string()).collect();
            reader.note(&place, Mistake::UnknownTrustDomain { name: shown, known });
        }
    }
    for (index, name) in foreign {
        if !peer.trust_domains.contains(name) {
            let place = federation.item(index);
            let mistake = "one that `peer.filter_state.trust_domains` names (the proxy's TLS pools its authorities, so \
                           name only those that may speak for each other)";
            reader.note(&place.member("trust_domain"), Mistake::Expected(mistake));
        }
    }
}
