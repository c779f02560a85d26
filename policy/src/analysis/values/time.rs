//! Moments: what windows say stays the same from one of their edges to the next, every week anew.

use jiff::Timestamp;

use crate::{
    analysis::{
        demand::{Demand, Value, Verdicts},
        values::span::Span,
    },
    rules::condition::DAY_MINUTES,
};

const DAY_SECONDS: i64 = 24 * 60 * 60;

pub(super) fn times(demands: &[(&Demand, Verdicts)], span: Span) -> Vec<Value> {
    let whens = demands.iter().filter_map(|(demand, _)| demand.when());
    let windows = whens.flat_map(|when| [&when.time, &when.not_time]).flatten().flatten();
    let edges = windows.flat_map(|window| [window.from, window.until]);
    let mut edges: Vec<i64> = edges
        .map(|minute| i64::from(minute.checked_rem(DAY_MINUTES).unwrap_or_default()).saturating_mul(60))
        // A new day begins.
        .chain([0])
        .collect();
    edges.sort_unstable();
    edges.dedup();
    let first_day = span.from.as_second().div_euclid(DAY_SECONDS);
    let mut times = vec![span.from];
    // A week from any moment ends on its eighth day.
    for day in 0..=7 {
        let begin = first_day.saturating_add(day).saturating_mul(DAY_SECONDS);
        let moments = edges.iter().filter_map(|edge| {
            let moment = Timestamp::from_second(begin.saturating_add(*edge)).ok()?;
            (moment > span.from).then_some(moment)
        });
        times.extend(moments);
    }
    times.retain(|time| span.until.is_none_or(|until| *time < until));
    times.into_iter().map(Value::Time).collect()
}
