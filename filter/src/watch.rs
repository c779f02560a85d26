//! Warnings before it hurts: what is about to end, as gauges for alerts and as a line when a threshold is passed.
//!
//! `svidgate.trust_domain.NAME.authority_expires_seconds`, `.relationship_expires_seconds`, `.bundle_age_seconds` and
//! `svidgate.rule.NAME.expires_seconds`, each in seconds from now, 0 when over. The worker that fetches writes them, a
//! few on each tick. A gauge cannot be taken away; one whose subject is gone says [`NO_END`].

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use jiff::{SignedDuration, Timestamp};

use crate::{
    authorities::Authorities,
    gate::Gate,
    host::{Host, Level},
    shared::{Kind, SourceKey},
};

/// How often the gauges are gathered anew.
const PERIOD: SignedDuration = SignedDuration::from_secs(10);
/// Most gauges that are written in one tick: each is a call.
const MOST_WRITTEN: usize = 100;
/// Most trust domains with gauges, and most rules: those that end first. Our decision: a metric has a name for each.
pub const MOST_NAMES: usize = 1_000;
/// What a gauge says of something that does not end: a hundred years.
pub const NO_END: u64 = 3_155_760_000;

/// What is about to end.
#[derive(Debug, Default)]
pub struct Watch {
    gathered: Option<Timestamp>,
    readings: Vec<Reading>,
    /// The next reading to be written.
    next: usize,
    gauges: BTreeMap<String, u32>,
    /// What has been announced, and for which threshold in seconds.
    announced: BTreeSet<(String, i64)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Reading {
    gauge: String,
    seconds: u64,
}

/// Something that ends.
struct Ending {
    gauge: String,
    what: String,
    at: Timestamp,
}

impl Watch {
    /// Gathers where it is time, and writes some of it.
    pub fn look<'g, H: Host>(
        &mut self,
        host: &H,
        gates: impl Iterator<Item = &'g Rc<Gate>>,
        authorities: &Authorities,
        now: Timestamp,
    ) {
        let since = self.gathered.map(|gathered| now.duration_since(gathered));
        if since.is_none_or(|since| since.is_negative() || since >= PERIOD) && self.next >= self.readings.len() {
            self.gathered = Some(now);
            self.gather(host, gates, authorities, now);
        }
        let end = self.next.saturating_add(MOST_WRITTEN).min(self.readings.len());
        for reading in self.readings.get(self.next..end).unwrap_or_default() {
            let known = self.gauges.get(&reading.gauge).copied();
            let Some(gauge) = known.or_else(|| host.define_gauge(&reading.gauge).ok()) else {
                continue;
            };
            self.gauges.insert(reading.gauge.clone(), gauge);
            // A proxy that cannot take it has the log.
            let _ = host.set_gauge(gauge, reading.seconds);
        }
        self.next = end;
    }

    fn gather<'g, H: Host>(
        &mut self,
        host: &H,
        gates: impl Iterator<Item = &'g Rc<Gate>>,
        authorities: &Authorities,
        now: Timestamp,
    ) {
        let mut readings: BTreeMap<String, u64> = BTreeMap::new();
        let mut soonest = |gauge: String, seconds: u64| {
            let known = readings.entry(gauge).or_insert(seconds);
            *known = (*known).min(seconds);
        };
        for gate in gates {
            for (gauge, age) in ages(gate, authorities, now) {
                soonest(gauge, age);
            }
            for ending in endings(gate, now) {
                soonest(ending.gauge.clone(), seconds_until(ending.at, now));
                self.announce(host, gate, &ending, now);
            }
        }
        // What was shown before and is gone.
        let gone = self.gauges.keys().filter(|gauge| !readings.contains_key(*gauge));
        let gone: Vec<Reading> = gone
            .map(|gauge| Reading {
                gauge: gauge.clone(),
                seconds: NO_END,
            })
            .collect();
        self.readings = readings
            .into_iter()
            .map(|(gauge, seconds)| Reading { gauge, seconds })
            .chain(gone)
            .collect();
        self.next = 0;
    }

    /// One line as each threshold is passed.
    fn announce<H: Host>(&mut self, host: &H, gate: &Gate, ending: &Ending, now: Timestamp) {
        let left = ending.at.duration_since(now);
        // The end itself is the last threshold.
        let thresholds = gate.configuration.warn_before.iter().copied();
        let passed = thresholds
            .chain([SignedDuration::ZERO])
            .filter(|before| left <= *before);
        // Of several that are passed at once, the shortest tells most.
        let Some(threshold) = passed.min() else {
            // It has been renewed: the next end is announced again.
            self.announced.retain(|(what, _)| *what != ending.what);
            return;
        };
        if self.announced.insert((ending.what.clone(), threshold.as_secs())) {
            let line = if threshold.is_zero() {
                format!("svidgate: {} ended at {}", ending.what, ending.at)
            } else {
                format!("svidgate: {} ends at {}, in {}", ending.what, ending.at, rounded(left))
            };
            host.log(Level::Warn, &line);
        }
    }
}

fn seconds_until(end: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(end.duration_since(now).as_secs()).unwrap_or_default()
}

/// How long ago each bundle's source has spoken.
fn ages(gate: &Gate, authorities: &Authorities, now: Timestamp) -> Vec<(String, u64)> {
    let configuration = &gate.configuration;
    let named = configuration
        .relationships
        .iter()
        .take(MOST_NAMES)
        .filter_map(|relationship| {
            let name = &relationship.trust_domain;
            let endpoint = configuration.endpoints.get(name).map(|source| (Kind::Bundle, source));
            let workload_api = configuration
                .workload_api
                .as_ref()
                .map(|source| (Kind::WorkloadApi, source));
            let (kind, source) = endpoint.or(workload_api)?;
            Some((format!("svidgate.trust_domain.{name}.bundle_age_seconds"), kind, source))
        });
    let list = configuration.revocations.iter().map(|revocations| {
        let gauge = "svidgate.revocations.age_seconds".to_owned();
        (gauge, Kind::Revocations, &revocations.source)
    });
    named
        .chain(list)
        .filter_map(|(gauge, kind, source)| {
            let feed = authorities.feed(SourceKey::new(kind, source))?;
            let age = now.duration_since(feed.as_of()).as_secs();
            Some((gauge, u64::try_from(age).unwrap_or_default()))
        })
        .collect()
}

/// Everything that a document says, or was brought, that ends.
fn endings(gate: &Gate, now: Timestamp) -> Vec<Ending> {
    let configuration = &gate.configuration;
    let mut endings = Vec::new();
    let trusted = gate.trusted();
    for relationship in configuration.relationships.iter().take(MOST_NAMES) {
        let name = &relationship.trust_domain;
        if let Some(at) = relationship.expires {
            let owner = relationship.owner.as_ref().map(|owner| format!(" (owner: {owner})"));
            endings.push(Ending {
                gauge: format!("svidgate.trust_domain.{name}.relationship_expires_seconds"),
                what: format!("the relationship with `{name}`{}", owner.unwrap_or_default()),
                at,
            });
        }
        if let Some(at) = trusted
            .bundles()
            .bundle(name)
            .and_then(|bundle| bundle.next_expiry(now))
        {
            endings.push(Ending {
                gauge: format!("svidgate.trust_domain.{name}.authority_expires_seconds"),
                what: format!("an authority of `{name}`"),
                at,
            });
        }
    }
    endings.extend(gate.ending_rules().iter().map(|(at, name)| Ending {
        gauge: format!("svidgate.rule.{name}.expires_seconds"),
        what: format!("rule `{name}`"),
        at: *at,
    }));
    endings
}

/// A duration as people say it.
fn rounded(duration: SignedDuration) -> String {
    let hours = duration.as_hours();
    match hours {
        0 => format!("{} min", duration.as_mins()),
        1..=47 => format!("{hours} h"),
        _ => format!("{} days", hours / 24),
    }
}
