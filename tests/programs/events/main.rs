//! `make fuzz-events`: random orders of events against a real Envoy with the module in it.
//!
//! Each episode starts one Envoy and plays a script of events on it: connections, requests, updates of documents, ends
//! of what was granted. A model that shares nothing with the module knows what is allowed at each moment. What
//! contradicts it, and a process that ends, is a finding; its script is made shorter, and printed so that it can be
//! played again.
//!
//! The variables of the environment: `EVENTS_SECONDS` (60), `SEED`, `SCRIPT` (a file to play, and nothing else),
//! `EPISODE` (one of the seed's own to play, and nothing else), `NO_SEEDS=1` (without the fixed scripts that come
//! first), `FIRST=1` (stop at the first finding), `LANES` (3 at a time).

mod document;
mod generate;
mod oracle;
mod peer;
mod play;
mod random;
mod run;
mod script;
mod seeds;
mod shrink;
mod stage;
mod stream;
mod valve;
mod watch;
mod words;

use std::env;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use run::Options;

fn main() -> ExitCode {
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let is_set = |name: &str| env::var(name).is_ok_and(|value| !value.is_empty() && value != "0");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let options = Options {
        span: Duration::from_secs(number("EVENTS_SECONDS").unwrap_or(60)),
        seed: number("SEED").unwrap_or(now.as_secs()),
        with_seeds: !is_set("NO_SEEDS"),
        stops_at_first: is_set("FIRST"),
        lanes: number("LANES").unwrap_or(3).max(1),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let is_good = match env::var("SCRIPT") {
        Ok(path) if !path.is_empty() => runtime.block_on(run::one(&path)),
        _ => match number("EPISODE") {
            Some(episode) => runtime.block_on(run::alone(&generate::script(options.seed, episode))),
            None => runtime.block_on(run::all(options)),
        },
    };
    // What still waits for an Envoy that is gone is not waited for.
    runtime.shutdown_timeout(Duration::from_secs(2));
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
