//! Episode after episode, some at a time, until the time is over; and what is told of it.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::generate;
use crate::play::{Outcome, play};
use crate::script::Script;
use crate::seeds::SEEDS;
use crate::shrink::{Shrunk, shrink};
use crate::stream::lock;
use crate::watch::Finding;

/// How long one finding may be made shorter.
const SHRINKING: Duration = Duration::from_secs(240);

/// What was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) span: Duration,
    pub(crate) seed: u64,
    pub(crate) with_seeds: bool,
    pub(crate) stops_at_first: bool,
    /// Episodes at a time. Most of an episode is waiting.
    pub(crate) lanes: u64,
}

struct Run {
    options: Options,
    start: Instant,
    tally: Mutex<Tally>,
}

#[derive(Default)]
struct Tally {
    next: u64,
    next_seed: usize,
    episodes: usize,
    events: usize,
    passed: usize,
    refused: usize,
    not_played: usize,
    findings: Vec<Known>,
}

struct Known {
    finding: Finding,
    times: usize,
    found: Duration,
    name: String,
}

/// Plays one script from a file. True where nothing was found.
pub(crate) async fn one(path: &str) -> bool {
    let script = fs::read_to_string(path).map_err(|error| error.to_string());
    match script.and_then(|text| text.parse::<Script>()) {
        Ok(script) => alone(&script).await,
        Err(error) => {
            eprintln!("{path}: {error}");
            false
        }
    }
}

/// Plays one script. True where nothing was found.
pub(crate) async fn alone(script: &Script) -> bool {
    print!("{script}");
    match play(script).await {
        Err(log) => {
            eprintln!("Envoy did not start: {}", end_of(&log));
            false
        }
        Ok(outcome) => {
            let Outcome {
                finding,
                events,
                passed,
                refused,
                streams,
                log,
            } = outcome;
            for stream in streams {
                println!("{stream}");
            }
            println!("fuzz-events: {events} events, {passed} streams answered 200 and {refused} otherwise");
            if let Some(finding) = &finding {
                println!("fuzz-events: FINDING: {finding}\n{log}");
            }
            finding.is_none()
        }
    }
}

/// Plays until the time is over. True where nothing was found.
pub(crate) async fn all(options: Options) -> bool {
    println!("fuzz-events: SEED={} for {} s", options.seed, options.span.as_secs());
    let run = Arc::new(Run {
        start: Instant::now(),
        tally: Mutex::default(),
        options,
    });
    let lanes: Vec<_> = (0..run.options.lanes)
        .map(|_| tokio::spawn(lane(run.clone())))
        .collect();
    for lane in lanes {
        if let Err(error) = lane.await {
            println!("fuzz-events: the harness failed: {error}");
            lock(&run.tally).not_played += 1;
        }
    }
    run.tell()
}

async fn lane(run: Arc<Run>) {
    while let Some((name, script)) = run.next() {
        match play(&script).await {
            Err(log) => {
                println!("fuzz-events: {name}: Envoy did not start: {}", end_of(&log));
                lock(&run.tally).not_played += 1;
            }
            Ok(outcome) => {
                let played = outcome.events;
                if let Some(finding) = run.note(&name, outcome) {
                    let end = Instant::now() + SHRINKING;
                    println!(
                        "fuzz-events: {name}, after {:.0?}: FINDING: {finding}; it is made shorter",
                        run.start.elapsed()
                    );
                    report(&name, &finding, &shrink(script, played, &finding, end).await);
                }
            }
        }
    }
}

impl Run {
    /// The next script with its name; none when it is time to end.
    fn next(&self) -> Option<(String, Script)> {
        let mut tally = lock(&self.tally);
        let is_over = self.start.elapsed() >= self.options.span;
        let is_enough = self.options.stops_at_first && !tally.findings.is_empty();
        if is_over || is_enough {
            return None;
        }
        if self.options.with_seeds
            && let Some((name, text)) = SEEDS.get(tally.next_seed)
        {
            tally.next_seed += 1;
            let script = text
                .parse()
                .unwrap_or_else(|error| panic!("the seed `{name}`: {error}"));
            return Some(((*name).to_owned(), script));
        }
        let episode = tally.next;
        tally.next += 1;
        let name = format!("SEED={} episode {episode}", self.options.seed);
        Some((name, generate::script(self.options.seed, episode)))
    }

    /// Notes what an episode came to. Gives a finding that is of a new kind.
    fn note(&self, name: &str, outcome: Outcome) -> Option<Finding> {
        let mut tally = lock(&self.tally);
        tally.episodes += 1;
        tally.events += outcome.events;
        tally.passed += outcome.passed;
        tally.refused += outcome.refused;
        let finding = outcome.finding?;
        if let Some(known) = tally.findings.iter_mut().find(|known| known.finding.is_like(&finding)) {
            known.times += 1;
            return None;
        }
        tally.findings.push(Known {
            finding: finding.clone(),
            times: 1,
            found: self.start.elapsed(),
            name: name.to_owned(),
        });
        Some(finding)
    }

    fn tell(&self) -> bool {
        let tally = lock(&self.tally);
        let mut times = BTreeMap::new();
        for known in &tally.findings {
            println!(
                "fuzz-events: first after {:.0?} by {}, {} times in all: {}",
                known.found, known.name, known.times, known.finding
            );
            *times.entry(known.finding.what).or_insert(0) += known.times;
        }
        println!(
            "fuzz-events: SEED={}, {:.0?}: {} episodes, {} events, {} streams answered 200 and {} otherwise, {} not \
             played, {} kinds of findings {times:?}",
            self.options.seed,
            self.start.elapsed(),
            tally.episodes,
            tally.events,
            tally.passed,
            tally.refused,
            tally.not_played,
            tally.findings.len(),
        );
        tally.findings.is_empty() && tally.not_played == 0
    }
}

fn report(name: &str, finding: &Finding, shrunk: &Shrunk) {
    let Shrunk { script, tries, .. } = shrunk;
    let found = match &shrunk.finding {
        Some(found) => format!("{found}\n# to be played again with `make fuzz-events SCRIPT=file`, {tries} tries"),
        None => format!("{finding}\n# seen once, and not again in {tries} tries"),
    };
    println!("--- {name}\n# {found}\n{script}---");
}

fn end_of(log: &str) -> String {
    let lines: Vec<&str> = log.lines().rev().take(8).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
