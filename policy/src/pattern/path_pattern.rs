//! Which paths are meant?

use std::fmt;

use percent_encoding::{CONTROLS, utf8_percent_encode};

use crate::{
    name::path::{PathError, PathReading, Segment, Slashes, check_segment},
    pattern::segments::{PatternError, Segments},
};

/// Which paths are meant: `/invoices/{tenant}/**`.
///
/// Written as people read a path; escapes are undone when the document is compiled. A trailing slash means nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathPattern {
    pub(crate) segments: Segments,
}

impl PathPattern {
    /// Reads a pattern for paths that are read as `reading` says.
    ///
    /// # Errors
    /// When it is not a pattern, or when no path so read can match it.
    pub fn parse(text: &str, reading: PathReading) -> Result<Self, PatternError> {
        let path = text.strip_prefix('/').ok_or(PatternError::NoLeadingSlash)?;
        if path.contains('?') {
            return Err(PatternError::Query);
        }
        if path.is_empty() {
            return Ok(Self {
                segments: Segments {
                    list: Vec::new(),
                    rest: false,
                },
            });
        }
        let path = path.strip_suffix('/').unwrap_or(path);
        let segments = Segments::parse(path, |literal| literal_segment(literal, reading))?;
        Ok(Self { segments })
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.segments)
    }
}

/// A literal is written escaped or in plain UTF-8; what is compared is what it stands for.
fn literal_segment(text: &str, reading: PathReading) -> Result<Box<str>, PatternError> {
    // Plain UTF-8 in a document is a convenience; in a request it comes escaped.
    let escaped: String = utf8_percent_encode(text, CONTROLS).collect();
    let segment = Segment {
        raw: escaped.as_bytes(),
        escaped: true,
        slashes: Slashes::Plain,
    };
    if segment.is_empty() {
        return Err(PatternError::UnreachablePath(PathError::EmptySegment));
    }
    check_segment(segment, reading).map_err(PatternError::UnreachablePath)?;
    let bytes: Vec<u8> = segment.bytes().collect();
    let text = String::from_utf8(bytes).map_err(|_| PatternError::UnreachablePath(PathError::NotUtf8))?;
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn pattern_that_no_request_can_match_is_refused() {
        let parse = |text| PathPattern::parse(text, PathReading::Strict);
        for text in [
            "a", "//", "/a//b", "/a/../b", "/a%2fb", "/a;b", "/a/**/b", "/a*", "/a?b", "/a b", "/%zz", "/é;b",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(parse("/caf%C3%A9/"), parse("/café"));
        assert!(PathPattern::parse("/a%2fb", PathReading::Lenient).is_ok());
        let parse = |text| PathPattern::parse(text, PathReading::EncodedSlashes);
        assert!(parse("/a%2fb").is_ok());
        for text in ["/a%2f", "/a%2f..", "/a%2f%2Fb", "/a%252fb", "/a%5cb"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
