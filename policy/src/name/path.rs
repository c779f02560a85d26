//! The path of a request, read so that no second reader can understand it differently.
//!
//! Rules look at paths; the upstream's framework looks at them again, and between the two readings lie most of the
//! known bypasses (encoded slashes, dot segments, double escapes, parameters behind `;`). The strict reading refuses a
//! path that has more than one reasonable reading, instead of guessing the upstream's. Nothing is copied: segments are
//! slices of the request's own bytes, unescaped one byte at a time where they have escapes.

use std::fmt;

/// How a request path is read before it is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PathReading {
    /// Any path with two readings is refused. The default.
    #[default]
    Strict,
    /// The same, but an encoded slash is data within its segment. It is one of two readings of such a path: in the
    /// other it separates two segments, each as strict as any.
    EncodedSlashes,
    /// Encoded slashes, backslashes, `;`, escaped `?` and `#`, empty segments, double escapes and bytes that are not
    /// UTF-8 are data within their segment. Only for an upstream that reads them just so: one that takes `%2F` for a
    /// slash, or merges `//`, then sees another path than the rules did. Dot segments, NUL, control bytes, fragments
    /// and broken escapes are refused all the same.
    Lenient,
}

/// Why a path is not compared with any rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// It does not begin with a slash.
    NoLeadingSlash,
    /// `.` or `..`, plain or escaped.
    DotSegment,
    /// Two slashes in a row.
    EmptySegment,
    /// A backslash or an encoded slash or backslash.
    EncodedSeparator,
    /// A `;`, plain or escaped.
    Parameter,
    /// `%` without two hexadecimal digits.
    BrokenEscape,
    /// `%25`: a second decoder would find another path.
    DoubleEscape,
    /// NUL, a control byte or a space.
    ControlByte,
    /// `#`.
    Fragment,
    /// An escaped `?` or `#`: a reader that undoes escapes first finds a shorter path.
    EncodedDelimiter,
    /// Bytes that are not UTF-8, or not escaped.
    NotUtf8,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoLeadingSlash => "path does not begin with `/`",
            Self::DotSegment => "path has a dot segment",
            Self::EmptySegment => "path has an empty segment",
            Self::EncodedSeparator => "path has a backslash or an encoded slash",
            Self::Parameter => "path has a `;`",
            Self::BrokenEscape => "path has a broken escape",
            Self::DoubleEscape => "path has an escaped `%`",
            Self::ControlByte => "path has a control byte or a space",
            Self::Fragment => "path has a `#`",
            Self::EncodedDelimiter => "path has an escaped `?` or `#`",
            Self::NotUtf8 => "path is not UTF-8 in ASCII and escapes",
        })
    }
}

impl std::error::Error for PathError {}

/// How many bytes of a path are looked at in a step when it is read. Measured in the VM: 8 ns each where every other
/// one is a slash.
const READ_BYTES_A_STEP: usize = 2;
/// How many bytes of a path are gone through in a step once it is read.
const PATH_BYTES_A_STEP: usize = 128;
/// The same where encoded slashes are looked for, each escape may begin one, and every third byte may begin an escape.
const ENCODED_BYTES_A_STEP: usize = 8;

/// A path that has one reading.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestPath<'a> {
    /// Without the leading slash, the query and one trailing slash.
    raw: &'a [u8],
    /// `/`, which has no segments. (`//` has one, which is empty.)
    is_root: bool,
    slashes: Slashes,
}

/// What separates the segments of a path.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Slashes {
    /// `/`, and the path has no other reading.
    Plain,
    /// `/`, and the path has an encoded slash that may be another one.
    EncodedKept,
    /// `/` and encoded slashes.
    EncodedToo,
}

impl<'a> RequestPath<'a> {
    /// Reads the `:path` of a request; what follows a `?` is not part of it.
    pub(crate) fn read(raw: &'a [u8], reading: PathReading) -> Result<Self, PathError> {
        let query = memchr::memchr(b'?', raw).unwrap_or(raw.len());
        let path = raw.get(..query).unwrap_or_default();
        let path = path.strip_prefix(b"/").ok_or(PathError::NoLeadingSlash)?;
        // One trailing slash names the same thing in every common framework, so it does not tell two paths apart here:
        // `/admin/` is matched by exactly the patterns that match `/admin`.
        let read = Self {
            raw: path.strip_suffix(b"/").unwrap_or(path),
            is_root: path.is_empty(),
            slashes: match reading {
                PathReading::Strict | PathReading::Lenient => Slashes::Plain,
                PathReading::EncodedSlashes => Slashes::EncodedKept,
            },
        };
        read.segments()
            .try_for_each(|segment| check_segment(segment, reading))?;
        Ok(read)
    }

    /// The other reading of a path that has an encoded slash, where that is one as well.
    pub(crate) fn split_at_encoded_slashes(self) -> Option<Self> {
        match self.slashes {
            Slashes::EncodedKept => Some(Self {
                slashes: Slashes::EncodedToo,
                ..self
            }),
            Slashes::Plain | Slashes::EncodedToo => None,
        }
    }

    /// What it costs to read it.
    pub(crate) fn reading_steps(self) -> usize {
        self.raw.len() / READ_BYTES_A_STEP
    }

    /// What it costs to go through it once more.
    pub(crate) fn steps(self) -> usize {
        match self.slashes {
            Slashes::Plain | Slashes::EncodedKept => self.raw.len().div_ceil(PATH_BYTES_A_STEP),
            Slashes::EncodedToo => self.raw.len().div_ceil(ENCODED_BYTES_A_STEP),
        }
    }

    pub(crate) fn segments(self) -> impl Iterator<Item = Segment<'a>> + Clone {
        let mut rest = (!self.is_root).then_some(self.raw);
        std::iter::from_fn(move || {
            let (raw, behind) = match self.slashes {
                Slashes::Plain | Slashes::EncodedKept => split_segment(rest?),
                Slashes::EncodedToo => split_at_either(rest?),
            };
            rest = behind;
            Some(Segment {
                raw,
                escaped: true,
                slashes: self.slashes,
            })
        })
    }
}

/// A first segment, and what follows its slash. Every group of a peer looks for that slash again, and a peer's segment
/// may have 60 KiB.
fn split_segment(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    let slash = memchr::memchr(b'/', path);
    let split = slash.and_then(|slash| path.split_at_checked(slash));
    split.map_or((path, None), |(segment, rest)| (segment, rest.strip_prefix(b"/")))
}

/// The same where an encoded slash is one, too.
fn split_at_either(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    let encoded = |from: usize| {
        path.get(from..)?
            .strip_prefix(b"%2")
            .filter(|rest| matches!(rest, [b'F' | b'f', ..]))
    };
    let slash = memchr::memchr2_iter(b'/', b'%', path).find_map(|place| {
        let (segment, behind) = path.split_at_checked(place)?;
        let rest = match behind.strip_prefix(b"/") {
            Some(rest) => rest,
            None => encoded(place)?.get(1..)?,
        };
        Some((segment, rest))
    });
    slash.map_or((path, None), |(segment, rest)| (segment, Some(rest)))
}

/// One segment as it came, escapes and all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    pub(crate) raw: &'a [u8],
    /// A `%` begins an escape. Not so in a compiled pattern, where it stands for itself.
    pub(crate) escaped: bool,
    /// What its ends were found by.
    pub(crate) slashes: Slashes,
}

impl<'a> Segment<'a> {
    /// A segment that has no escapes: of a SPIFFE ID, or of a pattern once compiled.
    pub(crate) fn literal(text: &'a str) -> Self {
        Self {
            raw: text.as_bytes(),
            escaped: false,
            slashes: Slashes::Plain,
        }
    }

    pub(crate) fn is_empty(self) -> bool {
        self.raw.is_empty()
    }

    /// What it costs to find its end, more than [`Segment::least_bytes`] say.
    pub(crate) fn seeking_steps(self) -> usize {
        match self.slashes {
            Slashes::Plain | Slashes::EncodedKept => 0,
            Slashes::EncodedToo => self.raw.len() / ENCODED_BYTES_A_STEP,
        }
    }

    /// How many bytes it stands for at least, seen without reading it.
    pub(crate) fn least_bytes(self) -> usize {
        let longest_escape = if self.escaped { "%XX".len() } else { 1 };
        self.raw.len().div_ceil(longest_escape)
    }

    /// The bytes that the segment stands for, each escape undone once.
    pub(crate) fn bytes(self) -> impl Iterator<Item = u8> {
        let mut rest = self.raw.iter();
        std::iter::from_fn(move || {
            let byte = *rest.next()?;
            if byte != b'%' || !self.escaped {
                return Some(byte);
            }
            // Broken escapes were refused when the path was read.
            let high = hex(*rest.next()?)?;
            let low = hex(*rest.next()?)?;
            Some((high << 4) | low)
        })
    }

    pub(crate) fn is(self, literal: &[u8]) -> bool {
        self.bytes().eq(literal.iter().copied())
    }
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => digit.checked_sub(b'0'),
        b'a'..=b'f' => digit.checked_sub(b'a').map(|value| value.saturating_add(10)),
        b'A'..=b'F' => digit.checked_sub(b'A').map(|value| value.saturating_add(10)),
        _ => None,
    }
}

pub(crate) fn check_segment(segment: Segment<'_>, reading: PathReading) -> Result<(), PathError> {
    // Most segments have nothing that any of the checks below looks for, which one pass shows.
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !segment.is_empty() && segment.raw.iter().all(is_plain) {
        return Ok(());
    }
    check_escapes(segment.raw)?;
    segment.raw.iter().try_for_each(|byte| check_raw_byte(*byte, reading))?;
    if hides_dot_segment(segment) {
        return Err(PathError::DotSegment);
    }
    if segment.raw.contains(&b'%') {
        check_unescaped(segment, reading)?;
    }
    match reading {
        PathReading::Strict if segment.is_empty() => Err(PathError::EmptySegment),
        PathReading::EncodedSlashes if hides_empty_segment(segment) => Err(PathError::EmptySegment),
        PathReading::Strict | PathReading::EncodedSlashes | PathReading::Lenient => Ok(()),
    }
}

fn check_escapes(raw: &[u8]) -> Result<(), PathError> {
    let mut bytes = raw.iter();
    while let Some(byte) = bytes.next() {
        if *byte == b'%' {
            let digits = [bytes.next(), bytes.next()];
            if !digits
                .iter()
                .all(|digit| digit.is_some_and(|digit| hex(*digit).is_some()))
            {
                return Err(PathError::BrokenEscape);
            }
        }
    }
    Ok(())
}

fn check_raw_byte(byte: u8, reading: PathReading) -> Result<(), PathError> {
    match (byte, reading) {
        (0..=b' ' | 0x7f, _) => Err(PathError::ControlByte),
        (b'#', _) => Err(PathError::Fragment),
        (_, PathReading::Lenient) => Ok(()),
        (b'\\', PathReading::Strict | PathReading::EncodedSlashes) => Err(PathError::EncodedSeparator),
        (b';', PathReading::Strict | PathReading::EncodedSlashes) => Err(PathError::Parameter),
        (0x80.., PathReading::Strict | PathReading::EncodedSlashes) => Err(PathError::NotUtf8),
        (_, PathReading::Strict | PathReading::EncodedSlashes) => Ok(()),
    }
}

/// Whether any reader, splitting at `/`, `\` or `;` once escapes are undone, finds `.` or `..` in the segment.
fn hides_dot_segment(segment: Segment<'_>) -> bool {
    // How many dots the current piece has, as long as it has nothing else.
    let mut dots = Some(0u32);
    for byte in segment.bytes().chain([b'/']) {
        match byte {
            b'.' => dots = dots.map(|count| count.saturating_add(1)),
            b'/' | b'\\' | b';' => {
                if matches!(dots, Some(1 | 2)) {
                    return true;
                }
                // What follows a `;` is a parameter, not a name.
                dots = (byte != b';').then_some(0);
            }
            _ => dots = None,
        }
    }
    false
}

/// Whether whoever takes an encoded slash for one finds an empty segment.
fn hides_empty_segment(segment: Segment<'_>) -> bool {
    let mut behind_slash = true;
    segment.bytes().chain([b'/']).any(|byte| {
        let is_slash = byte == b'/';
        std::mem::replace(&mut behind_slash, is_slash) && is_slash
    })
}

fn check_unescaped(segment: Segment<'_>, reading: PathReading) -> Result<(), PathError> {
    let mut utf8 = Utf8::default();
    for byte in segment.bytes() {
        match (byte, reading) {
            (0..=0x1f | 0x7f, _) => return Err(PathError::ControlByte),
            (_, PathReading::Lenient) => {}
            (b'/', PathReading::Strict) => return Err(PathError::EncodedSeparator),
            (b'\\', PathReading::Strict | PathReading::EncodedSlashes) => return Err(PathError::EncodedSeparator),
            (b';', PathReading::Strict | PathReading::EncodedSlashes) => return Err(PathError::Parameter),
            (b'%', PathReading::Strict | PathReading::EncodedSlashes) => return Err(PathError::DoubleEscape),
            (b'?' | b'#', PathReading::Strict | PathReading::EncodedSlashes) => {
                return Err(PathError::EncodedDelimiter);
            }
            (_, PathReading::Strict | PathReading::EncodedSlashes) => utf8.push(byte)?,
        }
    }
    utf8.finish()
}

/// Checks UTF-8 as it comes. An over-long `/` (`%C0%AF`) is the reason: some decoders take it for one.
#[derive(Default)]
struct Utf8 {
    pending: [u8; 4],
    length: usize,
}

impl Utf8 {
    fn push(&mut self, byte: u8) -> Result<(), PathError> {
        *self.pending.get_mut(self.length).ok_or(PathError::NotUtf8)? = byte;
        self.length = self.length.saturating_add(1);
        match std::str::from_utf8(self.pending.get(..self.length).unwrap_or_default()) {
            Ok(_) => self.length = 0,
            Err(error) if error.error_len().is_none() => {}
            Err(_) => return Err(PathError::NotUtf8),
        }
        Ok(())
    }

    fn finish(self) -> Result<(), PathError> {
        if self.length == 0 {
            Ok(())
        } else {
            Err(PathError::NotUtf8)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn read(path: &[u8], reading: PathReading) -> Result<Vec<Vec<u8>>, PathError> {
        RequestPath::read(path, reading).map(|path| path.segments().map(|segment| segment.bytes().collect()).collect())
    }

    #[test]
    fn plain_paths_are_their_segments() {
        for (path, segments) in [
            ("/", vec![]),
            ("/a", vec!["a"]),
            ("/a/", vec!["a"]),
            ("/a/b?x=/../..;", vec!["a", "b"]),
            ("/%61/caf%C3%A9", vec!["a", "café"]),
            ("/...", vec!["..."]),
        ] {
            let expected: Vec<Vec<u8>> = segments.iter().map(|segment| segment.as_bytes().to_vec()).collect();
            assert_eq!(read(path.as_bytes(), PathReading::Strict), Ok(expected), "{path}");
        }
    }

    #[test]
    fn paths_with_two_readings_are_refused() {
        for (path, error) in [
            ("", PathError::NoLeadingSlash),
            ("*", PathError::NoLeadingSlash),
            ("a/b", PathError::NoLeadingSlash),
            ("//", PathError::EmptySegment),
            ("//a", PathError::EmptySegment),
            ("/a//b", PathError::EmptySegment),
            ("/a//", PathError::EmptySegment),
            ("/a/./b", PathError::DotSegment),
            ("/a/../b", PathError::DotSegment),
            ("/a/..", PathError::DotSegment),
            ("/a/../", PathError::DotSegment),
            ("/a/%2e%2E/b", PathError::DotSegment),
            ("/a/.%2e", PathError::DotSegment),
            ("/a/..;x/b", PathError::Parameter),
            ("/a/..%2fb", PathError::DotSegment),
            ("/a%2Fb", PathError::EncodedSeparator),
            ("/a%5cb", PathError::EncodedSeparator),
            ("/a\\b", PathError::EncodedSeparator),
            ("/a;b", PathError::Parameter),
            ("/a%3bb", PathError::Parameter),
            ("/a%", PathError::BrokenEscape),
            ("/a%4", PathError::BrokenEscape),
            ("/a%zz", PathError::BrokenEscape),
            ("/a%/41", PathError::BrokenEscape),
            ("/%2561dmin", PathError::DoubleEscape),
            ("/a%00", PathError::ControlByte),
            ("/a\0", PathError::ControlByte),
            ("/a b", PathError::ControlByte),
            ("/a%0a", PathError::ControlByte),
            ("/a#b", PathError::Fragment),
            ("/a%3fb", PathError::EncodedDelimiter),
            ("/a%23b", PathError::EncodedDelimiter),
            ("/caf\u{e9}", PathError::NotUtf8),
            ("/%c0%af", PathError::NotUtf8),
            ("/%ff", PathError::NotUtf8),
            ("/%c3", PathError::NotUtf8),
            ("/%c3/%a9", PathError::NotUtf8),
        ] {
            assert_eq!(read(path.as_bytes(), PathReading::Strict), Err(error), "{path}");
        }
    }

    /// Both readings of a path that has an encoded slash.
    fn read_both(path: &[u8]) -> Result<[Vec<String>; 2], PathError> {
        let kept = RequestPath::read(path, PathReading::EncodedSlashes)?;
        let split = kept.split_at_encoded_slashes().unwrap();
        assert!(split.split_at_encoded_slashes().is_none());
        let text = |segment: Segment<'_>| String::from_utf8(segment.bytes().collect()).unwrap();
        Ok([kept, split].map(|path| path.segments().map(text).collect()))
    }

    #[test]
    fn path_with_encoded_slashes_is_read_with_them_as_data_and_as_slashes() {
        for (path, kept, split) in [
            ("/p/a%2Fb", vec!["p", "a/b"], vec!["p", "a", "b"]),
            (
                "/p/a%2fb%2Fc/d/",
                vec!["p", "a/b/c", "d"],
                vec!["p", "a", "b", "c", "d"],
            ),
            ("/p%2F%61/%2e.x?y%2F%2F..", vec!["p/a", "..x"], vec!["p", "a", "..x"]),
            ("/caf%C3%A9%2F%c3%a9", vec!["café/é"], vec!["café", "é"]),
            ("/a", vec!["a"], vec!["a"]),
            ("/", vec![], vec![]),
        ] {
            let expected = [kept, split].map(|list| list.into_iter().map(String::from).collect::<Vec<_>>());
            assert_eq!(read_both(path.as_bytes()), Ok(expected), "{path}");
        }
    }

    #[test]
    fn encoded_slash_is_all_that_may_be_read_in_two_ways() {
        for (path, error) in [
            ("/a%2F", PathError::EmptySegment),
            ("/a%2F/", PathError::EmptySegment),
            ("/%2Fa", PathError::EmptySegment),
            ("/%2F", PathError::EmptySegment),
            ("/a%2F%2fb", PathError::EmptySegment),
            ("/a%2Fb//c", PathError::EmptySegment),
            ("/a%2F/b", PathError::EmptySegment),
            ("/a%2F..%2Fb", PathError::DotSegment),
            ("/a%2F..", PathError::DotSegment),
            ("/..%2Fa", PathError::DotSegment),
            ("/.%2Fa", PathError::DotSegment),
            ("/a%2F%2e%2E/b", PathError::DotSegment),
            ("/a%2F.;x/b", PathError::Parameter),
            ("/a%2Fb;c", PathError::Parameter),
            ("/a%2Fb%3bc", PathError::Parameter),
            ("/a%2Fb\\c", PathError::EncodedSeparator),
            ("/a%2Fb%5Cc", PathError::EncodedSeparator),
            ("/a%252Fb", PathError::DoubleEscape),
            ("/a%2Fb%25", PathError::DoubleEscape),
            ("/a%25%32%46b", PathError::DoubleEscape),
            ("/a%2Fb%3f", PathError::EncodedDelimiter),
            ("/a%2Fb%23", PathError::EncodedDelimiter),
            ("/a%2Fb#", PathError::Fragment),
            ("/a%2Fb%00", PathError::ControlByte),
            ("/a%2Fb%2", PathError::BrokenEscape),
            ("/a%%2Fb", PathError::BrokenEscape),
            ("/a%c3%2F%a9", PathError::NotUtf8),
            ("/a%2F%c0%af", PathError::NotUtf8),
            ("/a%2F\u{e9}", PathError::NotUtf8),
        ] {
            assert_eq!(read_both(path.as_bytes()), Err(error), "{path}");
        }
    }

    #[test]
    fn lenient_reading_keeps_odd_bytes_as_data_and_still_refuses_dots() {
        let bytes = |path: &str| read(path.as_bytes(), PathReading::Lenient);
        assert_eq!(bytes("/a%2Fb/c"), Ok(vec![b"a/b".to_vec(), b"c".to_vec()]));
        assert_eq!(bytes("/a;v=1"), Ok(vec![b"a;v=1".to_vec()]));
        assert_eq!(bytes("/a//b"), Ok(vec![b"a".to_vec(), vec![], b"b".to_vec()]));
        assert_eq!(bytes("//"), Ok(vec![vec![]]));
        assert_eq!(bytes("/%2561"), Ok(vec![b"%61".to_vec()]));
        assert_eq!(bytes("/%ff"), Ok(vec![vec![0xff]]));
        for path in [
            "/a/../b",
            "/a/..%2fb",
            "/a%2f..%2fb",
            "/a%5c..",
            "/..;x",
            "/%2e",
            "/a\\..\\b",
        ] {
            assert_eq!(bytes(path), Err(PathError::DotSegment), "{path}");
        }
        assert_eq!(bytes("/a%00"), Err(PathError::ControlByte));
        assert_eq!(bytes("/a#"), Err(PathError::Fragment));
    }
}
