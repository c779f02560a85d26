//! Host names of requests and of TLS: compared without case, port and trailing dot, label by label.

use std::fmt;

/// A host as it came, without port and trailing dot. Compared without case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host<'a>(&'a [u8]);

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
        let valid = match host.strip_prefix(b"[") {
            Some(address) => {
                let address = address.strip_suffix(b"]")?;
                !address.is_empty()
                    && address
                        .iter()
                        .all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'))
            }
            None => host
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')),
        };
        let host = host.strip_suffix(b".").unwrap_or(host);
        (valid && !host.is_empty()).then_some(Self(host))
    }
}

/// Which hosts are meant: `api.shop.example`, or `*.shop.example` where `*` is one whole label.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum HostPattern {
    /// One name, lower case.
    Exact(Box<str>),
    /// Labels, lower case; `None` is any one.
    Labels(Vec<Option<Box<str>>>),
}

impl HostPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// When it has a port, or a label that no host has.
    pub(crate) fn parse(text: &str) -> Result<Self, HostPatternError> {
        let text = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if text.starts_with('[') {
            return Host::name(text.as_bytes())
                .map(|_| Self::Exact(text.clone().into()))
                .ok_or(HostPatternError);
        }
        let label = |label: &str| {
            let is_name = !label.is_empty() && !label.contains('.') && Host::name(label.as_bytes()).is_some();
            match label {
                "*" => Ok(None),
                name if is_name => Ok(Some(name.into())),
                _ => Err(HostPatternError),
            }
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
        match self {
            Self::Exact(name) => name.as_bytes().eq_ignore_ascii_case(host.0),
            Self::Labels(labels) => {
                let mut found = host.0.split(|byte| *byte == b'.');
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
            "", ".", "a b", "a/b", "user@a", "a:b", "a:1:2", "[::1", "[::1]x", "[]", "a\0", "a:123456", "ä",
        ] {
            assert!(Host::read(host.as_bytes()).is_none(), "{host}");
        }
        for pattern in ["", ".", "a..b", "a*", "*a.b", "a:1", "a/b", "**.a"] {
            assert!(HostPattern::parse(pattern).is_err(), "{pattern}");
        }
    }
}
