//! What x509-limbo asks beyond an RFC 5280 path, told from the row itself.
//!
//! A rule only counts where we and the row differ, and only one way: a row that should be refused for a reason that is
//! none of the path's, or one that should be accepted with something that we refuse on purpose.

use std::net::IpAddr;

use serde_json::Value;
use svidgate_policy::certificate::bounds::{MAX_INTERMEDIATES, MAX_SANS};
use svidgate_policy::certificate::signature::ALGORITHMS;
use x509_cert::Certificate;
use x509_cert::der::asn1::AnyRef;
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, NameConstraints, SubjectAltName};

use crate::vectors::{certificates, rows, strings, text};

/// The rule for a row that should be refused.
pub(crate) fn failure(case: &Value) -> Option<&'static str> {
    let (id, features) = (text(case, "id"), strings(case, "features"));
    if features
        .iter()
        .any(|feature| feature.starts_with("pedantic-") || feature.ends_with("incompatible-with-webpki"))
    {
        return Some("limbo itself marks the rule as optional");
    }
    if !case.get("max_chain_depth").is_none_or(Value::is_null) {
        return Some("the bound on the length of a path is ours, not the caller's");
    }
    if !rows(case, "crls").is_empty() || features.contains(&"has-crl") {
        return Some("no revocation lists: revocation is removal from the bundle");
    }
    // What the CA/Browser Forum adds to RFC 5280 about these subjects.
    let web_only = [
        "webpki::aki::",
        "webpki::cn::",
        "webpki::eku::",
        "webpki::ku::",
        "webpki::san::",
        "smime::",
    ];
    if web_only.iter().any(|start| id.starts_with(start)) {
        return Some("a rule of the web's or of mail's certificates, not of RFC 5280");
    }
    if !names_fit(case) {
        return Some("names of peers are none of the path's");
    }
    (!strings(case, "signature_algorithms").is_empty()).then_some("the list of algorithms is ours, not the caller's")
}

/// The rule for a row that should be accepted.
pub(crate) fn success(case: &Value) -> Option<&'static str> {
    let leaf = decoded(text(case, "peer_certificate"));
    let signers = ["trusted_certs", "untrusted_intermediates"]
        .into_iter()
        .flat_map(|member| strings(case, member));
    let signers: Vec<Certificate> = signers.filter_map(decoded).collect();
    if leaf
        .as_ref()
        .and_then(extension::<BasicConstraints>)
        .is_some_and(|constraints| constraints.ca)
    {
        return Some("a signing certificate is never taken for a leaf");
    }
    let names = leaf
        .as_ref()
        .and_then(extension::<SubjectAltName>)
        .map_or(0, |names| names.0.len());
    if names > MAX_SANS || strings(case, "untrusted_intermediates").len() > 2 * MAX_INTERMEDIATES {
        return Some("beyond our bounds on names and on certificates");
    }
    if signers
        .iter()
        .filter_map(extension::<NameConstraints>)
        .any(|constraints| !are_processed(constraints))
    {
        return Some("constraints on this kind of name are not processed: where there is such a name, they refuse");
    }
    if strings(case, "features")
        .iter()
        .any(|feature| feature.contains("polic"))
    {
        return Some("certificate policies are not processed: where they are critical, they refuse");
    }
    let purposes = strings(case, "extended_key_usage");
    if !purposes.is_empty()
        && !purposes
            .iter()
            .any(|purpose| ["serverAuth", "clientAuth"].contains(purpose))
    {
        return Some("the only purposes are TLS server and TLS client");
    }
    if leaf
        .iter()
        .chain(&signers)
        .any(|certificate| !key_is_listed(certificate))
    {
        return Some("a key is of a kind that is not on the list of algorithms");
    }
    None
}

fn extension<T: AssociatedOid + for<'a> Decode<'a>>(certificate: &Certificate) -> Option<T> {
    let extensions = certificate.tbs_certificate().extensions()?;
    let extension = extensions.iter().find(|extension| extension.extn_id == T::OID)?;
    T::from_der(extension.extn_value.as_bytes()).ok()
}

fn are_processed(constraints: NameConstraints) -> bool {
    let lists = [constraints.permitted_subtrees, constraints.excluded_subtrees];
    lists.into_iter().flatten().flatten().all(|subtree| {
        matches!(
            subtree.base,
            GeneralName::DnsName(_)
                | GeneralName::IpAddress(_)
                | GeneralName::DirectoryName(_)
                | GeneralName::UniformResourceIdentifier(_)
        )
    })
}

fn decoded(pem: &str) -> Option<Certificate> {
    let certificate = certificates(pem.as_bytes()).ok()?.into_iter().next()?;
    Certificate::from_der(&certificate).ok()
}

fn key_is_listed(certificate: &Certificate) -> bool {
    let algorithm = certificate
        .tbs_certificate()
        .subject_public_key_info()
        .algorithm
        .to_der()
        .unwrap_or_default();
    let Ok(algorithm) = AnyRef::from_der(&algorithm) else {
        return false;
    };
    ALGORITHMS
        .iter()
        .any(|listed| listed.public_key_alg_id().as_ref() == algorithm.value())
}

/// Whether the leaf bears every name that the row expects. When no answer can be had, it does.
fn names_fit(case: &Value) -> bool {
    let wanted = case
        .get("expected_peer_name")
        .into_iter()
        .filter(|name| name.is_object());
    let mut wanted = wanted.chain(rows(case, "expected_peer_names")).peekable();
    let Some(leaf) = decoded(text(case, "peer_certificate")) else {
        return true;
    };
    let names = extension::<SubjectAltName>(&leaf)
        .map(|names| names.0)
        .unwrap_or_default();
    wanted.peek().is_none() || wanted.all(|wanted| names.iter().any(|name| fits(name, text(wanted, "value"))))
}

fn fits(name: &GeneralName, wanted: &str) -> bool {
    match name {
        GeneralName::DnsName(name) => match name.as_str().strip_prefix("*.") {
            Some(parent) => wanted
                .split_once('.')
                .is_some_and(|(_label, rest)| rest.eq_ignore_ascii_case(parent)),
            None => name.as_str().eq_ignore_ascii_case(wanted),
        },
        GeneralName::IpAddress(address) => match wanted.parse() {
            Ok(IpAddr::V4(wanted)) => address.as_bytes() == wanted.octets(),
            Ok(IpAddr::V6(wanted)) => address.as_bytes() == wanted.octets(),
            Err(_) => false,
        },
        GeneralName::Rfc822Name(name) => name.as_str() == wanted,
        _ => false,
    }
}
