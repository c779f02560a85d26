//! Deciding takes no memory, at any number of rules.

use engine::{
    Engine as _,
    svidgate::{Svidgate, pattern_request, patterns},
    workload::{SIZES, routes, usual},
};

fn allocations(act: impl FnOnce()) -> u64 {
    allocation_counter::measure(act).count_total
}

#[test]
fn counter_sees_an_allocation() {
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![1]))), 1);
}

#[test]
fn decide_and_admit_allocate_nothing() {
    for size in SIZES {
        for workload in [usual(size), routes(size)] {
            let mut engine = Svidgate::load(&workload.rules);
            for asked in &workload.requests {
                let prepared = engine.prepare(asked);
                assert_eq!(
                    allocations(|| assert_eq!(engine.allows(&prepared), asked.allowed)),
                    0,
                    "{asked:?}"
                );
                assert_eq!(allocations(|| assert!(prepared.is_admitted())), 0, "{asked:?}");
            }
        }
    }
}

#[test]
fn decide_over_a_thousand_matching_patterns_allocates_nothing() {
    let mut engine = patterns(1_000);
    let prepared = engine.prepare(&pattern_request());
    assert_eq!(allocations(|| assert!(engine.allows(&prepared))), 0);
    assert_eq!(allocations(|| assert!(prepared.is_admitted())), 0);
}
