//! Is this a SPIFFE ID, a trust domain (SPIFFE-ID, sections 2 to 2.4)?
//!
//! An ID is checked once, byte by byte, and compared as bytes ever after. Nothing is folded, unescaped or normalised:
//! two spellings that a lenient reader would take for one identity are one valid ID and one error here. A URL library
//! would be the obvious way and is the wrong one: it accepts ports, user info and escapes, and lower-cases hosts.

use std::{borrow::Borrow, fmt, sync::Arc};

use crate::quoted::Shown;

/// Longest SPIFFE ID in bytes, all parts counted (SPIFFE-ID 2.3).
pub const MAX_ID_BYTES: usize = 2048;
/// Longest trust domain name in bytes (SPIFFE-ID 2.3).
pub const MAX_TRUST_DOMAIN_BYTES: usize = 255;

const SCHEME: &[u8] = b"spiffe://";

/// The name of a trust domain: 1 to 255 bytes of `a-z 0-9 . - _`, compared as bytes.
///
/// A name need not look like a DNS name: `1.2.3.4`, `-a` and `example..org` are trust domains (SPIFFE-ID 2.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrustDomain(Arc<str>);

impl TrustDomain {
    /// Reads a bare name, without the scheme.
    ///
    /// # Errors
    /// When the name is empty, too long or has a byte outside the set.
    pub fn parse(name: impl AsRef<[u8]>) -> Result<Self, SpiffeIdError> {
        let name = name.as_ref();
        if name.is_empty() {
            return Err(SpiffeIdError::EmptyTrustDomain);
        }
        if name.len() > MAX_TRUST_DOMAIN_BYTES {
            return Err(SpiffeIdError::TrustDomainTooLong { bytes: name.len() });
        }
        if let Some(&byte) = name.iter().find(|byte| !is_trust_domain_byte(**byte)) {
            return Err(SpiffeIdError::TrustDomainByte { byte });
        }
        let name = std::str::from_utf8(name).map_err(|_| SpiffeIdError::TrustDomainByte { byte: 0xff })?;
        Ok(Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for TrustDomain {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A valid SPIFFE ID. The path may be empty (an ID of the trust domain itself); a leaf's may not, see
/// [`crate::certificate::fields`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SpiffeId {
    text: Arc<str>,
    trust_domain: TrustDomain,
}

impl SpiffeId {
    /// Reads an ID from text or bytes.
    ///
    /// ```
    /// use svidgate_policy::SpiffeId;
    ///
    /// let id = SpiffeId::parse("spiffe://prod.example/ns/shop/sa/api")?;
    /// assert_eq!(id.trust_domain().as_str(), "prod.example");
    /// assert_eq!(id.segments().collect::<Vec<_>>(), ["ns", "shop", "sa", "api"]);
    /// assert!(SpiffeId::parse("spiffe://Prod.example/ns").is_err());
    /// # Ok::<(), svidgate_policy::SpiffeIdError>(())
    /// ```
    ///
    /// # Errors
    /// The first fault found, from left to right; over-long input is refused before it is read.
    pub fn parse(text: impl AsRef<[u8]>) -> Result<Self, SpiffeIdError> {
        let text = text.as_ref();
        if text.len() > MAX_ID_BYTES {
            return Err(SpiffeIdError::TooLong { bytes: text.len() });
        }
        let rest = text.strip_prefix(SCHEME).ok_or(SpiffeIdError::NotSpiffe)?;
        let mut parts = rest.splitn(2, |byte| *byte == b'/');
        let trust_domain = TrustDomain::parse(parts.next().unwrap_or_default())?;
        if let Some(path) = parts.next() {
            check_path(path)?;
        }
        let text = std::str::from_utf8(text).map_err(|_| SpiffeIdError::PathByte { byte: 0xff })?;
        Ok(Self {
            text: text.into(),
            trust_domain,
        })
    }

    /// The trust domain that the ID belongs to.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The whole ID as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The path with its leading slash; empty for an ID of the trust domain itself.
    pub fn path(&self) -> &str {
        let before = SCHEME.len().saturating_add(self.trust_domain.as_str().len());
        self.text.get(before..).unwrap_or_default()
    }

    /// The segments of the path, none of them empty.
    pub fn segments(&self) -> impl Iterator<Item = &str> + Clone {
        self.path().split('/').skip(1)
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpiffeId({})", self.text)
    }
}

/// What is wrong with a SPIFFE ID or a trust domain name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpiffeIdError {
    /// More than [`MAX_ID_BYTES`].
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It does not begin with `spiffe://`.
    NotSpiffe,
    /// Nothing stands between the scheme and the path.
    EmptyTrustDomain,
    /// More than [`MAX_TRUST_DOMAIN_BYTES`].
    TrustDomainTooLong {
        /// Its length.
        bytes: usize,
    },
    /// A byte that a trust domain cannot have.
    TrustDomainByte {
        /// The first such byte.
        byte: u8,
    },
    /// The path ends in a slash.
    TrailingSlash,
    /// Two slashes in a row.
    EmptySegment,
    /// A segment `.` or `..`.
    DotSegment,
    /// A byte that a path segment cannot have.
    PathByte {
        /// The first such byte.
        byte: u8,
    },
}

impl fmt::Display for SpiffeIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { bytes } => write!(f, "SPIFFE ID has {bytes} bytes (at most {MAX_ID_BYTES})"),
            Self::NotSpiffe => f.write_str("SPIFFE ID does not begin with `spiffe://` in lower case"),
            Self::EmptyTrustDomain => f.write_str("trust domain is empty"),
            Self::TrustDomainTooLong { bytes } => {
                write!(f, "trust domain has {bytes} bytes (at most {MAX_TRUST_DOMAIN_BYTES})")
            }
            Self::TrustDomainByte { byte } => {
                write!(f, "trust domain has {} (allowed: a-z 0-9 . - _)", Shown(*byte))
            }
            Self::TrailingSlash => f.write_str("path ends in a slash"),
            Self::EmptySegment => f.write_str("path has an empty segment"),
            Self::DotSegment => f.write_str("path has a `.` or `..` segment"),
            Self::PathByte { byte } => write!(f, "path has {} (allowed: a-z A-Z 0-9 . - _)", Shown(*byte)),
        }
    }
}

impl std::error::Error for SpiffeIdError {}

fn is_trust_domain_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_')
}

fn is_segment_byte(byte: u8) -> bool {
    byte.is_ascii_uppercase() || is_trust_domain_byte(byte)
}

/// `path` is what follows the slash after the trust domain.
fn check_path(path: &[u8]) -> Result<(), SpiffeIdError> {
    if path.is_empty() {
        return Err(SpiffeIdError::TrailingSlash);
    }
    let mut segments = path.split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        match check_segment(segment) {
            // SPIFFE-ID 2.2: "trailing slash" is named apart because that is how people write it.
            Err(SpiffeIdError::EmptySegment) if segments.peek().is_none() => return Err(SpiffeIdError::TrailingSlash),
            checked => checked?,
        }
    }
    Ok(())
}

/// Whether that may be a segment of a path.
pub(crate) fn check_segment(segment: &[u8]) -> Result<(), SpiffeIdError> {
    if segment.is_empty() {
        return Err(SpiffeIdError::EmptySegment);
    }
    if segment == b"." || segment == b".." {
        return Err(SpiffeIdError::DotSegment);
    }
    match segment.iter().find(|byte| !is_segment_byte(**byte)) {
        Some(&byte) => Err(SpiffeIdError::PathByte { byte }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn every_byte_in_every_place_is_accepted_only_where_the_specification_allows_it() {
        for byte in 0..=255u8 {
            let in_trust_domain = [b"spiffe://a".as_slice(), &[byte], b"b/c"].concat();
            // A slash ends the trust domain and begins the path `b/c`.
            let expected = is_trust_domain_byte(byte) || byte == b'/';
            assert_eq!(
                SpiffeId::parse(&in_trust_domain).is_ok(),
                expected,
                "trust domain, byte 0x{byte:02x}"
            );

            let in_path = [b"spiffe://td/a".as_slice(), &[byte], b"b"].concat();
            let expected = byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'/');
            assert_eq!(SpiffeId::parse(&in_path).is_ok(), expected, "path, byte 0x{byte:02x}");

            let in_scheme = [b"spi".as_slice(), &[byte], b"fe://td/a"].concat();
            assert_eq!(
                SpiffeId::parse(&in_scheme).is_ok(),
                byte == b'f',
                "scheme, byte 0x{byte:02x}"
            );
        }
    }

    #[test]
    fn faults_are_named() {
        for (text, error) in [
            ("", SpiffeIdError::NotSpiffe),
            ("http://td/a", SpiffeIdError::NotSpiffe),
            ("SPIFFE://td/a", SpiffeIdError::NotSpiffe),
            ("spiffe:///a", SpiffeIdError::EmptyTrustDomain),
            ("spiffe://Td/a", SpiffeIdError::TrustDomainByte { byte: b'T' }),
            ("spiffe://td:1/a", SpiffeIdError::TrustDomainByte { byte: b':' }),
            ("spiffe://u@td/a", SpiffeIdError::TrustDomainByte { byte: b'@' }),
            ("spiffe://td/", SpiffeIdError::TrailingSlash),
            ("spiffe://td/a/", SpiffeIdError::TrailingSlash),
            ("spiffe://td//a", SpiffeIdError::EmptySegment),
            ("spiffe://td/a/../b", SpiffeIdError::DotSegment),
            ("spiffe://td/a/.", SpiffeIdError::DotSegment),
            ("spiffe://td/a?", SpiffeIdError::PathByte { byte: b'?' }),
            ("spiffe://td/a#", SpiffeIdError::PathByte { byte: b'#' }),
            ("spiffe://td/%61", SpiffeIdError::PathByte { byte: b'%' }),
        ] {
            assert_eq!(SpiffeId::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn lengths_are_inclusive() {
        let td = "a".repeat(255);
        assert!(TrustDomain::parse(&td).is_ok());
        assert!(TrustDomain::parse(format!("{td}a")).is_err());
        let id = format!("spiffe://td/{}", "a".repeat(2048 - 12));
        assert!(SpiffeId::parse(&id).is_ok());
        assert!(SpiffeId::parse(format!("{id}a")).is_err());
    }

    #[test]
    fn names_that_are_no_dns_names_are_trust_domains() {
        for name in ["example..org", "-a", "a.", "_", "1.2.3.4"] {
            assert!(TrustDomain::parse(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn segments_that_only_look_like_dot_segments_are_allowed() {
        for segment in ["...", "....", ".a", "a.", "..a", "a..", "-", "_", "a.b"] {
            let text = format!("spiffe://td/{segment}/x");
            assert_eq!(SpiffeId::parse(&text).unwrap().as_str(), text);
        }
        for segment in [".", ".."] {
            assert!(SpiffeId::parse(format!("spiffe://td/{segment}/x")).is_err());
        }
    }
}
