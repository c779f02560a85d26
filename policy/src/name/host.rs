//! HostName names of requests and of TLS: compared without case, port and trailing dot, label by label.

use std::{fmt, net::Ipv6Addr};

/// A host as it came, without port and trailing dot. Names are compared without case, addresses as addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) enum HostName<'a> {
    /// Labels, none of them empty, or an IPv4 address.
    Name(&'a [u8]),
    /// What stood in brackets.
    Address(Ipv6Addr),
}

/// Longest name, without the trailing dot (RFC 1035 3.1). A peer's name of 60 KiB would be compared with each pattern.
const MAX_NAME_BYTES: usize = 253;
/// Longest authority that can have such a name in it, with a trailing dot and a port.
pub(crate) const MAX_AUTHORITY_BYTES: usize = MAX_NAME_BYTES + ".:65535".len();

impl<'a> HostName<'a> {
    /// Reads an authority: `host`, `host:port`, `[address]:port`. `None` where it is none of these.
    pub(crate) fn read(authority: &'a [u8]) -> Option<Self> {
        let (host, port) = match authority.iter().position(|byte| *byte == b']') {
            Some(end) => {
                let (address, rest) = authority.split_at_checked(end.checked_add(1)?)?;
                (
                    address,
                    rest.strip_prefix(b":")
                        .or_else(|| rest.is_empty().then_some(b"".as_slice()))?,
                )
            }
            None => {
                let mut parts = authority.splitn(2, |byte| *byte == b':');
                (parts.next()?, parts.next().unwrap_or_default())
            }
        };
        if port.len() > 5 || !port.iter().all(u8::is_ascii_digit) {
            return None;
        }
        Self::name(host)
    }

    /// Reads a name without a port, as TLS has it.
    pub(crate) fn name(host: &'a [u8]) -> Option<Self> {
        if let Some(address) = host.strip_prefix(b"[") {
            let address = std::str::from_utf8(address.strip_suffix(b"]")?).ok()?;
            return address.parse().ok().map(Self::Address);
        }
        let host = host.strip_suffix(b".").unwrap_or(host);
        if host.len() > MAX_NAME_BYTES {
            return None;
        }
        host.split(|byte| *byte == b'.')
            .all(is_label)
            .then_some(Self::Name(host))
    }
}

fn is_label(label: &[u8]) -> bool {
    !label.is_empty()
        && label
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// Which hosts are meant: `api.shop.example`, `*.shop.example` where `*` is one whole label, or `**.shop.example` for
/// all names below, at any depth, and never the name itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum HostPattern {
    /// One name, lower case.
    Exact(Box<str>),
    /// Labels, lower case; `None` is any one.
    Labels(Vec<Option<Box<str>>>),
    /// The same, below which any labels stand, at least one.
    Below(Vec<Option<Box<str>>>),
    /// One address in brackets.
    Address(Ipv6Addr),
}

impl HostPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// When it has a port, or a label that no host has, or no name at all.
    pub(crate) fn parse(text: &str) -> Result<Self, HostPatternError> {
        let text = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if let Some(HostName::Address(address)) = HostName::name(text.as_bytes()) {
            return Ok(Self::Address(address));
        }
        let label = |label: &str| match label {
            "*" => Ok(None),
            name if is_label(name.as_bytes()) => Ok(Some(name.into())),
            _ => Err(HostPatternError::Label),
        };
        let (below, names) = match text.strip_prefix("**.") {
            Some(names) => (true, names),
            None => (false, text.as_str()),
        };
        if !names.is_empty() && names.split('.').all(|label| matches!(label, "*" | "**")) {
            return Err(HostPatternError::NoName);
        }
        let labels: Vec<_> = names.split('.').map(label).collect::<Result<_, _>>()?;
        let exact = labels.iter().all(Option::is_some);
        Ok(match (below, exact) {
            (true, _) => Self::Below(labels),
            (false, true) => Self::Exact(names.into()),
            (false, false) => Self::Labels(labels),
        })
    }

    pub(crate) fn matches(&self, host: HostName<'_>) -> bool {
        match (self, host) {
            (Self::Exact(name), HostName::Name(host)) => name.as_bytes().eq_ignore_ascii_case(host),
            (Self::Address(address), HostName::Address(host)) => *address == host,
            (Self::Address(_), HostName::Name(_))
            | (Self::Exact(_) | Self::Labels(_) | Self::Below(_), HostName::Address(_)) => false,
            (Self::Labels(labels), HostName::Name(host)) => {
                let mut found = host.rsplit(|byte| *byte == b'.');
                end_in(&mut found, labels) && found.next().is_none()
            }
            (Self::Below(labels), HostName::Name(host)) => {
                let mut found = host.rsplit(|byte| *byte == b'.');
                end_in(&mut found, labels) && found.next().is_some()
            }
        }
    }
}

/// Whether a name has these labels at its end. `found` gives its labels from the last to the first.
fn end_in<'h>(found: &mut impl Iterator<Item = &'h [u8]>, labels: &[Option<Box<str>>]) -> bool {
    labels.iter().rev().all(|label| match (label, found.next()) {
        (Some(name), Some(found)) => name.as_bytes().eq_ignore_ascii_case(found),
        (None, Some(found)) => !found.is_empty(),
        (_, None) => false,
    })
}

/// Why a text is no pattern of hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostPatternError {
    /// Something that is no label of a host, such as a port.
    Label,
    /// Wildcards alone.
    NoName,
}

impl fmt::Display for HostPatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Label => {
                "not a host name without port, in which `*` may stand for one whole label, and a first `**` for any \
                 number of them"
            }
            Self::NoName => {
                "names no host: `*` is one label, so it would not be met by `api.example` (leave it out for any host, \
                 write `**.example` for all below one)"
            }
        })
    }
}

impl std::error::Error for HostPatternError {}

#[cfg(test)]
mod tests {
    use super::{HostName, HostPattern, HostPatternError};

    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn matches(pattern: &str, host: &str) -> bool {
        HostName::read(host.as_bytes()).is_some_and(|host| HostPattern::parse(pattern).unwrap().matches(host))
    }

    #[test]
    fn case_port_and_trailing_dot_tell_nothing_apart() {
        for host in [
            "api.example",
            "API.Example",
            "api.example:8443",
            "api.example.",
            "api.example.:443",
            "api.example:",
        ] {
            assert!(matches("Api.example", host), "{host}");
        }
        assert!(matches("[2001:db8::1]", "[2001:DB8::1]:443"));
        assert!(matches("[2001:db8::1]", "[2001:0db8:0::0001]"));
    }

    #[test]
    fn star_is_one_label() {
        assert!(matches("*.shop.example", "a.shop.example"));
        assert!(!matches("*.shop.example", "shop.example"));
        assert!(!matches("*.shop.example", "a.b.shop.example"));
        assert!(!matches("*.shop.example", ".shop.example"));
    }

    #[test]
    fn two_stars_are_any_labels_but_none() {
        for host in ["a.shop.example", "a.b.Shop.example:443", "a.b.c.d.shop.EXAMPLE."] {
            assert!(matches("**.shop.example", host), "{host}");
        }
        for host in ["shop.example", "ashop.example", "a.shop.example.x", "example", "[::1]"] {
            assert!(!matches("**.shop.example", host), "{host}");
        }
        assert!(matches("**.*.example", "a.b.example"));
        assert!(!matches("**.*.example", "b.example"));
    }

    #[test]
    fn what_is_no_host_is_not_read() {
        for host in [
            "", ".", "a b", "a/b", "user@a", "a:b", "a:1:2", "[::1", "[::1]x", "[]", "[::::]", "[a]", "a\0",
            "a:123456", "ä", "a..", "a..b", ".a",
        ] {
            assert!(HostName::read(host.as_bytes()).is_none(), "{host}");
        }
        for pattern in [
            "", ".", "a..b", "a*", "*a.b", "a:1", "a/b", "a.**", "***.a", "**.**.a", "a.**.b",
        ] {
            let error = HostPattern::parse(pattern);
            assert_eq!(error, Err(HostPatternError::Label), "{pattern}");
        }
        for pattern in ["*", "*.", "**", "*.*", "**.*", "**.**"] {
            let error = HostPattern::parse(pattern);
            assert_eq!(error, Err(HostPatternError::NoName), "{pattern}");
        }
    }
}
