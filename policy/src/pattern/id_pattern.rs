//! Which ids are meant?

use std::fmt;

use crate::{
    name::id::{MAX_ID_BYTES, SpiffeId, SpiffeIdError, TrustDomain, check_segment},
    pattern::segments::{PatternError, SegmentPattern, Segments},
};

/// Which SPIFFE IDs are meant: `spiffe://prod.example/ns/*/sa/{name}`, `spiffe://*/**`.
///
/// `*` is one whole segment or the whole trust domain, a final `**` is any rest (also none), `{name}` is one segment
/// that must be the same wherever the name appears. A pattern cannot be written without a trust domain.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdPattern {
    /// `None` is `*`, any trust domain.
    pub(crate) trust_domain: Option<TrustDomain>,
    pub(crate) segments: Segments,
}

impl IdPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// When it is not a pattern, or when no leaf could ever match it.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.len() > MAX_ID_BYTES {
            return Err(SpiffeIdError::TooLong { bytes: text.len() }.into());
        }
        let rest = text.strip_prefix("spiffe://").ok_or(PatternError::NoTrustDomain)?;
        let (trust_domain, path) = match rest.split_once('/') {
            Some((trust_domain, path)) => (trust_domain, Some(path)),
            None => (rest, None),
        };
        let trust_domain = match trust_domain {
            "*" => None,
            name => Some(TrustDomain::parse(name)?),
        };
        // A leaf's path is never empty (X509-SVID 5.2), so such a pattern would be a rule that never matches.
        let path = path.ok_or(PatternError::NoPath)?;
        Ok(Self {
            trust_domain,
            segments: Self::path_segments(path)?,
        })
    }

    /// Reads the path part alone, as a relationship's scope has it: `/ns/billing/**`.
    ///
    /// # Errors
    /// When it does not begin with a slash, captures, or is not a pattern.
    pub fn parse_scope(text: &str, trust_domain: &TrustDomain) -> Result<Self, PatternError> {
        let path = text.strip_prefix('/').ok_or(PatternError::NoLeadingSlash)?;
        let segments = Self::path_segments(path)?;
        if segments.captures().next().is_some() {
            return Err(PatternError::CaptureInScope);
        }
        Ok(Self {
            trust_domain: Some(trust_domain.clone()),
            segments,
        })
    }

    fn path_segments(path: &str) -> Result<Segments, PatternError> {
        if path.is_empty() || path.ends_with('/') {
            return Err(SpiffeIdError::TrailingSlash.into());
        }
        Segments::parse(path, |literal| {
            Ok(check_segment(literal.as_bytes()).map(|()| literal.into())?)
        })
    }

    /// The trust domain that the pattern names, or none where it is `*`.
    pub fn trust_domain(&self) -> Option<&TrustDomain> {
        self.trust_domain.as_ref()
    }

    /// Whether the pattern matches an ID, its own captures agreeing.
    pub fn matches(&self, id: &SpiffeId) -> bool {
        self.trust_domain.as_ref().is_none_or(|name| name == id.trust_domain()) && self.segments.matches(id.segments())
    }

    /// Whether every ID that `other` matches is matched by this one too. May say no where the truth is yes, never the
    /// other way.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        (self.trust_domain.is_none() || self.trust_domain == other.trust_domain)
            && self.segments.covers(&other.segments)
    }

    /// Whether some ID could match both. May say yes where the truth is no, never the other way.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let trust_domains = match (&self.trust_domain, &other.trust_domain) {
            (Some(one), Some(two)) => one == two,
            (None, _) | (_, None) => true,
        };
        trust_domains && self.segments.overlaps(&other.segments)
    }

    /// An ID that this pattern matches, where it names its trust domain: with a segment for each of its wildcards that
    /// no other pattern is likely to write out.
    pub(crate) fn example(&self) -> Option<String> {
        let trust_domain = self.trust_domain()?;
        let segment = |segment: &SegmentPattern| match segment {
            SegmentPattern::Literal(literal) => literal.to_string(),
            SegmentPattern::Any | SegmentPattern::Capture(_) => "any".to_owned(),
        };
        let mut path: Vec<String> = self.segments.list.iter().map(segment).collect();
        path.extend(self.segments.rest.then(|| "any".to_owned()));
        Some(format!("spiffe://{trust_domain}/{}", path.join("/")))
    }

    /// The one ID that this pattern matches, where it has no wildcard and no capture.
    pub(crate) fn exact(&self) -> Option<String> {
        let mut text = format!("spiffe://{}", self.trust_domain.as_ref()?);
        if self.segments.rest {
            return None;
        }
        for segment in &self.segments.list {
            match segment {
                SegmentPattern::Literal(literal) => {
                    text.push('/');
                    text.push_str(literal);
                }
                SegmentPattern::Any | SegmentPattern::Capture(_) => return None,
            }
        }
        Some(text)
    }
}

impl fmt::Display for IdPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.trust_domain {
            Some(name) => write!(f, "spiffe://{name}{}", self.segments),
            None => write!(f, "spiffe://*{}", self.segments),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn patterns_match_whole_segments() {
        let id = |text| SpiffeId::parse(text).unwrap();
        let matches = |pattern: &str, text| IdPattern::parse(pattern).unwrap().matches(&id(text));
        assert!(matches("spiffe://td/ns/*/sa/api", "spiffe://td/ns/shop/sa/api"));
        assert!(!matches("spiffe://td/ns/*/sa/api", "spiffe://td/ns/shop/x/sa/api"));
        assert!(!matches("spiffe://td/ns/*", "spiffe://td/ns"));
        assert!(matches("spiffe://td/ns/**", "spiffe://td/ns"));
        assert!(matches("spiffe://td/ns/**", "spiffe://td/ns/a/b"));
        assert!(!matches("spiffe://td/ns/**", "spiffe://td/nsx"));
        assert!(!matches("spiffe://td/ns/**", "spiffe://other/ns/a"));
        assert!(matches("spiffe://*/**", "spiffe://other/ns/a"));
        assert!(matches("spiffe://td/{a}/x/{a}", "spiffe://td/1/x/1"));
        assert!(!matches("spiffe://td/{a}/x/{a}", "spiffe://td/1/x/2"));
    }

    #[test]
    fn patterns_that_say_nothing_clear_are_refused() {
        for text in [
            "/ns/shop",
            "*",
            "**",
            "spiffe://td",
            "spiffe://td/",
            "spiffe://**/a",
            "spiffe://t*/a",
            "spiffe://td/a*",
            "spiffe://td/**/a",
            "spiffe://td/{}",
            "spiffe://td/{a",
            "spiffe://td/{a}b",
            "spiffe://td/a b",
            "spiffe://td/../a",
            "spiffe://td/a//b",
            "spiffe://{td}/a",
        ] {
            assert!(IdPattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn cover_and_overlap_agree_with_matching() {
        let pattern = |text| IdPattern::parse(text).unwrap();
        assert!(pattern("spiffe://*/**").covers(&pattern("spiffe://td/a/{b}")));
        assert!(pattern("spiffe://td/a/**").covers(&pattern("spiffe://td/a")));
        assert!(!pattern("spiffe://td/a/*").covers(&pattern("spiffe://td/a/**")));
        assert!(!pattern("spiffe://td/{x}/{x}").covers(&pattern("spiffe://td/*/*")));
        assert!(pattern("spiffe://td/a/*").overlaps(&pattern("spiffe://td/*/b")));
        assert!(!pattern("spiffe://td/a/*").overlaps(&pattern("spiffe://td/b/**")));
        assert!(pattern("spiffe://td/a/**").overlaps(&pattern("spiffe://td/*")));
    }
}
