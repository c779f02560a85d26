//! URI name constraints of an authority (X509-SVID 4.2, RFC 5280 4.2.1.10).
//!
//! webpki refuses every chain in which a URI constraint meets a URI name. That is safe, and locks out trust domains
//! whose authority is constrained to its own name. So the URI part of an *authority's* constraints is taken out of what
//! webpki sees and processed here; every other kind stays with webpki. Constraints in certificates that a peer sends
//! are not touched: webpki refuses those, and such a domain puts the constrained signing certificate itself into its
//! bundle, where an authority need not be self-signed.

use x509_cert::{
    der::Encode as _,
    ext::pkix::{
        NameConstraints,
        constraints::name::{GeneralSubtree, GeneralSubtrees},
        name::GeneralName,
    },
};

/// Most subtrees in one certificate. Our decision: each is compared with each name below.
const MAX_SUBTREES: usize = 64;

/// The URI constraints of one authority.
#[derive(Debug, Default)]
pub(crate) struct UriConstraints {
    /// `None`: no URI is constrained to be inside anything.
    permitted: Option<Vec<String>>,
    excluded: Vec<String>,
}

/// Constraints that cannot be processed: the authority is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unsupported;

impl UriConstraints {
    /// Splits constraints into the URI part and, in DER, the rest (the inside of the sequence, as webpki wants it).
    pub(crate) fn split(constraints: NameConstraints) -> Result<(Self, Option<Vec<u8>>), Unsupported> {
        if says_nothing(&constraints) {
            return Err(Unsupported);
        }
        let (permitted, other_permitted) = split_subtrees(constraints.permitted_subtrees)?;
        let (excluded, other_excluded) = split_subtrees(constraints.excluded_subtrees)?;
        let permitted = (!permitted.is_empty()).then_some(permitted);
        let rest = NameConstraints {
            permitted_subtrees: other_permitted,
            excluded_subtrees: other_excluded,
        };
        Ok((Self { permitted, excluded }, encode(&rest)?))
    }

    /// Whether a URI name may appear below the authority. Excluded beats permitted (NC-3).
    pub(crate) fn allow(&self, uri: &str) -> bool {
        if self.permitted.is_none() && self.excluded.is_empty() {
            return true;
        }
        // NC-6: RFC 5280 has no form for addresses, and a name without a host cannot be shown to be inside anything.
        let Some(host) = host(uri).filter(|host| !looks_like_address(host)) else {
            return false;
        };
        !self.excluded.iter().any(|base| is_inside(host, base))
            && self
                .permitted
                .as_ref()
                .is_none_or(|bases| bases.iter().any(|base| is_inside(host, base)))
    }
}

/// Whether a list of subtrees is empty, or there is none. RFC 5280 4.2.1.10: "Conforming CAs MUST NOT issue certificates
/// where name constraints is an empty sequence". An empty list of permitted names, read as it stands, permits none.
pub(crate) fn says_nothing(constraints: &NameConstraints) -> bool {
    let lists = [&constraints.permitted_subtrees, &constraints.excluded_subtrees];
    lists.iter().all(|list| list.is_none()) || lists.iter().any(|list| list.as_ref().is_some_and(Vec::is_empty))
}

fn split_subtrees(subtrees: Option<GeneralSubtrees>) -> Result<(Vec<String>, Option<GeneralSubtrees>), Unsupported> {
    let mut uris = Vec::new();
    let mut others = Vec::new();
    for subtree in subtrees.unwrap_or_default() {
        if uris.len().saturating_add(others.len()) >= MAX_SUBTREES {
            return Err(Unsupported);
        }
        let GeneralSubtree { base, minimum, maximum } = subtree;
        match base {
            GeneralName::UniformResourceIdentifier(uri) => {
                // NC-8: RFC 5280 fixes the minimum at zero and forbids the maximum.
                if minimum != 0 || maximum.is_some() {
                    return Err(Unsupported);
                }
                // It is a host, whole or with a dot in front (RFC 5280 4.2.1.10). One that is not would exclude nobody.
                let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
                if !uri.as_str().bytes().all(is_host) {
                    return Err(Unsupported);
                }
                uris.push(uri.as_str().to_owned());
            }
            base @ (GeneralName::OtherName(_)
            | GeneralName::Rfc822Name(_)
            | GeneralName::DnsName(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EdiPartyName(_)
            | GeneralName::IpAddress(_)
            | GeneralName::RegisteredId(_)) => others.push(GeneralSubtree { base, minimum, maximum }),
        }
    }
    Ok((uris, (!others.is_empty()).then_some(others)))
}

fn encode(rest: &NameConstraints) -> Result<Option<Vec<u8>>, Unsupported> {
    if rest.permitted_subtrees.is_none() && rest.excluded_subtrees.is_none() {
        return Ok(None);
    }
    let mut inside = Vec::new();
    rest.to_der()
        .and_then(|der| {
            let sequence = x509_cert::der::asn1::AnyRef::try_from(der.as_slice())?;
            inside.extend_from_slice(sequence.value());
            Ok(())
        })
        .map_err(|_| Unsupported)?;
    Ok(Some(inside))
}

/// The host of a URI: what stands between `//` and the path, without user info and port.
fn host(uri: &str) -> Option<&str> {
    let (_scheme, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host_and_port = authority.rsplit_once('@').map_or(authority, |(_user, host)| host);
    if host_and_port.starts_with('[') {
        return Some(host_and_port);
    }
    let host = host_and_port
        .split_once(':')
        .map_or(host_and_port, |(host, _port)| host);
    (!host.is_empty()).then_some(host)
}

fn looks_like_address(host: &str) -> bool {
    host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok()
}

/// NC-4, NC-5: `example.org` is that host only; `.example.org` is one or more labels below; an empty base is all.
fn is_inside(host: &str, base: &str) -> bool {
    if base.is_empty() {
        return true;
    }
    let host = host.to_ascii_lowercase();
    let base = base.to_ascii_lowercase();
    if base.starts_with('.') {
        host.len() > base.len() && host.ends_with(&base)
    } else {
        host == base
    }
}

#[cfg(test)]
mod tests {
    use super::UriConstraints;

    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn allows(permitted: &[&str], excluded: &[&str], uri: &str) -> bool {
        let list = |bases: &[&str]| bases.iter().map(|&base| base.to_owned()).collect::<Vec<_>>();
        let permitted = (!permitted.is_empty()).then(|| list(permitted));
        UriConstraints {
            permitted,
            excluded: list(excluded),
        }
        .allow(uri)
    }

    #[test]
    fn hosts_are_inside_as_rfc_5280_says() {
        assert!(allows(&["example.org"], &[], "spiffe://example.org/w"));
        assert!(!allows(&["example.org"], &[], "spiffe://sub.example.org/w"));
        assert!(allows(&[".example.org"], &[], "spiffe://sub.example.org/w"));
        assert!(!allows(&[".example.org"], &[], "spiffe://example.org/w"));
        assert!(!allows(&["example.org"], &[], "spiffe://notexample.org/w"));
        assert!(!allows(&[".example.org"], &[], "spiffe://notexample.org/w"));
        assert!(!allows(&["a.example", "b.example"], &[], "spiffe://c.example/w"));
        assert!(allows(&["a.example", "b.example"], &[], "spiffe://b.example/w"));
    }

    #[test]
    fn excluded_beats_permitted_and_empty_is_all() {
        assert!(!allows(&["example.org"], &["example.org"], "spiffe://example.org/w"));
        assert!(allows(&[""], &[], "spiffe://example.org/w"));
        assert!(!allows(&[], &[""], "spiffe://example.org/w"));
        assert!(allows(&[], &["other.example"], "spiffe://example.org/w"));
    }

    #[test]
    fn addresses_and_names_without_host_are_outside_any_constraint() {
        for uri in [
            "spiffe://1.2.3.4/w",
            "http://[::1]/",
            "urn:x",
            "spiffe:///w",
            "http://[fe80::1%25.example.com]:16/",
        ] {
            assert!(!allows(&[""], &[], uri), "{uri}");
            assert!(!allows(&[], &["x.example"], uri), "{uri}");
        }
    }
}
