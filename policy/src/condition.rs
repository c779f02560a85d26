//! What a rule demands beside identity and path, and whether a request meets it.
//!
//! Answers have three values. What cannot be known (a header with two values of which one matches, a source address
//! that cannot be read) is `Unknown`, and an unknown never helps the caller: an allow rule does not match then, a deny
//! rule does.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;
use jiff::Timestamp;
use regex::bytes::{Regex, RegexBuilder};

use crate::{
    document::Effect,
    effort::Effort,
    host::{Host, HostPattern},
};

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Yes,
    No,
    Unknown,
}

impl Verdict {
    /// Whether the rule applies: the doubt goes against the caller.
    pub(crate) fn applies_to(self, effect: Effect) -> bool {
        match (self, effect) {
            (Self::Yes, _) | (Self::Unknown, Effect::Deny) => true,
            (Self::No, _) | (Self::Unknown, Effect::Allow) => false,
        }
    }

    fn from_known(known: Option<bool>) -> Self {
        match known {
            Some(true) => Self::Yes,
            Some(false) => Self::No,
            None => Self::Unknown,
        }
    }

    fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
        }
    }

    /// All of several conditions: a plain no decides, whatever else is unknown.
    pub(crate) fn all(verdicts: impl Iterator<Item = Self>) -> Self {
        let mut all = Self::Yes;
        for verdict in verdicts {
            match verdict {
                Self::No => return Self::No,
                Self::Unknown => all = Self::Unknown,
                Self::Yes => {}
            }
        }
        all
    }
}

/// The headers of a request, with every value of a name.
pub trait Headers {
    /// How many values there are, of all names.
    fn count(&self) -> usize;
    /// Shows each value of a header; names are lower case.
    fn each_value<'h>(&'h self, name: &str, show: &mut dyn FnMut(&'h [u8]));
    /// Whether it can be said which values a header has. One that cannot is unknown, not absent.
    fn is_known(&self, _name: &str) -> bool {
        true
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> Headers for &[(N, V)] {
    fn count(&self) -> usize {
        self.len()
    }

    fn each_value<'h>(&'h self, name: &str, show: &mut dyn FnMut(&'h [u8])) {
        for (known, value) in self.iter() {
            if known.as_ref().eq_ignore_ascii_case(name.as_bytes()) {
                show(value.as_ref());
            }
        }
    }
}

/// A request, read as far as rules look at it.
pub(crate) struct Facts<'a> {
    pub(crate) method: Option<&'a [u8]>,
    pub(crate) host: Option<Host<'a>>,
    pub(crate) headers: Option<&'a dyn Headers>,
    pub(crate) route: Option<&'a [u8]>,
    pub(crate) port: Option<u16>,
    pub(crate) sni: Option<Host<'a>>,
    pub(crate) source_ip: Option<IpAddr>,
    pub(crate) now: Timestamp,
    /// What the decision may still cost.
    pub(crate) effort: Effort,
}

/// Everything that one target of a rule demands beside the path. `None` demands nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Conditions {
    pub(crate) methods: Option<Vec<Box<str>>>,
    pub(crate) hosts: Option<Vec<HostPattern>>,
    pub(crate) routes: Option<Vec<Box<str>>>,
    /// In order.
    pub(crate) ports: Option<Vec<u16>>,
    pub(crate) sni: Option<Vec<HostPattern>>,
}

/// Conditions that hold for the rule as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct When {
    pub(crate) headers: Vec<HeaderCondition>,
    pub(crate) not_headers: Vec<HeaderCondition>,
    pub(crate) source_ips: Option<Vec<IpNet>>,
    pub(crate) not_source_ips: Option<Vec<IpNet>>,
    pub(crate) time: Option<Vec<TimeWindow>>,
    pub(crate) not_time: Option<Vec<TimeWindow>>,
}

impl Conditions {
    /// Whether all of them hold.
    pub(crate) fn verdict(&self, facts: &Facts<'_>) -> Verdict {
        let entries = [
            entries(&self.methods),
            entries(&self.routes),
            entries(&self.hosts),
            entries(&self.sni),
        ];
        if !facts.effort.spend(entries.iter().sum()) {
            return Verdict::Unknown;
        }
        let listed = [
            method(self.methods.as_deref(), facts.method),
            among(self.routes.as_deref(), facts.route, |wanted, found| {
                wanted.as_bytes() == found
            }),
            port(self.ports.as_deref(), facts.port),
            among(self.hosts.as_deref(), facts.host, HostPattern::matches),
            among(self.sni.as_deref(), facts.sni, HostPattern::matches),
        ];
        Verdict::all(listed.into_iter())
    }
}

impl When {
    /// Whether all of them hold.
    pub(crate) fn verdict(&self, facts: &Facts<'_>) -> Verdict {
        let entries = [
            entries(&self.source_ips).div_ceil(BLOCKS_A_STEP),
            entries(&self.not_source_ips).div_ceil(BLOCKS_A_STEP),
            entries(&self.time),
            entries(&self.not_time),
        ];
        if !facts.effort.spend(entries.iter().sum()) {
            return Verdict::Unknown;
        }
        let contains = |net: &IpNet, ip: IpAddr| net.contains(&ip);
        let addresses = among(self.source_ips.as_deref(), facts.source_ip, contains);
        let not_addresses = none_among(self.not_source_ips.as_deref(), facts.source_ip, contains);
        let time = among(self.time.as_deref(), Some(facts.now), TimeWindow::contains);
        let not_time = none_among(self.not_time.as_deref(), Some(facts.now), TimeWindow::contains);
        let headers = self.headers.iter().map(|condition| condition.verdict(facts));
        let not_headers = self.not_headers.iter().map(|condition| condition.verdict(facts).not());
        Verdict::all(
            [addresses, not_addresses, time, not_time]
                .into_iter()
                .chain(headers)
                .chain(not_headers),
        )
    }

    /// Whether nothing is demanded.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether any condition looks at the time.
    pub(crate) fn looks_at_time(&self) -> bool {
        self.time.is_some() || self.not_time.is_some()
    }

    /// The first moment after `now` at which a time window may begin or end.
    pub(crate) fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let windows = [&self.time, &self.not_time].into_iter().flatten().flatten();
        windows.filter_map(|window| window.next_edge(now)).min()
    }

    /// Whether any condition looks at the source address.
    pub(crate) fn looks_at_source(&self) -> bool {
        self.source_ips.is_some() || self.not_source_ips.is_some()
    }
}

/// How many blocks of addresses are compared in a step.
const BLOCKS_A_STEP: usize = 8;

fn entries<W>(list: &Option<Vec<W>>) -> usize {
    list.as_ref().map_or(0, Vec::len)
}

/// A list that is not there demands nothing.
fn among<W, F: Copy>(wanted: Option<&[W]>, found: Option<F>, is: impl Fn(&W, F) -> bool) -> Verdict {
    match wanted {
        None => Verdict::Yes,
        Some(wanted) => Verdict::from_known(found.map(|found| wanted.iter().any(|wanted| is(wanted, found)))),
    }
}

/// Ports are in order: there are no ranges, so people list them by the thousand.
fn port(wanted: Option<&[u16]>, found: Option<u16>) -> Verdict {
    wanted.map_or(Verdict::Yes, |wanted| {
        Verdict::from_known(found.map(|found| wanted.binary_search(&found).is_ok()))
    })
}

/// Methods are case-sensitive (RFC 9110 9.1), but not every upstream knows: whether `delete` is `DELETE` there is unknown.
fn method(wanted: Option<&[Box<str>]>, found: Option<&[u8]>) -> Verdict {
    let exactly = among(wanted, found, |wanted, found| wanted.as_bytes() == found);
    let in_any_case = among(wanted, found, |wanted, found| {
        wanted.as_bytes().eq_ignore_ascii_case(found)
    });
    match (exactly, in_any_case) {
        (Verdict::No, Verdict::Yes) => Verdict::Unknown,
        (verdict, _) => verdict,
    }
}

fn none_among<W, F: Copy>(unwanted: Option<&[W]>, found: Option<F>, is: impl Fn(&W, F) -> bool) -> Verdict {
    match unwanted {
        None => Verdict::Yes,
        unwanted @ Some(_) => among(unwanted, found, is).not(),
    }
}

/// A demand on one header.
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HeaderTest {
    Present,
    Is(Box<str>),
    Matches(Expression),
}

impl HeaderCondition {
    /// A header with several values meets a demand when all of them do, and fails it when none does.
    fn verdict(&self, facts: &Facts<'_>) -> Verdict {
        let Some(headers) = facts.headers.filter(|headers| headers.is_known(&self.name)) else {
            return Verdict::Unknown;
        };
        if !facts.effort.spend(headers.count().div_ceil(NAMES_A_STEP)) {
            return Verdict::Unknown;
        }
        let (mut matching, mut others, mut lines) = (false, false, 0_usize);
        headers.each_value(&self.name, &mut |value| {
            lines = lines.saturating_add(1);
            match self.test.verdict(value, &facts.effort) {
                Verdict::Yes => matching = true,
                Verdict::No => others = true,
                Verdict::Unknown => (matching, others) = (true, true),
            }
        });
        match (matching, others) {
            (true, false) => Verdict::Yes,
            (false, _) if lines > 1 && self.is_met_by_lines_together(headers, &facts.effort) => Verdict::Unknown,
            (false, _) => Verdict::No,
            (true, true) => Verdict::Unknown,
        }
    }

    /// Whether the list that a proxy may make of several lines meets the demand, or is too long to say.
    fn is_met_by_lines_together(&self, headers: &dyn Headers, effort: &Effort) -> bool {
        [", ", ","].iter().any(|separator| {
            let mut list = Vec::new();
            headers.each_value(&self.name, &mut |value| {
                if effort.spend(value.len().div_ceil(BYTES_A_STEP)) {
                    list.extend_from_slice(value);
                    list.extend_from_slice(separator.as_bytes());
                }
            });
            list.truncate(list.len().saturating_sub(separator.len()));
            self.test.cannot_read(&list) || self.test.is_met(&list, effort)
        })
    }
}

impl HeaderTest {
    /// Several values may come in lines of their own or as a list in one line, and a proxy may turn one into the other
    /// (RFC 9110 5.3). So a line that does not meet a demand, but would as a list, is unknown.
    fn verdict(&self, value: &[u8], effort: &Effort) -> Verdict {
        if self.cannot_read(value) {
            return Verdict::Unknown;
        }
        if self.is_met(value, effort) {
            return Verdict::Yes;
        }
        // A value of 60 KiB, looked through for each of its conditions, would take milliseconds.
        if !effort.spend(value.len().div_ceil(BYTES_A_STEP)) {
            return Verdict::Unknown;
        }
        let mut list = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        if value.contains(&b',') && list.any(|value| !value.is_empty() && self.is_met(value, effort)) {
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
    source: Box<str>,
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

/// Minutes in a day.
pub(crate) const DAY_MINUTES: u16 = 24 * 60;

/// A part of the week, in UTC. One that ends before it begins goes over midnight and belongs to the day it begins on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeWindow {
    /// Monday first.
    pub(crate) days: [bool; 7],
    /// Minute of the day, inclusive.
    pub(crate) from: u16,
    /// Minute of the day, exclusive.
    pub(crate) until: u16,
}

impl TimeWindow {
    /// The first moment after `now` at which it begins or ends, on whatever day.
    fn next_edge(&self, now: Timestamp) -> Option<Timestamp> {
        let day = i64::from(DAY_MINUTES).saturating_mul(60);
        let second = now.as_second().rem_euclid(day);
        let until = |minute: u16| {
            let edge = i64::from(minute)
                .saturating_mul(60)
                .saturating_sub(second)
                .rem_euclid(day);
            if edge == 0 { day } else { edge }
        };
        let seconds = until(self.from).min(until(self.until));
        let today = Timestamp::from_second(now.as_second()).ok()?;
        today.checked_add(jiff::SignedDuration::from_secs(seconds)).ok()
    }

    fn contains(&self, now: Timestamp) -> bool {
        let minutes = now.as_second().div_euclid(60);
        let minute = u16::try_from(minutes.rem_euclid(i64::from(DAY_MINUTES))).unwrap_or_default();
        // 1970-01-01 was a Thursday, the fourth day of a week that begins on Monday.
        let weekday = |day: i64| usize::try_from(day.saturating_add(3).rem_euclid(7)).unwrap_or_default();
        let today = minutes.div_euclid(i64::from(DAY_MINUTES));
        let on = |day| self.days.get(weekday(day)).copied().unwrap_or_default();
        if self.from < self.until {
            return on(today) && self.from <= minute && minute < self.until;
        }
        (on(today) && minute >= self.from) || (on(today.saturating_sub(1)) && minute < self.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn window(days: &[usize], from: u16, until: u16) -> TimeWindow {
        let mut set = [false; 7];
        days.iter().for_each(|day| set[*day] = true);
        TimeWindow { days: set, from, until }
    }

    #[test]
    fn time_windows_are_in_utc_with_an_open_end() {
        // 2026-11-23 is a Monday.
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let office = window(&[0, 1, 2, 3, 4], 8 * 60, 18 * 60);
        assert!(office.contains(at("2026-11-23T08:00:00Z")));
        assert!(office.contains(at("2026-11-23T17:59:59Z")));
        assert!(!office.contains(at("2026-11-23T18:00:00Z")));
        assert!(!office.contains(at("2026-11-23T07:59:59Z")));
        assert!(!office.contains(at("2026-11-22T12:00:00Z")));
        let night = window(&[4], 22 * 60, 2 * 60);
        assert!(night.contains(at("2026-11-27T23:00:00Z")));
        assert!(night.contains(at("2026-11-28T01:59:00Z")));
        assert!(!night.contains(at("2026-11-28T02:00:00Z")));
        assert!(!night.contains(at("2026-11-28T23:00:00Z")));
        assert!(!night.contains(at("2026-11-27T01:00:00Z")));
    }

    fn facts(headers: Option<&dyn Headers>) -> Facts<'_> {
        Facts {
            method: None,
            host: None,
            headers,
            route: None,
            port: None,
            sni: None,
            source_ip: None,
            now: Timestamp::UNIX_EPOCH,
            effort: Effort::of(1_000),
        }
    }

    #[test]
    fn header_with_mixed_values_is_unknown() {
        let condition = HeaderCondition {
            name: "x-env".into(),
            test: HeaderTest::Is("prod".into()),
        };
        let verdict = |headers: &[(&str, &str)]| condition.verdict(&facts(Some(&headers)));
        assert_eq!(verdict(&[("x-env", "prod")]), Verdict::Yes);
        assert_eq!(verdict(&[("x-env", "prod"), ("x-env", "prod")]), Verdict::Yes);
        assert_eq!(verdict(&[("x-env", "prod"), ("x-env", "test")]), Verdict::Unknown);
        assert_eq!(verdict(&[("x-env", "prod, test")]), Verdict::Unknown);
        assert_eq!(verdict(&[("x-env", "dev, test")]), Verdict::No);
        assert_eq!(verdict(&[]), Verdict::No);
        assert_eq!(condition.verdict(&facts(None)), Verdict::Unknown);
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
