//! Which certificate may stand above another in a path?

use rustls_pki_types::CertificateDer;

use crate::{
    certificate::{
        fields::{Fields, Purpose},
        fingerprint::Fingerprints,
        signer::{Role, Signer, SigningError},
    },
    trust::authority::Authority,
};

/// A certificate that may stand between a leaf and an authority.
#[derive(Debug)]
pub(super) struct Link<'a> {
    pub(super) fields: Fields<'a>,
    pub(super) signer: Result<Signer, SigningError>,
}

/// Each certificate once. What is not one cannot be part of a path, and need not spoil a good one.
pub(super) fn links<'a>(intermediates: &'a [CertificateDer<'a>], purpose: Purpose) -> Vec<Link<'a>> {
    let mut different: Vec<&CertificateDer<'_>> = Vec::new();
    for certificate in intermediates {
        if !different.contains(&certificate) {
            different.push(certificate);
        }
    }
    let read = |der: &&'a CertificateDer<'a>| Fields::read(der).ok();
    let link = |fields: Fields<'a>| Link {
        signer: Signer::read(&fields, Role::Intermediate, purpose),
        fields,
    };
    different.iter().filter_map(read).map(link).collect()
}

/// Whoever may have signed.
#[derive(Clone, Copy)]
pub(super) enum Candidate<'s> {
    Authority(&'s Authority),
    Link(&'s Link<'s>),
}

impl<'s> Candidate<'s> {
    pub(super) fn subject(self) -> &'s [u8] {
        match self {
            Self::Authority(authority) => &authority.signer.subject,
            Self::Link(link) => &link.fields.subject,
        }
    }

    pub(super) fn key_id(self) -> Option<&'s [u8]> {
        match self {
            Self::Authority(authority) => authority.signer.key_id.as_deref(),
            Self::Link(link) => link.fields.key_id.as_deref(),
        }
    }

    pub(super) fn public_key(self) -> &'s [u8] {
        match self {
            Self::Authority(authority) => &authority.signer.public_key,
            Self::Link(link) => &link.fields.public_key,
        }
    }

    pub(super) fn revocable(self) -> Fingerprints {
        match self {
            Self::Authority(authority) => authority.revocable.clone(),
            Self::Link(link) => link.fields.revocable(),
        }
    }
}

/// How well a candidate goes with what a certificate says of its issuer's key. The order in which they are tried.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Closeness {
    Meant,
    Unsaid,
    Another,
}

pub(super) fn closeness(issuer_key_id: Option<&[u8]>, key_id: Option<&[u8]>) -> Closeness {
    match (issuer_key_id, key_id) {
        (Some(issuer), Some(own)) if issuer == own => Closeness::Meant,
        (Some(_), Some(_)) => Closeness::Another,
        (None, _) | (_, None) => Closeness::Unsaid,
    }
}
