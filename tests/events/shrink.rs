//! Makes a script that finds something shorter, as long as it finds the same.
//!
//! Whole runs of events are left out first, then single ones, then numbers get smaller. Each try starts an Envoy of its
//! own, so tries are counted.

use std::time::Instant;

use crate::play::{Finding, play};
use crate::script::{Event, Script};

/// Most tries.
const TRIES: usize = 40;

/// What has come of shrinking.
pub(crate) struct Shrunk {
    pub(crate) script: Script,
    /// What the shortest one found; `None` where nothing was found a second time.
    pub(crate) finding: Option<Finding>,
    pub(crate) tries: usize,
}

/// Shortens a script, until `end` at the latest.
pub(crate) async fn shrink(script: Script, wanted: &Finding, end: Instant) -> Shrunk {
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
    /// Takes a script if it finds the same.
    async fn attempt(&mut self, script: Script, wanted: &Finding, end: Instant) {
        if self.tries >= TRIES || Instant::now() > end {
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
