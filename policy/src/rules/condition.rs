//! What a rule demands beside identity and path, and whether a request meets it.
//!
//! Answers have three values: see [`crate::rules::verdict`].

use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;

use crate::{
    effort::Effort,
    name::host::{HostName, HostPattern},
    rules::{
        header::{HeaderCondition, Headers},
        reading::CONNECT,
        verdict::Verdict,
    },
};

/// A request, read as far as rules look at it.
#[derive(Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) method: Option<&'a [u8]>,
    pub(crate) host: Option<HostName<'a>>,
    pub(crate) headers: Option<&'a dyn Headers>,
    pub(crate) route: Option<&'a [u8]>,
    pub(crate) port: Option<u16>,
    pub(crate) sni: Option<HostName<'a>>,
    pub(crate) source_ip: Option<IpAddr>,
    pub(crate) now: Timestamp,
    /// Whether the path has an encoded slash, so that this is one of its two readings.
    pub(crate) has_encoded_slash: bool,
    /// Whether the request opens a tunnel, inside which methods, hosts and headers are not known.
    pub(crate) is_tunnel: bool,
    /// What the decision may still cost.
    pub(crate) effort: &'a Effort,
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
    /// No demand: whether it opens paths with an encoded slash, too.
    pub(crate) encoded_slashes: bool,
}

/// Conditions that hold for the rule as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
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
            self.method(facts),
            among(self.routes.as_deref(), facts.route, |wanted, found| {
                wanted.as_bytes() == found
            }),
            port(self.ports.as_deref(), facts.port),
            self.host(facts),
            among(self.sni.as_deref(), facts.sni, HostPattern::matches),
        ];
        Verdict::all(listed.into_iter())
    }

    /// A tunnel is opened by naming its method; whatever else is said of methods, or is not, may be so inside or not.
    fn method(&self, facts: &Facts<'_>) -> Verdict {
        let methods = self.methods.as_deref();
        if !facts.is_tunnel {
            return method(methods, facts.method);
        }
        let is_named = methods.is_some_and(|methods| methods.iter().any(|method| method.as_bytes() == CONNECT));
        Verdict::from_known(is_named.then_some(true))
    }

    /// The host of a tunnel is where it leads to; inside, there may be others.
    fn host(&self, facts: &Facts<'_>) -> Verdict {
        match among(self.hosts.as_deref(), facts.host, HostPattern::matches) {
            Verdict::No if facts.is_tunnel => Verdict::Unknown,
            verdict @ (Verdict::Yes | Verdict::No | Verdict::Unknown) => verdict,
        }
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
        // Of what is inside a tunnel no header is known.
        let known = facts.headers.filter(|_| !facts.is_tunnel);
        let header = |condition: &HeaderCondition| condition.verdict(known, facts.effort);
        let headers = self.headers.iter().map(header);
        let not_headers = self.not_headers.iter().map(|condition| header(condition).not());
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

/// Methods are case-sensitive (RFC 9110 9.1), but not every upstream knows: whether `delete` is `DELETE` there is
/// unknown.
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

/// Minutes in a day.
pub(crate) const DAY_MINUTES: u16 = 24 * 60;

/// A part of the week, in UTC. One that ends before it begins goes over midnight and belongs to the day it begins on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TimeWindow {
    /// Monday first.
    pub(crate) days: [bool; 7],
    /// Minute of the day, inclusive.
    pub(crate) from: u16,
    /// Minute of the day, exclusive.
    pub(crate) until: u16,
}

impl TimeWindow {
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
}
