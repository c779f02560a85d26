//! Which version of the document is at work: as it is shown, and as a gauge for each that has been.
//!
//! `svidgate.policy_info.VERSION` is 1 while a listener of this proxy has a document of that version, and 0 when none
//! has any more. A gauge cannot be taken away, and a fleet is given a new version with every change of its rules, so a
//! worker names [`MOST_VERSIONS`] of them and counts what comes after as [`OTHER`].

use std::collections::{BTreeMap, BTreeSet};

use crate::proxy::Proxy;

/// Most versions with a gauge of their own, for as long as a worker lives. Our decision: a month of two a day.
pub const MOST_VERSIONS: usize = 64;
/// The name of all that come after.
pub const OTHER: &str = "other";
/// The name of a document without a version.
pub const NONE: &str = "none";

/// The version of a document as records and metrics have it: nothing in it needs escaping, in JSON or in a label. A
/// byte that would is shown as `?`.
pub fn shown(version: &str) -> Box<str> {
    let shown = |byte: u8| match byte {
        b'"' | b'\\' => '?',
        b' '..=b'~' => char::from(byte),
        _ => '?',
    };
    version.bytes().map(shown).collect()
}

/// The gauges of one worker.
#[derive(Debug, Default)]
pub struct Versions {
    gauges: BTreeMap<Box<str>, u32>,
    /// What the gauges say is at work.
    told: BTreeSet<Box<str>>,
}

impl Versions {
    /// Writes what has changed since the last look. `running` are the versions at work, as [`shown`] gives them.
    ///
    /// Every worker writes, and each only its changes: all of them come to the same documents, so that what any of them
    /// writes last is so.
    pub fn update<'v, P: Proxy>(&mut self, proxy: &P, running: impl Iterator<Item = &'v str>) {
        let running = self.named(running);
        if running == self.told {
            return;
        }
        let gone = self.told.difference(&running).map(|version| (version, 0));
        let new = running.difference(&self.told).map(|version| (version, 1));
        for (version, value) in gone.chain(new) {
            let known = self.gauges.get(version).copied();
            let defined = || proxy.define_gauge(&format!("svidgate.policy_info.{version}")).ok();
            let Some(gauge) = known.or_else(defined) else {
                // Looked at again on the next tick.
                return;
            };
            self.gauges.insert(version.clone(), gauge);
            // A proxy that cannot take it has the log.
            let _ = proxy.set_gauge(gauge, value);
        }
        self.told = running;
    }

    fn named<'v>(&self, running: impl Iterator<Item = &'v str>) -> BTreeSet<Box<str>> {
        let mut named = BTreeSet::new();
        let mut room = MOST_VERSIONS.saturating_sub(self.gauges.len());
        for version in running {
            let version = if version.is_empty() { NONE } else { version };
            if self.gauges.contains_key(version) || named.contains(version) {
                named.insert(version.into());
            } else if room > 0 {
                room = room.saturating_sub(1);
                named.insert(version.into());
            } else {
                named.insert(OTHER.into());
            }
        }
        named
    }
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn version_is_shown_without_anything_that_needs_escaping() {
        assert_eq!(&*shown("2026-11-22.1 (shop)"), "2026-11-22.1 (shop)");
        assert_eq!(&*shown("a\"b\\c\nd\u{e9}"), "a?b?c?d??");
    }
}
