//! What a decision costs at the largest number of rules, in terms of what it costs at the smallest.
//!
//! Criterion measures one after the other, so that a busy neighbour makes one of them look slow. Here they take turns.

use std::{hint::black_box, time::Instant};

use engine::{
    Engine as _,
    svidgate::{Prepared, Svidgate},
    workload::{SIZES, Workload, routes, usual},
};

/// Medians over rounds.
pub(crate) struct Growth {
    pub(crate) workload: &'static str,
    /// The median of the ratios of each round.
    pub(crate) ratio: f64,
}

const DECISIONS: usize = 20_000;

/// Makes a workload of so many rules.
type MakeWorkload = fn(usize) -> Workload;

pub(crate) fn measure(rounds: usize) -> Vec<Growth> {
    let [smallest, _, largest] = SIZES;
    let workloads: [(&str, MakeWorkload); 2] = [("usual: ten rules", usual), ("routes under one prefix", routes)];
    let measured = workloads.map(|(workload, make)| {
        let (mut small, mut large) = (Deciding::new(&make(smallest)), Deciding::new(&make(largest)));
        let mut ratios: Vec<f64> = (0..rounds)
            .map(|_| {
                let smallest = small.nanos();
                large.nanos() / smallest
            })
            .collect();
        ratios.sort_by(f64::total_cmp);
        Growth {
            workload,
            ratio: ratios[ratios.len() / 2],
        }
    });
    measured.into()
}

struct Deciding {
    engine: Svidgate,
    prepared: Vec<Prepared>,
}

impl Deciding {
    fn new(workload: &Workload) -> Self {
        let engine = Svidgate::load(&workload.rules);
        let prepared = workload.requests.iter().map(|asked| engine.prepare(asked)).collect();
        Self { engine, prepared }
    }

    fn nanos(&mut self) -> f64 {
        let began = Instant::now();
        for prepared in self.prepared.iter().cycle().take(DECISIONS) {
            black_box(self.engine.allows(black_box(prepared)));
        }
        began.elapsed().as_secs_f64() * 1e9
    }
}
