//! Every step from a certificate to a decision, by itself.

use std::{hint::black_box, time::Duration};

use criterion::{BenchmarkGroup, Criterion, SamplingMode, measurement::WallTime};
use engine::{
    Engine as _,
    svidgate::{self, BEST, Chain, Keys, MAX_SANS, Prepared, Svidgate, pattern_request, patterns},
    workload::{Asked, SIZES, TRUST_DOMAIN, requests_of_service, routes, service, usual},
};

pub(crate) fn run(criterion: &mut Criterion) {
    ids(criterion);
    leaves(criterion);
    chains(criterion);
    compile(criterion);
    specialise(criterion);
    decide(criterion);
}

type Group<'c> = BenchmarkGroup<'c, WallTime>;

fn ids(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse id");
    let longest = format!("{TRUST_DOMAIN}{}", "/a".repeat((2_048 - TRUST_DOMAIN.len()) / 2));
    for (case, id) in [
        ("best", "spiffe://a/b"),
        ("usual", &service(7)),
        ("worst, 2,048 bytes", &longest),
    ] {
        group.bench_function(case, |bencher| bencher.iter(|| svidgate::parse_id(black_box(id))));
    }
}

fn leaves(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("leaf profile");
    for (case, dns_names) in [("usual", 1), ("worst, 128 SANs", MAX_SANS - 1)] {
        let leaf = svidgate::leaf(dns_names);
        group.bench_function(case, |bencher| {
            bencher.iter(|| drop(black_box(svidgate::read_leaf(black_box(&leaf)))));
        });
    }
}

fn chains(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("verify");
    for (name, keys) in [("P-256", Keys::P256), ("RSA-2048", Keys::Rsa2048)] {
        for (how, with_intermediate) in [("leaf alone", false), ("with an intermediate", true)] {
            let chain = Chain::new(keys, with_intermediate);
            group.bench_function(format!("{name}, {how}"), |bencher| bencher.iter(|| chain.verify()));
        }
    }
}

fn compile(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compile");
    for size in SIZES {
        for (case, workload) in [("usual", usual(size)), ("routes under one prefix", routes(size))] {
            let document = svidgate::document(&workload.rules);
            sized(&mut group, size);
            group.bench_function(criterion::BenchmarkId::new(case, size), |bencher| {
                bencher.iter_with_large_drop(|| svidgate::compile(black_box(&document)));
            });
        }
    }
}

/// A hundred thousand rules at once take long enough to be measured one by one.
fn sized(group: &mut Group<'_>, size: usize) {
    if size >= 100_000 {
        group
            .sampling_mode(SamplingMode::Flat)
            .sample_size(10)
            .measurement_time(Duration::from_secs(5));
    }
}

fn specialise(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("specialise");
    for size in SIZES {
        let rules = usual(size).rules;
        let cases = [
            ("best: one rule", svidgate::best(&rules), BEST.to_owned()),
            ("usual: ten rules", Svidgate::load(&rules), service(size / 20)),
            (
                "no rule at all",
                Svidgate::load(&rules),
                format!("{TRUST_DOMAIN}/ns/none/sa/api"),
            ),
            (
                "worst: every rule, by its pattern (too costly beyond 14,000)",
                patterns(size),
                pattern_request().id,
            ),
        ];
        for (case, engine, id) in cases {
            let svid = svidgate::svid(&id);
            group.bench_function(criterion::BenchmarkId::new(case, size), |bencher| {
                bencher.iter(|| engine.specialise(black_box(&svid)));
            });
        }
    }
}

fn decide(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide");
    for size in SIZES {
        let workload = usual(size);
        let root = Asked {
            id: BEST.to_owned(),
            method: "GET",
            path: "/".to_owned(),
            allowed: true,
        };
        one(
            &mut group,
            "best: a rule for everything",
            size,
            svidgate::best(&workload.rules),
            &[root],
        );
        one(
            &mut group,
            "usual: ten rules",
            size,
            Svidgate::load(&workload.rules),
            &workload.requests,
        );
        let requests = requests_of_many(size);
        let everyone = "usual, of 10,000 callers another each time";
        one(&mut group, everyone, size, Svidgate::load(&workload.rules), &requests);
        let workload = routes(size);
        one(
            &mut group,
            "routes under one prefix",
            size,
            Svidgate::load(&workload.rules),
            &workload.requests,
        );
        one(
            &mut group,
            "worst: every rule, by its pattern (too costly beyond 14,000)",
            size,
            patterns(size),
            &[pattern_request()],
        );
    }
}

/// Requests of as many callers as there are, ten thousand at most, in an order that no cache foresees.
fn requests_of_many(size: usize) -> Vec<Asked> {
    let services = size / 10;
    let order = (0..services).map(|number| number * 7_919 % services);
    order
        .map(|number| requests_of_service(number).swap_remove(number % 5))
        .collect()
}

fn one(group: &mut Group<'_>, case: &str, size: usize, mut engine: Svidgate, requests: &[Asked]) {
    let prepared: Vec<Prepared> = requests.iter().map(|asked| engine.prepare(asked)).collect();
    let mut next = prepared.iter().cycle();
    group.bench_function(criterion::BenchmarkId::new(case, size), |bencher| {
        bencher.iter(|| engine.allows(black_box(next.next().expect("it begins again"))));
    });
}
