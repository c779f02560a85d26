//! Headers, read as any upstream may read them.
//!
//! Between a filter and the upstream's own code a header is trimmed, split, joined, and found under another name, by
//! some servers and not by others. A value that meets a demand in one of these readings and not in another is a doubt:
//! an allow rule does not match then, a deny rule does. The obvious alternative, to compare the bytes that came, lets
//! `1 ` pass a rule about `1`.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use regex::bytes::{Regex, RegexBuilder};

use crate::{effort::Effort, rules::verdict::Verdict};

/// The headers of a request, with every value of a name.
pub trait Headers {
    /// How many values there are, of all names.
    fn count(&self) -> usize;
    /// Shows each name and value, in order.
    fn each<'h>(&'h self, show: &mut dyn FnMut(&'h [u8], &'h [u8]));
    /// Whether it can be said which values a header has. One that cannot is unknown, not absent.
    fn is_known(&self, _name: &str) -> bool {
        true
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> Headers for &[(N, V)] {
    fn count(&self) -> usize {
        self.len()
    }

    fn each<'h>(&'h self, show: &mut dyn FnMut(&'h [u8], &'h [u8])) {
        for (name, value) in self.iter() {
            show(name.as_ref(), value.as_ref());
        }
    }
}

/// The header that tells the upstream who asks, where the document wants it; a client's own is always removed.
pub const ID_HEADER: &str = "x-svidgate-id";
/// The header that tells the upstream through whom, likewise.
pub const VIA_HEADER: &str = "x-svidgate-via";

/// A name as those upstreams read it that make variables of headers, in which `_` and `-` are one (RFC 3875 4.1.18);
/// some make one of every byte that a variable's name cannot have.
pub fn folded(name: &[u8]) -> impl Iterator<Item = u8> {
    name.iter().copied().map(fold)
}

/// One byte of it.
pub(crate) fn fold(byte: u8) -> u8 {
    match byte.to_ascii_lowercase() {
        letter_or_digit @ (b'a'..=b'z' | b'0'..=b'9') => letter_or_digit,
        _ => b'-',
    }
}

/// Whether some upstream takes two names for one.
pub fn reads_as(name: &[u8], other: &[u8]) -> bool {
    name.len() == other.len() && folded(name).eq(folded(other))
}

/// A value without outer white space, which is no part of it (RFC 9110 5.5). That is blanks and tabs; some upstreams
/// trim whatever their strings call white space, once they have decoded the value as UTF-8 or ISO-8859-1.
pub(crate) fn trimmed(value: &[u8]) -> &[u8] {
    if is_trimmed(value) {
        return value;
    }
    let is_blank = |letter: char| letter.is_whitespace() || letter.is_control();
    if let Ok(text) = std::str::from_utf8(value) {
        return text.trim_matches(is_blank).as_bytes();
    }
    let mut rest = value;
    while let [first, inner @ ..] = rest
        && is_blank(char::from(*first))
    {
        rest = inner;
    }
    while let [inner @ .., last] = rest
        && is_blank(char::from(*last))
    {
        rest = inner;
    }
    rest
}

/// Whether nobody finds white space at the ends of a value, seen without reading it.
fn is_trimmed(value: &[u8]) -> bool {
    let is_plain = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_graphic);
    is_plain(value.first()) && is_plain(value.last())
}

/// A demand on one header.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct HeaderCondition {
    /// Lower case.
    pub(crate) name: Box<str>,
    pub(crate) test: HeaderTest,
}

/// How many names of headers are compared in a step.
const NAMES_A_STEP: usize = 8;
/// How many bytes of a value are looked through for a comma, or copied, in a step.
const BYTES_A_STEP: usize = 4;

/// What a header's values must be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum HeaderTest {
    Present,
    Is(Box<str>),
    Matches(Expression),
}

impl HeaderCondition {
    /// A header with several values meets a demand when all of them do, and fails it when none does.
    pub(crate) fn verdict(&self, headers: Option<&dyn Headers>, effort: &Effort) -> Verdict {
        let Some(headers) = headers.filter(|headers| headers.is_known(&self.name)) else {
            return Verdict::Unknown;
        };
        if !effort.spend(headers.count().div_ceil(NAMES_A_STEP)) {
            return Verdict::Unknown;
        }
        let (mut matching, mut others) = (false, false);
        let mut lines = Lines::default();
        headers.each(&mut |name, value| {
            if !reads_as(name, self.name.as_bytes()) {
                return;
            }
            match self.test.verdict(value, self.separators(), effort) {
                Verdict::Yes => matching = true,
                Verdict::No => others = true,
                Verdict::Unknown => (matching, others) = (true, true),
            }
            lines.all = lines.all.saturating_add(1);
            if self.is_named(name) {
                lines.named = lines.named.saturating_add(1);
            } else {
                // An upstream that tells the names apart has no such line.
                others = true;
            }
        });
        match (matching, others) {
            (true, false) => Verdict::Yes,
            (false, _) if self.is_met_by_lines_together(headers, lines, effort) => Verdict::Unknown,
            (false, _) => Verdict::No,
            (true, true) => Verdict::Unknown,
        }
    }

    fn is_named(&self, name: &[u8]) -> bool {
        name.eq_ignore_ascii_case(self.name.as_bytes())
    }

    /// What parts the values of a list in one line. Cookies are also parted by `;`, and HTTP/2 sends each in a line of
    /// its own (RFC 9113 8.2.3).
    fn separators(&self) -> &'static [&'static str] {
        if self.name.as_ref() == "cookie" {
            &[",", ", ", ";", "; "]
        } else {
            &[",", ", "]
        }
    }

    /// Whether the list that a proxy or an upstream may make of several lines meets the demand, or is too long to say.
    fn is_met_by_lines_together(&self, headers: &dyn Headers, lines: Lines, effort: &Effort) -> bool {
        // All of them, and those of the very name where there are others beside them.
        let named = if lines.named < lines.all { lines.named } else { 0 };
        for (count, spelling) in [(lines.all, Spelling::Any), (named, Spelling::Same)] {
            if count < 2 {
                continue;
            }
            for separator in self.separators() {
                for trim in [trimmed, <[u8]>::as_ref] {
                    let mut list = Vec::new();
                    headers.each(&mut |name, value| {
                        let is_meant = self.spelling(name).is_some_and(|found| found <= spelling);
                        if is_meant && effort.spend(value.len().div_ceil(BYTES_A_STEP)) {
                            list.extend_from_slice(trim(value));
                            list.extend_from_slice(separator.as_bytes());
                        }
                    });
                    list.truncate(list.len().saturating_sub(separator.len()));
                    if self.test.cannot_read(&list) || self.test.is_met(&list, effort) {
                        return true;
                    }
                }
            }
        }
        false
    }

    /// How a header is spelled that some upstream takes for this one.
    fn spelling(&self, name: &[u8]) -> Option<Spelling> {
        if name.eq_ignore_ascii_case(self.name.as_bytes()) {
            Some(Spelling::Same)
        } else if reads_as(name, self.name.as_bytes()) {
            Some(Spelling::Any)
        } else {
            None
        }
    }
}

/// How a name is spelled that is read as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Spelling {
    /// But for case, as the rule has it.
    Same,
    /// With other bytes where a variable's name has none.
    Any,
}

/// How many values a request has of a header.
#[derive(Clone, Copy, Debug, Default)]
struct Lines {
    /// Under any spelling.
    all: usize,
    /// Under that of the rule.
    named: usize,
}

impl HeaderTest {
    /// Several values may come in lines of their own or as a list in one line, and a proxy may turn one into the other
    /// (RFC 9110 5.3). So a line that does not meet a demand, but would as a list, is unknown; and so is one that meets
    /// it either trimmed or as it is.
    fn verdict(&self, value: &[u8], separators: &[&str], effort: &Effort) -> Verdict {
        if self.cannot_read(value) {
            return Verdict::Unknown;
        }
        // Values of 60 KiB, gone through for each of their conditions, would take milliseconds.
        let looked_through = value.len().div_ceil(BYTES_A_STEP);
        if !is_trimmed(value) && !effort.spend(looked_through) {
            return Verdict::Unknown;
        }
        let inner = trimmed(value);
        let met = self.is_met(value, effort);
        let met_trimmed = if inner.len() == value.len() {
            met
        } else {
            self.is_met(inner, effort)
        };
        match (met, met_trimmed) {
            (true, true) => return Verdict::Yes,
            (true, false) | (false, true) => return Verdict::Unknown,
            (false, false) => {}
        }
        if !effort.spend(looked_through) {
            return Verdict::Unknown;
        }
        let parts = |byte: &u8| separators.iter().any(|separator| separator.as_bytes() == [*byte]);
        let meets = |entry: &[u8]| {
            let inner = trimmed(entry);
            let differs = inner.len() < entry.len();
            !inner.is_empty() && (self.is_met(inner, effort) || (differs && self.is_met(entry, effort)))
        };
        if value.iter().any(parts) && value.split(parts).any(meets) {
            Verdict::Unknown
        } else {
            Verdict::No
        }
    }

    fn cannot_read(&self, value: &[u8]) -> bool {
        match self {
            Self::Present | Self::Is(_) => false,
            Self::Matches(_) => value.len() > MAX_MATCHED_BYTES,
        }
    }

    fn is_met(&self, value: &[u8], effort: &Effort) -> bool {
        match self {
            Self::Present => true,
            Self::Is(wanted) => effort.spend(1) && wanted.as_bytes() == value,
            Self::Matches(expression) => effort.spend(expression.steps(value)) && expression.regex.is_match(value),
        }
    }
}

/// A regular expression over bytes that must match a whole value, in time linear in its length.
#[derive(Clone, Debug)]
pub(crate) struct Expression {
    pub(crate) source: Box<str>,
    regex: Arc<Regex>,
    /// The size when compiled, in bytes, to a power of two.
    bytes: usize,
}

/// Largest compiled expression in bytes. Our decision: ordinary header patterns take 1 or 2 KiB.
const MAX_EXPRESSION_BYTES: usize = 64 * 1024;
/// The sizes that expressions are told apart by.
const EXPRESSION_BYTES: [usize; 8] = [512, 1024, 2048, 4096, 8192, 16_384, 32_768, MAX_EXPRESSION_BYTES];
/// Matching takes time in proportion to the product of both sizes, at worst about 0.2 ns for each byte of it.
const BYTES_SQUARED_A_STEP: usize = 64;
/// What a match costs however short the value, as so many bytes more of it.
const MATCH_BYTES: usize = 8;
/// Most different expressions in a document. Our decision: at the largest they take 100 MiB and seconds to compile.
pub(crate) const MAX_EXPRESSIONS: usize = 1_000;
/// Longest value that is matched; a longer one is unknown.
const MAX_MATCHED_BYTES: usize = 4 * 1024;

impl Expression {
    pub(crate) fn parse(source: &str) -> Result<Self, regex::Error> {
        let build = |source: &str, bytes: usize| RegexBuilder::new(source).unicode(false).size_limit(bytes).build();
        // `^(?:a)|(b)$` is well-formed and means something else; the source must stand by itself.
        build(source, MAX_EXPRESSION_BYTES)?;
        let whole = format!("^(?:{source})$");
        // The library does not tell how large an expression is, but it builds none that is larger than asked for.
        let smallest = EXPRESSION_BYTES
            .into_iter()
            .find_map(|bytes| Some((bytes, build(&whole, bytes).ok()?)));
        let (bytes, regex) = match smallest {
            Some(smallest) => smallest,
            None => (MAX_EXPRESSION_BYTES, build(&whole, MAX_EXPRESSION_BYTES)?),
        };
        Ok(Self {
            source: source.into(),
            regex: Arc::new(regex),
            bytes,
        })
    }

    /// What it costs at worst to match a value.
    fn steps(&self, value: &[u8]) -> usize {
        let bytes = value.len().saturating_add(MATCH_BYTES);
        bytes.saturating_mul(self.bytes).div_ceil(BYTES_SQUARED_A_STEP)
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Expression {}

impl Hash for Expression {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.source.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn verdict(condition: &HeaderCondition, headers: Option<&dyn Headers>) -> Verdict {
        condition.verdict(headers, &Effort::of(1_000))
    }

    fn is(name: &str, value: &str) -> HeaderCondition {
        HeaderCondition {
            name: name.into(),
            test: HeaderTest::Is(value.into()),
        }
    }

    #[test]
    fn header_with_mixed_values_is_unknown() {
        let condition = is("x-env", "prod");
        let asked = |headers: &[(&str, &str)]| verdict(&condition, Some(&headers));
        assert_eq!(asked(&[("x-env", "prod")]), Verdict::Yes);
        assert_eq!(asked(&[("x-env", "prod"), ("x-env", "prod")]), Verdict::Yes);
        assert_eq!(asked(&[("x-env", "prod"), ("x-env", "test")]), Verdict::Unknown);
        assert_eq!(asked(&[("x-env", "prod, test")]), Verdict::Unknown);
        assert_eq!(asked(&[("x-env", "dev, test")]), Verdict::No);
        assert_eq!(asked(&[]), Verdict::No);
        assert_eq!(verdict(&condition, None), Verdict::Unknown);
    }

    #[test]
    fn value_that_only_some_trim_is_unknown() {
        let condition = is("x-env", "prod");
        for value in [
            "prod ",
            " prod",
            "prod\t",
            "\u{a0}prod",
            "prod\u{3000}",
            " test, \tprod ",
        ] {
            assert_eq!(
                verdict(&condition, Some(&&[("x-env", value)][..])),
                Verdict::Unknown,
                "{value:?}"
            );
        }
        for value in ["pro d", "prod\u{e0}", "test "] {
            assert_eq!(
                verdict(&condition, Some(&&[("x-env", value)][..])),
                Verdict::No,
                "{value:?}"
            );
        }
        for value in [&b"prod\xa0"[..], b"\x85prod", b"\xa0 prod\t\xa0"] {
            assert_eq!(
                verdict(&condition, Some(&&[("x-env", value)][..])),
                Verdict::Unknown,
                "{value:?}"
            );
        }
    }

    #[test]
    fn every_byte_that_is_no_letter_or_digit_is_one_in_a_name() {
        for byte in 0..=u8::MAX {
            let name = [b"x", &[byte][..], b"env"].concat();
            let found = verdict(&is("x-env", "prod"), Some(&&[(name, "prod")][..]));
            let expected = match byte {
                b'-' => Verdict::Yes,
                byte if byte.is_ascii_alphanumeric() => Verdict::No,
                _ => Verdict::Unknown,
            };
            assert_eq!(found, expected, "{byte}");
        }
    }

    #[test]
    fn lines_under_two_names_are_joined_with_and_without_each_other() {
        let condition = is("x-scope", "read,admin");
        let asked = |headers: &[(&str, &str)]| verdict(&condition, Some(&headers));
        assert_eq!(asked(&[("x-scope", "read"), ("x_scope", "admin")]), Verdict::Unknown);
        assert_eq!(
            asked(&[("x-scope", "read"), ("x_scope", "x"), ("x-scope", "admin ")]),
            Verdict::Unknown
        );
        assert_eq!(asked(&[("x-scope", "read"), ("x_scope", "x")]), Verdict::No);
    }

    #[test]
    fn expressions_match_whole_values_only() {
        let expression = Expression::parse("a|b").unwrap();
        assert!(expression.regex.is_match(b"a") && expression.regex.is_match(b"b"));
        assert!(
            !expression.regex.is_match(b"ab")
                && !expression.regex.is_match(b"xb")
                && !expression.regex.is_match(b"a\n")
        );
        assert!(Expression::parse("a)|(b").is_err());
        assert!(
            Expression::parse("(?x) a # comment").is_err()
                || !Expression::parse("(?x) a # comment").unwrap().regex.is_match(b"evil")
        );
        assert!(Expression::parse("((a{1000}){1000})").is_err());
    }
}
