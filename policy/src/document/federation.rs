//! What is one relationship, as it is written?

use jiff::SignedDuration;
use rustls_pki_types::CertificateDer;

use crate::{
    certificate::{
        bounds::MAX_INTERMEDIATES,
        fields::{Fields, Purpose},
        pem::read_pem,
        signer::{Role, Signer},
    },
    document::{
        reader::{Mistake, Object, Place, Reader},
        source::{Source, read_bundle_source},
        values::{
            MAX_COMPARED_PATTERNS, MAX_RELATIONSHIPS, read_duration, read_max_staleness, read_text, read_time,
            read_trust_domain,
        },
    },
    json::Json,
    pattern::id_pattern::IdPattern,
    trust::{bundle::Bundle, relationship::Relationship},
};

/// The member `bundle`: what there is to start from, and where it is fetched.
#[derive(Debug, Default)]
pub(crate) struct BundleOrigin {
    pub(crate) inline: Option<Bundle>,
    pub(crate) endpoint: Option<Source>,
}

impl BundleOrigin {
    /// Whether nothing could ever come of it.
    pub(crate) fn is_none(&self) -> bool {
        self.inline.is_none() && self.endpoint.is_none()
    }
}

/// One entry of `federation`.
#[derive(Debug)]
pub(crate) struct Federated {
    pub(crate) place: usize,
    pub(crate) relationship: Relationship,
    pub(crate) bundle: BundleOrigin,
}

/// The members of `bundle`.
pub(crate) const BUNDLE_FIELDS: &[&str] = &["inline", "endpoint"];
/// The members of an entry.
pub(crate) const RELATIONSHIP_FIELDS: &[&str] = &[
    "trust_domain",
    "bundle",
    "intermediates",
    "scope",
    "svid_max_lifetime",
    "max_staleness",
    "expires",
    "owner",
];

pub(crate) fn read_bundle(reader: &mut Reader, object: Object<'_>, at: &Place<'_>) -> BundleOrigin {
    let place = at.member("bundle");
    let Some(object) = object
        .optional("bundle")
        .and_then(|json| reader.object(json, &place, BUNDLE_FIELDS))
    else {
        return BundleOrigin::default();
    };
    let inline = object.optional("inline").and_then(|json| {
        Bundle::from_json(json)
            .map_err(|error| reader.note(&place.member("inline"), Mistake::Bundle(error)))
            .ok()
    });
    let endpoint = object
        .optional("endpoint")
        .and_then(|json| read_bundle_source(reader, json, &place.member("endpoint")));
    if object.optional("inline").is_none() && object.optional("endpoint").is_none() {
        reader.note(&place, Mistake::Expected("`inline`, `endpoint` or both"));
    }
    BundleOrigin { inline, endpoint }
}

pub(crate) fn read_federation(
    reader: &mut Reader,
    object: Object<'_>,
    max_staleness: SignedDuration,
) -> Vec<Federated> {
    let Some(json) = object.optional("federation") else {
        return Vec::new();
    };
    let place = Place::Root.member("federation");
    let entries = json.as_array().map_or(0, <[_]>::len);
    reader.check_length(&place, entries, MAX_RELATIONSHIPS);
    let mut index = 0usize;
    let read = reader.list_or_none(json, &place, |reader, json, place| {
        let federated = read_relationship(reader, json, place, index, max_staleness);
        index = index.saturating_add(1);
        federated
    });
    read.unwrap_or_default()
}

fn read_relationship(
    reader: &mut Reader,
    json: &Json,
    at: &Place<'_>,
    place: usize,
    max_staleness: SignedDuration,
) -> Option<Federated> {
    let object = reader.object(json, at, RELATIONSHIP_FIELDS)?;
    let trust_domain = object.required("trust_domain", reader, at);
    let trust_domain = trust_domain.and_then(|json| read_trust_domain(reader, json, &at.member("trust_domain")));
    let bundle = read_bundle(reader, object, at);
    let max_staleness = read_max_staleness(reader, object, at, max_staleness);
    let svid_max_lifetime = read_max_lifetime(reader, object, at);
    let expires = object
        .optional("expires")
        .and_then(|json| read_time(reader, json, &at.member("expires")));
    let owner = read_text(reader, object, "owner", at);
    let intermediates = read_intermediates(reader, object, at);
    // Without its trust domain nothing can be said about a scope.
    let trust_domain = trust_domain?;
    let scope = object.optional("scope").and_then(|json| {
        let place = at.member("scope");
        let patterns = json.as_array().map_or(0, <[_]>::len);
        reader.check_length(&place, patterns, MAX_COMPARED_PATTERNS);
        // Every rule would be held against all of them.
        if patterns > MAX_COMPARED_PATTERNS {
            return None;
        }
        reader.list(json, &place, |reader, json, place| {
            let parse = |text: &str| IdPattern::parse_scope(text, &trust_domain).map_err(Mistake::Pattern);
            reader.parsed(json, place, parse)
        })
    });
    let relationship = Relationship {
        trust_domain,
        scope,
        svid_max_lifetime,
        max_staleness,
        expires,
        owner,
        intermediates,
    };
    Some(Federated {
        place,
        relationship,
        bundle,
    })
}

pub(crate) fn read_max_lifetime(reader: &mut Reader, object: Object<'_>, at: &Place<'_>) -> Option<SignedDuration> {
    let lifetime = object.optional("svid_max_lifetime")?;
    read_duration(reader, lifetime, &at.member("svid_max_lifetime"))
}

pub(crate) fn read_intermediates(
    reader: &mut Reader,
    object: Object<'_>,
    at: &Place<'_>,
) -> Vec<CertificateDer<'static>> {
    let Some(json) = object.optional("intermediates") else {
        return Vec::new();
    };
    let place = at.member("intermediates");
    let texts = reader.list(json, &place, |reader, json, place| {
        reader.parsed(json, place, parse_intermediates)
    });
    let certificates: Vec<_> = texts.unwrap_or_default().into_iter().flatten().collect();
    reader.check_length(&place, certificates.len(), MAX_INTERMEDIATES);
    certificates
}

fn parse_intermediates(pem: &str) -> Result<Vec<CertificateDer<'static>>, Mistake> {
    let certificates = read_pem(pem.as_bytes()).map_err(Mistake::Certificate)?;
    for certificate in &certificates {
        let fields = Fields::read(certificate).map_err(Mistake::Certificate)?;
        // One that cannot be part of a path would never lead anywhere.
        Signer::read(&fields, Role::Intermediate, Purpose::ClientAuth).map_err(Mistake::Signer)?;
    }
    Ok(certificates)
}
