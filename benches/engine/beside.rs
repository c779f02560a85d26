//! Decisions of four engines on the same rules and the same requests.
//!
//! An engine that cannot load the rules and answer once within [`PATIENCE`] is left out, and the record says so.
//! Whether it can is tried in a process of its own, which can be ended.

use std::{
    env,
    hint::black_box,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use criterion::{BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, measurement::WallTime};
use engine::{
    Engine,
    casbin::{Casbin, CasbinCached},
    cedar::Cedar,
    rego::{Rego, RegoMachine},
    svidgate::{Svidgate, Unspecialised},
    workload::{SIZES, Workload, routes, usual},
};

/// How long an engine may take to load and answer once.
const PATIENCE: Duration = Duration::from_secs(60);

/// The workloads, by the names of their groups.
pub(crate) const USUAL: &str = "beside: usual rules";
pub(crate) const ROUTES: &str = "beside: routes under one prefix";
/// Both of them.
const WORKLOADS: [&str; 2] = [USUAL, ROUTES];

fn workload(name: &str, size: usize) -> Workload {
    if name == USUAL { usual(size) } else { routes(size) }
}

/// What one engine did with one workload before it was measured.
pub(crate) struct Tried {
    pub(crate) workload: &'static str,
    pub(crate) size: usize,
    pub(crate) engine: &'static str,
    /// From rules to the first answer, their text written and read; `None` where it took longer than [`PATIENCE`].
    pub(crate) ready: Option<Duration>,
}

pub(crate) fn run(criterion: &mut Criterion) -> Vec<Tried> {
    let mut tried = Vec::new();
    for name in WORKLOADS {
        let mut group = criterion.benchmark_group(name);
        for size in SIZES {
            measure::<Svidgate>(&mut group, name, size, &mut tried);
            measure::<Unspecialised>(&mut group, name, size, &mut tried);
            measure::<Cedar>(&mut group, name, size, &mut tried);
            measure::<Rego>(&mut group, name, size, &mut tried);
            measure::<RegoMachine>(&mut group, name, size, &mut tried);
            measure::<Casbin>(&mut group, name, size, &mut tried);
            measure::<CasbinCached>(&mut group, name, size, &mut tried);
        }
    }
    tried
}

fn measure<E: Engine>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &'static str,
    size: usize,
    tried: &mut Vec<Tried>,
) {
    // Loading what is not asked for would take minutes.
    let wanted = env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let full = format!("{name}/{}/{size}", E::NAME);
    if wanted.is_some_and(|wanted| !full.contains(&wanted)) {
        return;
    }
    let ready = Probe::spawn(name, size, E::NAME);
    tried.push(Tried {
        workload: name,
        size,
        engine: E::NAME,
        ready,
    });
    if ready.is_none() {
        return;
    }
    let workload = workload(name, size);
    let mut engine = E::load(&workload.rules);
    let prepared: Vec<E::Prepared> = workload.requests.iter().map(|asked| engine.prepare(asked)).collect();
    let once = Instant::now();
    for (asked, prepared) in workload.requests.iter().zip(&prepared) {
        assert_eq!(engine.allows(prepared), asked.allowed, "{}: {asked:?}", E::NAME);
    }
    if once.elapsed() > Duration::from_millis(20) {
        group.sampling_mode(SamplingMode::Flat).sample_size(10);
    } else {
        group.sampling_mode(SamplingMode::Auto).sample_size(crate::rounds());
    }
    let mut next = prepared.iter().cycle();
    group.bench_function(BenchmarkId::new(E::NAME, size), |bencher| {
        bencher.iter(|| engine.allows(black_box(next.next().expect("it begins again"))));
    });
}

/// An attempt in a process of its own.
pub(crate) struct Probe {
    workload: String,
    size: usize,
    engine: String,
}

const PROBE: &str = "--probe";

impl Probe {
    /// What the arguments of a process ask for.
    pub(crate) fn asked_for(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        arguments.find(|argument| argument == PROBE)?;
        Some(Self {
            workload: arguments.next()?,
            size: arguments.next()?.parse().ok()?,
            engine: arguments.next()?,
        })
    }

    pub(crate) fn run(&self) {
        let workload = workload(&self.workload, self.size);
        match self.engine.as_str() {
            Svidgate::NAME => attempt::<Svidgate>(&workload),
            Unspecialised::NAME => attempt::<Unspecialised>(&workload),
            Cedar::NAME => attempt::<Cedar>(&workload),
            Rego::NAME => attempt::<Rego>(&workload),
            RegoMachine::NAME => attempt::<RegoMachine>(&workload),
            Casbin::NAME => attempt::<Casbin>(&workload),
            CasbinCached::NAME => attempt::<CasbinCached>(&workload),
            unknown => panic!("no engine is called `{unknown}`"),
        }
    }

    /// How long it took, where that is not too long.
    fn spawn(workload: &str, size: usize, engine: &str) -> Option<Duration> {
        let own = env::current_exe().expect("this program has a path");
        let mut child = Command::new(own)
            .args([PROBE, workload, &size.to_string(), engine])
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program can be started again");
        let began = Instant::now();
        while child.try_wait().expect("a child of ours").is_none() {
            if began.elapsed() > PATIENCE {
                child.kill().expect("a child of ours");
                child.wait().expect("a child of ours");
                return None;
            }
            thread::sleep(Duration::from_millis(5));
        }
        let output = child.wait_with_output().expect("a child of ours");
        assert!(output.status.success(), "{engine} failed at {size} rules");
        let nanos = String::from_utf8(output.stdout).expect("a number").trim().parse();
        Some(Duration::from_nanos(nanos.expect("a number")))
    }
}

fn attempt<E: Engine>(workload: &Workload) {
    let began = Instant::now();
    let mut engine = E::load(&workload.rules);
    let asked = workload.requests.first().expect("a request");
    let prepared = engine.prepare(asked);
    assert_eq!(engine.allows(&prepared), asked.allowed);
    let took = began.elapsed();
    println!("{}", took.as_nanos());
    // Taking down what was built is not part of it.
    std::process::exit(0);
}
