//! Warnings before it hurts: what is about to end, as gauges for alerts and as a line when a threshold is passed.
//!
//! `svidgate.trust_domain.NAME.authority_expires_seconds`, `.relationship_expires_seconds`, `.bundle_age_seconds` and
//! `svidgate.rule.NAME.expires_seconds`, `svidgate.hop.NAME.expires_seconds`, each in seconds from now, 0 when over. Looked at are the documents at work:
//! what an older one says, under which connections may drain, ends nothing any more. A worker writes those of its
//! documents that it speaks for, a few on each tick.
//!
//! A gauge cannot be taken away. One whose subject is gone says [`NO_END`] and is not written again. Every change of
//! the rules may bring new names, and the proxy keeps them all, so a worker names [`MOST_GAUGES`] of them; the worst of
//! what comes after is shown as that of [`OTHER`].

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use jiff::{SignedDuration, Timestamp};

use crate::{
    clock::is_over,
    identity::gate::{Gate, MOST_NAMES},
    proxy::{Level, Proxy},
    sources::{
        feeds::Feeds,
        fetched::Fetched,
        key::{Kind, SourceKey},
    },
};

/// How often the gauges are gathered anew.
const PERIOD: SignedDuration = SignedDuration::from_secs(10);
/// Most gauges that are written in one tick: each is a call.
const MOST_WRITTEN: usize = 100;
/// Most gauges of ages and ends that one worker ever names, for as long as its VM lives. Our decision: all that one
/// document may have, and a quarter more for names that change.
pub const MOST_GAUGES: usize = 6_250;
/// The trust domain, and the rule, that all which come after are shown as.
pub const OTHER: &str = "other";
/// What a gauge says of something that does not end: a hundred years.
pub const NO_END: u64 = 3_155_760_000;

/// What is about to end.
#[derive(Debug, Default)]
pub struct Endings {
    gathered: Option<Timestamp>,
    readings: Vec<(Gauge, u64)>,
    /// The next reading to be written.
    next: usize,
    /// Every gauge that was ever named, with the proxy's number for it.
    named: BTreeMap<Gauge, u32>,
    /// Those that say something else than that their subject is gone.
    shown: BTreeSet<Gauge>,
    /// What has been announced: which end, and the threshold before it.
    announced: BTreeMap<Gauge, (Timestamp, SignedDuration)>,
    is_full: bool,
}

/// What is shown of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    Authority,
    /// How long the authority that ends last lives in all: what its end is to be compared with.
    AuthorityLife,
    Relationship,
    BundleAge,
    RevocationsAge,
    Rule,
    Hop,
}

impl Family {
    /// Where several documents, or several subjects, are shown as one: the soonest end, or the oldest word of a source.
    fn worst(self, a: u64, b: u64) -> u64 {
        match self {
            Self::Authority | Self::Relationship | Self::Rule | Self::Hop => a.min(b),
            Self::AuthorityLife | Self::BundleAge | Self::RevocationsAge => a.max(b),
        }
    }
}

/// A gauge: what of whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Gauge {
    family: Family,
    subject: Box<str>,
}

impl Gauge {
    fn new(family: Family, subject: &str) -> Self {
        Self {
            family,
            subject: subject.into(),
        }
    }

    fn other(family: Family) -> Self {
        Self::new(family, OTHER)
    }

    fn name(&self) -> String {
        let subject = &self.subject;
        match self.family {
            Family::Authority => format!("svidgate.trust_domain.{subject}.authority_expires_seconds"),
            Family::AuthorityLife => format!("svidgate.trust_domain.{subject}.authority_life_seconds"),
            Family::Relationship => format!("svidgate.trust_domain.{subject}.relationship_expires_seconds"),
            Family::BundleAge => format!("svidgate.trust_domain.{subject}.bundle_age_seconds"),
            Family::RevocationsAge => "svidgate.revocations.age_seconds".to_owned(),
            Family::Rule => format!("svidgate.rule.{subject}.expires_seconds"),
            Family::Hop => format!("svidgate.hop.{subject}.expires_seconds"),
        }
    }

    /// Whether there is one of it, however many documents come.
    fn is_always_there(&self) -> bool {
        self.family == Family::RevocationsAge || &*self.subject == OTHER
    }
}

/// Something that ends.
struct Ending {
    what: String,
    at: Timestamp,
    /// How long before that it is announced at most.
    most_before: SignedDuration,
}

/// The last of a trust domain's authorities is announced when no more than this part of its life is left. Issuers make
/// the next one after half of it (SPIRE), so that whoever has a `ca_ttl` of a day is not warned for ever.
const LAST_PART_OF_A_LIFE: i32 = 4;

impl Ending {
    fn any_time_before(what: String, at: Timestamp) -> Self {
        Self {
            what,
            at,
            most_before: SignedDuration::MAX,
        }
    }
}

impl Endings {
    /// Gathers where it is time, and writes some of it. `told` are the documents at work that this worker speaks for,
    /// `untold` those that another does.
    pub fn update<P: Proxy>(
        &mut self,
        proxy: &P,
        told: &[Rc<Gate>],
        untold: &[Rc<Gate>],
        feeds: &Feeds,
        now: Timestamp,
    ) {
        if told.is_empty() && self.shown.is_empty() {
            return;
        }
        let is_time = self.gathered.is_none_or(|gathered| is_over(PERIOD, gathered, now));
        if is_time && self.next >= self.readings.len() {
            self.gathered = Some(now);
            self.gather(proxy, told, untold, feeds, now);
        }
        let end = self.next.saturating_add(MOST_WRITTEN).min(self.readings.len());
        for (gauge, seconds) in self.readings.get(self.next..end).unwrap_or_default() {
            let known = self.named.get(gauge).copied();
            let Some(number) = known.or_else(|| proxy.define_gauge(&gauge.name()).ok()) else {
                continue;
            };
            if known.is_none() {
                self.named.insert(gauge.clone(), number);
            }
            // A proxy that cannot take it has the log.
            let _ = proxy.set_gauge(number, *seconds);
        }
        self.next = end;
    }

    fn gather<P: Proxy>(&mut self, proxy: &P, told: &[Rc<Gate>], untold: &[Rc<Gate>], feeds: &Feeds, now: Timestamp) {
        let mut readings: BTreeMap<Gauge, u64> = BTreeMap::new();
        let mut soonest: BTreeMap<Gauge, (Ending, &Gate)> = BTreeMap::new();
        for gate in told {
            for (gauge, age) in ages(gate, feeds, now) {
                show(&mut readings, gauge, age);
            }
            for (gauge, life) in lives(gate) {
                show(&mut readings, gauge, life);
            }
            for (gauge, ending) in endings(gate) {
                show(&mut readings, gauge.clone(), seconds_until(ending.at, now));
                let known = soonest.get(&gauge);
                if known.is_none_or(|(known, _)| ending.at < known.at) {
                    soonest.insert(gauge, (ending, gate));
                }
            }
        }
        self.announced.retain(|gauge, _| soonest.contains_key(gauge));
        for (gauge, (ending, gate)) in soonest {
            self.announce(proxy, gate, gauge, &ending, now);
        }
        let readings = self.bounded(proxy, readings);
        let elsewhere: BTreeSet<Gauge> = untold
            .iter()
            .flat_map(|gate| {
                let ages = ages(gate, feeds, now).into_iter().map(|(gauge, _)| gauge);
                let lives = lives(gate).into_iter().map(|(gauge, _)| gauge);
                ages.chain(lives)
                    .chain(endings(gate).into_iter().map(|(gauge, _)| gauge))
            })
            .collect();
        let is_at_work = |gauge: &Gauge| readings.contains_key(gauge) || elsewhere.contains(gauge);
        let (mut shown, gone): (BTreeSet<Gauge>, BTreeSet<Gauge>) =
            std::mem::take(&mut self.shown).into_iter().partition(is_at_work);
        shown.extend(readings.keys().cloned());
        self.shown = shown;
        let gone = gone.into_iter().map(|gauge| (gauge, NO_END));
        self.readings = readings.into_iter().chain(gone).collect();
        self.next = 0;
    }

    /// The readings under names that there is room for.
    fn bounded<P: Proxy>(&mut self, proxy: &P, readings: BTreeMap<Gauge, u64>) -> BTreeMap<Gauge, u64> {
        let named = self.named.keys().filter(|gauge| !gauge.is_always_there()).count();
        let mut room = MOST_GAUGES.saturating_sub(named);
        let mut bounded = BTreeMap::new();
        let mut is_short = false;
        for (gauge, value) in readings {
            if gauge.is_always_there() || self.named.contains_key(&gauge) {
                show(&mut bounded, gauge, value);
            } else if room > 0 {
                // It is named before the next are gathered.
                room = room.saturating_sub(1);
                show(&mut bounded, gauge, value);
            } else {
                is_short = true;
                show(&mut bounded, Gauge::other(gauge.family), value);
            }
        }
        if is_short && !self.is_full {
            self.is_full = true;
            let line = format!(
                "svidgate: {MOST_GAUGES} gauges of ages and ends have been named; what is new is shown as that of \
                 `{OTHER}` until Envoy is started anew"
            );
            proxy.log(Level::Warn, &line);
        }
        bounded
    }

    /// One line as each threshold is passed.
    fn announce<P: Proxy>(&mut self, proxy: &P, gate: &Gate, gauge: Gauge, ending: &Ending, now: Timestamp) {
        let left = ending.at.duration_since(now);
        // The end itself is the last threshold.
        let thresholds = gate.configuration.warn_before.iter();
        let passed = thresholds
            .map(|before| ending.most_before.min(*before))
            .chain([SignedDuration::ZERO])
            .filter(|before| left <= *before);
        // Of several that are passed at once, the shortest tells most.
        let Some(threshold) = passed.min() else {
            // It has been renewed: the next end is announced again.
            self.announced.remove(&gauge);
            return;
        };
        let known = self.announced.insert(gauge, (ending.at, threshold));
        if known.is_none_or(|(at, before)| at != ending.at || threshold < before) {
            let line = if threshold.is_zero() {
                format!("svidgate: {} ended at {}", ending.what, ending.at)
            } else {
                format!("svidgate: {} ends at {}, in {}", ending.what, ending.at, rounded(left))
            };
            proxy.log(Level::Warn, &line);
        }
    }
}

fn show(readings: &mut BTreeMap<Gauge, u64>, gauge: Gauge, value: u64) {
    let family = gauge.family;
    let known = readings.entry(gauge).or_insert(value);
    *known = family.worst(*known, value);
}

fn seconds_until(end: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(end.duration_since(now).as_secs()).unwrap_or_default()
}

/// How long ago each bundle's source has spoken.
fn ages(gate: &Gate, feeds: &Feeds, now: Timestamp) -> Vec<(Gauge, u64)> {
    let configuration = &gate.configuration;
    let named = configuration
        .relationships
        .iter()
        .take(MOST_NAMES)
        .filter_map(|relationship| {
            let name = &relationship.trust_domain;
            let source = configuration.source_of(name)?;
            Some((
                Gauge::new(Family::BundleAge, name.as_str()),
                SourceKey::of_bundles(source),
            ))
        });
    let list = configuration.revocations.iter().map(|revocations| {
        let gauge = Gauge::new(Family::RevocationsAge, "");
        (gauge, SourceKey::new(Kind::Revocations, &revocations.source))
    });
    named
        .chain(list)
        .filter_map(|(gauge, key)| {
            let feed = feeds.feed(key)?;
            let left_behind = match feed.fetched() {
                Some(Fetched::WorkloadApi { message, .. }) => message.since(&gauge.subject),
                Some(Fetched::Bundle(_) | Fetched::Revocations(_) | Fetched::JwtBundles(_)) | None => None,
            };
            let age = now.duration_since(left_behind.unwrap_or(feed.as_of())).as_secs();
            Some((gauge, u64::try_from(age).unwrap_or_default()))
        })
        .collect()
}

/// How long the authority that ends last lives, of each trust domain.
fn lives(gate: &Gate) -> Vec<(Gauge, u64)> {
    let trusted = gate.trusted();
    let relationships = gate.configuration.relationships.iter().take(MOST_NAMES);
    relationships
        .filter_map(|relationship| {
            let name = &relationship.trust_domain;
            let (begins, ends) = trusted.bundles().bundle(name)?.last_authority()?;
            Some((
                Gauge::new(Family::AuthorityLife, name.as_str()),
                seconds_until(ends, begins),
            ))
        })
        .collect()
}

/// Everything that a document says, or was brought, that ends.
fn endings(gate: &Gate) -> Vec<(Gauge, Ending)> {
    let configuration = &gate.configuration;
    let mut endings = Vec::new();
    let trusted = gate.trusted();
    for relationship in configuration.relationships.iter().take(MOST_NAMES) {
        let name = &relationship.trust_domain;
        if let Some(at) = relationship.expires {
            let what = format!(
                "the relationship with `{name}`{}",
                owned_by(relationship.owner.as_ref())
            );
            let ending = Ending::any_time_before(what, at);
            endings.push((Gauge::new(Family::Relationship, name.as_str()), ending));
        }
        let bundle = trusted.bundles().bundle(name);
        if let Some((begins, at)) = bundle.and_then(|bundle| bundle.last_authority()) {
            let what = format!("the last authority of `{name}`");
            let life = at.duration_since(begins);
            let most_before = life.checked_div(LAST_PART_OF_A_LIFE).unwrap_or(life);
            let ending = Ending { what, at, most_before };
            endings.push((Gauge::new(Family::Authority, name.as_str()), ending));
        }
    }
    endings.extend(gate.ending_rules().iter().map(|(at, name)| {
        let what = format!("rule `{name}`");
        (Gauge::new(Family::Rule, name), Ending::any_time_before(what, *at))
    }));
    for hop in configuration.rules.hops() {
        if let Some(at) = hop.expires {
            let what = format!("hop `{}`{}", hop.name, owned_by(hop.owner.as_ref()));
            endings.push((Gauge::new(Family::Hop, &hop.name), Ending::any_time_before(what, at)));
        }
    }
    endings
}

fn owned_by(owner: Option<&String>) -> String {
    owner.map(|owner| format!(" (owner: {owner})")).unwrap_or_default()
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
