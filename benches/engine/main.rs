//! `make bench`: every step of the engine by itself, decisions beside other engines, a table and a record.
//!
//! Criterion measures; `ROUNDS` is how many samples it takes of each case (10 to 1,000, 50 where nothing is said).
//! Arguments are Criterion's: `cargo bench -p svidgate-benches -- specialise` runs what has that word in its name, and
//! writes no record.

mod beside;
mod growth;
mod record;
mod steps;

use std::{env, path::PathBuf, time::Duration};

use criterion::Criterion;

/// Where Criterion leaves what it measured, apart from that of other benchmarks.
const MEASURED: &str = "engine-bench";

fn main() {
    if let Some(probe) = beside::Probe::asked_for(env::args()) {
        return probe.run();
    }
    let is_whole = env::args().skip(1).all(|argument| argument == "--bench");
    let measured = target().join(MEASURED);
    if is_whole && measured.exists() {
        std::fs::remove_dir_all(&measured).expect("what an earlier run measured can be removed");
    }
    let mut criterion = criterion(rounds()).output_directory(&measured).configure_from_args();
    steps::run(&mut criterion);
    let too_slow = beside::run(&mut criterion);
    criterion.final_summary();
    if is_whole {
        let growth = growth::measure(rounds());
        record::write(&measured, &too_slow, &growth, rounds());
    }
}

/// How often each case is measured.
fn rounds() -> usize {
    let asked = env::var("ROUNDS").ok().filter(|text| !text.is_empty());
    let rounds = asked.map_or(50, |text| text.parse().expect("ROUNDS is a number"));
    rounds.clamp(10, 1_000)
}

fn criterion(rounds: usize) -> Criterion {
    let millis = u64::try_from(rounds).expect("a thousand at most") * 20;
    Criterion::default()
        .without_plots()
        .sample_size(rounds)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(millis))
        // No comparison with the run before: on a shared machine it says nothing.
        .save_baseline("run".to_owned())
}

fn target() -> PathBuf {
    let default = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target");
    env::var_os("CARGO_TARGET_DIR").map_or(default, PathBuf::from)
}
