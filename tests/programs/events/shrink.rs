//! Makes a script that finds something shorter, as long as it finds the same.
//!
//! Whole runs of events are left out first, then single ones, then numbers get smaller. Each try starts an Envoy of its
//! own, so tries are counted.

use std::time::Instant;

use crate::play::play;
use crate::script::{Event, Script};
use crate::watch::Finding;

/// Most tries.
const TRIES: usize = 60;

/// What has come of shrinking.
pub(crate) struct Shrunk {
    pub(crate) script: Script,
    /// What the shortest one found; `None` where nothing was found a second time.
    pub(crate) finding: Option<Finding>,
    pub(crate) tries: usize,
}

/// Shortens a script, until `end` at the latest. `played` is how many of its events had been played to their end.
pub(crate) async fn shrink(mut script: Script, played: usize, wanted: &Finding, end: Instant) -> Shrunk {
    script.events.truncate(played + 1);
    let mut shrunk = Shrunk {
        script,
        finding: None,
        tries: 0,
    };
    // Twice, for what depends on the moment.
    let as_it_is = shrunk.script.clone();
    for _ in 0..2 {
        if shrunk.finding.is_none() {
            shrunk.attempt(as_it_is.clone(), wanted, end).await;
        }
    }
    if shrunk.finding.is_none() {
        return shrunk;
    }
    shrunk.without_connections(wanted, end).await;
    let mut size = shrunk.script.events.len() / 2;
    while size > 0 {
        // From the end, where most is of no account any more.
        let mut start = shrunk.script.events.len();
        while start > 0 {
            start = start.saturating_sub(size);
            let mut shorter = shrunk.script.clone();
            let last = (start + size).min(shorter.events.len());
            shorter.events.drain(start..last);
            shrunk.attempt(shorter, wanted, end).await;
            start = start.min(shrunk.script.events.len());
        }
        size /= 2;
    }
    for place in 0..shrunk.script.events.len() {
        let mut smaller = shrunk.script.clone();
        if let Some(Event::Ask { count, .. }) = smaller.events.get_mut(place)
            && *count > 2
        {
            *count = 2;
            shrunk.attempt(smaller, wanted, end).await;
        }
    }
    shrunk
}

impl Shrunk {
    /// Tries with one connection alone, then without each, the last ones first.
    async fn without_connections(&mut self, wanted: &Finding, end: Instant) {
        let mut all: Vec<u64> = self.script.events.iter().filter_map(Event::connection).collect();
        all.sort_unstable();
        all.dedup();
        all.reverse();
        for alone in &all {
            let before = self.script.events.len();
            self.attempt(only(&self.script, |connection| connection == *alone), wanted, end)
                .await;
            if self.script.events.len() < before {
                return;
            }
        }
        for without in &all {
            self.attempt(only(&self.script, |connection| connection != *without), wanted, end)
                .await;
        }
    }

    /// Takes a script if it finds the same.
    async fn attempt(&mut self, script: Script, wanted: &Finding, end: Instant) {
        let is_known = self.finding.is_some() && script == self.script;
        if is_known || self.tries >= TRIES || Instant::now() > end {
            return;
        }
        self.tries += 1;
        if let Ok(outcome) = play(&script).await
            && let Some(finding) = outcome.finding
            && finding.is_like(wanted)
        {
            self.script = script;
            self.finding = Some(finding);
        }
    }
}

/// A script with the events of some connections only, and those of none.
fn only(script: &Script, which: impl Fn(u64) -> bool) -> Script {
    let mut script = script.clone();
    script.events.retain(|event| event.connection().is_none_or(&which));
    script
}
