//! Patterns over segments, shared by SPIFFE IDs and request paths.
//!
//! Patterns are not regular expressions on purpose: a dot in a trust domain stays a dot, a star never crosses a slash,
//! and "does this rule match anything the relationship covers" can be answered when the document is compiled.

use std::fmt;

use crate::name::id::SpiffeIdError;

/// Most segments in one pattern. Our decision: it bounds how deep a decision walks, whatever the request.
pub const MAX_PATTERN_SEGMENTS: usize = 64;

/// What one segment of a pattern stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum SegmentPattern {
    /// These bytes.
    Literal(Box<str>),
    /// `*`: any one segment that is not empty.
    Any,
    /// `{name}`: any one segment that is not empty, the same wherever the name appears in the rule.
    Capture(Box<str>),
}

/// A sequence of segments, with or without a final `**`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Segments {
    pub(crate) list: Vec<SegmentPattern>,
    /// A final `**`: any rest, also none.
    pub(crate) rest: bool,
}

impl Segments {
    /// Reads what follows the first slash. `literal` checks, and may rewrite, what is neither wildcard nor capture.
    pub(crate) fn parse(
        path: &str,
        literal: impl Fn(&str) -> Result<Box<str>, PatternError>,
    ) -> Result<Self, PatternError> {
        let mut list = Vec::new();
        let mut segments = path.split('/').peekable();
        while let Some(segment) = segments.next() {
            if segment == "**" {
                return match segments.peek() {
                    None => Ok(Self { list, rest: true }),
                    Some(_) => Err(PatternError::RestNotFinal),
                };
            }
            if list.len() >= MAX_PATTERN_SEGMENTS {
                return Err(PatternError::TooManySegments);
            }
            list.push(Self::parse_one(segment, &literal)?);
        }
        Ok(Self { list, rest: false })
    }

    fn parse_one(
        segment: &str,
        literal: impl Fn(&str) -> Result<Box<str>, PatternError>,
    ) -> Result<SegmentPattern, PatternError> {
        if segment == "*" {
            return Ok(SegmentPattern::Any);
        }
        if segment.contains('*') {
            return Err(PatternError::PartialWildcard);
        }
        if !segment.contains(['{', '}']) {
            return literal(segment).map(SegmentPattern::Literal);
        }
        let name = segment
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
            .ok_or(PatternError::Capture)?;
        let valid = !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if valid {
            Ok(SegmentPattern::Capture(name.into()))
        } else {
            Err(PatternError::Capture)
        }
    }

    /// The names captured, in order, with repetitions.
    pub(crate) fn captures(&self) -> impl Iterator<Item = &str> {
        self.list.iter().filter_map(|segment| match segment {
            SegmentPattern::Capture(name) => Some(name.as_ref()),
            SegmentPattern::Literal(_) | SegmentPattern::Any => None,
        })
    }

    pub(crate) fn matches<'a>(&self, mut segments: impl Iterator<Item = &'a str>) -> bool {
        let mut bound: Vec<(&str, &str)> = Vec::new();
        for pattern in &self.list {
            let Some(segment) = segments.next() else { return false };
            let matched = match pattern {
                SegmentPattern::Literal(literal) => literal.as_ref() == segment,
                SegmentPattern::Any => !segment.is_empty(),
                SegmentPattern::Capture(name) => match bound.iter().find(|(known, _)| *known == name.as_ref()) {
                    Some((_, value)) => *value == segment,
                    None => {
                        bound.push((name, segment));
                        !segment.is_empty()
                    }
                },
            };
            if !matched {
                return false;
            }
        }
        self.rest || segments.next().is_none()
    }

    pub(crate) fn covers(&self, other: &Self) -> bool {
        let lengths = if self.rest {
            other.list.len() >= self.list.len()
        } else {
            !other.rest && other.list.len() == self.list.len()
        };
        lengths
            && self.list.iter().zip(&other.list).all(|(ours, theirs)| match ours {
                SegmentPattern::Any => true,
                // A capture named twice demands equality, which a plain comparison of segments does not see.
                SegmentPattern::Capture(name) => self.captures().filter(|known| *known == name.as_ref()).count() == 1,
                SegmentPattern::Literal(_) => ours == theirs,
            })
    }

    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let lengths = match (self.rest, other.rest) {
            (true, true) => true,
            (true, false) => other.list.len() >= self.list.len(),
            (false, true) => self.list.len() >= other.list.len(),
            (false, false) => self.list.len() == other.list.len(),
        };
        lengths
            && self.list.iter().zip(&other.list).all(|pair| match pair {
                (SegmentPattern::Literal(one), SegmentPattern::Literal(two)) => one == two,
                (SegmentPattern::Any | SegmentPattern::Capture(_), _)
                | (_, SegmentPattern::Any | SegmentPattern::Capture(_)) => true,
            })
    }
}

impl fmt::Display for Segments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.list {
            match segment {
                SegmentPattern::Literal(literal) => write!(f, "/{literal}")?,
                SegmentPattern::Any => f.write_str("/*")?,
                SegmentPattern::Capture(name) => write!(f, "/{{{name}}}")?,
            }
        }
        match (self.rest, self.list.is_empty()) {
            (true, _) => f.write_str("/**"),
            (false, true) => f.write_str("/"),
            (false, false) => Ok(()),
        }
    }
}

/// Why a text is not a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternError {
    /// An id pattern does not begin with `spiffe://` and a trust domain.
    NoTrustDomain,
    /// An id pattern has no path.
    NoPath,
    /// A path or scope pattern does not begin with a slash.
    NoLeadingSlash,
    /// A literal part is not what a SPIFFE ID may have.
    Id(SpiffeIdError),
    /// `**` before the end.
    RestNotFinal,
    /// `*` beside other characters in a segment.
    PartialWildcard,
    /// A capture that is not `{name}`.
    Capture,
    /// A capture in a relationship's scope.
    CaptureInScope,
    /// A capture in the patterns of a hop.
    CaptureInHop,
    /// More than [`MAX_PATTERN_SEGMENTS`].
    TooManySegments,
    /// A `?` in a path pattern.
    Query,
    /// A path pattern that no request path, read as the document says, can match.
    UnreachablePath(crate::name::path::PathError),
}

impl From<SpiffeIdError> for PatternError {
    fn from(error: SpiffeIdError) -> Self {
        Self::Id(error)
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTrustDomain => f.write_str(
                "pattern names no trust domain (write `spiffe://TRUST-DOMAIN/...`, or `spiffe://*/...` for any)",
            ),
            Self::NoPath => f.write_str(
                "pattern has no path, which every X.509-SVID has (write `/**` behind the trust domain for all of it)",
            ),
            Self::NoLeadingSlash => f.write_str("pattern does not begin with `/`"),
            Self::Id(error) => write!(f, "{error}"),
            Self::RestNotFinal => f.write_str("`**` stands before the end (it is any rest, so it can only be last)"),
            Self::PartialWildcard => f.write_str("`*` stands beside other characters (it is one whole segment)"),
            Self::Capture => f.write_str("capture is not one whole segment `{name}` with a name of a-z 0-9 _"),
            Self::CaptureInScope => f.write_str("scope has a capture (use `*`: a scope compares with nothing)"),
            Self::CaptureInHop => f.write_str("hop has a capture (use `*`: a hop compares with nothing)"),
            Self::TooManySegments => write!(f, "pattern has more than {MAX_PATTERN_SEGMENTS} segments"),
            Self::Query => f.write_str("pattern has a `?` (queries are not part of a path)"),
            Self::UnreachablePath(error) => write!(f, "no request path can match: {error}"),
        }
    }
}

impl std::error::Error for PatternError {}
