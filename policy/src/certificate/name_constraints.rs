//! Name constraints of signing certificates, those of a bundle and those below them (X509-SVID 4.2, RFC 5280 4.2.1.10).
//!
//! URIs, DNS names, addresses and directory names are processed. A name of any other kind is refused where a constraint
//! is on its kind, and so is one of a kind that is processed which cannot be read: neither can be shown to be inside
//! anything.

use std::fmt;

use x509_cert::{
    der::oid::ObjectIdentifier,
    ext::pkix::{
        self,
        constraints::name::{GeneralSubtree, GeneralSubtrees},
        name::GeneralName,
    },
    name::Name,
};

use crate::{
    certificate::distinguished_name::{self, Part},
    claim::{Claim, Hex, beginning},
};

/// Most subtrees in one certificate. Our decision: each is compared with each name below.
const MAX_SUBTREES: usize = 64;

/// Most comparisons for one leaf. Our decision: the most subtrees against the most names of a leaf, twice; 2 ms in a
/// VM.
pub(crate) const MAX_COMPARISONS: usize = 16 * 1024;

/// The constraints of one certificate. Without any, everything may stand below it.
#[derive(Debug, Default)]
pub(crate) struct NameConstraints {
    permitted: Vec<Base>,
    excluded: Vec<Base>,
}

/// What a name may have to be inside of.
#[derive(Debug)]
enum Base {
    /// A host, or with a dot in front what is below it, in lower case.
    Uri(String),
    /// The same of DNS names, where a host stands for what is below it too.
    Dns(String),
    /// Address and mask, both of 4 or 16 bytes.
    Ip { address: Vec<u8>, mask: Vec<u8> },
    /// The first parts of a name, each in its one spelling.
    Directory { parts: Vec<Part>, name: Name },
    /// Of a kind that is not processed.
    Unprocessed(Kind),
}

/// The kinds of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `uniformResourceIdentifier`.
    Uri,
    /// `dNSName`.
    Dns,
    /// `iPAddress`.
    Ip,
    /// `directoryName`, and the subject.
    Directory,
    /// `rfc822Name`, and what the subject has of them.
    Email,
    /// `otherName`.
    Other,
    /// `ediPartyName`.
    EdiParty,
    /// `registeredID`.
    RegisteredId,
}

impl Kind {
    /// As people call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Uri => "URI",
            Self::Dns => "DNS name",
            Self::Ip => "address",
            Self::Directory => "directory name",
            Self::Email => "e-mail address",
            Self::Other => "other name",
            Self::EdiParty => "EDI party name",
            Self::RegisteredId => "registered id",
        }
    }

    fn of(name: &GeneralName) -> Self {
        match name {
            GeneralName::UniformResourceIdentifier(_) => Self::Uri,
            GeneralName::DnsName(_) => Self::Dns,
            GeneralName::IpAddress(_) => Self::Ip,
            GeneralName::DirectoryName(_) => Self::Directory,
            GeneralName::Rfc822Name(_) => Self::Email,
            GeneralName::OtherName(_) => Self::Other,
            GeneralName::EdiPartyName(_) => Self::EdiParty,
            GeneralName::RegisteredId(_) => Self::RegisteredId,
        }
    }
}

/// Constraints that cannot be processed: the certificate that has them signs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConstraintsError {
    /// No subtree, or a list of none. RFC 5280 4.2.1.10: "Conforming CAs MUST NOT issue certificates where name
    /// constraints is an empty sequence". An empty list of permitted names, read as it stands, permits none.
    Empty,
    /// More than 64 subtrees.
    TooMany,
    /// A minimum or maximum, which RFC 5280 fixes at zero and forbids.
    Bounds(Kind),
    /// A base that is none of its kind. It would exclude nobody.
    Base(Kind),
}

impl fmt::Display for ConstraintsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("name constraints are empty"),
            Self::TooMany => write!(f, "name constraints have more than {MAX_SUBTREES} subtrees"),
            Self::Bounds(kind) => write!(f, "name constraint on {}s has a minimum or maximum", kind.as_str()),
            Self::Base(kind) => write!(f, "name constraint on {}s cannot be read", kind.as_str()),
        }
    }
}

/// A name that a constraint forbids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Breach {
    /// It is inside what is excluded, or of a kind that is not processed.
    Excluded {
        /// The kind of name.
        kind: Kind,
        /// The constraint.
        base: String,
    },
    /// It is inside nothing that is permitted.
    NotPermitted {
        /// The kind of name.
        kind: Kind,
        /// The first constraint on this kind.
        base: String,
    },
    /// More than the bound on comparisons.
    TooMuchWork,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Excluded { kind, base } => {
                write!(f, "a {} below it is excluded by `{}`", kind.as_str(), Claim(base))
            }
            Self::NotPermitted { kind, base } => {
                write!(
                    f,
                    "a {} below it is not inside `{}`, which is permitted",
                    kind.as_str(),
                    Claim(base)
                )
            }
            Self::TooMuchWork => write!(f, "more than {MAX_COMPARISONS} comparisons of names would be needed"),
        }
    }
}

impl NameConstraints {
    /// Reads the extension.
    pub(crate) fn read(extension: &pkix::NameConstraints) -> Result<Self, ConstraintsError> {
        let lists = [&extension.permitted_subtrees, &extension.excluded_subtrees];
        if lists.iter().all(|list| list.is_none()) || lists.into_iter().flatten().any(Vec::is_empty) {
            return Err(ConstraintsError::Empty);
        }
        if lists.into_iter().flatten().map(Vec::len).fold(0, usize::saturating_add) > MAX_SUBTREES {
            return Err(ConstraintsError::TooMany);
        }
        let read =
            |subtrees: &Option<GeneralSubtrees>| subtrees.iter().flatten().map(Base::read).collect::<Result<_, _>>();
        Ok(Self {
            permitted: read(&extension.permitted_subtrees)?,
            excluded: read(&extension.excluded_subtrees)?,
        })
    }

    /// Whether everything may stand below it.
    pub(crate) fn is_empty(&self) -> bool {
        self.permitted.is_empty() && self.excluded.is_empty()
    }

    /// Whether the names of a certificate below may stand there. Excluded beats permitted (NC-3). Each comparison is
    /// one of `left`.
    pub(crate) fn check(&self, names: &[Presented<'_>], left: &mut usize) -> Result<(), Breach> {
        for name in names {
            let mut spend = || {
                *left = left.checked_sub(1)?;
                Some(())
            };
            for base in &self.excluded {
                spend().ok_or(Breach::TooMuchWork)?;
                if base.kind() == name.kind() && base.holds(name) != Some(false) {
                    return Err(Breach::Excluded {
                        kind: name.kind(),
                        base: base.written(),
                    });
                }
            }
            let mut of_its_kind = None;
            let mut is_permitted = false;
            for base in &self.permitted {
                spend().ok_or(Breach::TooMuchWork)?;
                if base.kind() == name.kind() {
                    of_its_kind = of_its_kind.or(Some(base));
                    is_permitted |= base.holds(name) == Some(true);
                }
            }
            if let Some(base) = of_its_kind.filter(|_| !is_permitted) {
                return Err(Breach::NotPermitted {
                    kind: name.kind(),
                    base: base.written(),
                });
            }
        }
        Ok(())
    }
}

impl Base {
    fn read(subtree: &GeneralSubtree) -> Result<Self, ConstraintsError> {
        let kind = Kind::of(&subtree.base);
        // NC-8.
        if subtree.minimum != 0 || subtree.maximum.is_some() {
            return Err(ConstraintsError::Bounds(kind));
        }
        let host = |text: &str| {
            let text = text.to_ascii_lowercase();
            text.bytes()
                .all(is_of_hosts)
                .then_some(text)
                .ok_or(ConstraintsError::Base(kind))
        };
        match &subtree.base {
            GeneralName::UniformResourceIdentifier(base) => host(base.as_str()).map(Self::Uri),
            GeneralName::DnsName(base) => host(base.as_str()).map(Self::Dns),
            GeneralName::IpAddress(bytes) => {
                let bytes = bytes.as_bytes();
                let halves = matches!(bytes.len(), 8 | 32).then(|| bytes.split_at_checked(bytes.len() / 2));
                let (address, mask) = halves.flatten().ok_or(ConstraintsError::Base(kind))?;
                if !is_mask(mask) {
                    return Err(ConstraintsError::Base(kind));
                }
                Ok(Self::Ip {
                    address: address.to_vec(),
                    mask: mask.to_vec(),
                })
            }
            GeneralName::DirectoryName(name) => Ok(Self::Directory {
                parts: distinguished_name::parts(name.as_ref()),
                name: name.clone(),
            }),
            GeneralName::OtherName(_)
            | GeneralName::Rfc822Name(_)
            | GeneralName::EdiPartyName(_)
            | GeneralName::RegisteredId(_) => Ok(Self::Unprocessed(kind)),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Uri(_) => Kind::Uri,
            Self::Dns(_) => Kind::Dns,
            Self::Ip { .. } => Kind::Ip,
            Self::Directory { .. } => Kind::Directory,
            Self::Unprocessed(kind) => *kind,
        }
    }

    /// As it is shown.
    fn written(&self) -> String {
        match self {
            Self::Uri(base) | Self::Dns(base) => base.clone(),
            Self::Ip { address, mask } => format!("{}/{}", Hex(address), Hex(mask)),
            Self::Directory { name, .. } => beginning(name),
            Self::Unprocessed(_) => "a constraint on this kind of name, which is not processed".to_owned(),
        }
    }

    /// Whether it holds a name, or part of what the name stands for. `None`: that cannot be said.
    fn holds(&self, name: &Presented<'_>) -> Option<bool> {
        match (self, name) {
            (Self::Uri(base), Presented::Uri(host)) => Some(holds_host(base, host.as_deref()?)),
            (Self::Dns(base), Presented::Dns(name)) => holds_dns_name(base, name.as_ref()?),
            (Self::Ip { address, mask }, Presented::Ip(name)) => match name.len() {
                4 | 16 => Some(name.len() == address.len() && is_same_network(address, name, mask)),
                _ => None,
            },
            (Self::Directory { parts, .. }, Presented::Directory(name)) => distinguished_name::begins_with(name, parts),
            // Of another kind, or of one that is not processed.
            (
                Self::Uri(_) | Self::Dns(_) | Self::Ip { .. } | Self::Directory { .. } | Self::Unprocessed(_),
                Presented::Uri(_)
                | Presented::Dns(_)
                | Presented::Ip(_)
                | Presented::Directory(_)
                | Presented::Unprocessed(_),
            ) => None,
        }
    }
}

/// The names of one certificate: its SANs and its subject.
pub(crate) struct Names<'a> {
    pub(crate) sans: &'a [GeneralName],
    pub(crate) subject: &'a Name,
}

/// One of them, read as far as it is compared.
pub(crate) enum Presented<'a> {
    /// The host.
    Uri(Option<String>),
    Dns(Option<DnsName>),
    Ip(&'a [u8]),
    Directory(Vec<Part>),
    Unprocessed(Kind),
}

/// `emailAddress` in a subject (RFC 5280, appendix A.1).
const EMAIL_ADDRESS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.1");

impl<'a> Names<'a> {
    /// All of them, read. That takes longer than a comparison.
    pub(crate) fn read(&self) -> Vec<Presented<'a>> {
        let subject = self.subject;
        // "when the certificate includes a non-empty subject field".
        let directory =
            (!subject.is_empty()).then(|| Presented::Directory(distinguished_name::parts(subject.as_ref())));
        let mut attributes = subject.iter_rdn().flat_map(|part| part.iter());
        let is_email = |san: &GeneralName| Kind::of(san) == Kind::Email;
        // "when the subject alternative name extension [has none]".
        let email = (!self.sans.iter().any(is_email) && attributes.any(|attribute| attribute.oid == EMAIL_ADDRESS))
            .then_some(Presented::Unprocessed(Kind::Email));
        let sans = self.sans.iter().map(Presented::of);
        sans.chain(directory).chain(email).collect()
    }
}

impl<'a> Presented<'a> {
    fn of(name: &'a GeneralName) -> Self {
        match name {
            GeneralName::UniformResourceIdentifier(uri) => Self::Uri(uri_host(uri.as_str())),
            GeneralName::DnsName(name) => Self::Dns(DnsName::read(name.as_str())),
            GeneralName::IpAddress(address) => Self::Ip(address.as_bytes()),
            GeneralName::DirectoryName(name) => Self::Directory(distinguished_name::parts(name.as_ref())),
            GeneralName::OtherName(_)
            | GeneralName::Rfc822Name(_)
            | GeneralName::EdiPartyName(_)
            | GeneralName::RegisteredId(_) => Self::Unprocessed(Kind::of(name)),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Uri(_) => Kind::Uri,
            Self::Dns(_) => Kind::Dns,
            Self::Ip(_) => Kind::Ip,
            Self::Directory(_) => Kind::Directory,
            Self::Unprocessed(kind) => *kind,
        }
    }
}

fn is_of_hosts(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._".contains(&byte)
}

/// The host of a URI: what stands between `//` and the path, without user info and port, where it is a name of whole
/// labels. NC-6: RFC 5280 has no form for addresses, and a URI without a host cannot be shown to be inside anything.
fn uri_host(uri: &str) -> Option<String> {
    let (_scheme, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host_and_port = authority.rsplit_once('@').map_or(authority, |(_user, host)| host);
    let host = host_and_port
        .split_once(':')
        .map_or(host_and_port, |(host, _port)| host);
    // A backslash is a slash to some.
    let is_name = !authority.contains('\\') && host.bytes().all(is_of_hosts) && !host.split('.').any(str::is_empty);
    let is_address = host.parse::<std::net::Ipv4Addr>().is_ok();
    (is_name && !is_address).then(|| host.to_ascii_lowercase())
}

/// NC-4, NC-5: `example.org` is that host only; `.example.org` is one or more labels below; an empty base is all.
fn holds_host(base: &str, host: &str) -> bool {
    base.is_empty() || host == base || (base.starts_with('.') && is_below(base, host))
}

/// A DNS name, in lower case.
pub(crate) struct DnsName {
    /// Whether a label that may be any stands in front.
    is_wildcard: bool,
    rest: String,
}

impl DnsName {
    fn read(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let rest = name.strip_prefix("*.");
        let (is_wildcard, rest) = (rest.is_some(), rest.unwrap_or(&name));
        let is_name =
            !rest.is_empty() && !rest.starts_with('.') && !rest.ends_with('.') && rest.bytes().all(is_of_hosts);
        is_name.then(|| Self {
            is_wildcard,
            rest: rest.to_owned(),
        })
    }
}

/// `example.org` is that name and all below it, `.example.org` only what is below. Of a wildcard, which may stand for
/// several, it cannot be said where the base holds some of them and not all.
fn holds_dns_name(base: &str, name: &DnsName) -> Option<bool> {
    let above = base.trim_start_matches('.');
    let is_inside = name.rest == above || is_label_below(&name.rest, above);
    let all = base.is_empty()
        || if base.starts_with('.') && !name.is_wildcard {
            is_label_below(&name.rest, above)
        } else {
            is_inside
        };
    // The label of the wildcard may be the one that leads into the base.
    let some = name.is_wildcard && (above == name.rest || is_label_below(above, &name.rest));
    if some && !all { None } else { Some(all) }
}

/// Whether labels stand in front of `above`.
fn is_label_below(name: &str, above: &str) -> bool {
    name.strip_suffix(above).is_some_and(|labels| labels.ends_with('.'))
}

/// `base` begins with a dot.
fn is_below(base: &str, host: &str) -> bool {
    host.len() > base.len() && host.ends_with(base)
}

/// Ones, then zeros.
fn is_mask(mask: &[u8]) -> bool {
    let mut bits = mask
        .iter()
        .flat_map(|byte| (0..8).map(move |bit| byte & (0x80 >> bit) != 0));
    bits.by_ref().find(|bit| !bit);
    !bits.any(|bit| bit)
}

fn is_same_network(address: &[u8], name: &[u8], mask: &[u8]) -> bool {
    let mut bytes = address.iter().zip(name).zip(mask);
    bytes.all(|((address, name), mask)| address & mask == name & mask)
}

#[cfg(test)]
mod tests {
    use super::{Base, DnsName, NameConstraints, Names, holds_dns_name, is_mask};
    use x509_cert::{der::asn1::Ia5String, ext::pkix::name::GeneralName, name::Name};

    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn allows(permitted: &[&str], excluded: &[&str], uri: &str) -> bool {
        let list = |bases: &[&str]| bases.iter().map(|&base| Base::Uri(base.to_owned())).collect();
        let constraints = NameConstraints {
            permitted: list(permitted),
            excluded: list(excluded),
        };
        let names = Names {
            sans: &[GeneralName::UniformResourceIdentifier(Ia5String::new(uri).unwrap())],
            subject: &Name::default(),
        };
        constraints.check(&names.read(), &mut 100).is_ok()
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
            // Nobody knows which labels these have.
            "spiffe://.example.org/w",
            "spiffe://example..org/w",
            "spiffe://example.org./w",
            "http://ex%61mple.org/",
            "http://x.example\\@example.org/",
            "http://a b/",
        ] {
            assert!(!allows(&[""], &[], uri), "{uri}");
            assert!(!allows(&[], &["x.example"], uri), "{uri}");
        }
    }

    #[test]
    fn dns_names_are_inside_as_rfc_5280_says() {
        for (base, name, held) in [
            ("example.org", "example.org", Some(true)),
            ("example.org", "a.b.EXAMPLE.org", Some(true)),
            ("example.org", "notexample.org", Some(false)),
            (".example.org", "a.example.org", Some(true)),
            (".example.org", "example.org", Some(false)),
            ("", "example.org", Some(true)),
            // All that it may stand for, none of it, or perhaps some.
            ("example.org", "*.example.org", Some(true)),
            (".example.org", "*.example.org", Some(true)),
            ("other.org", "*.example.org", Some(false)),
            ("a.example.org", "*.example.org", None),
            (".a.example.org", "*.example.org", None),
            // No names.
            ("example.org", "", None),
            ("example.org", "*.", None),
            ("example.org", "example.org.", None),
            ("example.org", "a..*.example.org", None),
            ("example.org", "example.org:443", None),
        ] {
            let read = DnsName::read(name);
            assert_eq!(read.and_then(|read| holds_dns_name(base, &read)), held, "{base} {name}");
        }
    }

    #[test]
    fn masks_are_ones_and_then_zeros() {
        for mask in [[0, 0, 0, 0], [255, 255, 255, 0], [255, 254, 0, 0], [255; 4]] {
            assert!(is_mask(&mask), "{mask:?}");
        }
        for mask in [[0, 255, 0, 0], [255, 253, 0, 0], [0, 0, 0, 1]] {
            assert!(!is_mask(&mask), "{mask:?}");
        }
    }

    #[test]
    fn comparisons_are_counted() {
        let constraints = NameConstraints {
            permitted: vec![Base::Uri(String::new())],
            excluded: vec![Base::Uri("x.example".to_owned())],
        };
        let names = Names {
            sans: &[GeneralName::UniformResourceIdentifier(
                Ia5String::new("spiffe://a/b").unwrap(),
            )],
            subject: &Name::default(),
        };
        let mut left = 2;
        assert!(constraints.check(&names.read(), &mut left).is_ok());
        assert_eq!(left, 0);
        assert!(constraints.check(&names.read(), &mut left).is_err());
    }
}
