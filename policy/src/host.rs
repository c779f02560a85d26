//! Host names of requests and of TLS: compared without case, port and trailing dot, label by label.

use std::{fmt, net::Ipv6Addr};

/// A host as it came, without port and trailing dot. Names are compared without case, addresses as addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Host<'a> {
    /// Labels, none of them empty, or an IPv4 address.
    Name(&'a [u8]),
    /// What stood in brackets.
    Address(Ipv6Addr),
}

/// Longest name, without the trailing dot (RFC 1035 3.1). A peer's name of 60 KiB would be compared with each pattern.
const MAX_NAME_BYTES: usize = 253;
/// Longest authority that can have such a name in it, with a trailing dot and a port.
pub(crate) const MAX_AUTHORITY_BYTES: usize = MAX_NAME_BYTES + ".:65535".len();

impl<'a> Host<'a> {
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

/// Which hosts are meant: `api.shop.example`, or `*.shop.example` where `*` is one whole label.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum HostPattern {
    /// One name, lower case.
    Exact(Box<str>),
    /// Labels, lower case; `None` is any one.
    Labels(Vec<Option<Box<str>>>),
    /// One address in brackets.
    Address(Ipv6Addr),
}

impl HostPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// When it has a port, or a label that no host has.
    pub(crate) fn parse(text: &str) -> Result<Self, HostPatternError> {
        let text = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if let Some(Host::Address(address)) = Host::name(text.as_bytes()) {
            return Ok(Self::Address(address));
        }
        let label = |label: &str| match label {
            "*" => Ok(None),
            name if is_label(name.as_bytes()) => Ok(Some(name.into())),
            _ => Err(HostPatternError),
        };
        let labels: Vec<_> = text.split('.').map(label).collect::<Result<_, _>>()?;
        let exact = labels.iter().all(Option::is_some);
        Ok(if exact {
            Self::Exact(text.into())
        } else {
            Self::Labels(labels)
        })
    }

    pub(crate) fn matches(&self, host: Host<'_>) -> bool {
        match (self, host) {
            (Self::Exact(name), Host::Name(host)) => name.as_bytes().eq_ignore_ascii_case(host),
            (Self::Address(address), Host::Address(host)) => *address == host,
            (Self::Address(_), Host::Name(_)) | (Self::Exact(_) | Self::Labels(_), Host::Address(_)) => false,
            (Self::Labels(labels), Host::Name(host)) => {
                let mut found = host.split(|byte| *byte == b'.');
                let same = labels.iter().all(|label| match (label, found.next()) {
                    (Some(name), Some(found)) => name.as_bytes().eq_ignore_ascii_case(found),
                    (None, Some(found)) => !found.is_empty(),
                    (_, None) => false,
                });
                same && found.next().is_none()
            }
        }
    }
}

/// Not a host name or a pattern of whole labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostPatternError;

impl fmt::Display for HostPatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a host name without port, in which `*` may stand for one whole label")
    }
}

impl std::error::Error for HostPatternError {}

#[cfg(test)]
mod tests {
    use super::{Host, HostPattern};

    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn matches(pattern: &str, host: &str) -> bool {
        Host::read(host.as_bytes()).is_some_and(|host| HostPattern::parse(pattern).unwrap().matches(host))
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
    fn what_is_no_host_is_not_read() {
        for host in [
            "", ".", "a b", "a/b", "user@a", "a:b", "a:1:2", "[::1", "[::1]x", "[]", "[::::]", "[a]", "a\0",
            "a:123456", "ä", "a..", "a..b", ".a",
        ] {
            assert!(Host::read(host.as_bytes()).is_none(), "{host}");
        }
        for pattern in ["", ".", "a..b", "a*", "*a.b", "a:1", "a/b", "**.a"] {
            assert!(HostPattern::parse(pattern).is_err(), "{pattern}");
        }
    }
}
